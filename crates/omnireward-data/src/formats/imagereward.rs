//! `ImageReward`: pictures generated for one prompt, ranked.
//!
//! * `rankings.jsonl`: `id`, `prompt`, `generations` (picture names) and `ranking` (1 is best,
//!   equal ranks are a tie) by people.
//! * the README's demonstration: one JSON object with `prompt`, `images`, `published_ranking` and
//!   `published_rewards`, ranked by the model that `model` names, not by people.
//!
//! Every two pictures of a prompt make a pair, id `<id>/<i>_vs_<j>` with positions from 0; pairs of
//! one prompt share a group. See [`ratings`](super::ratings) for the rule.

use omnireward_core::{Modality, Part as ContentPart, PreferencePair, Response, Task};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Entry,
    entries::RawRow,
    ratings::{self, Item, Rated, Rating, TieRule},
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{
    Format, RowError,
    error::Fault,
    record::{Record, wrong_type},
};

pub(super) const DEMO: Entry = Entry {
    format: Format::ImageRewardDemo,
    looked_for: "a JSON object with `prompt`, `images`, `published_ranking` and `published_rewards`",
    matches: |path| source::any(path, is_demo),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            is_demo,
            Some(Task::T2I),
            Pairs::Varying,
            |source| source::rows(source, demo),
        ))
    },
};

pub(super) const RANKINGS: Entry = Entry {
    format: Format::ImageRewardRankings,
    looked_for: "JSON lines with `prompt`, `generations` and `ranking`",
    matches: |path| source::any(path, is_rankings),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            is_rankings,
            Some(Task::T2I),
            Pairs::Varying,
            |source| source::rows(source, ranking),
        ))
    },
};

fn is_demo(sketch: &Sketch) -> bool {
    sketch.has(&["prompt", "images", "published_ranking", "published_rewards"])
}

fn is_rankings(sketch: &Sketch) -> bool {
    sketch.has(&["prompt", "generations", "ranking"])
}

fn demo(
    source: &Source,
    RawRow { mut record, .. }: RawRow,
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    let names = source::texts(&mut record, "images")?;
    let ranks = ranks(record.value("published_ranking")?, "published_ranking")?;
    let rewards = source::numbers(&mut record, "published_rewards")?;
    if rewards.len() != names.len() {
        let reason = format!("{} rewards for {} images", rewards.len(), names.len());
        return Err(RowError::Inconsistent(reason).in_field("published_rewards"));
    }
    let prompt = record.text("prompt")?;
    let pairs = ranked(source, &source.stem(), prompt, &names, &ranks, "images")?;
    Ok(described(pairs, record, "published_rewards", rewards))
}

fn ranking(
    source: &Source,
    RawRow { mut record, .. }: RawRow,
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    let id = source.id(source::id_of(&mut record, "id")?);
    let names = source::texts(&mut record, "generations")?;
    let ranks = ranks(record.value("ranking")?, "ranking")?;
    let prompt = record.text("prompt")?;
    let pairs = ranked(source, &id, prompt, &names, &ranks, "generations")?;
    Ok(described(pairs, record, "ranks", ranks))
}

/// The pairs with the other fields of the record, and with the figures of their two pictures.
fn described<T: Serialize + Send + 'static>(
    pairs: impl Iterator<Item = PreferencePair> + Send + 'static,
    record: Record,
    field: &'static str,
    figures: Vec<T>,
) -> impl Iterator<Item = PreferencePair> + Send + 'static {
    let extra = source::extra(record);
    pairs
        .zip(ratings::positions(figures.len()))
        .map(move |(mut pair, (i, j))| {
            pair.extra.clone_from(&extra);
            pair.extra
                .insert(field.to_owned(), json!([figures[i], figures[j]]));
            pair
        })
}

fn ranks(value: Value, field: &str) -> Result<Vec<u32>, Fault> {
    serde_json::from_value(value.clone())
        .map_err(|_| wrong_type("a list of ranks, 1 for the best", &value).in_field(field))
}

fn ranked(
    source: &Source,
    id: &str,
    prompt: String,
    names: &[String],
    ranks: &[u32],
    field: &str,
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    if names.len() != ranks.len() {
        let reason = format!("{} pictures, but {} ranks", names.len(), ranks.len());
        return Err(RowError::Inconsistent(reason).in_field(field));
    }
    let mut rated = Vec::with_capacity(names.len());
    for (position, (name, &rank)) in names.iter().zip(ranks).enumerate() {
        let picture = source
            .media_or_absent(name, Modality::Image)
            .map_err(|error| error.in_field(field))?;
        rated.push(Rated {
            key: position.to_string(),
            response: Response::media(picture),
            rating: Rating::from_rank(rank),
            details: Map::new(),
        });
    }
    let prompt = vec![ContentPart::Text(prompt)];
    let item = Item {
        id: id.to_owned(),
        task: Task::T2I,
        group: source::prompt_group(&prompt),
        prompt,
        criterion: String::new(),
        source: "image-reward".to_owned(),
        extra: Map::new(),
    };
    ratings::pairs(item, rated, TieRule::EqualMeans).map_err(|error| error.in_field(field))
}
