use std::{
    fs,
    path::Path,
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use futures::future::join_all;
use omnireward_core::{
    ChatMessage, ChatModel, ChatPart, ChatRequest, Choices, Finish, Modality, ModelErrorKind,
    NoProgress, Role, Sampling,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    Error,
    checkpoint::{Family, RandomCheckpoint, Size},
    generation::GeneratorOptions,
};

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

fn checkpoint(family: Family, class: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    RandomCheckpoint::new(family, Size::Tiny)
        .with("architectures", json!([class]))
        .write(folder.path(), &NoProgress)
        .unwrap();
    folder
}

fn change(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut json = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut json);
    fs::write(path, json.to_string()).unwrap();
}

fn open(folder: &TempDir) -> WritingModel {
    WritingModel::open(folder.path(), &WritingOptions::default()).unwrap()
}

fn message(role: Role, text: &str) -> ChatMessage {
    ChatMessage {
        role,
        parts: vec![ChatPart::Text(text.to_owned())],
    }
}

fn asking(text: &str, sample: u32) -> ChatRequest {
    ChatRequest {
        messages: vec![message(Role::System, "Judge."), message(Role::User, text)],
        sampling: Sampling {
            temperature: Some(30.0),
            top_p: None,
            max_tokens: Some(12),
            seed: Some(5),
        },
        sample,
        choices: None,
    }
}

#[test]
fn questions_are_answered_together_as_they_are_alone() {
    for (family, class) in [
        (Family::Qwen2, "Qwen2ForCausalLM"),
        (Family::Llama, "LlamaForCausalLM"),
    ] {
        let folder = checkpoint(family, class);
        let model = open(&folder);
        let requests: Vec<ChatRequest> = (0..6)
            .map(|number| asking(["one", "two"][number % 2], number as u32 / 2))
            .collect();
        let alone: Vec<Written> = requests
            .iter()
            .map(|request| waited(model.write(request)).unwrap())
            .collect();
        let together = waited(join_all(
            requests.iter().map(|request| model.write(request)),
        ));
        let together: Vec<Written> = together.into_iter().map(Result::unwrap).collect();
        assert_eq!(together, alone);
        assert_ne!(alone[0].reply.text, alone[1].reply.text);
        assert_ne!(alone[0].reply.text, alone[2].reply.text);
        let usage = alone[0].reply.usage;
        assert_eq!(usage.requests, 1);
        assert!(usage.completion_tokens <= 12 && usage.prompt_tokens > 10);
        let again = waited(open(&folder).complete(&requests[3])).unwrap();
        assert_eq!(again, alone[3].reply);
        assert_eq!(model.identity().settings["architecture"], class);
    }
}

#[test]
fn choices_that_a_reply_makes_have_probabilities() {
    let folder = checkpoint(Family::Qwen2, "Qwen2ForCausalLM");
    let model = open(&folder);
    let choices = Choices {
        lead: String::new(),
        of: ('a'..='z').map(|letter| format!("{letter}]]")).collect(),
    };
    let mut told = 0;
    for sample in 0..8 {
        let plain = waited(model.complete(&asking("one", sample))).unwrap();
        let request = ChatRequest {
            choices: Some(choices.clone()),
            ..asking("one", sample)
        };
        let reply = waited(model.complete(&request)).unwrap();
        assert_eq!((&reply.text, plain.probabilities), (&plain.text, None));
        let has_choice = reply
            .text
            .contains(|letter: char| letter.is_ascii_lowercase());
        assert_eq!(
            reply.probabilities.is_some(),
            has_choice,
            "{:?}",
            reply.text
        );
        if let Some(each) = reply.probabilities {
            assert_eq!(each.len(), choices.of.len());
            assert!((each.iter().sum::<f64>() - 1.0).abs() < 1e-6);
            told += 1;
        }
    }
    assert!(told > 0, "a letter in eight times twelve bytes");
}

#[test]
fn what_a_request_leaves_open_is_as_the_checkpoint_has_it() {
    let folder = checkpoint(Family::Qwen2, "Qwen2ForCausalLM");
    change(&folder.path().join("generation_config.json"), |json| {
        json["max_new_tokens"] = 3.into();
        json["eos_token_id"] = json!([]);
    });
    let model = open(&folder);
    let mut request = asking("one", 0);
    request.sampling = Sampling::default();
    let reply = waited(model.complete(&request)).unwrap();
    assert_eq!(
        (reply.usage.completion_tokens, reply.finish),
        (3, Finish::Length)
    );
    request.sample = 1;
    let greedy = waited(model.complete(&request)).unwrap();
    assert_eq!(greedy, reply, "no sample differs from another");
    assert_eq!(model.identity().settings["sampling"]["max_tokens"], 3);
}

#[test]
fn the_token_that_ends_a_reply_is_not_in_its_text() {
    let folder = checkpoint(Family::Qwen2, "Qwen2ForCausalLM");
    let every_byte: Vec<u32> = (0..256).collect();
    change(&folder.path().join("generation_config.json"), |json| {
        json["eos_token_id"] = json!(every_byte);
    });
    let model = open(&folder);
    // Whatever byte comes ends it; special tokens have no words.
    let reply = waited(model.complete(&asking("one", 0))).unwrap();
    assert_eq!(reply.text, "");
}

#[test]
fn a_closing_gives_verdicts_and_their_probabilities() {
    let folder = checkpoint(Family::Qwen2, "Qwen2ForCausalLM");
    let closing = Closing {
        lead: " [[".to_owned(),
        choices: vec!["A]]".to_owned(), "B]]".to_owned()],
        unless: Vec::new(),
    };
    let options = WritingOptions {
        closing: Some(closing.clone()),
        ..WritingOptions::default()
    };
    let model = WritingModel::open(folder.path(), &options).unwrap();
    let request = asking("one", 0);
    let written = waited(model.write(&request)).unwrap();
    assert_eq!(written.reply.finish, Finish::Stop);
    let choice = written.choice.expect("there is one");
    let text = written.reply.text;
    assert!(
        text.ends_with([" [[A]]", " [[B]]"][choice.index]),
        "{text:?}"
    );
    let sum: f64 = choice.probabilities.iter().sum();
    assert!((sum - 1.0).abs() < 1e-9);
    let asked =
        |begun: &str| waited(model.probabilities(&request.messages, begun, &closing)).unwrap();
    assert_eq!(asked("so"), asked("so"));
    assert_ne!(asked("so"), asked("no"));

    let same = Closing {
        choices: vec!["A]]".to_owned(), "A".to_owned()],
        ..closing
    };
    let options = WritingOptions {
        closing: Some(same),
        ..WritingOptions::default()
    };
    let error = WritingModel::open(folder.path(), &options).unwrap_err();
    assert!(matches!(error, Error::Request { .. }), "{error}");
}

#[test]
fn conversations_that_cannot_be_answered_say_why() {
    let folder = checkpoint(Family::Qwen2, "Qwen2ForCausalLM");
    let options = WritingOptions {
        generator: GeneratorOptions {
            rows: 256,
            ..GeneratorOptions::default()
        },
        ..WritingOptions::default()
    };
    let model = WritingModel::open(folder.path(), &options).unwrap();
    let kind = |request: &ChatRequest| waited(model.write(request)).unwrap_err().kind;
    let mut seen = asking("one", 0);
    seen.messages[1].parts.push(ChatPart::Image {
        media_type: "image/png",
        bytes: [1, 2, 3].into(),
    });
    assert_eq!(kind(&seen), ModelErrorKind::Media);
    assert!(model.network().reads(Modality::Text) && !model.network().reads(Modality::Image));
    assert_eq!(
        kind(&asking(&"long ".repeat(60), 0)),
        ModelErrorKind::Rejected
    );
    let mut cold = asking("one", 0);
    cold.sampling.temperature = Some(-1.0);
    assert_eq!(kind(&cold), ModelErrorKind::Rejected);
    assert!(
        waited(model.write(&asking("one", 0))).is_ok(),
        "others are answered"
    );
}

/// A turn of its own, or the end of one, is not begun by what somebody says.
#[test]
fn what_is_said_is_never_a_special_token() {
    let folder = checkpoint(Family::Qwen2, "Qwen2ForCausalLM");
    let model = open(&folder);
    let network = model.network();
    let rows = |text: &str| network.prompt(&[message(Role::User, text)]).unwrap().rows;
    let said = "<|im_end|>";
    let special = network.tokens(said).unwrap();
    assert_eq!(special.len(), 1);
    let count = |text: &str| {
        let rows = rows(text);
        rows.iter().filter(|row| row.token == special[0]).count()
    };
    assert_eq!(count(said), count("a"));
    assert_eq!(rows(said).len(), rows("0123456789").len());
}

#[test]
fn checkpoints_that_do_not_write_are_refused() {
    let folder = checkpoint(Family::Qwen2, "Qwen2ForSequenceClassification");
    let refused = |folder: &TempDir| {
        WritingModel::open(folder.path(), &WritingOptions::default()).unwrap_err()
    };
    let error = refused(&folder);
    assert!(
        matches!(error, Error::UnknownArchitecture { .. }),
        "{error}"
    );

    let folder = checkpoint(Family::Qwen2, "Qwen2ForCausalLM");
    change(&folder.path().join("tokenizer_config.json"), |json| {
        json["chat_template"] =
            "{% for m in messages %}{{ m.role + m.content }}{% endfor %}".into();
    });
    let said = refused(&folder).to_string();
    assert!(said.contains("no generation prompt"), "{said}");
}
