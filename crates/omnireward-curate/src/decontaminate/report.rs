use serde::{Deserialize, Serialize};

use super::DecontaminateSettings;
use crate::table::InputSummary;

/// What touches a benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecontaminateReport {
    /// What counted as touching one.
    pub settings: DecontaminateSettings,
    /// What was read to be cleaned.
    pub inputs: Vec<InputSummary>,
    /// What it was held against, and how much of it is touched.
    pub benchmarks: Vec<BenchmarkCounts>,
    /// Rows that were read to be cleaned.
    pub rows: u64,
    /// Rows that touch a benchmark.
    pub touching: u64,
    /// Rows of each input that touch a benchmark, in the order of the inputs.
    pub touching_by_input: Vec<u64>,
    /// Rows that were written.
    pub kept: u64,
    /// Rows that touch one by each kind of part; a row may be in several.
    pub parts: PartCounts,
    /// Media that could not be hashed; only their names or bytes were compared.
    pub unread_media: u64,
    /// Media that were named, and whose files do not exist.
    pub missing_media: u64,
}

/// A benchmark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchmarkCounts {
    /// What was read of it.
    pub input: InputSummary,
    /// Training rows that touch it.
    pub touched_by: u64,
    /// Its rows that are named as the one touched: of several that a part is like, the likest is, and the first of equals.
    pub touched: u64,
}

/// Rows by the part with which they touch a benchmark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartCounts {
    /// By their prompt.
    pub prompt: u64,
    /// By the text of a response.
    pub response: u64,
    /// By a medium of the prompt.
    pub prompt_media: u64,
    /// By a medium of a response.
    pub response_media: u64,
}
