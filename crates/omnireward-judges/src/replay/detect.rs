use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Recording, audiojudge, genai_bench, llmbar, own, reference, scores};
use crate::{Error, hash::sha256_hex};

const EXPECTED: &str = "JSON lines with `id` and `reply`, `preference` or `scores`; a result array \
                        of the reference evaluation; verdict tables of LLMBar, GenAI-Bench or \
                        AudioJudge; scores of RM-Bench, MJ-Bench or TIFA; or reviews with scores";

/// One file of a recording.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

impl Source {
    /// The file's name up to its first dot: the subset's name in published tables.
    pub(super) fn stem(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        name.split('.').next().unwrap_or_default().to_owned()
    }
}

/// What the user asked for, for choosing and for messages.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) path: &'a Path,
    pub(super) selector: Option<&'a str>,
}

impl Asked<'_> {
    /// The judge that was chosen among `available`.
    ///
    /// # Errors
    ///
    /// [`Error::SelectorNeeded`] or [`Error::UnknownSelector`].
    pub(super) fn choose(self, mut available: Vec<String>) -> Result<String, Error> {
        available.sort();
        available.dedup();
        match self.selector {
            Some(name) if available.iter().any(|known| known == name) => Ok(name.to_owned()),
            Some(name) => Err(Error::UnknownSelector {
                path: self.path.to_owned(),
                selector: name.to_owned(),
                available,
            }),
            None if available.len() == 1 => Ok(available.remove(0)),
            None => Err(Error::SelectorNeeded {
                path: self.path.to_owned(),
                available,
            }),
        }
    }

    /// Refuses a choice where there is nothing to choose from.
    ///
    /// # Errors
    ///
    /// [`Error::SelectorUnused`].
    pub(super) fn choose_nothing(self) -> Result<(), Error> {
        match self.selector {
            None => Ok(()),
            Some(selector) => Err(Error::SelectorUnused {
                path: self.path.to_owned(),
                selector: selector.to_owned(),
            }),
        }
    }
}

/// The files that the recording at `path` consists of: itself, or those directly in it, in the
/// order of their names.
pub(super) fn files(path: &Path) -> Result<Vec<Source>, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Read { path, source }
    };
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        let entries: Result<Vec<_>, _> = fs::read_dir(path)
            .and_then(Iterator::collect)
            .map_err(failed(path));
        paths = entries?
            .into_iter()
            .map(|entry: fs::DirEntry| entry.path())
            .collect();
        paths.retain(|path| has_known_extension(path));
        paths.sort();
    }
    paths
        .into_iter()
        .map(|path| {
            let bytes = fs::read(&path).map_err(failed(&path))?;
            Ok(Source { path, bytes })
        })
        .collect()
}

fn has_known_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("csv" | "json" | "jsonl")) && path.is_file()
}

/// SHA-256 over the names and contents of `files`.
pub(super) fn fingerprint(files: &[Source]) -> String {
    sha256_hex(files.iter().flat_map(|file| {
        let name = file.path.file_name().unwrap_or_default();
        [name.as_encoded_bytes(), &file.bytes]
    }))
}

/// Reads `files`, whose kind their content tells.
///
/// # Errors
///
/// [`Error::NotARecording`] when no kind fits, and what reading that kind fails with.
pub(super) fn read(files: Vec<Source>, asked: Asked<'_>) -> Result<Recording, Error> {
    let (kind, files) = by_kind(files).ok_or_else(|| Error::NotARecording {
        path: asked.path.to_owned(),
        expected: EXPECTED,
    })?;
    match kind {
        Kind::Own => own::read(&files, asked),
        Kind::Reference => reference::read(&files, asked),
        Kind::LlmBar => llmbar::read(&files, asked),
        Kind::GenAiBench => genai_bench::read(&files, asked),
        Kind::AudioPairs => audiojudge::read_pairs(&files, asked),
        Kind::AudioChat => audiojudge::read_chat(&files, asked),
        Kind::RmBench => scores::read_rm_bench(&files, asked),
        Kind::MjBench => scores::read_mj_bench(&files, asked),
        Kind::Reviews => scores::read_reviews(&files, asked),
        Kind::Tifa => scores::read_tifa(&files, asked),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Own,
    Reference,
    LlmBar,
    GenAiBench,
    AudioPairs,
    AudioChat,
    RmBench,
    MjBench,
    Reviews,
    Tifa,
}

/// The files of the kind of the first that has one; published folders hold other files too.
fn by_kind(files: Vec<Source>) -> Option<(Kind, Vec<Source>)> {
    let kind = files.iter().find_map(kind_of)?;
    let files = files
        .into_iter()
        .filter(|file| kind_of(file) == Some(kind))
        .collect();
    Some((kind, files))
}

fn kind_of(file: &Source) -> Option<Kind> {
    let start = file
        .bytes
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())?;
    match file.bytes[start] {
        b'[' => array_kind(&first_element(&file.bytes[start + 1..])?),
        b'{' => object_kind(&file.bytes[start..]),
        _ => table_kind(&file.bytes[start..]),
    }
}

/// The first value of a JSON array whose bracket has been read.
fn first_element(rest: &[u8]) -> Option<Value> {
    serde_json::Deserializer::from_slice(rest)
        .into_iter()
        .next()?
        .ok()
}

fn array_kind(first: &Value) -> Option<Kind> {
    let has = |field: &str| first.get(field).is_some();
    if has("score_chosen") && has("score_rejected") {
        Some(Kind::RmBench)
    } else if has("predicted") && has("prompt") {
        Some(Kind::Reference)
    } else {
        None
    }
}

fn object_kind(bytes: &[u8]) -> Option<Kind> {
    let first = first_element(bytes)?;
    let has = |field: &str| first.get(field).is_some();
    let scores = |field: &str| first.get(field).is_some_and(Value::is_object);
    if has("image_0_path") && scores("scores") {
        Some(Kind::MjBench)
    } else if has("question_id") && has("scores") {
        Some(Kind::Reviews)
    } else if has("id") && own::CONTENT.iter().any(|field| has(field)) {
        Some(Kind::Own)
    } else if first
        .as_object()?
        .values()
        .next()?
        .get("image_path")
        .is_some()
    {
        Some(Kind::Tifa)
    } else {
        None
    }
}

fn table_kind(bytes: &[u8]) -> Option<Kind> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim();
    let columns: Vec<&str> = line.trim_start_matches('\u{feff}').split(',').collect();
    let has = |wanted: &[&str]| wanted.iter().all(|column| columns.contains(column));
    if has(&["row", "evaluator", "winner_order1", "winner_order2"]) {
        Some(Kind::LlmBar)
    } else if has(&["idx", "human_vote"]) {
        Some(Kind::GenAiBench)
    } else if has(&[
        "item",
        "transcript_given",
        "orders_swapped",
        "prediction_as_presented",
    ]) {
        Some(Kind::AudioPairs)
    } else if has(&["index", "model_a", "model_b", "prediction"]) {
        Some(Kind::AudioChat)
    } else {
        None
    }
}
