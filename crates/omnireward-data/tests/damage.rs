//! Files that are broken or hostile: what is lost is named, and nothing else is lost.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fmt::Write, fs, path::Path, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use omnireward_core::{PreferencePair, Task};
use omnireward_data::{Error, Format, OpenOptions, RowError, open};
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(path: &Path, format: Option<Format>) -> (Vec<PreferencePair>, Vec<Error>) {
    let options = OpenOptions {
        format,
        ..OpenOptions::default()
    };
    let rows = open(path, &options).unwrap().pairs();
    let (good, bad): (Vec<_>, Vec<_>) = rows.partition(Result::is_ok);
    (
        good.into_iter().map(Result::unwrap).collect(),
        bad.into_iter().map(Result::unwrap_err).collect(),
    )
}

fn lines(file: &Path, records: &[Value]) {
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    fs::write(file, lines.join("\n")).unwrap();
}

fn is_too_many(error: &Error, wanted_field: &str) -> bool {
    matches!(
        error,
        Error::Row { field: Some(field), source: RowError::TooMany { limit: 128, .. }, .. }
            if field == wanted_field
    )
}

#[test]
fn one_record_with_very_many_responses_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.jsonl");
    let many: Vec<String> = (0..100_000).map(|number| number.to_string()).collect();
    let ranks: Vec<u32> = (0..100_000).collect();
    let record = |chosen: &[String]| {
        json!({"id": 1, "prompt": "p", "chosen": chosen, "rejected": ["a", "b"],
               "num_correct": chosen.len(), "subset": "s"})
    };
    let models: serde_json::Map<String, Value> = many
        .iter()
        .map(|name| (name.clone(), json!([1.0])))
        .collect();
    let cases = [
        (record(&many[..2]), record(&many), "chosen", 4),
        (
            json!({"id": 1, "prompt": "p", "generations": ["a", "b"], "ranking": [1, 2]}),
            json!({"id": 2, "prompt": "p", "generations": many, "ranking": ranks}),
            "generations",
            1,
        ),
        (
            json!({"id": "a", "prompt": "p", "models": {"a": [1], "b": [2]}}),
            json!({"id": "b", "prompt": "p", "models": models}),
            "models",
            1,
        ),
        (
            json!({"prompt": "p", "responses": ["a", "b"]}),
            json!({"prompt": "p", "responses": many}),
            "responses",
            1,
        ),
    ];
    for (good, bad, field, pairs) in cases {
        lines(&file, &[good, bad]);
        let (found, errors) = read(&file, None);
        assert_eq!(found.len(), pairs, "{field}");
        assert!(
            errors.len() == 1 && is_too_many(&errors[0], field),
            "{field}: {}",
            errors[0]
        );
    }
}

#[test]
fn one_prompt_with_very_many_rated_responses_is_refused_where_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ratings.csv");
    let mut text = "name,prompt,mos_quality,std_quality,mos_align,std_align\n".to_owned();
    for (prompt, count) in [("few", 3), ("many", 20_000)] {
        for number in 0..count {
            writeln!(text, "{prompt}{number}.jpg,{prompt},1,1,1,1").unwrap();
        }
    }
    fs::write(&file, text).unwrap();
    let (found, errors) = read(&file, None);
    assert_eq!(found.len(), 6);
    assert!(
        errors.len() == 1 && is_too_many(&errors[0], "prompt"),
        "{errors:?}"
    );
    assert!(
        matches!(errors[0], Error::Row { line: 5, .. }),
        "{errors:?}"
    );
}

#[test]
fn a_cell_that_is_no_text_loses_its_row_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("votes.csv");
    fs::write(
        &file,
        b"index,model_a,model_b,human_winner\n1,a,b,1\n2,a,\xff\xfe,2\n3,a,b,tie\n",
    )
    .unwrap();
    let (found, errors) = read(&file, None);
    assert_eq!(found.len(), 2);
    assert!(
        matches!(&errors[..], [Error::Row { line: 3, field: Some(field), .. }] if field == "model_b"),
        "{errors:?}"
    );
}

#[test]
fn a_file_whose_first_record_is_broken_is_not_passed_over() {
    let pair = json!({"prompt": "p", "responses": ["a", "b"]}).to_string();
    let hhh = json!({"id": 1, "criterion": "c", "levels": [], "prompt": "p", "chosen": "a", "rejected": "b"})
        .to_string();
    let filtered = json!({"id": 1, "prompt": "p", "chosen": "a", "chosen_model": "m",
                          "rejected": "b", "rejected_model": "n", "subset": "s"})
    .to_string();
    let alpaca = json!({"instruction": "i", "chosen": "a", "rejected": "b"}).to_string();
    for good in [pair, hhh, filtered, alpaca] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.jsonl"), format!("{good}\n")).unwrap();
        fs::write(
            folder.path().join("b.jsonl"),
            format!("{{\"id\":\n{good}\n"),
        )
        .unwrap();
        fs::write(folder.path().join("c.json"), "not of the same kind").unwrap();
        fs::write(folder.path().join("empty.jsonl"), "").unwrap();
        let (found, errors) = read(folder.path(), None);
        assert_eq!(found.len(), 2, "{good}");
        assert!(
            matches!(&errors[..], [Error::Row { line: 1, file, .. }] if file.ends_with("b.jsonl")),
            "{good}: {errors:?}"
        );
    }
}

#[test]
fn a_named_file_of_a_named_format_is_read_whatever_its_first_record() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.jsonl");
    let good = json!({"id": 1, "criterion": "c", "levels": [], "prompt": "p", "chosen": "a", "rejected": "b"});
    fs::write(&file, format!("{{\n{good}\n")).unwrap();
    let (found, errors) = read(&file, Some(Format::HhhRubric));
    assert_eq!((found.len(), errors.len()), (1, 1));
}

#[test]
fn a_lost_part_names_its_file_and_the_next_one_follows() {
    let folder = tempfile::tempdir().unwrap();
    let item = json!({"input": "i", "output_1": "a", "output_2": "b", "label": 1});
    fs::write(folder.path().join("a.json"), format!("[{item}, {item}")).unwrap();
    fs::write(folder.path().join("b.json"), format!("[{item}]")).unwrap();
    let (found, errors) = read(folder.path(), None);
    assert_eq!(
        found
            .iter()
            .filter(|pair| pair.id.starts_with("b/"))
            .count(),
        1
    );
    assert_eq!(errors.len(), 1);
    assert!(
        !errors[0].is_row() && errors[0].to_string().contains("a.json"),
        "{}",
        errors[0]
    );
}

fn point(model: &str) -> Value {
    json!({"id": "q:1", "model": model, "instruction": "i", "response": model, "criterion": "c", "levels": []})
}

fn vicuna(folder: &Path, points: &str) {
    fs::write(folder.join("x.points.jsonl"), points).unwrap();
    let label = |one: &str, two: &str| json!({"id": "q:1", "criterion": "c", "model_1": one, "model_2": two, "label": 1});
    lines(
        &folder.join("x.pair_labels.jsonl"),
        &[label("a", "b"), label("a", "c")],
    );
}

#[test]
fn a_bad_answer_loses_the_pairs_it_stands_in_and_a_second_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut second = point("a");
    second["response"] = json!("another");
    let points = format!("{}\n{{\"id\"\n{}\n{}\n", point("a"), point("b"), second);
    vicuna(folder.path(), &points);
    let (found, errors) = read(folder.path(), None);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].responses[0].parts, ["a".into()]);
    let messages: Vec<String> = errors
        .iter()
        .map(|error| {
            assert!(error.is_row());
            format!("{error}: {}", std::error::Error::source(error).unwrap())
        })
        .collect();
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert!(
        messages[0].contains("points.jsonl, row at line 2"),
        "{}",
        messages[0]
    );
    assert!(
        messages[1].contains("line 4, field `model`: a second answer"),
        "{}",
        messages[1]
    );
    assert!(messages[2].contains("no answer by `c`"), "{}", messages[2]);
}

fn declared(folder: &Path, sets: &[(&str, &str, Value)]) {
    let mut info = json!({});
    for (name, file, records) in sets {
        let file_path = folder.join(file);
        fs::create_dir_all(file_path.parent().unwrap()).unwrap();
        fs::write(&file_path, records.to_string()).unwrap();
        info[*name] = json!({"file_name": file, "ranking": true, "formatting": "sharegpt"});
    }
    fs::write(folder.join("dataset_info.json"), info.to_string()).unwrap();
}

fn ranking(answers: [&str; 2]) -> Value {
    let said = |text: &str| json!({"from": "gpt", "value": text});
    json!({"conversations": [{"from": "human", "value": "h"}],
           "chosen": said(answers[0]), "rejected": said(answers[1])})
}

#[test]
fn a_generation_record_without_media_is_no_text_pair() {
    let folder = tempfile::tempdir().unwrap();
    let set = |task: &str| (format!("omni_{task}"), format!("{task}.json"));
    let names: Vec<_> = ["t2i", "t2v", "t2a", "t23d"].map(set).into();
    let sets: Vec<_> = names
        .iter()
        .map(|(name, file)| (name.as_str(), file.as_str(), json!([ranking(["p", "p"])])))
        .collect();
    declared(folder.path(), &sets);
    let (found, errors) = read(folder.path(), None);
    assert!(found.is_empty(), "{found:?}");
    let fields: Vec<_> = errors
        .iter()
        .map(|error| match error {
            Error::Row {
                field: Some(field),
                source: RowError::Missing,
                ..
            } => field.as_str(),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(
        fields,
        ["[0].images", "[0].audios", "[0].images", "[0].videos"]
    );
}

#[test]
fn pairs_are_of_the_task_that_their_part_is() {
    let folder = tempfile::tempdir().unwrap();
    let pictured = |mut record: Value| {
        record["images"] = json!(["a.png"]);
        record
    };
    let records = |record: Value| json!([record, pictured(ranking(["a", "b"]))]);
    declared(
        folder.path(),
        &[
            ("omni_t2t", "t2t.json", records(ranking(["a", "b"]))),
            (
                "omni_tv2t",
                "tv2t.json",
                records(pictured(ranking(["c", "d"]))),
            ),
        ],
    );
    let dataset = open(folder.path(), &OpenOptions::default()).unwrap();
    for part in dataset.parts() {
        for pair in part.open().unwrap().flatten() {
            assert_eq!(Some(pair.task), part.task);
        }
    }
    let (found, errors) = read(folder.path(), None);
    assert_eq!(
        found.iter().filter(|pair| pair.task == Task::TV2T).count(),
        2
    );
    assert_eq!((found.len(), errors.len()), (3, 1));
}

fn table(file: &Path) {
    let texts = |values: [&str; 6]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        (
            "id",
            Arc::new(Int64Array::from_iter_values(0..6)) as ArrayRef,
        ),
        ("prompt", texts(["p"; 6])),
        ("chosen", texts(["a", "b", "c", "d", "e", "f"])),
        ("chosen_model", texts(["m"; 6])),
        ("rejected", texts(["u", "v", "w", "x", "y", "z"])),
        ("rejected_model", texts(["n"; 6])),
    ])
    .unwrap();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(file).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Opens a folder with a damaged `a.parquet` and an undamaged `b.parquet`, and reads both.
fn survives(folder: &Path) {
    let options = OpenOptions {
        format: Some(Format::RewardBench),
        ..OpenOptions::default()
    };
    let dataset = open(folder, &options).unwrap();
    assert_eq!(dataset.fingerprint().unwrap().len(), 64);
    let rows: Vec<_> = dataset.pairs().take(1000).collect();
    let of_b = |pair: &PreferencePair| pair.id.starts_with("b/") || pair.id.len() == 1;
    let whole = rows.iter().flatten().filter(|pair| of_b(pair)).count();
    assert_eq!(whole, 6, "the undamaged file is read");
}

#[test]
fn no_damaged_byte_of_a_parquet_file_ends_more_than_its_reading() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.parquet");
    table(&folder.path().join("b.parquet"));
    table(&file);
    let whole = fs::read(&file).unwrap();
    for place in 0..whole.len() {
        // A sign or a kind, a length, and nonsense.
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[place] ^= change;
            fs::write(&file, &bytes).unwrap();
            survives(folder.path());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_damage_to_a_parquet_footer_ends_more_than_its_reading(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.parquet");
        table(&file);
        fs::copy(&file, folder.path().join("b.parquet")).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        let end = bytes.len() - 8;
        let footer = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap()) as usize;
        for (place, byte) in changes {
            bytes[end - footer + place.index(footer)] = byte;
        }
        fs::write(&file, &bytes).unwrap();
        survives(folder.path());
    }
}
