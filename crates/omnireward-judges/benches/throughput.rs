//! How close the client comes to what a server admits, for any limit.
//!
//! The server, on loopback, takes 200 ms for each request, admits a number at once and answers 429
//! with `Retry-After: 1` beyond: 64 if nothing is said, so that 3,725 requests, as many as
//! Omni-RewardBench has pairs, cannot be done in less than 3,725 / 64 × 0.2 s = 11.64 s. The program
//! as a whole is measured by the benchmark `scale` of the crate `omnireward`.
//!
//! `cargo bench -p omnireward-judges --bench throughput [-- REQUESTS ADMITTED]`

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use omnireward_core::{ChatMessage, ChatModel, ChatPart, ChatRequest, Role, Sampling};
use omnireward_judges::{OpenAiClient, OpenAiConfig};
use omnireward_testkit::{Behaviour, ChatServer, ChatServerConfig};

const LATENCY: Duration = Duration::from_millis(200);

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a benchmark prints its result")]
async fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let requests = numbers.next().unwrap_or(3725);
    let admitted = numbers.next().unwrap_or(64);

    let ideal = LATENCY.mul_f64(requests as f64 / admitted as f64);
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
        choices: None,
    }
}
