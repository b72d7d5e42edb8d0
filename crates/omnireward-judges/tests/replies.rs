//! Reads real replies of published judges, whose authors recorded what they read in them.

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
    parsed_vote: Option<String>,
}

#[derive(Deserialize)]
struct Completion {
    row: u64,
    evaluator: String,
    swapped: bool,
    completion: String,
    parsed_winner: Option<String>,
}

fn lines<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn x() {
    let Some(folder) = real_data("judge_outputs/genai_bench") else { return };
    let parser = StrictParser::new(Answers::genai_bench());
    for subset in ["image_generation", "image_edition"] {
        let mut counts: BTreeMap<(String, &str), usize> = BTreeMap::new();
        for vote in lines::<Vote>(&folder.join(format!("{subset}.responses.jsonl"))) {
            let read = parser.read(&vote.response, Setting::WithTies);
            let token = read.as_ref().ok().map(|r| vote.response[r.token.clone()].to_owned());
            let kind = if token == vote.parsed_vote { "same" } else { "differs" };
            if kind == "differs" {
                println!("{subset} {} {} ours {:?} theirs {:?}\n   {:?}", vote.idx, vote.model, read, vote.parsed_vote, &vote.response.chars().rev().take(200).collect::<String>().chars().rev().collect::<String>());
            }
            *counts.entry((vote.model, kind)).or_default() += 1;
        }
        println!("{counts:?}");
    }
    let Some(folder) = real_data("judge_outputs/llmbar") else { return };
    let parser = StrictParser::new(Answers::llmbar());
    for subset in ["natural", "adversarial_neighbor", "adversarial_gptinst"] {
        let mut counts: BTreeMap<(String, &str), usize> = BTreeMap::new();
        for c in lines::<Completion>(&folder.join(format!("{subset}.cot_completions.jsonl"))) {
            let read = parser.read(&c.completion, Setting::WithoutTies);
            let p = read.as_ref().ok().map(|r| if c.swapped { r.preference.swapped() } else { r.preference });
            let p = p.map(|p| if p == Preference::First { "1" } else { "2" });
            let kind = if p == c.parsed_winner.as_deref() { "same" } else { "differs" };
            if kind == "differs" {
                println!("{subset} {} {} ours {:?} theirs {:?}\n   {:?}", c.row, c.evaluator, read, c.parsed_winner, &c.completion.chars().rev().take(200).collect::<String>().chars().rev().collect::<String>());
            }
            *counts.entry((c.evaluator, kind)).or_default() += 1;
        }
        println!("{counts:?}");
    }
}
