//! ms-swift's rows as pairs.

use omnireward_core::{
    MediaRef, Modality, Part as ContentPart, Preference, PreferencePair, Response, Task,
};
use serde_json::Value;

use crate::{
    RowError,
    error::Fault,
    formats::{
        carried::Carried,
        entries::RawRow,
        llama_factory::{self, Column, Media, Placement, Said},
        source::{self, Source},
        turns::{self, Speaker, Turn},
    },
    record::{Record, text_of, unknown_value, wrong_type},
};

/// The media columns.
const COLUMNS: [(&str, &str, Modality); 3] = [
    ("images", "rejected_images", Modality::Image),
    ("videos", "rejected_videos", Modality::Video),
    ("audios", "rejected_audios", Modality::Audio),
];

pub(super) fn pair(
    source: &Source,
    RawRow {
        index, mut record, ..
    }: RawRow,
) -> Result<PreferencePair, Fault> {
    let carried = Carried::take(&mut record)?;
    let id = record
        .optional_id("id")?
        .unwrap_or_else(|| index.to_string());
    let mut said = messages(record.value("messages")?, "messages")?;
    let chosen = answer(&mut said, "messages")?;
    let rejected = rejected(&mut record, &said, &chosen)?;
    let sides = sides(source, &mut record)?;
    let criterion = carried.as_ref().and_then(Carried::criterion);
    if let (Some((Speaker::System, text)), Some(criterion)) = (said.first(), criterion)
        && text == criterion
    {
        said.remove(0);
    }
    let known = carried.as_ref().and_then(Carried::task);
    let mut pair = assembled(source.id(id), said, [chosen, rejected], sides, known)?;
    pair.label = Some(Preference::First);
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra.extend(source::extra(record));
    if let Some(carried) = carried {
        carried.restore(&mut pair)?;
    }
    Ok(pair)
}

fn messages(value: Value, field: &str) -> Result<Said, Fault> {
    let Value::Array(items) = value else {
        return Err(wrong_type("a list", &value).in_field(field));
    };
    items
        .into_iter()
        .map(|item| message(item).map_err(|error| error.in_field(field)))
        .collect()
}

fn message(value: Value) -> Result<(Speaker, String), RowError> {
    let mut fields = turns::fields(value)?;
    let role = text_of(fields.remove("role").unwrap_or_default())?;
    let speaker = Speaker::of_role(&role)
        .ok_or_else(|| unknown_value(&role, "system, user, assistant, tool"))?;
    let content = text_of(fields.remove("content").unwrap_or_default())?;
    Ok((speaker, content))
}

/// Takes the answer that messages end with.
fn answer(said: &mut Said, field: &str) -> Result<String, Fault> {
    if let Some((Speaker::Assistant, text)) = said.pop() {
        Ok(text)
    } else {
        let reason = "the messages do not end with the assistant's".to_owned();
        Err(RowError::Inconsistent(reason).in_field(field))
    }
}

/// The other answer; the same one where only media differ.
fn rejected(record: &mut Record, prompt: &Said, chosen: &str) -> Result<String, Fault> {
    const RESPONSE: &str = "rejected_response";
    const MESSAGES: &str = "rejected_messages";
    if let Some(value) = record.take(MESSAGES) {
        let mut said = messages(value, MESSAGES)?;
        let answer = answer(&mut said, MESSAGES)?;
        if said != *prompt {
            let reason = "the sides differ before their answers".to_owned();
            return Err(RowError::Inconsistent(reason).in_field(MESSAGES));
        }
        return Ok(answer);
    }
    match record.take(RESPONSE) {
        Some(Value::String(text)) => Ok(text),
        Some(list @ Value::Array(_)) => {
            let mut said = messages(list, RESPONSE)?;
            let answer = answer(&mut said, RESPONSE)?;
            if said.is_empty() {
                return Ok(answer);
            }
            let reason = "an answer of several messages".to_owned();
            Err(RowError::Inconsistent(reason).in_field(RESPONSE))
        }
        Some(other) => Err(wrong_type("a string or a list of messages", &other).in_field(RESPONSE)),
        None if COLUMNS.iter().any(|(_, rejected, _)| record.has(rejected)) => {
            Ok(chosen.to_owned())
        }
        None => Err(RowError::Missing.in_field(RESPONSE)),
    }
}

/// The media of one kind, by side.
struct Sides {
    field: &'static str,
    modality: Modality,
    media: [Vec<MediaRef>; 2],
}

fn sides(source: &Source, record: &mut Record) -> Result<Vec<Sides>, Fault> {
    let mut all = Vec::new();
    for (field, rejected_field, modality) in COLUMNS {
        let chosen = media(source, record, field, modality)?.unwrap_or_default();
        let rejected =
            media(source, record, rejected_field, modality)?.unwrap_or_else(|| chosen.clone());
        if !chosen.is_empty() || !rejected.is_empty() {
            all.push(Sides {
                field,
                modality,
                media: [chosen, rejected],
            });
        }
    }
    Ok(all)
}

fn media(
    source: &Source,
    record: &mut Record,
    field: &str,
    modality: Modality,
) -> Result<Option<Vec<MediaRef>>, Fault> {
    let items = match record.take(field) {
        None => return Ok(None),
        Some(Value::Array(items)) => items,
        Some(single) => vec![single],
    };
    let named = items
        .into_iter()
        .map(|item| source.media(&text_of(item)?, modality));
    let named: Result<_, RowError> = named.collect();
    named.map(Some).map_err(|error| error.in_field(field))
}

fn assembled(
    id: String,
    said: Said,
    answers: [String; 2],
    mut sides: Vec<Sides>,
    known: Option<Task>,
) -> Result<PreferencePair, Fault> {
    let differ = |sides: &Sides| sides.media[0] != sides.media[1];
    let about_media = sides.iter().any(differ) || known.is_some_and(Task::is_generation);
    if about_media && sides.len() == 1 {
        let Sides {
            field,
            modality,
            media,
        } = sides.remove(0);
        let column = Column {
            field: field.to_owned(),
            modality,
            media: Media::BySide(media),
        };
        let same_answer = answers[0] == answers[1];
        return match llama_factory::place(column, same_answer, known)? {
            Placement::BySide {
                task,
                original,
                sides,
            } => {
                let [prompt, _] = answers;
                Ok(llama_factory::generated(
                    id, task, prompt, original, sides, &said,
                ))
            }
            Placement::Shared(shared) => understood(id, said, answers, vec![(modality, shared)]),
        };
    }
    if about_media {
        let reason = "the sides differ in media of several kinds".to_owned();
        return Err(RowError::Inconsistent(reason).in_field("rejected_messages"));
    }
    let shared = sides.into_iter().map(|sides| {
        let [shared, _] = sides.media;
        (sides.modality, shared)
    });
    understood(id, said, answers, shared.collect())
}

fn understood(
    id: String,
    said: Said,
    answers: [String; 2],
    media: Vec<(Modality, Vec<MediaRef>)>,
) -> Result<PreferencePair, Fault> {
    let task = match media.first() {
        None => Task::T2T,
        Some((Modality::Video, _)) => Task::TV2T,
        Some((Modality::Audio, _)) => Task::TA2T,
        Some(_) => Task::TI2T,
    };
    let mut pair = PreferencePair::new(id, task, "", answers.map(Response::text));
    let turns = placed(said, media).map_err(|error| error.in_field("messages"))?;
    turns::set_prompt(&mut pair, turns);
    Ok(pair)
}

/// Media of one kind that wait for their places.
struct Waiting {
    tag: &'static str,
    media: std::vec::IntoIter<MediaRef>,
}

/// The turns with media in the places of their placeholders. Placeholders of a kind of which the row names no media are
/// words like others.
fn placed(said: Said, media: Vec<(Modality, Vec<MediaRef>)>) -> Result<Vec<Turn>, RowError> {
    let mut before: Vec<ContentPart> = Vec::new();
    let mut waiting = Vec::new();
    for (modality, mut media) in media {
        let Some(tag) = turns::tag(modality) else {
            continue;
        };
        let places: usize = said.iter().map(|(_, text)| text.matches(tag).count()).sum();
        if places > media.len() {
            let reason = format!("{places} `{tag}` placeholders for {} media", media.len());
            return Err(RowError::Inconsistent(reason));
        }
        let placed = media.split_off(media.len() - places);
        before.extend(media.into_iter().map(ContentPart::Media));
        waiting.push(Waiting {
            tag,
            media: placed.into_iter(),
        });
    }
    let has_media = !waiting.is_empty();
    let turns = said.into_iter().map(|(speaker, text)| {
        let mut parts = match speaker {
            Speaker::User => std::mem::take(&mut before),
            Speaker::System | Speaker::Assistant => Vec::new(),
        };
        if has_media {
            put_words(&text, &mut waiting, &mut parts);
        } else {
            parts.push(ContentPart::Text(text));
        }
        Turn { speaker, parts }
    });
    Ok(turns.collect())
}

fn put_words(mut text: &str, waiting: &mut [Waiting], parts: &mut Vec<ContentPart>) {
    let put = |words: &str, parts: &mut Vec<ContentPart>| {
        if !words.is_empty() {
            parts.push(ContentPart::Text(words.to_owned()));
        }
    };
    loop {
        let next = waiting
            .iter_mut()
            .filter_map(|kind| Some((text.find(kind.tag)?, kind)))
            .min_by_key(|(place, _)| *place);
        let Some((place, kind)) = next else {
            return put(text, parts);
        };
        put(&text[..place], parts);
        parts.extend(kind.media.next().map(ContentPart::Media));
        text = &text[place + kind.tag.len()..];
    }
}
