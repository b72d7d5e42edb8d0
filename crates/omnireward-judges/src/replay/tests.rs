use std::{fs, path::PathBuf};

use omnireward_core::{Response, Task};
use tempfile::TempDir;

use super::*;
use crate::{ParityParser, testing::ready};
use Preference::{First, Second, Tie};
use Setting::{WithTies, WithoutTies};

/// A file in a folder that is removed with the first value.
fn file(name: &str, content: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    (folder, path)
}

fn replay(name: &str, content: &str) -> Replay {
    let (_folder, path) = file(name, content);
    Replay::open(&path, None).unwrap()
}

fn failure(name: &str, content: &str) -> String {
    let (_folder, path) = file(name, content);
    Replay::open(&path, None).unwrap_err().to_string()
}

fn pair(id: &str) -> PreferencePair {
    PreferencePair::new(id, Task::T2T, "p", ["x", "y"].map(Response::text))
}

fn ask(judge: &Replay, pair: &PreferencePair, setting: Setting) -> Result<Verdict, ModelErrorKind> {
    ready(judge.judge(pair, setting)).map_err(|error| error.kind)
}

fn preference(judge: &Replay, pair: &PreferencePair, setting: Setting) -> Option<Preference> {
    ask(judge, pair, setting).unwrap().preference
}

#[test]
fn our_lines_hold_replies_preferences_or_scores() {
    let judge = replay(
        "a.jsonl",
        r#"{"id": "reply", "reply": "Because.\n[[B]]"}
           {"id": "tie", "preference": "tie", "rationale": "alike"}

           {"id": "silent", "preference": null, "reply": "hm"}
           {"id": "scored", "scores": [0.5, 1.5]}
           {"id": "free", "order": "any", "preference": "first"}"#,
    );
    assert_eq!(judge.len(), 5);
    let verdict = ask(&judge, &pair("reply"), WithoutTies).unwrap();
    assert_eq!(verdict.preference, Some(Second));
    assert_eq!(verdict.rationale.as_deref(), Some("Because."));
    assert_eq!(verdict.raw.as_deref(), Some("Because.\n[[B]]"));
    let verdict = ask(&judge, &pair("tie"), WithTies).unwrap();
    assert_eq!(
        (verdict.preference, verdict.rationale.as_deref()),
        (Some(Tie), Some("alike"))
    );
    let verdict = ask(&judge, &pair("silent"), WithTies).unwrap();
    assert_eq!(
        (verdict.status, verdict.raw.as_deref()),
        (Status::Unreadable, Some("hm"))
    );
    let verdict = ask(&judge, &pair("scored"), WithTies).unwrap();
    assert_eq!(
        (verdict.preference, verdict.scores),
        (Some(Second), Some(vec![0.5, 1.5]))
    );
    assert_eq!(
        ask(&judge, &pair("other"), WithTies),
        Err(ModelErrorKind::NotRecorded)
    );
}

#[test]
fn one_order_is_not_invented_from_the_other() {
    let judge = replay(
        "a.jsonl",
        r#"{"id": "reply", "reply": "[[B]]"}
           {"id": "scored", "scores": [0.5, 1.5]}
           {"id": "free", "order": "any", "preference": "first"}"#,
    );
    assert!(!judge.is_order_sensitive());
    assert_eq!(
        ask(&judge, &pair("reply").shown_swapped(), WithTies),
        Err(ModelErrorKind::NotRecorded)
    );
    let turned = ask(&judge, &pair("scored").shown_swapped(), WithTies).unwrap();
    assert_eq!(
        (turned.preference, turned.scores),
        (Some(First), Some(vec![1.5, 0.5]))
    );
    assert_eq!(
        preference(&judge, &pair("free").shown_swapped(), WithTies),
        Some(Second)
    );
}

#[test]
fn both_orders_are_kept_apart_and_settings_too() {
    let judge = replay(
        "a.jsonl",
        r#"{"id": "a", "order": "as-is", "setting": "with-ties", "reply": "[[C]]"}
           {"id": "a", "order": "as-is", "setting": "without-ties", "reply": "[[A]]"}
           {"id": "a", "order": "swapped", "setting": "without-ties", "reply": "[[A]]"}"#,
    );
    assert!(judge.is_order_sensitive());
    assert_eq!(preference(&judge, &pair("a"), WithTies), Some(Tie));
    assert_eq!(preference(&judge, &pair("a"), WithoutTies), Some(First));
    // A reply is about what was shown, so the swapped one prefers the dataset's second.
    assert_eq!(
        preference(&judge, &pair("a").shown_swapped(), WithoutTies),
        Some(First)
    );
    assert_eq!(
        ask(&judge, &pair("a").shown_swapped(), WithTies),
        Err(ModelErrorKind::NotRecorded)
    );
}

#[test]
fn a_recording_in_the_other_order_alone_answers_for_the_datasets() {
    let judge = replay(
        "a.jsonl",
        r#"{"id": "a", "order": "swapped", "reply": "[[A]]"}"#,
    );
    assert!(!judge.is_order_sensitive());
    assert_eq!(preference(&judge, &pair("a"), WithTies), Some(Second));
}

#[test]
fn the_parser_decides_what_a_recorded_tie_is_worth() {
    let lines = r#"{"id": "a", "reply": "[[C]]"}
                   {"id": "b", "preference": "tie"}"#;
    let strict = replay("a.jsonl", lines);
    let parity = replay("a.jsonl", lines).with_parser(Parser::Parity(ParityParser));
    for id in ["a", "b"] {
        assert_eq!(preference(&strict, &pair(id), WithTies), Some(Tie));
        assert_eq!(preference(&parity, &pair(id), WithoutTies), Some(Tie));
        let verdict = ask(&strict, &pair(id), WithoutTies).unwrap();
        assert_eq!(verdict.status, Status::Unreadable);
        assert!(verdict.detail.unwrap().contains("not offered"));
    }
    assert_ne!(strict.identity().settings, parity.identity().settings);
}

const RESULTS: &str = r#"[
    {"id": "1", "prompt": "p", "criteria": "c", "response1": "x", "response2": "y",
     "predicted": "response1", "m_raw_response": "I say [[A]]"},
    {"id": "2", "prompt": "q", "criteria": "c", "response1": "x", "response2": "y",
     "predicted": null, "m_raw_response": ""},
    {"id": "2", "prompt": "q", "criteria": "d", "response1": "x", "response2": "y",
     "predicted": "response2", "m_raw_response": "[[B]]"}]"#;

/// A pair as the dataset has it, with a task's key before the id.
fn sample(id: &str, prompt: &str, criterion: &str) -> PreferencePair {
    PreferencePair::new(
        format!("text_to_text/{id}"),
        Task::T2T,
        prompt,
        ["x", "y"].map(Response::text),
    )
    .with_criterion(criterion)
}

#[test]
fn reference_results_are_found_by_id_and_by_content() {
    let judge = replay("m_preferences.json", RESULTS);
    assert_eq!(
        preference(&judge, &sample("1", "p", "c"), WithoutTies),
        Some(First)
    );
    assert_eq!(
        preference(&judge, &sample("renamed", "p", "c"), WithoutTies),
        Some(First)
    );
    let silent = ask(&judge, &sample("2", "q", "c"), WithoutTies).unwrap();
    assert_eq!(silent.status, Status::Unreadable);
    assert_eq!(
        preference(&judge, &sample("2", "<image> q", "d"), WithoutTies),
        Some(Second)
    );
    assert_eq!(
        ask(&judge, &sample("1", "p", "c"), WithTies),
        Err(ModelErrorKind::NotRecorded)
    );
    let other_task = sample("1", "another prompt", "c");
    assert_eq!(
        ask(&judge, &other_task, WithoutTies),
        Err(ModelErrorKind::NotRecorded)
    );
}

#[test]
fn the_name_of_a_result_file_tells_setting_and_order() {
    let with_ties = replay("m_preferences_with_tie.json", RESULTS);
    assert_eq!(
        preference(&with_ties, &sample("1", "p", "c"), WithTies),
        Some(First)
    );
    let inversed = replay("m_preferences_inversed.json", RESULTS);
    // The reply was to the pair the other way round.
    assert_eq!(
        preference(&inversed, &sample("1", "p", "c"), WithoutTies),
        Some(Second)
    );
}

#[test]
fn several_models_in_one_result_file_need_a_choice() {
    let records = r#"[{"id": 1, "prompt": "p", "predicted": null, "m_raw_response": "", "n_raw_response": ""}]"#;
    let message = failure("x_preferences.json", records);
    assert!(message.contains("one of: m, n"), "{message}");
}

#[test]
fn results_without_replies_give_what_was_predicted() {
    let records = r#"[{"id": 7, "prompt": "p", "predicted": "tie"}]"#;
    let judge = replay("x_preferences_with_tie.json", records);
    assert_eq!(preference(&judge, &pair("7"), WithTies), Some(Tie));
}

#[test]
fn a_broken_recording_names_file_line_and_field() {
    let cases = [
        (
            "a.jsonl",
            "{\"id\": \"a\", \"reply\": \"x\"}\n{\"id\": \"b\"}",
            "`reply`, `preference`, `scores`",
        ),
        (
            "b.jsonl",
            "{\"id\": \"a\", \"reply\": \"x\"}\n{\"id\": \"b\", \"order\": \"up\", \"reply\": \"\"}",
            "field `order` is `up`",
        ),
        (
            "c.csv",
            "row,label,evaluator,winner_order1,winner_order2\n0,1,E,3,1\n",
            "field `winner_order1` is `3`",
        ),
        (
            "d.csv",
            "row,label,evaluator,winner_order1,winner_order2\n0,1,E\n",
            "not as expected",
        ),
        (
            "e.jsonl",
            "{\"id\": \"a\", \"reply\": \"x\"}\n{\"id\": ",
            "not as expected",
        ),
    ];
    for (name, content, expected) in cases {
        let message = failure(name, content);
        assert!(
            message.contains(expected) && message.contains("record 2"),
            "{message}"
        );
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn what_is_no_recording_is_said_to_be_none() {
    for content in ["", "hello", "{}", "[]", "{\"a\": 1}", "a,b\n1,2\n", "[1, 2"] {
        let message = failure("x.json", content);
        assert!(
            message.contains("is not a recording: expected JSON lines"),
            "{content}: {message}"
        );
    }
    let missing = Replay::open(Path::new("/nowhere/x.json"), None).unwrap_err();
    assert!(matches!(missing, Error::Read { .. }));
    let (_folder, path) = file("a.jsonl", r#"{"id": "a", "reply": ""}"#);
    let unused = Replay::open(&path, Some("who")).unwrap_err().to_string();
    assert!(unused.contains("`#who` chooses nothing"), "{unused}");
}

#[test]
fn the_identity_changes_with_the_content() {
    let one = replay("a.jsonl", r#"{"id": "a", "reply": "[[A]]"}"#);
    let other = replay("a.jsonl", r#"{"id": "a", "reply": "[[B]]"}"#);
    assert_eq!(one.identity().name, "replay:a.jsonl");
    assert_ne!(one.identity(), other.identity());
}
