//! What a recipe may say, beyond the types of its values.

use std::{
    collections::HashSet,
    fmt::{Debug, Display},
    hash::Hash,
};

use super::{
    CheckpointRecipe, DataRecipe, EvaluationRecipe, HeldOutRecipe, LoraRecipe, ModelRecipe,
    ObjectiveRecipe, Part, Recipe, TrainRecipe, fault::Fault,
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

fn model(model: &ModelRecipe) -> Checked {
    word("model.path", &model.path)?;
    count("model.max_length", model.max_length as u64)
}

fn train(train: &TrainRecipe) -> Checked {
    distinct("train.parts", &train.parts)?;
    for (index, prefix) in train.freeze.iter().enumerate() {
        word(&format!("train.freeze.{index}"), prefix)?;
    }
    if let Some(adapters) = &train.lora {
        lora(adapters, &train.parts)?;
    }
    length(train)?;
    warmup(train)?;
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
    count("train.lora.rank", adapters.rank as u64)?;
    positive("train.lora.alpha", adapters.alpha)?;
    distinct("train.lora.targets", &adapters.targets)
}

fn length(train: &TrainRecipe) -> Checked {
    match (train.epochs, train.steps) {
        (Some(_), Some(_)) => Err(both("train.epochs", "train.steps")),
        (None, None) => Err(Fault::new(
            "train.epochs",
            "is missing, expected it or `train.steps`",
        )),
        (Some(epochs), None) => positive("train.epochs", epochs),
        (None, Some(steps)) => count("train.steps", steps),
    }
}

fn warmup(train: &TrainRecipe) -> Checked {
    match (train.warmup_ratio, train.warmup_steps) {
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
