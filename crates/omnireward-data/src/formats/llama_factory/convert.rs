//! A ranking record as a pair.

use omnireward_core::{
    Criterion, MediaRef, Modality, Part as ContentPart, Preference, PreferencePair, Response, Task,
};
use serde_json::Value;

use super::{
    declared::{Declared, Form},
    dispatch::{self, Column, Media, Placement},
};
use crate::{
    RowError,
    error::Fault,
    formats::{
        carried::Carried,
        entries::RawRow,
        source::{self, Source},
        turns::{self, Speaker, Turn},
    },
    record::{Record, text_of, unknown_value, wrong_type},
};

/// The system text that the chat template inserts when a record has none; it states no criterion.
pub(super) const DEFAULT_SYSTEM: &str =
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";

/// A conversation whose placeholders are not yet resolved.
pub(in crate::formats) type Said = Vec<(Speaker, String)>;

pub(super) fn pair(
    source: &Source,
    declared: &Declared,
    RawRow {
        index, mut record, ..
    }: RawRow,
) -> Result<PreferencePair, Fault> {
    let names = &declared.columns;
    let unread = turns::unread(
        &record,
        [&names.messages, &names.chosen, &names.rejected],
        [&declared.tags.role, &declared.tags.content],
    );
    let carried = Carried::take(&mut record)?;
    let said = conversation(&mut record, declared)?;
    let chosen = answer(&mut record, &declared.columns.chosen, declared)?;
    let rejected = answer(&mut record, &declared.columns.rejected, declared)?;
    let system = record.optional_text(&declared.columns.system)?;
    let label = label(&mut record)?;
    let id = match record.optional_id("id")? {
        Some(own) if own.starts_with(&format!("{}/", declared.name)) => own,
        Some(own) => format!("{}/{own}", declared.name),
        None => format!("{}/{index}", declared.name),
    };
    let columns = columns(source, declared, &mut record)?;
    let (system, unused_system, said) = without_system(system, said);
    let answers = [chosen, rejected];
    let task = carried.as_ref().map_or(declared.task, Carried::task);
    let mut pair = assembled(id, said, answers, columns, declared, task)?.with_label(label);
    pair.criterion = system
        .filter(|text| text.trim() != DEFAULT_SYSTEM)
        .and_then(Criterion::new);
    pair.source = Some(declared.name.clone());
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra.extend(unread);
    if let Some(text) = unused_system {
        pair.extra.insert(names.system.clone(), Value::from(text));
    }
    pair.extra.extend(source::extra(record));
    if let Some(carried) = carried {
        carried.restore(&mut pair)?;
    }
    Ok(pair)
}

/// The turns, with the system turn first if there is one. After it, turns alternate and end with
/// the user's.
fn conversation(record: &mut Record, declared: &Declared) -> Result<Said, Fault> {
    match declared.form {
        Form::ShareGpt => messages(record, declared),
        Form::Alpaca => instruction(record, declared),
    }
}

fn messages(record: &mut Record, declared: &Declared) -> Result<Said, Fault> {
    let field = declared.columns.messages.as_str();
    let mut said = Said::new();
    for message in record.list(field)? {
        said.push(turn(message, declared).map_err(|error| error.in_field(field))?);
    }
    let spoken = match said.first() {
        Some((Speaker::System, _)) => &said[1..],
        _ => &said[..],
    };
    let alternates = spoken.iter().enumerate().all(|(place, (speaker, _))| {
        let expected = if place % 2 == 0 {
            Speaker::User
        } else {
            Speaker::Assistant
        };
        *speaker == expected
    });
    if !alternates || spoken.len() % 2 == 0 {
        let reason = "the turns do not alternate and end with the user's".to_owned();
        return Err(RowError::Inconsistent(reason).in_field(field));
    }
    Ok(said)
}

fn turn(message: Value, declared: &Declared) -> Result<(Speaker, String), RowError> {
    let tags = &declared.tags;
    let mut fields = turns::fields(message)?;
    let role = text_of(fields.remove(&tags.role).unwrap_or_default())?;
    let content = text_of(fields.remove(&tags.content).unwrap_or_default())?;
    let speaker = if role == tags.user || role == tags.observation {
        Speaker::User
    } else if role == tags.assistant || role == tags.function {
        Speaker::Assistant
    } else if role == tags.system {
        Speaker::System
    } else {
        let known = [&tags.user, &tags.assistant, &tags.system];
        return Err(unknown_value(&role, known.map(String::as_str).join(", ")));
    };
    Ok((speaker, content))
}

fn instruction(record: &mut Record, declared: &Declared) -> Result<Said, Fault> {
    let columns = &declared.columns;
    let mut said = Said::new();
    if record.has(&columns.history) {
        for exchange in record.list(&columns.history)? {
            let exchange: [String; 2] = serde_json::from_value(exchange.clone())
                .map_err(|_| wrong_type("a question and an answer", &exchange))
                .map_err(|error| error.in_field(columns.history.as_str()))?;
            let [question, answer] = exchange;
            said.push((Speaker::User, question));
            said.push((Speaker::Assistant, answer));
        }
    }
    let instruction = record.text(&columns.prompt)?;
    let query = record
        .optional_text(&columns.query)?
        .filter(|query| !query.is_empty());
    let text = query.map_or(instruction.clone(), |query| {
        format!("{instruction}\n{query}")
    });
    said.push((Speaker::User, text));
    Ok(said)
}

fn answer(record: &mut Record, field: &str, declared: &Declared) -> Result<String, Fault> {
    match (declared.form, record.value(field)?) {
        (Form::Alpaca, Value::String(text)) => Ok(text),
        (Form::ShareGpt, message @ Value::Object(_)) => match turn(message, declared) {
            Ok((Speaker::Assistant, text)) => Ok(text),
            Ok(_) => {
                let reason = "the answer is not the assistant's".to_owned();
                Err(RowError::Inconsistent(reason).in_field(field))
            }
            Err(error) => Err(error.in_field(field)),
        },
        (Form::Alpaca, other) => Err(wrong_type("a string", &other).in_field(field)),
        (Form::ShareGpt, other) => Err(wrong_type("one turn", &other).in_field(field)),
    }
}

fn label(record: &mut Record) -> Result<Preference, Fault> {
    let Some(value) = record.take("label") else {
        return Ok(Preference::First);
    };
    match value.as_i64() {
        Some(1) => Ok(Preference::First),
        Some(0) => Ok(Preference::Tie),
        Some(-1) => Ok(Preference::Second),
        _ => Err(unknown_value(&value.to_string(), "1, 0, -1").in_field("label")),
    }
}

/// The media columns that are not empty.
fn columns(
    source: &Source,
    declared: &Declared,
    record: &mut Record,
) -> Result<Vec<Column>, Fault> {
    let named = &declared.columns;
    let mut columns = Vec::new();
    for (field, modality) in [
        (&named.images, Modality::Image),
        (&named.videos, Modality::Video),
        (&named.audios, Modality::Audio),
    ] {
        let Some(value) = record.take(field) else {
            continue;
        };
        let media =
            media(source, value, modality).map_err(|error| error.in_field(field.as_str()))?;
        if media != Media::Flat(Vec::new()) {
            columns.push(Column {
                field: field.clone(),
                modality,
                media,
            });
        }
    }
    Ok(columns)
}

fn media(source: &Source, value: Value, modality: Modality) -> Result<Media, RowError> {
    let items = match value {
        Value::Array(items) => items,
        single => vec![single],
    };
    if items.iter().all(Value::is_array) && !items.is_empty() {
        let lists: Vec<Vec<MediaRef>> = items
            .into_iter()
            .map(|list| match list {
                Value::Array(items) => flat(source, items, modality),
                other => Err(wrong_type("a list", &other)),
            })
            .collect::<Result<_, _>>()?;
        let count = lists.len();
        let sides: [Vec<MediaRef>; 2] = lists.try_into().map_err(|_| {
            RowError::Inconsistent(format!(
                "{count} lists of media, one for each side expected"
            ))
        })?;
        return Ok(Media::BySide(sides));
    }
    flat(source, items, modality).map(Media::Flat)
}

fn flat(source: &Source, items: Vec<Value>, modality: Modality) -> Result<Vec<MediaRef>, RowError> {
    items
        .into_iter()
        .map(|item| source.media(&text_of(item)?, modality))
        .collect()
}

/// The system's text, what the column says when a turn says something else, and the other turns.
fn without_system(
    column: Option<String>,
    mut said: Said,
) -> (Option<String>, Option<String>, Said) {
    if matches!(said.first(), Some((Speaker::System, _))) {
        let (_, text) = said.remove(0);
        let unused = column.filter(|column| *column != text);
        return (Some(text), unused, said);
    }
    (column, None, said)
}

fn assembled(
    id: String,
    said: Said,
    answers: [String; 2],
    columns: Vec<Column>,
    declared: &Declared,
    known: Option<Task>,
) -> Result<PreferencePair, Fault> {
    let same_answer = answers[0] == answers[1];
    let mut columns = columns.into_iter();
    let shared = match columns.next() {
        None => {
            if let Some(task) = known.filter(|task| task.is_generation()) {
                let field = declared.columns.of(task.response_modality());
                return Err(RowError::Missing.in_field(field));
            }
            Vec::new()
        }
        Some(column) => {
            if let Some(other) = columns.next() {
                let reason = "a record holds media of one kind only".to_owned();
                return Err(RowError::Inconsistent(reason).in_field(other.field));
            }
            match dispatch::place(column, same_answer, known)? {
                Placement::Shared(shared) => shared,
                Placement::BySide {
                    task,
                    original,
                    sides,
                } => {
                    let [prompt, _] = answers;
                    return Ok(generated(id, task, prompt, original, sides, &said));
                }
            }
        }
    };
    let shared_modality = shared.first().map(|media| media.modality);
    if let (Some(Task::T2T), Some(modality)) = (known, shared_modality) {
        let reason = format!("the set is one of T2T, whose prompts hold no {modality}");
        return Err(RowError::Inconsistent(reason).in_field(declared.columns.of(modality)));
    }
    let task = known.unwrap_or(match shared_modality {
        None => Task::T2T,
        Some(Modality::Video) => Task::TV2T,
        Some(Modality::Audio) => Task::TA2T,
        Some(_) => Task::TI2T,
    });
    let mut pair = PreferencePair::new(id, task, "", answers.map(Response::text));
    let turns =
        placed(said, shared).map_err(|error| error.in_field(declared.columns.messages.as_str()))?;
    turns::set_prompt(&mut pair, turns);
    Ok(pair)
}

/// A generation sample turned the right way round: the answers' text is the prompt.
pub(in crate::formats) fn generated(
    id: String,
    task: Task,
    prompt: String,
    original: Option<MediaRef>,
    sides: [Vec<MediaRef>; 2],
    said: &Said,
) -> PreferencePair {
    let responses = sides.map(|media| Response {
        parts: media.into_iter().map(ContentPart::Media).collect(),
        model: None,
    });
    let mut pair = PreferencePair::new(id, task, prompt, responses);
    if let Some(original) = original {
        pair.prompt.insert(0, ContentPart::Media(original));
    }
    // Anything but placeholders in the human turn is unheard of, and kept.
    let human: Vec<&str> = said.iter().map(|(_, text)| text.as_str()).collect();
    let rest = turns::TAGS
        .into_iter()
        .fold(human.join("\n"), |text, tag| text.replace(tag, ""));
    if !rest.trim().is_empty() {
        pair.extra
            .insert("human".to_owned(), Value::from(rest.trim()));
    }
    pair
}

/// The turns with media in the places of their placeholders. Media without a placeholder come
/// before the first turn's text, and placeholders without media in a record that has none are
/// words like others.
fn placed(said: Said, media: Vec<MediaRef>) -> Result<Vec<Turn>, RowError> {
    let tag = media.first().and_then(|first| turns::tag(first.modality));
    let Some(tag) = tag else {
        let words = |(speaker, text)| Turn {
            speaker,
            parts: vec![ContentPart::Text(text)],
        };
        return Ok(said.into_iter().map(words).collect());
    };
    let places: usize = said.iter().map(|(_, text)| text.matches(tag).count()).sum();
    if places > media.len() {
        let reason = format!("{places} `{tag}` placeholders for {} media", media.len());
        return Err(RowError::Inconsistent(reason));
    }
    let unplaced = media.len() - places;
    let mut media = media.into_iter().map(ContentPart::Media);
    let mut before: Vec<ContentPart> = media.by_ref().take(unplaced).collect();
    Ok(said
        .into_iter()
        .map(|(speaker, text)| {
            let mut parts = std::mem::take(&mut before);
            for (place, words) in text.split(tag).enumerate() {
                if place > 0 {
                    parts.extend(media.next());
                }
                if !words.is_empty() {
                    parts.push(ContentPart::Text(words.to_owned()));
                }
            }
            Turn { speaker, parts }
        })
        .collect())
}
