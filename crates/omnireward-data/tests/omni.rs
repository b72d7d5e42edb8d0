//! Both Omni-RewardBench layouts: round trips, where media are looked for, and broken files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, sync::Arc};

use arrow_array::{
    ArrayRef, BinaryArray, Int64Array, LargeStringArray, RecordBatch, StringArray, StructArray,
};
use arrow_schema::{DataType, Field};
use omnireward_core::{
    MediaRef, MediaSource, Modality, Part, Preference, PreferencePair, Response, Task,
};
use omnireward_data::{Dataset, Error, Format, OpenOptions, open, write};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

fn opened(path: &Path) -> Dataset {
    open(path, &OpenOptions::default()).unwrap()
}

fn pairs(path: &Path) -> Vec<PreferencePair> {
    opened(path).pairs().map(Result::unwrap).collect()
}

fn errors(path: &Path) -> (Vec<PreferencePair>, Vec<Error>) {
    let (good, bad): (Vec<_>, Vec<_>) = opened(path).pairs().partition(Result::is_ok);
    (
        good.into_iter().map(Result::unwrap).collect(),
        bad.into_iter().map(Result::unwrap_err).collect(),
    )
}

fn embedded(modality: Modality, name: &str, content: &[u8]) -> MediaRef {
    MediaRef {
        modality,
        source: MediaSource::Bytes {
            bytes: content.into(),
            name: Some(name.to_owned()),
        },
    }
}

/// A medium for a place in a pair; 3D answers are pictures, as published.
fn medium(modality: Modality, task: Task, group: u64, place: &str) -> MediaRef {
    let (modality, extension) = match modality {
        Modality::Audio => (modality, "wav"),
        Modality::Video => (modality, "mp4"),
        _ => (Modality::Image, "png"),
    };
    let name = format!("{}/{group}/{place}.{extension}", task.key());
    embedded(modality, &name, name.as_bytes())
}

/// Two criteria on one item and a third pair on another, for each of the nine tasks.
fn benchmark() -> Vec<PreferencePair> {
    let labels = [Preference::First, Preference::Second, Preference::Tie];
    let pair = |task: Task, index: usize| {
        let group = index as u64 / 2;
        let response = |side: &str| {
            let response = if task.is_generation() {
                Response::media(medium(task.response_modality(), task, group, side))
            } else {
                Response::text(format!("{side} of {group}: \"quoted\",\nnext ✓"))
            };
            response.by(format!("model-{side}"))
        };
        let asked = task
            .prompt_modality()
            .map(|modality| medium(modality, task, group, "asked"));
        let mut pair = PreferencePair {
            prompt: asked
                .map(Part::Media)
                .into_iter()
                .chain([Part::Text(format!("prompt [{group}]"))])
                .collect(),
            source: Some("somewhere".to_owned()),
            ..PreferencePair::new(
                format!("{}/{index}", task.key()),
                task,
                "",
                [response("a"), response("b")],
            )
        }
        .with_criterion(format!("criterion {index}"))
        .with_label(labels[index % 3]);
        pair.extra.insert("annotators".to_owned(), json!(3));
        pair.extra.insert("note".to_owned(), json!("kept"));
        pair
    };
    Task::ALL
        .into_iter()
        .flat_map(|task| (0..3).map(move |index| pair(task, index)))
        .collect()
}

/// A part, with the content of its medium in place of where that is.
fn content(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!(text),
        Part::Media(media) => {
            let bytes = match &media.source {
                MediaSource::Bytes { bytes, .. } => bytes.to_vec(),
                MediaSource::File { path, .. } => fs::read(path).unwrap(),
                other => panic!("{other:?}"),
            };
            json!([media.modality, media.name(), bytes])
        }
    }
}

/// All that a pair says, apart from its group and from where its media are.
fn essence(pair: &PreferencePair) -> Value {
    let prompt: Vec<_> = pair.prompt.iter().map(content).collect();
    let responses: Vec<_> = pair
        .responses
        .iter()
        .map(|response| {
            json!([
                response.parts.iter().map(content).collect::<Vec<_>>(),
                response.model
            ])
        })
        .collect();
    json!([
        pair.id,
        pair.task,
        prompt,
        responses,
        pair.criterion,
        pair.label,
        pair.source,
        pair.extra
    ])
}

fn assert_same(found: &[PreferencePair], expected: &[PreferencePair]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(essence(found), essence(expected));
    }
}

#[test]
fn json_is_written_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let expected = benchmark();
    assert_eq!(write::omni_json(dir.path(), &expected).unwrap(), 27);
    let dataset = opened(dir.path());
    assert_eq!(dataset.format(), Format::OmniJson);
    assert_eq!(dataset.parts().len(), 9);
    assert_eq!(dataset.rows(), Some(27));
    assert_same(&pairs(dir.path()), &expected);
    let picture = dir.path().join("media_data/text_to_3D/0/a.png");
    assert_eq!(fs::read(picture).unwrap(), b"text_to_3D/0/a.png");
}

#[test]
fn parquet_is_written_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let expected = benchmark();
    assert_eq!(write::omni_parquet(dir.path(), &expected).unwrap(), 27);
    let dataset = opened(dir.path());
    assert_eq!(dataset.format(), Format::OmniParquet);
    assert_eq!(dataset.rows(), Some(27));
    let found = pairs(dir.path());
    assert_same(&found, &expected);
    let is_embedded = |pair: &&PreferencePair| {
        pair.prompt
            .iter()
            .chain(pair.responses.iter().flat_map(|response| &response.parts))
            .filter_map(Part::as_media)
            .any(|media| matches!(media.source, MediaSource::Bytes { .. }))
    };
    // All but T2T, TV2T and T2V.
    assert_eq!(found.iter().filter(is_embedded).count(), 18);
}

#[test]
fn each_layout_converts_to_the_other_and_back() {
    let [json, parquet, again] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let expected = benchmark();
    write::omni_json(json.path(), &expected).unwrap();
    write::omni_parquet(parquet.path(), pairs(json.path())).unwrap();
    write::omni_json(again.path(), pairs(parquet.path())).unwrap();
    assert_same(&pairs(again.path()), &expected);
    for task in Task::ALL {
        let name = format!("{}_preferences.json", task.key());
        let read = |dir: &Path| fs::read_to_string(dir.join(&name)).unwrap();
        assert_eq!(read(json.path()), read(again.path()), "{name}");
    }
}

#[test]
fn one_task_can_be_opened_by_folder_file_or_option() {
    let dir = tempfile::tempdir().unwrap();
    write::omni_parquet(dir.path(), benchmark()).unwrap();
    let folder = dir.path().join("text_image_to_image");
    assert_eq!(pairs(&folder).len(), 3);
    assert_eq!(pairs(&folder.join("test-00000-of-00001.parquet")).len(), 3);
    // Videos are found from a task's own folder as well.
    assert!(matches!(
        &pairs(&dir.path().join("text_to_video"))[0].responses[0].parts[0].as_media().unwrap().source,
        MediaSource::File { path, .. } if path.is_file()
    ));
    let options = OpenOptions {
        tasks: Some(vec![Task::T2A, Task::TV2T]),
        ..OpenOptions::default()
    };
    let dataset = open(dir.path(), &options).unwrap();
    assert_eq!(dataset.rows(), Some(6));
    let tasks: Vec<_> = dataset.pairs().map(|pair| pair.unwrap().task).collect();
    assert_eq!(tasks, [[Task::TV2T; 3], [Task::T2A; 3]].concat());
}

#[test]
fn criteria_on_the_same_responses_share_a_group_whatever_the_layout_or_order() {
    let [json, parquet] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    write::omni_json(json.path(), benchmark()).unwrap();
    write::omni_parquet(
        parquet.path(),
        benchmark().iter().map(PreferencePair::swapped),
    )
    .unwrap();
    let groups = |path: &Path| -> Vec<_> {
        pairs(path)
            .into_iter()
            .map(|pair| pair.group.unwrap())
            .collect()
    };
    let groups_json = groups(json.path());
    assert_eq!(groups_json, groups(parquet.path()));
    for task in groups_json.chunks(3) {
        assert!(task[0] == task[1] && task[1] != task[2], "{task:?}");
    }
    let distinct: std::collections::BTreeSet<_> = groups_json.iter().collect();
    assert_eq!(distinct.len(), 18);
}

#[test]
fn ids_that_repeat_are_told_apart_the_same_way_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut repeated = benchmark();
    repeated.truncate(3);
    for (pair, id) in repeated.iter_mut().zip(["x", "x", "x#2"]) {
        id.clone_into(&mut pair.id);
    }
    write::omni_json(dir.path(), &repeated).unwrap();
    let ids = || -> Vec<_> { pairs(dir.path()).into_iter().map(|pair| pair.id).collect() };
    let key = "text_to_text";
    let expected = [
        format!("{key}/x"),
        format!("{key}/x#2"),
        format!("{key}/x#2#2"),
    ];
    assert_eq!(ids(), expected);
    assert_eq!(ids(), expected);
}

fn record() -> Value {
    json!({
        "prompt": "p", "response1": "one", "response2": "two", "model1": "m", "model2": "",
        "criteria": "c", "criteria_preference": "tie", "id": 7
    })
}

fn with(mut record: Value, field: &str, value: Value) -> Value {
    record[field] = value;
    record
}

#[test]
fn broken_rows_name_line_and_field_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut missing = record();
    missing.as_object_mut().unwrap().remove("criteria");
    let rows = [
        record().to_string(),
        with(record(), "criteria_preference", json!("response3")).to_string(),
        missing.to_string(),
        with(record(), "prompt", json!(5)).to_string(),
        "[1]".to_owned(),
        record().to_string(),
    ];
    let file = dir.path().join("text_to_text_preferences.json");
    fs::write(&file, format!("[\n{}\n]", rows.join(",\n"))).unwrap();
    let (good, bad) = errors(&file);
    assert_eq!(good.len(), 2);
    assert_eq!(good[0].responses[0].model.as_deref(), Some("m"));
    assert_eq!(good[0].responses[1].model, None);
    assert!(bad.iter().all(Error::is_row));
    let messages: Vec<_> = bad
        .iter()
        .map(|error| {
            let source = std::error::Error::source(error).unwrap();
            format!("{error}: {source}").replace(file.to_str().unwrap(), "FILE")
        })
        .collect();
    assert_eq!(
        messages,
        [
            "FILE, row at line 3, field `[1].criteria_preference`: unknown value `response3`, \
             expected response1, response2 or tie",
            "FILE, row at line 4, field `[2].criteria`: the field is missing",
            "FILE, row at line 5, field `[3].prompt`: expected a string, found the number 5",
            "FILE, row at line 6, field `[4]`: expected an object, found a list of 1",
        ]
    );
}

#[test]
fn an_element_that_is_no_json_is_a_row_error_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let good = record().to_string();
    for bad in ["{\"id\": NaN}", "{\"id\": \"\\ud800\"}", "{\"id\": tru}"] {
        let file = dir.path().join("text_to_text_preferences.json");
        fs::write(&file, format!("[{good},\n{bad},\n{good}]")).unwrap();
        let (good, errors) = errors(&file);
        assert_eq!(good.len(), 2, "{bad}");
        assert!(
            matches!(&errors[..], [Error::Row { line: 2, field: Some(field), .. }] if field == "[1]"),
            "{errors:?}"
        );
    }
}

#[test]
fn a_broken_array_ends_the_file_with_its_line_and_spares_the_other_tasks() {
    let dir = tempfile::tempdir().unwrap();
    let good = record().to_string();
    for (content, line, reason) in [
        (
            format!("[{good},\n{good}\n{good}]"),
            3,
            "trailing characters",
        ),
        (format!("[{good},\n{}", &good[..20]), 2, "ends inside"),
        (format!("[{good},\n]"), 2, "expected an element"),
        (format!("[{good}\n"), 1, "ends inside"),
        (format!("[{good}]\nx"), 2, "follows the end"),
    ] {
        fs::write(dir.path().join("text_to_text_preferences.json"), &content).unwrap();
        let other = with(
            with(record(), "response1", json!("a.png")),
            "response2",
            json!("b.png"),
        );
        fs::write(
            dir.path().join("text_to_image_preferences.json"),
            json!([other]).to_string(),
        )
        .unwrap();
        let (good, bad) = errors(dir.path());
        assert_eq!(bad.len(), 1, "{content}");
        assert!(!bad[0].is_row());
        let message = bad[0].to_string();
        assert!(
            message.contains("text_to_text_preferences.json"),
            "{message}"
        );
        assert!(
            message.contains(&format!("near line {line}: ")),
            "{message}\n{content}"
        );
        assert!(message.contains(reason), "{message}");
        assert_eq!(good.last().unwrap().task, Task::T2I);
    }
    for (content, reason) in [
        ("", "the file is empty"),
        ("{}", "expected a list"),
        ("[]", "holds no pairs"),
    ] {
        fs::write(dir.path().join("text_to_text_preferences.json"), content).unwrap();
        let (_, bad) = errors(&dir.path().join("text_to_text_preferences.json"));
        assert_eq!(bad.len(), 1);
        assert!(bad[0].to_string().contains(reason), "{}", bad[0]);
    }
}

#[test]
fn paths_that_leave_the_dataset_and_remote_ones_are_row_errors() {
    let dir = tempfile::tempdir().unwrap();
    let row = |name: &str| {
        with(
            with(record(), "response1", json!(name)),
            "response2",
            json!("b.png"),
        )
    };
    let names = [
        "../../secret.png",
        "/etc/passwd",
        "https://example.org/a.png",
        "fine/../a.png",
    ];
    let rows: Vec<_> = names.into_iter().map(row).collect();
    fs::write(
        dir.path().join("text_to_image_preferences.json"),
        Value::from(rows).to_string(),
    )
    .unwrap();
    let (good, bad) = errors(dir.path());
    assert_eq!((good.len(), bad.len()), (1, 3));
    assert!(
        bad.iter()
            .all(|error| error.is_row() && error.to_string().contains("response1"))
    );
    let options = OpenOptions {
        allow_urls: true,
        ..OpenOptions::default()
    };
    let allowed = open(dir.path(), &options)
        .unwrap()
        .pairs()
        .flatten()
        .count();
    assert_eq!(allowed, 2);
}

/// Columns by name.
fn table(file: &Path, columns: Vec<(&str, ArrayRef)>) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(file).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn pictures(values: &[(Option<&[u8]>, &str)]) -> ArrayRef {
    let bytes: BinaryArray = values.iter().map(|(bytes, _)| *bytes).collect();
    let paths: StringArray = values.iter().map(|(_, path)| Some(*path)).collect();
    // The order of the inner fields must not matter either.
    Arc::new(StructArray::from(vec![
        (
            Arc::new(Field::new("path", DataType::Utf8, true)),
            Arc::new(paths) as ArrayRef,
        ),
        (
            Arc::new(Field::new("bytes", DataType::Binary, true)),
            Arc::new(bytes) as ArrayRef,
        ),
    ]))
}

#[test]
fn parquet_is_read_back_whatever_its_media_are_called() {
    let names = [
        "../up.png",
        "/etc/x.png",
        "a\0b",
        "",
        "http://x/y.png",
        "C:\\x",
        "fine.png",
    ];
    let pairs_of = |name: &str| {
        let medium = |content: &[u8]| Response::media(embedded(Modality::Image, name, content));
        PreferencePair::new(name, Task::T2I, "p", [medium(b"one"), medium(b"two")])
            .with_label(Preference::First)
    };
    let dir = tempfile::tempdir().unwrap();
    write::omni_parquet(dir.path(), names.map(pairs_of)).unwrap();
    let found = pairs(dir.path());
    assert_eq!(found.len(), names.len());
    for (pair, name) in found.iter().zip(names) {
        for (source, content) in sources(pair).into_iter().zip([b"one", b"two"]) {
            let MediaSource::Bytes { bytes, name: kept } = source else {
                panic!("{source:?}");
            };
            assert_eq!(*bytes, *content);
            assert_eq!(
                kept.as_deref(),
                ["http://x/y.png", "fine.png"]
                    .contains(&name)
                    .then_some(name),
                "{name:?}"
            );
        }
    }
}

#[test]
fn a_listed_file_that_is_not_there_gives_way_to_one_that_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("media_data")).unwrap();
    fs::write(dir.path().join("media_data/there.png"), "").unwrap();
    for listed in ["gone.png", "../climbs.png"] {
        let mut row = with(record(), "response1", json!("there.png"));
        row["response1_path"] = json!(listed);
        row["response2"] = json!("there.png");
        let file = dir.path().join("text_to_image_preferences.json");
        fs::write(&file, json!([row]).to_string()).unwrap();
        let found = pairs(&file);
        assert!(
            matches!(&sources(&found[0])[0], MediaSource::File { path, .. } if path.is_file()),
            "{listed}"
        );
    }
}

#[test]
fn a_null_stays_null() {
    let dir = tempfile::tempdir().unwrap();
    let pair = |extra: Value| {
        let mut pair = PreferencePair::new("i", Task::T2T, "p", ["a", "b"].map(Response::text))
            .with_label(Preference::Tie);
        pair.extra = extra.as_object().unwrap().clone();
        pair
    };
    let written = [
        pair(json!({"a": null, "b": 1, "c": true, "d": 0.5})),
        pair(json!({"a": "null", "b": null, "c": null, "d": null})),
    ];
    write::omni_parquet(dir.path(), &written).unwrap();
    for (found, written) in pairs(dir.path()).iter().zip(&written) {
        assert_eq!(found.extra, written.extra);
    }
}

fn sources(pair: &PreferencePair) -> [MediaSource; 2] {
    [0, 1].map(|index| {
        pair.responses[index].parts[0]
            .as_media()
            .unwrap()
            .source
            .clone()
    })
}

#[test]
fn a_listed_file_is_preferred_then_bytes_then_any_named_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("text_to_image/test-00000-of-00001.parquet");
    let columns = |paths: &[&str]| {
        vec![
            ("response2_path", texts(&["absent.png"; 2])),
            ("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
            ("criteria_preference", texts(&["response1", "tie"])),
            (
                "source",
                Arc::new(LargeStringArray::from(vec!["hpd", "hpd"])) as ArrayRef,
            ),
            ("response1_path", texts(paths)),
            (
                "response1",
                pictures(&[(Some(b"one"), "x.png"), (Some(b"two"), "y.png")]),
            ),
            (
                "response2",
                pictures(&[(Some(b"three"), "z.png"), (None, "z.png")]),
            ),
            ("criteria", texts(&["c", "d"])),
            ("rating", Arc::new(Int64Array::from(vec![4, 5])) as ArrayRef),
            ("prompt", texts(&["p", "q"])),
        ]
    };
    table(&file, columns(&["there.png", "gone.png"]));
    fs::create_dir_all(dir.path().join("media_data")).unwrap();
    fs::write(dir.path().join("media_data/there.png"), "file").unwrap();
    let found = pairs(dir.path());
    let bytes = |content: &[u8], name: &str| MediaSource::Bytes {
        bytes: content.into(),
        name: Some(name.to_owned()),
    };
    let file_at = |name: &str| MediaSource::File {
        path: dir.path().join("media_data").join(name),
        name: name.to_owned(),
    };
    assert_eq!(
        sources(&found[0]),
        [file_at("there.png"), bytes(b"three", "absent.png")]
    );
    assert_eq!(
        sources(&found[1]),
        [bytes(b"two", "gone.png"), file_at("absent.png")]
    );
    assert_eq!(found[0].source.as_deref(), Some("hpd"));
    assert_eq!(found[0].id, "text_to_image/1");
    assert_eq!(found[0].extra, *json!({"rating": 4}).as_object().unwrap());

    // When every file is there, embedded bytes are not even read.
    for name in ["gone.png", "absent.png"] {
        fs::write(dir.path().join("media_data").join(name), "file").unwrap();
    }
    let found = pairs(dir.path());
    assert_eq!(
        sources(&found[1]),
        [file_at("gone.png"), file_at("absent.png")]
    );
}

#[test]
fn a_3d_answer_is_a_mesh_or_a_picture_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let row = with(
        with(record(), "response1", json!("a.glb")),
        "response2",
        json!("b.png"),
    );
    fs::write(
        dir.path().join("text_to_3D_preferences.json"),
        json!([row]).to_string(),
    )
    .unwrap();
    let modalities: Vec<_> = pairs(dir.path())[0]
        .responses
        .iter()
        .map(|response| response.parts[0].as_media().unwrap().modality)
        .collect();
    assert_eq!(modalities, [Modality::Mesh, Modality::Image]);
    fs::create_dir_all(dir.path().join("media_data")).unwrap();
    fs::write(dir.path().join("media_data/a.glb"), "mesh").unwrap();
    let parquet = tempfile::tempdir().unwrap();
    write::omni_parquet(parquet.path(), pairs(dir.path())).unwrap();
    let found = pairs(parquet.path());
    let mesh = found[0].responses[0].parts[0].as_media().unwrap();
    assert_eq!((mesh.modality, mesh.name()), (Modality::Mesh, "a.glb"));
    assert_eq!(
        fs::read(parquet.path().join("media_data/a.glb")).unwrap(),
        b"mesh"
    );
}

#[test]
fn damaged_parquet_names_file_and_column_and_spares_the_other_tasks() {
    let dir = tempfile::tempdir().unwrap();
    write::omni_parquet(dir.path(), benchmark()).unwrap();
    let file = dir.path().join("text_to_text/test-00000-of-00001.parquet");
    let whole = fs::read(&file).unwrap();
    let mut scrambled = whole.clone();
    scrambled[8..200].fill(0xff);
    for content in [&whole[..whole.len() / 2], b"", &scrambled] {
        fs::write(&file, content).unwrap();
        let (good, bad) = errors(dir.path());
        assert_eq!(
            good.iter().filter(|pair| pair.task != Task::T2T).count(),
            24
        );
        assert_eq!(bad.len(), 1, "{bad:?}");
        assert!(
            !bad[0].is_row() && bad[0].to_string().contains("text_to_text/test"),
            "{}",
            bad[0]
        );
    }
    let all = [
        ("prompt", "p"),
        ("response1", "a"),
        ("response2", "b"),
        ("criteria", "c"),
        ("id", "1"),
    ];
    table(
        &file,
        all.map(|(name, value)| (name, texts(&[value]))).into(),
    );
    let (_, bad) = errors(&file);
    let message = bad[0].to_string();
    assert!(
        message.contains("no column `criteria_preference`") && message.contains("`response2`"),
        "{message}"
    );

    let with_label = [("criteria_preference", "neither")];
    table(
        &file,
        all.iter()
            .chain(&with_label)
            .map(|(name, value)| (*name, texts(&[value])))
            .collect(),
    );
    let (_, bad) = errors(&file);
    assert!(bad[0].is_row());
    assert!(
        bad[0]
            .to_string()
            .contains("line 1, field `criteria_preference`"),
        "{}",
        bad[0]
    );

    table(
        &file,
        all.iter()
            .chain(&with_label)
            .map(|(name, _)| (*name, texts(&[])))
            .collect(),
    );
    let (_, bad) = errors(&file);
    assert!(bad[0].to_string().contains("holds no pairs"), "{}", bad[0]);
}

#[test]
fn what_the_layouts_cannot_hold_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let two = || PreferencePair::new("i", Task::T2T, "p", ["a", "b"].map(Response::text));
    let unlabelled = write::omni_json(dir.path(), [two()])
        .unwrap_err()
        .to_string();
    assert!(
        unlabelled.contains("`i`") && unlabelled.contains("no label"),
        "{unlabelled}"
    );
    let mut three = two().with_label(Preference::Tie);
    three.responses.push(Response::text("c"));
    let three = write::omni_parquet(dir.path(), [three])
        .unwrap_err()
        .to_string();
    assert!(three.contains("more than two responses"), "{three}");
    let plain = two().with_label(Preference::Tie);
    let mut richer = plain.clone();
    richer.extra.insert("late".to_owned(), json!(1));
    let late = write::omni_parquet(dir.path(), [plain, richer])
        .unwrap_err()
        .to_string();
    assert!(late.contains("other fields"), "{late}");
}

#[test]
fn the_fingerprint_follows_labels_and_not_media() {
    let changed = |change: &dyn Fn(&mut PreferencePair)| {
        let [json, parquet] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let mut pairs = benchmark();
        pairs.iter_mut().for_each(change);
        write::omni_json(json.path(), &pairs).unwrap();
        write::omni_parquet(parquet.path(), &pairs).unwrap();
        [json.path(), parquet.path()].map(|path| opened(path).fingerprint().unwrap())
    };
    let plain = changed(&|_| {});
    assert_eq!(plain, changed(&|_| {}));
    assert_eq!(plain[0].len(), 64);
    for content in ["other", "content of another length ".repeat(500).as_str()] {
        let repainted = changed(&|pair| {
            let parts = pair
                .responses
                .iter_mut()
                .flat_map(|response| &mut response.parts);
            for part in parts.chain(&mut pair.prompt) {
                if let Part::Media(MediaRef {
                    source: MediaSource::Bytes { bytes, .. },
                    ..
                }) = part
                {
                    *bytes = content.as_bytes().into();
                }
            }
        });
        assert_eq!(plain, repainted);
    }
    let relabelled = changed(&|pair| pair.label = pair.label.map(Preference::swapped));
    assert!(plain[0] != relabelled[0] && plain[1] != relabelled[1]);
}
