//! Hashes of all media of a table, and how alike the media of two rows are.

use std::path::{Path, PathBuf};

use datafusion::{
    arrow::{
        array::{
            Array, ArrayRef, AsArray, ListBuilder, RecordBatch, StringArray, StringBuilder,
            UInt64Builder,
        },
        datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type},
    },
    prelude::{col, lit},
};
use futures::TryStreamExt;
use omnireward_core::{Modality, Progress};

use crate::{
    Error,
    engine::{Engine, modality_named},
    signature,
    signature::text::{combined, mixed},
    table::{ParquetFile, UseRow, WorkTable, batches},
};

/// Media that are hashed between two marks of progress that survive being stopped.
const CHUNK: u64 = 1024;

/// A medium, hashed.
#[derive(Clone, Debug, Default, PartialEq)]
struct Hashed {
    modality: Option<Modality>,
    sha256: Option<String>,
    words: Vec<u64>,
    fault: Option<String>,
}

/// All media of a table, by number.
#[derive(Debug, Default)]
pub(crate) struct MediaHashes {
    media: Vec<Hashed>,
}

impl MediaHashes {
    /// Hashes what was not hashed before.
    pub(crate) async fn open_or_make(
        engine: &Engine,
        table: &WorkTable,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let Some(file) = table.media_file() else {
            return Ok(Self::default());
        };
        let modalities = modalities(&file)?;
        let count = modalities.len() as u64;
        progress.begin("hashing media", Some(count));
        let mut hashes = Self::default();
        for start in (0..count).step_by(CHUNK as usize) {
            let path = folder.join(format!("hashes-{:06}.parquet", start / CHUNK));
            if !path.exists() {
                hash_chunk(engine, &file, start, &path).await?;
            }
            hashes.load(&path)?;
            progress.advance(CHUNK.min(count - start), "");
        }
        progress.end();
        for (hashed, modality) in hashes.media.iter_mut().zip(modalities) {
            hashed.modality = modality;
        }
        Ok(hashes)
    }

    fn load(&mut self, path: &Path) -> Result<(), Error> {
        for batch in batches(path)? {
            self.media.extend(hashed_rows(batch?.columns()));
        }
        Ok(())
    }

    /// Media that could not be hashed, by number, and why.
    pub(crate) fn faults(&self) -> impl Iterator<Item = (u64, &str)> {
        let media = self.media.iter().enumerate();
        media.filter_map(|(number, hashed)| Some((number as u64, hashed.fault.as_deref()?)))
    }

    /// How alike two media are: 1 for the same bytes, 0 for what is not near, or cannot be compared.
    pub(crate) fn similarity(&self, first: u64, second: u64) -> f64 {
        let [a, b] = [first, second].map(|number| &self.media[number as usize]);
        if first == second || a.sha256.is_some() && a.sha256 == b.sha256 {
            return 1.0;
        }
        let same_kind = a.modality.filter(|modality| Some(*modality) == b.modality);
        let Some(signature) = same_kind.and_then(signature::of_modality) else {
            return 0.0;
        };
        if a.words.is_empty() || b.words.is_empty() {
            return 0.0;
        }
        let similarity = signature.similarity(&a.words, &b.words);
        if similarity >= signature.threshold() {
            similarity
        } else {
            0.0
        }
    }

    /// What a medium is looked up by; media that are never compared share no key.
    pub(crate) fn keys(&self, number: u64, domain: u64) -> Vec<u64> {
        let hashed = &self.media[number as usize];
        let signature = hashed.modality.and_then(signature::of_modality);
        let Some((modality, signature)) = hashed
            .modality
            .zip(signature)
            .filter(|_| !hashed.words.is_empty())
        else {
            return Vec::new();
        };
        let domain = combined(domain, 1 + modality as u64);
        let keys = signature.keys(&hashed.words).into_iter();
        keys.map(|key| mixed(combined(domain, key))).collect()
    }

    /// A number for the content of a medium: the same for the same bytes.
    pub(crate) fn identity(&self, number: u64) -> u64 {
        let hash = self.media[number as usize].sha256.as_deref();
        let prefix = hash.and_then(|hash| u64::from_str_radix(hash.get(..16)?, 16).ok());
        prefix.unwrap_or_else(|| mixed(combined(1, number)))
    }

    /// What the medium is.
    pub(crate) fn modality(&self, number: u64) -> Option<Modality> {
        self.media[number as usize].modality
    }
}

fn modalities(file: &Path) -> Result<Vec<Option<Modality>>, Error> {
    let mut modalities = Vec::new();
    for batch in batches(file)? {
        let batch = batch?;
        let names = batch.column(1).as_string::<i32>();
        modalities.extend(names.iter().map(|name| name.and_then(modality_named)));
    }
    Ok(modalities)
}

async fn hash_chunk(engine: &Engine, file: &PathBuf, start: u64, to: &Path) -> Result<(), Error> {
    let in_chunk = col("medium")
        .gt_eq(lit(start))
        .and(col("medium").lt(lit(start + CHUNK)));
    let hash = engine
        .function("media_hash")
        .call(vec![col("modality"), col("path")]);
    let plan = engine
        .table(std::slice::from_ref(file))
        .await?
        .filter(in_chunk)?
        .select(vec![col("medium"), hash.alias("hash")])?;
    let mut rows = Vec::new();
    let mut stream = engine.stream(plan).await?;
    while let Some(batch) = stream.try_next().await? {
        let media = batch.column(0).as_primitive::<UInt64Type>().values();
        let hashes = hashed_rows(batch.column(1).as_struct().columns());
        rows.extend(media.iter().copied().zip(hashes));
    }
    rows.sort_unstable_by_key(|(medium, _)| *medium);
    write_hashes(to, rows.into_iter().map(|(_, hashed)| hashed))
}

/// The media in three columns: the hash of the bytes, the words of the signature, and why there is none.
fn hashed_rows(columns: &[ArrayRef]) -> Vec<Hashed> {
    let [hashes, faults] = [0, 2].map(|index| columns[index].as_string::<i32>());
    let words = columns[1].as_list::<i32>();
    let text =
        |column: &StringArray, row| column.is_valid(row).then(|| column.value(row).to_owned());
    (0..words.len())
        .map(|row| Hashed {
            modality: None,
            sha256: text(hashes, row),
            words: words
                .value(row)
                .as_primitive::<UInt64Type>()
                .values()
                .to_vec(),
            fault: text(faults, row),
        })
        .collect()
}

fn write_hashes(to: &Path, rows: impl Iterator<Item = Hashed>) -> Result<(), Error> {
    let (mut hashes, mut faults) = (StringBuilder::new(), StringBuilder::new());
    let mut words = ListBuilder::new(UInt64Builder::new());
    for row in rows {
        hashes.append_option(row.sha256);
        words.values().append_slice(&row.words);
        words.append(true);
        faults.append_option(row.fault);
    }
    let columns: Vec<ArrayRef> = vec![
        std::sync::Arc::new(hashes.finish()),
        std::sync::Arc::new(words.finish()),
        std::sync::Arc::new(faults.finish()),
    ];
    let schema = schema();
    let batch = RecordBatch::try_new(schema.clone(), columns).expect("every medium has a row");
    let mut file = ParquetFile::create(to, schema)?;
    file.write(&batch)?;
    file.finish().map(|_| ())
}

fn schema() -> SchemaRef {
    let words = DataType::List(std::sync::Arc::new(Field::new_list_field(
        DataType::UInt64,
        true,
    )));
    std::sync::Arc::new(Schema::new(vec![
        Field::new("sha256", DataType::Utf8, true),
        Field::new("words", words, false),
        Field::new("fault", DataType::Utf8, true),
    ]))
}

/// Which media the rows have.
#[derive(Debug, Default)]
pub(crate) struct RowMedia {
    /// In the order of rows.
    uses: Vec<UseRow>,
}

impl RowMedia {
    pub(crate) fn new(uses: Vec<UseRow>) -> Self {
        Self { uses }
    }

    pub(crate) fn of(&self, row: u64) -> &[UseRow] {
        let start = self.uses.partition_point(|one| one.row < row);
        let length = self.uses[start..].partition_point(|one| one.row == row);
        &self.uses[start..start + length]
    }

    /// Every use, in the order of rows.
    pub(crate) fn all(&self) -> &[UseRow] {
        &self.uses
    }

    /// How alike the media of two rows are: the least similarity of any to the one most like it; 0 where one has no
    /// counterpart that is near; `None` when there are none. Media of a prompt are compared with those of the prompt, and
    /// media of responses with those of responses in any order.
    pub(crate) fn similarity(&self, first: u64, second: u64, hashes: &MediaHashes) -> Option<f64> {
        let [a, b] = [first, second].map(|row| self.of(row));
        if a.is_empty() && b.is_empty() {
            return None;
        }
        if a.len() != b.len() {
            return Some(0.0);
        }
        let best = |one: &UseRow, others: &[UseRow]| {
            let comparable = others
                .iter()
                .filter(|other| (other.place == 0) == (one.place == 0));
            comparable
                .map(|other| hashes.similarity(one.medium, other.medium))
                .fold(0.0, f64::max)
        };
        let there = a.iter().map(|one| best(one, b));
        let back = b.iter().map(|one| best(one, a));
        Some(there.chain(back).fold(1.0, f64::min))
    }
}
