//! Our own pairs: round trips, kept fields, broken lines.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use omnireward_core::{
    Criterion, MediaRef, MediaSource, Modality, Part, Preference, PreferencePair, Response, Task,
};
use omnireward_data::{Error, Format, OpenOptions, open, write};
use proptest::prelude::*;
use serde_json::json;

fn read(path: &Path) -> Vec<Result<PreferencePair, Error>> {
    let options = OpenOptions {
        format: Some(Format::Pairs),
        ..OpenOptions::default()
    };
    open(path, &options).unwrap().pairs().collect()
}

#[test]
fn unknown_fields_are_kept_in_their_order_and_written_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pairs.jsonl");
    let line = r#"{"id":"a","task":"T2T","prompt":"p","criterion":null,"responses":["x",[{"type":"text","text":"y"},{"type":"text","text":"z"}]],"models":["m",null],"label":"tie","source":"s","group":"g","zeta":1,"alpha":{"b":[2]}}"#;
    fs::write(&file, format!("\u{feff}{line}\n\n  \n")).unwrap();
    let pairs: Vec<_> = read(&file).into_iter().map(Result::unwrap).collect();
    assert_eq!(pairs.len(), 1);
    assert_eq!(pairs[0].extra.keys().collect::<Vec<_>>(), ["zeta", "alpha"]);
    assert_eq!(pairs[0].responses[0].model.as_deref(), Some("m"));
    let copy = dir.path().join("copy/pairs.jsonl");
    write::pairs_jsonl(&copy, &pairs).unwrap();
    assert_eq!(fs::read_to_string(copy).unwrap(), format!("{line}\n"));
}

#[test]
fn hand_written_lines_may_leave_out_id_and_task() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pairs.jsonl");
    let image = json!({"type": "image", "path": "a.png"});
    let lines = [
        json!({"prompt": "p", "responses": ["x", "y"], "label": "first"}),
        json!({"prompt": [image, "what is it?"], "responses": ["x", "y"]}),
        json!({"prompt": "p", "responses": [[image], [image]]}),
    ];
    fs::write(&file, lines.map(|line| line.to_string()).join("\n")).unwrap();
    let dataset = open(dir.path(), &OpenOptions::default()).unwrap();
    assert_eq!((dataset.format(), dataset.rows()), (Format::Pairs, Some(3)));
    let found: Vec<_> = dataset
        .pairs()
        .map(Result::unwrap)
        .map(|pair| (pair.id, pair.task))
        .collect();
    let expected = [("1", Task::T2T), ("2", Task::TI2T), ("3", Task::T2I)];
    assert_eq!(found, expected.map(|(id, task)| (id.to_owned(), task)));
}

#[test]
fn broken_lines_are_reported_with_line_and_field_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pairs.jsonl");
    let good = json!({"id": "a", "task": "T2T", "prompt": "p", "responses": ["x", "y"]});
    let with = |field: &str, value: serde_json::Value| {
        let mut line = good.clone();
        line[field] = value;
        line.to_string()
    };
    let lines = [
        good.to_string(),
        "{\"id\": ".to_owned(),
        with("task", json!("T2X")),
        with("label", json!("third")),
        with("responses", json!(["x"])),
        with("responses", json!(["x", {"type": "text"}])),
        with("prompt", json!([{"type": "smell", "path": "x"}])),
        with("prompt", json!([{"type": "image", "path": "../x"}])),
        with(
            "prompt",
            json!([{"type": "text", "text": "t", "bold": true}]),
        ),
        with("models", json!(["one"])),
        with("ranking", json!([1, "b"])),
        with("id", json!([])),
        String::new(),
        good.to_string(),
    ];
    fs::write(&file, lines.join("\n")).unwrap();
    let rows = read(&file);
    assert_eq!(rows.iter().filter(|row| row.is_ok()).count(), 2);
    let faults: Vec<_> = rows
        .into_iter()
        .filter_map(Result::err)
        .map(|error| match error {
            Error::Row {
                line,
                field,
                source,
                ..
            } => (line, field.unwrap_or_default(), source.to_string()),
            other => panic!("{other}"),
        })
        .collect();
    let expected = [
        (2, "", "not valid JSON"),
        (3, "task", "unknown value `T2X`"),
        (4, "label", "unknown value `third`"),
        (5, "", "at least two responses"),
        (6, "responses[1]", "expected a string or a list of parts"),
        (7, "prompt[0].type", "unknown value `smell`"),
        (8, "prompt[0].path", "`../x` is refused"),
        (9, "prompt[0]", "unknown value `bold`"),
        (10, "models", "1 names for 2 responses"),
        (11, "ranking", "expected a list of ranks"),
        (12, "id", "expected a string or a whole number"),
    ];
    assert_eq!(faults.len(), expected.len());
    for (fault, (line, field, reason)) in faults.iter().zip(expected) {
        assert_eq!((fault.0, fault.1.as_str()), (line, field));
        assert!(fault.2.contains(reason), "{fault:?}");
    }
}

#[test]
fn media_travel_with_the_pairs() {
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("a.png"), "picture").unwrap();
    let image = |source| {
        Part::Media(MediaRef {
            modality: Modality::Image,
            source,
        })
    };
    let bytes = |content: &[u8], name: Option<&str>| MediaSource::Bytes {
        bytes: content.into(),
        name: name.map(str::to_owned),
    };
    let file = |name: &str| MediaSource::File {
        path: from.path().join(name),
        name: name.to_owned(),
    };
    let media = [
        file("a.png"),
        bytes(b"other", Some("a.png")),
        bytes(b"picture", Some("a.png")),
        bytes(b"nameless", None),
        bytes(b"hostile", Some("../../x.png")),
        file("missing.png"),
        MediaSource::Absent {
            name: "elsewhere.png".to_owned(),
        },
    ];
    let contents = ["picture", "other", "picture", "nameless", "hostile"];
    let parts: Vec<_> = media.iter().cloned().map(image).collect();
    let response = |parts: Vec<Part>| Response { parts, model: None };
    let pair = PreferencePair::new(
        "a",
        Task::T2I,
        "p",
        [response(parts.clone()), response(parts)],
    );
    let to = tempfile::tempdir().unwrap();
    let out = to.path().join("set/pairs.jsonl");
    write::pairs_jsonl(&out, [&pair]).unwrap();
    let found = read(&out).remove(0).unwrap();
    let parts = &found.responses[0].parts;
    for (part, content) in parts.iter().zip(contents) {
        match &part.as_media().unwrap().source {
            MediaSource::File { path, .. } => {
                assert_eq!(fs::read_to_string(path).unwrap(), content);
                assert!(path.starts_with(to.path().join("set/media")));
            }
            other => panic!("{other:?}"),
        }
    }
    let names: Vec<_> = parts
        .iter()
        .map(|part| part.as_media().unwrap().name())
        .collect();
    assert!(
        names[0] == names[2] && names[0] == "media/a.png" && names[1] != names[0],
        "{names:?}"
    );
    assert!(
        matches!(&parts[5].as_media().unwrap().source, MediaSource::File { path, .. } if !path.exists())
    );
    assert_eq!(parts[6].as_media().unwrap().source, media[6]);
    assert_eq!(
        fs::read_dir(to.path().join("set/media")).unwrap().count(),
        4
    );

    // Written again in place, nothing is copied.
    write::pairs_jsonl(&to.path().join("set/again.jsonl"), [&found]).unwrap();
    assert_eq!(
        fs::read_dir(to.path().join("set/media")).unwrap().count(),
        4
    );
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,12}",
        Just("\n\u{2028}\"\\".to_owned())
    ]
}

prop_compose! {
    fn any_pair()(
        id in "[a-z]{1,8}",
        prompt in any_text(),
        criterion in any_text(),
        responses in prop::collection::vec((prop::collection::vec(any_text(), 1..3), prop::option::of(any_text())), 2..5),
        label in prop::sample::select(vec![None, Some(Preference::First), Some(Preference::Tie)]),
        source in prop::option::of(any_text()),
        group in prop::option::of(any_text()),
        extra in prop::collection::btree_map("x[a-z]{1,5}", any_text(), 0..4),
    ) -> PreferencePair {
        let count = responses.len();
        let responses = responses.into_iter().map(|(texts, model)| Response {
            parts: texts.into_iter().map(Part::Text).collect(),
            model,
        });
        PreferencePair {
            criterion: Criterion::new(criterion),
            label: label.filter(|_| count == 2),
            ranking: (count > 2).then(|| (1..=count as u32).collect()),
            source,
            group,
            extra: extra.into_iter().map(|(field, text)| (field, json!(text))).collect(),
            ..PreferencePair::new(id, Task::T2T, prompt, responses)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back(pairs in prop::collection::vec(any_pair(), 1..5)) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pairs.jsonl");
        prop_assert_eq!(write::pairs_jsonl(&file, &pairs).unwrap(), pairs.len() as u64);
        let mut found: Vec<_> = read(&file).into_iter().map(Result::unwrap).collect();
        // Ids were drawn at random and may repeat, which the reader repairs.
        for (found, written) in found.iter_mut().zip(&pairs) {
            prop_assert!(found.id.starts_with(&written.id));
            found.id.clone_from(&written.id);
        }
        prop_assert_eq!(found, pairs);
    }
}
