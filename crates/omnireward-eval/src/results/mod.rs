//! Every number of a run, computed from its rows.

mod compute;
mod tasks;
mod types;

pub(crate) use tasks::{TaskRows, sorted};
pub use types::{
    Counts, Effort, Latency, MacroMean, Method, Overall, OverallTies, Results, ResultsConfig,
    SettingResults, TaskResults,
};
