//! Pairs as ranking records.

use std::{
    borrow::Borrow,
    fs::{self, File},
    io::{BufReader, BufWriter, Write},
    path::Path,
};

use omnireward_core::{MediaRef, Preference, PreferencePair, Response, joined_text};
use serde_json::{Map, Value, json};

use super::declared::DECLARATION;
use crate::{
    Error, Format,
    formats::{
        carried,
        laid::{self, Laid, Unfit},
        turns::{self, Speaker, Turn},
    },
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
        let pair = pair.borrow();
        let laid = laid_out(pair).map_err(|unfit| Error::Unwritable {
            id: pair.id.clone(),
            format: Format::LlamaFactoryRanking,
            reason: format!("it has no place for {} (`{}`)", unfit.reason, unfit.field),
        })?;
        note_columns(&mut columns, &laid);
        let record = laid.placed(&media)?;
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

/// Adds the media columns of a record to those that the set has.
pub(crate) fn note_columns(columns: &mut Vec<&'static str>, laid: &Laid) {
    for (column, _) in &laid.media {
        if !columns.contains(column) {
            columns.push(column);
        }
    }
}

/// Adds the set to the folder's declaration, replacing an older entry of the same name.
pub(crate) fn declare(
    folder: &Path,
    name: &str,
    media_columns: &[&'static str],
) -> Result<(), Error> {
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

/// The record of a pair. Nothing of it is placed yet.
pub(crate) fn laid_out(pair: &PreferencePair) -> Result<Laid, Unfit> {
    let (first, second, label) = laid::two(pair)?;
    let (chosen, rejected) = match label {
        Preference::First | Preference::Tie => (first, second),
        Preference::Second => (second, first),
    };
    let Written {
        mut conversations,
        answers,
        media,
    } = if pair.task.is_generation() {
        generated(pair, chosen, rejected)?
    } else {
        understood(pair, chosen, rejected)?
    };
    if let Some(criterion) = &pair.criterion {
        conversations.insert(0, json!({ "from": "system", "value": &**criterion }));
    }
    let mut laid = Laid::default();
    laid.put("id", json!(pair.id));
    laid.put("conversations", Value::Array(conversations));
    let [chosen, rejected] = answers;
    laid.put("chosen", json!({ "from": "gpt", "value": chosen }));
    laid.put("rejected", json!({ "from": "gpt", "value": rejected }));
    if let Some(first) = media.first() {
        let column = laid::column(first.modality)?;
        if media.iter().any(|one| one.modality != first.modality) {
            return Err(Unfit::new("prompt", "media of several kinds"));
        }
        laid.media.push((column, media));
    }
    laid.put("label", json!(i32::from(label != Preference::Tie)));
    Ok(laid)
}

/// As [`laid_out`], carrying along what the form has no columns for.
pub(crate) fn laid_out_whole(pair: &PreferencePair) -> Result<Laid, Unfit> {
    let mut laid = laid_out(pair)?;
    let (prompt, responses) = if pair.task.is_generation() {
        (laid::generation_prompt_again(pair), laid::sides_again(pair))
    } else {
        let prompt = laid::prompt_again(turns::turns_of(pair), laid::retagged);
        (prompt, laid::answers_again(pair))
    };
    laid.put(carried::COLUMN, carried::text(pair, &prompt, &responses));
    Ok(laid)
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
) -> Result<Written, Unfit> {
    let answers = [laid::words(chosen)?, laid::words(rejected)?];
    let mut media = Vec::new();
    let mut conversations = Vec::new();
    let turns = turns::turns_of(pair);
    let expected = [Speaker::User, Speaker::Assistant].into_iter().cycle();
    let alternate = turns
        .iter()
        .zip(expected)
        .all(|(turn, speaker)| turn.speaker == speaker || turn.speaker == Speaker::System);
    if !alternate || turns.len().is_multiple_of(2) {
        return Err(Unfit::new(
            "prompt",
            "turns that do not alternate and end with the user's",
        ));
    }
    for Turn { speaker, parts } in turns {
        let from = match speaker {
            Speaker::System => {
                return Err(Unfit::new(
                    "prompt",
                    "a system turn, where the criterion stands",
                ));
            }
            Speaker::User => "human",
            Speaker::Assistant => "gpt",
        };
        conversations.push(json!({ "from": from, "value": laid::tagged(&parts, &mut media)? }));
    }
    Ok(Written {
        conversations,
        answers,
        media,
    })
}

fn generated(
    pair: &PreferencePair,
    chosen: &Response,
    rejected: &Response,
) -> Result<Written, Unfit> {
    let (chosen, rejected) = (laid::side(pair, chosen)?, laid::side(pair, rejected)?);
    if chosen.len() != rejected.len() {
        return Err(Unfit::new(
            "responses",
            "sides with different numbers of media",
        ));
    }
    let mut human = String::new();
    for medium in &chosen {
        human.push_str(laid::tag(medium.modality)?);
    }
    let prompt = joined_text(&pair.prompt);
    Ok(Written {
        conversations: vec![json!({ "from": "human", "value": human })],
        answers: [prompt.clone(), prompt],
        media: [chosen, rejected].concat(),
    })
}
