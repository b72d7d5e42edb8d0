//! Reads real replies of published judges, whose authors recorded what they read in them.

#![expect(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::{collections::BTreeMap, fs, path::Path};

use omnireward_core::{Preference, Setting};
use omnireward_judges::{Answers, StrictParser};
use omnireward_testkit::real_data;
use serde::{Deserialize, de::DeserializeOwned};

#[derive(Deserialize)]
struct Vote {
    idx: u64,
    model: String,
    response: String,
    #[serde(rename = "parsed_vote")]
    parsed: Option<String>,
}

#[derive(Deserialize)]
struct Completion {
    row: u64,
    evaluator: String,
    swapped: bool,
    #[serde(rename = "completion")]
    text: String,
    parsed_winner: Option<String>,
}

fn lines<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Which replies were read differently than by their authors, by model.
type Differences = BTreeMap<String, usize>;

#[test]
fn genai_bench_replies_read_as_recorded_or_not_at_all() {
    let Some(folder) = real_data("judge_outputs/genai_bench") else {
        return;
    };
    let parser = StrictParser::new(Answers::genai_bench());
    let mut read_alike: BTreeMap<String, usize> = BTreeMap::new();
    let mut unread = Differences::new();
    for subset in ["image_generation", "image_edition"] {
        for vote in lines::<Vote>(&folder.join(format!("{subset}.responses.jsonl"))) {
            let token = match parser.read(&vote.response, Setting::WithTies) {
                Ok(reading) => Some(vote.response[reading.token].to_owned()),
                Err(_) => None,
            };
            if token == vote.parsed {
                *read_alike.entry(vote.model).or_default() += 1;
            } else {
                // Never another answer than the authors': at worst none.
                assert_eq!(token, None, "{subset} {} {}", vote.idx, vote.model);
                *unread.entry(vote.model).or_default() += 1;
            }
        }
    }
    let counts =
        |pairs: &[(&str, usize)]| pairs.iter().map(|(m, n)| ((*m).to_owned(), *n)).collect();
    let expected: BTreeMap<String, usize> = counts(&[
        ("cogvlm", 120),
        ("gpt4o", 120),
        ("instructblip", 114),
        ("minicpm-V-2.5", 97),
    ]);
    assert_eq!(read_alike, expected);
    // These list every answer as their verdict, or write tokens that were not asked for, such as
    // `[[AB=Good]]`; their authors took the first thing in brackets.
    assert_eq!(
        unread,
        counts(&[("instructblip", 6), ("minicpm-V-2.5", 23)])
    );
}

#[test]
fn llmbar_completions_read_as_recorded() {
    let Some(folder) = real_data("judge_outputs/llmbar") else {
        return;
    };
    let parser = StrictParser::new(Answers::llmbar());
    let mut total = 0;
    let mut differences = Vec::new();
    for subset in ["natural", "adversarial_neighbor", "adversarial_gptinst"] {
        for reply in lines::<Completion>(&folder.join(format!("{subset}.cot_completions.jsonl"))) {
            total += 1;
            let winner = parser
                .read(&reply.text, Setting::WithoutTies)
                .ok()
                .map(|reading| in_dataset_order(reading.preference, reply.swapped));
            if winner != reply.parsed_winner.as_deref() {
                differences.push((
                    subset,
                    reply.row,
                    reply.evaluator,
                    winner,
                    reply.parsed_winner,
                ));
            }
        }
    }
    assert_eq!(total, 960);
    // One model says both sentences in a reply. The authors took the first.
    let falcon = differences
        .iter()
        .all(|(_, _, evaluator, ..)| evaluator == "Falcon/CoT");
    assert!(differences.len() == 3 && falcon, "{differences:#?}");
}

/// The recorded name of a winner, turned back when the pair was shown in the other order.
fn in_dataset_order(preference: Preference, swapped: bool) -> &'static str {
    let preference = if swapped {
        preference.swapped()
    } else {
        preference
    };
    match preference {
        Preference::First => "1",
        Preference::Second => "2",
        Preference::Tie => "tie",
    }
}
