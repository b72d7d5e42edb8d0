//! Training rows that touch a benchmark.
//!
//! Each part of a row is compared with each part of the benchmarks: the prompt, each response, each medium. A text of
//! [`DecontaminateSettings::least_words`] words or more touches a benchmark's text when both have the same words, or when
//! their shingles are alike to the threshold; shorter ones ("Describe this image.") say nothing. A medium touches one with
//! the same bytes or a near hash. Criteria and labels play no part: a scene that is known is known.

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

pub use report::{BenchmarkCounts, DecontaminateReport, PartCounts};

/// The field of a flagged row that says what it touches.
pub const OVERLAP_FIELD: &str = "overlap";

/// What becomes of a row that touches a benchmark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is left out.
    #[default]
    Remove,
    /// It is kept, and its field [`OVERLAP_FIELD`] says what it touches.
    Flag,
}

/// What counts as touching a benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecontaminateSettings {
    /// What becomes of a row that does.
    pub action: Action,
    /// The least Jaccard similarity of the shingles of two texts.
    pub threshold: f64,
    /// Texts of fewer words are not compared.
    pub least_words: usize,
    /// How texts are hashed.
    pub text: TextSettings,
    /// Whether a record that cannot be read ends the work.
    pub strict: bool,
}

impl Default for DecontaminateSettings {
    fn default() -> Self {
        Self {
            action: Action::Remove,
            threshold: 0.55,
            least_words: 8,
            text: TextSettings::default(),
            strict: false,
        }
    }
}

/// Writes the rows of `inputs` to the folder `out` as a [table](crate::table), without those that touch a benchmark or
/// with those flagged, beside `report.json`, `overlaps.jsonl` (a line for each part of a row and each benchmark that it
/// touches: what of which row, and how alike they are) and `faults.jsonl`.
///
/// Stopped and started again, it goes on; finished, it returns its report.
///
/// # Errors
///
/// [`Error::OtherWork`] when `out` holds anything else; errors of reading, writing and of the engine.
pub async fn decontaminate(
    inputs: &[Input],
    benchmarks: &[Input],
    out: &Path,
    settings: &DecontaminateSettings,
    media: MediaMode,
    engine: &EngineConfig,
    progress: &dyn Progress,
) -> Result<DecontaminateReport, Error> {
    let all: Vec<Input> = inputs.iter().chain(benchmarks).cloned().collect();
    let decisive = (settings, media == MediaMode::Embedded, inputs.len());
    let work = match Work::open(out, &Plan::new("decontaminate", &decisive, &all)?)? {
        Begun::Done(report) => return Ok(report),
        Begun::Open(work) => work,
    };
    let spill = Some(work.scratch_folder("spill")?);
    let runner = Engine::open(&EngineConfig {
        spill,
        ..engine.clone()
    })
    .await?;
    let sets = stages::Sets {
        all: &all,
        training: inputs.len(),
    };
    let stages = stages::Stages::begin(&runner, sets, &work, settings, progress).await?;
    let overlaps = stages.overlaps(progress).await?;
    stages.write(&overlaps, media, progress)
}
