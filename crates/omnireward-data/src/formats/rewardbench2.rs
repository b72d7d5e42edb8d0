//! RewardBench 2: prompts with several chosen and several rejected completions.
//!
//! `prompt`, `chosen` and `rejected` (lists), `num_correct`, `num_incorrect`,
//! `total_completions`, `models`, `subset`, `id` and `additional_metadata`. Every chosen
//! completion is paired with every rejected one, the chosen side first; ids are
//! `<id>/<chosen index>-<rejected index>`, indices from 0 and kept in `extra` as `chosen_index`
//! and `rejected_index`, with the record's own id as `item`. So best-of-four accuracy, and in the
//! `Ties` subset the spread among the correct completions, can be computed from scores.
//!
//! In `Ties`, ids are `ref:<n>` (one correct completion) and `tied:<n>` (several); both belong to
//! question `n` and share the group `Ties/<n>`. Completions that are equally correct are not
//! paired with each other: no judge's answer to such a pair is part of the benchmark.
//!
//! `models` is kept in `extra`: the card does not say in which order it names the completions.

use omnireward_core::{Preference, PreferencePair, Response, Task};
use serde_json::{Value, json};

use super::{
    Entry, entries,
    entries::RawRow,
    sketch::{Kind, Sketch},
    source::{self, Pairs, Source},
};
use crate::{Error, Format, RowError, Rows, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::RewardBench2,
    looked_for: "parquet or JSON with `chosen` and `rejected` as lists, `num_correct` and `subset`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        source::parts(
            path,
            options,
            recognises,
            Some(Task::T2T),
            Pairs::Varying,
            read,
        )
    },
};

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["prompt", "num_correct", "subset"])
        && sketch.holds("chosen", &[Kind::Texts, Kind::List])
        && sketch.holds("rejected", &[Kind::Texts, Kind::List])
}

fn read(source: &Source) -> Result<Rows, Error> {
    let source = source.clone();
    entries::rows(&source.file.clone(), move |row| pairs(&source, row))
}

fn pairs(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<Vec<PreferencePair>, Fault> {
    let item = source::id_of(&mut record, "id")?;
    let subset = record.text("subset")?;
    let prompt = record.text("prompt")?;
    let chosen = source::texts(&mut record, "chosen")?;
    let rejected = source::texts(&mut record, "rejected")?;
    let mut extra = record.into_extra();
    agrees(extra.get("num_correct"), chosen.len(), "num_correct")?;
    agrees(extra.get("num_incorrect"), rejected.len(), "num_incorrect")?;
    extra.insert("item".to_owned(), json!(item));
    let group = group(&subset, &item);
    let item = source.id(item);
    let mut pairs = Vec::with_capacity(chosen.len() * rejected.len());
    for (chosen_index, better) in chosen.iter().enumerate() {
        for (rejected_index, worse) in rejected.iter().enumerate() {
            let responses = [
                Response::text(better.as_str()),
                Response::text(worse.as_str()),
            ];
            let id = format!("{item}/{chosen_index}-{rejected_index}");
            let mut pair = PreferencePair::new(id, Task::T2T, prompt.as_str(), responses)
                .with_label(Preference::First);
            pair.source = Some(subset.clone());
            pair.group = Some(group.clone());
            pair.extra.clone_from(&extra);
            pair.extra
                .insert("chosen_index".to_owned(), json!(chosen_index));
            pair.extra
                .insert("rejected_index".to_owned(), json!(rejected_index));
            pairs.push(pair);
        }
    }
    Ok(pairs)
}

fn agrees(stated: Option<&Value>, found: usize, field: &str) -> Result<(), Fault> {
    match stated.and_then(Value::as_u64) {
        Some(stated) if stated != found as u64 => {
            let reason = format!("says {stated}, but the list holds {found}");
            Err(RowError::Inconsistent(reason).in_field(field))
        }
        _ => Ok(()),
    }
}

fn group(subset: &str, item: &str) -> String {
    let number = match item.split_once(':') {
        Some(("ref" | "tied", number)) if subset.eq_ignore_ascii_case("ties") => number,
        _ => item,
    };
    format!("{subset}/{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_ties_question_share_a_group() {
        assert_eq!(group("Ties", "ref:7"), "Ties/7");
        assert_eq!(group("Ties", "tied:7"), "Ties/7");
        assert_eq!(group("Math", "ref:7"), "Math/ref:7");
    }
}
