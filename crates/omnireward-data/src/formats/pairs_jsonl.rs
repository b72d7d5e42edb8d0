//! Our own pairs: one JSON object a line, with its media beside the file.
//!
//! `id` and `task` may be left out of hand-written files: the id is then the line's number, and
//! the task follows from the media in the prompt and the responses.

use std::{
    borrow::Borrow,
    path::{Path, PathBuf},
};

use omnireward_core::{
    Criterion, MediaRef, MediaSource, Modality, Part as ContentPart, PreferencePair, Response, Task,
};
use serde_json::{Map, Value, json};

use crate::{
    Error, OpenOptions, Part, RowError, confine,
    error::Fault,
    formats::{
        entries::{self, Encoding},
        jsonl_files,
        sketch::Kind,
        source,
    },
    json_lines,
    place::MediaFolder,
    record::{Record, text_of, unknown_value, validated, wrong_type},
};

pub(crate) fn matches(path: &Path) -> bool {
    !files(path, &OpenOptions::default()).is_empty()
}

pub(crate) fn open(path: &Path, options: &OpenOptions) -> Vec<Part> {
    // A file that was named is read whatever its first line looks like, so that its faults are
    // reported rather than its format doubted.
    let files = if path.is_file() {
        vec![path.to_owned()]
    } else {
        files(path, options)
    };
    files.into_iter().map(|file| part(file, options)).collect()
}

fn files(path: &Path, options: &OpenOptions) -> Vec<PathBuf> {
    source::fitting(jsonl_files(path), path, options, |sketch| {
        sketch.has(&["prompt"])
            && sketch.holds("responses", &[Kind::Texts, Kind::Objects, Kind::List])
    })
}

fn part(file: PathBuf, options: &OpenOptions) -> Part {
    let root = file.parent().unwrap_or(Path::new("")).to_owned();
    let rows = json_lines::quick_count(&file).ok().flatten();
    let options = options.clone();
    Part::new(None, file.clone(), rows, move || {
        let (root, options) = (root.clone(), options.clone());
        let counter = options.rows_read.clone();
        entries::rows_in(&file, Encoding::Lines, &counter, move |row| {
            let mut place = |modality, name: Option<String>| match name {
                Some(name) => confine::media(&root, &name, modality, &options),
                None => Err(RowError::Missing),
            };
            Reader { place: &mut place }
                .pair(row.record, row.line)
                .map(Some)
        })
    })
}

/// Finds the medium of a modality that a record calls by a name.
type Place<'a> = dyn FnMut(Modality, Option<String>) -> Result<MediaRef, RowError> + 'a;

/// The pair in a record as [`pair_record`] makes it. `place` is asked for each medium, in the order prompt, first
/// response, second response, …; media that their dataset does not carry are not asked for.
///
/// # Errors
///
/// [`Error::Row`], at `line` of `file`, when the text is not such a record.
pub fn pair_of_record(
    text: &str,
    file: &Path,
    line: u64,
    place: &mut Place<'_>,
) -> Result<PreferencePair, Error> {
    let read = || Record::new(serde_json::from_str(text).map_err(RowError::Json)?);
    read()
        .and_then(|record| pair_of(record, line, place))
        .and_then(validated)
        .map_err(|fault: Fault| fault.at(file, line))
}

/// The pair in a record.
pub(crate) fn pair_of(
    record: Record,
    line: u64,
    place: &mut Place<'_>,
) -> Result<PreferencePair, Fault> {
    Reader { place }.pair(record, line)
}

/// Turns records into pairs.
struct Reader<'a, 'b> {
    place: &'a mut Place<'b>,
}

impl Reader<'_, '_> {
    fn pair(&mut self, mut record: Record, line: u64) -> Result<PreferencePair, Fault> {
        let id = record
            .optional_id("id")?
            .unwrap_or_else(|| line.to_string());
        let prompt = self.parts(record.value("prompt")?, "prompt")?;
        let responses = self.responses(&mut record)?;
        let task = match record.optional_text("task")? {
            Some(name) => name.parse().map_err(|_| {
                unknown_value(&name, Task::ALL.map(Task::code).join(", ")).in_field("task")
            })?,
            None => {
                task_of(&prompt, &responses).ok_or_else(|| RowError::Missing.in_field("task"))?
            }
        };
        let label = match record.optional_text("label")? {
            Some(name) => Some(name.parse().map_err(|_| {
                unknown_value(&name, "first, second, tie or null").in_field("label")
            })?),
            None => None,
        };
        Ok(PreferencePair {
            id,
            task,
            prompt,
            criterion: record.optional_text("criterion")?.and_then(Criterion::new),
            responses,
            label,
            ranking: record.take("ranking").map(ranking).transpose()?,
            source: record.optional_text("source")?,
            group: record.optional_text("group")?,
            extra: record.into_extra(),
        })
    }

    fn responses(&mut self, record: &mut Record) -> Result<Vec<Response>, Fault> {
        let contents = record.list("responses")?;
        source::few(contents.len()).map_err(|error| error.in_field("responses"))?;
        let models = match record.take("models") {
            None => vec![None; contents.len()],
            Some(models) => model_names(models, contents.len())?,
        };
        contents
            .into_iter()
            .zip(models)
            .enumerate()
            .map(|(index, (content, model))| {
                Ok(Response {
                    parts: self.parts(content, &format!("responses[{index}]"))?,
                    model,
                })
            })
            .collect()
    }

    /// The parts in a string or a list of parts.
    fn parts(&mut self, value: Value, field: &str) -> Result<Vec<ContentPart>, Fault> {
        match value {
            Value::String(text) => Ok(vec![ContentPart::Text(text)]),
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| self.part(item, &format!("{field}[{index}]")))
                .collect(),
            other => Err(wrong_type("a string or a list of parts", &other).in_field(field)),
        }
    }

    fn part(&mut self, value: Value, field: &str) -> Result<ContentPart, Fault> {
        if let Value::String(text) = value {
            return Ok(ContentPart::Text(text));
        }
        let inside = |fault: Fault| Fault {
            field: Some(match fault.field {
                Some(name) => format!("{field}.{name}"),
                None => field.to_owned(),
            }),
            ..fault
        };
        let mut record = Record::new(value).map_err(inside)?;
        let part = self.typed_part(&mut record).map_err(inside)?;
        match record.into_extra().keys().next() {
            // There is no place to keep it, and losing it silently would be worse.
            Some(unknown) => {
                Err(unknown_value(unknown, "`type` with `text` or `path`").in_field(field))
            }
            None => Ok(part),
        }
    }

    fn typed_part(&mut self, record: &mut Record) -> Result<ContentPart, Fault> {
        let kind = record.text("type")?;
        let modality = match kind.as_str() {
            "text" => return Ok(ContentPart::Text(record.text("text")?)),
            "image" => Modality::Image,
            "video" => Modality::Video,
            "audio" => Modality::Audio,
            "mesh" => Modality::Mesh,
            _ => {
                let known = "text, image, video, audio or mesh";
                return Err(unknown_value(&kind, known).in_field("type"));
            }
        };
        let medium = match record.take("absent") {
            Some(Value::Bool(true)) => MediaRef {
                modality,
                source: MediaSource::Absent {
                    name: record.text("path")?,
                },
            },
            _ => (self.place)(modality, record.optional_text("path")?)
                .map_err(|error| error.in_field("path"))?,
        };
        Ok(ContentPart::Media(medium))
    }
}

fn ranking(value: Value) -> Result<Vec<u32>, Fault> {
    serde_json::from_value(value.clone())
        .map_err(|_| wrong_type("a list of ranks, 1 for the best", &value).in_field("ranking"))
}

fn model_names(value: Value, responses: usize) -> Result<Vec<Option<String>>, Fault> {
    let fault = |error: RowError| error.in_field("models");
    let Value::Array(items) = value else {
        return Err(fault(wrong_type("a list", &value)));
    };
    if items.len() != responses {
        let reason = format!("{} names for {responses} responses", items.len());
        return Err(fault(RowError::Inconsistent(reason)));
    }
    items
        .into_iter()
        .map(|item| match item {
            Value::Null => Ok(None),
            name => text_of(name).map(Some).map_err(fault),
        })
        .collect()
}

/// The only task whose prompt and responses hold such media.
fn task_of(prompt: &[ContentPart], responses: &[Response]) -> Option<Task> {
    let modality = |parts: &[ContentPart]| {
        parts
            .iter()
            .find_map(ContentPart::as_media)
            .map(|media| media.modality)
    };
    let asked = modality(prompt);
    let answered = modality(&responses.first()?.parts).unwrap_or(Modality::Text);
    Task::ALL
        .into_iter()
        .find(|task| task.prompt_modality() == asked && task.response_modality() == answered)
}

/// Writes pairs to `file`, one a line, and returns how many. Media that are not below the file's
/// folder are copied into `media/` there.
///
/// # Errors
///
/// [`Error::Write`] or [`Error::Read`] when the file or a medium cannot be written or read.
pub fn pairs_jsonl<P: Borrow<PreferencePair>>(
    file: &Path,
    pairs: impl IntoIterator<Item = P>,
) -> Result<u64, Error> {
    let root = file.parent().unwrap_or(Path::new(""));
    let media = MediaFolder::beside(root, "media");
    json_lines::write(file, pairs, |pair| {
        pair_record(pair.borrow(), &mut |medium| media.place(medium).map(Some))
    })
}

/// A pair as a record of our own format, in which `name` says what each medium is called; it is asked in the order
/// prompt, first response, second response, …
///
/// # Errors
///
/// Those of `name`.
pub fn pair_record(
    pair: &PreferencePair,
    name: &mut dyn FnMut(&MediaRef) -> Result<Option<String>, Error>,
) -> Result<Map<String, Value>, Error> {
    let prompt = content(&pair.prompt, name)?;
    let responses: Vec<Value> = pair
        .responses
        .iter()
        .map(|response| content(&response.parts, name))
        .collect::<Result<_, Error>>()?;
    let mut record = Map::new();
    let mut put = |field: &str, value: Value| record.insert(field.to_owned(), value);
    put("id", json!(pair.id));
    put("task", json!(pair.task));
    put("prompt", prompt);
    put("criterion", json!(pair.criterion));
    put("responses", Value::Array(responses));
    if pair
        .responses
        .iter()
        .any(|response| response.model.is_some())
    {
        let models: Vec<_> = pair
            .responses
            .iter()
            .map(|response| &response.model)
            .collect();
        put("models", json!(models));
    }
    put("label", json!(pair.label));
    if let Some(ranking) = &pair.ranking {
        put("ranking", json!(ranking));
    }
    if let Some(source) = &pair.source {
        put("source", json!(source));
    }
    if let Some(group) = &pair.group {
        put("group", json!(group));
    }
    for (field, value) in &pair.extra {
        // A field that is called as one of the pair's own is kept under another name.
        let free = match record.get(field) {
            Some(_) => format!("published_{field}"),
            None => field.clone(),
        };
        record.entry(free).or_insert_with(|| value.clone());
    }
    Ok(record)
}

fn content(
    parts: &[ContentPart],
    name: &mut dyn FnMut(&MediaRef) -> Result<Option<String>, Error>,
) -> Result<Value, Error> {
    if let [ContentPart::Text(text)] = parts {
        return Ok(json!(text));
    }
    parts
        .iter()
        .map(|part| match part {
            ContentPart::Text(text) => Ok(json!({"type": "text", "text": text})),
            ContentPart::Media(medium) => {
                let path = name(medium)?;
                let mut value = json!({"type": medium.modality, "path": path});
                if matches!(medium.source, MediaSource::Absent { .. }) {
                    value["absent"] = json!(true);
                }
                Ok(value)
            }
        })
        .collect()
}
