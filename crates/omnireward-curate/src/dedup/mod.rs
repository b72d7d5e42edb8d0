//! Rows that are in a set twice: exactly, or nearly.
//!
//! Two rows are *exact* duplicates when task, criterion, prompt and responses have the same words
//! ([`exact_hash`](crate::signature::text::exact_hash)) and their media the same bytes; the responses may stand in either
//! order. They are *near* duplicates when task and criterion are the same, the texts are alike to the threshold
//! ([`row_similarity`](crate::signature::text::row_similarity)), and each medium has a near counterpart
//! ([`MediaSignature`](crate::signature::MediaSignature)). A pair under two criteria is not a duplicate: it is the point.
//!
//! Candidates come from what the responses are made of: bands of the texts' `MinHash` where they are text, else the keys
//! of their media. Every candidate is compared; clusters are what is connected; of each, the first row is kept. Labels play
//! no part in that, but it is told where the row that goes has another label than the one that stays.

mod labels;
mod report;
mod stages;

use std::path::Path;

use omnireward_core::Progress;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    engine::{Engine, EngineConfig},
    signature::text::TextSettings,
    table::{Input, MediaMode},
    work::{Begun, Plan, Work},
};

pub use report::{DedupReport, InputCounts};

/// What counts as a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DedupSettings {
    /// Whether rows that are nearly the same are duplicates, too; else only those that are exactly the same.
    pub near: bool,
    /// The least Jaccard similarity of the shingles of near duplicates.
    pub threshold: f64,
    /// How texts are hashed.
    pub text: TextSettings,
    /// Whether a record that cannot be read ends the work.
    pub strict: bool,
}

impl Default for DedupSettings {
    /// Finds rows in which 5% of the words were edited.
    fn default() -> Self {
        Self {
            near: true,
            threshold: 0.55,
            text: TextSettings::default(),
            strict: false,
        }
    }
}

/// Writes the rows of `inputs` to the folder `out` as a [table](crate::table), without the duplicates, beside
/// `report.json`, `dropped.jsonl` (a line for each row that is left out: which row stays instead, by what evidence, and both
/// labels, that of the row left out as if its responses stood in the order of the other's) and
/// `faults.jsonl` (a line for each record or medium that could not be read).
///
/// Stopped and started again, it goes on; finished, it returns its report.
///
/// # Errors
///
/// [`Error::OtherWork`] when `out` holds anything else; errors of reading, writing and of the engine.
pub async fn dedup(
    inputs: &[Input],
    out: &Path,
    settings: &DedupSettings,
    media: MediaMode,
    engine: &EngineConfig,
    progress: &dyn Progress,
) -> Result<DedupReport, Error> {
    let plan = Plan::new("dedup", &(settings, media == MediaMode::Embedded), inputs)?;
    let work = match Work::open(out, &plan)? {
        Begun::Done(report) => return Ok(report),
        Begun::Open(work) => work,
    };
    let spill = Some(work.scratch_folder("spill")?);
    let runner = Engine::open(&EngineConfig {
        spill,
        ..engine.clone()
    })
    .await?;
    let stages = stages::Stages::begin(&runner, inputs, &work, settings, progress).await?;
    let duplicates = stages.duplicates(progress).await?;
    stages.write(&duplicates, media, progress)
}
