//! Sets of pairs cleaned, mixed and counted, as a user does it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::omnireward;

fn told(arguments: &[&str]) -> (i32, String, String) {
    let output = omnireward()
        .args(["--quiet", "data"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn json(arguments: &[&str]) -> Value {
    let (code, data, errors) = told(arguments);
    assert_eq!(code, 0, "{errors}");
    serde_json::from_str(&data).unwrap()
}

fn synthesised(folder: &Path, name: &str, split: &str) -> String {
    let out = folder.join(name).display().to_string();
    let tasks = "T2T,T2I";
    json_free(&[
        "synth", "--layout", "pairs", "--scenes", "3", "--tasks", tasks, "--split", split, "--out",
        &out,
    ]);
    out
}

fn json_free(arguments: &[&str]) {
    let (code, _, errors) = told(arguments);
    assert_eq!(code, 0, "{errors}");
}

#[test]
fn a_set_is_counted_cleaned_and_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let set = synthesised(folder.path(), "set", "train");
    let rows = json(&["stats", "--input", &set, "--json"])["all"]["rows"]
        .as_u64()
        .unwrap();
    assert!(rows > 6);

    // The same set twice is the set.
    let report = json(&[
        "dedup",
        "--input",
        &set,
        "--input",
        &set,
        "--out",
        &at("clean"),
        "--exact",
        "--json",
    ]);
    assert_eq!(report["rows"], 2 * rows);
    assert!(report["kept"].as_u64().unwrap() <= rows);
    let kept = report["kept"].as_u64().unwrap();

    let report = json(&[
        "decontaminate",
        "--input",
        &set,
        "--against",
        &at("clean"),
        "--out",
        &at("left"),
        "--json",
    ]);
    assert!(report["touching"].as_u64().unwrap() > 0);

    let recipe =
        "[[subset]]\nname = 'one'\npath = 'clean'\ntask = 'T2T'\nkind = 'instruction'\ncap = 4\n";
    fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
    let (code, data, errors) = told(&[
        "mix",
        "--recipe",
        &at("recipe.toml"),
        "--out",
        &at("mixture"),
    ]);
    assert!(kept > 4 && data.contains("one"), "{data}");
    // Half of the set are pictures, which the recipe does not say.
    assert!(code == 0 || errors.contains("are not T2T"), "{errors}");

    let (code, table, _) = told(&["stats", "--input", &at("mixture")]);
    assert_eq!(code, 0);
    assert!(
        table.contains("first preferred") && table.contains("all"),
        "{table}"
    );
}

#[test]
fn a_folder_with_other_work_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let set = synthesised(folder.path(), "set", "train");
    let (code, _, errors) = told(&["dedup", "--input", &set, "--out", &set]);
    assert_eq!(code, 2);
    assert!(errors.contains("choose another folder"), "{errors}");
}

#[test]
fn statistics_have_a_page_with_plots_and_samples() {
    let folder = tempfile::tempdir().unwrap();
    let set = synthesised(folder.path(), "set", "train");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (out, page) = (at("stats"), at("page.html"));
    let arguments = [
        "stats",
        "--input",
        &set,
        "--out",
        &out,
        "--html",
        &page,
        "--samples",
        "3",
        "--json",
    ];
    let rows = json(&arguments)["all"]["rows"].clone();
    let html = fs::read_to_string(&page).unwrap();
    for id in [
        "headline",
        "rows",
        "labels",
        "content",
        "lengths",
        "pairs-section",
    ] {
        assert!(html.contains(&format!("id=\"{id}\"")), "no section `{id}`");
    }
    assert!(html.contains("6 pairs, drawn at random.") && html.contains("<svg"));
    // Finished work is told again.
    assert_eq!(json(&arguments)["all"]["rows"], rows);
    assert_eq!(html, fs::read_to_string(&page).unwrap());
    // The folder's samples are a set like any other.
    assert_eq!(
        json(&["stats", "--input", &out, "--json"])["all"]["rows"],
        6
    );
}

#[test]
fn a_mixture_of_no_samples_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (code, _, errors) = told(&[
        "mix",
        "--recipe",
        &at("recipe.toml"),
        "--out",
        &at("out"),
        "--max-samples",
        "0",
    ]);
    assert_eq!(code, 2);
    assert!(errors.contains("--max-samples"), "{errors}");
}

#[cfg(feature = "distributed")]
#[test]
fn processes_of_a_cluster_take_no_settings_of_plans() {
    for process in ["scheduler", "executor"] {
        for setting in [&["--strict"][..], &["--scheduler", "df://localhost:50050"]] {
            let mut arguments = vec!["cluster", process];
            arguments.extend(setting);
            let (code, _, errors) = told(&arguments);
            assert_eq!(code, 2);
            assert!(errors.contains("unexpected argument"), "{errors}");
        }
    }
    let (code, _, errors) = told(&["cluster", "executor", "--listen", "127.0.0.1:65535"]);
    assert_eq!(code, 2);
    assert!(errors.contains("the port after it"), "{errors}");
}
