//! Pairs as ms-swift's rows.

use omnireward_core::{MediaRef, Modality, PreferencePair, Task, joined_text};
use serde_json::{Value, json};

use crate::formats::{
    carried,
    laid::{self, Laid, Unfit},
    turns,
};

/// The record of a pair, carrying along what the form has no columns for. Nothing of it is placed yet.
pub(crate) fn laid_out_whole(pair: &PreferencePair) -> Result<Laid, Unfit> {
    let criterion = pair.criterion.as_deref().unwrap_or_default();
    if pair.task != Task::T2T && holds_placeholder(criterion) {
        return Err(Unfit::new("criterion", PLACEHOLDER));
    }
    if pair.task.is_generation() {
        generated(pair)
    } else {
        understood(pair)
    }
}

fn understood(pair: &PreferencePair) -> Result<Laid, Unfit> {
    let (chosen, rejected) = laid::decided(pair)?;
    let [chosen, rejected] = [laid::words(chosen)?, laid::words(rejected)?];
    if chosen == rejected {
        // ms-swift stops at such a row.
        return Err(Unfit::new("responses", "two answers with the same words"));
    }
    let mut media = Vec::new();
    let mut messages = system(pair);
    for turn in turns::turns_of(pair) {
        let content = laid::tagged(&turn.parts, &mut media)?;
        messages.push(json!({"role": turn.speaker.role(), "content": content}));
    }
    messages.push(assistant(&chosen));
    if !media.is_empty() && (holds_placeholder(&chosen) || holds_placeholder(&rejected)) {
        return Err(Unfit::new("responses", PLACEHOLDER));
    }
    let mut laid = Laid::default();
    laid.put("messages", Value::Array(messages));
    laid.put("rejected_response", json!(rejected));
    for modality in [Modality::Image, Modality::Video, Modality::Audio] {
        let of_kind = media.iter().filter(|medium| medium.modality == modality);
        let of_kind: Vec<MediaRef> = of_kind.cloned().collect();
        if !of_kind.is_empty() {
            laid.media.push((laid::column(modality)?, of_kind));
        }
    }
    let prompt = laid::prompt_again(turns::turns_of(pair), laid::retagged);
    let responses = laid::answers_again(pair);
    laid.put(carried::COLUMN, carried::text(pair, &prompt, &responses));
    Ok(laid)
}

fn generated(pair: &PreferencePair) -> Result<Laid, Unfit> {
    let (chosen, rejected) = laid::decided(pair)?;
    let [chosen, rejected] = [laid::side(pair, chosen)?, laid::side(pair, rejected)?];
    if chosen.len() != rejected.len() {
        return Err(Unfit::new(
            "responses",
            "sides with different numbers of media",
        ));
    }
    let modality = pair.task.response_modality();
    if chosen
        .iter()
        .chain(&rejected)
        .any(|medium| column_of(medium) != column_of(&chosen[0]))
    {
        return Err(Unfit::new("responses", "media of several kinds"));
    }
    let mut user = String::new();
    for medium in &chosen {
        user.push_str(laid::tag(medium.modality)?);
    }
    let words = joined_text(&pair.prompt);
    if holds_placeholder(&words) {
        return Err(Unfit::new("prompt", PLACEHOLDER));
    }
    let mut messages = system(pair);
    messages.push(json!({"role": "user", "content": user}));
    messages.push(assistant(&words));
    let mut laid = Laid::default();
    laid.put("messages", json!(messages));
    laid.put("rejected_messages", json!(messages));
    let column = laid::column(chosen.first().map_or(modality, |medium| medium.modality))?;
    laid.media.push((column, chosen));
    laid.media.push((rejected_column(column), rejected));
    let sides = laid::sides_again(pair);
    let prompt = laid::generation_prompt_again(pair);
    laid.put(carried::COLUMN, carried::text(pair, &prompt, &sides));
    Ok(laid)
}

const PLACEHOLDER: &str = "words that hold a placeholder, which would be taken for a medium";

/// Whether ms-swift would take something in the words for a medium.
fn holds_placeholder(words: &str) -> bool {
    turns::TAGS.iter().any(|tag| words.contains(tag))
}

fn column_of(medium: &MediaRef) -> Option<&'static str> {
    laid::column(medium.modality).ok()
}

fn rejected_column(column: &str) -> &'static str {
    match column {
        "videos" => "rejected_videos",
        "audios" => "rejected_audios",
        _ => "rejected_images",
    }
}

/// The criterion as the system's message.
fn system(pair: &PreferencePair) -> Vec<Value> {
    let message = |wording: &str| json!({"role": "system", "content": wording});
    pair.criterion
        .iter()
        .map(|criterion| message(criterion))
        .collect()
}

fn assistant(words: &str) -> Value {
    json!({"role": "assistant", "content": words})
}
