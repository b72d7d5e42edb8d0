//! Units that share a key.

use std::path::Path;

use datafusion::{
    arrow::{array::AsArray, datatypes::UInt64Type},
    common::JoinType,
    dataframe::DataFrame,
    functions_aggregate::expr_fn::count,
    prelude::{col, lit},
};
use futures::TryStreamExt;

use super::Unit;
use crate::{Error, engine::Engine};

/// Of the units that share one key, each is compared with this many before it, or of each benchmark. Identical rows are found before, so that
/// only what is widely shared without being the same meets this limit.
pub(crate) const BUCKET_NEIGHBOURS: usize = 64;

/// Calls `each` with the units of every key that several have, in the order of keys and units.
pub(crate) async fn groups(
    engine: &Engine,
    file: &Path,
    each: impl FnMut(&[Unit]) -> Result<(), Error>,
) -> Result<(), Error> {
    let keys = engine.table(&[file.to_owned()]).await?;
    let shared = keys
        .clone()
        .aggregate(vec![col("key")], vec![count(col("unit")).alias("units")])?
        .filter(col("units").gt(lit(1_i64)))?
        .select(vec![col("key").alias("shared")])?;
    let plan = keys.join(shared, JoinType::LeftSemi, &["key"], &["shared"], None)?;
    each_group(engine, plan, each).await
}

/// The units below the first border that share a key with units from there on, in order: each with up to `most` such of
/// every set, where a set begins at each border. Pairs that are not `wanted` are left out, and do not count.
pub(crate) async fn meetings(
    engine: &Engine,
    file: &Path,
    borders: &[Unit],
    most: usize,
    wanted: impl Fn(Unit, Unit) -> bool,
) -> Result<Vec<(Unit, Unit)>, Error> {
    let Some(&border) = borders.first() else {
        return Ok(Vec::new());
    };
    let keys = engine.table(&[file.to_owned()]).await?;
    let beyond = keys
        .clone()
        .filter(col("unit").gt_eq(lit(border.0)))?
        .select(vec![col("key").alias("shared")])?;
    let plan = keys.join(beyond, JoinType::LeftSemi, &["key"], &["shared"], None)?;
    let mut found = Vec::new();
    each_group(engine, plan, |units| {
        let (ours, theirs) = units.split_at(units.partition_point(|unit| *unit < border));
        for set in sets(theirs, borders) {
            for &unit in ours {
                let with = set.iter().filter(|with| wanted(unit, **with)).take(most);
                found.extend(with.map(|&with| (unit, with)));
            }
        }
        Ok(())
    })
    .await?;
    // What many bands agree on comes many times.
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Units in order, parted where a border lies between them.
fn sets<'a>(units: &'a [Unit], borders: &[Unit]) -> Vec<&'a [Unit]> {
    let mut sets = Vec::new();
    let mut rest = units;
    for border in borders {
        let (set, others) = rest.split_at(rest.partition_point(|unit| unit < border));
        sets.push(set);
        rest = others;
    }
    sets.push(rest);
    sets
}

/// Calls `each` with the units of every key of a plan of keys and units, in the order of both.
async fn each_group(
    engine: &Engine,
    plan: DataFrame,
    mut each: impl FnMut(&[Unit]) -> Result<(), Error>,
) -> Result<(), Error> {
    let plan = plan.sort(vec![
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_parted_at_every_border() {
        let [units, borders] = [[1, 2, 5, 9], [1, 5, 5, 8]].map(|numbers| numbers.map(Unit));
        let parted: Vec<Vec<u64>> = sets(&units, &borders)
            .into_iter()
            .map(|set| set.iter().map(|unit| unit.0).collect())
            .collect();
        let expected: [Vec<u64>; 5] = [vec![], vec![1, 2], vec![], vec![5], vec![9]];
        assert_eq!(parted, expected);
    }
}
