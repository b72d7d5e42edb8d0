use std::{panic::AssertUnwindSafe, path::Path};

use omnireward_core::{NoProgress, Part, Preference, PreferencePair, Response, Task};
use omnireward_curate::{
    Error,
    dedup::{DedupReport, DedupSettings, dedup},
    table::{Input, MediaMode},
};
use omnireward_testkit::pairs;

use super::{Dice, DiesAt, contents, edited_pair, engine, ids, input, json_lines, read, text_pair};

fn run(
    inputs: &[Input],
    out: &Path,
    settings: &DedupSettings,
    partitions: usize,
) -> Result<DedupReport, Error> {
    runtime().block_on(dedup(
        inputs,
        out,
        settings,
        MediaMode::Beside,
        &engine(partitions),
        &NoProgress,
    ))
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Ten different pairs, and what dedup has to say of each copy of them.
fn planted() -> Vec<(PreferencePair, &'static str)> {
    let mut dice = Dice(7);
    let base: Vec<PreferencePair> = (0..10)
        .map(|index| text_pair(&format!("base-{index}"), &mut dice))
        .collect();
    let mut all: Vec<(PreferencePair, &str)> =
        base.iter().cloned().map(|pair| (pair, "kept")).collect();
    let mut add = |id: &str, mut pair: PreferencePair, fate| {
        id.clone_into(&mut pair.id);
        all.push((pair, fate));
    };
    let mut shouted = base[0].clone();
    shouted.prompt = vec![Part::Text(format!(
        "{}!",
        omnireward_core::joined_text(&base[0].prompt).to_uppercase()
    ))];
    add("shouted", shouted, "exact");
    add("swapped", base[1].swapped(), "exact");
    add("edited", edited_pair(&base[2], "", 0.05, &mut dice), "near");
    add(
        "edited and swapped",
        edited_pair(&base[3].swapped(), "", 0.05, &mut dice),
        "near",
    );
    add(
        "another criterion",
        base[4].clone().with_criterion("is shorter"),
        "kept",
    );
    let mut answered = base[5].clone();
    answered.responses[1] = Response::text(dice.words(90).join(" "));
    add("another answer", answered, "kept");
    add(
        "rewritten",
        edited_pair(&base[6], "", 0.6, &mut dice),
        "kept",
    );
    all
}

#[test]
fn planted_duplicates_are_found_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let planted = planted();
    let pairs: Vec<PreferencePair> = planted.iter().map(|(pair, _)| pair.clone()).collect();
    let inputs = [
        input(folder.path(), "a", &pairs[..12]),
        input(folder.path(), "b", &pairs[12..]),
    ];
    let out = folder.path().join("out");
    let report = run(&inputs, &out, &DedupSettings::default(), 2).unwrap();

    let kept: Vec<&str> = planted
        .iter()
        .filter(|(_, fate)| *fate == "kept")
        .map(|(pair, _)| pair.id.as_str())
        .collect();
    assert_eq!(ids(&read(&out)), kept);
    assert_eq!(
        (report.rows, report.kept, report.exact, report.near),
        (17, 13, 2, 2)
    );
    assert_eq!((report.clusters, report.largest_cluster), (4, 2));
    assert_eq!(report.counts[1].rows, 5);
    let lines = json_lines(&out.join("dropped.jsonl"));
    let told: Vec<[&str; 3]> = lines
        .iter()
        .map(|line| {
            [&line["row"]["id"], &line["kept"]["id"], &line["evidence"]]
                .map(|value| value.as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            ["shouted", "base-0", "exact"],
            ["swapped", "base-1", "exact"],
            ["edited", "base-2", "near"],
            ["edited and swapped", "base-3", "near"],
        ]
    );
    assert_eq!(lines[2]["row"]["input"], "b");
    assert!(!out.join("work").exists());
}

#[test]
fn copies_with_another_label_are_counted_and_told() {
    let mut dice = Dice(17);
    let one = text_pair("one", &mut dice);
    let named = |id: &str, pair: PreferencePair| PreferencePair {
        id: id.to_owned(),
        ..pair
    };
    let picture = pairs::pair(Task::T2I, 2).with_label(Preference::First);
    let mut unlabelled = one.clone();
    unlabelled.label = None;
    let edited = edited_pair(&one, "", 0.05, &mut dice);
    let rows = [
        one.clone(),
        named("same", one.clone()),
        named("exchanged", one.swapped()),
        named("opposite", one.clone().with_label(Preference::Second)),
        named("a tie", one.clone().with_label(Preference::Tie)),
        named("unlabelled", unlabelled),
        named("edited", edited.clone()),
        named("edited, exchanged", edited.swapped()),
        named(
            "edited, exchanged, opposite",
            edited.swapped().with_label(Preference::First),
        ),
        named("picture", picture.clone()),
        named("picture exchanged", picture.swapped()),
        named(
            "picture opposite",
            picture.clone().with_label(Preference::Second),
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let inputs = [input(folder.path(), "a", &rows)];
    let report = run(&inputs, &out, &DedupSettings::default(), 2).unwrap();
    assert_eq!((report.kept, report.other_label), (2, 5));
    let told: Vec<(String, serde_json::Value)> = json_lines(&out.join("dropped.jsonl"))
        .iter()
        .filter(|line| line["label"] != line["kept_label"])
        .map(|line| {
            let id = line["row"]["id"].as_str().unwrap().to_owned();
            (id, line["label"].clone())
        })
        .collect();
    let expected = [
        ("opposite", serde_json::json!("second")),
        ("a tie", serde_json::json!("tie")),
        ("unlabelled", serde_json::Value::Null),
        ("edited, exchanged, opposite", serde_json::json!("second")),
        ("picture opposite", serde_json::json!("second")),
    ];
    let expected = expected.map(|(id, label)| (id.to_owned(), label));
    assert_eq!(told, expected);
}

#[test]
fn only_exact_duplicates_go_when_no_others_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let pairs: Vec<PreferencePair> = planted().into_iter().map(|(pair, _)| pair).collect();
    let settings = DedupSettings {
        near: false,
        ..DedupSettings::default()
    };
    let report = run(
        &[input(folder.path(), "a", &pairs)],
        &folder.path().join("out"),
        &settings,
        2,
    )
    .unwrap();
    assert_eq!(
        (report.kept, report.exact, report.near, report.compared),
        (15, 2, 0, 0)
    );
}

#[test]
fn results_do_not_depend_on_partitions_and_finished_work_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let pairs: Vec<PreferencePair> = planted().into_iter().map(|(pair, _)| pair).collect();
    let inputs = [input(folder.path(), "a", &pairs)];
    let outs = ["one", "three"].map(|name| folder.path().join(name));
    for (out, partitions) in outs.iter().zip([1, 3]) {
        run(&inputs, out, &DedupSettings::default(), partitions).unwrap();
    }
    let first = contents(&outs[0]);
    assert_eq!(first, contents(&outs[1]));
    run(&inputs, &outs[0], &DedupSettings::default(), 2).unwrap();
    assert_eq!(first, contents(&outs[0]));

    let other = DedupSettings {
        threshold: 0.9,
        ..DedupSettings::default()
    };
    let error = run(&inputs, &outs[0], &other, 2).unwrap_err();
    assert!(matches!(error, Error::OtherWork { .. }), "{error}");
}

#[test]
fn work_that_was_killed_at_any_stage_ends_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut pairs: Vec<PreferencePair> = planted().into_iter().map(|(pair, _)| pair).collect();
    pairs.extend(pairs::nine_tasks(1));
    let inputs = [input(folder.path(), "a", &pairs)];
    let whole = folder.path().join("whole");
    let counter = DiesAt::stage(usize::MAX);
    let settings = DedupSettings::default();
    let attempt = |out: &Path, progress: &DiesAt| {
        runtime()
            .block_on(dedup(
                &inputs,
                out,
                &settings,
                MediaMode::Beside,
                &engine(2),
                progress,
            ))
            .unwrap()
    };
    attempt(&whole, &counter);
    assert!(counter.stages() > 5, "{}", counter.stages());
    let resumed = folder.path().join("resumed");
    for stage in (0..counter.stages()).rev() {
        let progress = DiesAt::stage(stage);
        let died = std::panic::catch_unwind(AssertUnwindSafe(|| attempt(&resumed, &progress)));
        assert!(died.is_err() || resumed.join("report.json").exists());
    }
    attempt(&resumed, &DiesAt::stage(usize::MAX));
    assert_eq!(contents(&whole), contents(&resumed));
}

#[test]
fn media_decide_where_responses_are_media() {
    let folder = tempfile::tempdir().unwrap();
    let renamed = |pair: &PreferencePair, id: &str| PreferencePair {
        id: id.to_owned(),
        ..pair.clone()
    };
    // All are asked the same.
    let ask = |mut pair: PreferencePair| {
        pair.prompt.retain(|part| part.as_media().is_some());
        pair.prompt
            .push(Part::Text("Draw what the number stands for".to_owned()));
        pair
    };
    let mut rows = Vec::new();
    for task in [Task::T2I, Task::T2A, Task::T2V, Task::TI2I] {
        let [one, other] = [2, 4].map(|seed| ask(pairs::pair(task, seed)));
        rows.extend([
            renamed(&one, &format!("{task}")),
            renamed(&other, &format!("{task} other")),
        ]);
        rows.push(renamed(&one.swapped(), &format!("{task} again")));
    }
    let out = folder.path().join("out");
    let report = run(
        &[input(folder.path(), "a", &rows)],
        &out,
        &DedupSettings::default(),
        2,
    )
    .unwrap();
    assert_eq!(report.unread_media, 0);
    let again: Vec<String> = json_lines(&out.join("dropped.jsonl"))
        .iter()
        .map(|line| line["row"]["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(again, ["T2I again", "T2A again", "T2V again", "TI2I again"]);
    for pair in read(&out) {
        for medium in pair
            .responses
            .iter()
            .flat_map(|response| &response.parts)
            .filter_map(Part::as_media)
        {
            omnireward_media::read(medium, &omnireward_media::Limits::default()).unwrap();
        }
    }
}
