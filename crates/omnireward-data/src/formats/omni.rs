//! What the two Omni-RewardBench layouts have in common: the fields of a record, and where the
//! media that they name are.

use std::path::{Path, PathBuf};

use omnireward_core::{
    Criterion, MediaRef, MediaSource, Modality, Part as ContentPart, Preference, PreferencePair,
    Response, Task, joined_text,
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{
    Error, Format, OpenOptions, RowError, Rows, confine,
    error::Fault,
    fingerprint::hex,
    formats::parquet_rows::Embedded,
    hub,
    record::{Record, unknown_value},
};

/// The field that holds the medium of a task's prompt.
pub(crate) const fn prompt_field(task: Task) -> Option<&'static str> {
    match task {
        Task::TI2T | Task::TI2I => Some("image"),
        Task::TV2T => Some("video"),
        Task::TA2T => Some("audio"),
        Task::T2T | Task::T2I | Task::T2V | Task::T2A | Task::T23D => None,
    }
}

/// The fields of a task that hold media.
pub(crate) fn media_fields(task: Task) -> impl Iterator<Item = &'static str> {
    let responses: &[_] = if task.is_generation() {
        &RESPONSES
    } else {
        &[]
    };
    prompt_field(task)
        .into_iter()
        .chain(responses.iter().copied())
}

/// The fields of the two responses.
pub(crate) const RESPONSES: [&str; 2] = ["response1", "response2"];

/// Turns the records of one task into pairs.
#[derive(Clone)]
pub(crate) struct Reader {
    task: Task,
    folders: Vec<PathBuf>,
    options: OpenOptions,
}

impl Reader {
    /// For records of a dataset at `root`.
    pub(crate) fn new(task: Task, root: &Path, options: &OpenOptions) -> Self {
        Self {
            task,
            folders: media_folders(root),
            options: options.clone(),
        }
    }

    /// The pair in a record whose embedded media, by field, are `embedded`.
    pub(crate) fn pair(
        &self,
        mut record: Record,
        mut embedded: Embedded,
    ) -> Result<PreferencePair, Fault> {
        let key = self.task.key();
        let id = record
            .optional_id("id")?
            .ok_or_else(|| RowError::Missing.in_field("id"))?;
        let question = record.text("prompt")?;
        let mut prompt = Vec::new();
        if let Some(field) = prompt_field(self.task) {
            prompt.push(self.medium(field, &mut record, &mut embedded)?.into());
        }
        prompt.push(ContentPart::Text(question));
        let mut responses = Vec::new();
        for (field, by) in RESPONSES.into_iter().zip(["model1", "model2"]) {
            let response = if self.task.is_generation() {
                Response::media(self.medium(field, &mut record, &mut embedded)?)
            } else {
                Response::text(record.text(field)?)
            };
            let model = record.optional_text(by)?.filter(|model| !model.is_empty());
            responses.push(Response { model, ..response });
        }
        let criterion = Criterion::new(record.text("criteria")?);
        let label = label_of(&record.text("criteria_preference")?)?;
        Ok(PreferencePair {
            id: format!("{key}/{id}"),
            task: self.task,
            group: Some(format!("{key}:{}", digest_of(&prompt, &responses))),
            prompt,
            criterion,
            responses,
            label: Some(label),
            ranking: None,
            source: record.optional_text("source")?,
            extra: record.into_extra(),
        })
    }

    /// The medium of a field: the file that `<field>_path` names when it is there, else the bytes
    /// that came with the record, else the first file that is there of those that the strings name.
    ///
    /// With bytes at hand a name that is refused is only a name less.
    fn medium(
        &self,
        field: &str,
        record: &mut Record,
        embedded: &mut Embedded,
    ) -> Result<MediaRef, Fault> {
        let path_field = format!("{field}_path");
        let listed = record.optional_text(&path_field);
        let named = record.optional_text(field);
        let blob = embedded
            .remove(field)
            .and_then(|blobs| blobs.into_iter().next());
        let (bytes, inner) = blob.map_or((None, None), |blob| (blob.bytes, blob.path));
        if let Some(bytes) = bytes {
            let mut names = [listed.ok().flatten(), inner]
                .into_iter()
                .flatten()
                .filter(|name| confine::spelled_inside(name).is_ok());
            let name = names.next();
            return Ok(match name.as_deref().map(|name| self.file(name)) {
                Some(Ok(medium)) if is_file(&medium) => medium,
                _ => MediaRef {
                    modality: self.modality(name.as_deref(), Some(&bytes)),
                    source: MediaSource::Bytes { bytes, name },
                },
            });
        }
        let mut expected = None;
        for (name, field) in [
            (listed?, path_field.as_str()),
            (named?, field),
            (inner, field),
        ] {
            let Some(name) = name else { continue };
            match self.file(&name).map_err(|error| error.in_field(field)) {
                Ok(medium) if is_there(&medium) => return Ok(medium),
                other => {
                    expected.get_or_insert(other);
                }
            }
        }
        expected.unwrap_or_else(|| Err(RowError::Missing.in_field(field)))
    }

    /// Whether a name leads to a file that exists.
    pub(crate) fn finds(&self, name: &str) -> bool {
        self.file(name).is_ok_and(|medium| is_file(&medium))
    }

    /// The file in the first folder that has it, or where it should have been.
    fn file(&self, name: &str) -> Result<MediaRef, RowError> {
        let modality = self.modality(Some(name), None);
        confine::media_in(&self.folders, name, modality, &self.options)
    }

    /// What a medium of the task is. A 3D response may be rendered views in one picture, and
    /// usually is.
    fn modality(&self, name: Option<&str>, bytes: Option<&[u8]>) -> Modality {
        match (self.task.response_modality(), self.task.prompt_modality()) {
            (Modality::Mesh, _) if is_mesh(name, bytes) => Modality::Mesh,
            (Modality::Mesh, _) => Modality::Image,
            (Modality::Text, Some(asked)) => asked,
            (answered, _) => answered,
        }
    }
}

fn is_there(medium: &MediaRef) -> bool {
    is_file(medium) || matches!(medium.source, MediaSource::Url(_))
}

fn is_file(medium: &MediaRef) -> bool {
    matches!(&medium.source, MediaSource::File { path, .. } if path.is_file())
}

fn is_mesh(name: Option<&str>, bytes: Option<&[u8]>) -> bool {
    let extension = name
        .and_then(|name| name.rsplit_once('.'))
        .map(|(_, extension)| extension);
    match extension.map(str::to_ascii_lowercase).as_deref() {
        Some("obj" | "ply" | "stl" | "gltf" | "glb" | "off") => true,
        Some("png" | "jpg" | "jpeg" | "webp" | "gif" | "bmp") => false,
        _ => bytes
            .and_then(omnireward_media::sniff)
            .is_some_and(|format| format.modality() == Modality::Mesh),
    }
}

/// Where a dataset's media may be, best first: `media_data/` in the dataset, beside it, or
/// extracted next to a hub snapshot, and the dataset itself.
fn media_folders(root: &Path) -> Vec<PathBuf> {
    let beside = root.parent().map(|parent| parent.join("media_data"));
    let mut folders: Vec<PathBuf> = [
        Some(root.join("media_data")),
        hub::extracted_media(root),
        beside,
    ]
    .into_iter()
    .flatten()
    .filter(|folder| folder.is_dir())
    .collect();
    folders.push(root.to_owned());
    folders
}

fn label_of(value: &str) -> Result<Preference, Fault> {
    match value {
        "response1" => Ok(Preference::First),
        "response2" => Ok(Preference::Second),
        "tie" => Ok(Preference::Tie),
        other => {
            Err(unknown_value(other, "response1, response2 or tie").in_field("criteria_preference"))
        }
    }
}

/// Identifies what several criteria share: prompt and responses, whichever comes first. A medium
/// counts by its name where it has one.
fn digest_of(prompt: &[ContentPart], responses: &[Response]) -> String {
    let mut sides: Vec<[u8; 32]> = responses
        .iter()
        .map(|response| digest_of_parts(&response.parts))
        .collect();
    sides.sort_unstable();
    let mut hasher = Sha256::new_with_prefix(digest_of_parts(prompt));
    for side in sides {
        hasher.update(side);
    }
    hex(&hasher.finalize()[..8])
}

fn digest_of_parts(parts: &[ContentPart]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        let (kind, content): (u8, &[u8]) = match part {
            ContentPart::Text(text) => (0, text.as_bytes()),
            ContentPart::Media(media) => match &media.source {
                MediaSource::Bytes { bytes, name: None } => (1, bytes),
                _ => (2, media.name().as_bytes()),
            },
        };
        hasher.update([kind]);
        hasher.update((content.len() as u64).to_le_bytes());
        hasher.update(content);
    }
    hasher.finalize().into()
}

/// The rows, and an error in place of none at all.
pub(crate) fn not_empty(file: &Path, rows: Rows) -> Rows {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        let error = Error::Empty {
            path: file.to_owned(),
            reason: "it has no records".to_owned(),
        };
        return Box::new(std::iter::once(Err(error)));
    }
    Box::new(rows)
}

/// A pair as the fields of either layout.
pub(crate) struct Outgoing<'a> {
    pub(crate) task: Task,
    pub(crate) id: &'a str,
    pub(crate) prompt: String,
    pub(crate) medium: Option<&'a MediaRef>,
    pub(crate) responses: [Answer<'a>; 2],
    pub(crate) models: [&'a str; 2],
    pub(crate) criteria: &'a str,
    pub(crate) preference: &'static str,
    pub(crate) source: Option<&'a str>,
    pub(crate) extra: &'a Map<String, Value>,
}

/// A response as one field.
pub(crate) enum Answer<'a> {
    Text(String),
    Medium(&'a MediaRef),
}

impl<'a> Outgoing<'a> {
    /// The fields of a pair, if these layouts have a place for all of it.
    pub(crate) fn new(pair: &'a PreferencePair, format: Format) -> Result<Self, Error> {
        Self::fields(pair).map_err(|reason| Error::Unwritable {
            id: pair.id.clone(),
            format,
            reason: reason.to_owned(),
        })
    }

    fn fields(pair: &'a PreferencePair) -> Result<Self, &'static str> {
        let [first, second] = &pair.responses[..] else {
            return Err("it has more than two responses");
        };
        let prefix = pair.id.strip_prefix(pair.task.key());
        Ok(Self {
            task: pair.task,
            id: prefix
                .and_then(|rest| rest.strip_prefix('/'))
                .unwrap_or(&pair.id),
            prompt: joined_text(&pair.prompt),
            medium: prompt_medium(pair)?,
            responses: [answer(pair.task, first)?, answer(pair.task, second)?],
            models: [first, second].map(|response| response.model.as_deref().unwrap_or("")),
            criteria: pair.criterion.as_deref().unwrap_or(""),
            preference: match pair.label.ok_or("it has no label")? {
                Preference::First => "response1",
                Preference::Second => "response2",
                Preference::Tie => "tie",
            },
            source: pair.source.as_deref(),
            extra: &pair.extra,
        })
    }
}

fn prompt_medium(pair: &PreferencePair) -> Result<Option<&MediaRef>, &'static str> {
    let mut media = pair.prompt.iter().filter_map(ContentPart::as_media);
    let first = media.next();
    if media.next().is_some() {
        return Err("its prompt has more than one medium");
    }
    match (first, prompt_field(pair.task)) {
        (Some(_), None) => Err("its prompt has a medium, which the task has no field for"),
        (None, Some(_)) => Err("its prompt lacks the task's medium"),
        (medium, _) => Ok(medium),
    }
}

fn answer(task: Task, response: &Response) -> Result<Answer<'_>, &'static str> {
    let media: Vec<&MediaRef> = response
        .parts
        .iter()
        .filter_map(ContentPart::as_media)
        .collect();
    let text = joined_text(&response.parts);
    match (task.is_generation(), &media[..]) {
        (true, [medium]) if text.is_empty() => Ok(Answer::Medium(medium)),
        (false, []) => Ok(Answer::Text(text)),
        (true, _) => Err("a response is not exactly one medium"),
        (false, _) => Err("a response is not only text"),
    }
}
