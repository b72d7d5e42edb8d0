#![doc = include_str!("../README.md")]

mod cache;
mod compare;
mod error;
mod estimate;
mod manifest;
pub mod metrics;
pub mod published;
mod record;
pub mod report;
mod results;
mod run_dir;
mod runner;
mod spend;
pub mod stats;
mod verify;

pub use cache::{CachedChat, ReplyCache};
pub use compare::{Comparison, Gap, POWER, PairedTest, RunScore, SettingComparison, compare};
pub use error::Error;
pub use estimate::Estimate;
pub use manifest::{BenchmarkRecord, JudgeRecord, RunManifest, RunPlan};
pub use record::Row;
pub use results::{
    Counts, Effort, Latency, MacroMean, Method, Overall, OverallTies, Results, ResultsConfig,
    SettingResults, TaskResults,
};
pub use run_dir::{AskKey, RunDir};
pub use runner::{RunEnd, RunOptions, Stop, run};
pub use spend::{Budget, Prices, Spend};
pub use verify::{Mismatch, verify};
