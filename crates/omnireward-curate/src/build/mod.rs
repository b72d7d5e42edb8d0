//! Pairs with free-form criteria, written by one model and verified by others.
//!
//! A writer ([`ChatModel`](omnireward_core::ChatModel)) is shown the prompt and responses of a
//! pair, without its label and in an order drawn by lot, and states one criterion for each side.
//! Each criterion is put to verifiers ([`Judge`](omnireward_core::Judge)s), blind and in both
//! orders (in one where a verifier's verdicts do not depend on it), and a [`Consensus`] rule keeps
//! or drops it. Two kept criteria that prefer different
//! sides of the same pair teach a reward model to read the criterion; a [`BuildReport`] counts how
//! often they were obtained.
//!
//! [`build()`] keeps everything in a [`Trail`]: who said what about which question, and how many tokens it took.
//! [`audit()`] computes every label again from it.
//!
//! The pipeline follows section 3.2 of Omni-Reward (Jin et al., arXiv 2510.23451), which publishes
//! neither its prompts nor its rule: both are ours.

mod ask;
mod audit;
mod builder;
mod digest;
mod pairs;
mod record;
mod reply;
mod report;
mod rule;
mod run;
mod sample;
mod trail;
mod verify;

pub use ask::{Show, ShowWords, prompt_fingerprint, system_message};
pub use audit::{Mismatch, Reader, Reread, audit, audit_pairs};
pub use builder::{BuildConfig, Builder, LONGEST_CRITERION};
pub use pairs::{BUILD_FIELD, kept_pairs};
pub use record::{BuildPlan, CriterionRecord, Outcome, PairRecord, Vote, WriterRecord};
pub use reply::Unread;
pub use report::{BuildReport, TaskCounts, VerifierCounts};
pub use rule::{Consensus, Orders, Quorum, Stance};
pub use run::{BuildEnd, BuildOptions, Stop, build};
pub use sample::Sample;
pub use trail::Trail;
