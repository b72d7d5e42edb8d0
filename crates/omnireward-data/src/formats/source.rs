//! What the format modules share: finding their files, naming pairs, and referring to media.

use std::{
    collections::HashMap,
    fmt::Display,
    hash::Hash,
    path::{Path, PathBuf},
};

use omnireward_core::{
    MediaRef, MediaSource, Modality, Part as ContentPart, Preference, PreferencePair, Response,
    Task,
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    entries::{self, RawRow},
    parquet_rows::{Blob, Embedded},
    sketch::{Sketch, label_files},
};
use crate::{
    Error, OpenOptions, Part, RowError, Rows, confine,
    error::Fault,
    fingerprint::hex,
    record::{Record, wrong_type},
};

/// How many pairs a record gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// Always this many.
    Each(u64),
    /// It depends on the record.
    Varying,
}

/// A label file of a dataset that is being read.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The file.
    pub(crate) file: PathBuf,
    /// Whether the dataset has other label files as well, so that ids need the file's name.
    pub(crate) several: bool,
    /// The folders that names of media start from, best first.
    pub(crate) media_folders: Vec<PathBuf>,
    /// How the dataset is read.
    pub(crate) options: OpenOptions,
}

impl Source {
    /// A label file whose media are named from its own folder.
    pub(crate) fn new(file: PathBuf, several: bool, options: &OpenOptions) -> Self {
        Self {
            media_folders: vec![file.parent().unwrap_or(Path::new("")).to_owned()],
            file,
            several,
            options: options.clone(),
        }
    }

    /// The name of the file without its extension.
    pub(crate) fn stem(&self) -> String {
        stem_of(&self.file)
    }

    /// The id of a pair: the record's own, with the file's name before it when the dataset has
    /// several files.
    pub(crate) fn id(&self, own: impl Display) -> String {
        if self.several {
            format!("{}/{own}", self.stem())
        } else {
            own.to_string()
        }
    }

    /// A medium that belongs to the dataset.
    pub(crate) fn media(&self, name: &str, modality: Modality) -> Result<MediaRef, RowError> {
        confine::media_in(&self.media_folders, name, modality, &self.options)
    }

    /// A medium that published copies of the dataset often leave out: a file when it is there,
    /// and otherwise only a name.
    pub(crate) fn media_or_absent(
        &self,
        name: &str,
        modality: Modality,
    ) -> Result<MediaRef, RowError> {
        let media = self.media(name, modality)?;
        Ok(match &media.source {
            MediaSource::File { path, .. } if !path.exists() => absent(name, modality),
            _ => media,
        })
    }

    /// The medium in a field: embedded in the row, or named there.
    pub(crate) fn medium_in(
        &self,
        record: &mut Record,
        media: &Embedded,
        field: &str,
        modality: Modality,
    ) -> Result<MediaRef, Fault> {
        let medium = match media.get(field).and_then(|blobs| blobs.first()) {
            Some(blob) => {
                record.take(field);
                self.embedded(blob, modality)
            }
            None => self.media(&record.text(field)?, modality),
        };
        medium.map_err(|error| error.in_field(field))
    }

    /// A medium from a parquet column: the embedded bytes where there are any, else the path.
    pub(crate) fn embedded(&self, blob: &Blob, modality: Modality) -> Result<MediaRef, RowError> {
        match (&blob.bytes, &blob.path) {
            (Some(bytes), name) => Ok(MediaRef {
                modality,
                source: MediaSource::Bytes {
                    bytes: bytes.clone(),
                    name: name.clone(),
                },
            }),
            (None, Some(name)) => self.media(name, modality),
            (None, None) => Err(RowError::Missing),
        }
    }
}

/// The name of a file without its extension.
pub(crate) fn stem_of(file: &Path) -> String {
    file.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// A medium that the dataset names and does not carry.
pub(crate) fn absent(name: impl Into<String>, modality: Modality) -> MediaRef {
    MediaRef {
        modality,
        source: MediaSource::Absent { name: name.into() },
    }
}

/// Whether any label file at a path looks right.
pub(crate) fn any(path: &Path, recognises: fn(&Sketch) -> bool) -> bool {
    label_files(path)
        .iter()
        .any(|file| look(file, recognises) == Look::Right)
}

#[derive(Clone, Copy, PartialEq)]
enum Look {
    Right,
    Other,
    /// The first record is broken, so the file could be anything.
    Unknown,
}

fn look(file: &Path, recognises: impl Fn(&Sketch) -> bool) -> Look {
    match Sketch::of(file) {
        Ok(Some(sketch)) if recognises(&sketch) => Look::Right,
        Ok(_) => Look::Other,
        Err(_) => Look::Unknown,
    }
}

/// The label files at a path that look right; see [`fitting`].
pub(crate) fn files(
    path: &Path,
    options: &OpenOptions,
    recognises: fn(&Sketch) -> bool,
) -> Vec<PathBuf> {
    fitting(label_files(path), path, options, recognises)
}

/// Those of the files at a path that look right.
///
/// Once one does, files of the same kind whose first record is broken belong to the dataset as
/// well: reading them says what is wrong, and gives the records after it. So does the file that was
/// named itself, when its format was named too.
pub(crate) fn fitting(
    files: Vec<PathBuf>,
    path: &Path,
    options: &OpenOptions,
    recognises: impl Fn(&Sketch) -> bool,
) -> Vec<PathBuf> {
    let seen: Vec<(PathBuf, Look)> = files
        .into_iter()
        .map(|file| {
            let look = look(&file, &recognises);
            (file, look)
        })
        .collect();
    let named = options.format.is_some() && path.is_file();
    let settled = |file: &Path| {
        named
            || seen
                .iter()
                .any(|(other, look)| *look == Look::Right && other.extension() == file.extension())
    };
    seen.iter()
        .filter(|(file, look)| match look {
            Look::Right => true,
            Look::Unknown => settled(file),
            Look::Other => false,
        })
        .map(|(file, _)| file.clone())
        .collect()
}

/// One part for each label file at a path that looks right.
pub(crate) fn parts(
    path: &Path,
    options: &OpenOptions,
    recognises: fn(&Sketch) -> bool,
    task: Option<Task>,
    pairs: Pairs,
    read: fn(&Source) -> Result<Rows, Error>,
) -> Vec<Part> {
    let files = files(path, options, recognises);
    parts_of(files, options, task, pairs, read)
}

/// One part for each of these label files.
pub(crate) fn parts_of(
    files: Vec<PathBuf>,
    options: &OpenOptions,
    task: Option<Task>,
    pairs: Pairs,
    read: fn(&Source) -> Result<Rows, Error>,
) -> Vec<Part> {
    let several = files.len() > 1;
    files
        .into_iter()
        .map(|file| {
            let rows = match pairs {
                Pairs::Each(each) => {
                    entries::quick_count(&file).and_then(|records| records.checked_mul(each))
                }
                Pairs::Varying => None,
            };
            let source = Source::new(file.clone(), several, options);
            Part::new(task, file, rows, move || read(&source))
        })
        .collect()
}

/// The pairs of a source, one a record.
pub(crate) fn each_row(
    source: &Source,
    pair: fn(&Source, RawRow) -> Result<PreferencePair, Fault>,
) -> Result<Rows, Error> {
    rows(source, move |source, row| pair(source, row).map(Some))
}

/// The pairs of a source, none, one or several a record.
pub(crate) fn rows<I>(
    source: &Source,
    mut convert: impl FnMut(&Source, RawRow) -> Result<I, Fault> + Send + 'static,
) -> Result<Rows, Error>
where
    I: IntoIterator<Item = PreferencePair>,
    I::IntoIter: Send + 'static,
{
    let owned = source.clone();
    entries::rows(&source.file, &source.options.rows_read, move |row| {
        convert(&owned, row)
    })
}

/// The most responses of one kind to one prompt that are paired: each is compared with each.
const RESPONSE_LIMIT: usize = 128;

/// Refuses to pair more responses than [`RESPONSE_LIMIT`].
pub(crate) fn few(found: usize) -> Result<(), RowError> {
    if found > RESPONSE_LIMIT {
        let limit = RESPONSE_LIMIT;
        return Err(RowError::TooMany { found, limit });
    }
    Ok(())
}

/// Takes the `task` of a record when it says no more than the format does.
pub(crate) fn take_task(record: &mut Record, task: Task) {
    if record.get("task").is_some_and(|value| value == task.code()) {
        record.take("task");
    }
}

/// What our own pairs call their fields.
const PAIR_FIELDS: [&str; 10] = [
    "id",
    "task",
    "prompt",
    "criterion",
    "responses",
    "models",
    "label",
    "ranking",
    "source",
    "group",
];

/// The fields that nobody took. Those that our own pairs have under the same name for something else are called
/// `published_…`, or writing the pair would lose them.
pub(crate) fn extra(record: Record) -> Map<String, Value> {
    let rename = |field: String| {
        if PAIR_FIELDS.contains(&field.as_str()) {
            format!("published_{field}")
        } else {
            field
        }
    };
    let fields = record.into_extra().into_iter();
    fields
        .map(|(field, value)| (rename(field), value))
        .collect()
}

/// A key that pairs with the same prompt share: a digest of its words and the names of its media.
pub(crate) fn prompt_group(prompt: &[ContentPart]) -> String {
    let mut hasher = Sha256::new();
    for part in prompt {
        match part {
            ContentPart::Text(text) => hasher.update(text),
            ContentPart::Media(media) => match &media.source {
                MediaSource::Bytes { bytes, .. } => hasher.update(bytes),
                _ => hasher.update(media.name()),
            },
        }
        hasher.update([0]);
    }
    format!("prompt-{}", &hex(&hasher.finalize())[..16])
}

/// An identifier that must be there: a string or a whole number.
pub(crate) fn id_of(record: &mut Record, field: &str) -> Result<String, Fault> {
    record
        .optional_id(field)?
        .ok_or_else(|| RowError::Missing.in_field(field))
}

/// A number that may be written as a string, as all cells of comma-separated files are.
pub(crate) fn decimal(record: &mut Record, field: &str) -> Result<f64, Fault> {
    let value = record.value(field)?;
    let number = match &value {
        Value::String(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite()),
        other => other.as_f64(),
    };
    number.ok_or_else(|| wrong_type("a number", &value).in_field(field))
}

/// A list of numbers that must be there.
pub(crate) fn numbers(record: &mut Record, field: &str) -> Result<Vec<f64>, Fault> {
    let items = record.list(field)?;
    numbers_in(&items).map_err(|error| error.in_field(field))
}

/// The numbers in a list.
pub(crate) fn numbers_in(items: &[Value]) -> Result<Vec<f64>, RowError> {
    items
        .iter()
        .map(|item| item.as_f64().ok_or_else(|| wrong_type("a number", item)))
        .collect()
}

/// A list of strings that must be there.
pub(crate) fn texts(record: &mut Record, field: &str) -> Result<Vec<String>, Fault> {
    record
        .list(field)?
        .into_iter()
        .map(|item| crate::record::text_of(item).map_err(|error| error.in_field(field)))
        .collect()
}

/// The preferred of two responses and the other one; `None` for ties, unlabelled pairs and longer
/// lists.
pub(crate) fn chosen_and_rejected(pair: &PreferencePair) -> Option<(&Response, &Response)> {
    let [first, second] = &pair.responses[..] else {
        return None;
    };
    match pair.label? {
        Preference::First => Some((first, second)),
        Preference::Second => Some((second, first)),
        Preference::Tie => None,
    }
}

/// The items with equal keys, in the order in which their keys first appear.
pub(crate) fn grouped_by<T, K: Eq + Hash>(
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> Vec<Vec<T>> {
    let mut places: HashMap<K, usize> = HashMap::new();
    let mut groups: Vec<Vec<T>> = Vec::new();
    for item in items {
        let place = *places.entry(key(&item)).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(item);
    }
    groups
}

/// An object that must be there.
pub(crate) fn object(record: &mut Record, field: &str) -> Result<Map<String, Value>, Fault> {
    match record.value(field)? {
        Value::Object(fields) => Ok(fields),
        other => Err(wrong_type("an object", &other).in_field(field)),
    }
}
