//! LLaMA-Factory ranking data in the Omni-Reward dialect, read and written.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path};

use omnireward_core::{
    MediaRef, MediaSource, Modality, Part, Preference, PreferencePair, Response, Task,
};
use omnireward_data::{Error, Format, OpenOptions, matching_formats, open, write};
use serde_json::{Value, json};

fn read(path: &Path) -> Vec<PreferencePair> {
    let dataset = open(path, &OpenOptions::default()).unwrap();
    assert_eq!(dataset.format(), Format::LlamaFactoryRanking);
    dataset.pairs().collect::<Result<_, _>>().unwrap()
}

fn ranking(human: &str, chosen: &str, rejected: &str) -> Value {
    json!({
        "conversations": [{"from": "human", "value": human}],
        "chosen": {"from": "gpt", "value": chosen},
        "rejected": {"from": "gpt", "value": rejected}
    })
}

fn with(mut record: Value, field: &str, value: Value) -> Value {
    record[field] = value;
    record
}

/// A folder that declares sets and holds them.
fn folder(sets: &[(&str, &[Value])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut declared = json!({});
    for (name, records) in sets {
        let file_name = format!("{name}.json");
        fs::write(folder.path().join(&file_name), json!(records).to_string()).unwrap();
        declared[*name] = json!({
            "file_name": file_name, "ranking": true, "formatting": "sharegpt",
            "columns": {
                "messages": "conversations", "chosen": "chosen", "rejected": "rejected",
                "images": "images", "videos": "videos", "audios": "audios"
            }
        });
    }
    declared["not_here"] = json!({"file_name": "not_here.json", "ranking": true});
    declared["plain"] = json!({"file_name": "omni_t2t.json"});
    fs::write(
        folder.path().join("dataset_info.json"),
        declared.to_string(),
    )
    .unwrap();
    folder
}

fn media(parts: &[Part]) -> Vec<&str> {
    parts
        .iter()
        .filter_map(Part::as_media)
        .map(MediaRef::name)
        .collect()
}

#[test]
fn sets_are_read_by_their_declaration() {
    let criterion = json!([
        {"from": "system", "value": "Be concise."}, {"from": "human", "value": "Why?"}
    ]);
    let t2t = with(
        ranking("", "Because.", "Well, because."),
        "conversations",
        criterion,
    );
    let folder = folder(&[
        (
            "omni_t2t",
            &[
                t2t.clone(),
                with(t2t.clone(), "label", json!(-1)),
                with(t2t, "label", json!(0)),
            ],
        ),
        (
            "evalmuse",
            &[with(
                ranking("<image>", "a red cat", "a red cat"),
                "images",
                json!(["a.jpg", "b.jpg"]),
            )],
        ),
    ]);
    let pairs = read(folder.path());
    let seen: Vec<_> = pairs
        .iter()
        .map(|pair| (pair.id.as_str(), pair.task, pair.label.unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ("evalmuse/0", Task::T2I, Preference::First),
            ("omni_t2t/0", Task::T2T, Preference::First),
            ("omni_t2t/1", Task::T2T, Preference::Second),
            ("omni_t2t/2", Task::T2T, Preference::Tie),
        ]
    );
    assert_eq!(pairs[1].criterion.as_deref(), Some("Be concise."));
    assert_eq!(pairs[1].prompt, [Part::from("Why?")]);
    assert_eq!(pairs[1].cluster(), pairs[3].cluster());
    assert_eq!(pairs[0].prompt, [Part::from("a red cat")]);
    assert_eq!(media(&pairs[0].responses[0].parts), ["a.jpg"]);
    assert_eq!(media(&pairs[0].responses[1].parts), ["b.jpg"]);
    // One file alone is the set it is declared as.
    let alone = read(&folder.path().join("evalmuse.json"));
    assert_eq!(alone[0].id, "evalmuse/0");
    let declaration = read(&folder.path().join("dataset_info.json"));
    assert_eq!(declaration.len(), 4);
}

#[test]
fn a_question_about_two_images_keeps_both() {
    let images = json!(["a.jpg", "b.jpg"]);
    let question = ranking("<image><image>Which is older?", "The first.", "The second.");
    let folder = folder(&[(
        "omni_ti2t",
        &[with(question.clone(), "images", images.clone())],
    )]);
    let known = read(folder.path());
    let file = folder.path().join("my_set.json");
    fs::write(&file, json!([with(question, "images", images)]).to_string()).unwrap();
    let unknown = read(&file);
    for pair in known.iter().chain(&unknown) {
        assert_eq!(pair.task, Task::TI2T);
        assert_eq!(media(&pair.prompt), ["a.jpg", "b.jpg"]);
        assert_eq!(pair.responses[1].parts, [Part::from("The second.")]);
    }
}

#[test]
fn every_layout_of_generated_media_is_turned_the_right_way_round() {
    let caption = |tags: &str| ranking(tags, "p", "p");
    let folder = folder(&[
        (
            "omni_t2v",
            &[with(
                caption("<video>"),
                "videos",
                json!(["a.mp4", "b.mp4"]),
            )],
        ),
        (
            "omni_t2a",
            &[with(
                caption("<audio>"),
                "audios",
                json!(["a.wav", "b.wav"]),
            )],
        ),
        (
            "omni_t23d",
            &[with(
                caption("<image>"),
                "images",
                json!(["a.png", "b.png"]),
            )],
        ),
        (
            "omni_ti2i",
            &[
                with(
                    caption("<image><image>"),
                    "images",
                    json!(["s.png", "a.png", "s.png", "b.png"]),
                ),
                with(
                    caption("<image><image>"),
                    "images",
                    json!([["s.png", "a.png"], ["s.png", "b.png"]]),
                ),
            ],
        ),
        (
            "videodpo",
            &[with(
                caption("<image><image>"),
                "images",
                json!(["a1.jpg", "a2.jpg", "b1.jpg", "b2.jpg"]),
            )],
        ),
    ]);
    let pairs = read(folder.path());
    let seen: Vec<_> = pairs
        .iter()
        .map(|pair| {
            let sides = [
                media(&pair.responses[0].parts),
                media(&pair.responses[1].parts),
            ];
            (pair.task, media(&pair.prompt), sides)
        })
        .collect();
    assert_eq!(
        seen,
        [
            (Task::T23D, vec![], [vec!["a.png"], vec!["b.png"]]),
            (Task::T2A, vec![], [vec!["a.wav"], vec!["b.wav"]]),
            (Task::T2V, vec![], [vec!["a.mp4"], vec!["b.mp4"]]),
            (Task::TI2I, vec!["s.png"], [vec!["a.png"], vec!["b.png"]]),
            (Task::TI2I, vec!["s.png"], [vec!["a.png"], vec!["b.png"]]),
            (
                Task::T2V,
                vec![],
                [vec!["a1.jpg", "a2.jpg"], vec!["b1.jpg", "b2.jpg"]]
            ),
        ]
    );
    assert!(
        pairs
            .iter()
            .all(|pair| pair.prompt.contains(&Part::from("p")))
    );
    let frame = pairs[5].responses[0].parts[0].as_media().unwrap();
    assert_eq!(frame.modality, Modality::Image);
}

#[test]
fn the_default_system_text_is_no_criterion() {
    let mut record = ranking("Hi", "a", "b");
    record["system"] =
        json!("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.");
    let folder = folder(&[("skywork_reward", &[record])]);
    assert_eq!(read(folder.path())[0].criterion, None);
}

#[test]
fn renamed_columns_and_speakers_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let record = json!({
        "talk": [
            {"who": "u", "says": "Hi <image>"}, {"who": "a", "says": "Yes?"},
            {"who": "u", "says": "What is it?"}
        ],
        "good": {"who": "a", "says": "A cat."}, "bad": {"who": "a", "says": "A dog."},
        "pictures": ["c.jpg"], "note": 7
    });
    fs::write(folder.path().join("x.json"), json!([record]).to_string()).unwrap();
    let declared = json!({"x": {
        "file_name": "x.json", "ranking": true, "formatting": "sharegpt",
        "columns": {"messages": "talk", "chosen": "good", "rejected": "bad", "images": "pictures"},
        "tags": {"role_tag": "who", "content_tag": "says", "user_tag": "u", "assistant_tag": "a"}
    }});
    fs::write(
        folder.path().join("dataset_info.json"),
        declared.to_string(),
    )
    .unwrap();
    let pairs = read(folder.path());
    assert_eq!(media(&pairs[0].prompt), ["c.jpg"]);
    let words = omnireward_core::joined_text(&pairs[0].prompt);
    assert_eq!(words, "User: Hi \nAssistant: Yes?\nUser: What is it?");
    assert_eq!(pairs[0].extra["note"], 7);
}

#[test]
fn alpaca_rankings_are_read_too() {
    let folder = tempfile::tempdir().unwrap();
    let record = json!({
        "instruction": "Translate.", "input": "chat", "chosen": "cat", "rejected": "chat"
    });
    let file = folder.path().join("alpaca.json");
    fs::write(&file, json!([record]).to_string()).unwrap();
    assert_eq!(matching_formats(&file), [Format::LlamaFactoryRanking]);
    let pairs = read(&file);
    assert_eq!(pairs[0].prompt, [Part::from("Translate.\nchat")]);
}

#[test]
fn bad_records_are_row_errors_that_name_the_field() {
    let good = ranking("Hi", "a", "b");
    let cases = [
        (
            with(good.clone(), "label", json!(2)),
            "label",
            "unknown value `2`",
        ),
        (
            with(good.clone(), "conversations", json!([])),
            "conversations",
            "do not alternate",
        ),
        (
            with(
                good.clone(),
                "chosen",
                json!({"from": "human", "value": "a"}),
            ),
            "chosen",
            "not the assistant's",
        ),
        (
            with(good.clone(), "rejected", Value::Null),
            "rejected",
            "missing",
        ),
        (
            with(
                ranking("<image><image>Hi", "a", "b"),
                "images",
                json!(["x.jpg"]),
            ),
            "conversations",
            "2 `<image>` placeholders for 1 media",
        ),
        (
            with(good.clone(), "images", json!(["../x.jpg"])),
            "images",
            "refused",
        ),
        (
            with(
                ranking("<image>", "p", "p"),
                "images",
                json!(["a", "b", "c"]),
            ),
            "images",
            "cannot be split",
        ),
    ];
    for (bad, wanted_field, wanted_words) in cases {
        let folder = folder(&[("some_set", &[bad, good.clone()])]);
        let rows: Vec<_> = open(folder.path(), &OpenOptions::default())
            .unwrap()
            .pairs()
            .collect();
        let Err(error @ Error::Row { field, source, .. }) = &rows[0] else {
            panic!("{wanted_field}: {rows:?}");
        };
        let wanted_field = format!("[0].{wanted_field}");
        assert_eq!(field.as_deref(), Some(wanted_field.as_str()), "{error}");
        assert!(source.to_string().contains(wanted_words), "{source}");
        assert!(rows[1].is_ok(), "{wanted_field}: the next row is read");
    }
}

#[test]
fn a_declaration_cannot_lead_outside() {
    let folder = tempfile::tempdir().unwrap();
    let declared = json!({"x": {"file_name": "../x.json", "ranking": true}});
    fs::write(
        folder.path().join("dataset_info.json"),
        declared.to_string(),
    )
    .unwrap();
    let options = OpenOptions {
        format: Some(Format::LlamaFactoryRanking),
        ..OpenOptions::default()
    };
    assert!(matches!(
        open(folder.path(), &options),
        Err(Error::Path { .. })
    ));
}

fn file(folder: &Path, name: &str, modality: Modality) -> Part {
    let path = folder.join(name);
    fs::write(&path, name).unwrap();
    Part::Media(MediaRef {
        modality,
        source: MediaSource::File {
            path,
            name: name.to_owned(),
        },
    })
}

fn side(parts: &[Part]) -> Response {
    Response {
        parts: parts.to_vec(),
        model: None,
    }
}

/// A pair of every task, media below `folder`.
fn samples(folder: &Path) -> Vec<PreferencePair> {
    let file = |name: &str, modality| file(folder, name, modality);
    Task::ALL
        .into_iter()
        .map(|task| {
            let responses: Vec<Response> = ["a", "b"]
                .into_iter()
                .map(|key| match task.response_modality() {
                    Modality::Text => Response::text(format!("{task} answer {key}")),
                    // In this layout an object is a sheet of its views.
                    Modality::Mesh => side(&[file(&format!("{task}_{key}"), Modality::Image)]),
                    modality => side(&[file(&format!("{task}_{key}"), modality)]),
                })
                .collect();
            let id = format!("set/{task}");
            let mut pair = PreferencePair::new(id, task, format!("{task} prompt"), responses)
                .with_criterion(format!("{task} criterion"))
                .with_label(if task == Task::T2V {
                    Preference::Tie
                } else {
                    Preference::First
                });
            if let Some(modality) = task.prompt_modality() {
                pair.prompt
                    .insert(0, file(&format!("{task}_source"), modality));
            }
            pair
        })
        .collect()
}

#[test]
fn every_task_survives_a_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = samples(folder.path());
    // Where the name does not tell the task, an object looks like any other image.
    for (name, subset) in pairs
        .iter()
        .map(|pair| (format!("omni_{}", pair.task.code().to_lowercase()), pair))
    {
        let written = write::llama_factory_ranking(folder.path(), &name, [subset]).unwrap();
        assert_eq!(written, 1);
    }
    let mut again = read(folder.path());
    again.sort_by_key(|pair| pair.task);
    assert_eq!(again.len(), pairs.len());
    for (before, after) in pairs.iter().zip(&again) {
        assert_eq!(after.task, before.task);
        assert_eq!(after.prompt, before.prompt);
        assert_eq!(after.responses, before.responses);
        assert_eq!(
            (after.label, &after.criterion),
            (before.label, &before.criterion)
        );
    }
}

#[test]
fn the_preferred_side_is_written_as_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let pair = PreferencePair::new(
        "x",
        Task::T2T,
        "p",
        [Response::text("a"), Response::text("b")],
    )
    .with_label(Preference::Second);
    write::llama_factory_ranking(folder.path(), "s", [&pair]).unwrap();
    let again = read(folder.path());
    assert_eq!(again[0].id, "s/x");
    assert_eq!(
        again[0].responses,
        [Response::text("b"), Response::text("a")]
    );
    assert_eq!(again[0].label, Some(Preference::First));
    // Writing again under the same name does not lengthen ids, and keeps other declarations.
    write::llama_factory_ranking(folder.path(), "t", &again).unwrap();
    write::llama_factory_ranking(folder.path(), "s", &again).unwrap();
    let ids: Vec<String> = read(folder.path())
        .into_iter()
        .map(|pair| pair.id)
        .collect();
    assert_eq!(ids, ["s/x", "t/s/x"]);
}

#[test]
fn media_from_elsewhere_are_copied() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let picture = file(from.path(), "cat.png", Modality::Image);
    let pair = PreferencePair::new(
        "x",
        Task::T2I,
        "a cat",
        [(); 2].map(|()| side(std::slice::from_ref(&picture))),
    )
    .with_label(Preference::First);
    write::llama_factory_ranking(to.path(), "hpdv2", [&pair]).unwrap();
    assert_eq!(
        fs::read(to.path().join("media/cat.png")).unwrap(),
        b"cat.png"
    );
    let again = read(to.path());
    assert_eq!(media(&again[0].responses[0].parts), ["media/cat.png"]);
}

#[test]
fn what_the_layout_has_no_place_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = [Response::text("a"), Response::text("b")];
    let unlabelled = PreferencePair::new("x", Task::T2T, "p", text.clone());
    let mesh = file(folder.path(), "a.obj", Modality::Mesh);
    let meshes = PreferencePair::new(
        "x",
        Task::T23D,
        "p",
        [(); 2].map(|()| side(std::slice::from_ref(&mesh))),
    )
    .with_label(Preference::First);
    let mut confusing =
        PreferencePair::new("x", Task::TI2T, "see <image>", text).with_label(Preference::First);
    confusing
        .prompt
        .push(file(folder.path(), "a.png", Modality::Image));
    for (pair, words) in [
        (unlabelled, "unlabelled"),
        (meshes, "meshes"),
        (confusing, "placeholder"),
    ] {
        let error = write::llama_factory_ranking(folder.path(), "s", [&pair]).unwrap_err();
        assert!(matches!(error, Error::Unwritable { .. }));
        assert!(error.to_string().contains(words), "{error}");
    }
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    /// Words that a text could hold, placeholders among them.
    fn words() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop_oneof!["[a-zA-Z \n\"\\\\é漢]{0,8}", Just("<image>".to_owned())],
            1..4,
        )
        .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Text without media survives whatever it says.
        #[test]
        fn any_text_pair_survives_a_round_trip(
            prompt in words(), first in words(), second in words(), criterion in words(), tie: bool
        ) {
            let folder = tempfile::tempdir().unwrap();
            let label = if tie { Preference::Tie } else { Preference::First };
            let pair = PreferencePair::new(
                "x",
                Task::T2T,
                prompt,
                [Response::text(first), Response::text(second)],
            )
            .with_criterion(criterion)
            .with_label(label);
            write::llama_factory_ranking(folder.path(), "s", [&pair]).unwrap();
            let again = read(folder.path()).remove(0);
            prop_assert_eq!(again.prompt, pair.prompt);
            prop_assert_eq!(again.responses, pair.responses);
            prop_assert_eq!((again.criterion, again.label), (pair.criterion, pair.label));
        }
    }
}
