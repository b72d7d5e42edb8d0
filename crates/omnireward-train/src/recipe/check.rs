//! What a recipe may say, beyond the types of its values.

use std::{
    collections::HashSet,
    fmt::{Debug, Display},
    hash::Hash,
};

use omnireward_core::OrderPolicy;

use super::{
    AnswersRecipe, CheckpointRecipe, DataRecipe, Engine, EvaluationRecipe, GrpoRecipe,
    HeldOutRecipe, LoraRecipe, ModelRecipe, ObjectiveRecipe, Part, PolicyRecipe, QuestionsRecipe,
    Recipe, RewardsRecipe, RolloutRecipe, SftRecipe, TrainRecipe, UpdateRecipe, WriterRecipe,
    fault::Fault,
};

type Checked = Result<(), Fault>;

pub(super) fn check(recipe: &Recipe) -> Checked {
    model(&recipe.model)?;
    train(&recipe.train)?;
    objective(&recipe.objective)?;
    some("data", &recipe.data)?;
    for (index, one) in recipe.data.iter().enumerate() {
        data(one, &format!("data.{index}"))?;
    }
    evaluation(&recipe.evaluation)?;
    checkpoints(&recipe.checkpoints)
}

pub(super) fn sft(recipe: &SftRecipe) -> Checked {
    writer(&recipe.model)?;
    update(&recipe.train)?;
    rollout(&recipe.rollout)?;
    some("data", &recipe.data)?;
    for (index, one) in recipe.data.iter().enumerate() {
        answers(one, &format!("data.{index}"))?;
    }
    evaluation(&recipe.evaluation)?;
    checkpoints(&recipe.checkpoints)
}

pub(super) fn grpo(recipe: &GrpoRecipe) -> Checked {
    writer(&recipe.model)?;
    update(&recipe.train)?;
    if recipe.train.trains_towers() {
        // A round may take several steps by prompts that were read before the first.
        let reason = "names a tower, expected `decoder` alone";
        return Err(Fault::new("train.parts", reason));
    }
    policy(&recipe.grpo)?;
    rollout(&recipe.rollout)?;
    rewards(recipe)?;
    some("data", &recipe.data)?;
    for (index, one) in recipe.data.iter().enumerate() {
        questions(one, &format!("data.{index}"))?;
    }
    evaluation(&recipe.evaluation)?;
    checkpoints(&recipe.checkpoints)
}

fn writer(model: &WriterRecipe) -> Checked {
    word("model.path", &model.path)?;
    count("model.max_length", model.max_length as u64)
}

fn update(train: &UpdateRecipe) -> Checked {
    distinct("train.parts", &train.parts)?;
    freeze(&train.freeze)?;
    if let Some(adapters) = &train.lora {
        low_rank(adapters)?;
    }
    length(train.epochs, train.steps)?;
    warmup(train.warmup_ratio, train.warmup_steps)?;
    count("train.batch", train.batch as u64)?;
    count("train.batch_rows", train.batch_rows as u64)?;
    positive("train.learning_rate", train.learning_rate)?;
    not_negative("train.weight_decay", train.weight_decay)?;
    below_one("train.betas.0", train.betas.0)?;
    below_one("train.betas.1", train.betas.1)?;
    positive("train.epsilon", train.epsilon)?;
    not_negative("train.clip", train.clip)?;
    count("train.log_every", train.log_every)
}

fn policy(policy: &PolicyRecipe) -> Checked {
    let rollouts = policy.rollouts;
    hold(
        "grpo.rollouts",
        rollouts,
        rollouts > 1,
        "at least 2, since replies are compared with one another",
    )?;
    if let Some(questions) = policy.update {
        count("grpo.update", questions as u64)?;
    }
    count("grpo.inner_epochs", policy.inner_epochs)?;
    below_one("grpo.clip_low", policy.clip_low)?;
    not_negative("grpo.clip_high", policy.clip_high)?;
    if let Some(most) = policy.dual_clip {
        let holds = most.is_finite() && most > 1.0 + policy.clip_high;
        hold(
            "grpo.dual_clip",
            most,
            holds,
            "a number above 1 + `grpo.clip_high`",
        )?;
    }
    not_negative("grpo.beta", policy.beta)?;
    not_negative("grpo.advantage_epsilon", policy.advantage_epsilon)
}

fn rollout(rollout: &RolloutRecipe) -> Checked {
    // Replies that are all the same teach nothing.
    positive("rollout.temperature", rollout.temperature)?;
    let top_p = rollout.top_p;
    hold(
        "rollout.top_p",
        top_p,
        top_p > 0.0 && top_p <= 1.0,
        "a share above 0, up to 1",
    )?;
    if let Some(tokens) = rollout.top_k {
        count("rollout.top_k", tokens as u64)?;
    }
    positive("rollout.repetition_penalty", rollout.repetition_penalty)?;
    if rollout.engine == Engine::Service {
        plain(rollout)?;
    }
    count("rollout.max_tokens", u64::from(rollout.max_tokens))?;
    count("rollout.kept_rows", rollout.kept_rows as u64)?;
    count("rollout.batch_rows", rollout.batch_rows as u64)
}

/// Fails where something is asked for that the protocol of services has no word for.
fn plain(rollout: &RolloutRecipe) -> Checked {
    let reason =
        "has no place in what a service is asked, expected none beside `engine = \"service\"`";
    if rollout.top_k.is_some() {
        return Err(Fault::new("rollout.top_k", reason));
    }
    if rollout.repetition_penalty.to_bits() != 1.0_f64.to_bits() {
        return Err(Fault::new("rollout.repetition_penalty", reason));
    }
    Ok(())
}

fn rewards(recipe: &GrpoRecipe) -> Checked {
    let RewardsRecipe {
        verdict,
        ties,
        format,
        agreement,
        criterion_flip,
        length,
    } = recipe.rewards;
    let weights = [
        ("verdict", verdict.map(|one| one.weight)),
        ("ties", ties.map(|one| one.weight)),
        ("format", format.map(|one| one.weight)),
        ("agreement", agreement.map(|one| one.weight)),
        ("criterion_flip", criterion_flip.map(|one| one.weight)),
        ("length", length.map(|one| one.weight)),
    ];
    for (name, weight) in weights {
        if let Some(weight) = weight {
            positive(&format!("rewards.{name}.weight"), weight)?;
        }
    }
    if weights.iter().all(|(_, weight)| weight.is_none()) {
        return Err(Fault::new(
            "rewards",
            "is empty, expected at least one function",
        ));
    }
    if let Some(ties) = ties {
        let holds = (0.0..=1.0).contains(&ties.near);
        hold(
            "rewards.ties.near",
            ties.near,
            holds,
            "a number from 0 to 1",
        )?;
    }
    if let Some(length) = length {
        let holds = length.from < recipe.rollout.max_tokens;
        hold(
            "rewards.length.from",
            length.from,
            holds,
            "less than `rollout.max_tokens`",
        )?;
    }
    if agreement.is_some() && recipe.grpo.orders != OrderPolicy::Both {
        return Err(Fault::new(
            "rewards.agreement",
            "is about replies in the other order, expected `grpo.orders` to be `both`",
        ));
    }
    Ok(())
}

fn answers(data: &AnswersRecipe, field: &str) -> Checked {
    word(&format!("{field}.path"), &data.path)?;
    positive(&format!("{field}.weight"), data.weight)?;
    selection(field, data.max_pairs, data.tasks.as_deref())
}

fn questions(data: &QuestionsRecipe, field: &str) -> Checked {
    word(&format!("{field}.path"), &data.path)?;
    if let Some(share) = data.share {
        let holds = share > 0.0 && share <= 1.0;
        hold(
            &format!("{field}.share"),
            share,
            holds,
            "a share above 0, up to 1",
        )?;
    }
    selection(field, data.max_pairs, data.tasks.as_deref())
}

fn model(model: &ModelRecipe) -> Checked {
    word("model.path", &model.path)?;
    count("model.max_length", model.max_length as u64)
}

fn train(train: &TrainRecipe) -> Checked {
    distinct("train.parts", &train.parts)?;
    freeze(&train.freeze)?;
    if let Some(adapters) = &train.lora {
        lora(adapters, &train.parts)?;
    }
    length(train.epochs, train.steps)?;
    warmup(train.warmup_ratio, train.warmup_steps)?;
    count("train.batch_pairs", train.batch_pairs as u64)?;
    count("train.batch_rows", train.batch_rows as u64)?;
    if let Some(pairs) = train.micro_batch_pairs {
        count("train.micro_batch_pairs", pairs as u64)?;
    }
    below_one("train.head_dropout", train.head_dropout)?;
    positive("train.learning_rate", train.learning_rate)?;
    not_negative("train.weight_decay", train.weight_decay)?;
    below_one("train.betas.0", train.betas.0)?;
    below_one("train.betas.1", train.betas.1)?;
    positive("train.epsilon", train.epsilon)?;
    not_negative("train.clip", train.clip)?;
    count("train.log_every", train.log_every)
}

fn lora(adapters: &LoraRecipe, parts: &[Part]) -> Checked {
    if !parts.contains(&Part::Decoder) {
        return Err(Fault::new(
            "train.lora",
            "adapts the decoder, which is not among `train.parts`",
        ));
    }
    low_rank(adapters)
}

fn low_rank(adapters: &LoraRecipe) -> Checked {
    count("train.lora.rank", adapters.rank as u64)?;
    positive("train.lora.alpha", adapters.alpha)?;
    distinct("train.lora.targets", &adapters.targets)
}

fn freeze(prefixes: &[String]) -> Checked {
    for (index, prefix) in prefixes.iter().enumerate() {
        word(&format!("train.freeze.{index}"), prefix)?;
    }
    Ok(())
}

fn length(epochs: Option<f64>, steps: Option<u64>) -> Checked {
    match (epochs, steps) {
        (Some(_), Some(_)) => Err(both("train.epochs", "train.steps")),
        (None, None) => Err(Fault::new(
            "train.epochs",
            "is missing, expected it or `train.steps`",
        )),
        (Some(epochs), None) => positive("train.epochs", epochs),
        (None, Some(steps)) => count("train.steps", steps),
    }
}

fn warmup(ratio: Option<f64>, steps: Option<u64>) -> Checked {
    match (ratio, steps) {
        (Some(_), Some(_)) => Err(both("train.warmup_ratio", "train.warmup_steps")),
        (Some(ratio), None) => share("train.warmup_ratio", ratio),
        (None, _) => Ok(()),
    }
}

fn objective(objective: &ObjectiveRecipe) -> Checked {
    not_negative("objective.centring", objective.centring)?;
    not_negative("objective.tie_learning_rate", objective.tie_learning_rate)?;
    share("objective.language_modelling", objective.language_modelling)?;
    hold(
        "objective.tie",
        objective.tie,
        objective.tie.is_finite(),
        "a finite number",
    )?;
    if objective.tie != 0.0 && !objective.likelihood.knows_ties() {
        return Err(Fault::new(
            "objective.tie",
            "is the start of a width of ties, which only the likelihoods `davidson` and `rao-kupper` learn",
        ));
    }
    Ok(())
}

fn data(data: &DataRecipe, field: &str) -> Checked {
    word(&format!("{field}.path"), &data.path)?;
    positive(&format!("{field}.weight"), data.weight)?;
    if let Some(words) = data.language_modelling {
        share(&format!("{field}.language_modelling"), words)?;
    }
    selection(field, data.max_pairs, data.tasks.as_deref())
}

fn evaluation(evaluation: &EvaluationRecipe) -> Checked {
    for (index, one) in evaluation.data.iter().enumerate() {
        held_out(one, &format!("evaluation.data.{index}"))?;
    }
    let mut names = HashSet::new();
    match (evaluation.data.iter()).position(|one| !names.insert(one.name())) {
        None => Ok(()),
        Some(index) => Err(Fault::new(
            format!("evaluation.data.{index}.name"),
            format!(
                "is `{}`, as of an entry before it, expected another one",
                evaluation.data[index].name()
            ),
        )),
    }
}

fn held_out(data: &HeldOutRecipe, field: &str) -> Checked {
    word(&format!("{field}.path"), &data.path)?;
    word(&format!("{field}.name"), data.name())?;
    selection(field, data.max_pairs, data.tasks.as_deref())
}

fn selection<T: Copy + Eq + Hash + Display>(
    field: &str,
    max_pairs: Option<usize>,
    tasks: Option<&[T]>,
) -> Checked {
    if let Some(pairs) = max_pairs {
        count(&format!("{field}.max_pairs"), pairs as u64)?;
    }
    tasks.map_or(Ok(()), |tasks| distinct(&format!("{field}.tasks"), tasks))
}

fn checkpoints(checkpoints: &CheckpointRecipe) -> Checked {
    count("checkpoints.keep", checkpoints.keep as u64)
}

fn both(one: &str, other: &str) -> Fault {
    Fault::new(
        one,
        format!("contradicts `{other}`, expected only one of them"),
    )
}

fn hold(field: &str, value: impl Debug, holds: bool, expected: &str) -> Checked {
    if holds {
        return Ok(());
    }
    let reason = format!("is `{value:?}`, expected {expected}");
    Err(Fault::new(field, reason))
}

fn positive(field: &str, value: f64) -> Checked {
    let holds = value.is_finite() && value > 0.0;
    hold(field, value, holds, "a number above 0")
}

fn not_negative(field: &str, value: f64) -> Checked {
    let holds = value.is_finite() && value >= 0.0;
    hold(field, value, holds, "a number of at least 0")
}

fn share(field: &str, value: f64) -> Checked {
    hold(
        field,
        value,
        (0.0..=1.0).contains(&value),
        "a share from 0 to 1",
    )
}

fn below_one(field: &str, value: f64) -> Checked {
    let holds = (0.0..1.0).contains(&value);
    hold(field, value, holds, "a number of at least 0 and below 1")
}

fn count(field: &str, value: u64) -> Checked {
    hold(field, value, value > 0, "a whole number above 0")
}

fn word(field: &str, value: &str) -> Checked {
    hold(field, value, !value.trim().is_empty(), "some text")
}

fn some<T>(field: &str, list: &[T]) -> Checked {
    if list.is_empty() {
        return Err(Fault::new(field, "is empty, expected at least one entry"));
    }
    Ok(())
}

/// A list of at least one entry, none of them twice.
fn distinct<T: Copy + Eq + Hash + Display>(field: &str, list: &[T]) -> Checked {
    some(field, list)?;
    let mut seen = HashSet::new();
    match list.iter().position(|entry| !seen.insert(*entry)) {
        None => Ok(()),
        Some(index) => Err(Fault::new(
            format!("{field}.{index}"),
            format!("is `{}` a second time", list[index]),
        )),
    }
}
