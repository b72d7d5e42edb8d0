use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use datafusion::{
    arrow::{
        array::{AsArray, RecordBatch},
        datatypes::UInt64Type,
    },
    dataframe::DataFrame,
    prelude::{Expr, col, lit},
};
use futures::TryStreamExt;
use omnireward_core::Progress;
use serde_json::{Value, json};

use super::{DedupReport, DedupSettings, InputCounts, labels::Labels};
use crate::{
    Error,
    engine::Engine,
    near::{
        BUCKET_NEIGHBOURS, Clusters, KeyFiles, MediaHashes, RowMedia, Unit, groups, rows_alike,
    },
    signature::text::{combined, mixed},
    table::{Fate, Input, MediaMode, TableConfig, WorkTable},
    work::{JsonLines, Work},
};

/// Everything that the stages share.
pub(super) struct Stages<'a> {
    engine: &'a Engine,
    work: &'a Work,
    settings: &'a DedupSettings,
    table: WorkTable,
    files: Vec<PathBuf>,
    media: RowMedia,
    hashes: MediaHashes,
}

/// Why a row is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Evidence {
    /// The row that it is like.
    with: u64,
    is_exact: bool,
    text: f64,
    media: Option<f64>,
}

/// The rows to leave out, each with the row that is kept in its place and the evidence.
pub(super) struct Duplicates {
    rows: BTreeMap<u64, (u64, Evidence)>,
    compared: u64,
}

impl<'a> Stages<'a> {
    pub(super) async fn begin(
        engine: &'a Engine,
        inputs: &[Input],
        work: &'a Work,
        settings: &'a DedupSettings,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let table =
            WorkTable::open_or_make(inputs, &work.scratch("table"), settings.strict, progress)?;
        let folder = work.scratch_folder("hashes")?;
        let hashes = MediaHashes::open_or_make(engine, &table, &folder, progress).await?;
        Ok(Self {
            engine,
            work,
            settings,
            files: table.files()?,
            media: RowMedia::new(table.uses()?),
            hashes,
            table,
        })
    }

    pub(super) async fn duplicates(&self, progress: &dyn Progress) -> Result<Duplicates, Error> {
        let mut clusters = Clusters::new(self.table.ingested.rows());
        let mut found = self.exact(&mut clusters, progress).await?;
        let mut compared = 0;
        if self.settings.near {
            let candidates = self.candidates(&found, progress).await?;
            compared = candidates.len() as u64;
            for (row, evidence) in self.compared(&candidates, progress).await? {
                clusters.join(row, evidence.with);
                let back = Evidence {
                    with: row,
                    ..evidence
                };
                keep_best(&mut found, row, evidence);
                keep_best(&mut found, evidence.with, back);
            }
        }
        let rows = found
            .into_iter()
            .map(|(row, evidence)| (row, (clusters.first(row), evidence)))
            .filter(|(row, (first, _))| row != first)
            .collect();
        Ok(Duplicates { rows, compared })
    }

    /// Rows that are exactly like one before them.
    async fn exact(
        &self,
        clusters: &mut Clusters,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<u64, Evidence>, Error> {
        let mut found = BTreeMap::new();
        let files = self.exact_keys(progress).await?;
        progress.begin("exact duplicates", Some(files.len() as u64));
        for file in &files {
            groups(self.engine, file, |units| {
                let Some((first, others)) = units.split_first() else {
                    return Ok(());
                };
                for other in others {
                    clusters.join(first.row(), other.row());
                    let evidence = Evidence {
                        with: first.row(),
                        is_exact: true,
                        text: 1.0,
                        media: (!self.media.of(other.row()).is_empty()).then_some(1.0),
                    };
                    found.insert(other.row(), evidence);
                }
                Ok(())
            })
            .await?;
            progress.advance(1, "");
        }
        progress.end();
        Ok(found)
    }

    async fn exact_keys(&self, progress: &dyn Progress) -> Result<Vec<PathBuf>, Error> {
        let arguments = ["task", "criterion", "prompt", "responses"]
            .map(col)
            .to_vec();
        let call = self.engine.function("row_exact").call(arguments);
        self.keys("exact", call, progress, |batch, keys| {
            let rows = batch.column(0).as_primitive::<UInt64Type>();
            let hashes = batch.column(1).as_primitive::<UInt64Type>();
            for (&row, &hash) in rows.values().iter().zip(hashes.values()) {
                keys.push(self.with_media(row, hash), Unit::text(row, 0))?;
            }
            Ok(())
        })
        .await
    }

    /// A hash of a row's texts, and the content of its media: prompt and responses apart, responses in any order.
    fn with_media(&self, row: u64, hash: u64) -> u64 {
        let mut media: Vec<(bool, u64)> = self
            .media
            .of(row)
            .iter()
            .map(|one| (one.place > 0, self.hashes.identity(one.medium)))
            .collect();
        media.sort_unstable();
        let folded = media.into_iter().fold(hash, |hash, (place, medium)| {
            combined(combined(hash, u64::from(place)), medium)
        });
        mixed(folded)
    }

    /// Rows that may be near duplicates, each pair once, the earlier row first.
    async fn candidates(
        &self,
        exact: &BTreeMap<u64, Evidence>,
        progress: &dyn Progress,
    ) -> Result<Vec<(u64, u64)>, Error> {
        let files = self.near_keys(progress).await?;
        progress.begin("candidates", Some(files.len() as u64));
        let mut candidates = Vec::new();
        for file in &files {
            groups(self.engine, file, |units| {
                let rows: Vec<u64> = units
                    .iter()
                    .map(|unit| unit.row())
                    .filter(|row| !exact.contains_key(row))
                    .collect();
                for (index, &row) in rows.iter().enumerate() {
                    let before = &rows[index.saturating_sub(BUCKET_NEIGHBOURS)..index];
                    candidates.extend(
                        before
                            .iter()
                            .filter(|other| **other < row)
                            .map(|&other| (other, row)),
                    );
                }
                Ok(())
            })
            .await?;
            // What many bands agree on comes many times.
            candidates.sort_unstable();
            candidates.dedup();
            progress.advance(1, "");
        }
        progress.end();
        Ok(candidates)
    }

    async fn near_keys(&self, progress: &dyn Progress) -> Result<Vec<PathBuf>, Error> {
        let text = self.settings.text;
        let settings = [text.shingle_words, text.bands, text.rows].map(|value| lit(value as u64));
        let arguments = ["task", "criterion", "prompt", "responses"].map(col);
        let call = self
            .engine
            .function("row_keys")
            .call(arguments.into_iter().chain(settings).collect());
        self.keys("near", call, progress, |batch, keys| {
            let rows = batch.column(0).as_primitive::<UInt64Type>();
            let lists = batch.column(1).as_list::<i32>();
            for (index, &row) in rows.values().iter().enumerate() {
                let list = lists.value(index);
                let (domain, bands) = list
                    .as_primitive::<UInt64Type>()
                    .values()
                    .split_first()
                    .expect("the list begins with the domain");
                self.push_near(row, *domain, bands, keys)?;
            }
            Ok(())
        })
        .await
    }

    fn push_near(
        &self,
        row: u64,
        domain: u64,
        bands: &[u64],
        keys: &mut KeyFiles,
    ) -> Result<(), Error> {
        let mut media = self
            .media
            .of(row)
            .iter()
            .filter(|one| one.place > 0)
            .peekable();
        if media.peek().is_none() {
            return bands
                .iter()
                .try_for_each(|&key| keys.push(key, Unit::text(row, 0)));
        }
        // Both responses may hold a medium with the same key.
        let mut of_media: Vec<u64> = media
            .flat_map(|one| self.hashes.keys(one.medium, domain))
            .collect();
        of_media.sort_unstable();
        of_media.dedup();
        of_media
            .into_iter()
            .try_for_each(|key| keys.push(key, Unit::text(row, 0)))
    }

    /// The key files of a name, made by a function over all rows unless they are there.
    async fn keys(
        &self,
        name: &str,
        call: Expr,
        progress: &dyn Progress,
        mut push: impl FnMut(&RecordBatch, &mut KeyFiles) -> Result<(), Error>,
    ) -> Result<Vec<PathBuf>, Error> {
        let folder = self.work.scratch(name);
        if let Some(files) = KeyFiles::finished(&folder)? {
            return Ok(files);
        }
        let mut keys = KeyFiles::create(&folder)?;
        progress.begin(&format!("{name} keys"), Some(self.table.ingested.rows()));
        let plan: DataFrame = self
            .engine
            .table(&self.files)
            .await?
            .select(vec![col("row"), call.alias("keys")])?;
        let mut stream = self.engine.stream(plan).await?;
        while let Some(batch) = stream.try_next().await? {
            push(&batch, &mut keys)?;
            progress.advance(batch.num_rows() as u64, "");
        }
        progress.end();
        keys.finish()
    }

    /// The candidates that are near duplicates: the later row, and the evidence.
    async fn compared(
        &self,
        candidates: &[(u64, u64)],
        progress: &dyn Progress,
    ) -> Result<Vec<(u64, Evidence)>, Error> {
        // Media are compared first: it costs a few instructions.
        let media: Vec<(u64, u64, Option<f64>)> = candidates
            .iter()
            .map(|&(first, second)| {
                (
                    first,
                    second,
                    self.media.similarity(first, second, &self.hashes),
                )
            })
            .filter(|(_, _, similarity)| similarity.is_none_or(|similarity| similarity > 0.0))
            .collect();
        let rows: Vec<(u64, u64)> = media
            .iter()
            .map(|&(first, second, _)| (first, second))
            .collect();
        let scratch = self.work.scratch_folder("compared")?;
        let words = self.settings.text.shingle_words;
        let texts = rows_alike(self.engine, &self.files, &rows, words, &scratch, progress).await?;
        let alike = media
            .into_iter()
            .zip(texts)
            .filter(|(_, text)| *text >= self.settings.threshold);
        Ok(alike
            .map(|((first, second, media), text)| {
                let evidence = Evidence {
                    with: first,
                    is_exact: false,
                    text,
                    media,
                };
                (second, evidence)
            })
            .collect())
    }

    pub(super) fn write(
        &self,
        duplicates: &Duplicates,
        media: MediaMode,
        progress: &dyn Progress,
    ) -> Result<DedupReport, Error> {
        let results = self.work.fresh_folder("results")?;
        let config = TableConfig {
            media,
            ..TableConfig::default()
        };
        let mut report = self.report(duplicates);
        let end = self.table.ingested.rows();
        let written = self
            .table
            .copy(&results, config, end, progress, |row, input| {
                let counts = &mut report.counts[input];
                counts.rows += 1;
                let duplicate = duplicates.rows.get(&row);
                match duplicate {
                    None => counts.kept += 1,
                    Some((_, evidence)) if evidence.is_exact => counts.exact += 1,
                    Some(_) => counts.near += 1,
                }
                if duplicate.is_none() {
                    Fate::Keep
                } else {
                    Fate::Drop
                }
            })?;
        report.kept = written.rows;
        report.missing_media = written.missing_media;
        report.exact = report.counts.iter().map(|counts| counts.exact).sum();
        report.near = report.counts.iter().map(|counts| counts.near).sum();
        report.other_label = self.log(duplicates, &results.join("dropped.jsonl"))?;
        self.table.copy_faults(&results, &self.hashes)?;
        self.work.finish(&results, &report)?;
        Ok(report)
    }

    fn report(&self, duplicates: &Duplicates) -> DedupReport {
        let mut sizes = BTreeMap::new();
        for (first, _) in duplicates.rows.values() {
            *sizes.entry(*first).or_insert(1_u64) += 1;
        }
        let inputs = &self.table.ingested.inputs;
        let counts = inputs.iter().map(|input| InputCounts {
            name: input.name.clone(),
            ..InputCounts::default()
        });
        DedupReport {
            settings: *self.settings,
            inputs: inputs.clone(),
            counts: counts.collect(),
            rows: self.table.ingested.rows(),
            kept: 0,
            exact: 0,
            near: 0,
            other_label: 0,
            clusters: sizes.len() as u64,
            largest_cluster: sizes.values().copied().max().unwrap_or(1),
            compared: duplicates.compared,
            unread_media: self.hashes.faults().count() as u64,
            missing_media: 0,
        }
    }

    /// Writes a line for each row that is left out, and returns how many of them have another label than the row kept.
    fn log(&self, duplicates: &Duplicates, path: &Path) -> Result<u64, Error> {
        let dropped = duplicates.rows.iter();
        let wanted: BTreeSet<u64> = dropped
            .clone()
            .flat_map(|(&row, &(first, evidence))| [row, first, evidence.with])
            .collect();
        let names = self.table.names(&wanted)?;
        let labels = Labels::read(&self.table, &wanted, &self.media, &self.hashes)?;
        let named = |row: u64| -> Value {
            let name = &names[&row];
            json!({"input": self.table.ingested.inputs[name.input].name, "id": name.id})
        };
        let mut log = JsonLines::create(path)?;
        let mut other_label = 0;
        for (&row, &(first, evidence)) in dropped {
            let [label, kept_label] = [labels.as_ordered(row, first), labels.of(first)];
            other_label += u64::from(label != kept_label);
            log.line(&json!({
                "row": named(row),
                "kept": named(first),
                "like": named(evidence.with),
                "evidence": if evidence.is_exact { "exact" } else { "near" },
                "text": evidence.text,
                "media": evidence.media,
                "label": label,
                "kept_label": kept_label,
            }))?;
        }
        log.finish()?;
        Ok(other_label)
    }
}

/// Of several reasons to leave a row out, the strongest is told, and that of the earliest row among equals.
fn keep_best(found: &mut BTreeMap<u64, Evidence>, row: u64, evidence: Evidence) {
    let strength = |evidence: &Evidence| {
        (
            evidence.is_exact,
            evidence.text,
            evidence.media.unwrap_or(1.0),
        )
    };
    let kept = found.entry(row).or_insert(evidence);
    if strength(&evidence) > strength(kept) {
        *kept = evidence;
    }
}
