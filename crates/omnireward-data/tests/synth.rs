//! Generated pairs: what labels, splits and media promise.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "synth/media.rs"]
mod media;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
};

use omnireward_core::{
    MediaSource, NoProgress, Part, Preference, PreferencePair, Task, joined_text,
};
use omnireward_data::{
    Error, Format, OpenOptions, open,
    synth::{Layout, Split, SynthConfig, Written, scene, synthesise, vocabulary_sample, write},
};
use serde_json::Value;

fn config(split: Split, scenes: usize) -> SynthConfig {
    SynthConfig {
        seed: 7,
        split,
        scenes,
        ..SynthConfig::default()
    }
}

/// Tasks whose scenes are made in no time: nothing is painted for most of them.
const IN_WORDS: [Task; 1] = [Task::T2T];

fn pairs_of(tasks: &[Task], split: Split, scenes: usize) -> Vec<PreferencePair> {
    synthesise(&SynthConfig {
        tasks: tasks.to_vec(),
        ..config(split, scenes)
    })
    .collect()
}

fn groups(pairs: &[PreferencePair]) -> BTreeMap<&str, Vec<&PreferencePair>> {
    let mut groups: BTreeMap<&str, Vec<&PreferencePair>> = BTreeMap::new();
    for pair in pairs {
        groups.entry(pair.cluster()).or_default().push(pair);
    }
    groups
}

/// `-1`, `0` or `1` for second, tie and first.
fn sign(pair: &PreferencePair) -> i32 {
    match pair.label.unwrap() {
        Preference::First => 1,
        Preference::Second => -1,
        Preference::Tie => 0,
    }
}

#[test]
fn pairs_are_valid_and_depend_only_on_their_place() {
    for task in Task::ALL {
        let few = pairs_of(&[task], Split::Test, 3);
        let again = pairs_of(&[task], Split::Test, 5);
        assert_eq!(few, again[..few.len()]);
        assert_eq!(
            scene(&config(Split::Test, 0), task, 4),
            again
                .iter()
                .filter(|pair| pair.cluster() == format!("{task}-000004"))
                .cloned()
                .collect::<Vec<_>>()
        );
        for pair in &again {
            pair.validate().unwrap();
            assert!(
                pair.criterion.is_some() && pair.label.is_some(),
                "{}",
                pair.id
            );
        }
        let other = SynthConfig {
            seed: 8,
            ..config(Split::Test, 0)
        };
        assert_ne!(
            scene(&other, task, 0),
            scene(&config(Split::Test, 0), task, 0)
        );
    }
}

#[test]
fn a_scenes_media_are_the_same_under_all_its_criteria() {
    for task in Task::ALL {
        let pairs = pairs_of(&[task], Split::Train, 4);
        for group in groups(&pairs).into_values() {
            assert!(group.iter().all(|pair| pair.prompt == group[0].prompt));
            assert!(
                group
                    .iter()
                    .all(|pair| pair.responses == group[0].responses)
            );
            let wordings: BTreeSet<_> = group
                .iter()
                .map(|pair| &pair.extra["aspect"])
                .map(Value::to_string)
                .collect();
            assert_eq!(wordings.len(), group.len(), "one criterion for an aspect");
        }
    }
}

/// What tells a scene of one split from those of the other.
fn identity(pair: &PreferencePair) -> Vec<String> {
    let goal = pair.extra.get("before").unwrap_or(&pair.extra["goal"]);
    let names: &[&str] = if goal.get("place").is_some() {
        &["colour", "shape", "count", "place"]
    } else if goal.get("motion").is_some() {
        &["colour", "shape", "motion"]
    } else if goal.get("timbre").is_some() {
        &["timbre", "count", "pitch", "rhythm", "course"]
    } else if goal.get("shape").is_some() {
        &["colour", "shape", "count", "size"]
    } else {
        // What the riddle is about, without how it is put.
        let prompt = joined_text(&pair.prompt);
        let words = prompt.trim_end_matches(['.', '?']).split(' ');
        let known = ["after", "before"];
        let tail: Vec<&str> = words.skip_while(|word| !known.contains(word)).collect();
        return tail.into_iter().map(str::to_owned).collect();
    };
    let told = |name: &&str| goal.get(name).map_or("-", |value| value.as_str().unwrap());
    names
        .iter()
        .map(|name| match *name {
            // Four letters are the same for one and for several.
            "shape" | "timbre" => told(name).chars().take(4).collect(),
            _ => told(name).to_owned(),
        })
        .collect()
}

#[test]
fn the_splits_share_neither_scenes_nor_wordings() {
    for task in Task::ALL {
        let scenes = if task == Task::T2T { 1500 } else { 60 };
        let (train, test) = (
            pairs_of(&[task], Split::Train, scenes),
            pairs_of(&[task], Split::Test, scenes),
        );
        let identities =
            |pairs: &[PreferencePair]| -> BTreeSet<_> { pairs.iter().map(identity).collect() };
        let shared: Vec<_> = identities(&train)
            .intersection(&identities(&test))
            .cloned()
            .collect();
        assert!(shared.is_empty(), "{task}: {shared:?}");
        let wordings = |pairs: &[PreferencePair]| -> BTreeSet<String> {
            pairs
                .iter()
                .map(|pair| pair.criterion.as_ref().unwrap().to_string())
                .collect()
        };
        let shared: Vec<_> = wordings(&train)
            .intersection(&wordings(&test))
            .cloned()
            .collect();
        assert!(shared.is_empty(), "{task}: {shared:?}");
    }
}

#[test]
fn labels_are_balanced_and_most_scenes_hold_contradicting_criteria() {
    for criteria in [2, 3, 4] {
        let pairs: Vec<_> = synthesise(&SynthConfig {
            tasks: IN_WORDS.to_vec(),
            criteria,
            ..config(Split::Train, 3000)
        })
        .collect();
        let count = |wanted: i32| pairs.iter().filter(|pair| sign(pair) == wanted).count() as f64;
        let all = pairs.len() as f64;
        let first = count(1) / (count(1) + count(-1));
        assert!((0.48..0.52).contains(&first), "{first}");
        let ties = count(0) / all;
        assert!((0.10..0.20).contains(&ties), "{criteria} criteria: {ties}");

        let groups: Vec<_> = groups(&pairs)
            .into_values()
            .filter(|group| group.len() > 1)
            .collect();
        let flipped: Vec<_> = groups
            .iter()
            .filter(|group| {
                group.iter().any(|pair| sign(pair) > 0) && group.iter().any(|pair| sign(pair) < 0)
            })
            .collect();
        let share = flipped.len() as f64 / groups.len() as f64;
        assert!(share > 0.5, "{criteria} criteria: {share}");
        for group in flipped {
            let sum: i32 = group.iter().map(|pair| sign(pair)).sum();
            assert_eq!(
                sum,
                0,
                "one answer for all criteria is right on half: {}",
                group[0].cluster()
            );
        }
    }
}

/// How large a response is: words and letters, or bytes of its medium.
fn sizes(pair: &PreferencePair) -> [i64; 2] {
    let size = |index: usize| match &pair.responses[index].parts[0] {
        Part::Text(text) => text.len() as i64,
        Part::Media(media) => match &media.source {
            MediaSource::Bytes { bytes, .. } => bytes.len() as i64,
            other => panic!("{other:?}"),
        },
    };
    [size(0), size(1)]
}

const ABOUT_FORM: [&str; 17] = [
    "length",
    "politeness",
    "list",
    "excitement",
    "economy",
    "quality",
    "blur",
    "noise",
    "banding",
    "blocks",
    "frozen",
    "flicker",
    "clipping",
    "hiss",
    "dropouts",
    "holes",
    "roughness",
];

#[test]
fn size_does_not_tell_the_better_response() {
    for task in Task::ALL {
        let scenes = match task {
            Task::T2T => 2500,
            Task::TI2T => 1500,
            Task::TV2T | Task::T23D => 150,
            Task::T2V => 120,
            _ => 500,
        };
        let (mut right, mut all) = (0_u32, 0_u32);
        for pair in pairs_of(&[task], Split::Train, scenes) {
            let aspect = pair.extra["aspect"].as_str().unwrap();
            let [first, second] = sizes(&pair);
            if ABOUT_FORM.contains(&aspect) || sign(&pair) == 0 || first == second {
                continue;
            }
            all += 1;
            right += u32::from((first > second) == (sign(&pair) > 0));
        }
        if all == 0 {
            assert_eq!(task, Task::T2A, "recordings are all of one size");
            continue;
        }
        let share = f64::from(right) / f64::from(all);
        // Three standard deviations of a fair coin, or five points where there are many pairs.
        let tolerance = (1.5 / f64::from(all).sqrt()).max(0.05);
        assert!((share - 0.5).abs() < tolerance, "{task}: {share} of {all}");
    }
}

#[test]
fn longer_answers_are_clearly_longer() {
    let pairs = pairs_of(&IN_WORDS, Split::Train, 2000);
    let mut seen = 0;
    for pair in pairs.iter().filter(|pair| pair.extra["aspect"] == "length") {
        let words = |index: usize| {
            let text = joined_text(&pair.responses[index].parts);
            text.split_whitespace().count() as i64
        };
        let difference = words(0) - words(1);
        let inverse = if pair.extra["sense"] == "inverse" {
            -1
        } else {
            1
        };
        match sign(pair) {
            0 => assert!(difference.abs() <= 4, "{}: {difference}", pair.id),
            side => assert!(
                difference * i64::from(side * inverse) >= 5,
                "{}: {difference}",
                pair.id
            ),
        }
        seen += 1;
    }
    assert!(seen > 100);
}

#[test]
fn lists_are_ranked_by_the_same_rule() {
    let config = SynthConfig {
        responses: 4,
        tasks: vec![Task::T2T, Task::T2I],
        ..config(Split::Train, 40)
    };
    let mut ties = 0;
    for list in synthesise(&config) {
        list.validate().unwrap();
        assert_eq!(list.label, None);
        let ranks = list.ranking.as_ref().unwrap();
        assert_eq!((ranks.len(), ranks.iter().min()), (4, Some(&1)));
        let aspect = list.extra["aspect"].as_str().unwrap();
        let goal = &list.extra["goal"];
        ties += usize::from(ranks.iter().all(|rank| rank == &ranks[0]));
        if aspect == "colour" {
            let truth = list.extra["truth"].as_array().unwrap();
            for (rank, truth) in ranks.iter().zip(truth) {
                let right = truth["colour"] == goal["colour"];
                assert!(right == (*rank == 1) || !ranks.contains(&2), "{}", list.id);
            }
        }
    }
    assert!(ties > 3);
}

#[test]
fn without_criteria_the_response_is_better_of_which_more_is_right() {
    let config = SynthConfig {
        criteria: 0,
        responses: 6,
        ..config(Split::Train, 20)
    };
    let right = |pair: &PreferencePair, response: usize| {
        let goal = pair.extra["goal"].as_object().unwrap();
        let truth = pair.extra["truth"][response].as_object().unwrap();
        let is_right = |(name, value): &(&String, &Value)| {
            let plain = |value: &Value| {
                let word = value.as_str().unwrap();
                // One cross, two crosses; a buzz, two buzzes.
                let has_plural = ["shape", "timbre"].contains(&name.as_str());
                word[..if has_plural { 4 } else { word.len() }].to_owned()
            };
            truth
                .get(*name)
                .is_some_and(|other| plain(other) == plain(value))
        };
        goal.iter().filter(is_right).count()
    };
    let mut groups = BTreeSet::new();
    let mut solids = 0;
    for pair in synthesise(&config) {
        assert!(pair.criterion.is_none() && groups.insert(pair.group.clone()));
        let ranking = pair.ranking.as_ref().unwrap();
        let goal = pair.extra["goal"].as_object().unwrap();
        assert!((0..6).any(|response| right(&pair, response) == goal.len()));
        let shape = goal
            .get("shape")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let is_solid = ["cube", "ball", "cone", "cyli", "ring"]
            .iter()
            .any(|solid| shape.starts_with(solid));
        solids += usize::from(pair.task == Task::TI2T && is_solid);
        for first in 0..6 {
            for second in 0..6 {
                let more = right(&pair, first).cmp(&right(&pair, second));
                assert_eq!(ranking[second].cmp(&ranking[first]), more, "{}", pair.id);
            }
        }
    }
    assert_eq!(groups.len(), 9 * 20);
    assert!((1..20).contains(&solids), "{solids}");
}

#[test]
fn the_vocabulary_is_small() {
    let mut words: HashMap<String, usize> = HashMap::new();
    for text in vocabulary_sample(1).take(60_000) {
        for word in text
            .split(|c: char| !c.is_alphanumeric() && c != '-')
            .filter(|word| !word.is_empty())
        {
            *words.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    assert!((150..=350).contains(&words.len()), "{}", words.len());
    let tests = pairs_of(&IN_WORDS, Split::Test, 500);
    for pair in &tests {
        for word in pair
            .criterion
            .as_ref()
            .unwrap()
            .split(|c: char| !c.is_alphanumeric() && c != '-')
        {
            let known = word.is_empty() || words.contains_key(&word.to_lowercase());
            assert!(known, "`{word}` does not occur in training");
        }
    }
}

/// A pair without its group, which the benchmark's layout has no place for, and with the content of
/// its media instead of where they are.
fn essence(pair: &PreferencePair) -> Value {
    let content = |part: &Part| match part {
        Part::Text(text) => serde_json::json!(text),
        Part::Media(media) => {
            let bytes = match &media.source {
                MediaSource::Bytes { bytes, .. } => bytes.to_vec(),
                MediaSource::File { path, .. } => fs::read(path).unwrap(),
                other => panic!("{other:?}"),
            };
            serde_json::json!([media.modality, bytes])
        }
    };
    let parts = |parts: &[Part]| parts.iter().map(content).collect::<Vec<_>>();
    let id = pair.id.rsplit('/').next();
    let responses: Vec<_> = pair
        .responses
        .iter()
        .map(|response| parts(&response.parts))
        .collect();
    serde_json::json!([
        id,
        pair.task,
        parts(&pair.prompt),
        responses,
        pair.criterion,
        pair.label,
        pair.ranking,
        pair.source,
        pair.extra
    ])
}

fn read(path: &Path) -> Vec<PreferencePair> {
    let dataset = open(path, &OpenOptions::default()).unwrap();
    dataset.pairs().collect::<Result<_, _>>().unwrap()
}

#[test]
fn both_layouts_are_read_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(Split::Test, 3);
    let expected: Vec<_> = synthesise(&config).collect();
    for (layout, name, format) in [
        (Layout::Bench, "bench", Format::OmniJson),
        (Layout::Pairs, "pairs", Format::Pairs),
    ] {
        let path = folder.path().join(name);
        let written = write(&config, &path, layout, &NoProgress).unwrap();
        assert_eq!(
            written,
            Written {
                scenes: 27,
                pairs: expected.len() as u64
            }
        );
        assert_eq!(
            open(&path, &OpenOptions::default()).unwrap().format(),
            format
        );
        let found = read(&path);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(essence(found), essence(expected), "{}", expected.id);
        }
        let group = |pairs: &[PreferencePair]| groups(pairs).len();
        assert_eq!(group(&found), group(&expected));
        let record: Value =
            serde_json::from_slice(&fs::read(path.join("synth.json")).unwrap()).unwrap();
        assert_eq!(
            (&record["seed"], &record["split"]),
            (&7.into(), &"test".into())
        );
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "nothing is left of the work");
}

#[test]
fn only_generated_folders_are_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let config = SynthConfig {
        tasks: vec![Task::T2T],
        ..config(Split::Train, 2)
    };
    let path = folder.path().join("data");
    fs::create_dir(&path).unwrap();
    write(&config, &path, Layout::Pairs, &NoProgress).unwrap();
    write(&config, &path, Layout::Bench, &NoProgress).unwrap();
    assert!(!path.join("pairs.jsonl").exists());

    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.txt"), "years of work").unwrap();
    let error = write(&config, &other, Layout::Bench, &NoProgress).unwrap_err();
    assert!(
        matches!(&error, Error::Occupied { path } if *path == other),
        "{error}"
    );
    assert_eq!(
        fs::read(other.join("thesis.txt")).unwrap(),
        b"years of work"
    );

    let lists = SynthConfig {
        responses: 3,
        ..config
    };
    let error = write(
        &lists,
        &folder.path().join("lists"),
        Layout::Bench,
        &NoProgress,
    )
    .unwrap_err();
    assert!(matches!(error, Error::Unwritable { .. }), "{error}");
    assert!(!folder.path().join("lists").exists());
}
