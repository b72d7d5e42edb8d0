//! The columns of a table: filled row by row, and read back.

use std::{collections::VecDeque, path::Path, sync::Arc};

use datafusion::arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryBuilder, ListBuilder, RecordBatch, StringBuilder,
        StructArray, StructBuilder, UInt32Builder, UInt64Builder,
    },
    datatypes::{DataType, Field, Fields, Schema, SchemaRef},
};
use omnireward_core::{MediaRef, MediaSource, Modality, Part, PreferencePair, joined_text};
use omnireward_data::{OpenOptions, RowError, pair_of_record, pair_record};

use super::media::{MediaStore, StoredMedium};
use crate::Error;

const COUNTED: [Modality; 4] = [
    Modality::Image,
    Modality::Video,
    Modality::Audio,
    Modality::Mesh,
];

fn medium_fields() -> Fields {
    Fields::from(vec![
        Field::new("path", DataType::Utf8, true),
        Field::new("sha256", DataType::Utf8, true),
        Field::new("bytes", DataType::Binary, true),
    ])
}

/// The columns of a table; `with_place` adds those that say which row of which input it was.
pub(crate) fn schema(with_place: bool) -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let list = |name: &str, item| {
        Field::new(
            name,
            DataType::List(Arc::new(Field::new_list_field(item, true))),
            false,
        )
    };
    let mut fields = vec![
        text("id", false),
        text("task", false),
        text("source", true),
        text("group", true),
        text("criterion", true),
        text("label", true),
        text("prompt", false),
        list("responses", DataType::Utf8),
    ];
    fields.extend(
        ["images", "videos", "audios", "meshes"]
            .map(|name| Field::new(name, DataType::UInt32, false)),
    );
    fields.push(text("pair", false));
    fields.push(list("media", DataType::Struct(medium_fields())));
    if with_place {
        fields.push(Field::new("row", DataType::UInt64, false));
        fields.push(Field::new("input", DataType::UInt32, false));
    }
    Arc::new(Schema::new(fields))
}

/// Rows that are waiting to be written.
pub(crate) struct Rows {
    schema: SchemaRef,
    texts: [StringBuilder; 7],
    responses: ListBuilder<StringBuilder>,
    counts: [UInt32Builder; 4],
    pair: StringBuilder,
    media: ListBuilder<StructBuilder>,
    place: Option<(UInt64Builder, UInt32Builder)>,
    waiting: usize,
    bytes: usize,
}

impl Rows {
    pub(crate) fn new(with_place: bool) -> Self {
        Self {
            schema: schema(with_place),
            texts: Default::default(),
            responses: ListBuilder::new(StringBuilder::new()),
            counts: Default::default(),
            pair: StringBuilder::new(),
            media: ListBuilder::new(StructBuilder::new(
                medium_fields(),
                vec![
                    Box::new(StringBuilder::new()),
                    Box::new(StringBuilder::new()),
                    Box::new(BinaryBuilder::new()),
                ],
            )),
            place: with_place.then(Default::default),
            waiting: 0,
            bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// About how many bytes are waiting.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a pair, and where it stood; its media go where `store` puts them. Returns those media.
    pub(crate) fn push(
        &mut self,
        pair: &PreferencePair,
        place: (u64, u32),
        store: &mut MediaStore,
    ) -> Result<Vec<StoredMedium>, Error> {
        let media = media_of(pair)
            .map(|(_, medium)| store.store(&pair.id, medium))
            .collect::<Result<Vec<_>, Error>>()?;
        let record = record_of(pair)?;
        self.bytes += 2 * record.len();
        self.push_texts(pair);
        self.pair.append_value(record);
        for (builder, modality) in self.counts.iter_mut().zip(COUNTED) {
            let count = media_parts(pair)
                .filter(|(_, medium)| medium.modality == modality)
                .count();
            builder.append_value(count as u32);
        }
        self.push_media(&media);
        if let Some((rows, inputs)) = &mut self.place {
            rows.append_value(place.0);
            inputs.append_value(place.1);
        }
        self.waiting += 1;
        Ok(media)
    }

    fn push_texts(&mut self, pair: &PreferencePair) {
        let prompt = joined_text(&pair.prompt);
        let label = pair.label.map(|label| label.to_string());
        let values = [
            Some(pair.id.as_str()),
            Some(pair.task.code()),
            pair.source.as_deref(),
            pair.group.as_deref(),
            pair.criterion.as_deref(),
            label.as_deref(),
            Some(prompt.as_str()),
        ];
        for (builder, value) in self.texts.iter_mut().zip(values) {
            builder.append_option(value);
        }
        for response in &pair.responses {
            self.responses
                .values()
                .append_value(joined_text(&response.parts));
        }
        self.responses.append(true);
    }

    fn push_media(&mut self, media: &[StoredMedium]) {
        for medium in media {
            let item = self.media.values();
            let texts = [&medium.path, &medium.sha256];
            for (index, text) in texts.into_iter().enumerate() {
                let builder: &mut StringBuilder =
                    item.field_builder(index).expect("the field is a string");
                builder.append_option(text.as_deref());
            }
            let bytes: &mut BinaryBuilder = item.field_builder(2).expect("the field is bytes");
            bytes.append_option(medium.bytes.as_deref());
            item.append(true);
            self.bytes += medium.bytes.as_ref().map_or(0, |bytes| bytes.len());
        }
        self.media.append(true);
    }

    /// The rows as a batch; none are left waiting.
    pub(crate) fn take(&mut self) -> RecordBatch {
        let mut columns: Vec<ArrayRef> = Vec::new();
        columns.extend(
            self.texts
                .iter_mut()
                .map(|text| Arc::new(text.finish()) as ArrayRef),
        );
        columns.push(Arc::new(self.responses.finish()));
        columns.extend(
            self.counts
                .iter_mut()
                .map(|count| Arc::new(count.finish()) as ArrayRef),
        );
        columns.push(Arc::new(self.pair.finish()));
        columns.push(Arc::new(self.media.finish()));
        if let Some((rows, inputs)) = &mut self.place {
            columns.push(Arc::new(rows.finish()));
            columns.push(Arc::new(inputs.finish()));
        }
        (self.waiting, self.bytes) = (0, 0);
        RecordBatch::try_new(self.schema.clone(), columns).expect("every row fills every column")
    }
}

/// The pair as a line of our JSON format, with the dataset's own names for its media.
fn record_of(pair: &PreferencePair) -> Result<String, Error> {
    let record = pair_record(pair, &mut |medium| {
        Ok(match &medium.source {
            MediaSource::Bytes { name, .. } => name.clone(),
            MediaSource::File { name, .. } | MediaSource::Absent { name } => Some(name.clone()),
            MediaSource::Url(url) => Some(url.clone()),
        })
    })?;
    Ok(serde_json::to_string(&record).expect("a record is JSON"))
}

/// Every medium of a pair with the place it stands in: 0 for the prompt, 1 for the first response.
pub(crate) fn media_parts(pair: &PreferencePair) -> impl Iterator<Item = (usize, &MediaRef)> {
    let responses = pair.responses.iter().map(|response| &response.parts);
    std::iter::once(&pair.prompt)
        .chain(responses)
        .enumerate()
        .flat_map(|(place, parts)| {
            parts
                .iter()
                .filter_map(Part::as_media)
                .map(move |medium| (place, medium))
        })
}

/// Those media that the column `media` lists: an absent one is named in the record alone.
pub(crate) fn media_of(pair: &PreferencePair) -> impl Iterator<Item = (usize, &MediaRef)> {
    media_parts(pair).filter(|(_, medium)| !matches!(medium.source, MediaSource::Absent { .. }))
}

/// A batch of a table that was written [in place](super::MediaMode::InPlace), for reading pairs back.
pub(crate) struct List<'a> {
    pub(crate) batch: &'a RecordBatch,
    pub(crate) file: &'a Path,
}

impl List<'_> {
    /// Whether no pair has media, so that the columns can be copied as they are.
    pub(crate) fn has_media(&self) -> bool {
        let lists = self.column("media").as_list::<i32>();
        lists.iter().flatten().any(|list| !list.is_empty())
    }

    fn column(&self, name: &str) -> &ArrayRef {
        self.batch
            .column_by_name(name)
            .expect("a table that was written here has all columns")
    }

    /// The pair of a row.
    pub(crate) fn pair(&self, row: usize) -> Result<PreferencePair, Error> {
        let text = self.column("pair").as_string::<i32>().value(row);
        let list = self.column("media").as_list::<i32>().value(row);
        let mut stored = stored_media(list.as_struct());
        let options = OpenOptions {
            allow_urls: true,
            ..OpenOptions::default()
        };
        let root = self.file.parent().unwrap_or(Path::new(""));
        let mut place = |modality, name: Option<String>| {
            let medium = stored.pop_front().unwrap_or_default();
            match (medium.path, name) {
                (Some(path), name) => Ok(MediaRef {
                    modality,
                    source: MediaSource::File {
                        // Bytes without a name were written under their hash.
                        name: name.unwrap_or_else(|| file_name(&path)),
                        path: path.into(),
                    },
                }),
                (None, Some(name)) => omnireward_data::resolve(root, &name, modality, &options)
                    .map_err(|error| RowError::Inconsistent(error.to_string())),
                (None, None) => Err(RowError::Missing),
            }
        };
        Ok(pair_of_record(text, self.file, row as u64 + 1, &mut place)?)
    }
}

fn file_name(path: &str) -> String {
    let name = Path::new(path).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn stored_media(media: &StructArray) -> VecDeque<StoredMedium> {
    let [paths, hashes] = [0, 1].map(|index| media.column(index).as_string::<i32>());
    let text = |value: Option<&str>| value.map(str::to_owned);
    paths
        .iter()
        .zip(hashes)
        .map(|(path, sha256)| StoredMedium {
            path: text(path),
            sha256: text(sha256),
            bytes: None,
        })
        .collect()
}
