//! Pairs as preference records.

use std::{borrow::Borrow, path::Path};

use omnireward_core::{Modality, Part as ContentPart, PreferencePair, Response, joined_text};
use serde_json::{Map, Value, json};

use crate::{
    Error, Format,
    formats::{
        source,
        turns::{self, Speaker, Turn},
    },
    json_lines,
    place::MediaFolder,
};

/// Writes pairs with text answers to `file` in TRL's conversational form with an explicit prompt,
/// one JSON object a line, and returns how many.
///
/// The preferred response becomes `chosen`. The criterion is a system message, and is repeated in a
/// column of its own. Models and fields in `extra` other than the turns have no place here. Images
/// that are not below the file's folder are copied into `images/` there.
/// Rows with and without images have contents of different types, so loaders that infer a schema
/// want them in separate files.
///
/// # Errors
///
/// [`Error::Unwritable`] for a pair that does not prefer one of two responses, whose answers are
/// not text, or whose prompt holds other media than images; [`Error::Write`] or [`Error::Read`]
/// when a file or an image cannot be written or read.
pub fn trl_preference<P: Borrow<PreferencePair>>(
    file: &Path,
    pairs: impl IntoIterator<Item = P>,
) -> Result<u64, Error> {
    let root = file.parent().unwrap_or(Path::new(""));
    let media = MediaFolder::beside(root, "images");
    json_lines::write(file, pairs, |pair| record(pair.borrow(), &media))
}

fn record(pair: &PreferencePair, folder: &MediaFolder) -> Result<Map<String, Value>, Error> {
    let refused = |reason: &str| Error::Unwritable {
        id: pair.id.clone(),
        format: Format::TrlPreference,
        reason: reason.to_owned(),
    };
    if pair.task.is_generation() {
        return Err(refused("its answers are text"));
    }
    let (chosen, rejected) = source::chosen_and_rejected(pair)
        .ok_or_else(|| refused("it prefers one of two answers"))?;
    let mut parts = chosen.parts.iter().chain(&rejected.parts);
    if parts.any(|part| part.as_media().is_some()) {
        return Err(refused("its answers are text"));
    }
    let mut turns = turns::turns_of(pair);
    if let Some(criterion) = &pair.criterion {
        let parts = vec![ContentPart::from(&**criterion)];
        turns.insert(
            0,
            Turn {
                speaker: Speaker::System,
                parts,
            },
        );
    }
    let mut images = Vec::new();
    for medium in turns
        .iter()
        .flat_map(|turn| &turn.parts)
        .filter_map(ContentPart::as_media)
    {
        if medium.modality != Modality::Image {
            return Err(refused("its prompt holds no media but images"));
        }
        images.push(folder.place(medium)?);
    }
    let mut record = Map::new();
    let mut put = |field: &str, value: Value| record.insert(field.to_owned(), value);
    put("id", json!(pair.id));
    put("prompt", turns::messages(&turns));
    put("chosen", answer(chosen));
    put("rejected", answer(rejected));
    if !images.is_empty() {
        put("images", json!(images));
    }
    if let Some(criterion) = &pair.criterion {
        put("criterion", json!(criterion));
    }
    if let Some(source) = &pair.source {
        put("source", json!(source));
    }
    Ok(record)
}

fn answer(response: &Response) -> Value {
    json!([{ "role": "assistant", "content": joined_text(&response.parts) }])
}
