//! Black-box tests: the program as a user runs it, and the shape of the workspace.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

mod architecture;
mod bad_days;
mod data_build;
mod data_import;
mod data_lint;
#[cfg(feature = "engine")]
mod data_tables;
mod embedded;
mod kills;
mod model;
mod nine_tasks;
mod program;
mod published_figures;
mod reward_models;
mod support;
mod training;
mod writing_models;
