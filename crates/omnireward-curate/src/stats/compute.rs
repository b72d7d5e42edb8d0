use std::collections::BTreeMap;

use datafusion::{
    arrow::{
        array::{Array, AsArray, RecordBatch},
        datatypes::{Int64Type, UInt32Type, UInt64Type},
    },
    dataframe::DataFrame,
    functions_aggregate::expr_fn::{count, max, min, sum},
    prelude::{Expr, col, lit},
};
use futures::TryStreamExt;
use omnireward_core::{Progress, Task};

use super::{Labels, Lengths, Media, Ratings, Section, Stats};
use crate::{Error, engine::Engine, table::WorkTable};

/// Rows of one task, of one input, with one name for their source.
type Cell = (String, u32, Option<String>);

/// What is added up over the cells of a section.
#[derive(Clone, Debug, Default)]
struct Sums {
    rows: u64,
    labels: Labels,
    with_criterion: u64,
    groups: u64,
    criteria: BTreeMap<u64, u64>,
    opposite: u64,
    media: Media,
    words: [BTreeMap<u64, u64>; 3],
}

pub(super) async fn stats_on(
    engine: &Engine,
    table: &WorkTable,
    progress: &dyn Progress,
) -> Result<Stats, Error> {
    let files = table.files()?;
    let rows = engine.table(&files).await?;
    let mut cells: BTreeMap<Cell, Sums> = BTreeMap::new();
    progress.begin("counting", Some(7));
    add_rows(engine, &rows, &mut cells).await?;
    progress.advance(1, "rows");
    add_groups(engine, &rows, &mut cells).await?;
    progress.advance(1, "groups");
    add_opposites(engine, &rows, &mut cells).await?;
    progress.advance(1, "opposite labels");
    for (index, column) in ["prompt", "responses", "criterion"].into_iter().enumerate() {
        add_words(engine, &rows, index, column, &mut cells).await?;
        progress.advance(1, column);
    }
    let agreement = ratings(engine, &rows).await?.agreement();
    progress.advance(1, "raters");
    progress.end();
    Ok(assembled(table, &cells, agreement))
}

fn assembled(
    table: &WorkTable,
    cells: &BTreeMap<Cell, Sums>,
    agreement: Option<super::Agreement>,
) -> Stats {
    let inputs = &table.ingested.inputs;
    let all: u64 = cells.values().map(|sums| sums.rows).sum();
    let section = |wanted: &dyn Fn(&Cell) -> bool| {
        let mut total = Sums::default();
        cells
            .iter()
            .filter(|(cell, _)| wanted(cell))
            .for_each(|(_, sums)| total.add(sums));
        total.section(all)
    };
    let source = |cell: &Cell| {
        cell.2
            .clone()
            .unwrap_or_else(|| inputs[cell.1 as usize].name.clone())
    };
    let names: std::collections::BTreeSet<String> = cells.keys().map(source).collect();
    let tasks = Task::ALL
        .into_iter()
        .filter(|task| cells.keys().any(|cell| cell.0 == task.code()));
    Stats {
        inputs: inputs.clone(),
        all: section(&|_| true),
        tasks: tasks
            .map(|task| (task, section(&|cell| cell.0 == task.code())))
            .collect(),
        sources: names
            .into_iter()
            .map(|name| {
                let found = section(&|cell| source(cell) == name);
                (name, found)
            })
            .collect(),
        agreement,
    }
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.labels.first += other.labels.first;
        self.labels.second += other.labels.second;
        self.labels.tie += other.labels.tie;
        self.labels.none += other.labels.none;
        self.with_criterion += other.with_criterion;
        self.groups += other.groups;
        self.opposite += other.opposite;
        self.media.images += other.media.images;
        self.media.videos += other.media.videos;
        self.media.audios += other.media.audios;
        self.media.meshes += other.media.meshes;
        self.media.text_only_rows += other.media.text_only_rows;
        let histograms = self
            .words
            .iter_mut()
            .zip(&other.words)
            .chain([(&mut self.criteria, &other.criteria)]);
        for (into, from) in histograms {
            for (value, times) in from {
                *into.entry(*value).or_default() += times;
            }
        }
    }

    fn section(self, all: u64) -> Section {
        let [prompt_words, response_words, criterion_words] =
            self.words.each_ref().map(Lengths::new);
        let having = self.criteria.iter().filter(|(criteria, _)| **criteria > 0);
        let (groups, criteria) = having.fold((0, 0), |(groups, all), (criteria, times)| {
            (groups + times, all + criteria * times)
        });
        Section {
            rows: self.rows,
            share: super::share(self.rows, all).unwrap_or_default(),
            labels: self.labels,
            with_criterion: self.with_criterion,
            groups: self.groups,
            mean_criteria_per_group: super::share(criteria, groups),
            criteria_per_group: self.criteria.into_iter().collect(),
            groups_with_opposite_labels: self.opposite,
            media: self.media,
            prompt_words,
            response_words,
            criterion_words,
        }
    }
}

const CELL: [&str; 3] = ["task", "input", "source"];

fn cell_of(batch: &RecordBatch, row: usize) -> Cell {
    let source = batch.column(2).as_string::<i32>();
    (
        batch.column(0).as_string::<i32>().value(row).to_owned(),
        batch.column(1).as_primitive::<UInt32Type>().value(row),
        source.is_valid(row).then(|| source.value(row).to_owned()),
    )
}

/// Runs a plan and hands over each of its rows.
async fn each_row(
    engine: &Engine,
    plan: DataFrame,
    mut each: impl FnMut(&RecordBatch, usize),
) -> Result<(), Error> {
    let mut stream = engine.stream(plan).await?;
    while let Some(batch) = stream.try_next().await? {
        (0..batch.num_rows()).for_each(|row| each(&batch, row));
    }
    Ok(())
}

fn integer(batch: &RecordBatch, column: usize, row: usize) -> u64 {
    batch
        .column(column)
        .as_primitive::<Int64Type>()
        .value(row)
        .unsigned_abs()
}

fn unsigned(batch: &RecordBatch, column: usize, row: usize) -> u64 {
    batch.column(column).as_primitive::<UInt64Type>().value(row)
}

async fn add_rows(
    engine: &Engine,
    rows: &DataFrame,
    cells: &mut BTreeMap<Cell, Sums>,
) -> Result<(), Error> {
    let media = ["images", "videos", "audios", "meshes"];
    let no_media = media
        .iter()
        .fold(lit(true), |none, name| none.and(col(*name).eq(lit(0_u32))));
    let mut keys = cell_and(&["label"]);
    keys.push(no_media.alias("text_only"));
    let mut sums = vec![
        count(lit(1_i64)).alias("rows"),
        count(col("criterion")).alias("criteria"),
    ];
    sums.extend(media.map(|name| sum(col(name)).alias(format!("all_{name}"))));
    let plan = rows.clone().aggregate(keys, sums)?;
    each_row(engine, plan, |batch, row| {
        let sums = cells.entry(cell_of(batch, row)).or_default();
        let count = integer(batch, 5, row);
        sums.rows += count;
        sums.with_criterion += integer(batch, 6, row);
        let labels = batch.column(3).as_string::<i32>();
        let label = labels.is_valid(row).then(|| labels.value(row));
        *match label {
            Some("first") => &mut sums.labels.first,
            Some("second") => &mut sums.labels.second,
            Some("tie") => &mut sums.labels.tie,
            _ => &mut sums.labels.none,
        } += count;
        sums.media.images += unsigned(batch, 7, row);
        sums.media.videos += unsigned(batch, 8, row);
        sums.media.audios += unsigned(batch, 9, row);
        sums.media.meshes += unsigned(batch, 10, row);
        if batch.column(4).as_boolean().value(row) {
            sums.media.text_only_rows += count;
        }
    })
    .await
}

/// The columns of a cell, and some more.
fn cell_and(more: &[&str]) -> Vec<Expr> {
    CELL.iter().chain(more).map(|name| col(*name)).collect()
}

/// What a row's group is called; groups are named within an input, and a row without one is a group of its own.
fn group(engine: &Engine) -> Expr {
    let cluster = engine.function("cluster");
    cluster.call(vec![col("group"), col("id")]).alias("cluster")
}

/// Groups, by how many different criteria each has.
async fn add_groups(
    engine: &Engine,
    rows: &DataFrame,
    cells: &mut BTreeMap<Cell, Sums>,
) -> Result<(), Error> {
    let mut columns = cell_and(&["criterion"]);
    columns.push(group(engine));
    let plan = rows
        .clone()
        .select(columns)?
        // Each criterion of a group once.
        .distinct()?
        .aggregate(
            cell_and(&["cluster"]),
            vec![count(col("criterion")).alias("criteria")],
        )?
        .aggregate(
            cell_and(&["criteria"]),
            vec![count(lit(1_i64)).alias("groups")],
        )?;
    each_row(engine, plan, |batch, row| {
        let sums = cells.entry(cell_of(batch, row)).or_default();
        let groups = integer(batch, 4, row);
        sums.groups += groups;
        *sums.criteria.entry(integer(batch, 3, row)).or_default() += groups;
    })
    .await
}

/// Groups in which two criteria prefer different ones of the same responses. A criterion that prefers now one, now the
/// other says nothing.
async fn add_opposites(
    engine: &Engine,
    rows: &DataFrame,
    cells: &mut BTreeMap<Cell, Sums>,
) -> Result<(), Error> {
    let scene = engine.function("scene").call(vec![col("pair")]);
    let preferred = engine.function("preferred");
    let preferred = preferred.call(vec![col("pair"), col("label")]);
    let mut columns = cell_and(&["criterion"]);
    columns.extend([
        group(engine),
        scene.alias("scene"),
        preferred.alias("preferred"),
    ]);
    let ends = |column: &str, names: [&str; 2]| {
        vec![
            min(col(column)).alias(names[0]),
            max(col(column)).alias(names[1]),
        ]
    };
    let plan = rows
        .clone()
        .filter(col("criterion").is_not_null())?
        .select(columns)?
        .filter(col("preferred").is_not_null())?
        .aggregate(
            cell_and(&["cluster", "scene", "criterion"]),
            ends("preferred", ["least", "most"]),
        )?
        .filter(col("least").eq(col("most")))?
        .aggregate(
            cell_and(&["cluster", "scene"]),
            ends("least", ["lower", "upper"]),
        )?
        .filter(col("lower").lt(col("upper")))?
        .select(cell_and(&["cluster"]))?
        .distinct()?
        .aggregate(cell_and(&[]), vec![count(lit(1_i64)).alias("groups")])?;
    each_row(engine, plan, |batch, row| {
        cells.entry(cell_of(batch, row)).or_default().opposite += integer(batch, 3, row);
    })
    .await
}

/// How often each number of words occurs in a column; texts without words are left out.
async fn add_words(
    engine: &Engine,
    rows: &DataFrame,
    index: usize,
    column: &str,
    cells: &mut BTreeMap<Cell, Sums>,
) -> Result<(), Error> {
    let mut columns = cell_and(&[]);
    columns.push(col(column).alias("text"));
    let texts = rows.clone().select(columns)?;
    let texts = if column == "responses" {
        texts.unnest_columns(&["text"])?
    } else {
        texts
    };
    let words = engine.function("word_count").call(vec![col("text")]);
    let mut counted = cell_and(&[]);
    counted.push(words.alias("words"));
    let plan = texts
        .select(counted)?
        .filter(col("words").gt(lit(0_u64)))?
        .aggregate(cell_and(&["words"]), vec![count(lit(1_i64)).alias("times")])?;
    each_row(engine, plan, |batch, row| {
        let sums = cells.entry(cell_of(batch, row)).or_default();
        *sums.words[index]
            .entry(unsigned(batch, 3, row))
            .or_default() += integer(batch, 4, row);
    })
    .await
}

async fn ratings(engine: &Engine, rows: &DataFrame) -> Result<Ratings, Error> {
    let raters = engine.function("raters").call(vec![col("pair")]);
    let plan = rows
        .clone()
        .select(vec![col("row"), raters.alias("raters")])?
        .filter(col("raters").is_not_null())?
        .sort(vec![col("row").sort(true, false)])?;
    let mut ratings = Ratings::default();
    each_row(engine, plan, |batch, row| {
        let text = batch.column(1).as_string::<i32>().value(row);
        if let Ok(record) = serde_json::from_str(text) {
            ratings.push(&record);
        }
    })
    .await?;
    Ok(ratings)
}
