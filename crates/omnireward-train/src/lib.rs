#![doc = include_str!("../README.md")]
#![expect(
    clippy::missing_errors_doc,
    reason = "tensor operations fail when shapes, types or devices disagree, or memory runs out"
)]

mod card;
mod error;
mod folder;
pub mod grpo;
mod lanes;
pub mod metrics;
pub mod objective;
pub mod optimiser;
mod policy;
pub mod recipe;
mod run;
mod schedule;
pub mod sft;
mod variables;

pub use card::{CardData, ModelCard};
pub use error::Error;
pub use folder::Best;
pub use recipe::{GrpoRecipe, Recipe, SftRecipe};
pub use run::{HeldOut, TokenPair, TokenStep, TokenTraining, Trained, Training, TrainingSet};
pub use schedule::Schedule;

/// Fails with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
