//! Twenty-six planted defects give twenty-six findings with the right codes, and nothing else; clean
//! sets give none.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

use std::path::PathBuf;

use omnireward_core::{
    Criterion, MediaRef, MediaSource, Modality, NoProgress, Part, Preference, PreferencePair,
    Response, Task,
};
use omnireward_curate::lint::{Code, Finding, LintConfig, LintReport, fix, lint};
use omnireward_data::{
    OpenOptions, open,
    synth::{SynthConfig, synthesise},
};
use omnireward_media::{RgbImage, audio::Waveform, image::encode_png};
use omnireward_testkit::real_data;

fn check(pairs: &[PreferencePair]) -> LintReport {
    let rows = pairs.iter().cloned().map(Ok);
    lint(rows, &LintConfig::default(), &NoProgress, None)
}

/// Generated pairs of all tasks with media, and long answers in English.
fn clean() -> Vec<PreferencePair> {
    let config = SynthConfig {
        seed: 5,
        scenes: 6,
        criteria: 3,
        tasks: Task::ALL
            .into_iter()
            .filter(|task| *task != Task::T2T)
            .collect(),
        ..SynthConfig::default()
    };
    let mut pairs: Vec<PreferencePair> = synthesise(&config).collect();
    pairs.extend((0..60).map(essay));
    pairs
}

fn essay(number: usize) -> PreferencePair {
    let things = [
        "a garden",
        "a bicycle",
        "a violin",
        "a harbour",
        "a bakery",
        "a library",
    ];
    let thing = things[number % things.len()];
    let answer = |style: &str| {
        Response::text(format!(
            "Looking after {thing} takes patience, and this is answer number {number} about it. The {style} \
             way is to begin with what is oldest, to write down what was done, and to ask a neighbour for \
             help before anything breaks. Afterwards there is time to enjoy it."
        ))
    };
    PreferencePair::new(
        format!("essay-{number}"),
        Task::T2T,
        format!("How should somebody look after {thing} when there are only {number} days left?"),
        [answer("careful"), answer("quick")],
    )
    .with_criterion("Prefers the advice that is easier to follow.")
    .with_label(if number.is_multiple_of(2) {
        Preference::First
    } else {
        Preference::Second
    })
}

#[test]
fn a_clean_set_gives_nothing() {
    let report = check(&clean());
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert!(report.rows > 150);
}

#[test]
fn real_files_that_are_clean_give_nothing() {
    for (path, ignored) in [
        ("image/mjbench_objects", vec![]),
        ("image/imagereward_demo", vec![]),
        ("audio/speed", vec![]),
        ("video/videoalign", vec![]),
        // What people and models really wrote: some of it stops in the middle, and answers differ in length by a
        // hundred times.
        (
            "text/llmbar",
            vec![Code::TruncatedResponse, Code::LengthOutlier],
        ),
    ] {
        let Some(path) = real_data(path) else {
            return;
        };
        let dataset = open(&path, &OpenOptions::default()).unwrap();
        let config = LintConfig {
            ignored,
            ..LintConfig::default()
        };
        let report = lint(dataset.pairs(), &config, &NoProgress, None);
        let found = &report.findings;
        assert!(found.is_empty(), "{}: {found:#?}", path.display());
        assert!(report.rows > 0);
    }
}

#[test]
fn every_planted_defect_is_found_once_and_nothing_else_is() {
    let mut pairs = clean();
    let mut planted = Vec::new();
    for (code, pair) in defects() {
        // After every second of the last clean rows, so that each stands between two clean ones.
        let row = pairs.len() - 58 + planted.len();
        pairs.insert(row, pair);
        planted.push((row as u64 + 1, code));
    }
    let found: Vec<(u64, Code)> = check(&pairs)
        .findings
        .iter()
        .map(|finding| (finding.row.unwrap(), finding.code))
        .collect();
    planted.sort();
    assert_eq!(found, planted);
    assert!(planted.len() >= 26);
}

#[test]
fn rows_that_cannot_be_read_and_labels_of_one_side_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pairs.jsonl");
    let mut text = String::new();
    for number in 0..120 {
        let line = serde_json::json!({
            "id": number.to_string(), "task": "T2T", "prompt": format!("Question {number}?"),
            "responses": [format!("Yes, {number}."), format!("No, {number}.")], "label": "first",
        });
        text += &line.to_string();
        text.push('\n');
    }
    text.push_str("{\"id\": \"broken\"\n");
    std::fs::write(&file, text).unwrap();
    let dataset = open(&file, &OpenOptions::default()).unwrap();
    let report = lint(dataset.pairs(), &LintConfig::default(), &NoProgress, None);
    let found: Vec<(Option<u64>, Code)> = report.findings.iter().map(|f| (f.row, f.code)).collect();
    assert_eq!(
        found,
        [
            (Some(121), Code::UnreadableRow),
            (None, Code::OneSidedLabels)
        ]
    );
}

/// What is found without looking into media, by rows.
fn without_media(pairs: &[PreferencePair]) -> Vec<(u64, Code)> {
    let config = LintConfig {
        decode_media: false,
        ..LintConfig::default()
    };
    let rows = pairs.iter().cloned().map(Ok);
    let report = lint(rows, &config, &NoProgress, None);
    let findings = report.findings.iter();
    findings.map(|f| (f.row.unwrap(), f.code)).collect()
}

#[test]
fn media_without_a_name_are_told_apart_when_they_are_not_decoded() {
    let unnamed = |seed| MediaRef {
        modality: Modality::Image,
        source: MediaSource::Bytes {
            bytes: png(seed).into(),
            name: None,
        },
    };
    let of = |id: &str, seeds: [u8; 2]| {
        let mut pair = generation(Task::T2I, id, seeds.map(unnamed));
        pair.prompt = vec![Part::from("a boat")];
        pair
    };
    let pairs = [of("a", [1, 2]), of("b", [3, 4]), of("c", [1, 2])];
    assert_eq!(without_media(&pairs), [(3, Code::DuplicatePair)]);
    // Files are not read, and one name may stand for two of them.
    let folder = tempfile::tempdir().unwrap();
    let files = |id: &str| {
        let files = ["a", "b"].map(|name| {
            let path = folder.path().join(format!("{id}-{name}.png"));
            std::fs::write(&path, png(id.as_bytes()[0])).unwrap();
            MediaRef {
                modality: Modality::Image,
                source: MediaSource::File {
                    path,
                    name: "same.png".to_owned(),
                },
            }
        });
        let mut pair = generation(Task::T2I, id, files);
        pair.prompt = vec![Part::from("a boat")];
        pair
    };
    assert!(without_media(&[files("x"), files("y")]).is_empty());
}

#[test]
fn what_is_ignored_keeps_a_row_from_no_other_check() {
    let cut = |id: &str| {
        let mut pair = essay(1);
        id.clone_into(&mut pair.id);
        let words = "The answer goes on and explains what it means at some length. That is why the";
        pair.responses[0] = Response::text(words);
        pair
    };
    let pairs = [cut("a"), cut("b")];
    let found = |ignored: Vec<Code>| {
        let config = LintConfig {
            ignored,
            ..LintConfig::default()
        };
        let rows = pairs.iter().cloned().map(Ok);
        let report = lint(rows, &config, &NoProgress, None);
        let codes = report.findings.iter().map(|finding| finding.code);
        codes.collect::<Vec<_>>()
    };
    assert_eq!(found(vec![]), [Code::TruncatedResponse; 2]);
    assert_eq!(found(vec![Code::TruncatedResponse]), [Code::DuplicatePair]);
}

#[test]
fn a_row_without_a_label_or_with_a_remote_medium_is_compared_with_others() {
    let unlabelled = |id: &str| {
        let mut pair = essay(1);
        id.clone_into(&mut pair.id);
        pair.label = None;
        pair
    };
    let codes = |pairs: &[PreferencePair]| {
        let findings = check(pairs).findings;
        let of = findings.iter().map(|f| (f.row.unwrap(), f.code));
        of.collect::<Vec<_>>()
    };
    assert_eq!(
        codes(&[unlabelled("a"), unlabelled("b")]),
        [
            (1, Code::Unlabelled),
            (2, Code::Unlabelled),
            (2, Code::DuplicatePair),
        ]
    );
    let mut remote: Vec<PreferencePair> = (0..40)
        .map(|number| {
            let far = |side| other(MediaSource::Url(format!("https://example.org/{side}.png")));
            generation(Task::T2I, &format!("scene {number}"), ["a", "b"].map(far))
        })
        .collect();
    remote[39].prompt = vec![Part::from(&*"a boat on a wide and quiet lake, ".repeat(40))];
    let found = codes(&remote);
    let of_set: Vec<_> = found
        .iter()
        .filter(|(_, code)| *code != Code::RemoteMedium)
        .collect();
    assert_eq!(of_set, [&(40, Code::LengthOutlier)]);
}

#[test]
fn a_fix_repairs_what_is_safe_and_says_what_it_did() {
    let of = |code: Code, pair: &PreferencePair| {
        let finding = Finding {
            code,
            row: Some(4),
            pair_id: Some(pair.id.clone()),
            field: None,
            reason: "row 1 has the same content, with the same label".to_owned(),
        };
        fix(pair.clone(), 4, &[finding])
    };
    let mut pair = essay(1);
    pair.criterion = Criterion::new("  Short.\n");
    pair.responses[1] = Response::text("a\u{0}b\tc");
    let fixed = of(Code::UntrimmedCriterion, &pair);
    assert_eq!(fixed.pair.unwrap().criterion.as_deref(), Some("Short."));
    assert_eq!(
        (fixed.changes.len(), fixed.changes[0].after.as_deref()),
        (1, Some("Short."))
    );
    let fixed = of(Code::ControlCharacter, &pair);
    assert_eq!(fixed.pair.unwrap().responses[1], Response::text("ab\tc"));
    assert_eq!(fixed.changes[0].field, "responses[1]");
    let fixed = of(Code::DuplicatePair, &pair);
    assert!(fixed.pair.is_none() && fixed.changes[0].after.is_none());
    for code in Code::ALL.into_iter().filter(|code| !code.is_fixable()) {
        let fixed = of(code, &pair);
        assert_eq!(
            (fixed.pair.as_ref(), fixed.changes.len()),
            (Some(&pair), 0),
            "{code}"
        );
    }
}

#[test]
fn names_of_codes_are_read_back() {
    for code in Code::ALL {
        assert_eq!(code.name().parse(), Ok(code));
        assert_eq!(serde_json::to_value(code).unwrap(), code.name());
    }
}

// ---- The defects. ----

fn text(id: &str, change: impl FnOnce(&mut PreferencePair)) -> PreferencePair {
    let mut pair = essay(id.bytes().map(usize::from).sum::<usize>() + 100);
    id.clone_into(&mut pair.id);
    change(&mut pair);
    pair
}

fn medium(modality: Modality, name: &str, bytes: &[u8]) -> MediaRef {
    let source = MediaSource::Bytes {
        bytes: bytes.into(),
        name: Some(name.to_owned()),
    };
    MediaRef { modality, source }
}

fn generation(task: Task, id: &str, media: [MediaRef; 2]) -> PreferencePair {
    PreferencePair::new(
        id,
        task,
        format!("Make something for {id}."),
        media.map(Response::media),
    )
    .with_label(Preference::First)
}

fn png(seed: u8) -> Vec<u8> {
    encode_png(&RgbImage::from_fn(40, 30, |x, y| {
        [(x as u8).wrapping_mul(seed), (y * 8) as u8, seed].into()
    }))
}

fn image(name: &str, bytes: &[u8]) -> MediaRef {
    medium(Modality::Image, name, bytes)
}

fn file(name: &str) -> MediaRef {
    MediaRef {
        modality: Modality::Image,
        source: MediaSource::File {
            path: PathBuf::from("/nowhere").join(name),
            name: name.to_owned(),
        },
    }
}

fn other(source: MediaSource) -> MediaRef {
    MediaRef {
        modality: Modality::Image,
        source,
    }
}

fn defects() -> Vec<(Code, PreferencePair)> {
    let long = "The answer goes on and explains what it means at some length, so that nobody is left behind";
    // Exchanging the responses and the label says the same. What they repeat comes first.
    let mut repeated = essay(0).swapped();
    "twice".clone_into(&mut repeated.id);
    let mut contradicting = essay(1);
    "turned".clone_into(&mut contradicting.id);
    contradicting.label = contradicting.label.map(Preference::swapped);
    let silence = Waveform {
        sample_rate_hz: 16_000,
        channels: 1,
        samples: vec![0.0; 16_000],
    }
    .wav_i16();
    let sound = |pitch: f32| {
        let samples = (0..16_000)
            .map(|n| (n as f32 * pitch).sin() / 3.0)
            .collect();
        Waveform {
            sample_rate_hz: 16_000,
            channels: 1,
            samples,
        }
        .wav_i16()
    };
    let mut edited = generation(
        Task::TI2I,
        "unedited",
        [image("a.png", &png(3)), image("b.png", &png(4))],
    );
    edited
        .prompt
        .push(Part::Media(image("source.png", &png(3))));
    let mut crowded = generation(
        Task::T2I,
        "crowded",
        [image("a.png", &png(13)), image("b.png", &png(14))],
    );
    crowded
        .prompt
        .push(Part::Media(image("source.png", &png(15))));
    let half = {
        let whole = png(5);
        whole[..whole.len() / 2].to_vec()
    };
    vec![
        (
            Code::Unlabelled,
            text("unlabelled", |pair| pair.label = None),
        ),
        (
            Code::EmptyPrompt,
            text("no prompt", |pair| pair.prompt = vec![Part::from("  ")]),
        ),
        (
            Code::EmptyResponse,
            text("empty", |pair| pair.responses[1] = Response::text(" \n")),
        ),
        (
            Code::IdenticalResponses,
            text("identical", |pair| {
                pair.responses[1] = pair.responses[0].clone();
            }),
        ),
        (
            Code::ResponseEchoesPrompt,
            text("echo", |pair| {
                pair.responses[0].parts.clone_from(&pair.prompt);
            }),
        ),
        (
            Code::TruncatedResponse,
            text("cut", |pair| {
                pair.responses[0] = Response::text(format!("{long}. That is why the"));
            }),
        ),
        (
            Code::RepetitiveResponse,
            text("loop", |pair| {
                pair.responses[1] = Response::text("It is a very good thing. ".repeat(14));
            }),
        ),
        (
            Code::RefusalPreferred,
            text("refusal", |pair| {
                pair.criterion = None;
                pair.label = Some(Preference::First);
                pair.responses[0] = Response::text(
                    "I'm sorry, but I can't help with gardens of any kind, whoever asks for it.",
                );
            }),
        ),
        (
            Code::TemplateToken,
            text("token", |pair| {
                pair.responses[0] = Response::text(format!("{long}.<|im_end|>"));
            }),
        ),
        (
            Code::EncodingDamage,
            text("mojibake", |pair| {
                pair.responses[0] =
                    Response::text(format!("{long}, and donâ€™t forget the cafÃ©."));
            }),
        ),
        (
            Code::ControlCharacter,
            text("control", |pair| {
                pair.responses[0] = Response::text(format!("{long}\u{0}."));
            }),
        ),
        (
            Code::UntrimmedCriterion,
            text("untrimmed", |pair| {
                pair.criterion = Criterion::new("Is it kinder? ");
            }),
        ),
        (
            Code::CriterionNamesASide,
            text("named", |pair| {
                pair.criterion = Criterion::new("I like how response B speaks of neighbours.");
            }),
        ),
        (
            Code::CriterionContradictsLabel,
            text("contradiction", |pair| {
                pair.label = Some(Preference::First);
                pair.criterion = Criterion::new("Response B is better because it is kinder.");
            }),
        ),
        (
            Code::CriterionIsPrompt,
            text("question", |pair| {
                pair.criterion = Criterion::new(pair.prompt[0].as_text().unwrap());
            }),
        ),
        (
            Code::LengthOutlier,
            text("endless", |pair| {
                let sentences: Vec<String> = (0..900)
                    .map(|n| {
                        format!(
                            "Sentence {n} adds one more thought about plant {} and its {} leaves.",
                            n * 7,
                            n + 3
                        )
                    })
                    .collect();
                pair.responses[0] = Response::text(sentences.join(" "));
            }),
        ),
        (
            Code::LanguageOutlier,
            text("foreign", |pair| {
                pair.responses[0] = Response::text(
                    "Man sollte zuerst das Älteste pflegen, alles aufschreiben, was getan wurde, und die Nachbarn um \
                 Hilfe bitten, bevor etwas kaputtgeht. Danach bleibt noch genug Zeit, sich daran zu freuen.",
                );
            }),
        ),
        (Code::WrongMediaCount, crowded),
        (Code::ResponseEchoesPrompt, edited),
        (Code::MediaPlaceholder, {
            let mut pair = generation(
                Task::T2I,
                "placeholder",
                [image("a.png", &png(6)), image("b.png", &png(7))],
            );
            pair.prompt = vec![Part::from("<video> Draw what you see.")];
            pair
        }),
        (
            Code::MissingMedium,
            generation(
                Task::T2I,
                "lost",
                [image("a.png", &png(8)), file("lost.png")],
            ),
        ),
        (
            Code::RemoteMedium,
            generation(
                Task::T2I,
                "remote",
                [
                    image("a.png", &png(9)),
                    other(MediaSource::Url("https://example.org/a.png".to_owned())),
                ],
            ),
        ),
        (
            Code::CorruptMedium,
            generation(
                Task::T2I,
                "half",
                [image("a.png", &png(10)), image("half.png", &half)],
            ),
        ),
        (
            Code::WrongMediaType,
            generation(
                Task::T2I,
                "sound",
                [image("a.png", &png(11)), image("b.png", &sound(0.1))],
            ),
        ),
        (
            Code::WrongExtension,
            generation(
                Task::T2I,
                "named jpg",
                [image("a.png", &png(12)), image("b.jpg", &png(16))],
            ),
        ),
        (
            Code::BlankMedium,
            generation(
                Task::T2A,
                "silence",
                [
                    medium(Modality::Audio, "a.wav", &sound(0.2)),
                    medium(Modality::Audio, "b.wav", &silence),
                ],
            ),
        ),
        (Code::OppositeLabels, contradicting),
        (Code::DuplicatePair, repeated),
    ]
}
