//! Replays published recordings and recomputes the figures that their authors published.

#![expect(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::{collections::BTreeMap, fs, path::Path};

use futures::FutureExt;
use omnireward_core::{
    Judge, MediaRef, MediaSource, Modality, ModelError, ModelErrorKind, Preference, PreferencePair,
    Response, Setting, Status, Task, Verdict,
};
use omnireward_judges::{Error, Replay};
use omnireward_testkit::real_data;
use serde_json::Value;

use Preference::{First, Second, Tie};

fn pair(id: &str) -> PreferencePair {
    PreferencePair::new(id, Task::T2T, "p", ["x", "y"].map(Response::text))
}

fn ask(judge: &Replay, pair: &PreferencePair, setting: Setting) -> Result<Verdict, ModelError> {
    judge
        .judge(pair, setting)
        .now_or_never()
        .expect("a recording waits for nothing")
}

fn preference(judge: &Replay, id: &str) -> Option<Preference> {
    ask(judge, &pair(id), Setting::WithTies).unwrap().preference
}

/// The preference in the other order, turned back.
fn preference_swapped(judge: &Replay, id: &str) -> Option<Preference> {
    let shown = pair(id).shown_swapped();
    ask(judge, &shown, Setting::WithTies)
        .unwrap()
        .swapped()
        .preference
}

fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    csv::Reader::from_path(path)
        .unwrap()
        .deserialize()
        .map(Result::unwrap)
        .collect()
}

fn one_or_two(label: &str) -> Preference {
    match label {
        "1" => First,
        "2" => Second,
        "tie" => Tie,
        other => panic!("{other}"),
    }
}

#[test]
fn llmbar_accuracies_come_out_for_every_evaluator_and_order() {
    let Some(folder) = real_data("judge_outputs/llmbar") else {
        return;
    };
    let mut checked = 0;
    for subset in ["natural", "adversarial_neighbor", "adversarial_gptinst"] {
        let file = folder.join(format!("{subset}.verdicts.csv"));
        let published =
            fs::read_to_string(folder.join(format!("{subset}.published.json"))).unwrap();
        let published: Vec<Value> = serde_json::from_str(&published).unwrap();
        let labels: BTreeMap<String, Preference> = rows(&file)
            .into_iter()
            .map(|row| {
                (
                    format!("{subset}/{}", row["row"]),
                    one_or_two(&row["label"]),
                )
            })
            .collect();
        for figures in published {
            let judge = Replay::open(&file, figures["evaluator"].as_str()).unwrap();
            assert!(judge.is_order_sensitive());
            assert_eq!(judge.len(), 2 * labels.len());
            let hits = |asked: &dyn Fn(&str) -> Option<Preference>| {
                labels
                    .iter()
                    .filter(|(id, label)| asked(id) == Some(**label))
                    .count()
            };
            let both = hits(&|id| {
                preference(&judge, id).filter(|one| preference_swapped(&judge, id) == Some(*one))
            });
            for (figure, count) in [
                ("accuracy_order1", hits(&|id| preference(&judge, id))),
                (
                    "accuracy_order2",
                    hits(&|id| preference_swapped(&judge, id)),
                ),
                ("correct_in_both_orders", both),
            ] {
                let written = figures[figure].as_str().unwrap();
                assert!(
                    written.starts_with(&format!("{count} / {}", labels.len())),
                    "{figures} {count}"
                );
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 65 * 3 * 3);
}

#[test]
fn a_folder_of_tables_is_one_recording() {
    let Some(folder) = real_data("judge_outputs/llmbar") else {
        return;
    };
    let judge = Replay::open(&folder, Some("GPT-4/CoT")).unwrap();
    assert_eq!(judge.len(), 2 * 326);
    assert!(preference(&judge, "adversarial_gptinst/91").is_some());
    let error = ask(&judge, &pair("natural/100"), Setting::WithTies).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::NotRecorded);
    assert!(error.to_string().contains("`natural/100`"), "{error}");
}

#[test]
fn genai_bench_accuracies_come_out_for_every_judge() {
    let Some(folder) = real_data("judge_outputs/genai_bench") else {
        return;
    };
    let Some(expected) = real_data("EXPECTED.json") else {
        return;
    };
    let expected: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(expected).unwrap()).unwrap();
    let mut checked = 0;
    for subset in ["image_generation", "image_edition"] {
        let file = folder.join(format!("{subset}.votes.csv"));
        let human = rows(&file);
        let name = format!("judge_outputs/genai_bench/{subset}.votes.csv");
        let figures = expected
            .iter()
            .find(|entry| entry["file"] == name.as_str())
            .unwrap();
        for (model, figures) in figures["per_judge"].as_object().unwrap() {
            let judge = Replay::open(&file, Some(model)).unwrap();
            let hits = human.iter().filter(|row| {
                let verdict = ask(
                    &judge,
                    &pair(&format!("{subset}/{}", row["idx"])),
                    Setting::WithTies,
                );
                let (vote, expected) = vote(&row["human_vote"]);
                let verdict = verdict.unwrap();
                let same = verdict.raw.as_deref() == Some(vote);
                // What the token says and what is read from it must not part.
                assert!(!same || verdict.preference == Some(expected));
                same
            });
            let percent = 100.0 * hits.count() as f64 / human.len() as f64;
            let published = figures["from_verdict_match"].as_f64().unwrap();
            assert!(
                (percent - published).abs() < 0.0051,
                "{subset} {model}: {percent} {published}"
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 30);
}

/// The token and preference of a human vote.
fn vote(name: &str) -> (&'static str, Preference) {
    match name {
        "leftvote" => ("[[A>B]]", First),
        "rightvote" => ("[[B>A]]", Second),
        "tievote" => ("[[A=B=Good]]", Tie),
        "bothbad_vote" => ("[[A=B=Bad]]", Tie),
        other => panic!("{other}"),
    }
}

#[test]
fn a_wrong_or_missing_judge_lists_those_recorded() {
    let Some(file) = real_data("judge_outputs/genai_bench/image_edition.votes.csv") else {
        return;
    };
    let missing = Replay::open(&file, None).unwrap_err();
    assert!(matches!(missing, Error::SelectorNeeded { .. }));
    assert!(
        missing.to_string().contains("gemini-1.5-pro, gpt4o"),
        "{missing}"
    );
    let wrong = Replay::open(&file, Some("gpt5")).unwrap_err().to_string();
    assert!(
        wrong.contains("no judge `gpt5`") && wrong.contains("kosmos2"),
        "{wrong}"
    );
}

#[test]
fn audiojudge_accuracies_come_out_and_swapped_rows_are_in_the_presented_order() {
    let Some(folder) = real_data("judge_outputs/audiojudge") else {
        return;
    };
    for (stem, conditions) in [
        (
            "tmhintq",
            [("groundtruth", 0.66), ("asr", 0.715), ("none", 0.705)],
        ),
        (
            "speed",
            [
                ("groundtruth", 0.391_061),
                ("asr", 0.418_994),
                ("none", 0.469_274),
            ],
        ),
    ] {
        let file = folder.join(format!("{stem}.csv"));
        let judge = Replay::open(&file, None).unwrap();
        assert!(judge.is_order_sensitive());
        let rows = rows(&file);
        for (condition, expected) in conditions {
            let of = |swapped: &str| {
                let rows = rows
                    .iter()
                    .filter(move |row| row["transcript_given"] == condition);
                rows.filter(|row| row["orders_swapped"] == swapped)
                    .collect::<Vec<_>>()
            };
            let id = |row: &BTreeMap<String, String>| format!("{stem}/{}/{condition}", row["item"]);
            let label =
                |row: &BTreeMap<String, String>| one_or_two(&row["ground_truth_original_order"]);
            let straight = of("0");
            let hits = straight
                .iter()
                .filter(|row| preference(&judge, &id(row)) == Some(label(row)))
                .count();
            let accuracy = hits as f64 / straight.len() as f64;
            assert!(
                (accuracy - expected).abs() < 1e-6,
                "{stem} {condition} {accuracy}"
            );
            for row in of("1") {
                // Presented the other way round, agreeing with the label means naming the other.
                let agrees = preference_swapped(&judge, &id(row)) == Some(label(row));
                let differs = row["prediction_as_presented"] != row["ground_truth_original_order"];
                assert_eq!(agrees, differs);
            }
        }
        let shown = pair(&format!("{stem}/{}/groundtruth", rows[0]["item"])).shown_swapped();
        let error = ask(&judge, &shown, Setting::WithTies).unwrap_err();
        assert_eq!(
            error.kind,
            ModelErrorKind::NotRecorded,
            "only one order was recorded for it"
        );
    }
}

#[test]
fn audiojudge_chat_accuracies_come_out() {
    let Some(folder) = real_data("judge_outputs/audiojudge") else {
        return;
    };
    for (stem, hits, total) in [
        ("chatbotarena_gpt4o_audio", 553, 1000),
        ("chatbotarena_gemini25flash", 543, 998),
    ] {
        let file = folder.join(format!("{stem}.csv"));
        let judge = Replay::open(&file, None).unwrap();
        assert!(!judge.is_order_sensitive());
        let rows = rows(&file);
        let agrees = |row: &&BTreeMap<String, String>| {
            preference(&judge, &format!("{stem}/{}", row["index"]))
                == Some(one_or_two(&row["human_winner"]))
        };
        assert_eq!(
            (rows.iter().filter(agrees).count(), rows.len()),
            (hits, total)
        );
    }
}

/// A pair of RM-Bench, which has an id of its own.
fn matrix_pair(row: usize, chosen: usize, rejected: usize) -> PreferencePair {
    let mut pair = pair(&format!("{}/{chosen}-{rejected}", row + 100));
    for (name, value) in [
        ("row", row),
        ("chosen_style", chosen),
        ("rejected_style", rejected),
    ] {
        pair.extra.insert(name.to_owned(), value.into());
    }
    pair
}

#[test]
fn rm_bench_accuracies_come_out() {
    let Some(file) = real_data("judge_outputs/ixc_reward/rm_bench_scores.json") else {
        return;
    };
    let judge = Replay::open(&file, None).unwrap();
    assert!(!judge.is_order_sensitive());
    assert_eq!(judge.len(), 1327 * 9);
    let mut share = [[0.0; 3]; 3];
    for (chosen, cells) in share.iter_mut().enumerate() {
        for (rejected, cell) in cells.iter_mut().enumerate() {
            let wins = (0..1327).filter(|row| {
                let pair = matrix_pair(*row, chosen, rejected);
                let verdict = ask(&judge, &pair, Setting::WithTies).unwrap();
                verdict.preference == Some(First)
            });
            *cell = 100.0 * wins.count() as f64 / 1327.0;
        }
    }
    let hard = (share[0][1] + share[0][2] + share[1][2]) / 3.0;
    let normal = (share[0][0] + share[1][1] + share[2][2]) / 3.0;
    let easy = (share[1][0] + share[2][0] + share[2][1]) / 3.0;
    for (found, expected) in [(hard, 47.45), (normal, 71.339), (easy, 87.465)] {
        assert!((found - expected).abs() < 0.001, "{found} {expected}");
    }
    let pair = matrix_pair(0, 1, 1);
    let verdict = ask(&judge, &pair, Setting::WithTies).unwrap();
    let swapped = ask(&judge, &pair.shown_swapped(), Setting::WithTies).unwrap();
    assert_eq!(
        swapped.swapped().preference,
        verdict.preference,
        "scores hold in both orders"
    );
    // An item's id counts something else than its row.
    let by_id = PreferencePair::new("8/0-0", Task::T2T, "p", ["x", "y"].map(Response::text));
    let error = ask(&judge, &by_id, Setting::WithTies).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::NotRecorded);
}

#[test]
fn mj_bench_accuracies_come_out_for_every_metric() {
    let Some(file) = real_data("judge_outputs/mjbench/objects_indoor_scores.jsonl") else {
        return;
    };
    let text = fs::read_to_string(&file).unwrap();
    let ids: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].to_string())
        .collect();
    for (metric, percent) in [
        ("ImageReward", 68.57),
        ("aesthetics", 77.14),
        ("blipscore", 20.0),
        ("clipscore_v2", 74.29),
        ("hps_v2.1", 98.57),
        ("pickscore_v1", 98.57),
    ] {
        let judge = Replay::open(&file, Some(metric)).unwrap();
        let hits = ids
            .iter()
            .filter(|id| preference(&judge, id) == Some(First))
            .count();
        let found = 100.0 * hits as f64 / ids.len() as f64;
        assert!((found - percent).abs() < 0.005, "{metric} {found}");
    }
}

#[test]
fn vicuna_totals_come_out() {
    let Some(folder) = real_data("judge_outputs/vicuna_gpt4_reviews") else {
        return;
    };
    let judge = Replay::open(&folder, None).unwrap();
    for (stem, totals) in [
        ("alpaca-13b_vs_vicuna-13b", [583, 704]),
        ("llama-13b_vs_vicuna-13b", [513, 694]),
    ] {
        let mut found = [0_u32; 2];
        for question in 1..=80 {
            let verdict = ask(
                &judge,
                &pair(&format!("{stem}/{question}")),
                Setting::WithTies,
            )
            .unwrap();
            let scores = verdict.scores.unwrap();
            found = [found[0] + scores[0] as u32, found[1] + scores[1] as u32];
            assert!(verdict.rationale.is_some());
        }
        assert_eq!(found, totals);
    }
}

#[test]
fn tifa_scores_are_found_by_the_responses_images() {
    let Some(file) = real_data("judge_outputs/tifa/human_annotations_with_scores.json") else {
        return;
    };
    let image = |name: &str| {
        Response::media(MediaRef {
            modality: Modality::Image,
            source: MediaSource::Absent {
                name: name.to_owned(),
            },
        })
    };
    let responses = [
        image("coco_669925_stable_diffusion_v1_1.jpg"),
        image("images/coco_669925_mini_dalle.jpg"),
    ];
    let pair = PreferencePair::new("any", Task::T2I, "p", responses);
    let judge = Replay::open(&file, Some("tifa_vilt")).unwrap();
    let verdict = ask(&judge, &pair, Setting::WithTies).unwrap();
    assert_eq!(
        (verdict.preference, verdict.scores),
        (Some(Second), Some(vec![0.75, 1.0]))
    );
    let swapped = ask(&judge, &pair.shown_swapped(), Setting::WithTies).unwrap();
    assert_eq!(
        (swapped.preference, swapped.scores),
        (Some(First), Some(vec![1.0, 0.75]))
    );
    let metrics = Replay::open(&file, None).unwrap_err().to_string();
    assert!(
        metrics.contains("clipscore_vitb32") && !metrics.contains("text_id"),
        "{metrics}"
    );
}

#[test]
fn an_empty_verdict_is_unreadable() {
    let Some(file) = real_data("judge_outputs/genai_bench/image_generation.votes.csv") else {
        return;
    };
    let judge = Replay::open(&file, Some("kosmos2")).unwrap();
    let verdict = ask(&judge, &pair("image_generation/0"), Setting::WithTies).unwrap();
    assert_eq!(verdict.status, Status::Unreadable);
    assert_eq!(verdict.detail.as_deref(), Some("the reply is empty"));
}
