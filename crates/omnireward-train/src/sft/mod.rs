//! Supervised fine-tuning: a model that writes learns to answer questions about pairs as somebody has answered them.
//!
//! The loss of a step is the mean of `-log p(token | what stands before it)` over the tokens of its answers, each with the
//! weight of its set, and the token that ends the turn; questions have no part in it.

mod data;
mod run;

pub use data::AnswerSet;
pub use run::{SftTrained, SftTraining};
