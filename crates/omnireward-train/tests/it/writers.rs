//! Models that write: supervised fine-tuning and GRPO, from recipe to checkpoint.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use omnireward_core::{
    ChatMessage, ChatPart, ModelError, NoProgress, Preference, PreferencePair, Progress, Role,
    Setting,
};
use omnireward_models::{
    checkpoint::{Family, RandomCheckpoint, Size},
    weights::StoredType,
};
use omnireward_train::{
    Error, GrpoRecipe, HeldOut, SftRecipe,
    grpo::{
        GrpoTrained, GrpoTraining, LocalEngine, Protocol, QuestionSet, RoundRecord,
        reward::{Candidate, RewardFunction, Rewards, Weighted},
    },
    metrics::{self, Record},
    sft::{AnswerSet, SftTrained, SftTraining},
};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{bytes, text_pairs};

/// A tiny language model. Its matrix to the vocabulary is one of its own, so that it is sure of nothing yet.
fn writer() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut random = RandomCheckpoint::new(Family::Qwen2, Size::Tiny)
        .with("architectures", json!(["Qwen2ForCausalLM"]))
        .with("tie_word_embeddings", false);
    random.dtype = StoredType::F32;
    random.write(folder.path(), &NoProgress).unwrap();
    folder
}

/// Asks in few words. A reply that begins with an upper-case letter is a verdict.
struct Short;

impl Protocol for Short {
    fn messages(&self, pair: &PreferencePair, _: Setting) -> Result<Vec<ChatMessage>, ModelError> {
        let text = format!("{} or not?", pair.id);
        Ok(vec![ChatMessage {
            role: Role::User,
            parts: vec![ChatPart::Text(text)],
        }])
    }

    fn verdict(&self, reply: &str, _: Setting) -> Option<Preference> {
        match reply.chars().next()? {
            'A'..='M' => Some(Preference::First),
            'N'..='Z' => Some(Preference::Second),
            _ => None,
        }
    }
}

/// The share of a reply's tokens that are even.
struct Even;

impl RewardFunction for Even {
    fn name(&self) -> &'static str {
        "even"
    }

    fn value(&self, candidate: &Candidate<'_>) -> Option<f64> {
        let tokens = &candidate.answer.rollout.tokens;
        let even = tokens.iter().filter(|token| token.is_multiple_of(2));
        Some(even.count() as f64 / tokens.len() as f64)
    }
}

/// The same of every reply, or nothing that is a number.
struct Constant(f64);

impl RewardFunction for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn value(&self, _: &Candidate<'_>) -> Option<f64> {
        Some(self.0)
    }
}

fn only(function: impl RewardFunction + 'static) -> Rewards {
    Rewards(vec![Weighted {
        function: Box::new(function),
        weight: 1.0,
    }])
}

const GRPO: &str = "
[train]
batch = 4
steps = 24
learning_rate = 5e-3
weight_decay = 0.0
gradient_checkpointing = false
[grpo]
rollouts = 8
samples = 2
[rollout]
max_tokens = 8
[rewards]
verdict = { weight = 1 }
[[data]]
path = 'memory'
";

fn grpo_recipe(base: &Path, overrides: &[&str]) -> GrpoRecipe {
    let text = format!("model.path = {:?}\n{GRPO}", base.display().to_string());
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    GrpoRecipe::parse(&text, Path::new("grpo.toml"), &overrides).unwrap()
}

fn grpo(
    recipe: &GrpoRecipe,
    rewards: Rewards,
    out: &Path,
    progress: &dyn Progress,
) -> Result<GrpoTrained, Error> {
    let training = GrpoTraining {
        recipe,
        base: Path::new(&recipe.model.path),
        sets: vec![QuestionSet {
            name: "memory".to_owned(),
            pairs: text_pairs(8),
            share: None,
        }],
        held_out: vec![HeldOut {
            name: "held-out".to_owned(),
            pairs: text_pairs(2),
        }],
        protocol: &Short,
        engine: Box::new(LocalEngine::new(recipe.train.side_by_side)),
        rewards,
        out,
        host: "test",
        record: json!({"test": true}),
    };
    training.run(progress)
}

fn rounds(out: &Path) -> Vec<RoundRecord> {
    let records = metrics::read(&out.join(metrics::LINES)).unwrap();
    let round = |record| match record {
        Record::Round(round) => Some(round),
        _ => None,
    };
    records.into_iter().filter_map(round).collect()
}

#[test]
fn a_policy_does_more_of_what_is_rewarded() {
    let base = writer();
    let out = tempfile::tempdir().unwrap();
    let recipe = grpo_recipe(base.path(), &["grpo.beta=0.001"]);
    let trained = grpo(&recipe, only(Even), out.path(), &NoProgress).unwrap();
    assert_eq!((trained.rounds, trained.updates), (24, 24));
    assert_eq!(trained.without_gradient, Vec::<String>::new());
    let rounds = rounds(out.path());
    let mean = |rounds: &[RoundRecord]| {
        rounds.iter().map(|round| round.reward).sum::<f64>() / rounds.len() as f64
    };
    let (before, after) = (mean(&rounds[..4]), mean(&rounds[20..]));
    assert!(after > before + 0.15, "from {before} to {after}");
    // On-policy, no ratio is beyond a bound, and the reference is where it began.
    assert_eq!(
        (rounds[0].clipped_low, rounds[0].clipped_high),
        (Some(0.0), Some(0.0))
    );
    assert!(
        rounds[0].divergence.unwrap().abs() < 1e-6,
        "{:?}",
        rounds[0].divergence
    );
    assert!(
        rounds[23].divergence.unwrap() > 1e-3,
        "{:?}",
        rounds[23].divergence
    );
    assert!(rounds.iter().all(|round| round.entropy.unwrap() > 0.0));
    assert!(out.path().join("rollouts/round-00000001.jsonl").exists());
}

#[test]
fn groups_without_variance_change_nothing_and_are_counted() {
    let base = writer();
    let out = tempfile::tempdir().unwrap();
    let recipe = grpo_recipe(base.path(), &["train.steps=2"]);
    let trained = grpo(&recipe, only(Constant(0.5)), out.path(), &NoProgress).unwrap();
    let rounds = rounds(out.path());
    assert!(
        rounds
            .iter()
            .all(|round| (round.groups, round.skipped) == (4, 4))
    );
    assert_eq!(rounds[1].loss, None);
    assert!(!trained.without_gradient.is_empty());
    assert_eq!((trained.rounds, trained.updates), (2, 2));
}

#[test]
fn a_reward_that_is_no_number_is_named() {
    let base = writer();
    let out = tempfile::tempdir().unwrap();
    let recipe = grpo_recipe(base.path(), &[]);
    let error = grpo(&recipe, only(Constant(f64::NAN)), out.path(), &NoProgress).unwrap_err();
    let said = error.to_string();
    assert!(
        matches!(
            error,
            Error::Reward {
                function: "constant",
                rollout: 1,
                ..
            }
        ),
        "{said}"
    );
    assert!(
        said.contains("`constant`") && said.contains("`NaN`"),
        "{said}"
    );
}

#[test]
fn prompts_that_leave_no_room_are_named() {
    let base = writer();
    let out = tempfile::tempdir().unwrap();
    let recipe = grpo_recipe(base.path(), &["model.max_length=9"]);
    let error = grpo(&recipe, only(Even), out.path(), &NoProgress).unwrap_err();
    assert!(matches!(error, Error::TooLong { limit: 9, .. }), "{error}");
}

/// Stops after so many rounds as a kill would: nothing after it happens.
struct Kill {
    after: u64,
    done: AtomicU64,
}

impl Progress for Kill {
    fn begin(&self, _: &str, _: Option<u64>) {}

    fn advance(&self, rounds: u64, note: &str) {
        let is_round = note.starts_with("reward");
        let stops =
            is_round && self.done.fetch_add(rounds, Ordering::Relaxed) + rounds == self.after;
        assert!(!stops, "killed");
    }

    fn end(&self) {}
}

#[test]
fn a_policy_that_was_stopped_ends_in_the_same_bytes() {
    let base = writer();
    let settings = [
        "train.steps=6",
        "grpo.update=2",
        "grpo.inner_epochs=2",
        "grpo.beta=0.01",
        "grpo.orders=both",
        "checkpoints.every=2",
        "evaluation.every=3",
    ];
    let recipe = grpo_recipe(base.path(), &settings);
    let whole = tempfile::tempdir().unwrap();
    grpo(&recipe, only(Even), whole.path(), &NoProgress).unwrap();
    for after in [1, 3, 4, 6] {
        let out = tempfile::tempdir().unwrap();
        let kill = Kill {
            after,
            done: AtomicU64::new(0),
        };
        let killed = catch_unwind(AssertUnwindSafe(|| {
            grpo(&recipe, only(Even), out.path(), &kill)
        }));
        assert!(killed.is_err(), "it was to be killed after {after}");
        grpo(&recipe, only(Even), out.path(), &NoProgress).unwrap();
        assert_eq!(bytes(out.path()), bytes(whole.path()), "after {after}");
        let measured = |folder: &Path| -> Vec<(u64, u64, Option<u64>)> {
            let rounds = rounds(folder).into_iter();
            rounds
                .map(|round| {
                    (
                        round.step,
                        round.reward.to_bits(),
                        round.loss.map(f64::to_bits),
                    )
                })
                .collect()
        };
        assert_eq!(
            measured(out.path()),
            measured(whole.path()),
            "after {after}"
        );
    }
}

#[test]
fn computing_layers_again_and_packing_otherwise_teach_the_same() {
    let base = writer();
    let trained = |overrides: &[&str]| {
        let out = tempfile::tempdir().unwrap();
        let all = [&["train.steps=2", "grpo.beta=0.01"], overrides].concat();
        let recipe = grpo_recipe(base.path(), &all);
        grpo(&recipe, only(Even), out.path(), &NoProgress).unwrap();
        rounds(out.path())
            .into_iter()
            .map(|round| round.reward.to_bits())
            .collect::<Vec<_>>()
    };
    let plain = trained(&[]);
    assert_eq!(trained(&["train.gradient_checkpointing=true"]), plain);
    assert_eq!(trained(&["rollout.batch_rows=16"]), plain);
}

#[test]
fn passes_side_by_side_teach_the_same() {
    let base = writer();
    let folders = ["train.side_by_side=false", "train.side_by_side=true"].map(|setting| {
        let out = tempfile::tempdir().unwrap();
        let all = [
            "train.steps=3",
            "train.batch_rows=64",
            "grpo.beta=0.01",
            setting,
        ];
        let recipe = grpo_recipe(base.path(), &all);
        grpo(&recipe, only(Even), out.path(), &NoProgress).unwrap();
        out
    });
    let weights = folders
        .each_ref()
        .map(|out| bytes(&out.path().join("last")));
    assert_eq!(weights[0], weights[1]);
    let folders = ["side_by_side = false", "side_by_side = true"].map(|setting| {
        let out = tempfile::tempdir().unwrap();
        let settings = format!("steps = 4\nbatch_rows = 32\n{setting}");
        sft(base.path(), &settings, out.path()).unwrap();
        out
    });
    let weights = folders
        .each_ref()
        .map(|out| bytes(&out.path().join("last")));
    assert_eq!(weights[0], weights[1]);
}

fn sft(base: &Path, settings: &str, out: &Path) -> Result<SftTrained, Error> {
    let text = format!(
        "model.path = {:?}\n[train]\nbatch = 4\nlearning_rate = 5e-3\nweight_decay = 0.0\n{settings}\n\
         [rollout]\nmax_tokens = 8\n[[data]]\npath = 'memory'\n",
        base.display().to_string()
    );
    let recipe = SftRecipe::parse(&text, Path::new("sft.toml"), &[]).unwrap();
    let mut pairs = text_pairs(8);
    for pair in &mut pairs {
        let answer = match pair.label {
            Some(Preference::First) => "A",
            _ => "Z",
        };
        pair.extra.insert("answer".to_owned(), answer.into());
    }
    let training = SftTraining {
        recipe: &recipe,
        base,
        held_out: vec![HeldOut {
            name: "the same".to_owned(),
            pairs: pairs.clone(),
        }],
        sets: vec![AnswerSet {
            name: "memory".to_owned(),
            pairs,
            weight: 1.0,
        }],
        protocol: &Short,
        out,
        host: "test",
        record: json!({"test": true}),
    };
    training.run(&NoProgress)
}

#[test]
fn answers_are_learned_by_heart() {
    let base = writer();
    for adapters in ["", "lora = { rank = 8, alpha = 32 }"] {
        let out = tempfile::tempdir().unwrap();
        sft(base.path(), &format!("steps = 80\n{adapters}"), out.path()).unwrap();
        let records = metrics::read(&out.path().join(metrics::LINES)).unwrap();
        let losses: Vec<f64> = records
            .iter()
            .filter_map(|record| match record {
                Record::Step(step) => step.words_loss,
                _ => None,
            })
            .collect();
        assert_eq!(losses.len(), 80);
        assert!(losses[79] < 0.5 * losses[0], "{adapters}: {losses:?}");
        let Some(Record::Verdicts(verdicts)) = records.last() else {
            panic!("the last measurement is of verdicts");
        };
        // Each of eight pairs in both orders; the label is turned, and the question stays the same.
        assert_eq!(verdicts.overall.pairs, 16);
        assert_eq!(out.path().join("adapter").exists(), !adapters.is_empty());
    }
}
