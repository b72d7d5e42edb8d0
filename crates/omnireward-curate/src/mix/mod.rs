//! A training mixture from a recipe: which sets, how much of each, in which order.
//!
//! Which rows of a subset are taken follows from the seed, the subset's name and the row's number alone: every row has a
//! number that looks random, and those with the least are taken. So a sample does not depend on how the work is divided,
//! a larger sample contains the smaller, and no other subset changes it. The same holds for the order of a shuffled
//! mixture.

mod plan;
mod recipe;
mod report;

use std::path::Path;

use omnireward_core::Progress;

use crate::{
    Error,
    engine::{Engine, EngineConfig},
    work::{Begun, Plan, Work},
};

pub use recipe::{Kind, MixOrder, MixRecipe, Subset};
pub use report::{Count, MixReport, SubsetCounts};

/// The field of a row that names its subset and kind.
pub const MIXTURE_FIELD: &str = "mixture";

/// Writes the mixture of `recipe` to the folder `out` as a [table](crate::table), beside `report.json` and `faults.jsonl`.
///
/// A row's id and group are those of its set with the subset's name before them, and its field [`MIXTURE_FIELD`] says from
/// which subset it is. Relative paths in the recipe are relative to `root`.
///
/// Stopped and started again, it goes on; finished, it returns its report. That a count differs from what the recipe
/// expects is in the report ([`MixReport::disagreements`]), not an error.
///
/// # Errors
///
/// [`Error::Recipe`] when a subset is empty, or none gives a row; [`Error::OtherWork`] when `out` holds anything else; errors of reading,
/// writing and of the engine.
pub async fn mix(
    recipe: &MixRecipe,
    root: &Path,
    out: &Path,
    engine: &EngineConfig,
    progress: &dyn Progress,
) -> Result<MixReport, Error> {
    let plan = Plan::new("mix", recipe, &recipe.inputs(root)?)?;
    let work = match Work::open(out, &plan)? {
        Begun::Done(report) => return Ok(report),
        Begun::Open(work) => work,
    };
    let spill = Some(work.scratch_folder("spill")?);
    let runner = Engine::open(&EngineConfig {
        spill,
        ..engine.clone()
    })
    .await?;
    plan::mix_on(&runner, recipe, root, &work, progress).await
}
