//! `omnireward data lint`: findings, exit codes, and what `--fix` writes.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{run, run_well};

fn row(id: &str, criterion: &str, first: &str, second: &str, label: &str) -> String {
    let pair = json!({
        "id": id, "task": "T2T", "prompt": format!("What about {id}?"), "criterion": criterion,
        "responses": [first, second], "label": label, "note": "kept",
    });
    format!("{pair}\n")
}

/// Two clean rows and five that are not.
fn planted(folder: &Path) -> String {
    let file = folder.join("pairs.jsonl");
    let mut text = row("tea", "Prefers what is warm.", "Yes.", "No.", "first");
    text += &row(
        "milk",
        "Prefers what is cold.",
        "Yes, please.",
        "No, thanks.",
        "second",
    );
    text += &row("tea", "Prefers what is warm.", "No.", "Yes.", "second")
        .replace("\"id\":\"tea\"", "\"id\":\"again\"");
    text += &row("salt", " Prefers what is dry.", "Yes!", "No!", "first");
    text += &row(
        "rice",
        "Prefers what is\u{7} small.",
        "Yes;",
        "No;",
        "first",
    );
    text += &row("soup", "Response A is better.", "Yes:", "No:", "second");
    text += "{\"id\": 7\n";
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn findings_have_codes_rows_and_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let file = planted(folder.path());
    let output = run(&["data", "lint", "--quiet", "--json", "--input", &file]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found: Vec<(u64, &str)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            (
                finding["row"].as_u64().unwrap(),
                finding["code"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        (3, "duplicate-pair"),
        (4, "untrimmed-criterion"),
        (5, "control-character"),
        (6, "criterion-contradicts-label"),
        (7, "unreadable-row"),
    ];
    assert_eq!(found, expected);
    assert_eq!(report["rows"], 7);

    let told = run(&[
        "data",
        "lint",
        "--quiet",
        "--input",
        &file,
        "--max-findings",
        "5",
    ]);
    assert!(told.status.success());
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.contains("row 3 `again`") && told.contains("5 findings in 7 rows"),
        "{told}"
    );
    let ignoring = "duplicate-pair,untrimmed-criterion,control-character,criterion-contradicts-label,unreadable-row";
    run_well(&[
        "data", "lint", "--quiet", "--input", &file, "--ignore", ignoring,
    ]);
}

#[test]
fn a_fix_writes_another_set_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = planted(folder.path());
    let before = fs::read(&file).unwrap();
    let out = folder.path().join("fixed");
    let out_name = out.to_str().unwrap();
    let output = run(&[
        "data", "lint", "--quiet", "--input", &file, "--fix", "--out", out_name,
    ]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("@@ row 4, `salt`, criterion: untrimmed-criterion"),
        "{told}"
    );
    assert!(
        told.contains("-  Prefers what is dry.\n+ Prefers what is dry.\n"),
        "{told}"
    );
    assert!(
        told.contains("- Prefers what is\\u{7} small.\n+ Prefers what is small."),
        "{told}"
    );
    assert_eq!(fs::read(&file).unwrap(), before, "the input stays as it is");

    let rows = |name: &str| -> Vec<Value> {
        let text = fs::read_to_string(out.join(name)).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let ids: Vec<Value> = rows("pairs.jsonl")
        .iter()
        .map(|row| row["id"].clone())
        .collect();
    assert_eq!(ids, ["tea", "milk", "salt", "rice", "soup"]);
    assert!(rows("pairs.jsonl").iter().all(|row| row["note"] == "kept"));
    assert_eq!(rows("removed/pairs.jsonl").len(), 1);
    assert_eq!(rows("removed/pairs.jsonl")[0]["id"], "again");
    assert_eq!(rows("changes.jsonl").len(), 3);

    let again = run(&["data", "lint", "--quiet", "--json", "--input", out_name]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["findings"].as_array().unwrap().len(), 1, "{again}");
    assert!(!out.join("pairs.jsonl.partial").exists());
    let twice = run(&[
        "data", "lint", "--quiet", "--input", &file, "--fix", "--out", out_name,
    ]);
    assert_eq!(twice.status.code(), Some(2), "nothing is written over");
}

#[test]
fn a_fix_that_is_stopped_leaves_no_set_and_can_be_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = planted(folder.path());
    let out = folder.path().join("fixed");
    let out_name = out.to_str().unwrap();
    let fix = || {
        let output = run(&[
            "data", "lint", "--quiet", "--input", &file, "--fix", "--out", out_name,
        ]);
        output.status.code()
    };
    // The changes cannot be written, which is the last thing before the set.
    fs::create_dir_all(out.join("changes.jsonl")).unwrap();
    assert_eq!(fix(), Some(2));
    assert!(!out.join("pairs.jsonl").exists(), "the set is not whole");
    fs::remove_dir(out.join("changes.jsonl")).unwrap();
    fs::write(out.join("pairs.jsonl.partial"), "{\"id\": \"te").unwrap();
    assert_eq!(fix(), Some(1), "there are findings");
    let lines = |name: &str| fs::read_to_string(out.join(name)).unwrap().lines().count();
    assert_eq!(lines("pairs.jsonl"), 5);
    assert_eq!(lines("removed/pairs.jsonl"), 1);
    assert_eq!(lines("changes.jsonl"), 3);
}
