#![doc = include_str!("../README.md")]
#![expect(
    clippy::missing_errors_doc,
    reason = "tensor operations fail when shapes, types or devices disagree, or memory runs out"
)]

mod card;
mod error;
pub mod metrics;
pub mod objective;
pub mod optimiser;
pub mod recipe;
mod run;
mod schedule;

pub use card::{CardData, ModelCard};
pub use error::Error;
pub use recipe::Recipe;
pub use run::{Best, HeldOut, TokenPair, TokenStep, TokenTraining, Trained, Training, TrainingSet};
pub use schedule::Schedule;

/// Fails with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
