//! The sources of Omni-RewardData in the layouts in which they are published: what becomes of their rows, what is refused,
//! and that an import that was stopped ends in the same bytes.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use omnireward_core::{MediaSource, NoProgress, Part, Preference, PreferencePair, Progress, Task};
use omnireward_data::{
    Error, OpenOptions, matching_formats, open,
    sources::{ImportOptions, Imported, SOURCES, Source, import},
};
use omnireward_testkit::published_sources;
use serde_json::{Value, json};

const PAIRS: u64 = 40;

fn published(name: &str, pairs: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    published_sources::write_with_media(folder.path(), name, pairs, 7);
    folder
}

fn read(source: &Source, path: &Path) -> Vec<PreferencePair> {
    let dataset = source.open(path, &OpenOptions::default()).unwrap();
    dataset.pairs().collect::<Result<_, _>>().unwrap()
}

fn imported(name: &str, input: &Path, out: &Path, options: &ImportOptions) -> Imported {
    let source = Source::named(name).unwrap();
    import(Some(source), &[input.to_owned()], out, options, &NoProgress).unwrap()
}

fn media(pair: &PreferencePair) -> impl Iterator<Item = &omnireward_core::MediaRef> {
    let responses = pair.responses.iter().flat_map(|response| &response.parts);
    pair.prompt
        .iter()
        .chain(responses)
        .filter_map(Part::as_media)
}

#[test]
fn every_source_is_generated_and_every_generated_one_is_a_source() {
    let known: BTreeSet<&str> = SOURCES.iter().map(|source| source.name).collect();
    assert_eq!(known, published_sources::NAMES.into());
    let total: u64 = published_sources::PUBLISHED_PAIRS
        .iter()
        .map(|(_, pairs)| pairs)
        .sum();
    assert_eq!(total, 317_382);
}

#[test]
fn every_source_gives_its_pairs_with_their_media() {
    for source in &SOURCES {
        let folder = published(source.name, PAIRS);
        let pairs = read(source, folder.path());
        assert_eq!(pairs.len() as u64, PAIRS, "{}", source.name);
        let ids: BTreeSet<&str> = pairs.iter().map(|pair| pair.id.as_str()).collect();
        assert_eq!(ids.len(), pairs.len(), "{}: ids repeat", source.name);
        for pair in &pairs {
            pair.validate().unwrap();
            assert_eq!(pair.task, source.task, "{}", source.name);
            assert!(pair.label.is_some() && pair.group.is_some());
            let rewritten = source.name.starts_with("omni_");
            assert_eq!(pair.criterion.is_some(), rewritten, "{}", source.name);
            let expected = match pair.task {
                Task::T2T => 0,
                Task::TI2T => 1,
                _ => 2,
            };
            assert_eq!(media(pair).count(), expected, "{}", source.name);
            for medium in media(pair) {
                if let MediaSource::File { path, name } = &medium.source {
                    assert!(path.is_file(), "{}: `{name}` is not found", source.name);
                }
            }
        }
    }
}

#[test]
fn every_source_is_recognised_by_its_content_alone() {
    for source in &SOURCES {
        let folder = published(source.name, 6);
        assert_eq!(
            matching_formats(folder.path()),
            [source.format],
            "{}",
            source.name
        );
        if let Some(only) = Source::of(source.format) {
            assert_eq!(only.name, source.name);
        }
    }
}

#[test]
fn the_preferred_side_is_the_one_that_the_layout_prefers() {
    let record = |folder: &Path, file: &str| -> Value {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let preferred = |pair: &PreferencePair| match pair.label.unwrap() {
        Preference::First => 0,
        Preference::Second => 1,
        Preference::Tie => panic!("a tie"),
    };

    let folder = published("hpdv2", PAIRS);
    let rows = record(folder.path(), "train.json");
    for (pair, row) in read(Source::named("hpdv2").unwrap(), folder.path())
        .iter()
        .zip(rows.as_array().unwrap())
    {
        assert_eq!(row["human_preference"][preferred(pair)], 1);
        assert_eq!(
            pair.responses[0].parts[0].as_media().unwrap().name(),
            row["file_path"][0]
        );
    }

    let folder = published("evalmuse", PAIRS);
    let rows = record(folder.path(), "train_list.json");
    let mean = |name: &str| {
        let row = rows
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["img_path"] == name)
            .unwrap();
        let scores = row["total_score"].as_array().unwrap();
        scores
            .iter()
            .map(|score| score.as_f64().unwrap())
            .sum::<f64>()
    };
    for pair in read(Source::named("evalmuse").unwrap(), folder.path()) {
        let side = |side: usize| mean(pair.responses[side].parts[0].as_media().unwrap().name());
        assert!(side(preferred(&pair)) > side(1 - preferred(&pair)));
        assert_eq!(pair.extra["details"][0]["type"], "real");
    }

    let folder = published("videodpo", PAIRS);
    for pair in read(Source::named("videodpo").unwrap(), folder.path()) {
        let winner = pair.responses[preferred(&pair)].parts[0]
            .as_media()
            .unwrap();
        assert!(winner.name().starts_with("winvideos/"));
        assert_eq!(pair.extra["published_label"], 0);
    }

    let folder = published("omni_t2i_oip", PAIRS);
    let pairs = read(Source::named("omni_t2i_oip").unwrap(), folder.path());
    for scene in pairs.chunks(2) {
        assert_eq!(scene[0].group, scene[1].group);
        assert_ne!(scene[0].criterion, scene[1].criterion);
        assert_eq!(
            scene[0].responses[0], scene[1].responses[1],
            "the second criterion prefers the other"
        );
    }
}

#[test]
fn ratings_of_answers_become_all_their_pairs() {
    for name in ["ultrafeedback", "vlfeedback"] {
        let folder = published(name, 6 * 50);
        let pairs = read(Source::named(name).unwrap(), folder.path());
        let mut balance = BTreeMap::new();
        for pair in &pairs {
            let [one, other] = [0, 1].map(|side| pair.extra["ratings"][side].as_f64().unwrap());
            let expected = Preference::from_lower(-one, -other);
            assert_eq!(pair.label, Some(expected), "{name}: {}", pair.id);
            *balance.entry(format!("{expected:?}")).or_insert(0) += 1;
            assert!(pair.responses[0].model.is_some());
            assert!(pair.extra["details"][0].get("annotations").is_some());
        }
        assert!(
            balance.values().all(|count| *count > 10),
            "{name}: {balance:?}"
        );
    }
}

#[test]
fn an_answer_without_a_rating_is_named_and_one_alone_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let completion = |model: &str, rating: &str| json!({"model": model, "response": model, "annotations": {"helpfulness": {"Rating": rating}}});
    let row = |ratings: [&str; 3]| {
        let completions: Vec<Value> = ["a", "b", "c"]
            .iter()
            .zip(ratings)
            .map(|(model, rating)| completion(model, rating))
            .collect();
        json!({"source": "flan", "instruction": "i", "models": ["a", "b", "c"], "completions": completions}).to_string()
    };
    let rows = [row(["1", "N/A", "2"]), row(["1", "N/A", "N/A"])].join("\n");
    fs::write(folder.path().join("flan.jsonl"), rows).unwrap();
    let source = Source::named("ultrafeedback").unwrap();
    let dataset = source.open(folder.path(), &OpenOptions::default()).unwrap();
    let rows: Vec<_> = dataset.pairs().collect();
    let pair = rows[0].as_ref().unwrap();
    assert_eq!(pair.id, "0/0_vs_2");
    assert_eq!(
        (pair.label, &pair.extra["unrated"]),
        (Some(Preference::Second), &json!(["b"]))
    );
    assert_eq!(
        (&pair.extra["origin"], &pair.extra["published_models"]),
        (&json!("flan"), &json!(["a", "b", "c"]))
    );
    let error = rows[1].as_ref().unwrap_err();
    assert!(
        matches!(error, Error::Row { line: 2, field: Some(field), .. } if field == "completions"),
        "{error}"
    );
}

#[test]
fn tables_of_the_datasets_library_hold_answers_as_lists_of_fields() {
    let folder = tempfile::tempdir().unwrap();
    let aspect = |rating: &str| json!({"Helpfulness": {"Rating": rating, "Rationale": "r"}});
    let row = json!({
        "id": "x", "prompt": "p", "models": ["a", "b"], "img_path": "pictures/x.jpg",
        "completions": {"annotations": [aspect("2"), aspect("3")], "model": ["a", "b"], "response": ["r", "s"]},
    });
    fs::write(folder.path().join("x.jsonl"), row.to_string()).unwrap();
    let pair = read(Source::named("vlfeedback").unwrap(), folder.path()).remove(0);
    assert_eq!(pair.label, Some(Preference::Second));
    assert_eq!(media(&pair).next().unwrap().name(), "pictures/x.jpg");
}

#[test]
fn a_missing_column_is_named_with_those_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let write = |row: &Value| {
        let file = folder.path().join("data.json");
        fs::write(&file, json!([row]).to_string()).unwrap();
        file
    };
    let cases = [
        (
            "hpdv2",
            json!({"prompt": "p", "file_path": ["a", "b"]}),
            "human_preference",
        ),
        (
            "evalmuse",
            json!({"prompt_id": "1", "prompt": "p", "img_path": "a"}),
            "total_score",
        ),
        (
            "videodpo",
            json!({"video1": 0, "video2": 1}),
            "frame_caption",
        ),
        (
            "visionreward",
            json!({"prompt": "p", "video1_path": "a", "video2_path": "b"}),
            "standard_answer",
        ),
        ("ultrafeedback", json!({"instruction": "i"}), "completions"),
        (
            "vlfeedback",
            json!({"id": "x", "prompt": "p", "completions": [{}]}),
            "models",
        ),
        (
            "rlaifv",
            json!({"image": "a", "chosen": "a", "rejected": "b"}),
            "question",
        ),
        (
            "omnialign",
            json!({"prompt": "p", "chosen": "a", "rejected": "b"}),
            "image",
        ),
        (
            "skywork_reward",
            json!({"prompt": "p", "chosen": "a"}),
            "rejected",
        ),
        (
            "open_image_preferences",
            json!({"prompt": "p", "chosen": "a"}),
            "rejected",
        ),
        (
            "omni_t2i_hpd",
            json!({"conversations": [{}], "chosen": {}}),
            "rejected",
        ),
    ];
    for (name, row, expected) in cases {
        let file = write(&row);
        for path in [file.as_path(), folder.path()] {
            let source = Source::named(name).unwrap();
            let error = source.open(path, &OpenOptions::default()).unwrap_err();
            assert!(
                matches!(&error, Error::MissingColumn { column, .. } if column == expected),
                "{name}: {error}"
            );
        }
    }
}

#[test]
fn what_is_wrong_with_a_clip_or_a_picture_is_a_row_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let clips = json!([{"basic": {"clip_path": "a.mp4"}}, {"basic": {}}, "?", {"basic": {"clip_path": "../b.mp4"}}]);
    fs::write(folder.path().join("metadata.json"), clips.to_string()).unwrap();
    let pair = |one: i64, other: i64| json!({"video1": one, "video2": other, "frame_caption": "c"});
    let rows = [
        pair(0, 0),
        pair(0, 1),
        pair(2, 0),
        pair(0, 3),
        pair(0, 4),
        pair(-1, 0),
    ];
    fs::write(folder.path().join("pair.json"), json!(rows).to_string()).unwrap();
    let dataset = open(folder.path(), &OpenOptions::default()).unwrap();
    let found: Vec<_> = dataset.pairs().collect();
    assert!(found[0].is_ok());
    let words = [
        "has no `basic.clip_path`",
        "has no `basic.clip_path`",
        "is refused",
        "clip 4 of 4",
        "a position",
    ];
    for (row, words) in found[1..].iter().zip(words) {
        let error = row.as_ref().unwrap_err();
        let cause = std::error::Error::source(error).unwrap().to_string();
        assert!(cause.contains(words), "{cause}");
    }
    fs::remove_file(folder.path().join("metadata.json")).unwrap();
    let error = open(folder.path(), &OpenOptions::default())
        .unwrap()
        .pairs()
        .next()
        .unwrap()
        .unwrap_err();
    assert!(error.to_string().contains("metadata.json"), "{error}");
}

#[test]
fn a_benchmarks_split_is_read_only_when_it_is_named() {
    let folder = published("hpdv2", 3);
    let test = json!([{"prompt": "p", "image_path": ["a.jpg", "b.jpg", "c.jpg"], "rank": [1.5, 2.5, 1.5], "raw_annotations": []}]);
    fs::write(folder.path().join("test.json"), test.to_string()).unwrap();
    let source = Source::named("hpdv2").unwrap();
    assert_eq!(read(source, folder.path()).len(), 3);
    let labels: Vec<_> = read(source, &folder.path().join("test.json"))
        .iter()
        .map(|pair| pair.label.unwrap())
        .collect();
    assert_eq!(
        labels,
        [Preference::First, Preference::Tie, Preference::Second]
    );
}

#[test]
fn a_picture_that_has_its_prompt_alone_is_refused() {
    let folder = published("evalmuse", 2);
    let file = folder.path().join("train_list.json");
    let mut rows: Vec<Value> = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    rows.pop();
    fs::write(&file, json!(rows).to_string()).unwrap();
    let dataset = open(folder.path(), &OpenOptions::default()).unwrap();
    let (good, bad): (Vec<_>, Vec<_>) = dataset.pairs().partition(Result::is_ok);
    assert_eq!((good.len(), bad.len()), (1, 1));
    let alone = bad[0].as_ref().unwrap_err();
    let cause = std::error::Error::source(alone).unwrap().to_string();
    assert!(alone.is_row() && cause.contains("alone"), "{cause}");
}

#[test]
fn the_whole_of_omni_reward_data_is_one_dataset() {
    let folder = tempfile::tempdir().unwrap();
    for source in SOURCES
        .iter()
        .filter(|source| source.name.starts_with("omni_"))
    {
        published_sources::write_with_media(folder.path(), source.name, 4, 1);
    }
    let dataset = open(folder.path(), &OpenOptions::default()).unwrap();
    assert_eq!(dataset.rows(), Some(24));
    let mut counts = BTreeMap::new();
    for pair in dataset.pairs() {
        *counts.entry(pair.unwrap().source.unwrap()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 6);
    assert!(counts.values().all(|count| *count == 4), "{counts:?}");
    // One subset of it, by name or by its folder.
    let source = Source::named("omni_ti2t_rlaifv").unwrap();
    let by_name = read(source, folder.path());
    let by_folder = read(source, &folder.path().join("Omni-RLAIF-V"));
    assert_eq!(by_name, by_folder);
    assert_eq!(by_name.len(), 4);
    assert!(
        media(&by_name[0]).all(
            |medium| matches!(&medium.source, MediaSource::File { path, .. } if path.is_file())
        )
    );
}

#[test]
fn an_import_reads_back_as_what_was_read() {
    for source in &SOURCES {
        let (from, out) = (published(source.name, 13), tempfile::tempdir().unwrap());
        let summary = imported(
            source.name,
            from.path(),
            out.path(),
            &ImportOptions::default(),
        );
        assert_eq!(
            (summary.pairs, summary.rows_refused()),
            (13, 0),
            "{}",
            source.name
        );
        assert_eq!(summary.first + summary.second + summary.ties, 13);
        assert!(summary.rows_read > 0 && summary.lost.is_empty());
        let before = read(source, from.path());
        let after: Vec<PreferencePair> = open(out.path(), &OpenOptions::default())
            .unwrap()
            .pairs()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(summary.missing_media, 0, "{}", source.name);
        for (one, other) in before.into_iter().zip(after) {
            let one = source.attributed(one);
            assert!(
                other.id.starts_with(&format!("{}/", source.name)),
                "{}",
                other.id
            );
            assert_eq!(other.source.as_deref(), Some(source.name));
            assert_eq!(
                (&one.id, one.task, &one.group, &one.label),
                (&other.id, other.task, &other.group, &other.label)
            );
            assert_eq!(
                (&one.extra, &one.criterion),
                (&other.extra, &other.criterion),
                "{}",
                source.name
            );
            let bytes = |pair: &PreferencePair| -> Vec<Vec<u8>> {
                media(pair)
                    .map(|medium| match &medium.source {
                        MediaSource::File { path, .. } => fs::read(path).unwrap(),
                        MediaSource::Bytes { bytes, .. } => bytes.to_vec(),
                        other => panic!("{other:?}"),
                    })
                    .collect()
            };
            assert_eq!(bytes(&one), bytes(&other), "{}", source.name);
        }
    }
}

#[test]
fn embedded_pictures_are_written_once_and_called_by_their_content() {
    let (from, out) = (published("rlaifv", PAIRS), tempfile::tempdir().unwrap());
    imported("rlaifv", from.path(), out.path(), &ImportOptions::default());
    let files: Vec<PathBuf> = out
        .path()
        .join("media")
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 16, "the generated set has 16 pictures");
    for file in files {
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        assert_eq!(stem.len(), 24, "the beginning of a SHA-256");
        assert_eq!(file.extension().unwrap(), "png");
    }
}

#[test]
fn media_are_shared_unless_copies_are_asked_for() {
    use std::os::unix::fs::MetadataExt;
    for copy_media in [false, true] {
        let (from, out) = (published("visionreward", 3), tempfile::tempdir().unwrap());
        let options = ImportOptions {
            copy_media,
            ..ImportOptions::default()
        };
        imported("visionreward", from.path(), out.path(), &options);
        let name = "videos/00000000_a.mp4";
        let [original, placed] = [from.path().join(name), out.path().join("media").join(name)];
        let [original, placed] = [original, placed].map(|file| file.metadata().unwrap().ino());
        assert_eq!(original != placed, copy_media);
    }
}

#[test]
fn media_that_are_not_there_are_counted_and_keep_their_names() {
    let (from, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    published_sources::write(from.path(), "hpdv2", 5, 1);
    let summary = imported("hpdv2", from.path(), out.path(), &ImportOptions::default());
    assert_eq!((summary.media, summary.missing_media), (0, 10));
    let text = fs::read_to_string(out.path().join("pairs.jsonl")).unwrap();
    assert!(text.contains(r#""path":"00000000_a.jpg""#), "{text}");
}

#[test]
fn bad_rows_are_counted_by_reason_with_the_first_of_each() {
    let (from, out) = (published("hpdv2", 4), tempfile::tempdir().unwrap());
    let file = from.path().join("train.json");
    let mut rows: Vec<Value> = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    rows[1] = json!({"prompt": "p", "file_path": ["../a", "b"], "human_preference": [1, 0]});
    rows[2] = json!("not a record");
    rows.push(json!({"prompt": "p", "file_path": ["/a", "b"], "human_preference": [1, 0]}));
    fs::write(&file, serde_json::to_string_pretty(&rows).unwrap()).unwrap();
    let summary = imported("hpdv2", from.path(), out.path(), &ImportOptions::default());
    assert_eq!(
        (summary.rows_read, summary.pairs, summary.rows_refused()),
        (5, 2, 3)
    );
    let refused: Vec<(&str, u64)> = summary
        .refused
        .iter()
        .map(|(reason, refusals)| (reason.as_str(), refusals.rows))
        .collect();
    assert_eq!(
        refused,
        [
            ("`[].file_path`: a refused path", 2),
            ("`[]`: of another type", 1)
        ]
    );
    assert!(
        summary.refused["`[].file_path`: a refused path"]
            .first
            .contains("`../a`")
    );

    let strict = ImportOptions {
        strict: true,
        ..ImportOptions::default()
    };
    let source = Source::named("hpdv2").unwrap();
    let other = tempfile::tempdir().unwrap();
    let error = import(
        Some(source),
        &[from.path().to_owned()],
        other.path(),
        &strict,
        &NoProgress,
    )
    .unwrap_err();
    assert!(error.is_row(), "{error}");
}

/// Stops the import by a panic at some pair, as a kill would: nothing is put in order.
struct StopAt(std::sync::atomic::AtomicU64);

impl Progress for StopAt {
    fn begin(&self, _stage: &str, _total: Option<u64>) {}
    fn advance(&self, steps: u64, _note: &str) {
        let before = self
            .0
            .fetch_sub(steps, std::sync::atomic::Ordering::Relaxed);
        assert!(before > steps, "stopped");
    }
    fn end(&self) {}
}

fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in next.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn a_stopped_import_goes_on_to_the_same_bytes() {
    for name in ["rlaifv", "vlfeedback"] {
        let from = published(name, 900);
        let (whole, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let expected = imported(name, from.path(), whole.path(), &ImportOptions::default());
        let source = Source::named(name).unwrap();
        for at in [1, 300, 700] {
            let result = std::panic::catch_unwind(|| {
                let stop = StopAt(at.into());
                import(
                    Some(source),
                    &[from.path().to_owned()],
                    stopped.path(),
                    &ImportOptions::default(),
                    &stop,
                )
            });
            assert!(result.is_err(), "it was stopped");
            assert!(!stopped.path().join("pairs.jsonl").exists());
            // A kill may tear the last line.
            let part = stopped.path().join("pairs.jsonl.part");
            let mut text = fs::read(&part).unwrap();
            text.extend_from_slice(b"{\"id\": \"torn");
            fs::write(&part, text).unwrap();
        }
        let found = imported(name, from.path(), stopped.path(), &ImportOptions::default());
        assert_eq!(found, expected);
        assert_eq!(tree(stopped.path()), tree(whole.path()));
        // Once more is not once again.
        assert_eq!(
            imported(name, from.path(), stopped.path(), &ImportOptions::default()),
            expected
        );
    }
}

#[test]
fn another_import_into_the_same_folder_is_refused() {
    let (from, out) = (published("hpdv2", 3), tempfile::tempdir().unwrap());
    imported("hpdv2", from.path(), out.path(), &ImportOptions::default());
    let source = Source::named("hpdv2").unwrap();
    let again = |options: &ImportOptions, input: &Path| {
        import(
            Some(source),
            &[input.to_owned()],
            out.path(),
            options,
            &NoProgress,
        )
        .unwrap_err()
    };
    let limited = ImportOptions {
        limit: Some(1),
        ..ImportOptions::default()
    };
    let other = published("hpdv2", 2);
    for (error, what) in [
        (again(&limited, from.path()), "limit"),
        (again(&ImportOptions::default(), other.path()), "input"),
    ] {
        assert!(
            matches!(&error, Error::OtherImport { what: found, .. } if *found == what),
            "{error}"
        );
    }
    let occupied = tempfile::tempdir().unwrap();
    fs::write(occupied.path().join("pairs.jsonl"), "").unwrap();
    let result = import(
        Some(source),
        &[from.path().to_owned()],
        occupied.path(),
        &limited,
        &NoProgress,
    );
    assert!(matches!(result, Err(Error::Occupied { .. })));
}

#[test]
fn a_limit_and_several_inputs_count_pairs_of_all() {
    let (one, two) = (published("hpdv2", 3), published("hpdv2", 4));
    let source = Source::named("hpdv2").unwrap();
    let inputs = [one.path().to_owned(), two.path().to_owned()];
    let made = |limit| {
        let out = tempfile::tempdir().unwrap();
        let options = ImportOptions {
            limit,
            ..ImportOptions::default()
        };
        import(Some(source), &inputs, out.path(), &options, &NoProgress)
            .unwrap()
            .pairs
    };
    assert_eq!((made(None), made(Some(5)), made(Some(0))), (7, 5, 0));
}

#[test]
fn any_known_format_can_be_imported() {
    let (from, out) = (published("evalmuse", 3), tempfile::tempdir().unwrap());
    let inputs = [from.path().to_owned()];
    let summary = import(
        None,
        &inputs,
        out.path(),
        &ImportOptions::default(),
        &NoProgress,
    )
    .unwrap();
    assert_eq!(summary.pairs, 3);
    let text = fs::read_to_string(out.path().join("pairs.jsonl")).unwrap();
    assert!(text.contains(r#""source":"evalmuse""#));
}

#[test]
fn the_same_seed_gives_the_same_files() {
    let [one, two, other] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    for name in published_sources::NAMES {
        published_sources::write(one.path(), name, 9, 3);
        published_sources::write(two.path(), name, 9, 3);
        published_sources::write(other.path(), name, 9, 4);
    }
    assert_eq!(tree(one.path()), tree(two.path()));
    assert_ne!(tree(one.path()), tree(other.path()));
}
