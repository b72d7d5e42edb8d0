//! Preference records as parquet, with their pictures in the rows.
//!
//! `text.parquet` holds conversations of words, whose contents are strings; `images.parquet` those with pictures, whose
//! contents are lists of parts, with the pictures in `images`. The two have different types, and TRL wants every row of a
//! set to be of one kind. Both name their features as the `datasets` library does, so that it decodes the pictures.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_array::{ArrayRef, BinaryArray, ListArray, RecordBatch, StringArray, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Fields, Schema};
use omnireward_core::{MediaRef, MediaSource};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    file::{metadata::KeyValue, properties::WriterProperties},
    schema::types::ColumnPath,
};
use serde_json::{Value, json};

use crate::{
    Error,
    formats::{carried, laid::Laid},
};

/// A row group is closed at so many rows, or so many bytes of pictures, so that readers stay small.
const GROUP_ROWS: usize = 2000;
const GROUP_BYTES: usize = 32 << 20;

/// Both tables, each made when its first row comes.
pub(crate) struct TrlTables {
    folder: PathBuf,
    suffix: &'static str,
    tables: [Option<Table>; 2],
}

impl TrlTables {
    /// Tables in a folder, whose files are called `text.parquet` and `images.parquet` and the suffix.
    pub(crate) fn new(folder: &Path, suffix: &'static str) -> Self {
        Self {
            folder: folder.to_owned(),
            suffix,
            tables: [None, None],
        }
    }

    pub(crate) fn push(&mut self, laid: Laid) -> Result<(), Error> {
        let kind = Kind::of(&laid);
        let place = &mut self.tables[kind as usize];
        let table = if let Some(table) = place.take() {
            table
        } else {
            let name = format!("{}{}", kind.file_name(), self.suffix);
            Table::create(self.folder.join(name), kind)?
        };
        let table = place.insert(table);
        table.push(laid)
    }

    /// Ends both files and returns their paths. A table that has no rows may have had some before, which would be read
    /// as if they were of this set; it is removed.
    pub(crate) fn finish(self) -> Result<Vec<PathBuf>, Error> {
        let mut files = Vec::new();
        let mut empty = Vec::new();
        for (kind, table) in Kind::ALL.into_iter().zip(self.tables) {
            match table {
                Some(table) => files.push(table.finish()?),
                None => empty.push(self.folder.join(kind.file_name())),
            }
        }
        for earlier in empty.iter().filter(|file| file.exists()) {
            std::fs::remove_file(earlier).map_err(Error::writing(earlier))?;
        }
        Ok(files)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Images,
}

impl Kind {
    /// Both, each at its place among the tables.
    const ALL: [Self; 2] = [Self::Text, Self::Images];

    fn of(laid: &Laid) -> Self {
        if laid.media.is_empty() {
            Self::Text
        } else {
            Self::Images
        }
    }

    const fn file_name(self) -> &'static str {
        match self {
            Self::Text => "text.parquet",
            Self::Images => "images.parquet",
        }
    }

    fn content(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Images => list(DataType::Struct(part_fields())),
        }
    }

    fn messages(self) -> DataType {
        list(DataType::Struct(self.message_fields()))
    }

    fn message_fields(self) -> Fields {
        let content = Field::new("content", self.content(), true);
        Fields::from(vec![Field::new("role", DataType::Utf8, true), content])
    }

    fn schema(self) -> Schema {
        let mut fields: Vec<Field> = ["prompt", "chosen", "rejected"]
            .map(|name| Field::new(name, self.messages(), true))
            .to_vec();
        if matches!(self, Self::Images) {
            fields.push(Field::new(
                "images",
                list(DataType::Struct(picture_fields())),
                true,
            ));
        }
        fields.push(Field::new(carried::COLUMN, DataType::Utf8, true));
        Schema::new(fields)
    }

    /// What the `datasets` library calls the columns.
    fn features(self) -> Value {
        let string = json!({"dtype": "string", "_type": "Value"});
        let content = match self {
            Self::Text => string.clone(),
            Self::Images => json!([{"type": string, "text": string}]),
        };
        let messages = json!([{"role": string, "content": content}]);
        let mut features = json!({"prompt": messages, "chosen": messages, "rejected": messages});
        if matches!(self, Self::Images) {
            features["images"] = json!([{"_type": "Image"}]);
        }
        features[carried::COLUMN] = string;
        json!({"info": {"features": features}})
    }
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

fn part_fields() -> Fields {
    Fields::from(
        ["type", "text"]
            .map(|name| Field::new(name, DataType::Utf8, true))
            .to_vec(),
    )
}

fn picture_fields() -> Fields {
    Fields::from(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ])
}

struct Table {
    kind: Kind,
    file: PathBuf,
    schema: Arc<Schema>,
    writer: ArrowWriter<File>,
    waiting: Vec<Laid>,
    pictures: Vec<Vec<Picture>>,
    waiting_bytes: usize,
}

/// A picture's bytes, where the set carries them, and its name.
type Picture = (Option<Arc<[u8]>>, String);

impl Table {
    fn create(file: PathBuf, kind: Kind) -> Result<Self, Error> {
        let opened = File::create(&file).map_err(Error::writing(&file))?;
        let schema = Arc::new(kind.schema());
        let bytes = ColumnPath::from(
            ["images", "list", "item", "bytes"]
                .map(str::to_owned)
                .to_vec(),
        );
        let features = KeyValue::new("huggingface".to_owned(), kind.features().to_string());
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_column_compression(bytes.clone(), Compression::UNCOMPRESSED)
            .set_column_dictionary_enabled(bytes, false)
            .set_key_value_metadata(Some(vec![features]))
            .build();
        let writer = ArrowWriter::try_new(opened, schema.clone(), Some(properties))
            .map_err(broken(&file))?;
        Ok(Self {
            kind,
            file,
            schema,
            writer,
            waiting: Vec::new(),
            pictures: Vec::new(),
            waiting_bytes: 0,
        })
    }

    fn push(&mut self, laid: Laid) -> Result<(), Error> {
        let media = laid.media.iter().flat_map(|(_, media)| media);
        let pictures = media.map(picture).collect::<Result<Vec<_>, _>>()?;
        let bytes = pictures
            .iter()
            .filter_map(|(bytes, _)| Some(bytes.as_ref()?.len()));
        self.waiting_bytes += bytes.sum::<usize>();
        self.pictures.push(pictures);
        self.waiting.push(laid);
        if self.waiting.len() >= GROUP_ROWS || self.waiting_bytes >= GROUP_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.waiting);
        let pictures = std::mem::take(&mut self.pictures);
        self.waiting_bytes = 0;
        let columns = self
            .schema
            .fields()
            .iter()
            .map(|field| match field.name().as_str() {
                "images" => picture_lists(&pictures),
                name => {
                    let cells: Vec<Option<&Value>> =
                        rows.iter().map(|row| row.record.get(name)).collect();
                    self.column(name, &cells)
                }
            });
        RecordBatch::try_new(self.schema.clone(), columns.collect())
            .map_err(Into::into)
            .and_then(|batch| self.writer.write(&batch))
            .and_then(|()| self.writer.flush())
            .map_err(broken(&self.file))
    }

    fn column(&self, name: &str, cells: &[Option<&Value>]) -> ArrayRef {
        if name == carried::COLUMN {
            return texts(cells.iter().map(|cell| cell.and_then(Value::as_str)));
        }
        let messages: Vec<&[Value]> = cells.iter().map(|cell| items(*cell)).collect();
        let all: Vec<&Value> = messages
            .iter()
            .flat_map(|messages| messages.iter())
            .collect();
        let roles = texts(all.iter().map(|message| message["role"].as_str()));
        let contents = all.iter().map(|message| &message["content"]);
        let contents = match self.kind {
            Kind::Text => texts(contents.map(Value::as_str)),
            Kind::Images => part_lists(&contents.map(parts).collect::<Vec<_>>()),
        };
        let fields = self.kind.message_fields();
        let structs = StructArray::new(fields.clone(), vec![roles, contents], None);
        lists(
            DataType::Struct(fields),
            messages.iter().map(|messages| messages.len()),
            structs,
        )
    }

    fn finish(mut self) -> Result<PathBuf, Error> {
        self.flush()?;
        let Self { file, writer, .. } = self;
        writer.close().map_err(broken(&file))?;
        Ok(file)
    }
}

fn broken(file: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> Error {
    let file = file.to_owned();
    move |source| Error::Parquet { file, source }
}

fn picture(medium: &MediaRef) -> Result<Picture, Error> {
    let bytes = match &medium.source {
        MediaSource::Bytes { bytes, .. } => Some(bytes.clone()),
        MediaSource::File { path, .. } if path.exists() => {
            Some(std::fs::read(path).map_err(Error::reading(path))?.into())
        }
        _ => None,
    };
    Ok((bytes, medium.name().to_owned()))
}

fn items(value: Option<&Value>) -> &[Value] {
    value
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
}

/// The parts of a message's content: kind and words.
fn parts(content: &Value) -> Vec<(&str, Option<&str>)> {
    match content {
        Value::Array(items) => items
            .iter()
            .map(|item| {
                (
                    item["type"].as_str().unwrap_or_default(),
                    item["text"].as_str(),
                )
            })
            .collect(),
        text => vec![("text", text.as_str())],
    }
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn lists(item: DataType, lengths: impl Iterator<Item = usize>, items: StructArray) -> ArrayRef {
    let field = Arc::new(Field::new("item", item, true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Arc::new(ListArray::new(field, offsets, Arc::new(items), None))
}

fn part_lists(contents: &[Vec<(&str, Option<&str>)>]) -> ArrayRef {
    let all = || contents.iter().flatten();
    let kinds = texts(all().map(|(kind, _)| Some(*kind)));
    let words = texts(all().map(|(_, words)| *words));
    let structs = StructArray::new(part_fields(), vec![kinds, words], None);
    lists(
        DataType::Struct(part_fields()),
        contents.iter().map(Vec::len),
        structs,
    )
}

fn picture_lists(pictures: &[Vec<Picture>]) -> ArrayRef {
    let all = || pictures.iter().flatten();
    let bytes: BinaryArray = all().map(|(bytes, _)| bytes.as_deref()).collect();
    let names = texts(all().map(|(_, name)| Some(name.as_str())));
    let structs = StructArray::new(picture_fields(), vec![Arc::new(bytes), names], None);
    lists(
        DataType::Struct(picture_fields()),
        pictures.iter().map(Vec::len),
        structs,
    )
}
