//! What a user types and sees.

use std::path::Path;

use omnireward_testkit::ChatServer;
use serde_json::{Value, json};

use crate::support::{omnireward, run, run_well};

#[test]
fn the_demo_shows_the_embedded_model_beside_baselines() {
    let folder = tempfile::tempdir().unwrap();
    // A name that a shell has to be told about.
    let out = folder.path().join("a demo");
    let out = out.to_str().unwrap();
    let demo = ["demo", "--quiet", "--out", out];
    let output = run(&demo);
    let text = String::from_utf8(output.stdout).unwrap();
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{notes}");
    for expected in [
        "baseline:random",
        "baseline:first",
        "T2T   TI2T   TV2T   TA2T    T2I    T2V    T2A   T23D   TI2I",
        "common",
        "criteria that disagree",
        "verifiable, not",
    ] {
        assert!(text.contains(expected), "`{expected}` in:\n{text}");
    }
    let first = "$ omnireward eval --judge embedded --benchmark embedded --out '";
    assert!(notes.contains(first), "{notes}");
    let page = std::fs::read_to_string(Path::new(out).join("report.html")).unwrap();
    for media in [
        "data:image/png;base64,",
        "data:image/jpeg;base64,",
        "data:audio/",
    ] {
        assert!(page.contains(media), "`{media}` in the page");
    }
    let json: Value = serde_json::from_str(&run_well(&[&demo[..], &["--json"]].concat())).unwrap();
    assert_eq!(json["runs"].as_array().unwrap().len(), 3);
    assert!(json["comparison"]["settings"].is_array());
    let runs = ["embedded", "random", "first"].map(|name| format!("{out}/{name}"));
    let [embedded, random, first] = runs.each_ref().map(String::as_str);
    let verified = run_well(&["report", "--verify", embedded, random, first]);
    assert_eq!(
        verified.matches("every number follows").count(),
        3,
        "{verified}"
    );
}

/// How many questions a judge is asked about a task of the embedded benchmark, in both settings and both orders.
fn questions(task: &str) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let results = run_well(&[
        "eval",
        "--quiet",
        "--json",
        "--no-html",
        "--judge",
        "baseline:first",
        "--tasks",
        task,
        "--benchmark",
        "embedded",
        "--out",
        out.to_str().unwrap(),
    ]);
    let results: Value = serde_json::from_str(&results).unwrap();
    serde_json::from_value(results["rows"].clone()).unwrap()
}

#[test]
fn a_changed_number_is_found_by_verifying() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let path = out.to_str().unwrap();
    run_well(&[
        "eval",
        "--quiet",
        "--judge",
        "baseline:first",
        "--benchmark",
        "embedded",
        "--out",
        path,
    ]);
    let results = out.join("results.json");
    let mut value: Value =
        serde_json::from_str(&std::fs::read_to_string(&results).unwrap()).unwrap();
    value["settings"][0]["overall"]["own"]["value"] = json!(0.99);
    std::fs::write(&results, value.to_string()).unwrap();
    let output = run(&["report", "--verify", path]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("/settings/0/overall/own/value") && text.contains("0.99"),
        "{text}"
    );
}

#[test]
fn a_dry_run_shows_the_first_request_and_asks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = ChatServer::replying("[[A]]");
    let out = folder.path().join("run");
    let args = [
        "eval",
        "--dry-run",
        "--judge",
        "openai:m",
        "--tasks",
        "T2I",
        "--price-in",
        "2.5",
    ];
    let output = omnireward()
        .args(args)
        .args([
            "--price-out",
            "10",
            "--benchmark",
            "embedded",
            "--base-url",
            &server.base_url(),
        ])
        .args(["--out", out.to_str().unwrap()])
        .output()
        .unwrap();
    let (text, notes) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        text.contains("[[RESPONSE A]]") && text.contains("‹image/png"),
        "{text}"
    );
    let about = format!("about {} questions", questions("T2I"));
    assert!(
        notes.contains(&about) && notes.contains("about $"),
        "`{about}` in:\n{notes}"
    );
    assert_eq!((server.admitted(), out.exists()), (0, false));
}

#[test]
fn a_budget_stops_a_run_and_a_larger_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = ChatServer::replying("[[A]]");
    let out = folder.path().join("run");
    let base_url = server.base_url();
    let args = [
        "eval",
        "--judge",
        "openai:m",
        "--tasks",
        "T2T",
        "--base-url",
        &base_url,
        "--no-html",
        "--benchmark",
        "embedded",
        "--out",
        out.to_str().unwrap(),
        "--budget-tokens",
    ];
    let stopped = run(&[&args[..], &["20000"]].concat());
    let notes = String::from_utf8_lossy(&stopped.stderr);
    assert_eq!(stopped.status.code(), Some(2), "{notes}");
    assert!(notes.contains("stopped: the budget"), "{notes}");
    let before = server.answered();
    let all = questions("T2T");
    assert!(before > 5 && before < all, "{before} of {all}");
    let done = run(&[&args[..], &["100000000"]].concat());
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(server.answered(), all, "nothing twice");
}

#[test]
fn runs_over_different_benchmarks_are_not_compared() {
    let folder = tempfile::tempdir().unwrap();
    let pair = json!({"id": "1", "task": "T2T", "prompt": "p", "responses": ["a", "bb"], "label": "first"});
    let other = folder.path().join("other.jsonl");
    std::fs::write(&other, pair.to_string()).unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let (one, two) = (one.to_str().unwrap(), two.to_str().unwrap());
    let judge = [
        "eval",
        "--quiet",
        "--judge",
        "baseline:longest",
        "--benchmark",
    ];
    run_well(&[&judge[..], &["embedded", "--out", one]].concat());
    run_well(&[&judge[..], &[other.to_str().unwrap(), "--out", two]].concat());
    let output = run(&["report", one, two]);
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("different benchmarks"), "{errors}");
}

#[test]
fn mistakes_are_named_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let out = out.to_str().unwrap();
    let eval = ["eval", "--benchmark", "embedded", "--out", out, "--judge"];
    for (args, expected) in [
        (&["nonsense:x"][..], "baseline:longest"),
        (&["replay:nowhere.jsonl"], "nowhere.jsonl"),
        (
            &["baseline:first", "--published", "Nobody"],
            "no row `Nobody`",
        ),
        (&["baseline:first", "--tasks", "T2X"], "T2X"),
        (&["openai:m", "--temperature", "NaN"], "0 to 10"),
        (&["openai:m", "--votes", "400000000"], "1 to 100"),
        (&["openai:m", "--base-url", "ftp://x"], "base-url"),
        (&["baseline:longest", "--tasks", "T2I"], "nothing to judge"),
    ] {
        let output = run(&[&eval[..], args].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {errors}");
        assert!(errors.contains(expected), "{args:?}: {errors}");
    }
}

#[test]
fn an_accuracy_below_the_bar_exits_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let output = run(&[
        "eval",
        "--quiet",
        "--judge",
        "baseline:first",
        "--benchmark",
        "embedded",
        "--out",
        out.to_str().unwrap(),
        "--min-accuracy",
        "99",
    ]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn scrambled_texts_that_nothing_is_to_be_learned_from_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("made").display().to_string();
    let made = |tasks: &[&str]| {
        let synth = ["data", "synth", "--out", &out, "--answers", "brackets"];
        run(&[&synth[..], &["--scenes", "1", "--scrambled"], tasks].concat())
    };
    for tasks in [&["--tasks", "T2I,T2T"][..], &[]] {
        let refused = made(tasks);
        let message = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && message.contains("`--quotes`"));
        assert!(!Path::new(&out).exists());
    }
    assert!(made(&["--tasks", "T2I"]).status.success());
}
