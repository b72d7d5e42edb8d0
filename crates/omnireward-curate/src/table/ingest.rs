//! Turning pairs of any known format into a table to work on.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::arrow::{
    array::{ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array, UInt64Array},
    datatypes::{DataType, Field, Schema, UInt32Type, UInt64Type},
};
use datafusion::parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use omnireward_core::{MediaRef, MediaSource, PreferencePair, Progress, error_chain};
use omnireward_data::OpenOptions;
use serde::{Deserialize, Serialize};

use super::{
    columns::media_parts,
    media::{MediaMode, StoredMedium},
    writer::{ParquetFile, TableConfig, TableWriter, files_in, parquet, whole_file},
};
use crate::{
    Error,
    near::{MOST_PARTS, MediaHashes},
};

/// A set of pairs to read.
#[derive(Clone, Debug)]
pub struct Input {
    /// What reports call it.
    pub name: String,
    /// A file or folder in a known format.
    pub path: PathBuf,
    /// How it is read.
    pub options: OpenOptions,
}

impl Input {
    /// An input in a format that is recognised. It is called as its file or folder; `pairs.jsonl`, the file that every folder
    /// of pairs has, as its folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let folder = path.parent().and_then(Path::file_name);
        let folder = folder.filter(|_| path.ends_with("pairs.jsonl"));
        let name = folder.or_else(|| path.file_stem()).map_or_else(
            || path.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        );
        Self {
            name,
            path,
            options: OpenOptions::default(),
        }
    }
}

/// What was read of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSummary {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub path: String,
    /// Its format.
    pub format: String,
    /// Pairs that were read.
    pub rows: u64,
    /// Records that could not be read; each is in `faults.jsonl`.
    pub bad_rows: u64,
}

/// What was read of all inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingested {
    /// The inputs, in the order they were named in.
    pub inputs: Vec<InputSummary>,
}

impl Ingested {
    /// All pairs.
    pub fn rows(&self) -> u64 {
        self.inputs.iter().map(|input| input.rows).sum()
    }
}

/// A table to work on, with the media of its rows.
#[derive(Clone, Debug)]
pub(crate) struct WorkTable {
    folder: PathBuf,
    pub(crate) ingested: Ingested,
}

/// A medium in a row: place 0 is the prompt, 1 the first response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UseRow {
    pub(crate) row: u64,
    pub(crate) place: u32,
    pub(crate) medium: u64,
}

impl WorkTable {
    /// Reads all inputs into `folder`, or takes what is there.
    pub(crate) fn open_or_make(
        inputs: &[Input],
        folder: &Path,
        strict: bool,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let mark = folder.join("ingested.json");
        if let Ok(text) = fs::read_to_string(&mark) {
            let ingested = serde_json::from_str(&text).map_err(|error| Error::Damaged {
                path: mark,
                reason: error.to_string(),
            })?;
            return Ok(Self {
                folder: folder.to_owned(),
                ingested,
            });
        }
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(Error::writing(folder))?;
        }
        let ingested = Ingest::begin(folder)?.run(inputs, strict, progress)?;
        let text = serde_json::to_vec_pretty(&ingested).expect("a summary is JSON");
        whole_file(&mark, &text)?;
        Ok(Self {
            folder: folder.to_owned(),
            ingested,
        })
    }

    /// The files with the rows, in their order.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, Error> {
        files_in(&self.folder.join("rows"))
    }

    /// The file of all media; `None` when there are none.
    pub(crate) fn media_file(&self) -> Option<PathBuf> {
        Some(self.folder.join("media.parquet")).filter(|file| file.exists())
    }

    /// Writes `faults.jsonl` to a folder: records that could not be read, and media that could not be hashed.
    pub(crate) fn copy_faults(&self, folder: &Path, hashes: &MediaHashes) -> Result<(), Error> {
        let mut text = self.faults()?;
        let paths = self.media_paths()?;
        for (medium, fault) in hashes.faults() {
            let line = serde_json::json!({"medium": paths[medium as usize], "fault": fault});
            text += &line.to_string();
            text.push('\n');
        }
        whole_file(&folder.join("faults.jsonl"), text.as_bytes())
    }

    /// Records that could not be read, a JSON object a line.
    pub(crate) fn faults(&self) -> Result<String, Error> {
        let path = self.folder.join("faults.jsonl");
        fs::read_to_string(&path).map_err(Error::reading(&path))
    }

    fn media_paths(&self) -> Result<Vec<Option<String>>, Error> {
        let mut paths = Vec::new();
        for batch in self
            .media_file()
            .map(|file| batches(&file))
            .transpose()?
            .into_iter()
            .flatten()
        {
            let batch = batch?;
            let column = batch.column(2).as_string::<i32>();
            paths.extend(column.iter().map(|path| path.map(str::to_owned)));
        }
        Ok(paths)
    }

    /// Which row has which media, in the order of the rows.
    pub(crate) fn uses(&self) -> Result<Vec<UseRow>, Error> {
        let file = self.folder.join("uses.parquet");
        if !file.exists() {
            return Ok(Vec::new());
        }
        let mut uses = Vec::new();
        for batch in batches(&file)? {
            let batch = batch?;
            let [rows, media] =
                [0, 2].map(|index| batch.column(index).as_primitive::<UInt64Type>());
            let places = batch.column(1).as_primitive::<UInt32Type>();
            let placed = rows
                .values()
                .iter()
                .zip(places.values())
                .zip(media.values());
            uses.extend(placed.map(|((&row, &place), &medium)| UseRow { row, place, medium }));
        }
        Ok(uses)
    }
}

/// The batches of a file that was written here.
pub(crate) fn batches(file: &Path) -> Result<Batches, Error> {
    batches_of(file, None)
}

/// The batches of a file that was written here, with these columns alone.
pub(crate) fn batches_of(file: &Path, columns: Option<&[&str]>) -> Result<Batches, Error> {
    let opened = File::open(file).map_err(Error::reading(file))?;
    let build = || {
        let mut builder = ParquetRecordBatchReaderBuilder::try_new(opened)?.with_batch_size(4096);
        if let Some(columns) = columns {
            let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
            builder = builder.with_projection(mask);
        }
        builder.build()
    };
    let reader = build().map_err(parquet(file))?;
    let path = file.to_owned();
    Ok(Box::new(reader.map(move |batch| {
        batch.map_err(|error| parquet(&path)(error.into()))
    })))
}

/// The rows of a file, and the bytes that some of its columns take in memory.
pub(crate) fn size_of(file: &Path, columns: &[&str]) -> Result<(u64, u64), Error> {
    let opened = File::open(file).map_err(Error::reading(file))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(parquet(file))?;
    let metadata = builder.metadata();
    let groups = metadata.row_groups().iter();
    let bytes = groups
        .flat_map(datafusion::parquet::file::metadata::RowGroupMetaData::columns)
        .filter(|column| {
            let name = column.column_path().parts().first();
            name.is_some_and(|name| columns.contains(&name.as_str()))
        })
        .map(|column| column.uncompressed_size().unsigned_abs());
    let rows = metadata.file_metadata().num_rows().unsigned_abs();
    Ok((rows, bytes.sum()))
}

/// Batches one after the other.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, Error>>>;

struct Ingest {
    rows: TableWriter,
    media: MediaList,
    faults: BufWriter<File>,
    faults_path: PathBuf,
    next: u64,
}

impl Ingest {
    fn begin(folder: &Path) -> Result<Self, Error> {
        let rows = folder.join("rows");
        let config = TableConfig {
            media: MediaMode::InPlace,
            ..TableConfig::default()
        };
        let writer = TableWriter::with_place(&rows, config, true)?;
        let faults_path = folder.join("faults.jsonl");
        let faults = File::create(&faults_path).map_err(Error::writing(&faults_path))?;
        Ok(Self {
            rows: writer,
            media: MediaList::new(folder),
            faults: BufWriter::new(faults),
            faults_path,
            next: 0,
        })
    }

    fn run(
        mut self,
        inputs: &[Input],
        strict: bool,
        progress: &dyn Progress,
    ) -> Result<Ingested, Error> {
        let mut summaries = Vec::new();
        for (index, input) in inputs.iter().enumerate() {
            summaries.push(self.read(input, index as u32, strict, progress)?);
        }
        self.faults
            .flush()
            .map_err(Error::writing(&self.faults_path))?;
        self.rows.finish()?;
        self.media.finish()?;
        Ok(Ingested { inputs: summaries })
    }

    fn read(
        &mut self,
        input: &Input,
        index: u32,
        strict: bool,
        progress: &dyn Progress,
    ) -> Result<InputSummary, Error> {
        let dataset = omnireward_data::open(&input.path, &input.options)?;
        let mut summary = InputSummary {
            name: input.name.clone(),
            path: input.path.to_string_lossy().into_owned(),
            format: dataset.format().to_string(),
            rows: 0,
            bad_rows: 0,
        };
        progress.begin(&format!("reading {}", input.name), dataset.rows());
        for pair in dataset.pairs() {
            match pair {
                Ok(pair) => match self.push(&pair, index) {
                    Ok(()) => summary.rows += 1,
                    Err(error @ Error::TooManyParts { .. }) if !strict => {
                        self.note(&input.name, &error)?;
                        summary.bad_rows += 1;
                    }
                    Err(error) => return Err(error),
                },
                Err(error) if error.is_row() && !strict => {
                    self.note(&input.name, &error)?;
                    summary.bad_rows += 1;
                }
                Err(error) => return Err(error.into()),
            }
            progress.advance(1, "");
        }
        progress.end();
        Ok(summary)
    }

    fn push(&mut self, pair: &PreferencePair, input: u32) -> Result<(), Error> {
        let parts = pair.responses.len().max(media_parts(pair).count());
        if parts > MOST_PARTS {
            return Err(Error::TooManyParts {
                pair_id: pair.id.clone(),
                parts,
                most: MOST_PARTS,
            });
        }
        let row = self.next;
        let stored = self.rows.push_placed(pair, (row, input))?;
        self.media.add(pair, row, input, stored);
        self.next += 1;
        Ok(())
    }

    fn note(&mut self, input: &str, error: &dyn std::error::Error) -> Result<(), Error> {
        let line = serde_json::json!({"input": input, "fault": error_chain(error)});
        writeln!(self.faults, "{line}").map_err(Error::writing(&self.faults_path))
    }
}

/// All media, each once, and where they are used.
struct MediaList {
    folder: PathBuf,
    known: HashMap<String, u64>,
    media: Vec<(String, Option<String>)>,
    uses: Vec<UseRow>,
}

impl MediaList {
    fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            known: HashMap::new(),
            media: Vec::new(),
            uses: Vec::new(),
        }
    }

    fn add(&mut self, pair: &PreferencePair, row: u64, input: u32, stored: Vec<StoredMedium>) {
        let mut stored = stored.into_iter();
        for (place, medium) in media_parts(pair) {
            let is_listed = !matches!(medium.source, MediaSource::Absent { .. });
            let path = if is_listed {
                stored.next().and_then(|medium| medium.path)
            } else {
                None
            };
            let name = identity(medium, path.as_deref(), input);
            let next = self.media.len() as u64;
            let medium_number = *self.known.entry(name).or_insert(next);
            if medium_number == next {
                self.media.push((medium.modality.name().to_owned(), path));
            }
            self.uses.push(UseRow {
                row,
                place: place as u32,
                medium: medium_number,
            });
        }
    }

    fn finish(self) -> Result<(), Error> {
        if self.media.is_empty() {
            return Ok(());
        }
        let uses: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(
                self.uses.iter().map(|one| one.row),
            )),
            Arc::new(UInt32Array::from_iter_values(
                self.uses.iter().map(|one| one.place),
            )),
            Arc::new(UInt64Array::from_iter_values(
                self.uses.iter().map(|one| one.medium),
            )),
        ];
        let fields = [
            ("row", DataType::UInt64),
            ("place", DataType::UInt32),
            ("medium", DataType::UInt64),
        ];
        write(&self.folder.join("uses.parquet"), &fields, uses)?;
        let media: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(0..self.media.len() as u64)),
            Arc::new(StringArray::from_iter_values(
                self.media.iter().map(|(modality, _)| modality),
            )),
            Arc::new(
                self.media
                    .iter()
                    .map(|(_, path)| path.as_deref())
                    .collect::<StringArray>(),
            ),
        ];
        let fields = [
            ("medium", DataType::UInt64),
            ("modality", DataType::Utf8),
            ("path", DataType::Utf8),
        ];
        write(&self.folder.join("media.parquet"), &fields, media)
    }
}

/// What makes two uses one medium: the file, or the name of what is elsewhere. Different sets may call different absent
/// media by one name.
fn identity(medium: &MediaRef, path: Option<&str>, input: u32) -> String {
    match (path, &medium.source) {
        (Some(path), _) => format!("file {path}"),
        (None, MediaSource::Url(url)) => format!("url {url}"),
        (None, _) => format!("absent {input} {}", medium.name()),
    }
}

fn write(path: &Path, fields: &[(&str, DataType)], columns: Vec<ArrayRef>) -> Result<(), Error> {
    let fields: Vec<Field> = fields
        .iter()
        .map(|(name, kind)| Field::new(*name, kind.clone(), true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), columns)
        .expect("the columns are as long as one another");
    let mut file = ParquetFile::create(path, schema)?;
    file.write(&batch)?;
    file.finish().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_called_as_their_file_or_folder() {
        let name = |path| Input::new(path).name;
        assert_eq!(name("sets/hpdv2.jsonl"), "hpdv2");
        assert_eq!(name("sets/hpdv2"), "hpdv2");
        assert_eq!(name("sets/hpd.v2/pairs.jsonl"), "hpd.v2");
        assert_eq!(name("pairs.jsonl"), "pairs");
    }
}
