//! Pairs as ranking records.

use std::{
    borrow::Borrow,
    fs::{self, File},
    io::{BufReader, BufWriter, Write},
    path::Path,
};

use omnireward_core::{
    MediaRef, Modality, Part as ContentPart, Preference, PreferencePair, Response, joined_text,
};
use serde_json::{Map, Value, json};

use super::declared::DECLARATION;
use crate::{
    Error, Format,
    formats::turns::{self, Speaker, Turn},
    place::{MediaFolder, write_whole},
};

/// Writes pairs to `<name>.json` in `folder`, declares the set in `dataset_info.json` there, and
/// returns how many pairs were written.
///
/// The preferred response becomes `chosen`, with `label` 1; a tie keeps its order and has `label`
/// 0, which trainers that know no ties have to leave out. The criterion is the system turn.
/// Generated media go to the human turn, chosen first, and both answers hold the prompt. Media that
/// are not below `folder` are copied into `media/` there. Models and other fields are not written.
///
/// A question about exactly two images is written with both; Omni-Reward's own loader would give
/// one to each side.
///
/// # Errors
///
/// [`Error::Unwritable`] for an unlabelled pair, more than two responses, meshes, text in generated
/// sides or media in others, or sides with different numbers or kinds of media; [`Error::Write`] or [`Error::Read`] when a file or a medium
/// cannot be written or read.
pub fn llama_factory_ranking<P: Borrow<PreferencePair>>(
    folder: &Path,
    name: &str,
    pairs: impl IntoIterator<Item = P>,
) -> Result<u64, Error> {
    fs::create_dir_all(folder).map_err(Error::writing(folder))?;
    let file = folder.join(format!("{name}.json"));
    let media = MediaFolder::beside(folder, "media");
    let mut out = BufWriter::new(File::create(&file).map_err(Error::writing(&file))?);
    let mut columns = Vec::new();
    let mut count = 0;
    for pair in pairs {
        let record = record(pair.borrow(), &media, &mut columns)?;
        let opening: &[u8] = if count == 0 { b"[\n" } else { b",\n" };
        out.write_all(opening)
            .and_then(|()| Ok(serde_json::to_writer(&mut out, &record)?))
            .map_err(Error::writing(&file))?;
        count += 1;
    }
    let closing: &[u8] = if count == 0 { b"[]\n" } else { b"\n]\n" };
    out.write_all(closing)
        .and_then(|()| out.flush())
        .map_err(Error::writing(&file))?;
    declare(folder, name, &columns)?;
    Ok(count)
}

/// Adds the set to the folder's declaration, replacing an older entry of the same name.
fn declare(folder: &Path, name: &str, media_columns: &[&'static str]) -> Result<(), Error> {
    let file = folder.join(DECLARATION);
    let mut sets: Map<String, Value> = if file.exists() {
        let opened = File::open(&file).map_err(Error::reading(&file))?;
        serde_json::from_reader(BufReader::new(opened)).map_err(|error| Error::Json {
            file: file.clone(),
            line: error.line() as u64,
            reason: error.to_string(),
        })?
    } else {
        Map::new()
    };
    let mut columns = json!({
        "messages": "conversations",
        "chosen": "chosen",
        "rejected": "rejected",
    });
    for column in media_columns {
        columns[*column] = json!(column);
    }
    let entry = json!({
        "file_name": format!("{name}.json"),
        "ranking": true,
        "formatting": "sharegpt",
        "columns": columns,
    });
    sets.insert(name.to_owned(), entry);
    let text = serde_json::to_string_pretty(&sets).expect("JSON values can be written as JSON");
    write_whole(&file, (text + "\n").as_bytes())
}

fn record(
    pair: &PreferencePair,
    folder: &MediaFolder,
    columns: &mut Vec<&'static str>,
) -> Result<Map<String, Value>, Error> {
    let refused = |reason: &str| Error::Unwritable {
        id: pair.id.clone(),
        format: Format::LlamaFactoryRanking,
        reason: reason.to_owned(),
    };
    let [first, second] = &pair.responses[..] else {
        return Err(refused("it compares two responses"));
    };
    let (chosen, rejected, label) = match pair.label {
        Some(Preference::First) => (first, second, 1),
        Some(Preference::Second) => (second, first, 1),
        Some(Preference::Tie) => (first, second, 0),
        None => return Err(refused("it has no place for unlabelled pairs")),
    };
    let written = if pair.task.is_generation() {
        generated(pair, chosen, rejected)
    } else {
        understood(pair, chosen, rejected)
    };
    let Written {
        mut conversations,
        answers,
        media,
    } = written.map_err(refused)?;
    if let Some(criterion) = &pair.criterion {
        conversations.insert(0, json!({ "from": "system", "value": &**criterion }));
    }
    let mut record = Map::new();
    let mut put = |field: &str, value: Value| record.insert(field.to_owned(), value);
    put("id", json!(pair.id));
    put("conversations", Value::Array(conversations));
    let [chosen, rejected] = answers;
    put("chosen", json!({ "from": "gpt", "value": chosen }));
    put("rejected", json!({ "from": "gpt", "value": rejected }));
    if let Some(first) = media.first() {
        let column = column(first.modality).ok_or_else(|| refused("it has no place for meshes"))?;
        if media.iter().any(|one| one.modality != first.modality) {
            return Err(refused("it holds media of one kind a record"));
        }
        if !columns.contains(&column) {
            columns.push(column);
        }
        let names: Vec<String> = media
            .iter()
            .map(|one| folder.place(one))
            .collect::<Result<_, _>>()?;
        put(column, json!(names));
    }
    put("label", json!(label));
    Ok(record)
}

/// The parts of a record that depend on the kind of task.
struct Written {
    conversations: Vec<Value>,
    answers: [String; 2],
    media: Vec<MediaRef>,
}

fn understood(
    pair: &PreferencePair,
    chosen: &Response,
    rejected: &Response,
) -> Result<Written, &'static str> {
    if [chosen, rejected].into_iter().any(has_media) {
        return Err("its answers hold nothing but text");
    }
    let mut media = Vec::new();
    let mut conversations = Vec::new();
    for Turn { speaker, parts } in turns::turns_of(pair) {
        let from = match speaker {
            Speaker::System => return Err("its system turn is the criterion"),
            Speaker::User => "human",
            Speaker::Assistant => "gpt",
        };
        conversations.push(json!({ "from": from, "value": tagged(&parts, &mut media)? }));
    }
    let answers = [joined_text(&chosen.parts), joined_text(&rejected.parts)];
    Ok(Written {
        conversations,
        answers,
        media,
    })
}

fn has_media(response: &Response) -> bool {
    response.parts.iter().any(|part| part.as_media().is_some())
}

/// The words of parts, with placeholders for media.
fn tagged(parts: &[ContentPart], media: &mut Vec<MediaRef>) -> Result<String, &'static str> {
    let has_media = parts.iter().any(|part| part.as_media().is_some());
    let mut text = String::new();
    let mut after_words = false;
    for part in parts {
        match part {
            ContentPart::Text(words) => {
                if has_media && turns::TAGS.iter().any(|tag| words.contains(tag)) {
                    return Err("its words hold a placeholder, which would be taken for a medium");
                }
                if after_words {
                    text.push('\n');
                }
                text.push_str(words);
                after_words = true;
            }
            ContentPart::Media(medium) => {
                text.push_str(turns::tag(medium.modality).ok_or("it has no place for meshes")?);
                media.push(medium.clone());
                after_words = false;
            }
        }
    }
    Ok(text)
}

fn generated(
    pair: &PreferencePair,
    chosen: &Response,
    rejected: &Response,
) -> Result<Written, &'static str> {
    let side = |response: &Response| -> Vec<MediaRef> {
        [&pair.prompt, &response.parts]
            .into_iter()
            .flatten()
            .filter_map(ContentPart::as_media)
            .cloned()
            .collect()
    };
    let has_text = |response: &Response| {
        let mut texts = response.parts.iter().filter_map(ContentPart::as_text);
        texts.any(|text| !text.is_empty())
    };
    if has_text(chosen) || has_text(rejected) {
        return Err("its generated sides hold nothing but media");
    }
    let (chosen, rejected) = (side(chosen), side(rejected));
    if chosen.len() != rejected.len() {
        return Err("its sides hold equally many media");
    }
    let mut human = String::new();
    for medium in &chosen {
        human.push_str(turns::tag(medium.modality).ok_or("it has no place for meshes")?);
    }
    let prompt = joined_text(&pair.prompt);
    Ok(Written {
        conversations: vec![json!({ "from": "human", "value": human })],
        answers: [prompt.clone(), prompt],
        media: [chosen, rejected].concat(),
    })
}

const fn column(modality: Modality) -> Option<&'static str> {
    match modality {
        Modality::Image => Some("images"),
        Modality::Video => Some("videos"),
        Modality::Audio => Some("audios"),
        Modality::Text | Modality::Mesh => None,
    }
}
