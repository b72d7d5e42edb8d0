//! A reward model on this machine as a user meets it: written at random, scoring, judging.

use std::{fs, path::Path};

use omnireward_core::{NoProgress, Preference, PreferencePair};
use omnireward_models::checkpoint::{Family, RandomCheckpoint, Size};
use omnireward_testkit::pairs::{criterion, nine_tasks};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{run, run_well};

/// A folder with a tiny MiniCPM-o in `model` and 27 labelled pairs of all nine tasks in `bench`, an
/// Omni-RewardBench: each pair under a second criterion, and a tie.
fn workshop() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    RandomCheckpoint::new(Family::MiniCpmO, Size::Tiny)
        .write(&folder.path().join("model"), &NoProgress)
        .unwrap();
    let pairs: Vec<PreferencePair> = [
        (1, 1, Preference::First),
        (1, 5, Preference::Second),
        (2, 2, Preference::Tie),
    ]
    .into_iter()
    .flat_map(|(media, rule, label)| {
        nine_tasks(media).into_iter().map(move |mut pair| {
            pair.criterion = Some(criterion(rule));
            pair.label = Some(label);
            pair
        })
    })
    .collect();
    assert_eq!(
        omnireward_data::write::omni_json(&folder.path().join("bench"), &pairs).unwrap(),
        27
    );
    folder
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

#[test]
fn all_nine_tasks_of_a_generated_benchmark_are_judged_in_both_settings() {
    let folder = workshop();
    let run_dir = path(&folder, "run");
    let features = path(&folder, "features");
    let eval = [
        "eval",
        "--judge",
        &path(&folder, "model"),
        "--benchmark",
        &path(&folder, "bench"),
        "--preprocessing",
        "clean",
        "--cache",
        &features,
        "--out",
        &run_dir,
        "--json",
    ];
    let results: Value = serde_json::from_str(&run_well(&eval)).unwrap();
    // 27 pairs with ties and 18 without; a scoring judge is asked in one order.
    assert_eq!(results["rows"], 45);
    for setting in results["settings"].as_array().unwrap() {
        let tasks = setting["tasks"].as_array().unwrap();
        assert_eq!(tasks.len(), 9, "{setting}");
        for task in tasks {
            let counts = &task["counts"];
            assert_eq!(counts["statuses"]["readable"], counts["rows"], "{task}");
        }
    }
    let manifest = fs::read_to_string(folder.path().join("run/run.toml")).unwrap();
    for recorded in [
        "checkpoint = ",
        "image_shrink = \"bicubic\"",
        "compute = \"bf16\"",
    ] {
        assert!(
            manifest.contains(recorded),
            "{recorded} is not in\n{manifest}"
        );
    }
    assert!(folder.path().join("run/report.html").exists());
    assert!(fs::read_dir(&features).unwrap().count() > 0);
    // Started again, nothing is left to ask.
    let again: Value = serde_json::from_str(&run_well(&eval)).unwrap();
    assert_eq!(again["settings"], results["settings"]);
}

#[test]
fn rewards_are_written_line_by_line_and_a_second_start_goes_on() {
    let folder = workshop();
    let output = folder.path().join("scores.jsonl");
    let score = [
        "score",
        "--model",
        &path(&folder, "model"),
        "--input",
        &path(&folder, "bench"),
        "--output",
        output.to_str().unwrap(),
    ];
    run_well(&score);
    let whole = lines(&output);
    assert_eq!(whole.len(), 27);
    for line in &whole {
        let rewards: Vec<f64> = serde_json::from_value(line["rewards"].clone()).unwrap();
        assert_eq!(rewards.len(), 2, "{line}");
        assert_eq!(line["margin"].as_f64(), Some(rewards[0] - rewards[1]));
    }
    // Killed in the middle of the tenth line.
    let text = fs::read_to_string(&output).unwrap();
    let nine: usize = text.split_inclusive('\n').take(9).map(str::len).sum();
    fs::write(&output, &text[..nine + 20]).unwrap();
    let resumed = run(&score);
    assert!(resumed.status.success());
    let said = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(
        said.contains("18 pairs scored, 9 kept from before"),
        "{said}"
    );
    assert_eq!(lines(&output), whole);
    // To stdout, the same.
    let printed: Vec<Value> = run_well(&score[..5])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(printed, whole);
    // Scores of two models never share a file.
    let mut other = score.to_vec();
    other.extend(["--preprocessing", "clean"]);
    let refused = run(&other);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("made with another identity"), "{said}");
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_broken_checkpoint_is_named_before_anything_is_computed() {
    let folder = workshop();
    let model = folder.path().join("model");
    fs::remove_file(model.join("value_head.safetensors")).unwrap();
    let refused = run(&[
        "score",
        "--model",
        model.to_str().unwrap(),
        "--input",
        &path(&folder, "bench"),
    ]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("has no usable reward head"), "{said}");
    assert!(refused.stdout.is_empty());
}

#[test]
fn pairs_that_cannot_be_scored_are_lines_too() {
    let folder = workshop();
    let output = run(&[
        "score",
        "--model",
        &path(&folder, "model"),
        "--input",
        &path(&folder, "bench"),
        "--tasks",
        "T2T,T2I",
        "--max-length",
        "160",
    ]);
    assert_eq!(output.status.code(), Some(1), "some could not be scored");
    let printed = String::from_utf8(output.stdout).unwrap();
    let failed: Vec<&str> = printed
        .lines()
        .filter(|line| line.contains("\"error\""))
        .collect();
    assert!(!failed.is_empty() && failed.len() < printed.lines().count());
    for line in failed {
        assert!(line.contains("the limit is 160"), "{line}");
    }
}

#[test]
fn pairs_of_which_one_response_is_heard_are_asked_about_in_both_orders() {
    let folder = workshop();
    let output = run(&[
        "eval",
        "--judge",
        &path(&folder, "model"),
        "--benchmark",
        &path(&folder, "bench"),
        "--tasks",
        "T2T,T2A,TA2T",
        "--out",
        &path(&folder, "run"),
        "--json",
    ]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Of each task three pairs with ties and two without; those with sounds twice.
    assert_eq!(results["rows"], 5 + 10 + 10);
    assert!(said.contains("with the first response alone"), "{said}");
    assert!(said.contains("audio_rows=own_row"), "{said}");
}

/// A folder with a tiny text model in `model`, and five lines in `pairs.jsonl`, of which the second and the third are
/// no pairs.
fn text_workshop() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    RandomCheckpoint::new(Family::Llama, Size::Tiny)
        .write(&folder.path().join("model"), &NoProgress)
        .unwrap();
    let pair = |id: &str| {
        serde_json::json!({
            "id": id, "task": "T2T", "prompt": "Name a prime.", "responses": ["9", "7"], "label": "second",
        })
        .to_string()
    };
    let broken = r#"{"id": "x"}"#.to_owned();
    let lines = [pair("a"), broken.clone(), broken, pair("b"), pair("c")];
    fs::write(folder.path().join("pairs.jsonl"), lines.join("\n")).unwrap();
    folder
}

#[test]
fn a_limit_counts_pairs_alone() {
    let folder = text_workshop();
    let output = run(&[
        "score",
        "--model",
        &path(&folder, "model"),
        "--input",
        &path(&folder, "pairs.jsonl"),
        "--limit",
        "2",
    ]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let ids: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn a_template_is_given_the_date_that_it_asks_for() {
    let folder = text_workshop();
    let template = "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}\
                    {{ date_string }}{% for m in messages %}{{ m.content }}{% endfor %}";
    fs::write(folder.path().join("model/chat_template.jinja"), template).unwrap();
    let model = path(&folder, "model");
    let input = path(&folder, "pairs.jsonl");
    let score = ["score", "--model", &model, "--input", &input];
    let refused = run(&score);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("today's date"), "{said}");
    let at = |date: &str| {
        let variable = format!("date_string={date}");
        let output = run(&[&score[..], &["--template-var", &variable]].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let [old, new] = ["26 Jul 2024", "27 Jul 2024"].map(at);
    assert_eq!(old.lines().count(), 3);
    assert_ne!(old, new);
}
