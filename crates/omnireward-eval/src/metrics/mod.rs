//! What is counted, with every numerator and denominator.

mod accuracy;
mod agreement;
mod breakdown;
mod confusion;
mod criteria;
mod judged;
mod position;
pub mod suites;
pub mod ties;

pub use accuracy::{Accuracy, FailurePolicy, Policies, Tally};
pub use agreement::JudgeAgreement;
pub use breakdown::{Group, ModelPair, ModelStanding};
pub(crate) use breakdown::{by_criterion, by_models, by_source, standings};
pub use confusion::{Confusion, ConfusionRow};
pub use criteria::CriterionFollowing;
pub use position::Position;
pub use ties::{CrossFit, CurvePoint, Scored, TieAnalysis, TieCounts, TieThreshold, Walk};

pub(crate) use accuracy::Scale;
pub(crate) use judged::{Judged, by_cluster, margin};
