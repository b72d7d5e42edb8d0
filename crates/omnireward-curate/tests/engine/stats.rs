use std::{panic::AssertUnwindSafe, path::Path};

use omnireward_core::{NoProgress, Preference, PreferencePair, Progress, Response, Task};
use omnireward_curate::{
    stats::{Labels, Stats, StatsSettings, stats},
    table::Input,
};
use omnireward_testkit::pairs;
use serde_json::json;

use super::{DiesAt, contents, dedup::runtime, engine, ids, input, read};

fn pair(id: &str, label: Preference) -> PreferencePair {
    let responses = [
        Response::text("one two"),
        Response::text("one two three four"),
    ];
    PreferencePair::new(id, Task::T2T, "say something now", responses).with_label(label)
}

fn found(pairs: &[PreferencePair], partitions: usize) -> Stats {
    let folder = tempfile::tempdir().unwrap();
    let inputs = [input(folder.path(), "set", pairs)];
    let out = folder.path().join("out");
    let mut found = run(&inputs, &out, partitions, &NoProgress);
    found.inputs.clear();
    found
}

fn run(inputs: &[Input], out: &Path, partitions: usize, progress: &dyn Progress) -> Stats {
    let settings = StatsSettings {
        samples: 2,
        ..StatsSettings::default()
    };
    let engine = engine(partitions);
    let work = stats(inputs, out, &settings, &engine, progress);
    runtime().block_on(work).unwrap()
}

fn set() -> Vec<PreferencePair> {
    use Preference::{First, Second, Tie};
    let in_group = |mut pair: PreferencePair| {
        pair.group = Some("g".to_owned());
        pair
    };
    let mut rated = pair("5", Second);
    rated.extra.insert(
        "ratings".to_owned(),
        json!({"x": "second", "y": "second", "z": "tie"}),
    );
    let mut pairs = vec![
        in_group(pair("1", First).with_criterion("is short")),
        in_group(pair("2", Second).with_criterion("is long, or longer")),
        in_group(pair("3", Second).with_criterion("is long, or longer")),
        pair("4", Tie),
        rated,
    ];
    pairs[3].source = Some("elsewhere".to_owned());
    pairs.extend(
        pairs::nine_tasks(2)
            .into_iter()
            .filter(|pair| pair.task != Task::T2T),
    );
    pairs
}

#[test]
fn counts_are_those_of_the_set() {
    let stats = found(&set(), 2);
    let (task, text) = &stats.tasks[0];
    assert_eq!(
        (*task, text.rows, stats.all.rows, stats.tasks.len()),
        (Task::T2T, 5, 13, 9)
    );
    assert_eq!(
        text.labels,
        Labels {
            first: 1,
            second: 3,
            tie: 1,
            none: 0
        }
    );
    assert_eq!(
        (text.labels.tie_share(), text.labels.first_share()),
        (Some(0.2), Some(0.25))
    );
    assert_eq!(stats.all.labels.none, 8);
    assert_eq!(
        (
            text.groups,
            text.with_criterion,
            text.groups_with_opposite_labels
        ),
        (3, 3, 1)
    );
    assert_eq!(text.criteria_per_group, [(0, 2), (2, 1)]);
    assert_eq!(text.mean_criteria_per_group, Some(2.0));
    let prompt = text.prompt_words.unwrap();
    assert_eq!((prompt.count, prompt.least, prompt.most), (5, 3, 3));
    let responses = text.response_words.unwrap();
    assert_eq!(
        (
            responses.count,
            responses.least,
            responses.median,
            responses.most
        ),
        (10, 2, 2, 4)
    );
    assert!((responses.mean - 3.0).abs() < 1e-12);
    assert_eq!(text.criterion_words.unwrap().most, 4);
    let media = stats.all.media;
    // TI2T has one picture, T2I two, TI2I three.
    assert_eq!(
        (
            media.images,
            media.videos,
            media.audios,
            media.meshes,
            media.text_only_rows
        ),
        (6, 3, 3, 2, 5)
    );
    let sources: Vec<(&str, u64)> = stats
        .sources
        .iter()
        .map(|(name, section)| (name.as_str(), section.rows))
        .collect();
    assert_eq!(sources, [("elsewhere", 1), ("set", 12)]);
    let agreement = stats.agreement.clone().unwrap();
    assert_eq!(
        (agreement.items, agreement.labels, agreement.pairs.len()),
        (1, 3, 3)
    );
}

#[test]
fn they_do_not_depend_on_partitions() {
    assert_eq!(found(&set(), 1), found(&set(), 3));
}

/// Rows of one group, under as many criteria.
fn group(rows: impl IntoIterator<Item = PreferencePair>) -> Vec<PreferencePair> {
    let rows = rows.into_iter().enumerate();
    rows.map(|(index, mut row)| {
        row.id = format!("{index}");
        row.group = Some("g".to_owned());
        row.with_criterion(format!("rule {index}"))
    })
    .collect()
}

#[test]
fn labels_are_opposite_where_criteria_prefer_different_responses() {
    use Preference::{First, Second, Tie};
    let one = |label| pair("", label);
    let mut other = one(Second);
    other.responses[1] = Response::text("another answer");
    let mut twice = group([one(First), one(Second)]);
    for row in &mut twice {
        *row = row.clone().with_criterion("the same rule");
    }
    let mut without = group([one(First), one(Second)]);
    for row in &mut without {
        row.criterion = None;
    }
    let pictures = pairs::pair(Task::T2I, 2);
    let cases = [
        ("two criteria", group([one(First), one(Second)]), 1),
        (
            "the responses exchanged",
            group([one(First), one(First).swapped()]),
            0,
        ),
        (
            "exchanged, and the other preferred",
            group([one(First), one(Second).swapped()]),
            1,
        ),
        ("other responses", group([one(First), other]), 0),
        ("a tie", group([one(First), one(Tie)]), 0),
        ("one criterion that says both", twice, 0),
        ("no criterion", without, 0),
        (
            "pictures",
            group([
                pictures.clone().with_label(First),
                pictures.clone().with_label(Second),
            ]),
            1,
        ),
        (
            "other pictures",
            group([
                pictures.with_label(First),
                pairs::pair(Task::T2I, 4).with_label(Second),
            ]),
            0,
        ),
    ];
    for (name, rows, expected) in cases {
        let stats = found(&rows, 1);
        assert_eq!(stats.all.groups_with_opposite_labels, expected, "{name}");
    }
}

#[test]
fn some_rows_of_each_task_are_written_as_samples() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = [input(folder.path(), "set", &set())];
    let outs = ["one", "three"].map(|name| folder.path().join(name));
    run(&inputs, &outs[0], 1, &NoProgress);
    run(&inputs, &outs[1], 3, &NoProgress);
    assert_eq!(contents(&outs[0]), contents(&outs[1]));
    let samples = read(&outs[0]);
    let of_text = samples.iter().filter(|pair| pair.task == Task::T2T).count();
    assert_eq!((samples.len(), of_text), (10, 2));
    assert!(ids(&samples).contains(&"T2V-2"));
}

#[test]
fn counting_that_was_killed_at_any_stage_ends_in_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = [input(folder.path(), "set", &set())];
    let [whole, resumed] = ["whole", "resumed"].map(|name| folder.path().join(name));
    let counter = DiesAt::stage(usize::MAX);
    let counted = run(&inputs, &whole, 2, &counter);
    for stage in (0..counter.stages()).rev() {
        let progress = DiesAt::stage(stage);
        let attempt = || run(&inputs, &resumed, 2, &progress);
        let died = std::panic::catch_unwind(AssertUnwindSafe(attempt));
        assert!(died.is_err() || resumed.join("report.json").exists());
    }
    assert_eq!(
        run(&inputs, &resumed, 2, &NoProgress).all.rows,
        counted.all.rows
    );
    assert_eq!(contents(&whole), contents(&resumed));
}
