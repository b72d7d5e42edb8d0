//! How close the client comes to what a server admits.
//!
//! The server, on loopback, takes 200 ms for each request, admits 64 at once and answers 429 with
//! `Retry-After: 1` beyond. 3,725 requests, as many as Omni-RewardBench has pairs, cannot be done
//! in less than 3,725 / 64 × 0.2 s = 11.64 s. The peer is the loop of the reference: one request
//! after the other, as a plain HTTP client sends them, measured on 50 and multiplied.
//!
//! `cargo bench -p omnireward-judges --bench throughput [-- REQUESTS ADMITTED]`

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use omnireward_core::{ChatMessage, ChatModel, ChatPart, ChatRequest, Role, Sampling};
use omnireward_judges::{OpenAiClient, OpenAiConfig};
use omnireward_testkit::{Behaviour, ChatServer, ChatServerConfig};

const LATENCY: Duration = Duration::from_millis(200);
const SERIAL_SAMPLE: usize = 50;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a benchmark prints its result")]
async fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let requests = numbers.next().unwrap_or(3725);
    let admitted = numbers.next().unwrap_or(64);

    let ideal = LATENCY.mul_f64(requests as f64 / admitted as f64);
    let serial = serial(admitted, requests).await;
    let server = server(admitted);
    let client = OpenAiClient::new(OpenAiConfig::new(server.base_url(), "loopback"))
        .expect("the configuration is valid");
    let start = Instant::now();
    stream::iter(0..requests)
        .for_each_concurrent(None, |number| ask(&client, number))
        .await;
    let took = start.elapsed();

    let stats = client.stats();
    assert_eq!(
        server.answered(),
        requests,
        "every request is answered once"
    );
    println!(
        "{requests} requests, {} ms each, {admitted} admitted at once",
        LATENCY.as_millis()
    );
    println!("  ideal               {:8.2} s", ideal.as_secs_f64());
    println!(
        "  this client         {:8.2} s   {:.3} x ideal",
        took.as_secs_f64(),
        took.div_duration_f64(ideal)
    );
    println!(
        "  one after the other {:8.2} s   {:.1} x this client (from {SERIAL_SAMPLE} requests)",
        serial.as_secs_f64(),
        serial.div_duration_f64(took)
    );
    println!(
        "  refused (429)       {:8}     {:.2} % of {} sent",
        server.no_room(),
        100.0 * server.no_room() as f64 / stats.sent as f64,
        stats.sent
    );
    println!(
        "  peak at the server  {:8}     limit found {}",
        server.peak(),
        stats.limit
    );
}

fn server(admitted: usize) -> ChatServer {
    ChatServer::start(
        ChatServerConfig {
            latency: LATENCY,
            admitted: Some(admitted),
            record: false,
            ..ChatServerConfig::default()
        },
        |_, _| Behaviour::Reply("[[A]]".to_owned()),
    )
}

async fn ask(client: &OpenAiClient, number: usize) {
    client
        .complete(&question(number))
        .await
        .expect("the server answers every request in the end");
}

async fn serial(admitted: usize, requests: usize) -> Duration {
    let server = server(admitted);
    let client = OpenAiClient::new(OpenAiConfig::new(server.base_url(), "loopback"))
        .expect("the configuration is valid");
    let start = Instant::now();
    for number in 0..SERIAL_SAMPLE {
        ask(&client, number).await;
    }
    start
        .elapsed()
        .mul_f64(requests as f64 / SERIAL_SAMPLE as f64)
}

fn question(number: usize) -> ChatRequest {
    ChatRequest {
        messages: vec![ChatMessage {
            role: Role::User,
            parts: vec![ChatPart::Text(format!(
                "Which response is better? Pair {number}. {}",
                "Two responses of ordinary length follow. ".repeat(50)
            ))],
        }],
        sampling: Sampling::default(),
        sample: 0,
    }
}
