//! What a set of pairs is made of.

mod compute;
mod lengths;

use std::path::Path;

use omnireward_core::{Progress, Task};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    engine::{Engine, EngineConfig},
    table::{Input, InputSummary, WorkTable},
};

pub use crate::agreement::{Agreement, PairAgreement, Ratings};
pub use lengths::Lengths;

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
    /// Groups in which two rows prefer different responses.
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

/// Counts what `inputs` are made of. `scratch` is a folder for a table to work on; started again with the same inputs, what
/// was read is taken from there.
///
/// # Errors
///
/// Errors of reading, and of the engine.
pub async fn stats(
    inputs: &[Input],
    scratch: &Path,
    strict: bool,
    engine: &EngineConfig,
    progress: &dyn Progress,
) -> Result<Stats, Error> {
    let table = WorkTable::open_or_make(inputs, scratch, strict, progress)?;
    compute::stats_on(&Engine::open(engine).await?, &table, progress).await
}
