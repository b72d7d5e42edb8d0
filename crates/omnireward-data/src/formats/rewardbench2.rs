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
    Entry,
    entries::RawRow,
    sketch::{Kind, Sketch},
    source::{self, Pairs, Source},
};
use crate::{Format, RowError, error::Fault, record::Record};

pub(super) const ENTRY: Entry = Entry {
    format: Format::RewardBench2,
    looked_for: "parquet or JSON with `chosen` and `rejected` as lists, `num_correct` and `subset`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T2T),
            Pairs::Varying,
            |source| source::rows(source, pairs),
        ))
    },
};

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["prompt", "num_correct", "subset"])
        && sketch.holds("chosen", &[Kind::Texts, Kind::List])
        && sketch.holds("rejected", &[Kind::Texts, Kind::List])
}

fn pairs(
    source: &Source,
    RawRow { mut record, .. }: RawRow,
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    let item = source::id_of(&mut record, "id")?;
    let subset = record.text("subset")?;
    let prompt = record.text("prompt")?;
    let chosen = completions(&mut record, "chosen")?;
    let rejected = completions(&mut record, "rejected")?;
    let mut extra = source::extra(record);
    agrees(extra.get("num_correct"), chosen.len(), "num_correct")?;
    agrees(extra.get("num_incorrect"), rejected.len(), "num_incorrect")?;
    extra.insert("item".to_owned(), json!(item));
    let group = group(&subset, &item);
    let item = source.id(item);
    let rejected_count = rejected.len();
    let places =
        (0..chosen.len()).flat_map(move |one| (0..rejected_count).map(move |other| (one, other)));
    Ok(places.map(move |(chosen_index, rejected_index)| {
        let responses = [
            Response::text(chosen[chosen_index].as_str()),
            Response::text(rejected[rejected_index].as_str()),
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
        pair
    }))
}

fn completions(record: &mut Record, field: &str) -> Result<Vec<String>, Fault> {
    let completions = source::texts(record, field)?;
    source::few(completions.len()).map_err(|error| error.in_field(field))?;
    Ok(completions)
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
