//! Pairs laid out as records of trainers' forms, before their media are put anywhere.

use omnireward_core::{
    MediaRef, Modality, Part as ContentPart, Preference, PreferencePair, Response, joined_text,
};
use serde_json::{Map, Value, json};

use super::turns::{self, Turn};
use crate::{Error, place::MediaFolder};

/// Why a form has no place for a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unfit {
    /// The field of the pair.
    pub(crate) field: &'static str,
    /// What it holds.
    pub(crate) reason: &'static str,
}

impl Unfit {
    pub(crate) const fn new(field: &'static str, reason: &'static str) -> Self {
        Self { field, reason }
    }
}

/// A record, and the media that its columns are to name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Laid {
    pub(crate) record: Map<String, Value>,
    pub(crate) media: Vec<(&'static str, Vec<MediaRef>)>,
}

impl Laid {
    pub(crate) fn put(&mut self, field: &str, value: Value) {
        self.record.insert(field.to_owned(), value);
    }

    /// The record, its media put below a folder.
    pub(crate) fn placed(mut self, folder: &MediaFolder) -> Result<Map<String, Value>, Error> {
        for (column, media) in std::mem::take(&mut self.media) {
            let names: Vec<String> = media
                .iter()
                .map(|medium| folder.place(medium))
                .collect::<Result<_, _>>()?;
            self.put(column, json!(names));
        }
        Ok(self.record)
    }
}

/// The two responses of a labelled pair.
pub(crate) fn two(pair: &PreferencePair) -> Result<(&Response, &Response, Preference), Unfit> {
    let [first, second] = &pair.responses[..] else {
        return Err(Unfit::new("responses", "more than two responses"));
    };
    let label = pair
        .label
        .ok_or(Unfit::new("label", "an unlabelled pair"))?;
    Ok((first, second, label))
}

/// The preferred of two responses, and the other one.
pub(crate) fn decided(pair: &PreferencePair) -> Result<(&Response, &Response), Unfit> {
    match two(pair)? {
        (first, second, Preference::First) => Ok((first, second)),
        (first, second, Preference::Second) => Ok((second, first)),
        (_, _, Preference::Tie) => Err(Unfit::new("label", "a tie: it prefers one of two")),
    }
}

/// The words of an answer that is words alone.
pub(crate) fn words(response: &Response) -> Result<String, Unfit> {
    if response.parts.iter().any(|part| part.as_media().is_some()) {
        return Err(Unfit::new("responses", "media in an answer"));
    }
    Ok(joined_text(&response.parts))
}

/// The media of a response that is media alone.
pub(crate) fn media(response: &Response) -> Result<Vec<MediaRef>, Unfit> {
    response
        .parts
        .iter()
        .filter(|part| part.as_text() != Some(""))
        .map(|part| match part {
            ContentPart::Media(medium) => Ok(medium.clone()),
            ContentPart::Text(_) => Err(Unfit::new("responses", "words beside generated media")),
        })
        .collect()
}

/// The words of parts, with a placeholder for each medium, whose media are added to `media`.
pub(crate) fn tagged(parts: &[ContentPart], media: &mut Vec<MediaRef>) -> Result<String, Unfit> {
    let has_media = parts.iter().any(|part| part.as_media().is_some());
    let mut text = String::new();
    let mut after_words = false;
    for part in parts {
        match part {
            ContentPart::Text(words) => {
                if has_media && turns::TAGS.iter().any(|tag| words.contains(tag)) {
                    let reason = "words that hold a placeholder, which would be taken for a medium";
                    return Err(Unfit::new("prompt", reason));
                }
                if after_words {
                    text.push('\n');
                }
                text.push_str(words);
                after_words = true;
            }
            ContentPart::Media(medium) => {
                text.push_str(tag(medium.modality)?);
                media.push(medium.clone());
                after_words = false;
            }
        }
    }
    Ok(text)
}

/// The placeholder of a medium.
pub(crate) fn tag(modality: Modality) -> Result<&'static str, Unfit> {
    turns::tag(modality).ok_or(Unfit::new("responses", "meshes"))
}

/// The column for media of a kind.
pub(crate) fn column(modality: Modality) -> Result<&'static str, Unfit> {
    match modality {
        Modality::Image => Ok("images"),
        Modality::Video => Ok("videos"),
        Modality::Audio => Ok("audios"),
        Modality::Text | Modality::Mesh => Err(Unfit::new("responses", "meshes")),
    }
}

/// A generated side with the media of the prompt before its own.
pub(crate) fn side(pair: &PreferencePair, response: &Response) -> Result<Vec<MediaRef>, Unfit> {
    let mut side: Vec<MediaRef> = pair
        .prompt
        .iter()
        .filter_map(ContentPart::as_media)
        .cloned()
        .collect();
    let generated = media(response)?;
    if !side.is_empty() && (side.len(), generated.len()) != (1, 1) {
        return Err(Unfit::new(
            "prompt",
            "an edit of several media, or into several",
        ));
    }
    side.extend(generated);
    Ok(side)
}

/// What [`tagged`] words are read as again: runs of words in one, without empty ones.
pub(crate) fn retagged(parts: &[ContentPart]) -> Vec<ContentPart> {
    if parts.iter().all(|part| part.as_text().is_some()) {
        return vec![ContentPart::Text(joined_text(parts))];
    }
    let is_medium = |part: &ContentPart| part.as_media().is_some();
    parts
        .chunk_by(|one, other| !is_medium(one) && !is_medium(other))
        .map(|run| match run {
            [ContentPart::Media(medium)] => ContentPart::Media(medium.clone()),
            words => ContentPart::Text(joined_text(words)),
        })
        .filter(|part| part.as_text() != Some(""))
        .collect()
}

/// The prompt that is read again from turns whose parts come back as `again` makes them.
pub(crate) fn prompt_again(
    turns: Vec<Turn>,
    again: impl Fn(&[ContentPart]) -> Vec<ContentPart>,
) -> Vec<ContentPart> {
    let turns = turns
        .into_iter()
        .map(|turn| Turn {
            parts: again(&turn.parts),
            ..turn
        })
        .collect();
    let mut probe = PreferencePair::new("", omnireward_core::Task::T2T, "", []);
    turns::set_prompt(&mut probe, turns);
    probe.prompt
}

/// The generated sides as they are read again: media alone.
pub(crate) fn sides_again(pair: &PreferencePair) -> Vec<Vec<ContentPart>> {
    let media = |side: &Response| {
        let media = side.parts.iter().filter(|part| part.as_media().is_some());
        media.cloned().collect()
    };
    pair.responses.iter().map(media).collect()
}

/// The answers as they are read again: words in one piece.
pub(crate) fn answers_again(pair: &PreferencePair) -> Vec<Vec<ContentPart>> {
    let words = |side: &Response| vec![ContentPart::Text(joined_text(&side.parts))];
    pair.responses.iter().map(words).collect()
}

/// The prompt of a generation task as it is read again: what is edited, then the words.
pub(crate) fn generation_prompt_again(pair: &PreferencePair) -> Vec<ContentPart> {
    let media = pair.prompt.iter().filter(|part| part.as_media().is_some());
    let mut prompt: Vec<ContentPart> = media.cloned().collect();
    prompt.push(ContentPart::Text(joined_text(&pair.prompt)));
    prompt
}
