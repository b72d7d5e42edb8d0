//! The chat client against a server on loopback that misbehaves in every way we know of.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use omnireward_core::{
    ChatMessage, ChatModel, ChatPart, ChatRequest, Finish, ModelErrorKind, Role, Sampling,
};
use omnireward_judges::{
    Backoff, ClientError, Concurrency, Failure, OpenAiClient, OpenAiConfig, Secret,
};
use omnireward_testkit::{
    Behaviour, ChatServer, ChatServerConfig,
    chat_server::{SentPart, Served, parts},
};
use serde_json::{Value, json};

fn config(server: &ChatServer) -> OpenAiConfig {
    let mut config = OpenAiConfig::new(server.base_url(), "a-model");
    config.timeout = Duration::from_secs(10);
    config.backoff = Backoff {
        first: Duration::from_millis(2),
        cap: Duration::from_millis(10),
    };
    config
}

fn client(server: &ChatServer) -> OpenAiClient {
    OpenAiClient::new(config(server)).expect("the configuration is valid")
}

fn question(text: &str) -> ChatRequest {
    ChatRequest {
        messages: vec![ChatMessage {
            role: Role::User,
            parts: vec![ChatPart::Text(text.to_owned())],
        }],
        sampling: Sampling::default(),
        sample: 0,
        choices: None,
    }
}

/// A server that behaves as told for its first requests and well afterwards.
fn after(bad: impl IntoIterator<Item = Behaviour>) -> ChatServer {
    let bad: Vec<_> = bad.into_iter().collect();
    ChatServer::start(ChatServerConfig::default(), move |_, nth| {
        let good = || Behaviour::Reply("good".to_owned());
        bad.get(nth).cloned().unwrap_or_else(good)
    })
}

fn always(behaviour: Behaviour) -> ChatServer {
    ChatServer::start(ChatServerConfig::default(), move |_, _| behaviour.clone())
}

#[tokio::test]
async fn every_kind_of_part_arrives_as_it_was() {
    let server = ChatServer::start(
        ChatServerConfig {
            keep_media: true,
            ..ChatServerConfig::default()
        },
        |_, _| Behaviour::Reply("[[B]]".to_owned()),
    );
    let file: Arc<[u8]> = (0..=255).cycle().take(100_001).collect();
    let mut request = question("which?");
    request.messages[0].parts.extend([
        ChatPart::Image {
            media_type: "image/jpeg",
            bytes: file.clone(),
        },
        ChatPart::Audio {
            media_type: "audio/wav",
            bytes: file.clone(),
        },
        ChatPart::Video {
            media_type: "video/mp4",
            bytes: file.clone(),
        },
    ]);
    request.sampling.temperature = Some(0.0);
    let reply = client(&server).complete(&request).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.finish), ("[[B]]", Finish::Stop));
    assert_eq!(reply.model.as_deref(), Some("loopback"));
    assert_eq!(
        (reply.usage.requests, reply.usage.completion_tokens),
        (1, 1)
    );

    let seen = server.requests();
    assert_eq!((seen.len(), seen[0].served), (1, Served::Answered));
    assert_eq!(seen[0].authorization, None);
    assert_eq!(seen[0].body["model"], "a-model");
    assert_eq!(seen[0].body["temperature"], 0.0);
    assert!(seen[0].body.get("seed").is_none());
    assert_eq!(
        parts(&seen[0].body)[1..],
        [
            SentPart::Image {
                media_type: "image/jpeg".into(),
                bytes: file.to_vec()
            },
            SentPart::Audio {
                format: "wav".into(),
                bytes: file.to_vec()
            },
            SentPart::Video {
                media_type: "video/mp4".into(),
                bytes: file.to_vec()
            },
        ]
    );
}

#[tokio::test]
async fn reasoning_is_kept_beside_the_text() {
    let server = always(Behaviour::Json(
        json!({"choices": [{"finish_reason": "length",
        "message": {"content": "[[A]]", "reasoning_content": "hm"}}]}),
    ));
    let answer = client(&server).ask(&question("?")).await.unwrap();
    assert_eq!(answer.reply.text, "[[A]]");
    assert_eq!(answer.reasoning.as_deref(), Some("hm"));
    assert_eq!(answer.reply.finish, Finish::Length);
}

#[tokio::test]
async fn what_may_pass_is_asked_again() {
    for bad in [
        Behaviour::Reset,
        Behaviour::CutOff,
        Behaviour::HalfJson,
        Behaviour::Empty,
        Behaviour::NotJson,
        Behaviour::Json(json!({"choices": []})),
        Behaviour::Json(json!({"unrelated": true})),
        Behaviour::Json(json!(["a list"])),
        Behaviour::Json(json!({"error": {"message": "upstream", "code": 502}})),
        Behaviour::status(408, "slow"),
        Behaviour::status(409, "conflict"),
        Behaviour::status(425, "early"),
        Behaviour::status(429, "busy"),
        Behaviour::status(500, "oops"),
        Behaviour::status(503, "overloaded"),
        Behaviour::status(529, "overloaded"),
    ] {
        let server = after([bad.clone(), bad.clone()]);
        let client = client(&server);
        let reply = client.complete(&question("?")).await;
        assert_eq!(
            reply.expect("the third attempt succeeds").text,
            "good",
            "{bad:?}"
        );
        let stats = client.stats();
        assert_eq!(
            (stats.sent, stats.retries, stats.answered, stats.failed),
            (3, 2, 1, 0)
        );
        assert_eq!(stats.in_flight, 0);
        assert_eq!(server.admitted(), 3);
    }
}

#[tokio::test]
async fn what_goes_on_is_given_up_with_its_last_cause() {
    for (bad, expected) in [
        (Behaviour::Reset, "connection"),
        (Behaviour::CutOff, "the connection broke"),
        (
            Behaviour::HalfJson,
            "ends in the middle of its json, after ",
        ),
        (Behaviour::Empty, "the reply is empty"),
        (Behaviour::NotJson, "the reply is not json but `text/html`"),
        (Behaviour::Json(json!({"choices": []})), "no choice"),
        (
            Behaviour::Json(json!({"choices": 7})),
            "not a chat completion (line 1, column ",
        ),
        (
            Behaviour::Json(json!({"error": "upstream"})),
            "inside a success: upstream",
        ),
        (Behaviour::status(500, "oops"), "status 500: oops"),
    ] {
        let server = always(bad.clone());
        let mut config = config(&server);
        config.max_attempts = 3;
        let client = OpenAiClient::new(config).unwrap();
        let error = client.complete(&question("?")).await.unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::Transport);
        let chain = error.chain();
        assert!(
            chain.contains("after 3 attempts") && chain.contains(expected),
            "{bad:?}: {chain}"
        );
        assert_eq!(
            (server.admitted(), client.stats().failed),
            (3, 1),
            "{bad:?}"
        );
    }
}

#[tokio::test]
async fn what_will_not_pass_is_asked_once() {
    let quota = Behaviour::Status {
        code: 429,
        headers: vec![],
        body: json!({"error": {"message": "no credit", "code": "insufficient_quota"}}).to_string(),
    };
    let elsewhere = Behaviour::Status {
        code: 307,
        headers: vec![("location".into(), "http://127.0.0.1:1/".into())],
        body: "moved".into(),
    };
    for (bad, kind, expected) in [
        (
            Behaviour::status(401, "who?"),
            ModelErrorKind::Unauthorized,
            "(status 401): who?",
        ),
        (
            Behaviour::status(403, "no"),
            ModelErrorKind::Unauthorized,
            "(status 403): no",
        ),
        (
            Behaviour::status(400, "bad\n  part"),
            ModelErrorKind::Rejected,
            "(status 400): bad part",
        ),
        (
            Behaviour::status(404, "no model"),
            ModelErrorKind::Rejected,
            "(status 404): no model",
        ),
        (
            Behaviour::status(413, "large"),
            ModelErrorKind::Rejected,
            "(status 413): large",
        ),
        (
            Behaviour::status(422, "form"),
            ModelErrorKind::Rejected,
            "(status 422): form",
        ),
        (quota, ModelErrorKind::Rejected, "no credit"),
        (elsewhere, ModelErrorKind::Rejected, "(status 307): moved"),
    ] {
        let server = always(bad.clone());
        let client = client(&server);
        let error = client.complete(&question("?")).await.unwrap_err();
        assert_eq!(error.kind, kind, "{bad:?}");
        assert!(error.chain().contains(expected), "{}", error.chain());
        assert_eq!((server.admitted(), client.stats().retries), (1, 0));
    }
}

#[tokio::test]
async fn a_filter_that_declines_by_an_error_is_a_refusal() {
    let server = always(Behaviour::Status {
        code: 400,
        headers: vec![],
        body: json!({"error": {"message": "filtered", "code": "content_filter"}}).to_string(),
    });
    let reply = client(&server).complete(&question("?")).await.unwrap();
    assert_eq!(
        (reply.text.as_str(), reply.finish),
        ("filtered", Finish::Refusal)
    );
}

#[tokio::test]
async fn the_key_is_sent_and_never_shown() {
    let key = "sk-the-private-key";
    let server = ChatServer::start(ChatServerConfig::default(), move |_, nth| match nth {
        0 => Behaviour::Reply("good".to_owned()),
        1 => Behaviour::status(401, &format!("bad key {key}")),
        2 => Behaviour::status(422, &format!("bad header Bearer {key}")),
        3 => Behaviour::Json(json!({"error": {"message": key}})),
        _ => Behaviour::status(500, key),
    });
    let mut config = config(&server);
    config.api_key = Some(Secret::new(key));
    config.max_attempts = 1;
    let client = OpenAiClient::new(config).unwrap();
    client.complete(&question("?")).await.unwrap();
    let sent = server.requests()[0].authorization.clone();
    assert_eq!(sent.as_deref(), Some("Bearer sk-the-private-key"));
    for _ in 0..4 {
        let error = client.complete(&question("?")).await.unwrap_err();
        let shown = format!("{} {error:?} {client:?}", error.chain());
        assert!(
            shown.contains("[secret]") && !shown.contains("private"),
            "{shown}"
        );
    }
    assert_eq!(server.admitted(), 5);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time_and_tried_again() {
    let server = after([Behaviour::Hang]);
    let mut config = config(&server);
    config.timeout = Duration::from_millis(150);
    let client = OpenAiClient::new(config).unwrap();
    let start = Instant::now();
    assert_eq!(client.complete(&question("?")).await.unwrap().text, "good");
    assert!(
        start.elapsed() >= Duration::from_millis(150),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(client.stats().timeouts, 1);

    let server = always(Behaviour::Hang);
    let mut config = config_with_timeout(&server, 50);
    config.max_attempts = 2;
    let error = OpenAiClient::new(config)
        .unwrap()
        .ask(&question("?"))
        .await
        .unwrap_err();
    let ClientError::GaveUp {
        attempts: 2,
        last: Failure::Timeout { seconds },
    } = error
    else {
        panic!("{error:?}")
    };
    assert!((seconds - 0.05).abs() < 1e-9);
}

fn config_with_timeout(server: &ChatServer, milliseconds: u64) -> OpenAiConfig {
    let mut config = config(server);
    config.timeout = Duration::from_millis(milliseconds);
    config
}

#[tokio::test]
async fn nothing_at_the_address_is_said_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut config = OpenAiConfig::new(format!("http://{address}/v1"), "m");
    config.max_attempts = 2;
    config.backoff.first = Duration::from_millis(1);
    let error = OpenAiClient::new(config)
        .unwrap()
        .complete(&question("?"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Transport);
    let chain = error.chain();
    assert!(
        chain.contains("cannot connect: ") && chain.contains("2 attempts"),
        "{chain}"
    );
}

#[tokio::test]
async fn retry_after_is_kept() {
    let milliseconds = Behaviour::Status {
        code: 429,
        headers: vec![("retry-after-ms".into(), "300".into())],
        body: String::new(),
    };
    // A date is a moment, so its question comes first.
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(3));
    for (bad, least_ms) in [
        (Behaviour::busy(&date), 900),
        (Behaviour::busy("1"), 1000),
        (milliseconds, 300),
    ] {
        let server = after([bad.clone()]);
        let client = client(&server);
        client.complete(&question("?")).await.unwrap();
        let seen = server.requests();
        let gap = seen[1].at.checked_sub(seen[0].at).unwrap();
        assert!(gap >= Duration::from_millis(least_ms), "{bad:?}: {gap:?}");
        assert!(
            gap <= Duration::from_millis(least_ms + 2500),
            "{bad:?}: {gap:?}"
        );
        assert_eq!(client.stats().refused, 1);
    }
}

#[tokio::test]
async fn a_wait_that_is_too_long_fails_at_once() {
    let server = always(Behaviour::busy("86400"));
    let start = Instant::now();
    let error = client(&server).ask(&question("?")).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(
        matches!(
            error,
            ClientError::GaveUp {
                attempts: 1,
                last: Failure::WaitTooLong { .. }
            }
        ),
        "{error:?}"
    );
    assert_eq!(server.admitted(), 1);
}

#[tokio::test]
async fn a_reply_without_end_is_not_read() {
    let server = always(Behaviour::Reply("x".repeat(200_000)));
    let mut config = config(&server);
    config.max_reply_bytes = 100_000;
    config.max_attempts = 1;
    let error = OpenAiClient::new(config)
        .unwrap()
        .ask(&question("?"))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::GaveUp {
                last: Failure::TooLarge { limit: 100_000 },
                ..
            }
        ),
        "{error:?}"
    );
}

/// Asks `count` questions, all at once as far as the client lets them.
async fn ask_many(client: &OpenAiClient, count: usize) {
    stream::iter(0..count)
        .for_each_concurrent(None, |number| async move {
            let reply = client
                .complete(&question(&format!("number {number}")))
                .await;
            let reply = reply.expect("the server answers every request in the end");
            assert_eq!(reply.text, format!("number {number}"));
        })
        .await;
}

fn echo(body: &Value, _: usize) -> Behaviour {
    Behaviour::Reply(omnireward_testkit::chat_server::all_text(body))
}

#[tokio::test]
async fn every_request_is_answered_once_by_a_server_of_any_size() {
    for admitted in [1, 4, 500] {
        let server = ChatServer::start(
            ChatServerConfig {
                latency: Duration::from_millis(5),
                admitted: Some(admitted),
                retry_after: Some("0.05".to_owned()),
                ..ChatServerConfig::default()
            },
            echo,
        );
        let client = client(&server);
        ask_many(&client, 200).await;
        let stats = client.stats();
        assert_eq!(
            (server.answered(), stats.answered, stats.failed),
            (200, 200, 0)
        );
        assert_eq!(stats.sent as usize, 200 + server.no_room());
        assert_eq!((stats.in_flight, stats.waiting), (0, 0));
        assert!(server.peak() <= admitted);
        assert!(server.no_room() <= 50, "{}", server.no_room());
    }
}

#[tokio::test]
async fn a_fixed_limit_is_never_exceeded() {
    let server = ChatServer::start(
        ChatServerConfig {
            latency: Duration::from_millis(5),
            ..ChatServerConfig::default()
        },
        echo,
    );
    let mut config = config(&server);
    config.concurrency = Concurrency::Fixed(3);
    ask_many(&OpenAiClient::new(config).unwrap(), 60).await;
    assert_eq!((server.peak(), server.answered()), (3, 60));
}

#[tokio::test]
async fn a_request_that_is_dropped_frees_its_place() {
    let server = after([Behaviour::Hang]);
    let mut config = config(&server);
    config.concurrency = Concurrency::Fixed(1);
    let client = OpenAiClient::new(config).unwrap();
    let hanging = question("?");
    let asked = tokio::time::timeout(Duration::from_millis(100), client.complete(&hanging));
    assert!(asked.await.is_err());
    assert_eq!(client.complete(&question("?")).await.unwrap().text, "good");
}

#[tokio::test]
async fn seeds_differ_between_repeats() {
    let server = ChatServer::replying("x");
    let client = client(&server);
    for sample in 0..3 {
        let mut request = question("?");
        request.sampling.seed = Some(40);
        request.sample = sample;
        client.complete(&request).await.unwrap();
    }
    let seeds: Vec<_> = server
        .requests()
        .iter()
        .map(|request| request.body["seed"].as_u64())
        .collect();
    assert_eq!(seeds, [Some(40), Some(41), Some(42)]);
}
