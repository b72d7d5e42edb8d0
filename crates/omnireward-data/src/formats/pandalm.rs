//! PandaLM's test set: pairs with the votes of three people.
//!
//! `instruction`, `input`, `response1`, `response2` and `annotator1` to `annotator3`, each 1, 2 or
//! 0 for a tie. The label is what at least two annotators say; when all three differ, one of them
//! said "tie" and the others contradict each other, so the label is a tie. The single votes stay
//! in `extra`. A pair's id is its `idx`; pairs with the same instruction and input share a group.
//! `cmp_key` names the two models, joined by `_`.

use omnireward_core::{Preference, PreferencePair, Response, Task};
use serde_json::Value;

use super::{
    Entry,
    entries::RawRow,
    labels,
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Format, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::PandaLm,
    looked_for: "JSON with `instruction`, `response1`, `response2` and `annotator1` to `annotator3`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T2T),
            Pairs::Each(1),
            |source| source::each_row(source, pair),
        ))
    },
};

const ANNOTATORS: [&str; 3] = ["annotator1", "annotator2", "annotator3"];

const VOTES: [(&str, Preference); 3] = [
    ("1", Preference::First),
    ("2", Preference::Second),
    ("0", Preference::Tie),
];

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["instruction", "response1", "response2"]) && sketch.has(&ANNOTATORS)
}

fn pair(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<PreferencePair, Fault> {
    let id = source::id_of(&mut record, "idx")?;
    let input = record.optional_text("input")?.unwrap_or_default();
    let instruction = record.text("instruction")?;
    let prompt = if input.is_empty() {
        instruction
    } else {
        format!("{instruction}\n\n{input}")
    };
    let mut responses = [
        Response::text(record.text("response1")?),
        Response::text(record.text("response2")?),
    ];
    let mut votes = Vec::with_capacity(ANNOTATORS.len());
    let mut kept = Vec::with_capacity(ANNOTATORS.len());
    for annotator in ANNOTATORS {
        let vote = labels::spelled(&mut record, annotator, &VOTES)?;
        votes.push(vote);
        kept.push((annotator, Value::from(number_of(vote))));
    }
    let models = record.optional_text("cmp_key")?;
    if let Some((first, second)) = models.as_deref().and_then(|models| models.split_once('_')) {
        responses[0].model = Some(first.to_owned());
        responses[1].model = Some(second.to_owned());
    }
    let mut pair = PreferencePair::new(source.id(id), Task::T2T, prompt, responses)
        .with_label(majority(&votes));
    pair.source = record.optional_text("motivation_app")?;
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra = source::extra(record);
    pair.extra
        .extend(kept.into_iter().map(|(name, vote)| (name.to_owned(), vote)));
    Ok(pair)
}

fn majority(votes: &[Preference]) -> Preference {
    votes
        .iter()
        .copied()
        .find(|vote| votes.iter().filter(|other| *other == vote).count() * 2 > votes.len())
        .unwrap_or(Preference::Tie)
}

fn number_of(vote: Preference) -> u8 {
    match vote {
        Preference::First => 1,
        Preference::Second => 2,
        Preference::Tie => 0,
    }
}

#[cfg(test)]
mod tests {
    use omnireward_core::Preference::{First, Second, Tie};

    use super::*;

    #[test]
    fn two_of_three_decide_and_three_opinions_are_a_tie() {
        assert_eq!(majority(&[Second, First, Second]), Second);
        assert_eq!(majority(&[Tie, Tie, First]), Tie);
        assert_eq!(majority(&[First, Second, Tie]), Tie);
    }
}
