//! Recipes for models that write.

use omnireward_core::{OrderPolicy, Setting};

use super::*;
use crate::grpo::{Average, Scale, reward::AnswerForm};

const SMALLEST_SFT: &str = r#"
model.path = "base"
[train]
batch = 4
learning_rate = 1e-5
steps = 3
[[data]]
path = "answers.jsonl"
"#;

const SMALLEST_GRPO: &str = r#"
model.path = "base"
[train]
batch = 4
learning_rate = 1e-6
epochs = 2
[rewards]
verdict = { weight = 1 }
[[data]]
path = "pairs.jsonl"
"#;

fn sft(overrides: &[&str]) -> Result<SftRecipe, Error> {
    let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
    SftRecipe::parse(SMALLEST_SFT, Path::new("a.toml"), &overrides)
}

fn grpo(overrides: &[&str]) -> Result<GrpoRecipe, Error> {
    let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
    GrpoRecipe::parse(SMALLEST_GRPO, Path::new("a.toml"), &overrides)
}

fn wrong<R: std::fmt::Debug>(read: Result<R, Error>) -> (String, String) {
    match read {
        Err(Error::Recipe { field, reason, .. }) => (field, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_left_out_is_trls() {
    let recipe = grpo(&[]).unwrap();
    let GrpoRecipe {
        grpo,
        rollout,
        question,
        ..
    } = &recipe;
    assert_eq!(
        (grpo.rollouts, grpo.inner_epochs, grpo.update),
        (8, 1, None)
    );
    assert_eq!(
        (grpo.clip_low, grpo.clip_high, grpo.dual_clip),
        (0.2, 0.2, None)
    );
    assert_eq!((grpo.beta, grpo.advantage_epsilon), (0.0, 1e-4));
    assert_eq!(
        (grpo.scale, grpo.average),
        (Scale::Deviation, Average::Reply)
    );
    assert_eq!((rollout.temperature, rollout.top_p), (1.0, 1.0));
    assert_eq!(question.setting, Setting::WithoutTies);
    let train = &recipe.train;
    assert_eq!(
        (train.schedule, train.warmup()),
        (Schedule::Constant, Warmup::Ratio(0.0))
    );
    assert_eq!(
        (train.weight_decay, train.seed, train.clip),
        (1e-2, 42, 1.0)
    );
    let functions = recipe.rewards.functions(question, 10);
    assert_eq!(functions.names().collect::<Vec<_>>(), ["verdict"]);
    assert_eq!(sft(&[]).unwrap().train.length(), Length::Steps(3));
}

#[test]
fn what_is_written_is_read_again_by_each_kind() {
    let recipe = grpo(&[
        "grpo.dual_clip=3",
        "grpo.orders=both",
        "rewards.agreement.weight=0.5",
        "rewards.ties={ weight = 1, near = 0.25 }",
        "rewards.length={ weight = 0.1, from = 100 }",
        "train.lora={ rank = 4, alpha = 8 }",
        "data.0.share=0.03",
        "evaluation.data=[{ path = 'held' }]",
        "question.answer=boxed",
    ])
    .unwrap();
    let again = GrpoRecipe::parse(&recipe.to_toml(), Path::new("b.toml"), &[]).unwrap();
    assert_eq!(again, recipe);
    let names: Vec<_> = recipe
        .rewards
        .functions(&recipe.question, 256)
        .names()
        .collect();
    assert_eq!(names, ["verdict", "ties", "agreement", "length"]);
    let recipe = sft(&["data.0.weight=2", "train.epochs=2"]).unwrap();
    let again = SftRecipe::parse(&recipe.to_toml(), Path::new("b.toml"), &[]).unwrap();
    assert_eq!(again, recipe);
    assert_eq!(recipe.train.length(), Length::Epochs(2.0));
}

#[test]
fn what_cannot_be_is_refused() {
    for (overrides, field, expected) in [
        (&["grpo.rollouts=1"][..], "grpo.rollouts", "at least 2"),
        (&["grpo.update=0"], "grpo.update", "above 0"),
        (&["grpo.clip_low=1"], "grpo.clip_low", "below 1"),
        (&["grpo.dual_clip=1.1"], "grpo.dual_clip", "above 1 +"),
        (&["grpo.beta=-1"], "grpo.beta", "at least 0"),
        (&["grpo.beta=nan"], "grpo.beta", "at least 0"),
        (
            &["grpo.clip=0.1"],
            "grpo.clip",
            "did you mean `clip_low`, `clip_high`",
        ),
        (&["rollout.temperature=0"], "rollout.temperature", "above 0"),
        (&["rollout.top_p=0"], "rollout.top_p", "above 0"),
        (
            &["rollout.max_tokens=1.5"],
            "rollout.max_tokens",
            "whole number",
        ),
        (
            &["rollout.engine=service", "rollout.top_k=5"],
            "rollout.top_k",
            "no place",
        ),
        (&["rewards={}"], "rewards", "at least one"),
        (
            &["rewards.verdict.weight=0"],
            "rewards.verdict.weight",
            "above 0",
        ),
        (
            &["rewards.formt={ weight = 1 }"],
            "rewards.formt",
            "`format`",
        ),
        (
            &["rewards.agreement.weight=1"],
            "rewards.agreement",
            "`both`",
        ),
        (
            &["rewards.length={ weight = 1, from = 256 }"],
            "rewards.length.from",
            "`rollout.max_tokens`",
        ),
        (&["data.0.share=1.5"], "data.0.share", "up to 1"),
        (&["question.answer=loud"], "question.answer", "`brackets`"),
        (&["train.batch=0"], "train.batch", "above 0"),
        (
            &["train.parts=['decoder', 'vision']"],
            "train.parts",
            "`decoder` alone",
        ),
    ] {
        let (at, reason) = wrong(grpo(overrides));
        assert_eq!(
            (at.as_str(), reason.contains(expected)),
            (field, true),
            "{overrides:?}: {at} {reason}"
        );
    }
    let (at, reason) = wrong(sft(&["train.epochs=1", "data.0.weight=0"]));
    assert_eq!(at, "data.0.weight", "{reason}");
    let (at, reason) = wrong(sft(&["data.0.tasks=['T2I', 'T2I']"]));
    assert_eq!(at, "data.0.tasks.1", "{reason}");
    assert_eq!(wrong(sft(&["data=[]"])).0, "data");
    let train = sft(&["train.parts=['vision']"]).unwrap().train;
    assert!(train.trains("visual.blocks.0.attn.qkv.weight") && train.trains_towers());
    assert!(!train.trains("lm_head.weight") && !train.trains("score.weight"));
}

#[test]
fn the_papers_generative_recipe_has_the_papers_settings() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/omni-reward-r1.toml");
    let recipe = GrpoRecipe::read(&path, &[]).unwrap();
    assert_eq!(recipe.model.path, "hf:Qwen/Qwen2.5-VL-7B-Instruct");
    assert_eq!(recipe.train.length(), Length::Epochs(2.0));
    assert_eq!(
        (recipe.train.learning_rate, recipe.train.weight_decay),
        (1e-6, 1e-2)
    );
    assert_eq!(recipe.grpo.rollouts, 6);
    assert_eq!(recipe.question.answer, AnswerForm::Boxed);
    // What EasyR1 does where the paper is silent.
    assert_eq!((recipe.train.batch, recipe.grpo.update), (512, Some(128)));
    assert_eq!((recipe.grpo.clip_low, recipe.grpo.clip_high), (0.2, 0.3));
    assert_eq!((recipe.grpo.dual_clip, recipe.grpo.beta), (Some(3.0), 1e-2));
    assert_eq!(
        (recipe.rollout.temperature, recipe.rollout.top_p),
        (1.0, 0.99)
    );
    assert_eq!(recipe.rollout.max_tokens, 2048);
    let weights: Vec<f64> = recipe
        .rewards
        .functions(&recipe.question, 2048)
        .0
        .iter()
        .map(|part| part.weight)
        .collect();
    assert_eq!(weights, [0.9, 0.1]);
    // The data put the preferred response first.
    assert_eq!(recipe.grpo.orders, OrderPolicy::Seeded);
    assert_eq!(recipe.data.len(), 13);
    assert!(recipe.data.iter().all(|set| set.share == Some(0.0315)));
}
