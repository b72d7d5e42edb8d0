//! `omnireward data import` and `data export` as a user runs them: kills, tables, refusals.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::Duration,
};

use omnireward_testkit::{published_sources, real_data};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;

use crate::support::{omnireward, run, run_well};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// All files below a folder with their content.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in next.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Twenty kills at random moments: each time the import is started again, and in the end there is what there would have
/// been.
#[test]
fn an_import_that_is_killed_again_and_again_ends_in_the_same_bytes() {
    let (from, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    published_sources::write_with_media(from.path(), "hpdv2", 1500, 3);
    let [whole, killed] = ["whole", "killed"].map(|name| work.path().join(name));
    let arguments = |out: &Path| {
        let fixed = [
            "data",
            "import",
            "--quiet",
            "--from",
            "hpdv2",
            "--input",
            text(from.path()),
            "--copy-media",
            "--json",
            "--out",
        ];
        fixed
            .iter()
            .map(|argument| (*argument).to_owned())
            .chain([text(out).to_owned()])
            .collect::<Vec<_>>()
    };
    let expected = run_well(
        &arguments(&whole)
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    let mut random = StdRng::seed_from_u64(11);
    let mut interrupted = 0;
    for _ in 0..20 {
        let mut child = omnireward()
            .args(arguments(&killed))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(random.random_range(5..120)));
        child.kill().unwrap();
        child.wait().unwrap();
        interrupted += usize::from(!killed.join("pairs.jsonl").exists());
    }
    assert!(interrupted > 0, "at least one kill came before the end");
    let found = run_well(
        &arguments(&killed)
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    assert_eq!(found, expected, "the summary is of the whole");
    let parts: Vec<_> = tree(&killed)
        .into_keys()
        .filter(|name| text(name).contains(".part"))
        .collect();
    assert!(parts.is_empty(), "{parts:?}");
    // What a kill left half copied is not among the media that pairs name; all that is named is whole.
    let (one, other) = (tree(&whole), tree(&killed));
    for (name, bytes) in &one {
        assert_eq!(other.get(name), Some(bytes), "{}", name.display());
    }
}

#[test]
fn a_summary_counts_what_was_read_made_and_refused() {
    let (from, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    published_sources::write(from.path(), "ultrafeedback", 600, 3);
    let file = from.path().join("flan.jsonl");
    let broken = fs::read_to_string(&file).unwrap()
        + "{\"instruction\": \"i\"}\nnot JSON\n{\"instruction\": \"i\"}\n";
    fs::write(&file, broken).unwrap();
    let out = work.path().join("out");
    let table = run_well(&[
        "data",
        "import",
        "--quiet",
        "--from",
        "ultrafeedback",
        "--input",
        text(from.path()),
        "--out",
        text(&out),
    ]);
    assert!(
        table.contains("rows read") && table.contains("103"),
        "{table}"
    );
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("pairs made") && line.ends_with("600")),
        "{table}"
    );
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("`completions`: missing") && line.ends_with('2')),
        "{table}"
    );
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("not JSON") && line.ends_with('1')),
        "{table}"
    );
    let json = run_well(&[
        "data",
        "import",
        "--quiet",
        "--from",
        "ultrafeedback",
        "--input",
        text(from.path()),
        "--out",
        text(&out),
        "--json",
    ]);
    let summary: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&summary["pairs"], &summary["rows_read"]),
        (&600.into(), &103.into())
    );
    let strict = run(&[
        "data",
        "import",
        "--quiet",
        "--strict",
        "--from",
        "ultrafeedback",
        "--input",
        text(from.path()),
        "--out",
        text(&work.path().join("strict")),
    ]);
    assert_eq!(strict.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&strict.stderr).into_owned();
    assert!(
        errors.contains("flan.jsonl") && errors.contains("`completions`"),
        "{errors}"
    );
}

#[test]
fn the_list_has_every_source_and_wrong_names_are_answered_with_it() {
    let list = run_well(&["data", "import", "--list"]);
    let json: Vec<Value> =
        serde_json::from_str(&run_well(&["data", "import", "--list", "--json"])).unwrap();
    assert_eq!(json.len(), published_sources::NAMES.len());
    for source in json {
        assert!(list.contains(source["name"].as_str().unwrap()));
        assert!(!source["confirmed"].as_str().unwrap().is_empty());
    }
    let wrong = run(&[
        "data", "import", "--from", "hpd", "--input", ".", "--out", "x",
    ]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("hpdv2"));
    let column = tempfile::tempdir().unwrap();
    fs::write(
        column.path().join("train.json"),
        r#"[{"prompt": "p", "file_path": ["a", "b"]}]"#,
    )
    .unwrap();
    let wrong = run(&[
        "data",
        "import",
        "--from",
        "hpdv2",
        "--input",
        text(column.path()),
        "--out",
        text(&column.path().join("x")),
    ]);
    let errors = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        errors.contains("no column `human_preference`") && errors.contains("`file_path`"),
        "{errors}"
    );
}

#[test]
fn real_pairs_are_exported_or_refused_by_name() {
    let Some(pairs) = real_data("text/pandalm/testset.jsonl") else {
        return;
    };
    let work = tempfile::tempdir().unwrap();
    let out = work.path().join("swift");
    let refused = run(&[
        "data",
        "export",
        "--quiet",
        "--input",
        text(&pairs),
        "--to",
        "ms-swift",
        "--out",
        text(&out),
    ]);
    assert_eq!(refused.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        errors.contains("--drop-what-does-not-fit") && errors.contains("a tie"),
        "{errors}"
    );
    assert!(!out.exists(), "nothing is written");
    let summary = run_well(&[
        "data",
        "export",
        "--quiet",
        "--input",
        text(&pairs),
        "--to",
        "ms-swift",
        "--out",
        text(&out),
        "--drop-what-does-not-fit",
        "--json",
    ]);
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let dropped: u64 = summary["dropped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dropped| dropped["pairs"].as_u64().unwrap())
        .sum();
    assert_eq!(summary["pairs"].as_u64().unwrap() + dropped, 668);
    assert!(dropped > 0);
    let lines = fs::read_to_string(out.join("preferences.jsonl"))
        .unwrap()
        .lines()
        .count() as u64;
    assert_eq!(summary["pairs"], lines);
}
