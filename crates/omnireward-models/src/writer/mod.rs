//! Models that write: checkpoints that answer conversations.
//!
//! [`WritingNetwork`] is a checkpoint with its language-model head as a function of conversations: what training is made
//! of. [`WritingModel`] runs one as a [`ChatModel`](omnireward_core::ChatModel), so that it can judge wherever a service
//! could.

mod model;
mod network;
mod queue;
mod reader;
mod settings;
mod source;
#[cfg(test)]
mod tests;

pub use model::{WritingModel, Written};
pub use network::{Closing, WritingNetwork, WritingOptions, writes};
