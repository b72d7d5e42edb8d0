//! Fifty kills at random moments of a run: nothing that was recorded is lost or asked again.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use omnireward_testkit::{Behaviour, ChatServer, ChatServerConfig, chat_server::all_text};
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::support::omnireward;

const KILLS: usize = 50;
const PAIRS: usize = 2_000;

/// How often each question was answered, by the digest of its text.
type Answered = Arc<Mutex<HashMap<String, usize>>>;

#[test]
fn fifty_kills_lose_nothing_and_repeat_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let benchmark = folder.path().join("pairs.jsonl");
    std::fs::write(&benchmark, pairs()).unwrap();

    let undisturbed = folder.path().join("undisturbed");
    let (server, _) = server(Duration::ZERO, 64);
    let status = eval(&server, &benchmark, &undisturbed).status().unwrap();
    assert!(status.success());

    let disturbed = folder.path().join("disturbed");
    // Slow enough for all kills to come before the last answer.
    let (server, answered) = self::server(Duration::from_millis(40), 12);
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    // How often a question had been answered when its reply was first found recorded.
    let mut recorded: HashMap<String, usize> = HashMap::new();
    let mut kills = 0;
    while kills < KILLS {
        let mut child = eval(&server, &benchmark, &disturbed).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.random_range(20..300)));
        let alive = child.try_wait().unwrap().is_none();
        // SIGKILL: the program cannot tidy up.
        let _ = child.kill();
        child.wait().unwrap();
        // With every row recorded there is nothing left that a kill could disturb.
        let left = PAIRS * 2 - count_rows(&disturbed);
        assert!(left > 0, "the run was over after {kills} kills");
        kills += usize::from(alive);
        let now = recorded_questions(&disturbed);
        for question in recorded.keys() {
            assert!(now.contains(question), "a reply was lost");
        }
        for question in now {
            let times = answered.lock().unwrap()[&question];
            recorded.entry(question).or_insert(times);
        }
    }
    let left = PAIRS * 2 - count_rows(&disturbed);
    assert!(left > 0, "the last start had questions to ask");
    let status = eval(&server, &benchmark, &disturbed).status().unwrap();
    assert!(status.success());

    let answered = answered.lock().unwrap();
    for (question, times) in &recorded {
        assert_eq!(
            answered[question], *times,
            "a recorded reply was asked for again"
        );
    }
    assert_eq!(answered.len(), PAIRS * 2);
    assert!(
        recorded.len() > PAIRS / 4,
        "the kills came while the run was under way"
    );
    assert_eq!(rows(&disturbed).len(), PAIRS * 2, "no row is lost");
    assert_eq!(rows(&disturbed), rows(&undisturbed));
    assert_eq!(results(&disturbed), results(&undisturbed));
    // What the server had sent and the program had not received when it was killed has to be
    // asked for again; nobody could know better.
    let again: usize = answered.values().map(|times| times - 1).sum();
    println!(
        "{KILLS} kills, {} of {} replies recorded before the last start with {left} questions to go, \
         {again} asked for again because the kill came between sending and receiving",
        recorded.len(),
        answered.len(),
    );
}

#[expect(clippy::format_collect, reason = "a test has the time")]
fn pairs() -> String {
    (0..PAIRS)
        .map(|number| {
            let label = ["first", "second"][number % 2];
            let pair = json!({
                "id": format!("pair-{number}"), "task": "T2T", "prompt": format!("Question {number}?"),
                "criterion": "Short.", "responses": [format!("Yes, {number}."), format!("No, {number}.")],
                "label": label, "group": format!("group-{}", number / 3),
            });
            format!("{pair}\n")
        })
        .collect()
}

/// A server that decides by what it is asked, never by when.
fn server(latency: Duration, at_once: usize) -> (ChatServer, Answered) {
    let answered = Answered::default();
    let config = ChatServerConfig {
        latency,
        admitted: Some(at_once),
        record: false,
        ..ChatServerConfig::default()
    };
    let seen = answered.clone();
    let server = ChatServer::start(config, move |body, _| {
        let question = digest(&all_text(body));
        *seen.lock().unwrap().entry(question.clone()).or_default() += 1;
        let verdict = match question.as_bytes()[0] {
            b'0' => "No verdict.",
            b'1'..=b'8' => "[[A]]",
            _ => "[[B]]",
        };
        Behaviour::Reply(format!("{question}\n{verdict}"))
    });
    (server, answered)
}

fn eval(server: &ChatServer, benchmark: &Path, out: &Path) -> Command {
    let mut command = omnireward();
    command
        .args([
            "eval",
            "--quiet",
            "--judge",
            "openai:loopback",
            "--setting",
            "without-ties",
        ])
        .args(["--no-html", "--base-url", &server.base_url(), "--benchmark"])
        .arg(benchmark)
        .arg("--out")
        .arg(out)
        .stdout(Stdio::null());
    command
}

fn rows(run: &Path) -> Vec<Value> {
    let query = "SELECT record FROM verdicts ORDER BY position, pair_id, setting, shown";
    let records: Vec<String> = query_all(run, query);
    let timeless = |record: &String| {
        let mut row: Value = serde_json::from_str(record).unwrap();
        row.as_object_mut().unwrap().remove("latency_ms");
        row
    };
    records.iter().map(timeless).collect()
}

fn count_rows(run: &Path) -> usize {
    if !run.join("verdicts.sqlite").exists() {
        return 0;
    }
    query_all(run, "SELECT pair_id FROM verdicts").len()
}

/// The questions whose replies are recorded: each reply begins with its question's digest.
fn recorded_questions(run: &Path) -> HashSet<String> {
    if !run.join("verdicts.sqlite").exists() {
        return HashSet::new();
    }
    query_all(run, "SELECT reply FROM replies")
        .iter()
        .map(|reply| {
            let reply: Value = serde_json::from_str(reply).unwrap();
            let text = reply["text"].as_str().unwrap();
            text.lines().next().unwrap().to_owned()
        })
        .collect()
}

fn digest(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let digest = Sha256::digest(text);
    let hex: Vec<String> = digest
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    hex.concat()
}

fn query_all(run: &Path, query: &str) -> Vec<String> {
    let records = rusqlite::Connection::open(run.join("verdicts.sqlite")).unwrap();
    let Ok(mut statement) = records.prepare(query) else {
        // Killed before the tables were made.
        return Vec::new();
    };
    statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// The results without what depends on time.
fn results(run: &Path) -> Value {
    let text = std::fs::read_to_string(run.join("results.json")).unwrap();
    let mut results: Value = serde_json::from_str(&text).unwrap();
    strip_latency(&mut results);
    results
}

fn strip_latency(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("latency_ms");
            fields.values_mut().for_each(strip_latency);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_latency),
        _ => {}
    }
}
