use std::collections::BTreeSet;

use datafusion::{
    arrow::{array::AsArray, datatypes::UInt64Type},
    prelude::{col, lit},
};
use futures::TryStreamExt;
use omnireward_core::Task;

use super::StatsSettings;
use crate::{Error, engine::Engine, table::WorkTable};

/// Some rows of each task: those with the least numbers that follow from the seed and the row.
pub(super) async fn drawn(
    engine: &Engine,
    table: &WorkTable,
    settings: &StatsSettings,
    tasks: impl Iterator<Item = Task>,
) -> Result<BTreeSet<u64>, Error> {
    let mut found = BTreeSet::new();
    if settings.samples == 0 {
        return Ok(found);
    }
    let rows = engine.table(&table.files()?).await?;
    for task in tasks {
        let number = engine.function("draw");
        let number = number.call(vec![lit(settings.seed), col("row")]);
        let plan = rows
            .clone()
            .filter(col("task").eq(lit(task.code())))?
            .select(vec![col("row"), number.alias("number")])?
            .sort(vec![
                col("number").sort(true, false),
                col("row").sort(true, false),
            ])?
            .limit(0, Some(settings.samples))?;
        let mut stream = engine.stream(plan).await?;
        while let Some(batch) = stream.try_next().await? {
            found.extend(batch.column(0).as_primitive::<UInt64Type>().values());
        }
    }
    Ok(found)
}
