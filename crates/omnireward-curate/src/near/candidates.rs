//! Units that share a key.

use std::path::Path;

use datafusion::{
    arrow::{array::AsArray, datatypes::UInt64Type},
    common::JoinType,
    functions_aggregate::expr_fn::{count, min},
    prelude::{col, lit},
};
use futures::TryStreamExt;

use super::Unit;
use crate::{Error, engine::Engine};

/// Of the units that share one key, each is compared with this many before it. Identical rows are found before, so that
/// only what is widely shared without being the same meets this limit.
pub(crate) const BUCKET_NEIGHBOURS: usize = 64;

/// Calls `each` with the units of every key that several have, in the order of keys and units.
pub(crate) async fn groups(
    engine: &Engine,
    file: &Path,
    mut each: impl FnMut(&[Unit]) -> Result<(), Error>,
) -> Result<(), Error> {
    let keys = engine.table(&[file.to_owned()]).await?;
    let shared = keys
        .clone()
        .aggregate(vec![col("key")], vec![count(col("unit")).alias("units")])?
        .filter(col("units").gt(lit(1_i64)))?
        .select(vec![col("key").alias("shared")])?;
    let plan = keys
        .join(shared, JoinType::LeftSemi, &["key"], &["shared"], None)?
        .sort(vec![
            col("key").sort(true, false),
            col("unit").sort(true, false),
        ])?;
    let mut stream = engine.stream(plan).await?;
    let (mut current, mut units) = (None, Vec::new());
    while let Some(batch) = stream.try_next().await? {
        let [keys, column] = [0, 1].map(|index| batch.column(index).as_primitive::<UInt64Type>());
        for (&key, &unit) in keys.values().iter().zip(column.values()) {
            if current != Some(key) {
                each(&units)?;
                units.clear();
                current = Some(key);
            }
            units.push(Unit(unit));
        }
    }
    each(&units)
}

/// The units below `border` that share a key with one from there on, each with the least such, in order.
pub(crate) async fn meetings(
    engine: &Engine,
    file: &Path,
    border: Unit,
) -> Result<Vec<(Unit, Unit)>, Error> {
    let keys = engine.table(&[file.to_owned()]).await?;
    let beyond = keys
        .clone()
        .filter(col("unit").gt_eq(lit(border.0)))?
        .aggregate(vec![col("key")], vec![min(col("unit")).alias("other")])?
        .select(vec![col("key").alias("shared"), col("other")])?;
    let plan = keys
        .filter(col("unit").lt(lit(border.0)))?
        .join(beyond, JoinType::Inner, &["key"], &["shared"], None)?
        .select(vec![col("unit"), col("other")])?
        .distinct()?
        .sort(vec![
            col("unit").sort(true, false),
            col("other").sort(true, false),
        ])?;
    let mut stream = engine.stream(plan).await?;
    let mut found = Vec::new();
    while let Some(batch) = stream.try_next().await? {
        let [units, others] = [0, 1].map(|index| batch.column(index).as_primitive::<UInt64Type>());
        found.extend(
            units
                .values()
                .iter()
                .zip(others.values())
                .map(|(&unit, &other)| (Unit(unit), Unit(other))),
        );
    }
    Ok(found)
}
