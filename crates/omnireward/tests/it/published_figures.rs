//! Published figures of judges come out of `omnireward eval --judge replay:…`.
//!
//! Not here, but in the tests of the library: correlations of single scores (TIFA) and GenAI-Bench's
//! four-way accuracy, which are no figures about pairs; and the scores of RM-Bench, which go by an
//! item's row in the whole benchmark of 1,327, while the bundled files are a selection of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::{BTreeMap, HashSet};

use omnireward_core::Preference::{self, First, Second, Tie};
use omnireward_testkit::real_data;
use serde_json::Value;

use crate::support::run_well;

/// Replays a recording over a benchmark and returns `results.json` and the records.
fn replay_with_records(judge: &str, benchmark: &str, more: &[&str]) -> (Value, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let judge = format!("replay:{judge}");
    let mut args = vec![
        "eval",
        "--quiet",
        "--json",
        "--no-html",
        "--judge",
        &judge,
        "--benchmark",
        benchmark,
        "--out",
        out.to_str().unwrap(),
    ];
    args.extend(more);
    let results = serde_json::from_str(&run_well(&args)).unwrap();
    let records = rusqlite::Connection::open(out.join("verdicts.sqlite")).unwrap();
    let mut statement = records.prepare("SELECT record FROM verdicts").unwrap();
    let rows = statement
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap();
    (
        results,
        rows.map(|row| serde_json::from_str(&row.unwrap()).unwrap())
            .collect(),
    )
}

/// Replays a recording over a benchmark and returns `results.json`.
fn replay(judge: &str, benchmark: &str, more: &[&str]) -> Value {
    replay_with_records(judge, benchmark, more).0
}

fn data(relative: &str) -> Option<String> {
    Some(real_data(relative)?.to_str()?.to_owned())
}

/// A share in hundredths of a percent, as far as published figures go.
fn hundredths(share: &Value) -> i64 {
    (share.as_f64().unwrap() * 1e4).round() as i64
}

/// The share in `81 / 100 = 81.0%` or `82.0%`, in hundredths of a percent.
fn published_hundredths(text: &str) -> i64 {
    let share = text
        .rsplit(['=', ' '])
        .next()
        .unwrap()
        .trim_end_matches('%');
    (share.parse::<f64>().unwrap() * 100.0).round() as i64
}

/// What the bundled expectations say of one file.
fn expected(file: &str) -> Option<Value> {
    let text = std::fs::read_to_string(real_data("EXPECTED.json")?).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    all.as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["file"] == file)
        .cloned()
}

#[test]
fn llmbar_evaluators_have_their_published_figures_in_both_orders() {
    for subset in ["natural", "adversarial_neighbor", "adversarial_gptinst"] {
        let Some(pairs) = data(&format!("text/llmbar/{subset}.json")) else {
            return;
        };
        let published = data(&format!("judge_outputs/llmbar/{subset}.published.json")).unwrap();
        let published = std::fs::read_to_string(published).unwrap();
        let published: Vec<Value> = serde_json::from_str(&published).unwrap();
        let verdicts = data(&format!("judge_outputs/llmbar/{subset}.verdicts.csv")).unwrap();
        assert_eq!(published.len(), 65);
        for expected in &published {
            let name = expected["evaluator"].as_str().unwrap();
            let judge = format!("{verdicts}#{name}");
            let results = replay(&judge, &pairs, &["--setting", "without-ties"]);
            let setting = &results["settings"][0];
            let position = &setting["position"];
            println!("{subset} {name}: {}", setting["overall"]["micro"]["value"]);
            for (found, published) in [
                (&position["accuracy_as_is"], "accuracy_order1"),
                (&position["accuracy_swapped"], "accuracy_order2"),
                (&setting["overall"]["micro"]["value"], "accuracy_average"),
                (&position["both_orders_accuracy"], "correct_in_both_orders"),
            ] {
                let published_value = published_hundredths(expected[published].as_str().unwrap());
                assert_eq!(
                    hundredths(found),
                    published_value,
                    "{subset} {name} {published}"
                );
            }
        }
    }
}

/// The published figure is a sum of scores, which the records hold.
#[test]
fn vicuna_reviews_have_their_published_totals() {
    for opponent in ["alpaca-13b", "llama-13b"] {
        let file = format!("judge_outputs/vicuna_gpt4_reviews/{opponent}_vs_vicuna-13b.jsonl");
        let Some(path) = data(&file) else { return };
        let (results, rows) = replay_with_records(&path, &path, &["--order", "as-is"]);
        let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
        for row in rows.iter().filter(|row| row["setting"] == "with-ties") {
            for side in 0..2 {
                let model = row["models"][side].as_str().unwrap();
                *totals.entry(model).or_default() += row["scores"][side].as_f64().unwrap();
            }
        }
        println!("{opponent}: {totals:?}");
        let published = expected(&file).unwrap()["published"].clone();
        assert_eq!(serde_json::to_value(totals).unwrap(), published);
        // The labels of these files are the review's own.
        assert_eq!(results["settings"][1]["overall"]["micro"]["value"], 1.0);
    }
}

/// GenAI-Bench's own figure tells two kinds of tie apart, which the program does not, so here its
/// three-way and two-way figures are counted from the votes.
#[test]
fn a_judge_of_genai_bench_is_replayed_with_and_without_ties() {
    for set in ["image_generation", "image_edition"] {
        let Some(votes) = data(&format!("judge_outputs/genai_bench/{set}.votes.csv")) else {
            return;
        };
        let pairs = data(&format!("judge_outputs/genai_bench/{set}.prompts.jsonl")).unwrap();
        let included: HashSet<String> = std::fs::read_to_string(&pairs)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["idx"].to_string())
            .collect();
        let (mut with_ties, mut without_ties) = (Count::default(), Count::default());
        let mut reader = csv::Reader::from_path(&votes).unwrap();
        for vote in reader
            .deserialize::<BTreeMap<String, String>>()
            .map(Result::unwrap)
        {
            if !included.contains(&vote["idx"]) {
                continue;
            }
            let (human, judge) = (three_way(&vote["human_vote"]), three_way(&vote["gpt4o"]));
            with_ties.add(human == judge);
            if human != Some(Tie) {
                without_ties.add(human == judge);
            }
        }
        let results = replay(&format!("{votes}#gpt4o"), &pairs, &["--order", "as-is"]);
        for (setting, count) in [("with-ties", with_ties), ("without-ties", without_ties)] {
            let settings = results["settings"].as_array().unwrap();
            let found = settings
                .iter()
                .find(|entry| entry["setting"] == setting)
                .unwrap();
            let micro = &found["overall"]["micro"];
            println!("{set} {setting}: {count:?} {}", micro["value"]);
            assert_eq!(micro["tally"]["hits"], count.right, "{set} {setting}");
            assert_eq!(found["counts"]["counted"], count.all, "{set} {setting}");
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    right: usize,
    all: usize,
}

impl Count {
    fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.all += 1;
    }
}

fn three_way(vote: &str) -> Option<Preference> {
    match vote {
        "leftvote" | "[[A>B]]" => Some(First),
        "rightvote" | "[[B>A]]" => Some(Second),
        "tievote" | "bothbad_vote" | "[[A=B=Good]]" | "[[A=B=Bad]]" => Some(Tie),
        _ => None,
    }
}

#[test]
fn mj_bench_reward_models_have_their_accuracies() {
    let file = "judge_outputs/mjbench/objects_indoor_scores.jsonl";
    let Some(path) = data(file) else { return };
    for (model, accuracy) in expected(file).unwrap()["recomputed"].as_object().unwrap() {
        let results = replay(
            &format!("{path}#{model}"),
            &path,
            &["--setting", "without-ties"],
        );
        println!(
            "{model}: {}",
            results["settings"][0]["overall"]["micro"]["value"]
        );
        assert_eq!(
            hundredths(&results["settings"][0]["overall"]["micro"]["value"]),
            (accuracy.as_f64().unwrap() * 100.0).round() as i64,
            "{model}"
        );
    }
}

#[test]
fn audio_judges_have_their_published_three_way_accuracies() {
    for name in ["chatbotarena_gpt4o_audio", "chatbotarena_gemini25flash"] {
        let file = format!("judge_outputs/audiojudge/{name}.csv");
        let Some(path) = data(&file) else { return };
        let results = replay(
            &path,
            &path,
            &["--setting", "with-ties", "--order", "as-is"],
        );
        let accuracy = &results["settings"][0]["overall"]["micro"];
        println!("{name}: {}", accuracy["value"]);
        let published = expected(&file).unwrap()["published"]["accuracy"]
            .as_f64()
            .unwrap();
        assert!(
            (accuracy["value"].as_f64().unwrap() - published).abs() < 1e-9,
            "{name}: {accuracy}"
        );
    }
}

#[test]
fn audio_judges_have_their_published_accuracies_by_transcript() {
    for name in ["tmhintq", "speed"] {
        let file = format!("judge_outputs/audiojudge/{name}.csv");
        let Some(path) = data(&file) else { return };
        for (transcript, accuracy) in expected(&file).unwrap()["recomputed"].as_object().unwrap() {
            let folder = tempfile::tempdir().unwrap();
            let pairs = folder.path().join(format!("{name}.csv"));
            only_transcript(&path, transcript, &pairs);
            let pairs = pairs.to_str().unwrap();
            let results = replay(
                &path,
                pairs,
                &["--setting", "without-ties", "--order", "as-is"],
            );
            let found = &results["settings"][0]["overall"]["micro"];
            println!("{name} {transcript}: {}", found["value"]);
            let difference = found["value"].as_f64().unwrap() - accuracy.as_f64().unwrap();
            assert!(difference.abs() < 1e-6, "{name} {transcript}: {found}");
        }
    }
}

/// Keeps the rows of one transcript setting.
fn only_transcript(from: &str, transcript: &str, to: &std::path::Path) {
    let mut rows = csv::Reader::from_path(from).unwrap();
    let mut kept = csv::Writer::from_path(to).unwrap();
    let header = rows.headers().unwrap().clone();
    let column = header
        .iter()
        .position(|name| name == "transcript_given")
        .unwrap();
    kept.write_record(&header).unwrap();
    for row in rows
        .records()
        .map(Result::unwrap)
        .filter(|row| &row[column] == transcript)
    {
        kept.write_record(&row).unwrap();
    }
}
