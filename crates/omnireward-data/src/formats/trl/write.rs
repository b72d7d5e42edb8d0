//! Pairs as preference records.

use std::{borrow::Borrow, path::Path};

use omnireward_core::{Modality, Part as ContentPart, PreferencePair, Response};
use serde_json::{Value, json};

use crate::{
    Error, Format,
    formats::{
        carried,
        laid::{self, Laid, Unfit},
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
    json_lines::write(file, pairs, |pair| {
        let pair = pair.borrow();
        let laid = laid_out(pair).map_err(|unfit| Error::Unwritable {
            id: pair.id.clone(),
            format: Format::TrlPreference,
            reason: format!("it has no place for {} (`{}`)", unfit.reason, unfit.field),
        })?;
        laid.placed(&media)
    })
}

/// The record of a pair, with an explicit prompt. Nothing of it is placed yet.
fn laid_out(pair: &PreferencePair) -> Result<Laid, Unfit> {
    let (chosen, rejected) = answers(pair)?;
    let turns = with_criterion(pair);
    let mut images = Vec::new();
    for medium in turns
        .iter()
        .flat_map(|turn| &turn.parts)
        .filter_map(ContentPart::as_media)
    {
        if medium.modality != Modality::Image {
            return Err(Unfit::new("prompt", "media other than images"));
        }
        images.push(medium.clone());
    }
    let mut laid = Laid::default();
    laid.put("id", json!(pair.id));
    laid.put("prompt", turns::messages(&turns));
    laid.put("chosen", json!([chosen]));
    laid.put("rejected", json!([rejected]));
    if !images.is_empty() {
        laid.media.push(("images", images));
    }
    if let Some(criterion) = &pair.criterion {
        laid.put("criterion", json!(&**criterion));
    }
    if let Some(source) = &pair.source {
        laid.put("source", json!(source));
    }
    Ok(laid)
}

/// As [`laid_out`], carrying along what the form has no columns for. Without images, contents are strings.
pub(crate) fn laid_out_whole(pair: &PreferencePair) -> Result<Laid, Unfit> {
    let mut laid = laid_out(pair)?;
    let again: fn(&[ContentPart]) -> Vec<ContentPart> = if laid.media.is_empty() {
        laid.put("prompt", turns::messages(&spoken(with_criterion(pair))));
        laid::retagged
    } else {
        as_they_are
    };
    let prompt = laid::prompt_again(turns::turns_of(pair), again);
    laid.put(
        carried::COLUMN,
        carried::text(pair, &prompt, &laid::answers_again(pair)),
    );
    for field in ["id", "criterion", "source"] {
        laid.record.shift_remove(field);
    }
    Ok(laid)
}

/// Parts of a message that is a list of them. An empty list is written as empty words.
fn as_they_are(parts: &[ContentPart]) -> Vec<ContentPart> {
    match parts {
        [] => vec![ContentPart::from("")],
        parts => parts.to_vec(),
    }
}

/// Turns of words, each in one piece.
fn spoken(turns: Vec<Turn>) -> Vec<Turn> {
    let whole = |turn: Turn| Turn {
        parts: laid::retagged(&turn.parts),
        ..turn
    };
    turns.into_iter().map(whole).collect()
}

/// The record of a pair of words alone in which both sides repeat the prompt, as OpenRLHF takes it.
pub(crate) fn laid_out_conversations(pair: &PreferencePair) -> Result<Laid, Unfit> {
    let (chosen, rejected) = answers(pair)?;
    let turns = with_criterion(pair);
    if turns
        .iter()
        .flat_map(|turn| &turn.parts)
        .any(|part| part.as_media().is_some())
    {
        return Err(Unfit::new("prompt", "media"));
    }
    if turns
        .first()
        .is_some_and(|turn| turn.speaker == Speaker::Assistant)
    {
        let reason = "a conversation that the assistant begins";
        return Err(Unfit::new("prompt", reason));
    }
    let spoken = spoken(turns);
    let side = |answer: Value| match turns::messages(&spoken) {
        Value::Array(mut messages) => {
            messages.push(answer);
            Value::Array(messages)
        }
        other => other,
    };
    let mut laid = Laid::default();
    laid.put("chosen", side(chosen));
    laid.put("rejected", side(rejected));
    let prompt = laid::prompt_again(turns::turns_of(pair), laid::retagged);
    laid.put(
        carried::COLUMN,
        carried::text(pair, &prompt, &laid::answers_again(pair)),
    );
    Ok(laid)
}

/// The messages of the preferred answer and of the other one.
fn answers(pair: &PreferencePair) -> Result<(Value, Value), Unfit> {
    if pair.task.is_generation() {
        return Err(Unfit::new("responses", "generated media"));
    }
    let (chosen, rejected) = laid::decided(pair)?;
    let message = |answer: &Response| {
        let content = laid::words(answer)?;
        Ok(json!({ "role": "assistant", "content": content }))
    };
    Ok((message(chosen)?, message(rejected)?))
}

/// The turns of a pair's prompt after the criterion, which is the system's.
fn with_criterion(pair: &PreferencePair) -> Vec<Turn> {
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
    turns
}
