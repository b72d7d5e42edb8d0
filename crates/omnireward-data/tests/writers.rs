//! TRL and RewardBench files that we write, read back.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path};

use omnireward_core::{
    MediaRef, MediaSource, Modality, Part, Preference, PreferencePair, Response, Task,
};
use omnireward_data::{Error, Format, OpenOptions, open, write};
use omnireward_testkit::real_data;

fn read(path: &Path, format: Format) -> Vec<PreferencePair> {
    let dataset = open(path, &OpenOptions::default()).unwrap();
    assert_eq!(dataset.format(), format);
    dataset.pairs().collect::<Result<_, _>>().unwrap()
}

fn text_pair(label: Preference) -> PreferencePair {
    let responses = [Response::text("a").by("one"), Response::text("b").by("two")];
    let mut pair = PreferencePair::new("x", Task::T2T, "p", responses).with_label(label);
    pair.source = Some("set".to_owned());
    pair
}

#[test]
fn trl_keeps_prompt_criterion_images_and_order() {
    let folder = tempfile::tempdir().unwrap();
    let picture = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, name).unwrap();
        Part::Media(MediaRef {
            modality: Modality::Image,
            source: MediaSource::File {
                path,
                name: name.to_owned(),
            },
        })
    };
    let mut pair = text_pair(Preference::First).with_criterion("Be brief.");
    pair.task = Task::TI2T;
    pair.prompt = vec![picture("a.png"), "and".into(), picture("b.png"), "?".into()];
    let file = folder.path().join("train.jsonl");
    assert_eq!(write::trl_preference(&file, [&pair]).unwrap(), 1);
    let again = read(&file, Format::TrlPreference);
    assert_eq!(again[0].prompt, pair.prompt);
    assert_eq!(again[0].criterion, pair.criterion);
    assert_eq!((again[0].task, again[0].label), (Task::TI2T, pair.label));
    assert_eq!((&again[0].id, &again[0].source), (&pair.id, &pair.source));
    let answers: Vec<_> = again[0]
        .responses
        .iter()
        .map(|response| response.parts.clone())
        .collect();
    assert_eq!(answers, [vec![Part::from("a")], vec![Part::from("b")]]);
}

#[test]
fn trl_puts_a_conversation_back() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (
        folder.path().join("one.jsonl"),
        folder.path().join("two.jsonl"),
    );
    let record = serde_json::json!({
        "prompt": [
            {"role": "system", "content": "You are a pirate."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Ahoy."},
            {"role": "user", "content": "Bye"}
        ],
        "chosen": [{"role": "assistant", "content": "Arr."}],
        "rejected": [{"role": "assistant", "content": "Goodbye."}]
    });
    fs::write(&one, format!("{record}\n")).unwrap();
    let pairs = read(&one, Format::TrlPreference);
    assert_eq!(pairs[0].criterion, None);
    write::trl_preference(&two, &pairs).unwrap();
    let written: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&two).unwrap()).unwrap();
    for field in ["prompt", "chosen", "rejected"] {
        assert_eq!(written[field], record[field], "{field}");
    }
}

#[test]
fn reward_bench_keeps_models_and_puts_the_preferred_first() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pairs.jsonl");
    write::reward_bench(&file, [text_pair(Preference::Second)]).unwrap();
    let again = read(&file, Format::RewardBench);
    let models: Vec<_> = again[0]
        .responses
        .iter()
        .map(|response| response.model.as_deref())
        .collect();
    assert_eq!(models, [Some("two"), Some("one")]);
    assert_eq!(
        (again[0].id.as_str(), again[0].label),
        ("x", Some(Preference::First))
    );
    assert_eq!(again[0].source.as_deref(), Some("set"));
}

#[test]
fn ties_and_other_misfits_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pairs.jsonl");
    let tie = text_pair(Preference::Tie);
    let criterion = text_pair(Preference::First).with_criterion("c");
    for (result, words) in [
        (write::reward_bench(&file, [&tie]), "a tie"),
        (write::reward_bench(&file, [&criterion]), "a criterion"),
        (write::trl_preference(&file, [&tie]), "prefers one"),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::Unwritable { id, .. } if id == "x"));
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn real_pairs_survive_all_three_writers() {
    let Some(path) = real_data("text/llmbar") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let pairs: Vec<PreferencePair> = open(&path, &OpenOptions::default())
        .unwrap()
        .pairs()
        .collect::<Result<_, _>>()
        .unwrap();
    let trl = folder.path().join("trl/train.jsonl");
    let bench = folder.path().join("bench.jsonl");
    let factory = folder.path().join("factory");
    assert_eq!(write::trl_preference(&trl, &pairs).unwrap(), 326);
    assert_eq!(write::reward_bench(&bench, &pairs).unwrap(), 326);
    assert_eq!(
        write::llama_factory_ranking(&factory, "llmbar", &pairs).unwrap(),
        326
    );
    for (path, format) in [
        (&trl, Format::TrlPreference),
        (&bench, Format::RewardBench),
        (&factory, Format::LlamaFactoryRanking),
    ] {
        let again = read(path, format);
        assert_eq!(again.len(), pairs.len());
        for (before, after) in pairs.iter().zip(&again) {
            let upright = if before.label == Some(Preference::First) {
                before.clone()
            } else {
                before.swapped()
            };
            assert_eq!(after.prompt, upright.prompt, "{format}: {}", before.id);
            for (one, other) in after.responses.iter().zip(&upright.responses) {
                assert_eq!(one.parts, other.parts, "{format}: {}", before.id);
            }
            assert_eq!(after.group, before.group, "{format}: {}", before.id);
        }
    }
}
