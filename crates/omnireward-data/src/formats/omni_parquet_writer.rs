//! Writing Omni-RewardBench parquet files.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, btree_map::Entry},
    fs::File,
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    StructArray,
};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema};
use omnireward_core::{MediaRef, MediaSource, Modality, PreferencePair, Task};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    file::{metadata::KeyValue, properties::WriterProperties},
    schema::types::ColumnPath,
};
use serde_json::{Value, json};

use crate::{
    Error, Format,
    formats::omni::{Answer, Outgoing, RESPONSES, prompt_field},
    place::MediaFolder,
};

/// A row group is closed when its rows hold this many bytes of media, or [`GROUP_ROWS`] rows, so
/// that readers which take whole groups stay small.
const GROUP_BYTES: usize = 16 << 20;
const GROUP_ROWS: usize = 100;

/// Writes pairs as Omni-RewardBench parquet files below the folder `root`, one a task, and returns
/// how many. Images and sounds are embedded; videos and meshes are copied into `media_data/`
/// unless they are there.
///
/// The first pair of a task decides on the columns beyond the usual ones: `source`, and the fields
/// in [`extra`](PreferencePair::extra). Lists and objects among those are written as JSON text; a
/// column that begins with null holds text.
/// The layout has no place for groups: they are found again from prompt and responses.
///
/// # Errors
///
/// [`Error::Unwritable`] for a pair without a label, with other than two responses, with media
/// where its task has none, or with an extra field that the first pair of its task did not have;
/// [`Error::Write`], [`Error::Read`] or [`Error::Parquet`] when a file cannot be written or a
/// medium not read.
pub fn omni_parquet<P: Borrow<PreferencePair>>(
    root: &Path,
    pairs: impl IntoIterator<Item = P>,
) -> Result<u64, Error> {
    let media = MediaFolder::beside(&root.join("media_data"), "");
    let mut tables: BTreeMap<Task, Table> = BTreeMap::new();
    let mut written = 0;
    for pair in pairs {
        let outgoing = Outgoing::new(pair.borrow(), Format::OmniParquet)?;
        let cells = cells(&outgoing, &media)?;
        let table = match tables.entry(outgoing.task) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let folder = root.join(outgoing.task.key());
                let file = folder.join("test-00000-of-00001.parquet");
                entry.insert(Table::create(file, &cells)?)
            }
        };
        table.push(cells, outgoing.id)?;
        written += 1;
    }
    tables.into_values().try_for_each(Table::finish)?;
    Ok(written)
}

/// One value of a row.
enum Cell {
    Null,
    Text(String),
    Integer(i64),
    Number(f64),
    Flag(bool),
    Medium {
        modality: Modality,
        bytes: Option<Arc<[u8]>>,
        path: String,
    },
}

fn cells(pair: &Outgoing, media: &MediaFolder) -> Result<Vec<(String, Cell)>, Error> {
    let mut cells = vec![("prompt".to_owned(), Cell::Text(pair.prompt.clone()))];
    let mut paths = Vec::new();
    if let (Some(field), Some(medium)) = (prompt_field(pair.task), pair.medium) {
        put_medium(field, medium, media, &mut cells, &mut paths)?;
    }
    for (field, answer) in RESPONSES.into_iter().zip(&pair.responses) {
        match answer {
            Answer::Text(text) => cells.push((field.to_owned(), Cell::Text(text.clone()))),
            Answer::Medium(medium) => put_medium(field, medium, media, &mut cells, &mut paths)?,
        }
    }
    let texts = [
        ("model1", pair.models[0]),
        ("model2", pair.models[1]),
        ("criteria", pair.criteria),
        ("criteria_preference", pair.preference),
        ("id", pair.id),
    ];
    cells.extend(texts.map(|(field, text)| (field.to_owned(), Cell::Text(text.to_owned()))));
    cells.append(&mut paths);
    if let Some(source) = pair.source {
        cells.push(("source".to_owned(), Cell::Text(source.to_owned())));
    }
    for (field, value) in pair.extra {
        if !cells.iter().any(|(known, _)| known == field) {
            cells.push((field.clone(), extra_cell(value)));
        }
    }
    Ok(cells)
}

/// A video goes to a file and is named; an image or a sound is embedded and named as well.
fn put_medium(
    field: &str,
    medium: &MediaRef,
    media: &MediaFolder,
    cells: &mut Vec<(String, Cell)>,
    paths: &mut Vec<(String, Cell)>,
) -> Result<(), Error> {
    if medium.modality == Modality::Video {
        cells.push((field.to_owned(), Cell::Text(media.place(medium)?)));
        return Ok(());
    }
    let bytes = match (&medium.source, medium.modality) {
        // The column is declared as pictures; a mesh among them would break other readers.
        (_, Modality::Mesh) => None,
        (MediaSource::Bytes { bytes, .. }, _) => Some(bytes.clone()),
        (MediaSource::File { path, .. }, _) if path.exists() => {
            Some(std::fs::read(path).map_err(Error::reading(path))?.into())
        }
        _ => None,
    };
    let path = match &medium.source {
        MediaSource::Bytes { name: None, .. } if bytes.is_some() => media.name_of(medium),
        _ if bytes.is_some() => medium.name().to_owned(),
        _ => media.place(medium)?,
    };
    let modality = match medium.modality {
        Modality::Mesh => Modality::Image,
        other => other,
    };
    cells.push((
        field.to_owned(),
        Cell::Medium {
            modality,
            bytes,
            path: path.clone(),
        },
    ));
    paths.push((format!("{field}_path"), Cell::Text(path)));
    Ok(())
}

fn extra_cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::String(text) => Cell::Text(text.clone()),
        Value::Bool(flag) => Cell::Flag(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Cell::Integer(integer),
            None => Cell::Number(number.as_f64().unwrap_or(f64::NAN)),
        },
        other => Cell::Text(other.to_string()),
    }
}

/// The values of a column that are waiting to be written.
enum Column {
    Text(Vec<Option<String>>),
    Integer(Vec<Option<i64>>),
    Number(Vec<Option<f64>>),
    Flag(Vec<Option<bool>>),
    Medium {
        modality: Modality,
        bytes: Vec<Option<Arc<[u8]>>>,
        paths: Vec<String>,
    },
}

impl Column {
    fn like(cell: &Cell) -> Self {
        match cell {
            Cell::Null | Cell::Text(_) => Self::Text(Vec::new()),
            Cell::Integer(_) => Self::Integer(Vec::new()),
            Cell::Number(_) => Self::Number(Vec::new()),
            Cell::Flag(_) => Self::Flag(Vec::new()),
            Cell::Medium { modality, .. } => Self::Medium {
                modality: *modality,
                bytes: Vec::new(),
                paths: Vec::new(),
            },
        }
    }

    /// Adds a value; `false` when it is of another kind than the column.
    fn push(&mut self, cell: Cell) -> bool {
        match (self, cell) {
            (Self::Text(values), Cell::Null) => values.push(None),
            (Self::Integer(values), Cell::Null) => values.push(None),
            (Self::Number(values), Cell::Null) => values.push(None),
            (Self::Flag(values), Cell::Null) => values.push(None),
            (Self::Text(values), Cell::Text(value)) => values.push(Some(value)),
            (Self::Integer(values), Cell::Integer(value)) => values.push(Some(value)),
            (Self::Number(values), Cell::Number(value)) => values.push(Some(value)),
            (Self::Number(values), Cell::Integer(value)) => values.push(Some(value as f64)),
            (Self::Flag(values), Cell::Flag(value)) => values.push(Some(value)),
            (
                Self::Medium {
                    bytes: all, paths, ..
                },
                Cell::Medium { bytes, path, .. },
            ) => {
                all.push(bytes);
                paths.push(path);
            }
            _ => return false,
        }
        true
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Text(_) => DataType::Utf8,
            Self::Integer(_) => DataType::Int64,
            Self::Number(_) => DataType::Float64,
            Self::Flag(_) => DataType::Boolean,
            Self::Medium { .. } => DataType::Struct(medium_fields()),
        }
    }

    /// How the hub's `datasets` library declares the column.
    fn feature(&self) -> Value {
        match self {
            Self::Text(_) => json!({"dtype": "string", "_type": "Value"}),
            Self::Integer(_) => json!({"dtype": "int64", "_type": "Value"}),
            Self::Number(_) => json!({"dtype": "float64", "_type": "Value"}),
            Self::Flag(_) => json!({"dtype": "bool", "_type": "Value"}),
            Self::Medium {
                modality: Modality::Audio,
                ..
            } => json!({"_type": "Audio"}),
            Self::Medium { .. } => json!({"_type": "Image"}),
        }
    }

    /// The waiting values, which wait no longer.
    fn drain(&mut self) -> ArrayRef {
        match self {
            Self::Text(values) => Arc::new(StringArray::from(mem::take(values))),
            Self::Integer(values) => Arc::new(Int64Array::from(mem::take(values))),
            Self::Number(values) => Arc::new(Float64Array::from(mem::take(values))),
            Self::Flag(values) => Arc::new(BooleanArray::from(mem::take(values))),
            Self::Medium { bytes, paths, .. } => {
                let bytes: BinaryArray = mem::take(bytes).into_iter().collect();
                let paths = StringArray::from(mem::take(paths));
                Arc::new(StructArray::new(
                    medium_fields(),
                    vec![Arc::new(bytes), Arc::new(paths)],
                    None,
                ))
            }
        }
    }
}

fn medium_fields() -> Fields {
    Fields::from(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ])
}

/// A parquet file that is written group by group.
struct Table {
    file: PathBuf,
    schema: Arc<Schema>,
    writer: ArrowWriter<File>,
    columns: Vec<(String, Column)>,
    waiting_rows: usize,
    waiting_bytes: usize,
}

impl Table {
    /// A table with the columns that `first` needs.
    fn create(file: PathBuf, first: &[(String, Cell)]) -> Result<Self, Error> {
        let folder = file.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(folder).map_err(Error::writing(folder))?;
        let columns: Vec<(String, Column)> = first
            .iter()
            .map(|(name, cell)| (name.clone(), Column::like(cell)))
            .collect();
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, column)| Field::new(name, column.data_type(), true))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let opened = File::create(&file).map_err(Error::writing(&file))?;
        let writer = ArrowWriter::try_new(opened, schema.clone(), Some(properties(&columns)))
            .map_err(|source| Error::Parquet {
                file: file.clone(),
                source,
            })?;
        Ok(Self {
            file,
            schema,
            writer,
            columns,
            waiting_rows: 0,
            waiting_bytes: 0,
        })
    }

    fn push(&mut self, cells: Vec<(String, Cell)>, id: &str) -> Result<(), Error> {
        let unwritable = |reason: String| Error::Unwritable {
            id: id.to_owned(),
            format: Format::OmniParquet,
            reason,
        };
        if cells.len() != self.columns.len() {
            let reason = "it has other fields than the first pair of its task".to_owned();
            return Err(unwritable(reason));
        }
        for (name, cell) in cells {
            if let Cell::Medium {
                bytes: Some(bytes), ..
            } = &cell
            {
                self.waiting_bytes += bytes.len();
            }
            let column = self.columns.iter_mut().find(|(known, _)| *known == name);
            if !column.is_some_and(|(_, column)| column.push(cell)) {
                let reason = format!("field `{name}` differs from the first pair of its task");
                return Err(unwritable(reason));
            }
        }
        self.waiting_rows += 1;
        if self.waiting_rows >= GROUP_ROWS || self.waiting_bytes >= GROUP_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.waiting_rows == 0 {
            return Ok(());
        }
        let arrays = self
            .columns
            .iter_mut()
            .map(|(_, column)| column.drain())
            .collect();
        self.waiting_rows = 0;
        self.waiting_bytes = 0;
        RecordBatch::try_new(self.schema.clone(), arrays)
            .map_err(|error: ArrowError| error.into())
            .and_then(|batch| self.writer.write(&batch))
            .and_then(|()| self.writer.flush())
            .map_err(|source| Error::Parquet {
                file: self.file.clone(),
                source,
            })
    }

    fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        let Self { file, writer, .. } = self;
        writer
            .close()
            .map(|_| ())
            .map_err(|source| Error::Parquet { file, source })
    }
}

/// Media are compressed already; labels are small but repetitive.
fn properties(columns: &[(String, Column)]) -> WriterProperties {
    let features: serde_json::Map<String, Value> = columns
        .iter()
        .map(|(name, column)| (name.clone(), column.feature()))
        .collect();
    let huggingface = json!({"info": {"features": features}}).to_string();
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_write_batch_size(1)
        .set_key_value_metadata(Some(vec![KeyValue::new(
            "huggingface".to_owned(),
            huggingface,
        )]));
    for (name, column) in columns {
        if matches!(column, Column::Medium { .. }) {
            let bytes = ColumnPath::new(vec![name.clone(), "bytes".to_owned()]);
            properties = properties
                .set_column_compression(bytes.clone(), Compression::UNCOMPRESSED)
                .set_column_dictionary_enabled(bytes.clone(), false)
                .set_column_statistics_enabled(
                    bytes,
                    parquet::file::properties::EnabledStatistics::None,
                );
        }
    }
    properties.build()
}
