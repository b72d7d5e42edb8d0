//! Our side of the comparison of GRPO with TRL; `run.sh` beside this file builds and drives it.
//!
//! `grpo make FOLDER` writes a checkpoint and `prompts.json`; `grpo train FOLDER ROUNDS` trains it and prints the seconds of
//! each round, as a JSON list.
#![expect(
    clippy::print_stdout,
    reason = "standard output is how the driver talks to this program"
)]

use std::{fs, path::Path};

use omnireward_core::{
    ChatMessage, ChatPart, ModelError, NoProgress, Preference, PreferencePair, Response, Role,
    Setting, Task,
};
use omnireward_models::{
    checkpoint::{Family, RandomCheckpoint, Size},
    weights::StoredType,
};
use omnireward_train::{
    GrpoRecipe,
    grpo::{
        GrpoTraining, LocalEngine, Protocol, QuestionSet,
        reward::{Candidate, RewardFunction, Rewards, Weighted},
    },
    metrics::{self, Record},
};
use serde_json::json;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Error = Box<dyn std::error::Error>;

/// Questions of a round.
const GROUPS: usize = 8;

/// Letters of a prompt, each of them a token; the chat template adds the rest of 256.
const LETTERS: usize = 200;

const RECIPE: &str = "
[train]
batch = 8
batch_rows = 4096
learning_rate = 1e-6
gradient_checkpointing = false
[grpo]
rollouts = 8
[rollout]
max_tokens = 64
[rewards]
verdict = { weight = 1 }
[[data]]
path = 'prompts.json'
";

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["make", folder] => make(Path::new(folder)),
        ["train", folder, rounds] => train(Path::new(folder), rounds),
        _ => Err("see run.sh".into()),
    }
}

/// A language model of 24 million parameters, and prompts.
fn make(folder: &Path) -> Result<(), Error> {
    let mut random = RandomCheckpoint::new(Family::Qwen2, Size::Tiny)
        .with("architectures", json!(["Qwen2ForCausalLM"]))
        .with("tie_word_embeddings", false)
        .with("hidden_size", 512)
        .with("intermediate_size", 1408)
        .with("num_attention_heads", 8)
        .with("num_key_value_heads", 2)
        .with("num_hidden_layers", 8)
        .with("max_window_layers", 8);
    random.dtype = StoredType::F32;
    random.replace = true;
    random.write(folder, &NoProgress)?;
    let prompts: Vec<String> = (0..GROUPS).map(prompt).collect();
    fs::write(folder.join("prompts.json"), serde_json::to_vec(&prompts)?)?;
    Ok(())
}

fn prompt(number: usize) -> String {
    let letter =
        |place: usize| char::from(b'a' + ((place * place + 7 * place * number) % 26) as u8);
    (0..LETTERS).map(letter).collect()
}

fn train(folder: &Path, rounds: &str) -> Result<(), Error> {
    let prompts: Vec<String> = serde_json::from_slice(&fs::read(folder.join("prompts.json"))?)?;
    let pairs = prompts.iter().enumerate().map(|(number, prompt)| {
        let responses = ["a", "b"].map(Response::text);
        PreferencePair::new(number.to_string(), Task::T2T, prompt.as_str(), responses)
            .with_label(Preference::First)
    });
    let text = format!("model.path = {:?}\n{RECIPE}", folder.display().to_string());
    let recipe = GrpoRecipe::parse(
        &text,
        Path::new("grpo.toml"),
        &[format!("train.steps={rounds}")],
    )?;
    let out = std::env::temp_dir().join(format!("omnireward-grpo-{}", std::process::id()));
    let training = GrpoTraining {
        recipe: &recipe,
        base: folder,
        sets: vec![QuestionSet {
            name: "prompts".to_owned(),
            pairs: pairs.collect(),
            share: None,
        }],
        held_out: Vec::new(),
        protocol: &Plain,
        engine: Box::new(LocalEngine::default()),
        rewards: Rewards(vec![Weighted {
            function: Box::new(Even),
            weight: 1.0,
        }]),
        out: &out,
        host: "bench",
        record: json!({}),
    };
    training.run(&NoProgress)?;
    let records = metrics::read(&out.join(metrics::LINES))?;
    fs::remove_dir_all(&out)?;
    let ends = records.into_iter().filter_map(|record| match record {
        Record::Round(round) => Some(round.seconds),
        _ => None,
    });
    let mut before = 0.0;
    let seconds: Vec<f64> = ends
        .map(|end| end - std::mem::replace(&mut before, end))
        .collect();
    println!("{}", serde_json::to_string(&seconds)?);
    Ok(())
}

/// Asks with a pair's prompt alone.
struct Plain;

impl Protocol for Plain {
    fn messages(&self, pair: &PreferencePair, _: Setting) -> Result<Vec<ChatMessage>, ModelError> {
        Ok(vec![ChatMessage {
            role: Role::User,
            parts: vec![ChatPart::Text(omnireward_core::joined_text(&pair.prompt))],
        }])
    }

    fn verdict(&self, _: &str, _: Setting) -> Option<Preference> {
        None
    }
}

/// The share of a reply's letters that are of an even number, as the peer's reward has it.
struct Even;

impl RewardFunction for Even {
    fn name(&self) -> &'static str {
        "even"
    }

    fn value(&self, candidate: &Candidate<'_>) -> Option<f64> {
        let letters: Vec<char> = candidate.answer.rollout.text.chars().collect();
        let even = letters
            .iter()
            .filter(|letter| (**letter as u32).is_multiple_of(2));
        Some(even.count() as f64 / letters.len().max(1) as f64)
    }
}
