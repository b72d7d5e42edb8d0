//! The reward model and the benchmark that the program carries. What is tested holds for any weights that have learned words and begun to see and hear.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{run, run_well};

/// A crate's registry takes 10 MB compressed, and weights hardly shrink.
const MOST_BYTES: u64 = 8_000_000;

#[test]
fn the_model_is_small_and_nothing_is_wrong_with_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("model");
    let bytes: u64 = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
    let text = run_well(&["model", "doctor", "--deep", "--quiet", "embedded"]);
    assert!(text.starts_with("nothing is wrong\nembedded\n"), "{text}");
    let text = run_well(&["model", "inspect", "embedded"]);
    assert!(text.contains("MiniCPM-o-2.6 · value head"), "{text}");
    let refused = run(&["model", "doctor", "--write-golden", "embedded"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn the_model_judges_all_nine_tasks_and_is_never_asked_twice() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let eval = [
        "eval",
        "--judge",
        "embedded",
        "--benchmark",
        "embedded",
        "--no-html",
        "--json",
        "--out",
        out.to_str().unwrap(),
    ];
    let results: Value = serde_json::from_str(&run_well(&eval)).unwrap();
    let settings = results["settings"].as_array().unwrap();
    assert_eq!(settings.len(), 2);
    for setting in settings {
        let tasks = setting["tasks"].as_array().unwrap();
        assert_eq!(tasks.len(), 9, "{setting}");
        for task in tasks {
            let counts = &task["counts"];
            assert!(counts["pairs"].as_u64().unwrap() >= 20, "{counts}");
            assert_eq!(counts["statuses"]["readable"], counts["rows"], "{counts}");
        }
        if setting["setting"] == "without-ties" {
            // Words it has learned best; a coin gets a half.
            let accuracy = |task: &Value| task["accuracy"]["value"].as_f64().unwrap();
            let words = tasks.iter().find(|task| task["task"] == "T2T").unwrap();
            assert!(accuracy(words) > 0.75, "{words}");
            let mean = tasks.iter().map(accuracy).sum::<f64>() / 9.0;
            assert!(mean > 0.68, "{mean}");
        }
        let following = &setting["criterion_following"];
        assert!(following["groups"].as_u64().unwrap() >= 50, "{following}");
    }
    // Another process unpacks the model into another folder, and knows the run again.
    let again = run(&eval);
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.success(), "{said}");
    let kept = format!("0 asked, {} kept from before", results["rows"]);
    assert!(said.contains(&kept), "`{kept}` in:\n{said}");
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again, results);
}

#[test]
fn only_the_tasks_asked_for_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let fingerprint = |name: &str, tasks: &[&str]| {
        let out = folder.path().join(name);
        let eval = [
            "eval",
            "--quiet",
            "--judge",
            "baseline:first",
            "--no-html",
            "--benchmark",
            "embedded",
            "--json",
            "--out",
            out.to_str().unwrap(),
        ];
        let results: Value = serde_json::from_str(&run_well(&[&eval[..], tasks].concat())).unwrap();
        let tasks = results["settings"][0]["tasks"].as_array().unwrap().len();
        let manifest = fs::read_to_string(out.join("run.toml")).unwrap();
        let line = manifest.lines().find(|line| line.contains("fingerprint"));
        (tasks, line.unwrap().to_owned())
    };
    let (tasks, whole) = fingerprint("whole", &[]);
    assert_eq!(tasks, 9);
    assert_eq!(
        fingerprint("part", &["--tasks", "T2A,TI2I"]),
        (2, whole),
        "what the benchmark is does not depend on the tasks asked about"
    );
}

#[test]
fn the_model_scores_pairs_as_it_was_trained() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("pairs.jsonl");
    let pair = json!({
        "id": "1", "task": "T2T", "prompt": "Name a colour.", "criterion": "Prefer the shorter answer.",
        "responses": ["Red.", "One colour is red.", "The colour that I would name is red."],
    });
    fs::write(&input, pair.to_string()).unwrap();
    let output = folder.path().join("scores.jsonl");
    let score = [
        "score",
        "--quiet",
        "--model",
        "embedded",
        "--input",
        input.to_str().unwrap(),
    ];
    let to_file = ["--output", output.to_str().unwrap()];
    run_well(&[&score[..], &to_file].concat());
    let scores = fs::read_to_string(&output).unwrap();
    let line: Value = serde_json::from_str(&scores).unwrap();
    assert_eq!(line["rewards"].as_array().unwrap().len(), 3, "{line}");
    let clean = ["--preprocessing", "clean"];
    assert_eq!(run_well(&[&score[..], &clean].concat()), scores);
    let settings = fs::read_to_string(folder.path().join("scores.jsonl.settings.json")).unwrap();
    let settings: Value = serde_json::from_str(&settings).unwrap();
    assert_eq!(
        settings["identity"]["preprocessing"]["audio_rows"],
        "own_row"
    );
}

const RECIPE: &str = r#"
[model]
path = "embedded"
preprocessing = "clean"
[train]
parts = ["head"]
steps = 2
learning_rate = 1e-3
batch_pairs = 4
[[data]]
path = "embedded"
tasks = ["T2T"]
max_pairs = 4
"#;

#[test]
fn the_model_can_be_trained_further() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = folder.path().join("recipe.toml");
    fs::write(&recipe, RECIPE).unwrap();
    let out = folder.path().join("run");
    let train = [
        "train",
        "bt",
        "--quiet",
        "--recipe",
        recipe.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    run_well(&train);
    let trained = out.join("last");
    let head = |folder: &Path| fs::read(folder.join("value_head.safetensors")).unwrap();
    let embedded = Path::new(env!("CARGO_MANIFEST_DIR")).join("model");
    assert_ne!(head(&trained), head(&embedded), "its head has learned");
    let text = run_well(&["model", "doctor", "--quiet", trained.to_str().unwrap()]);
    assert!(text.starts_with("nothing is wrong"), "{text}");
    let adapter = [
        "train.lora={ rank = 4, alpha = 8 }",
        "train.parts=[\"decoder\", \"head\"]",
    ];
    let refused = run(&[&train[..], &adapter].concat());
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("`train.lora`") && said.contains("embedded"),
        "{said}"
    );
}
