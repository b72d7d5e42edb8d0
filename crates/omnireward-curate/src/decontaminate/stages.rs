use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
};

use datafusion::{
    arrow::{array::AsArray, datatypes::UInt64Type},
    prelude::{col, lit},
};
use futures::TryStreamExt;
use omnireward_core::Progress;
use serde_json::{Value, json};

use super::{
    Action, BenchmarkCounts, DecontaminateReport, DecontaminateSettings, OVERLAP_FIELD, PartCounts,
};
use crate::{
    Error,
    engine::Engine,
    near::{self, BUCKET_NEIGHBOURS, KeyFiles, MediaHashes, RowMedia, Unit, parts_alike},
    signature::text::{combined, mixed},
    table::{Fate, Input, MediaMode, RowName, TableConfig, WorkTable},
    work::{JsonLines, Work},
};

/// The sets to clean, and after them the benchmarks.
pub(super) struct Sets<'a> {
    pub(super) all: &'a [Input],
    pub(super) training: usize,
}

pub(super) struct Stages<'a> {
    engine: &'a Engine,
    work: &'a Work,
    settings: &'a DecontaminateSettings,
    /// Inputs before this are to be cleaned, the others are benchmarks.
    training: usize,
    table: WorkTable,
    files: Vec<PathBuf>,
    media: RowMedia,
    hashes: MediaHashes,
}

/// A part of a row, and the part of a benchmark that it is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Overlap {
    unit: Unit,
    with: Unit,
    is_exact: bool,
    similarity: f64,
}

/// Of each part and each benchmark, by its number, the likest counterpart.
type Likest = BTreeMap<(Unit, usize), Overlap>;

impl<'a> Stages<'a> {
    pub(super) async fn begin(
        engine: &'a Engine,
        sets: Sets<'_>,
        work: &'a Work,
        settings: &'a DecontaminateSettings,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let table =
            WorkTable::open_or_make(sets.all, &work.scratch("table"), settings.strict, progress)?;
        let folder = work.scratch_folder("hashes")?;
        let hashes = MediaHashes::open_or_make(engine, &table, &folder, progress).await?;
        Ok(Self {
            engine,
            work,
            settings,
            training: sets.training,
            files: table.files()?,
            media: RowMedia::new(table.uses()?),
            hashes,
            table,
        })
    }

    /// The first row of the benchmarks.
    fn border(&self) -> u64 {
        self.table.ingested.inputs[..self.training]
            .iter()
            .map(|input| input.rows)
            .sum()
    }

    /// The first row of each benchmark.
    fn borders(&self) -> Vec<u64> {
        let benchmarks = &self.table.ingested.inputs[self.training..];
        let starts = benchmarks.iter().scan(self.border(), |next, input| {
            let start = *next;
            *next += input.rows;
            Some(start)
        });
        starts.collect()
    }

    /// What touches a benchmark, in the order of rows, parts and benchmarks; of each part and benchmark, the likest
    /// counterpart.
    pub(super) async fn overlaps(&self, progress: &dyn Progress) -> Result<Vec<Overlap>, Error> {
        let (exact, near) = self.keys(progress).await?;
        let borders = self.borders();
        let benchmark_of = |unit: Unit| {
            borders
                .partition_point(|start| *start <= unit.row())
                .saturating_sub(1)
        };
        let mut found = Likest::new();
        let same = Meetings {
            stage: "same parts",
            files: &exact,
            // One of what is the same is as good as any other.
            most: 1,
        };
        for (unit, with) in self
            .meetings(&same, &borders, |_, _| true, progress)
            .await?
        {
            let overlap = Overlap {
                unit,
                with,
                is_exact: true,
                similarity: 1.0,
            };
            keep_best(&mut found, benchmark_of(with), overlap);
        }
        let similar = Meetings {
            stage: "similar parts",
            files: &near,
            most: BUCKET_NEIGHBOURS,
        };
        let is_open = |unit: Unit, with: Unit| !found.contains_key(&(unit, benchmark_of(with)));
        let candidates = self.meetings(&similar, &borders, is_open, progress).await?;
        for overlap in self.compared(&candidates, progress).await? {
            keep_best(&mut found, benchmark_of(overlap.with), overlap);
        }
        Ok(found.into_values().collect())
    }

    /// Parts of training rows and parts of benchmarks that share a key, in their order.
    async fn meetings(
        &self,
        meetings: &Meetings<'_>,
        borders: &[u64],
        wanted: impl Fn(Unit, Unit) -> bool,
        progress: &dyn Progress,
    ) -> Result<Vec<(Unit, Unit)>, Error> {
        let files = meetings.files;
        progress.begin(meetings.stage, Some(files.len() as u64));
        let borders: Vec<Unit> = borders.iter().map(|&row| Unit::text(row, 0)).collect();
        let mut found = Vec::new();
        for file in files {
            let met = near::meetings(self.engine, file, &borders, meetings.most, &wanted).await?;
            found.extend(met);
            progress.advance(1, "");
        }
        progress.end();
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The files of keys of what is exactly, and of what may be nearly, the same.
    async fn keys(&self, progress: &dyn Progress) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Error> {
        let folders = ["exact", "near"].map(|name| self.work.scratch(name));
        if let (Some(exact), Some(near)) = (
            KeyFiles::finished(&folders[0])?,
            KeyFiles::finished(&folders[1])?,
        ) {
            return Ok((exact, near));
        }
        let mut exact = KeyFiles::create(&folders[0])?;
        let mut near = KeyFiles::create(&folders[1])?;
        self.text_keys(&mut exact, &mut near, progress).await?;
        for (index, one) in self.indexed_media() {
            let unit = Unit::medium(one.row, index);
            exact.push(mixed(combined(2, self.hashes.identity(one.medium))), unit)?;
            for key in self.hashes.keys(one.medium, 0) {
                near.push(key, unit)?;
            }
        }
        Ok((exact.finish()?, near.finish()?))
    }

    async fn text_keys(
        &self,
        exact: &mut KeyFiles,
        near: &mut KeyFiles,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let text = self.settings.text;
        let numbers = [
            self.settings.least_words,
            text.shingle_words,
            text.bands,
            text.rows,
        ];
        let arguments = ["prompt", "responses"].map(col).into_iter();
        let arguments = arguments
            .chain(numbers.map(|value| lit(value as u64)))
            .collect();
        let call = self.engine.function("part_keys").call(arguments);
        let plan = self
            .engine
            .table(&self.files)
            .await?
            .select(vec![col("row"), call.alias("keys")])?;
        progress.begin("keys of texts", Some(self.table.ingested.rows()));
        let mut stream = self.engine.stream(plan).await?;
        while let Some(batch) = stream.try_next().await? {
            let rows = batch.column(0).as_primitive::<UInt64Type>();
            let lists = batch.column(1).as_list::<i32>();
            for (index, &row) in rows.values().iter().enumerate() {
                let list = lists.value(index);
                let parts = list
                    .as_primitive::<UInt64Type>()
                    .values()
                    .chunks(text.bands + 1);
                for (place, part) in parts
                    .enumerate()
                    .filter(|(_, part)| part.iter().any(|&key| key != 0))
                {
                    let unit = Unit::text(row, place);
                    exact.push(part[0], unit)?;
                    part[1..].iter().try_for_each(|&key| near.push(key, unit))?;
                }
            }
            progress.advance(batch.num_rows() as u64, "");
        }
        progress.end();
        Ok(())
    }

    /// Every use of a medium, with its index among its row's.
    fn indexed_media(&self) -> impl Iterator<Item = (usize, &crate::table::UseRow)> {
        let uses = self.media.all();
        uses.chunk_by(|a, b| a.row == b.row)
            .flat_map(|row| row.iter().enumerate())
    }

    /// Those candidates that are near.
    async fn compared(
        &self,
        candidates: &[(Unit, Unit)],
        progress: &dyn Progress,
    ) -> Result<Vec<Overlap>, Error> {
        let are_texts = |unit: Unit, with: Unit| unit.place().is_some() && with.place().is_some();
        let (texts, media): (Vec<_>, Vec<_>) = candidates
            .iter()
            .copied()
            .partition(|&(unit, with)| are_texts(unit, with));
        let scratch = self.work.scratch_folder("compared")?;
        let words = self.settings.text.shingle_words;
        let similarities =
            parts_alike(self.engine, &self.files, &texts, words, &scratch, progress).await?;
        let texts = texts
            .into_iter()
            .zip(similarities)
            .filter(|(_, similarity)| *similarity >= self.settings.threshold);
        let media = media
            .into_iter()
            .filter(|(unit, with)| unit.place().is_none() && with.place().is_none())
            .map(|(unit, with)| ((unit, with), self.media_similarity(unit, with)))
            .filter(|(_, similarity)| *similarity > 0.0);
        Ok(texts
            .chain(media)
            .map(|((unit, with), similarity)| Overlap {
                unit,
                with,
                is_exact: false,
                similarity,
            })
            .collect())
    }

    fn media_similarity(&self, unit: Unit, with: Unit) -> f64 {
        let medium = |unit: Unit| self.media.of(unit.row())[unit.index()].medium;
        self.hashes.similarity(medium(unit), medium(with))
    }

    pub(super) fn write(
        &self,
        overlaps: &[Overlap],
        media: MediaMode,
        progress: &dyn Progress,
    ) -> Result<DecontaminateReport, Error> {
        let results = self.work.fresh_folder("results")?;
        let rows = overlaps
            .iter()
            .flat_map(|overlap| [overlap.unit.row(), overlap.with.row()]);
        let names = self.table.names(&rows.collect())?;
        let mut report = self.report(overlaps, &names);
        let mut by_row: HashMap<u64, Vec<Value>> = HashMap::new();
        let mut log = JsonLines::create(&results.join("overlaps.jsonl"))?;
        for overlap in overlaps {
            let described = self.described(overlap, &names);
            log.line(
                &json!({"row": self.named(overlap.unit.row(), &names), "overlap": described}),
            )?;
            by_row
                .entry(overlap.unit.row())
                .or_default()
                .push(described);
        }
        log.finish()?;
        let config = TableConfig {
            media,
            ..TableConfig::default()
        };
        let written =
            self.table
                .copy(&results, config, self.border(), progress, |row, _| {
                    match (by_row.remove(&row), self.settings.action) {
                        (None, _) => Fate::Keep,
                        (Some(_), Action::Remove) => Fate::Drop,
                        (Some(overlaps), Action::Flag) => {
                            Fate::KeepWith(OVERLAP_FIELD, Value::Array(overlaps))
                        }
                    }
                })?;
        report.kept = written.rows;
        report.missing_media = written.missing_media;
        self.table.copy_faults(&results, &self.hashes)?;
        self.work.finish(&results, &report)?;
        Ok(report)
    }

    fn named(&self, row: u64, names: &HashMap<u64, RowName>) -> Value {
        let name = &names[&row];
        json!({"input": self.table.ingested.inputs[name.input].name, "id": name.id})
    }

    fn described(&self, overlap: &Overlap, names: &HashMap<u64, RowName>) -> Value {
        json!({
            "part": self.part(overlap.unit),
            "benchmark": self.named(overlap.with.row(), names),
            "benchmark_part": self.part(overlap.with),
            "evidence": if overlap.is_exact { "exact" } else { "near" },
            "similarity": overlap.similarity,
        })
    }

    /// A part in words: `prompt`, `response 1`, `image of the prompt`, `video of response 2`.
    fn part(&self, unit: Unit) -> String {
        let placed = |place: usize| match place {
            0 => "prompt".to_owned(),
            response => format!("response {response}"),
        };
        if let Some(place) = unit.place() {
            return placed(place);
        }
        let one = &self.media.of(unit.row())[unit.index()];
        let modality = self
            .hashes
            .modality(one.medium)
            .map_or("medium", omnireward_core::Modality::name);
        format!("{modality} of {}", placed(one.place as usize))
    }

    fn report(&self, overlaps: &[Overlap], names: &HashMap<u64, RowName>) -> DecontaminateReport {
        let inputs = &self.table.ingested.inputs;
        let (training, benchmarks) = inputs.split_at(self.training);
        let touching: BTreeSet<u64> = overlaps.iter().map(|overlap| overlap.unit.row()).collect();
        let mut touching_by_input = vec![0; training.len()];
        for row in &touching {
            touching_by_input[names[row].input] += 1;
        }
        let of = |index: usize| {
            overlaps
                .iter()
                .filter(move |overlap| names[&overlap.with.row()].input == index + self.training)
        };
        let benchmarks = benchmarks
            .iter()
            .enumerate()
            .map(|(index, input)| BenchmarkCounts {
                input: input.clone(),
                touched_by: distinct(of(index).map(|overlap| overlap.unit.row())),
                touched: distinct(of(index).map(|overlap| overlap.with.row())),
            });
        DecontaminateReport {
            settings: *self.settings,
            inputs: training.to_vec(),
            benchmarks: benchmarks.collect(),
            rows: self.border(),
            touching: touching.len() as u64,
            touching_by_input,
            kept: 0,
            parts: self.part_counts(overlaps),
            unread_media: self.hashes.faults().count() as u64,
            missing_media: 0,
        }
    }

    fn part_counts(&self, overlaps: &[Overlap]) -> PartCounts {
        let is_prompt = |unit: Unit| match unit.place() {
            Some(place) => place == 0,
            None => self.media.of(unit.row())[unit.index()].place == 0,
        };
        let rows = |of_text: bool, of_prompt: bool| {
            let units = overlaps.iter().map(|overlap| overlap.unit);
            let wanted = units
                .filter(|&unit| unit.place().is_some() == of_text && is_prompt(unit) == of_prompt);
            distinct(wanted.map(Unit::row))
        };
        PartCounts {
            prompt: rows(true, true),
            response: rows(true, false),
            prompt_media: rows(false, true),
            response_media: rows(false, false),
        }
    }
}

/// Which parts to bring together.
struct Meetings<'a> {
    stage: &'static str,
    /// The files of their keys.
    files: &'a [PathBuf],
    /// The most counterparts that a part gets from one benchmark by one key.
    most: usize,
}

fn distinct(rows: impl Iterator<Item = u64>) -> u64 {
    rows.collect::<BTreeSet<u64>>().len() as u64
}

/// Of several counterparts of a part in one benchmark, the likest is told, and the first of equals.
fn keep_best(found: &mut Likest, benchmark: usize, overlap: Overlap) {
    let kept = found.entry((overlap.unit, benchmark)).or_insert(overlap);
    if overlap.similarity > kept.similarity {
        *kept = overlap;
    }
}
