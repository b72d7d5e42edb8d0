#![doc = include_str!("../README.md")]

mod cache;
mod error;
mod manifest;
mod record;
mod run_dir;
mod runner;
mod spend;

pub use cache::{CachedChat, ReplyCache};
pub use error::Error;
pub use manifest::{BenchmarkRecord, JudgeRecord, RunManifest, RunPlan};
pub use record::Row;
pub use run_dir::{AskKey, RunDir};
pub use runner::{RunEnd, RunOptions, Stop, run};
pub use spend::{Budget, Prices, Spend};
