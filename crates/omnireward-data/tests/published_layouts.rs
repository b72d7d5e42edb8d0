//! Formats without real data here, on small files in exactly the layout that is published.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::Path, sync::Arc};

use arrow_array::{
    ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray,
    builder::{Int64Builder, ListBuilder, StringBuilder},
};
use arrow_schema::{DataType, Field};
use omnireward_core::{MediaSource, Part, Preference, PreferencePair, Task};
use omnireward_data::{Error, Format, OpenOptions, matching_formats, open};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

fn read(path: &Path) -> Vec<PreferencePair> {
    let dataset = open(path, &OpenOptions::default()).unwrap();
    let pairs: Vec<PreferencePair> = dataset.pairs().collect::<Result<_, _>>().unwrap();
    if let Some(rows) = dataset.rows() {
        assert_eq!(rows, pairs.len() as u64);
    }
    pairs
}

fn lines(file: &Path, records: &[Value]) {
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    fs::write(file, lines.join("\n")).unwrap();
}

fn parquet(file: &Path, columns: Vec<(&str, ArrayRef)>) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let out = fs::File::create(file).unwrap();
    let mut writer = ArrowWriter::try_new(out, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn string_lists(values: &[&[&str]]) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for list in values {
        for value in *list {
            builder.values().append_value(value);
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

fn number_lists(values: &[&[i64]]) -> ArrayRef {
    let mut builder = ListBuilder::new(Int64Builder::new());
    for list in values {
        builder.values().append_slice(list);
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// A hub `Image` column.
fn images(bytes: &[&[u8]], paths: &[&str]) -> ArrayRef {
    let bytes: ArrayRef = Arc::new(BinaryArray::from(bytes.to_vec()));
    Arc::new(StructArray::from(vec![
        (Arc::new(Field::new("bytes", DataType::Binary, true)), bytes),
        (
            Arc::new(Field::new("path", DataType::Utf8, true)),
            strings(paths),
        ),
    ]))
}

fn text(part: &Part) -> &str {
    part.as_text().unwrap()
}

fn answer(pair: &PreferencePair, side: usize) -> &str {
    text(&pair.responses[side].parts[0])
}

#[test]
fn vl_reward_bench() {
    let folder = tempfile::tempdir().unwrap();
    parquet(
        &folder.path().join("data/test-00000-of-00001.parquet"),
        vec![
            ("id", strings(&["RLAIF-V-7", "mathverse_3"])),
            (
                "query",
                strings(&["What is on the table?", "Solve it. <image>"]),
            ),
            (
                "response",
                string_lists(&[&["A cup.", "A dog."], &["4", "5"]]),
            ),
            ("image", images(&[b"first", b"second"], &["a.jpg", "b.jpg"])),
            ("human_ranking", number_lists(&[&[0, 1], &[1, 0]])),
            ("models", string_lists(&[&["x", "y"], &["y", "x"]])),
            ("judge", strings(&["gpt-4o", "gpt-4o"])),
            ("query_source", strings(&["rlaif-v", "mathverse"])),
            ("ground_truth", strings(&["", "5"])),
        ],
    );
    let pairs = read(folder.path());
    let labels: Vec<_> = pairs.iter().map(|pair| pair.label.unwrap()).collect();
    assert_eq!(labels, [Preference::First, Preference::Second]);
    let MediaSource::Bytes { bytes, name } = &pairs[0].prompt[0].as_media().unwrap().source else {
        panic!("{:?}", pairs[0].prompt[0]);
    };
    assert_eq!(
        (&bytes[..], name.as_deref()),
        (&b"first"[..], Some("a.jpg"))
    );
    // A query that holds the placeholder's words is words like any other.
    assert_eq!(text(&pairs[1].prompt[1]), "Solve it. <image>");
    assert_eq!(pairs[1].id, "mathverse_3");
    assert_eq!(pairs[1].extra["subset"], "reasoning");
    assert_eq!(pairs[0].extra["subset"], "hallucination");
    assert_eq!(pairs[1].extra["ground_truth"], "5");
    assert_eq!(pairs[0].responses[1].model.as_deref(), Some("y"));
    assert_eq!(pairs[0].source.as_deref(), Some("rlaif-v"));
}

#[test]
fn multimodal_reward_bench() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir_all(data.join("images/nocaps")).unwrap();
    let record = |id: &str, better: &str, category: &str| {
        json!({
            "ID": id, "Text": "Describe.", "Image": "images/nocaps/1.jpg", "Output1": "A teapot.",
            "Output2": "A cat.", "Better": better, "Category": category
        })
    };
    let records = json!([
        record("nocaps_1", "Output1", "open_generation/correctness_task"),
        record("PAIRS_2", "Output2", "safety"),
        record("mathvista_3", "Output2", "reasoning"),
    ]);
    fs::write(data.join("all_data.json"), records.to_string()).unwrap();
    fs::write(data.join("all_data_release.json"), records.to_string()).unwrap();
    let pairs = read(folder.path());
    let seen: Vec<_> = pairs
        .iter()
        .map(|pair| (pair.id.as_str(), pair.label.unwrap().name()))
        .collect();
    assert_eq!(
        seen,
        [
            ("nocaps_1", "first"),
            ("PAIRS_2", "second"),
            ("mathvista_3", "second")
        ]
    );
    let subsets: Vec<_> = pairs
        .iter()
        .map(|pair| pair.extra["subset"].as_str().unwrap())
        .collect();
    assert_eq!(
        subsets,
        [
            "open_generation/correctness_task",
            "safety/bias",
            "reasoning/math"
        ]
    );
    let MediaSource::File { path, .. } = &pairs[0].prompt[0].as_media().unwrap().source else {
        panic!("{:?}", pairs[0].prompt[0]);
    };
    assert_eq!(path, &data.join("images/nocaps/1.jpg"));
}

fn reward_bench_columns(prompts: &[&str]) -> Vec<(&'static str, ArrayRef)> {
    let fill = |value: &'static str| strings(&vec![value; prompts.len()]);
    let ids = Int64Array::from_iter_values(0..prompts.len() as i64);
    vec![
        ("prompt", strings(prompts)),
        ("chosen", fill("good")),
        ("chosen_model", fill("one")),
        ("rejected", fill("bad")),
        ("rejected_model", fill("two")),
        ("subset", fill("alpacaeval-easy")),
        ("id", Arc::new(ids)),
    ]
}

#[test]
fn reward_bench_is_its_filtered_split() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    parquet(
        &data.join("raw-00000-of-00001.parquet"),
        reward_bench_columns(&["p", "q", "r"]),
    );
    parquet(
        &data.join("filtered-00000-of-00001.parquet"),
        reward_bench_columns(&["p", "q"]),
    );
    let pairs = read(folder.path());
    assert_eq!(pairs.len(), 2);
    assert_eq!(pairs[1].id, "1");
    assert_eq!(text(&pairs[1].prompt[0]), "q");
    assert_eq!(
        (answer(&pairs[0], 0), answer(&pairs[0], 1)),
        ("good", "bad")
    );
    assert_eq!(pairs[0].responses[0].model.as_deref(), Some("one"));
    assert_eq!(pairs[0].source.as_deref(), Some("alpacaeval-easy"));
    // The raw split can still be read when it is named.
    assert_eq!(read(&data.join("raw-00000-of-00001.parquet")).len(), 3);
}

#[test]
fn reward_bench_2_pairs_each_chosen_with_each_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let record = |id: &str, subset: &str, chosen: &[&str], rejected: &[&str]| {
        json!({
            "id": id, "prompt": format!("question {id}"), "chosen": chosen, "rejected": rejected,
            "num_correct": chosen.len(), "num_incorrect": rejected.len(),
            "total_completions": chosen.len() + rejected.len(), "models": ["m"], "subset": subset,
            "additional_metadata": {"category": null}
        })
    };
    let file = folder.path().join("test.jsonl");
    lines(
        &file,
        &[
            record("17", "Math", &["right"], &["w1", "w2", "w3"]),
            record("ref:4", "Ties", &["red"], &["x", "y"]),
            record("tied:4", "Ties", &["red", "blue", "green"], &["x", "y"]),
        ],
    );
    let pairs = read(&file);
    assert_eq!(pairs.len(), 3 + 2 + 6);
    assert!(
        pairs
            .iter()
            .all(|pair| pair.label == Some(Preference::First))
    );
    let last = pairs.last().unwrap();
    assert_eq!((last.id.as_str(), last.cluster()), ("tied:4/2-1", "Ties/4"));
    assert_eq!((answer(last, 0), answer(last, 1)), ("green", "y"));
    assert_eq!(
        (&last.extra["chosen_index"], &last.extra["item"]),
        (&json!(2), &json!("tied:4"))
    );
    assert_eq!(last.extra["num_correct"], 3);
    assert_eq!(pairs[3].cluster(), "Ties/4");
    assert_eq!(pairs[0].cluster(), "Math/17");
}

#[test]
fn reward_bench_2_refuses_counts_that_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("test.jsonl");
    let record = json!({
        "id": "1", "prompt": "p", "chosen": ["a"], "rejected": ["b", "c"], "num_correct": 2,
        "subset": "Math"
    });
    lines(&file, &[record]);
    let error = open(&file, &OpenOptions::default())
        .unwrap()
        .pairs()
        .next()
        .unwrap()
        .unwrap_err();
    assert!(error.is_row());
    assert!(error.to_string().contains("field `num_correct`"), "{error}");
}

#[test]
fn reward_bench_2_as_parquet() {
    let folder = tempfile::tempdir().unwrap();
    parquet(
        &folder.path().join("data/test-00000-of-00001.parquet"),
        vec![
            ("id", strings(&["0"])),
            ("prompt", strings(&["p"])),
            ("chosen", string_lists(&[&["a"]])),
            ("rejected", string_lists(&[&["b", "c", "d"]])),
            ("num_correct", Arc::new(Int64Array::from(vec![1]))),
            ("num_incorrect", Arc::new(Int64Array::from(vec![3]))),
            ("total_completions", Arc::new(Int64Array::from(vec![4]))),
            ("models", string_lists(&[&["m", "m", "m", "m"]])),
            ("subset", strings(&["Factuality"])),
        ],
    );
    assert_eq!(matching_formats(folder.path()), [Format::RewardBench2]);
    let ids: Vec<String> = read(folder.path())
        .into_iter()
        .map(|pair| pair.id)
        .collect();
    assert_eq!(ids, ["0/0-0", "0/0-1", "0/0-2"]);
}

#[test]
fn rm_bench_as_one_array() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("total_dataset.json");
    let record = json!({
        "id": "chat/1", "prompt": "p", "chosen": ["a", "b", "c"], "rejected": ["x", "y", "z"],
        "domain": "chat"
    });
    fs::write(&file, json!([record, record]).to_string()).unwrap();
    let pairs = read(&file);
    assert_eq!(pairs.len(), 18);
    assert_eq!(pairs[3].id, "chat/1/1-0");
    assert_eq!((answer(&pairs[3], 0), answer(&pairs[3], 1)), ("b", "x"));
    assert_eq!(
        (&pairs[17].extra["row"], &pairs[17].extra["domain"]),
        (&json!(1), &json!("chat"))
    );
}

#[test]
fn judge_bench_under_its_published_names() {
    let folder = tempfile::tempdir().unwrap();
    let record = |id: &str, label: &str| {
        json!({
            "pair_id": id, "original_id": "10646", "source": "mmlu-pro-law", "question": "q",
            "response_model": "m", "response_A": "a", "response_B": "b", "label": label
        })
    };
    let name = |model: &str| format!("dataset=judgebench,response_model={model}.jsonl");
    lines(
        &folder.path().join(name("gpt-4o")),
        &[record("u1", "A>B"), record("u2", "B>A")],
    );
    lines(&folder.path().join(name("claude")), &[record("u3", "B>A")]);
    let pairs = read(folder.path());
    let seen: Vec<_> = pairs
        .iter()
        .map(|pair| (pair.id.as_str(), pair.label.unwrap().name()))
        .collect();
    assert_eq!(seen, [("u3", "second"), ("u1", "first"), ("u2", "second")]);
    assert_eq!(pairs[0].extra["original_id"], "10646");
}

#[test]
fn pandalm_without_judges() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("testset-v1.json");
    let record = |idx: u64, votes: [u64; 3]| {
        json!({
            "idx": idx, "motivation_app": "Gmail", "cmp_key": "bloom-7b_opt-7b", "instruction": "i",
            "input": "", "response1": "a", "response2": "b", "annotator1": votes[0],
            "annotator2": votes[1], "annotator3": votes[2]
        })
    };
    let records = json!([
        record(0, [1, 1, 2]),
        record(1, [0, 1, 2]),
        record(2, [2, 0, 2])
    ]);
    fs::write(&file, records.to_string()).unwrap();
    let labels: Vec<_> = read(&file).iter().map(|pair| pair.label.unwrap()).collect();
    assert_eq!(
        labels,
        [Preference::First, Preference::Tie, Preference::Second]
    );
}

#[test]
fn trl_with_an_explicit_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("train.jsonl");
    lines(
        &file,
        &[
            json!({"prompt": "The sky is", "chosen": " blue.", "rejected": " green.", "score": 3}),
            json!({
                "prompt": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Hello."},
                    {"role": "user", "content": "What colour is the sky?"}
                ],
                "chosen": [{"role": "assistant", "content": "Blue."}],
                "rejected": [{"role": "assistant", "content": "Green."}]
            }),
        ],
    );
    let pairs = read(&file);
    assert_eq!(text(&pairs[0].prompt[0]), "The sky is");
    assert_eq!(
        (answer(&pairs[0], 0), answer(&pairs[0], 1)),
        (" blue.", " green.")
    );
    assert_eq!(pairs[0].extra["score"], 3);
    assert_eq!(answer(&pairs[1], 1), "Green.");
    assert_eq!(
        omnireward_core::joined_text(&pairs[1].prompt),
        "User: Hi\nAssistant: Hello.\nUser: What colour is the sky?"
    );
    assert!(
        pairs
            .iter()
            .all(|pair| pair.task == Task::T2T && pair.criterion.is_none())
    );
}

#[test]
fn trl_with_an_implied_prompt() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("train.json");
    let user = json!({"role": "user", "content": "What colour is the sky?"});
    lines(
        &file,
        &[
            json!({"chosen": "The sky is blue.", "rejected": "The sky is green."}),
            json!({
                "chosen": [user, {"role": "assistant", "content": "Blue."}],
                "rejected": [user, {"role": "assistant", "content": "Green."}]
            }),
        ],
    );
    let pairs = read(&file);
    assert_eq!(text(&pairs[0].prompt[0]), "The sky is");
    assert_eq!(
        (answer(&pairs[0], 0), answer(&pairs[0], 1)),
        ("blue.", "green.")
    );
    assert_eq!(text(&pairs[1].prompt[0]), "What colour is the sky?");
    assert_eq!(
        (answer(&pairs[1], 0), answer(&pairs[1], 1)),
        ("Blue.", "Green.")
    );
}

#[test]
fn trl_with_a_prompt_beside_messages_that_repeat_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("train.jsonl");
    let side = |text: &str| json!([{"role": "user", "content": "Q"}, {"role": "assistant", "content": text}]);
    lines(
        &file,
        &[json!({"prompt": "Q", "chosen": side("yes"), "rejected": side("no")})],
    );
    let pairs = read(&file);
    assert_eq!(text(&pairs[0].prompt[0]), "Q");
    assert_eq!((answer(&pairs[0], 0), answer(&pairs[0], 1)), ("yes", "no"));
    assert_eq!(pairs[0].extra["published_prompt"], "Q");
}

#[test]
fn trl_with_images() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("train.jsonl");
    let content = json!([
        {"type": "text", "text": "Compare "}, {"type": "image"}, {"type": "text", "text": " with "},
        {"type": "image"}
    ]);
    let answer =
        |text: &str| json!([{"role": "assistant", "content": [{"type": "text", "text": text}]}]);
    lines(
        &file,
        &[
            json!({
                "prompt": [{"role": "user", "content": content}], "images": ["a.png", "b.png"],
                "chosen": answer("Same."), "rejected": answer("Other.")
            }),
            json!({"prompt": "What?", "chosen": "A cat.", "rejected": "A dog.", "images": ["c.png"]}),
        ],
    );
    let pairs = read(&file);
    let shape: Vec<String> = pairs[0]
        .prompt
        .iter()
        .map(|part| {
            part.as_text()
                .map_or_else(|| part.as_media().unwrap().name().into(), str::to_owned)
        })
        .collect();
    assert_eq!(shape, ["Compare ", "a.png", " with ", "b.png"]);
    assert_eq!(pairs[1].prompt[0].as_media().unwrap().name(), "c.png");
    assert!(pairs.iter().all(|pair| pair.task == Task::TI2T));
}

#[test]
fn trl_as_parquet_with_an_embedded_picture() {
    let folder = tempfile::tempdir().unwrap();
    parquet(
        &folder.path().join("data/train-00000-of-00001.parquet"),
        vec![
            ("prompt", strings(&["What is it?"])),
            ("chosen", strings(&["A cat."])),
            ("rejected", strings(&["A dog."])),
            ("image", images(&[b"pixels"], &["cat.png"])),
        ],
    );
    let pairs = read(folder.path());
    assert_eq!(pairs[0].task, Task::TI2T);
    let medium = pairs[0].prompt[0].as_media().unwrap();
    assert!(matches!(&medium.source, MediaSource::Bytes { bytes, .. } if bytes[..] == *b"pixels"));
}

#[test]
fn video_labels_make_pairs_when_a_caption_is_shared() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("labels.csv");
    fs::write(
        &file,
        "video,caption,human_semantic_adherence,human_physical_commonsense\n\
         a.mp4,It rains.,1,0\n\
         b.mp4,It rains.,0,0\n\
         c.mp4,It snows.,1,1\n",
    )
    .unwrap();
    let pairs = read(&file);
    let seen: Vec<_> = pairs
        .iter()
        .map(|pair| (pair.id.as_str(), pair.label.unwrap().name()))
        .collect();
    assert_eq!(
        seen,
        [
            ("semantic_adherence/a_vs_b", "first"),
            ("physical_commonsense/a_vs_b", "tie")
        ]
    );
    assert_eq!(pairs[0].cluster(), pairs[1].cluster());
    assert_ne!(pairs[0].criterion, pairs[1].criterion);
}

#[test]
fn a_bad_row_names_its_line_and_field_and_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, &str, &str, u64, &str); 6] = [
        (
            "judgebench.jsonl",
            r#"{"pair_id":"1","question":"q","response_A":"a","response_B":"b","label":"A>B"}"#,
            r#"{"pair_id":"2","question":"q","response_A":"a","response_B":"b","label":"A"}"#,
            2,
            "label",
        ),
        (
            "hhh.jsonl",
            r#"{"id":"1","criterion":"c","levels":[],"prompt":"p","chosen":"a","rejected":"b"}"#,
            r#"{"id":"2","criterion":"c","levels":[],"prompt":7,"chosen":"a","rejected":"b"}"#,
            2,
            "prompt",
        ),
        (
            "rankings.jsonl",
            r#"{"id":"1","prompt":"p","generations":["a","b"],"ranking":[1,2]}"#,
            r#"{"id":"2","prompt":"p","generations":["a","b"],"ranking":[1,2,3]}"#,
            2,
            "generations",
        ),
        (
            "speed.csv",
            "item,transcript_given,orders_swapped,ground_truth_original_order\n1,asr,0,1",
            "2,asr,0,3",
            3,
            "ground_truth_original_order",
        ),
        (
            "ratings.csv",
            "name,prompt,mos_quality,std_quality,mos_align,std_align\na.jpg,p,1,1,1,1\nc.jpg,p,2,1,1,1",
            "b.jpg,p,much,1,1,1",
            4,
            "mos_quality",
        ),
        (
            "pairs.jsonl",
            r#"{"id":1,"criterion":"c","audio_a":"a.wav","audio_b":"b.wav","transcript_a":"","preferred":"a"}"#,
            r#"{"id":2,"criterion":"c","audio_a":"../a.wav","audio_b":"b.wav","transcript_a":"","preferred":"a"}"#,
            2,
            "audio_a",
        ),
    ];
    for (name, good, bad, wanted_line, wanted_field) in cases {
        let file = folder.path().join(name);
        fs::write(&file, format!("{good}\n{bad}\n")).unwrap();
        let dataset = open(&file, &OpenOptions::default()).unwrap();
        let (pairs, errors): (Vec<_>, Vec<_>) = dataset.pairs().partition(Result::is_ok);
        assert!(!pairs.is_empty(), "{name}");
        let [Err(Error::Row { line, field, .. })] = &errors[..] else {
            panic!("{name}: {errors:?}");
        };
        assert_eq!(
            (*line, field.as_deref()),
            (wanted_line, Some(wanted_field)),
            "{name}"
        );
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn a_short_row_of_a_table_is_lost_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("votes.csv");
    fs::write(
        &file,
        "index,model_a,model_b,human_winner\n1,a,b,1\n2,a\n3,a,b,tie\n",
    )
    .unwrap();
    let dataset = open(&file, &OpenOptions::default()).unwrap();
    let rows: Vec<_> = dataset.pairs().collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].as_ref().unwrap().label, Some(Preference::First));
    assert!(
        matches!(rows[1], Err(Error::Row { line: 3, .. })),
        "{:?}",
        rows[1]
    );
    assert_eq!(rows[2].as_ref().unwrap().label, Some(Preference::Tie));
}
