//! Group-relative policy optimisation (Shao et al. 2024, "DeepSeekMath"): a model that writes verdicts learns from which
//! of its own replies to a question are better than the others.
//!
//! A round asks about some pairs, [samples](RolloutEngine) a group of replies to each question, says what each is
//! [worth](reward), turns that into [advantages](fn@advantages), and takes one or several steps along the gradient of the
//! [`Surrogate`]. A group's prompt goes through the model once for all of its replies, when they are sampled and when they
//! are learned from.

mod advantages;
mod data;
mod evaluate;
mod group;
mod log;
mod question;
mod ratio;
pub mod reward;
mod rollouts;
mod run;
mod update;

pub use advantages::{Scale, advantages};
pub use data::{Protocol, QuestionSet};
pub use log::{RoundRecord, VerdictsRecord};
pub use question::{Answer, Question, Rollout};
pub use ratio::{Average, Counts, Evaluation, ReplyTokens, Surrogate, Totals};
pub use rollouts::{LocalEngine, RolloutEngine, RolloutRequest};
pub use run::{GrpoTrained, GrpoTraining};

pub(crate) use data::ask;
pub(crate) use evaluate::{Asking, best};
