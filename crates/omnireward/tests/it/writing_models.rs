//! A writing model on this machine as a user meets it: written at random, asked for verdicts.

use omnireward_core::{NoProgress, Preference, PreferencePair};
use omnireward_models::checkpoint::{Family, RandomCheckpoint, Size};
use omnireward_testkit::pairs::{criterion, nine_tasks};
use serde_json::Value;

use crate::support::run_well;

/// It has learnt nothing, so its replies are not readable; but each is asked for, and kept.
#[test]
fn a_generated_benchmark_is_asked_in_both_settings_and_orders() {
    // 14 pairs with ties and 7 without, each in both orders; nobody hears the others.
    asked(Family::Qwen2_5Vl, 42);
    // 18 and 9.
    asked(Family::Qwen2_5Omni, 54);
}

fn asked(family: Family, rows: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    RandomCheckpoint::new(family, Size::Tiny)
        .write(&folder.path().join("model"), &NoProgress)
        .unwrap();
    let pairs: Vec<PreferencePair> = [(1, Preference::First), (2, Preference::Tie)]
        .into_iter()
        .flat_map(|(media, label)| {
            nine_tasks(media).into_iter().map(move |mut pair| {
                pair.criterion = Some(criterion(1));
                pair.label = Some(label);
                pair
            })
        })
        .collect();
    omnireward_data::write::omni_json(&folder.path().join("bench"), &pairs).unwrap();
    let (model, bench, run) = (path("model"), path("bench"), path("run"));
    let eval = [
        "eval",
        "--judge",
        &model,
        "--benchmark",
        &bench,
        "--max-tokens",
        "4",
        "--frames",
        "2",
        "--out",
        &run,
        "--json",
    ];
    let results: Value = serde_json::from_str(&run_well(&eval)).unwrap();
    assert_eq!(results["rows"], rows, "{family}");
    // Started again, it asks nothing.
    let again: Value = serde_json::from_str(&run_well(&eval)).unwrap();
    assert_eq!(again["rows"], rows, "{family}");
}
