use std::path::{Path, PathBuf};

use datafusion::{
    arrow::{
        array::{AsArray, RecordBatch},
        datatypes::UInt64Type,
    },
    dataframe::DataFrame,
    prelude::{Expr, col, lit},
};
use futures::TryStreamExt;
use omnireward_core::{PreferencePair, Progress};
use serde_json::json;

use super::{Count, Kind, MIXTURE_FIELD, MixOrder, MixRecipe, MixReport, Subset, SubsetCounts};
use crate::{
    Error,
    engine::Engine,
    signature::text::{combined, mixed},
    table::{List, TableWriter, WorkTable},
    work::Work,
};

/// Rows of a subset that are taken: some whole copies, and a sample.
struct Share<'a> {
    subset: &'a Subset,
    table: WorkTable,
    files: Vec<PathBuf>,
    taken: u64,
}

pub(super) async fn mix_on(
    engine: &Engine,
    recipe: &MixRecipe,
    root: &Path,
    work: &Work,
    progress: &dyn Progress,
) -> Result<MixReport, Error> {
    let mut shares = Vec::new();
    for (index, subset) in recipe.subsets.iter().enumerate() {
        let folder = work.scratch(&format!("table-{index:03}"));
        let table =
            WorkTable::open_or_make(&[subset.input(root)?], &folder, recipe.strict, progress)?;
        let available = table.ingested.rows();
        if available == 0 {
            return Err(Error::Recipe {
                path: root.join(&subset.path),
                reason: format!("the subset `{}` is empty", subset.name),
            });
        }
        shares.push(Share {
            taken: subset.taken(available, recipe.max_samples),
            files: table.files()?,
            subset,
            table,
        });
    }
    let plan = mixture(engine, recipe, root, &shares).await?;
    Mixing::begin(recipe, shares, work)?
        .write(engine, plan, progress)
        .await
}

/// All rows of the mixture in their order, with the numbers of their subset and copy.
async fn mixture(
    engine: &Engine,
    recipe: &MixRecipe,
    root: &Path,
    shares: &[Share<'_>],
) -> Result<DataFrame, Error> {
    let mut all: Option<DataFrame> = None;
    for (index, share) in shares.iter().enumerate() {
        let available = share.table.ingested.rows();
        let rows = engine.table(&share.files).await?;
        let seed = subset_seed(recipe.seed, &share.subset.name);
        let copies = share.taken / available;
        for copy in 0..=copies {
            let rest = share.taken % available;
            let whole = copy < copies;
            if !whole && rest == 0 {
                continue;
            }
            let part = if whole {
                rows.clone()
            } else {
                sampled(engine, rows.clone(), seed, rest).await?
            };
            let part = part.select(vec![
                lit(index as u64).alias("subset"),
                lit(copy).alias("copy"),
                col("row"),
                col("pair"),
                col("media"),
                drawn(engine, mixed(seed ^ copy.wrapping_add(1))).alias("drawn"),
            ])?;
            all = Some(match all {
                None => part,
                Some(all) => all.union(part)?,
            });
        }
    }
    let place = ["subset", "copy", "row"].map(|name| col(name).sort(true, false));
    let order = match recipe.order {
        MixOrder::AsListed => place.to_vec(),
        MixOrder::Shuffled => std::iter::once(col("drawn").sort(true, false))
            .chain(place)
            .collect(),
    };
    let all = all.ok_or_else(|| Error::Recipe {
        path: root.to_owned(),
        reason: "no subset gives a row; raise a `weight`".to_owned(),
    })?;
    Ok(all.sort(order)?)
}

/// What the numbers of a subset's rows follow from.
fn subset_seed(seed: u64, name: &str) -> u64 {
    mixed(
        name.bytes()
            .fold(mixed(seed), |hash, byte| combined(hash, u64::from(byte))),
    )
}

fn drawn(engine: &Engine, seed: u64) -> Expr {
    engine.function("draw").call(vec![lit(seed), col("row")])
}

/// The `count` rows with the least numbers.
async fn sampled(
    engine: &Engine,
    rows: DataFrame,
    seed: u64,
    count: u64,
) -> Result<DataFrame, Error> {
    let order = || {
        vec![
            col("number").sort(true, false),
            col("row").sort(true, false),
        ]
    };
    let numbers = rows
        .clone()
        .select(vec![col("row"), drawn(engine, seed).alias("number")])?
        .sort(order())?
        .limit(0, Some(count as usize))?;
    let mut last = None;
    let mut stream = engine.stream(numbers).await?;
    while let Some(batch) = stream.try_next().await? {
        if let Some(end) = batch.num_rows().checked_sub(1) {
            let value =
                |column: usize| batch.column(column).as_primitive::<UInt64Type>().value(end);
            last = Some((value(0), value(1)));
        }
    }
    let (row, number) = last.expect("a sample of a subset that is not empty has rows");
    let of_row = drawn(engine, seed);
    let before = of_row.clone().lt(lit(number));
    let same = of_row.eq(lit(number)).and(col("row").lt_eq(lit(row)));
    Ok(rows.filter(before.or(same))?)
}

/// Writing a mixture, counting.
struct Mixing<'a> {
    recipe: &'a MixRecipe,
    shares: Vec<Share<'a>>,
    counts: Vec<[u64; 3]>,
    work: &'a Work,
    results: PathBuf,
    writer: TableWriter,
}

impl<'a> Mixing<'a> {
    fn begin(recipe: &'a MixRecipe, shares: Vec<Share<'a>>, work: &'a Work) -> Result<Self, Error> {
        let results = work.fresh_folder("results")?;
        Ok(Self {
            counts: vec![[0; 3]; shares.len()],
            writer: TableWriter::create(&results, recipe.table())?,
            recipe,
            shares,
            work,
            results,
        })
    }

    async fn write(
        mut self,
        engine: &Engine,
        plan: DataFrame,
        progress: &dyn Progress,
    ) -> Result<MixReport, Error> {
        let rows = self.shares.iter().map(|share| share.taken).sum();
        progress.begin("writing rows", Some(rows));
        let mut stream = engine.stream(plan).await?;
        while let Some(batch) = stream.try_next().await? {
            self.write_batch(&batch)?;
            progress.advance(batch.num_rows() as u64, "");
        }
        progress.end();
        self.finish()
    }

    fn write_batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let numbers = |column: usize| batch.column(column).as_primitive::<UInt64Type>();
        let (subsets, copies) = (numbers(0), numbers(1));
        for row in 0..batch.num_rows() {
            let index = subsets.value(row) as usize;
            let share = &self.shares[index];
            let list = List {
                batch,
                file: &share.files[0],
            };
            let mut pair = list.pair(row)?;
            let counts = &mut self.counts[index];
            counts[0] += 1;
            counts[1] += u64::from(pair.task != share.subset.task);
            counts[2] +=
                u64::from(pair.criterion.is_some() != (share.subset.kind == Kind::Instruction));
            attribute(&mut pair, share.subset, copies.value(row));
            self.writer.push(&pair)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<MixReport, Error> {
        let written = self.writer.finish()?;
        let mut faults = String::new();
        for share in &self.shares {
            faults.push_str(&share.table.faults()?);
        }
        crate::table::whole_file(&self.results.join("faults.jsonl"), faults.as_bytes())?;
        let max_samples = self.recipe.max_samples;
        let counted = self
            .shares
            .iter()
            .zip(self.counts)
            .map(|(share, counts)| SubsetCounts {
                task: share.subset.task,
                kind: share.subset.kind,
                input: share.table.ingested.inputs[0].clone(),
                count: Count {
                    taken: counts[0],
                    expected: share.subset.expected(max_samples),
                },
                other_task: counts[1],
                other_kind: counts[2],
            });
        let report = MixReport::new(self.recipe, counted.collect(), written.missing_media);
        self.work.finish(&self.results, &report)?;
        Ok(report)
    }
}

/// Says where a row is from: sets may share ids and groups.
fn attribute(pair: &mut PreferencePair, subset: &Subset, copy: u64) {
    let again = if copy == 0 {
        String::new()
    } else {
        format!("#{}", copy + 1)
    };
    pair.id = format!("{}/{}{again}", subset.name, pair.id);
    pair.group = pair
        .group
        .take()
        .map(|group| format!("{}/{group}", subset.name));
    pair.source.get_or_insert_with(|| subset.name.clone());
    let from = json!({"subset": subset.name, "kind": subset.kind});
    pair.extra.insert(MIXTURE_FIELD.to_owned(), from);
}
