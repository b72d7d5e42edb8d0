//! A server and a benchmark that misbehave in every known way: each failure has a name, is counted,
//! and stops nothing else.

use std::{collections::BTreeMap, path::Path};

use omnireward_testkit::{
    Behaviour, ChatServer, ChatServerConfig,
    chat_server::{all_text, system_text},
};
use serde_json::{Value, json};

use crate::support::{omnireward, run, run_well};

/// What happens to the pair of this number, and the status it must end with.
fn fate(number: usize) -> (Behaviour, &'static str) {
    let with_reason = |text: &str, reason: &str| Behaviour::ReplyWith {
        text: text.to_owned(),
        finish_reason: Some(reason.to_owned()),
        usage: None,
    };
    let reply = |text: &str| Behaviour::Reply(text.to_owned());
    match number {
        0 => (reply("Compared.\n[[A]]"), "readable"),
        1 => (reply("La primera respuesta es mejor.\n[[B]]"), "readable"),
        2 => (
            reply("The rules name [[A]] and [[B]].\nFinal verdict: [[A]]"),
            "readable",
        ),
        3 => (reply(""), "unreadable"),
        4 => (reply("Perhaps one, perhaps the other."), "unreadable"),
        5 => (reply("[[A]] and also [[B]]"), "unreadable"),
        6 => (reply("Neither.\n[[C]]"), "unreadable"),
        7 => (with_reason("It is long, and", "length"), "truncated"),
        8 => (with_reason("", "content_filter"), "refused"),
        9 => (Behaviour::Reset, "transport-error"),
        10 => (Behaviour::HalfJson, "transport-error"),
        11 => (Behaviour::status(500, "down"), "transport-error"),
        12 => (Behaviour::status(400, "too many tokens"), "rejected"),
        13 => (Behaviour::status(401, "who are you"), "transport-error"),
        14 => (Behaviour::Hang, "transport-error"),
        15 => (Behaviour::busy("0"), "transport-error"),
        16 => (Behaviour::NotJson, "transport-error"),
        _ => (reply("[[A]]"), "readable"),
    }
}

const PAIRS: usize = 18;

#[test]
fn every_misbehaviour_of_a_server_has_a_named_status_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let benchmark = folder.path().join("pairs.jsonl");
    let lines: Vec<String> = (0..PAIRS)
        .map(|number| text_pair(number).to_string())
        .collect();
    std::fs::write(&benchmark, lines.join("\n")).unwrap();
    let server = ChatServer::start(ChatServerConfig::default(), |body, _| {
        let text = all_text(body);
        let number = (0..PAIRS)
            .rev()
            .find(|n| text.contains(&format!("Question {n}?")))
            .unwrap();
        fate(number).0
    });
    let out = folder.path().join("run");
    let output = omnireward()
        .args([
            "eval",
            "--quiet",
            "--json",
            "--judge",
            "openai:m",
            "--setting",
            "without-ties",
        ])
        .args([
            "--order",
            "as-is",
            "--timeout",
            "1",
            "--max-retries",
            "1",
            "--base-url",
        ])
        .args([
            &server.base_url(),
            "--benchmark",
            benchmark.to_str().unwrap(),
        ])
        .args(["--out", out.to_str().unwrap()])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    let statuses = &results["settings"][0]["counts"]["statuses"];
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for number in 0..PAIRS {
        *expected.entry(fate(number).1).or_default() += 1;
    }
    for (status, count) in expected {
        assert_eq!(statuses[status], count, "{status} in {statuses}");
    }
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    for reason in ["too many tokens", "who are you"] {
        assert!(page.contains(reason), "the page says `{reason}`");
    }
    holds_no_secret(&out);
}

fn text_pair(number: usize) -> Value {
    json!({
        "id": format!("p{number}"), "task": "T2T", "prompt": format!("Question {number}?"),
        "responses": ["Yes.", "No."], "label": "first",
    })
}

/// The key that the tests use is nowhere in a run's files.
fn holds_no_secret(run: &Path) {
    for entry in std::fs::read_dir(run).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let is_there = bytes.windows(8).any(|window| window == b"test-key");
        assert!(!is_there, "{} holds the key", path.display());
    }
}

#[test]
fn broken_rows_and_media_are_counted_and_the_rest_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::write(root.join("cut.jpg"), b"\xff\xd8\xff\xe0 and no more").unwrap();
    std::fs::write(root.join("bomb.png"), bomb()).unwrap();
    let picture = |name: &str| json!([{"type": "image", "path": name}]);
    let image_pair = |id: &str, name: &str| {
        json!({
            "id": id, "task": "T2I", "prompt": "a cat", "label": "first",
            "responses": [picture(name), picture(name)],
        })
    };
    let lines = [
        text_pair(0).to_string(),
        "{\"id\": \"torn\", \"task\": ".to_owned(),
        image_pair("missing", "nowhere.png").to_string(),
        image_pair("cut", "cut.jpg").to_string(),
        image_pair("bomb", "bomb.png").to_string(),
        image_pair("outside", "../../etc/passwd").to_string(),
        image_pair("remote", "http://127.0.0.1/x.png").to_string(),
        json!({"id": "odd", "task": "T2T", "prompt": "p", "responses": ["a", "b"], "label": "third"})
            .to_string(),
    ];
    let benchmark = root.join("pairs.jsonl");
    std::fs::write(&benchmark, lines.join("\n")).unwrap();
    let server = ChatServer::replying("[[A]]");
    let out = root.join("run");
    let args = [
        "eval",
        "--quiet",
        "--json",
        "--judge",
        "openai:m",
        "--setting",
        "without-ties",
        "--order",
        "as-is",
        "--images",
        "jpeg",
        "--base-url",
        &server.base_url(),
        "--benchmark",
        benchmark.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    let results: Value = serde_json::from_str(&run_well(&args)).unwrap();
    let statuses = &results["settings"][0]["counts"]["statuses"];
    assert_eq!(
        (&statuses["readable"], &statuses["media-error"]),
        (&json!(1), &json!(3)),
        "{statuses}"
    );
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(
        page.contains("4 rows of the benchmark could not be used"),
        "torn, outside, remote, odd"
    );
    let strict = run(&[&args[..], &["--strict"]].concat());
    assert_eq!(strict.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&strict.stderr);
    assert!(
        errors.contains("pairs.jsonl") && errors.contains('2'),
        "{errors}"
    );
}

/// A PNG header that claims 100 megapixels.
fn bomb() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend(10_000_u32.to_be_bytes());
    png.extend(10_000_u32.to_be_bytes());
    png.extend([8, 2, 0, 0, 0]);
    png.extend([0; 4]);
    png
}

#[test]
fn a_service_that_never_answers_is_an_error_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let server = ChatServer::start(ChatServerConfig::default(), |body, _| {
        assert!(!system_text(body).is_empty());
        Behaviour::status(404, "no such model")
    });
    let out = folder.path().join("run");
    let output = run(&[
        "eval",
        "--judge",
        "openai:nobody",
        "--base-url",
        &server.base_url(),
        "--benchmark",
        "embedded",
        "--out",
        out.to_str().unwrap(),
    ]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("no such model") && errors.contains("hint:"),
        "{errors}"
    );
    assert!(
        server.admitted() < 60,
        "it gave up early: {}",
        server.admitted()
    );
}
