//! Published figures of judges come out of `omnireward eval --judge replay:…`.

mod support;

use omnireward_testkit::real_data;
use serde_json::Value;

use support::run_well;

/// Replays a recording over a benchmark and returns `results.json`.
fn replay(judge: &str, benchmark: &str, more: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let judge = format!("replay:{judge}");
    let mut args = vec![
        "eval", "--quiet", "--json", "--no-html", "--judge", &judge, "--benchmark", benchmark, "--out",
        out.to_str().unwrap(),
    ];
    args.extend(more);
    serde_json::from_str(&run_well(&args)).unwrap()
}

fn data(relative: &str) -> Option<String> {
    Some(real_data(relative)?.to_str()?.to_owned())
}

fn percent(share: &Value) -> f64 {
    (share.as_f64().unwrap() * 1e4).round() / 100.0
}

/// The share in `81 / 100 = 81.0%` or `82.0%`.
fn published_percent(text: &str) -> f64 {
    let share = text.rsplit(['=', ' ']).next().unwrap().trim_end_matches('%');
    (share.parse::<f64>().unwrap() * 100.0).round() / 100.0
}

/// What the bundled expectations say of one file.
fn expected(file: &str) -> Option<Value> {
    let text = std::fs::read_to_string(real_data("EXPECTED.json")?).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    all.as_array().unwrap().iter().find(|entry| entry["file"] == file).cloned()
}

#[test]
fn llmbar_evaluators_have_their_published_figures_in_both_orders() {
    for subset in ["natural", "adversarial_neighbor", "adversarial_gptinst"] {
        let Some(pairs) = data(&format!("text/llmbar/{subset}.json")) else { return };
        let published = data(&format!("judge_outputs/llmbar/{subset}.published.json")).unwrap();
        let published = std::fs::read_to_string(published).unwrap();
        let published: Vec<Value> = serde_json::from_str(&published).unwrap();
        let verdicts = data(&format!("judge_outputs/llmbar/{subset}.verdicts.csv")).unwrap();
        for name in ["GPT-4/CoT", "GPT-4/Swap_CoT", "ChatGPT-0301/Metrics", "LLaMA2/Vanilla", "PaLM2/CoT"] {
            let expected = published.iter().find(|entry| entry["evaluator"] == name).unwrap();
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
                let published_value = published_percent(expected[published].as_str().unwrap());
                assert_eq!(percent(found), published_value, "{subset} {name} {published}");
            }
        }
    }
}

#[test]
fn mj_bench_reward_models_have_their_accuracies() {
    let file = "judge_outputs/mjbench/objects_indoor_scores.jsonl";
    let Some(path) = data(file) else { return };
    for (model, accuracy) in expected(file).unwrap()["recomputed"].as_object().unwrap() {
        let results = replay(&format!("{path}#{model}"), &path, &["--setting", "without-ties"]);
        println!("{model}: {}", results["settings"][0]["overall"]["micro"]["value"]);
        assert_eq!(
            percent(&results["settings"][0]["overall"]["micro"]["value"]),
            accuracy.as_f64().unwrap(),
            "{model}"
        );
    }
}

#[test]
fn audio_judges_have_their_published_three_way_accuracies() {
    for name in ["chatbotarena_gpt4o_audio", "chatbotarena_gemini25flash"] {
        let file = format!("judge_outputs/audiojudge/{name}.csv");
        let Some(path) = data(&file) else { return };
        let results = replay(&path, &path, &["--setting", "with-ties", "--order", "as-is"]);
        let accuracy = &results["settings"][0]["overall"]["micro"];
        println!("{name}: {}", accuracy["value"]);
        let published = expected(&file).unwrap()["published"]["accuracy"].as_f64().unwrap();
        assert!((accuracy["value"].as_f64().unwrap() - published).abs() < 1e-9, "{name}: {accuracy}");
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
            let results = replay(&path, pairs, &["--setting", "without-ties", "--order", "as-is"]);
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
    let column = header.iter().position(|name| name == "transcript_given").unwrap();
    kept.write_record(&header).unwrap();
    for row in rows.records().map(Result::unwrap).filter(|row| &row[column] == transcript) {
        kept.write_record(&row).unwrap();
    }
}
