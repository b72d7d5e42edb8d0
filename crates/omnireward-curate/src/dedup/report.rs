use serde::{Deserialize, Serialize};

use super::DedupSettings;
use crate::table::InputSummary;

/// What became of the rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DedupReport {
    /// What counted as a duplicate.
    pub settings: DedupSettings,
    /// What was read.
    pub inputs: Vec<InputSummary>,
    /// Rows of each input, in their order.
    pub counts: Vec<InputCounts>,
    /// Rows that were read.
    pub rows: u64,
    /// Rows that were written.
    pub kept: u64,
    /// Rows that are exactly like one before them.
    pub exact: u64,
    /// Rows that are nearly like one that is kept, or like another row of its cluster.
    pub near: u64,
    /// Rows that were left out and have another label than the row that is kept, as the same responses go.
    pub other_label: u64,
    /// Clusters of more than one row.
    pub clusters: u64,
    /// Rows in the largest cluster.
    pub largest_cluster: u64,
    /// Pairs of rows that were compared.
    pub compared: u64,
    /// Media that could not be hashed; only their names or bytes were compared.
    pub unread_media: u64,
    /// Media that were named, and whose files do not exist.
    pub missing_media: u64,
}

/// The rows of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputCounts {
    /// The input.
    pub name: String,
    /// Rows that were read.
    pub rows: u64,
    /// Rows that were written.
    pub kept: u64,
    /// Rows that are exactly like one before them.
    pub exact: u64,
    /// Rows that are nearly like another.
    pub near: u64,
}
