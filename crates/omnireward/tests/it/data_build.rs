//! Criteria written and verified by scripted models on loopback, for real pairs: what is kept is what
//! the rule says, twenty kills repeat no call and lose no row, and the trail gives every label again.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use omnireward_core::{Order, Preference, PreferencePair, joined_text};
use omnireward_curate::build::{CriterionRecord, Outcome, PairRecord, Trail};
use omnireward_data::{OpenOptions, open};
use omnireward_testkit::{
    Behaviour, ChatServer, ChatServerConfig,
    chat_server::{all_text, system_text},
    real_data,
};
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{omnireward, run};

const VERIFIERS: [&str; 3] = ["strict-one", "mild-one", "odd-one"];
const KILLS: usize = 20;
const PAIRS: usize = 120;

#[test]
fn what_is_kept_is_what_the_rule_says() {
    let Some(source) = real_data("text/llmbar") else {
        return;
    };
    let (server, _) = server(Duration::ZERO, 64);
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Vec::new();
    for rule in [
        "all",
        "majority",
        "at-least-1",
        "all,one-order",
        "at-least-2,one-order",
    ] {
        let out = folder.path().join(rule);
        let output = build(
            &server,
            &source,
            &out,
            &["--rule", rule, "--limit", "60", "--json"],
        )
        .stdout(Stdio::piped())
        .output()
        .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let (_, records) = Trail::read(&out).unwrap();
        assert_eq!(records.len(), 60);
        let sources = by_id(&source);
        for record in &records {
            let pair = &sources[&record.pair_id];
            check_writer(record, pair);
            for criterion in &record.criteria {
                assert_eq!(
                    criterion.outcome,
                    expected(criterion, pair, rule),
                    "{criterion:?}"
                );
            }
        }
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        check_report(&report, &records);
        check_pairs(&out, &records, &sources);
        assert!(
            run(&["data", "audit", out.to_str().unwrap()])
                .status
                .success()
        );
        kept.push((rule, report["outcomes"]["kept"].as_u64().unwrap()));
    }
    println!("criteria kept, by rule: {kept:?}");
    // A weaker rule keeps more, and none of them keeps everything or nothing.
    let kept: HashMap<&str, u64> = kept.into_iter().collect();
    assert!(
        0 < kept["all"] && kept["all"] < kept["majority"] && kept["majority"] < kept["at-least-1"]
    );
    assert!(kept["all"] < kept["all,one-order"]);
}

#[test]
fn a_changed_trail_is_found_out() {
    let Some(source) = real_data("text/llmbar") else {
        return;
    };
    let (server, _) = server(Duration::ZERO, 64);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("build");
    let status = build(
        &server,
        &source,
        &out,
        &["--rule", "majority", "--limit", "20"],
    )
    .status();
    assert!(status.unwrap().success());
    let file = out.join(Trail::FILE);
    let whole = std::fs::read_to_string(&file).unwrap();
    for (from, to) in [
        (r#""outcome":"kept""#, r#""outcome":"not-confirmed""#),
        (r#""label":"first""#, r#""label":"second""#),
        (r#""preference":"first""#, r#""preference":"second""#),
        (r#"\"better\": \"A\""#, r#"\"better\": \"B\""#),
        ("[[A]]", "[[?]]"),
        (
            r#""order":"swapped","question"#,
            r#""order":"as-is","question"#,
        ),
    ] {
        let changed = whole.replacen(from, to, 1);
        assert_ne!(changed, whole, "{from} occurs");
        std::fs::write(&file, changed).unwrap();
        let output = run(&["data", "audit", "--json", out.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{from}");
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(!found["mismatches"].as_array().unwrap().is_empty());
    }
}

#[test]
fn a_larger_limit_goes_on_where_a_smaller_one_ended() {
    let Some(source) = real_data("text/llmbar") else {
        return;
    };
    let (server, answered) = server(Duration::ZERO, 64);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("build");
    let status = |limit: &str| {
        let status = build(&server, &source, &out, &["--limit", limit]).status();
        status.unwrap().code()
    };
    let ids = || -> HashSet<String> {
        let (_, records) = Trail::read(&out).unwrap();
        records.into_iter().map(|record| record.pair_id).collect()
    };
    assert_eq!(status("8"), Some(0));
    let few = ids();
    assert_eq!(status("20"), Some(0));
    let many = ids();
    assert_eq!((few.len(), many.len()), (8, 20));
    assert!(few.is_subset(&many));
    assert!(answered.lock().unwrap().values().all(|times| *times == 1));
    assert!(
        run(&["data", "audit", out.to_str().unwrap()])
            .status
            .success()
    );
    assert_eq!(status("8"), Some(2), "a smaller one is another build");
}

#[test]
fn a_budget_and_failures_stop_a_build_that_can_go_on() {
    let Some(source) = real_data("text/llmbar") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("build");
    let (healthy, answered) = server(Duration::ZERO, 64);
    let tight = [
        "--limit",
        "30",
        "--concurrency",
        "4",
        "--budget-tokens",
        "30000",
    ];
    let status = build(&healthy, &source, &out, &tight).status().unwrap();
    assert_eq!(status.code(), Some(2), "the budget stops it");
    let begun = Trail::read(&out).unwrap().1.len();
    assert!(0 < begun && begun < 30, "{begun}");
    let before = answered.lock().unwrap().len();

    let status = build(&healthy, &source, &out, &["--limit", "30"])
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(Trail::read(&out).unwrap().1.len(), 30);
    let answered = answered.lock().unwrap();
    assert!(answered.len() > before && answered.values().all(|times| *times == 1));

    let silent = ChatServer::start(ChatServerConfig::default(), |_, _| {
        Behaviour::status(500, "down")
    });
    let other = folder.path().join("other");
    let output = build(&silent, &source, &other, &["--max-retries", "0"])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("nothing is answered"), "{errors}");
}

#[test]
fn twenty_kills_lose_nothing_and_repeat_nothing() {
    let Some(source) = real_data("text/llmbar") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let limit = PAIRS.to_string();
    let settings = ["--rule", "majority", "--limit", &limit];
    let disturbed = folder.path().join("disturbed");
    // Slow enough for all kills to come before the last answer.
    let (server, answered) = server(Duration::from_millis(60), 8);
    let mut random = rand::rngs::StdRng::seed_from_u64(11);
    let mut recorded: HashMap<String, usize> = HashMap::new();
    let (mut kills, mut finished) = (0, 0);
    while kills < KILLS {
        let mut child = build(&server, &source, &disturbed, &settings)
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(random.random_range(50..450)));
        let alive = child.try_wait().unwrap().is_none();
        // SIGKILL: the program cannot tidy up.
        let _ = child.kill();
        child.wait().unwrap();
        kills += usize::from(alive);
        assert!(alive, "the build was over after {kills} kills");
        let rows = whole_rows(&disturbed);
        assert!(rows >= finished, "a row was lost: {rows} after {finished}");
        finished = rows;
        let now = recorded_replies(&disturbed);
        assert!(
            recorded.keys().all(|question| now.contains(question)),
            "a reply was lost"
        );
        for question in now {
            let times = answered.lock().unwrap()[&question];
            recorded.entry(question).or_insert(times);
        }
    }
    assert!(finished < PAIRS, "the last start had pairs to ask about");
    assert!(
        build(&server, &source, &disturbed, &settings)
            .status()
            .unwrap()
            .success()
    );

    let answered = answered.lock().unwrap().clone();
    for (question, times) in &recorded {
        assert_eq!(
            answered[question], *times,
            "a recorded reply was asked for again"
        );
    }
    assert!(
        finished > 0 && recorded.len() > 100,
        "the kills came while it was under way"
    );
    let undisturbed = folder.path().join("undisturbed");
    assert!(
        build(&server, &source, &undisturbed, &settings)
            .status()
            .unwrap()
            .success()
    );
    let trail = |out: &Path| Trail::read(out).unwrap();
    assert!(trail(&disturbed) == trail(&undisturbed));
    let bytes = |out: &Path| std::fs::read(out.join("pairs.jsonl")).unwrap();
    assert!(
        bytes(&disturbed) == bytes(&undisturbed),
        "the pairs are the same bytes"
    );
    assert!(
        run(&["data", "audit", disturbed.to_str().unwrap()])
            .status
            .success()
    );
    let again: usize = answered.values().map(|times| times - 1).sum();
    println!(
        "{KILLS} kills, {finished} of {PAIRS} rows and {} of {} replies recorded before the last start, \
         {again} asked for again because the kill came between sending and receiving",
        recorded.len(),
        answered.len(),
    );
}

// ---- The scripted models. ----

/// How often each question was answered, by its digest.
type Answered = Arc<Mutex<HashMap<String, usize>>>;

/// What a verifier does with a criterion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    Agrees,
    Opposes,
    PrefersTheFirstShown,
    CallsItATie,
    Mumbles,
    MumblesWhenTheWrongSideIsFirst,
    HesitatesWhenTheWrongSideIsFirst,
}

/// Follows from the verifier and the criterion alone, so that a test can know it.
fn conduct(verifier: &str, criterion: &str) -> Conduct {
    match Sha256::digest(format!("{verifier}/{criterion}"))[0] % 16 {
        0..=8 => Conduct::Agrees,
        9 => Conduct::Opposes,
        10 => Conduct::PrefersTheFirstShown,
        11 => Conduct::CallsItATie,
        12 => Conduct::Mumbles,
        13 => Conduct::MumblesWhenTheWrongSideIsFirst,
        _ => Conduct::HesitatesWhenTheWrongSideIsFirst,
    }
}

/// A writer and verifiers that decide by what they are asked, never by when.
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
        let text = all_text(body);
        let model = body["model"].as_str().unwrap().to_owned();
        let question = hex(&format!("{model}\n{text}"), 12);
        *seen.lock().unwrap().entry(question.clone()).or_default() += 1;
        let sides = ["A", "B"].map(|side| hex(shown(&text, side), 4));
        let answer = if model == "writer" {
            written(&sides)
        } else {
            verdict(&model, &criterion_in(&system_text(body)), &sides)
        };
        Behaviour::Reply(format!("<!-- {question} -->\n{answer}"))
    });
    (server, answered)
}

/// What a writer says of two responses, by their hashes in the order shown. What it says of which
/// response does not depend on the order.
fn written(sides: &[String; 2]) -> String {
    let (low, high) = if sides[0] < sides[1] {
        ("A", "B")
    } else {
        ("B", "A")
    };
    let code = code(sides);
    let low = json!({"criterion": format!("The answer keeps rule {code}-low."), "better": low});
    let high = json!({"criterion": format!("The answer keeps rule {code}-high."), "better": high});
    let criteria = match kind(&code) {
        0 => return "I would rather not say.".to_owned(),
        1 => json!([]),
        2 => json!([low]),
        3 => json!([low, {"criterion": "Response A is the better one.", "better": "A"}]),
        _ => json!([low, high]),
    };
    let block = serde_json::to_string(&json!({"criteria": criteria})).unwrap();
    let block = block.replace(r#""better":"#, r#""better": "#);
    format!("There is much to say.\n```json\n{block}\n```")
}

/// A hash of two responses in either order.
fn code(sides: &[String; 2]) -> String {
    let mut sorted = sides.clone();
    sorted.sort();
    hex(&sorted.concat(), 4)
}

fn kind(code: &str) -> u32 {
    u32::from_str_radix(&code[..2], 16).unwrap() % 8
}

fn verdict(model: &str, criterion: &str, sides: &[String; 2]) -> String {
    let prefers_low = criterion.ends_with("-low.");
    let first_is_right = (sides[0] < sides[1]) == prefers_low;
    let (right, wrong) = if first_is_right {
        ("[[A]]", "[[B]]")
    } else {
        ("[[B]]", "[[A]]")
    };
    let answer = match conduct(model, criterion) {
        Conduct::Agrees => right,
        Conduct::Opposes => wrong,
        Conduct::PrefersTheFirstShown => "[[A]]",
        Conduct::MumblesWhenTheWrongSideIsFirst | Conduct::HesitatesWhenTheWrongSideIsFirst
            if first_is_right =>
        {
            right
        }
        Conduct::CallsItATie | Conduct::HesitatesWhenTheWrongSideIsFirst => "[[C]]",
        Conduct::Mumbles | Conduct::MumblesWhenTheWrongSideIsFirst => "Hard to say.",
    };
    format!("I looked at both.\n{answer}")
}

/// What stands in a response's block.
fn shown<'a>(text: &'a str, side: &str) -> &'a str {
    let start = format!("[[RESPONSE {side}]]\n");
    let end = format!("[[END OF RESPONSE {side}]]");
    let after = text.split_once(&start).expect("the response is shown").1;
    after.split_once(&end).expect("the block ends").0.trim()
}

fn criterion_in(system: &str) -> String {
    let line = system
        .lines()
        .find(|line| line.starts_with("The answer keeps rule"));
    line.expect("the criterion stands in the system message")
        .to_owned()
}

fn hex(text: &str, bytes: usize) -> String {
    let digest = Sha256::digest(text);
    digest
        .iter()
        .take(bytes)
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

// ---- What a test knows by itself. ----

fn by_id(source: &Path) -> BTreeMap<String, PreferencePair> {
    let dataset = open(source, &OpenOptions::default()).unwrap();
    let pairs = dataset.pairs().map(|pair| pair.unwrap());
    pairs.map(|pair| (pair.id.clone(), pair)).collect()
}

fn sides(pair: &PreferencePair) -> [String; 2] {
    [0, 1].map(|index| hex(joined_text(&pair.responses[index].parts).trim(), 4))
}

/// The writer's criteria have the labels that it meant, whichever side it was shown first.
fn check_writer(record: &PairRecord, pair: &PreferencePair) {
    let sides = sides(pair);
    let low = if sides[0] < sides[1] {
        Preference::First
    } else {
        Preference::Second
    };
    let labels: Vec<Preference> = record.criteria.iter().map(|c| c.label).collect();
    let first_shown = match record.writer.order {
        Order::AsIs => Preference::First,
        Order::Swapped => Preference::Second,
    };
    let expected = match kind(&code(&sides)) {
        0 | 1 => vec![],
        2 => vec![low],
        3 => vec![low, first_shown],
        _ => vec![low, low.swapped()],
    };
    assert_eq!(labels, expected, "{}", record.pair_id);
}

/// The outcome by the rule, from the verifiers' conduct alone.
fn expected(criterion: &CriterionRecord, pair: &PreferencePair, rule: &str) -> Outcome {
    if criterion.criterion.starts_with("Response A") {
        return Outcome::NamesASide;
    }
    assert!(criterion.criterion.contains(&code(&sides(pair))));
    let one_order = rule.ends_with(",one-order");
    let confirms = |verifier: &&&str| match conduct(verifier, &criterion.criterion) {
        Conduct::Agrees => true,
        Conduct::MumblesWhenTheWrongSideIsFirst | Conduct::HesitatesWhenTheWrongSideIsFirst => {
            one_order
        }
        _ => false,
    };
    let confirming = VERIFIERS.iter().filter(confirms).count();
    let needed = match rule.split(',').next().unwrap() {
        "all" => 3,
        "majority" | "at-least-2" => 2,
        _ => 1,
    };
    if confirming >= needed {
        Outcome::Kept
    } else {
        Outcome::NotConfirmed
    }
}

fn check_report(report: &Value, records: &[PairRecord]) {
    let criteria: usize = records.iter().map(|record| record.criteria.len()).sum();
    let listed: u64 = report["outcomes"]
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(listed, criteria as u64);
    let both = records.iter().filter(|record| {
        let kept = record
            .criteria
            .iter()
            .filter(|c| c.outcome == Outcome::Kept);
        kept.map(|c| c.label).collect::<HashSet<_>>().len() == 2
    });
    assert_eq!(report["flips_kept"], both.count());
    let requests: usize = records
        .iter()
        .map(|record| 1 + record.criteria.iter().map(|c| c.votes.len()).sum::<usize>())
        .sum();
    assert_eq!(report["usage"]["requests"], requests);
    assert_eq!(report["agreement"].as_array().unwrap().len(), 3);
}

/// The written pairs are the kept criteria on the source's responses, and say how they came about.
fn check_pairs(out: &Path, records: &[PairRecord], sources: &BTreeMap<String, PreferencePair>) {
    let written: Vec<PreferencePair> = by_id(&out.join("pairs.jsonl")).into_values().collect();
    let kept = records
        .iter()
        .flat_map(|r| &r.criteria)
        .filter(|c| c.outcome == Outcome::Kept);
    assert_eq!(written.len(), kept.count());
    for pair in &written {
        let history = &pair.extra["build"];
        let source = &sources[history["pair_id"].as_str().unwrap()];
        assert_eq!(pair.responses, source.responses);
        assert_eq!(pair.cluster(), source.cluster());
        assert_eq!(history["votes"].as_array().unwrap().len(), 6);
        assert_eq!(history["writer"], "writer");
        assert_eq!(history["request_sha256"].as_str().unwrap().len(), 64);
    }
}

fn build(server: &ChatServer, source: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = omnireward();
    command
        .args([
            "data",
            "build",
            "--quiet",
            "--writer",
            "openai:writer",
            "--base-url",
            &server.base_url(),
        ])
        .args(
            VERIFIERS
                .iter()
                .flat_map(|name| ["--verifier".to_owned(), format!("openai:{name}")]),
        )
        .arg("--input")
        .arg(source)
        .arg("--out")
        .arg(out)
        .args(more)
        .stdout(Stdio::null());
    command
}

/// Whole lines of the trail, without the plan's.
fn whole_rows(out: &Path) -> usize {
    let text = std::fs::read_to_string(out.join(Trail::FILE)).unwrap_or_default();
    text.matches('\n').count().saturating_sub(1)
}

/// The questions whose replies are recorded: each reply begins with its question's digest.
fn recorded_replies(out: &Path) -> HashSet<String> {
    let file = out.join("replies/verdicts.sqlite");
    if !file.exists() {
        return HashSet::new();
    }
    let records = rusqlite::Connection::open(file).unwrap();
    let Ok(mut statement) = records.prepare("SELECT reply FROM replies") else {
        // Killed before the tables were made.
        return HashSet::new();
    };
    let replies = statement
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap();
    let digest = |reply: rusqlite::Result<String>| {
        let reply: Value = serde_json::from_str(&reply.unwrap()).unwrap();
        let text = reply["text"].as_str().unwrap().to_owned();
        text.split(' ').nth(1).unwrap().to_owned()
    };
    replies.map(digest).collect()
}
