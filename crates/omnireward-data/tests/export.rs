//! Pairs in trainers' forms and back: real pairs where there are some, generated ones for the other tasks.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use omnireward_core::{
    MediaRef, MediaSource, Modality, NoProgress, Part, Preference, PreferencePair, Response, Task,
};
use omnireward_data::{
    Dataset, Error, Format, OpenOptions,
    export::{ExportOptions, Exported, Target, export},
    open,
    synth::{SynthConfig, synthesise},
    write,
};
use omnireward_testkit::{published_sources, real_data};
use serde_json::{Value, json};

fn opened(path: &Path) -> Dataset {
    open(path, &OpenOptions::default()).unwrap()
}

fn read(path: &Path) -> Vec<PreferencePair> {
    opened(path).pairs().collect::<Result<_, _>>().unwrap()
}

/// A folder with pairs of our own.
fn own(pairs: &[PreferencePair]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write::pairs_jsonl(&folder.path().join("pairs.jsonl"), pairs).unwrap();
    folder
}

fn dropping() -> ExportOptions {
    ExportOptions {
        drop_unfit: true,
        ..ExportOptions::default()
    }
}

fn exported(
    input: &Path,
    target: Target,
    out: &Path,
    options: &ExportOptions,
) -> Result<Exported, Error> {
    export(&[opened(input)], target, out, options, &NoProgress)
}

/// The format that an export is recognised as.
const fn format(target: Target) -> Format {
    match target {
        Target::LlamaFactory => Format::LlamaFactoryRanking,
        Target::Trl | Target::OpenRlhf => Format::TrlPreference,
        Target::MsSwift => Format::MsSwift,
        Target::Pairs => Format::Pairs,
    }
}

/// All of a pair, with what its media hold in the place of where they lie.
fn content(pair: &PreferencePair) -> Value {
    let parts = |parts: &[Part]| -> Value { parts.iter().map(part).collect() };
    json!({
        "id": pair.id, "task": pair.task, "prompt": parts(&pair.prompt), "criterion": pair.criterion,
        "responses": pair.responses.iter().map(|side| json!([parts(&side.parts), side.model])).collect::<Value>(),
        "label": pair.label, "ranking": pair.ranking, "source": pair.source, "group": pair.group, "extra": pair.extra,
    })
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!(text),
        Part::Media(medium) => {
            let bytes = match &medium.source {
                MediaSource::Bytes { bytes, .. } => Some(bytes.to_vec()),
                MediaSource::File { path, .. } => fs::read(path).ok(),
                _ => None,
            };
            match bytes {
                Some(bytes) => json!([
                    medium.modality,
                    bytes.len(),
                    bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>(),
                    bytes.iter().rev().take(64).collect::<Vec<_>>()
                ]),
                None => json!([medium.modality, medium.name()]),
            }
        }
    }
}

fn media(pair: &PreferencePair) -> impl Iterator<Item = &MediaRef> {
    let responses = pair.responses.iter().flat_map(|response| &response.parts);
    pair.prompt
        .iter()
        .chain(responses)
        .filter_map(Part::as_media)
}

/// What the documentation says of each form.
fn fits(target: Target, pair: &PreferencePair) -> bool {
    if target == Target::Pairs {
        return true;
    }
    let kinds: BTreeSet<Modality> = media(pair).map(|medium| medium.modality).collect();
    let decided = pair.responses.len() == 2 && pair.label.is_some();
    let has_tie = pair.label == Some(Preference::Tie);
    let words = |side: &Response| omnireward_core::joined_text(&side.parts);
    let same_words = words(&pair.responses[0]) == words(&pair.responses[1]);
    decided
        && !kinds.contains(&Modality::Mesh)
        && match target {
            Target::LlamaFactory | Target::Pairs => true,
            Target::MsSwift => !has_tie && (pair.task.is_generation() || !same_words),
            Target::Trl => {
                !has_tie
                    && !pair.task.is_generation()
                    && kinds.iter().all(|kind| *kind == Modality::Image)
            }
            Target::OpenRlhf => !has_tie && !pair.task.is_generation() && kinds.is_empty(),
        }
}

/// Exports pairs in every form and reads them back; returns which forms held some of each task.
fn round_trips(name: &str, input: &Path) -> BTreeSet<(String, Task)> {
    let pairs = read(input);
    let mut held = BTreeSet::new();
    for target in Target::ALL {
        let fitting: Vec<&PreferencePair> =
            pairs.iter().filter(|pair| fits(target, pair)).collect();
        let out = tempfile::tempdir().unwrap();
        let result = exported(input, target, out.path(), &dropping());
        if fitting.is_empty() {
            assert!(
                matches!(result, Err(Error::Empty { .. })),
                "{name} as {target}"
            );
            assert_eq!(
                out.path().read_dir().unwrap().count(),
                0,
                "nothing is written"
            );
            continue;
        }
        let summary = result.unwrap();
        assert_eq!(
            summary.pairs,
            fitting.len() as u64,
            "{name} as {target}: {:?}",
            summary.dropped
        );
        assert_eq!(summary.pairs + summary.pairs_dropped(), pairs.len() as u64);
        assert_eq!(opened(out.path()).format(), format(target));
        let mut again: Vec<Value> = read(out.path()).iter().map(content).collect();
        let mut expected: Vec<Value> = fitting.iter().map(|pair| content(pair)).collect();
        // TRL's two tables are read one after the other.
        if target == Target::Trl {
            for pairs in [&mut again, &mut expected] {
                pairs.sort_by_key(|pair| pair["id"].to_string());
            }
        }
        assert_eq!(again.len(), expected.len());
        for (after, before) in again.iter().zip(&expected) {
            assert_eq!(after, before, "{name} as {target}");
        }
        held.extend(fitting.iter().map(|pair| (target.to_string(), pair.task)));
    }
    held
}

#[test]
fn real_pairs_of_every_task_that_has_some_come_back_whole() {
    let mut held = BTreeSet::new();
    for path in [
        "text/llmbar",
        "text/pandalm/testset.jsonl",
        "text/judgebench/claude_pairs.jsonl",
        "text/rubric/hhh_pairs.jsonl",
        "text/rubric/vicuna_eval.pair_labels.jsonl",
        "text/rm_bench/chat.jsonl",
        "image/mjbench_objects/pairs.jsonl",
        "image/ti2t_demo/pairs.jsonl",
        "image/edit_demo/prompt.json",
        "image/imagereward_demo/published.json",
        "video/videoalign/pairs.csv",
        "video/fetv/ratings.jsonl",
        "audio/speakbench/pairs.jsonl",
        "audio/speed/pairs.jsonl",
        "mesh/stanford_t23d/ratings.jsonl",
    ] {
        let Some(path) = real_data(path) else {
            return;
        };
        held.extend(round_trips(&path.display().to_string(), &path));
    }
    let of = |target: Target| -> Vec<Task> {
        held.iter()
            .filter(|(name, _)| *name == target.name())
            .map(|(_, task)| *task)
            .collect()
    };
    let pairs = of(Target::Pairs);
    assert!(
        [
            Task::T2T,
            Task::TI2T,
            Task::T2I,
            Task::T2V,
            Task::T2A,
            Task::T23D,
            Task::TI2I
        ]
        .iter()
        .all(|task| pairs.contains(task)),
        "{pairs:?}"
    );
    assert!(
        [Task::T2T, Task::TI2T, Task::T2I, Task::T2V, Task::T2A]
            .iter()
            .all(|task| of(Target::LlamaFactory).contains(task))
    );
}

#[test]
fn generated_pairs_of_all_nine_tasks_come_back_whole() {
    let mut held = BTreeMap::new();
    for task in Task::ALL {
        let config = SynthConfig {
            tasks: vec![task],
            scenes: 3,
            ..SynthConfig::default()
        };
        let mut pairs: Vec<PreferencePair> = synthesise(&config).collect();
        if task == Task::T23D {
            // Its generated responses are meshes; those of Omni-RewardBench are pictures of views.
            for pair in &mut pairs {
                let views =
                    |side: u32| omnireward_testkit::pairs::medium(Modality::Image, side, "views");
                pair.responses[0].parts = vec![views(1).into()];
                pair.responses[1].parts = vec![views(2).into()];
            }
        }
        for (target, task) in round_trips(&format!("synth {task}"), own(&pairs).path()) {
            held.entry(target)
                .or_insert_with(BTreeSet::new)
                .insert(task);
        }
    }
    let understanding = [Task::T2T, Task::TI2T];
    for target in Target::ALL {
        let expected: BTreeSet<Task> = match target {
            Target::Trl => understanding.into(),
            Target::OpenRlhf => [Task::T2T].into(),
            _ => Task::ALL.into(),
        };
        assert_eq!(held[target.name()], expected, "{target}");
    }
}

#[test]
fn every_published_source_can_be_handed_to_a_trainer() {
    for name in [
        "skywork_reward",
        "rlaifv",
        "hpdv2",
        "videodpo",
        "omni_ti2t_rlaifv",
        "omni_t2i_hpd",
        "vlfeedback",
    ] {
        let folder = tempfile::tempdir().unwrap();
        published_sources::write_with_media(folder.path(), name, 12, 5);
        let out = tempfile::tempdir().unwrap();
        exported(folder.path(), Target::Pairs, out.path(), &dropping()).unwrap();
        round_trips(name, out.path());
    }
}

fn picture(seed: u32) -> Part {
    omnireward_testkit::pairs::medium(Modality::Image, seed, "picture").into()
}

/// Pairs whose parts are as awkward as the type allows.
fn awkward() -> Vec<PreferencePair> {
    let answers = || [Response::text("a").by("one"), Response::text("b")];
    let mut conversation =
        PreferencePair::new("talk", Task::TI2T, "", answers()).with_label(Preference::Second);
    conversation.extra.insert(
        "turns".to_owned(),
        json!([
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]},
            {"role": "assistant", "content": "A dog."},
            {"role": "user", "content": "And now?"},
        ]),
    );
    conversation.prompt = vec![
        "User: ".into(),
        picture(1),
        "What?".into(),
        "Assistant: A dog.".into(),
        "User: And now?".into(),
    ];
    let mut pieces = PreferencePair::new("x/pieces", Task::TI2T, "", answers())
        .with_label(Preference::First)
        .with_criterion("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.");
    pieces.prompt = vec![
        "one".into(),
        "two".into(),
        "".into(),
        picture(2),
        picture(3),
        "three".into(),
    ];
    pieces.responses[0].parts = vec!["first".into(), "".into(), "last".into()];
    pieces.group = Some("g".to_owned());
    pieces.extra.insert(
        "deep".to_owned(),
        json!({"list": [1, {"x": null}], "text": "é"}),
    );
    let mut edit = PreferencePair::new(
        "edit",
        Task::TI2I,
        "make it red",
        [picture(5), picture(6)].map(|part| Response {
            parts: vec![part],
            model: None,
        }),
    )
    .with_label(Preference::Second);
    edit.prompt.push(picture(4));
    let mut frames =
        PreferencePair::new("frames", Task::T2V, "a walk", []).with_label(Preference::First);
    frames.responses = [[7, 8], [9, 10]]
        .map(|frames| Response {
            parts: frames.map(picture).to_vec(),
            model: None,
        })
        .to_vec();
    let tagged = PreferencePair::new(
        "tags",
        Task::T2T,
        "what is <image>?",
        [Response::text("<video>"), Response::text("a tag")],
    )
    .with_label(Preference::Second);
    let empty = PreferencePair::new(
        "empty",
        Task::T2T,
        "",
        [Response::text("a"), Response::text("")],
    )
    .with_label(Preference::First);
    vec![conversation, pieces, edit, frames, tagged, empty]
}

#[test]
fn awkward_parts_come_back_as_they_were() {
    let pairs: Vec<PreferencePair> = awkward()
        .into_iter()
        .filter(|pair| pair.validate().is_ok())
        .collect();
    assert!(pairs.len() >= 4, "most of them are pairs");
    round_trips("awkward", own(&pairs).path());
}

#[test]
fn what_does_not_fit_is_named_before_anything_is_written() {
    let text = || [Response::text("a"), Response::text("b")];
    let fine = || PreferencePair::new("fine", Task::T2T, "p", text()).with_label(Preference::First);
    let bad = |pair: PreferencePair| PreferencePair {
        id: "bad".to_owned(),
        ..pair
    };
    let tie = bad(fine().with_label(Preference::Tie));
    let mut unlabelled = bad(fine());
    unlabelled.label = None;
    let mut three = bad(fine());
    three.label = None;
    three.responses.push(Response::text("c"));
    three.ranking = Some(vec![1, 2, 3]);
    let mesh = |seed| omnireward_testkit::pairs::medium(Modality::Mesh, seed, "mesh");
    let meshes = PreferencePair::new(
        "bad",
        Task::T23D,
        "p",
        [1, 2].map(|seed| Response::media(mesh(seed))),
    )
    .with_label(Preference::First);
    let mut film =
        PreferencePair::new("bad", Task::TV2T, "p", text()).with_label(Preference::First);
    film.prompt
        .push(omnireward_testkit::pairs::medium(Modality::Video, 1, "film").into());
    let images = PreferencePair::new(
        "bad",
        Task::T2I,
        "p",
        [1, 2].map(|seed| Response {
            parts: vec![picture(seed)],
            model: None,
        }),
    )
    .with_label(Preference::First);
    let same = PreferencePair::new(
        "bad",
        Task::T2T,
        "p",
        [Response::text("a"), Response::text("a")],
    )
    .with_label(Preference::First);
    let mut placeholder = PreferencePair::new("bad", Task::TI2T, "is this <image> it?", text())
        .with_label(Preference::First);
    placeholder.prompt.push(picture(1));
    let cases: [(&PreferencePair, &[Target], &str); 8] = [
        (
            &tie,
            &[Target::Trl, Target::MsSwift, Target::OpenRlhf],
            "label",
        ),
        (
            &unlabelled,
            &[
                Target::LlamaFactory,
                Target::Trl,
                Target::MsSwift,
                Target::OpenRlhf,
            ],
            "label",
        ),
        (
            &three,
            &[
                Target::LlamaFactory,
                Target::Trl,
                Target::MsSwift,
                Target::OpenRlhf,
            ],
            "responses",
        ),
        (
            &meshes,
            &[
                Target::LlamaFactory,
                Target::Trl,
                Target::MsSwift,
                Target::OpenRlhf,
            ],
            "responses",
        ),
        (&film, &[Target::Trl, Target::OpenRlhf], "prompt"),
        (&images, &[Target::Trl, Target::OpenRlhf], "responses"),
        (&same, &[Target::MsSwift], "responses"),
        (
            &placeholder,
            &[Target::LlamaFactory, Target::MsSwift],
            "prompt",
        ),
    ];
    for (pair, targets, expected) in cases {
        let folder = own(&[fine(), pair.clone(), fine()]);
        for target in targets {
            let out = tempfile::tempdir().unwrap();
            let path = out.path().join("set");
            let error =
                exported(folder.path(), *target, &path, &ExportOptions::default()).unwrap_err();
            assert!(
                matches!(&error, Error::Unfit { id, number: 2, field, .. } if id == "bad" && *field == expected),
                "{target}: {error}"
            );
            assert!(!path.exists(), "{target}: nothing is written");
            let summary = exported(folder.path(), *target, &path, &dropping()).unwrap();
            assert_eq!((summary.pairs, summary.pairs_dropped()), (2, 1));
            assert_eq!(
                (summary.dropped[0].field, summary.dropped[0].first.as_str()),
                (expected, "bad")
            );
        }
    }
}

#[test]
fn media_that_are_not_there_are_counted() {
    let mut pair = PreferencePair::new(
        "q",
        Task::TI2T,
        "What?",
        [Response::text("a"), Response::text("b")],
    )
    .with_label(Preference::First);
    let source = MediaSource::Absent {
        name: "lost.png".to_owned(),
    };
    pair.prompt.push(picture(1));
    pair.prompt.push(Part::Media(MediaRef {
        modality: Modality::Image,
        source,
    }));
    let folder = own(&[pair]);
    for target in Target::ALL {
        let out = tempfile::tempdir().unwrap();
        let Ok(summary) = exported(folder.path(), target, out.path(), &dropping()) else {
            assert_eq!(target, Target::OpenRlhf, "it has no place for pictures");
            continue;
        };
        assert_eq!((summary.pairs, summary.missing_media), (1, 1), "{target}");
        let first = summary.first_missing.unwrap();
        assert!(
            first.contains("lost.png") && first.contains("`q`"),
            "{first}"
        );
    }
}

#[test]
fn a_table_of_an_earlier_export_does_not_stay() {
    let words = [Response::text("a"), Response::text("b")];
    let text =
        PreferencePair::new("t", Task::T2T, "Hi", words.clone()).with_label(Preference::First);
    let mut question =
        PreferencePair::new("q", Task::TI2T, "What?", words).with_label(Preference::First);
    question.prompt.insert(0, picture(1));
    let out = tempfile::tempdir().unwrap();
    for (pair, id) in [(question.clone(), "q"), (text, "t"), (question, "q")] {
        let folder = own(&[pair]);
        let options = ExportOptions::default();
        let summary = exported(folder.path(), Target::Trl, out.path(), &options).unwrap();
        assert_eq!(summary.files.len(), 1);
        let ids: Vec<String> = read(out.path()).into_iter().map(|pair| pair.id).collect();
        assert_eq!(ids, [id]);
    }
}

#[test]
fn the_forms_look_as_their_readers_want_them() {
    let mut question = PreferencePair::new(
        "q",
        Task::TI2T,
        "What?",
        [Response::text("a dog"), Response::text("a cat")],
    )
    .with_label(Preference::Second)
    .with_criterion("Be right.");
    question.prompt.insert(0, picture(1));
    let image = PreferencePair::new(
        "i",
        Task::T2I,
        "a cat",
        [2, 3].map(|seed| Response {
            parts: vec![picture(seed)],
            model: None,
        }),
    )
    .with_label(Preference::Second);
    let folder = own(&[question, image]);
    let record = |target: Target, file: &str, row: usize| -> Value {
        let out = tempfile::tempdir().unwrap();
        exported(folder.path(), target, out.path(), &dropping()).unwrap();
        let text = fs::read_to_string(out.path().join(file)).unwrap();
        let rows: Vec<Value> = if file.ends_with('l') {
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        } else {
            serde_json::from_str(&text).unwrap()
        };
        rows[row].clone()
    };
    let swift = record(Target::MsSwift, "preferences.jsonl", 0);
    assert_eq!(
        swift["messages"],
        json!([
            {"role": "system", "content": "Be right."},
            {"role": "user", "content": "<image>What?"},
            {"role": "assistant", "content": "a cat"},
        ])
    );
    assert_eq!(swift["rejected_response"], "a dog");
    assert_eq!(swift["images"].as_array().unwrap().len(), 1);
    let swift = record(Target::MsSwift, "preferences.jsonl", 1);
    let messages =
        json!([{"role": "user", "content": "<image>"}, {"role": "assistant", "content": "a cat"}]);
    assert_eq!(
        (&swift["messages"], &swift["rejected_messages"]),
        (&messages, &messages)
    );
    assert_ne!(swift["images"], swift["rejected_images"]);
    let factory = record(Target::LlamaFactory, "preferences.json", 1);
    assert_eq!(
        factory["conversations"],
        json!([{"from": "human", "value": "<image>"}])
    );
    assert_eq!(
        (&factory["chosen"], &factory["chosen"]),
        (
            &factory["rejected"],
            &json!({"from": "gpt", "value": "a cat"})
        )
    );
    assert_eq!(factory["images"].as_array().unwrap().len(), 2);
    let out = tempfile::tempdir().unwrap();
    let summary = exported(
        folder.path(),
        Target::LlamaFactory,
        out.path(),
        &ExportOptions {
            name: "omni_mine".to_owned(),
            ..dropping()
        },
    )
    .unwrap();
    let info: Value =
        serde_json::from_str(&fs::read_to_string(out.path().join("dataset_info.json")).unwrap())
            .unwrap();
    assert_eq!(info["omni_mine"]["ranking"], true);
    assert_eq!(info["omni_mine"]["columns"]["images"], "images");
    assert_eq!(summary.files.len(), 2);

    let text = own(&[PreferencePair::new(
        "t",
        Task::T2T,
        "Hi",
        [Response::text("a"), Response::text("b")],
    )
    .with_label(Preference::Second)]);
    let out = tempfile::tempdir().unwrap();
    exported(
        text.path(),
        Target::OpenRlhf,
        out.path(),
        &ExportOptions::default(),
    )
    .unwrap();
    let row: Value =
        serde_json::from_str(&fs::read_to_string(out.path().join("preferences.jsonl")).unwrap())
            .unwrap();
    assert_eq!(
        row["chosen"],
        json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "b"}])
    );
    assert_eq!(
        row["rejected"],
        json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a"}])
    );
}

#[test]
fn what_ms_swift_documents_is_read() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["kitten.png", "puppy.png"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    let question = |answer: &str| json!([{"role": "user", "content": "<image>What is this?"}, {"role": "assistant", "content": answer}]);
    let rows = [
        json!({"messages": question("A kitten."), "images": ["kitten.png"], "rejected_response": "A puppy."}),
        json!({"messages": question("A kitten."), "images": ["kitten.png"], "rejected_response": [{"role": "assistant", "content": "A puppy."}]}),
        json!({"messages": question("A kitten."), "images": ["kitten.png"], "rejected_messages": question("A puppy."), "rejected_images": ["kitten.png"]}),
        json!({"messages": question("A kitten."), "images": ["kitten.png"], "rejected_images": ["puppy.png"]}),
        json!({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}], "rejected_response": "b"}),
        json!({"messages": [{"role": "user", "content": "u"}], "rejected_response": "b"}),
    ];
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    fs::write(folder.path().join("x.jsonl"), lines.join("\n")).unwrap();
    let rows: Vec<_> = opened(folder.path()).pairs().collect();
    for row in &rows[..3] {
        let pair = row.as_ref().unwrap();
        assert_eq!(
            (pair.task, pair.label),
            (Task::TI2T, Some(Preference::First))
        );
        assert_eq!(
            pair.responses,
            [Response::text("A kitten."), Response::text("A puppy.")]
        );
        assert_eq!(pair.prompt[1], "What is this?".into());
    }
    let about_pictures = rows[3].as_ref().unwrap();
    assert_eq!(about_pictures.task, Task::T2I);
    assert_eq!(about_pictures.prompt, ["A kitten.".into()]);
    assert_eq!(about_pictures.extra["human"], "What is this?");
    let names: Vec<&str> = media(about_pictures).map(MediaRef::name).collect();
    assert_eq!(names, ["kitten.png", "puppy.png"]);
    let spoken = rows[4].as_ref().unwrap();
    assert_eq!((spoken.task, &spoken.criterion), (Task::T2T, &None));
    assert!(rows[5].as_ref().unwrap_err().is_row());
}

#[test]
fn broken_rows_of_the_input_are_counted_or_fatal() {
    let folder = own(&awkward()[..1]);
    let file = folder.path().join("pairs.jsonl");
    let mut text = fs::read_to_string(&file).unwrap();
    text.push_str("{\"id\": 1}\n");
    fs::write(&file, text).unwrap();
    let out = tempfile::tempdir().unwrap();
    let summary = exported(
        folder.path(),
        Target::LlamaFactory,
        out.path(),
        &ExportOptions::default(),
    )
    .unwrap();
    assert_eq!((summary.pairs, summary.rows_refused), (1, 1));
    assert!(summary.first_refused.unwrap().contains("line 2"));
    let strict = ExportOptions {
        strict: true,
        ..ExportOptions::default()
    };
    assert!(
        exported(folder.path(), Target::LlamaFactory, out.path(), &strict)
            .unwrap_err()
            .is_row()
    );
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    fn words() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop_oneof![
                "[a-zA-Z \n\"\\\\é漢]{0,6}",
                Just("<image>".to_owned()),
                Just("\n\nAssistant:".to_owned())
            ],
            0..3,
        )
        .prop_map(|pieces| pieces.concat())
    }

    fn parts() -> impl Strategy<Value = Vec<Part>> {
        prop::collection::vec(words().prop_map(Part::Text), 1..3)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Words come back from every form, whatever they say and however they are cut into parts.
        #[test]
        fn any_text_pair_comes_back(
            prompt in parts(), first in parts(), second in parts(), criterion in words(), swapped: bool
        ) {
            let responses = [first, second].map(|parts| Response { parts, model: None });
            let label = if swapped { Preference::Second } else { Preference::First };
            let mut pair = PreferencePair::new("x", Task::T2T, "", responses).with_criterion(criterion).with_label(label);
            pair.prompt = prompt;
            prop_assume!(pair.validate().is_ok());
            round_trips("law", own(&[pair]).path());
        }
    }
}
