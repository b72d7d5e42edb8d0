use omnireward_core::{NoProgress, Preference, PreferencePair, Response, Task};
use omnireward_curate::stats::{Labels, Stats, stats};
use omnireward_testkit::pairs;
use serde_json::json;

use super::{dedup::runtime, engine, input};

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
    let scratch = folder.path().join("scratch");
    let engine = engine(partitions);
    let work = stats(&inputs, &scratch, false, &engine, &NoProgress);
    let mut found = runtime().block_on(work).unwrap();
    found.inputs.clear();
    found
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
