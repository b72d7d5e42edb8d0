//! What a set of pairs is made of.

mod compute;
mod lengths;
mod samples;

use std::path::Path;

use omnireward_core::{Progress, Task};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    engine::{Engine, EngineConfig},
    table::{Fate, Input, InputSummary, TableConfig, WorkTable, whole_file},
    work::{Begun, Plan, Work},
};

pub use crate::agreement::{Agreement, PairAgreement, Ratings};
pub use lengths::Lengths;

/// How statistics are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatsSettings {
    /// Rows of each task that are written as samples.
    pub samples: usize,
    /// Which rows those are follows from this number.
    pub seed: u64,
    /// Whether a record that cannot be read ends the work.
    pub strict: bool,
}

impl Default for StatsSettings {
    fn default() -> Self {
        Self {
            samples: 12,
            seed: 0,
            strict: false,
        }
    }
}

/// What sets of pairs are made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// What was read.
    pub inputs: Vec<InputSummary>,
    /// All rows.
    pub all: Section,
    /// The rows of each task, in the order of the paper's tables.
    pub tasks: Vec<(Task, Section)>,
    /// Rows of each source (or input, where rows name none), in the order of names.
    pub sources: Vec<(String, Section)>,
    /// How far raters agree, where rows hold the labels of several.
    pub agreement: Option<Agreement>,
}

/// What some of the rows are made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Rows.
    pub rows: u64,
    /// Their share of all rows.
    pub share: f64,
    /// How the labels fall.
    pub labels: Labels,
    /// Rows with a criterion.
    pub with_criterion: u64,
    /// Groups: prompts with responses, each under one criterion or several.
    pub groups: u64,
    /// Groups by how many different criteria they have, from the least; rows without a criterion count as none.
    pub criteria_per_group: Vec<(u64, u64)>,
    /// Criteria in a group, on average over groups that have any.
    pub mean_criteria_per_group: Option<f64>,
    /// Groups in which two criteria prefer different ones of the same responses.
    pub groups_with_opposite_labels: u64,
    /// Media of each modality.
    pub media: Media,
    /// Words of prompts.
    pub prompt_words: Option<Lengths>,
    /// Words of responses; of those that hold text.
    pub response_words: Option<Lengths>,
    /// Words of criteria.
    pub criterion_words: Option<Lengths>,
}

/// How many rows prefer which response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// The first.
    pub first: u64,
    /// The second.
    pub second: u64,
    /// Neither.
    pub tie: u64,
    /// Unlabelled, or a ranking of more than two.
    pub none: u64,
}

impl Labels {
    /// The share of ties among labelled rows.
    pub fn tie_share(&self) -> Option<f64> {
        share(self.tie, self.first + self.second + self.tie)
    }

    /// The share of rows whose first response is preferred, among those where one is.
    pub fn first_share(&self) -> Option<f64> {
        share(self.first, self.first + self.second)
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// How many media there are, and rows that have any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// Pictures.
    pub images: u64,
    /// Videos.
    pub videos: u64,
    /// Sounds.
    pub audios: u64,
    /// 3D models.
    pub meshes: u64,
    /// Rows without media.
    pub text_only_rows: u64,
}

/// Counts what `inputs` are made of, and writes it to the folder `out` as `report.json`, beside a sample of the rows as a
/// [table](crate::table) and `faults.jsonl`.
///
/// Stopped and started again, it goes on; finished, it returns what it counted.
///
/// # Errors
///
/// [`Error::OtherWork`] when `out` holds anything else; errors of reading, writing and of the engine.
pub async fn stats(
    inputs: &[Input],
    out: &Path,
    settings: &StatsSettings,
    engine: &EngineConfig,
    progress: &dyn Progress,
) -> Result<Stats, Error> {
    let work = match Work::open(out, &Plan::new("stats", settings, inputs)?)? {
        Begun::Done(stats) => return Ok(stats),
        Begun::Open(work) => work,
    };
    let spill = Some(work.scratch_folder("spill")?);
    let runner = Engine::open(&EngineConfig {
        spill,
        ..engine.clone()
    })
    .await?;
    let table = WorkTable::open_or_make(inputs, &work.scratch("table"), settings.strict, progress)?;
    let found = compute::stats_on(&runner, &table, progress).await?;
    let tasks = found.tasks.iter().map(|(task, _)| *task);
    let samples = samples::drawn(&runner, &table, settings, tasks).await?;
    let results = work.fresh_folder("results")?;
    let end = table.ingested.rows();
    table.copy(&results, TableConfig::default(), end, progress, |row, _| {
        if samples.contains(&row) {
            Fate::Keep
        } else {
            Fate::Drop
        }
    })?;
    whole_file(&results.join("faults.jsonl"), table.faults()?.as_bytes())?;
    work.finish(&results, &found)?;
    Ok(found)
}
