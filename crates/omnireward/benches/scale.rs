//! The whole program against a loopback chat server with 200 ms latency that admits 64 requests at
//! once and answers 429 beyond.
//!
//! `cargo bench -p omnireward --bench scale` judges 3,725 text pairs, beside a serial loop as the
//! original evaluation has it. With a folder as argument (a full-size Omni-RewardBench; the example
//! `full_size_bench` of `omnireward-data` makes one) it judges that, and reports the time to the
//! first request and the largest resident memory.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use omnireward_testkit::{Behaviour, ChatServer, ChatServerConfig, memory::peak_resident_bytes};
use serde_json::json;

const LATENCY: Duration = Duration::from_millis(200);
const ADMITTED: usize = 64;
const PAIRS: usize = 3_725;
/// The serial loop is measured on this many requests and scaled up: all of them take 12 minutes.
const SERIAL_SAMPLE: usize = 100;

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let given = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let benchmark = given.clone().unwrap_or_else(|| text_pairs(folder.path()));
    let ours = judge(&benchmark, &folder.path().join("run"));
    let ideal = ours.answered as f64 / ADMITTED as f64 * LATENCY.as_secs_f64();
    println!("requests answered          {}", ours.answered);
    println!(
        "refused with 429           {} ({:.2} %)",
        ours.refused,
        100.0 * ours.refused as f64 / ours.answered as f64
    );
    println!("ideal                      {ideal:.2} s");
    println!(
        "ours, whole program        {:.2} s = {:.3} × ideal",
        ours.total.as_secs_f64(),
        ours.total.as_secs_f64() / ideal
    );
    println!(
        "ours, first to last reply  {:.2} s = {:.3} × ideal",
        ours.asking.as_secs_f64(),
        ours.asking.as_secs_f64() / ideal
    );
    println!(
        "first request after        {:.2} s",
        ours.first_request.as_secs_f64()
    );
    println!(
        "largest resident memory    {} MB",
        ours.peak_bytes / 1_024_000
    );
    if given.is_none() {
        let serial = serial_loop();
        println!(
            "serial loop, scaled up     {serial:.0} s = {:.1} × ours",
            serial / ours.total.as_secs_f64()
        );
    }
}

struct Measured {
    answered: usize,
    refused: usize,
    total: Duration,
    asking: Duration,
    first_request: Duration,
    peak_bytes: u64,
}

fn server() -> ChatServer {
    let config = ChatServerConfig {
        latency: LATENCY,
        admitted: Some(ADMITTED),
        ..ChatServerConfig::default()
    };
    ChatServer::start(config, |_, nth| {
        Behaviour::Reply(format!("Compared.\n[[{}]]", ["A", "B"][nth % 2]))
    })
}

fn judge(benchmark: &str, out: &Path) -> Measured {
    let server = server();
    let begun = server.uptime();
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_omnireward"))
        .args([
            "eval",
            "--quiet",
            "--judge",
            "openai:loopback",
            "--base-url",
            &server.base_url(),
        ])
        .args([
            "--setting",
            "with-ties",
            "--order",
            "as-is",
            "--no-html",
            "--benchmark",
            benchmark,
            "--out",
        ])
        .arg(out)
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut peak_bytes = 0;
    while child
        .try_wait()
        .expect("a child can be waited for")
        .is_none()
    {
        peak_bytes = peak_bytes.max(peak_resident_bytes(child.id()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    let total = started.elapsed();
    assert!(
        child.wait().expect("the child has ended").success(),
        "the run failed"
    );
    let requests = server.requests();
    let first = requests.first().expect("something was asked").at;
    let last = requests.last().expect("something was asked").at;
    Measured {
        answered: server.answered(),
        refused: server.no_room(),
        total,
        asking: (last + LATENCY).saturating_sub(first),
        first_request: first.saturating_sub(begun),
        peak_bytes,
    }
}

fn text_pairs(folder: &Path) -> String {
    let words = "what the answer says about it in some more words ".repeat(18);
    let line = |number: usize| {
        let label = ["first", "second"][number % 2];
        let pair = json!({
            "id": format!("{number}"), "task": "T2T", "prompt": format!("Question {number}?"),
            "criterion": "Short.", "label": label,
            "responses": [format!("Yes, {number}: {words}"), format!("No, {number}: {words}")],
        });
        pair.to_string()
    };
    let lines: Vec<String> = (0..PAIRS).map(line).collect();
    let path = folder.join("pairs.jsonl");
    std::fs::write(&path, lines.join("\n")).expect("a temporary file can be written");
    path.to_str().expect("temporary paths are text").to_owned()
}

/// One request after the other, as the original evaluation's loop has it.
fn serial_loop() -> f64 {
    let server = server();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be started");
    let config = omnireward_judges::OpenAiConfig::new(server.base_url(), "loopback");
    let client = omnireward_judges::OpenAiClient::new(config).expect("the address is one");
    let started = Instant::now();
    runtime.block_on(async {
        for number in 0..SERIAL_SAMPLE {
            let request = omnireward_core::ChatRequest {
                messages: vec![omnireward_core::ChatMessage {
                    role: omnireward_core::Role::User,
                    parts: vec![omnireward_core::ChatPart::Text(format!(
                        "Question {number}?"
                    ))],
                }],
                sampling: omnireward_core::Sampling::default(),
                sample: 0,
                choices: None,
            };
            omnireward_core::ChatModel::complete(&client, &request)
                .await
                .expect("a reply");
        }
    });
    started.elapsed().as_secs_f64() / SERIAL_SAMPLE as f64 * PAIRS as f64
}
