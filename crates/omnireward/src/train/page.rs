//! The page of a training, made of what it measured.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use omnireward_eval::report::{
    HeldOut, HeldOutPoint, HeldOutShare, SeriesUnit, TrainingPage, TrainingSeries, training_html,
};
use omnireward_train::{
    Best, Recipe,
    metrics::{self, Agreement, EvaluationRecord, Record, StepRecord},
};

use crate::model::grouped;

/// The page's file in the training's folder.
pub(crate) const PAGE: &str = "training.html";

/// Writes the page of the training in `out`.
pub(crate) fn write(out: &Path, recipe: &Recipe, best: Option<Best>) -> Result<()> {
    let records = metrics::read(&out.join(metrics::LINES))?;
    let mut steps = Vec::new();
    let mut evaluations = Vec::new();
    for record in records {
        match record {
            Record::Step(step) => steps.push(step),
            Record::Evaluation(evaluation) => evaluations.push(evaluation),
        }
    }
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let page = TrainingPage {
        title: name.into_owned(),
        subtitle: format!("trained from {}", recipe.model.path),
        command: Some(format!(
            "omnireward train bt --recipe {} --out {}",
            out.join("recipe.toml").display(),
            out.display()
        )),
        facts: facts(&steps),
        settings: recipe.settings(),
        series: series(&steps),
        evaluations: held_out(&evaluations, best),
        notes: Vec::new(),
    };
    let path = out.join(PAGE);
    fs::write(&path, training_html(&page))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

fn facts(steps: &[StepRecord]) -> Vec<(String, String)> {
    let Some(last) = steps.last() else {
        return Vec::new();
    };
    let fact = |name: &str, value: String| (name.to_owned(), value);
    vec![
        fact("steps", last.step.to_string()),
        fact("epochs", format!("{:.2}", last.epoch)),
        fact("minutes", format!("{:.1}", last.seconds / 60.0)),
        fact("rows", grouped(last.rows)),
    ]
}

fn series(steps: &[StepRecord]) -> Vec<TrainingSeries> {
    use SeriesUnit::{Number, Share};
    type Value = fn(&StepRecord) -> Option<f64>;
    let all: [(&str, &str, SeriesUnit, bool, Value); 8] = [
        ("loss", "The mean loss of a pair.", Number, true, |step| {
            Some(step.loss)
        }),
        (
            "accuracy",
            "The share of pairs whose better response has the larger reward, ties left out.",
            Share,
            true,
            |step| step.accuracy,
        ),
        (
            "margin",
            "The mean of the better response's reward less the other's.",
            Number,
            true,
            |step| step.margin,
        ),
        (
            "words",
            "The mean of −log p of a word that is learned.",
            Number,
            true,
            |step| step.words_loss,
        ),
        (
            "learning rate",
            "Of the optimiser.",
            Number,
            false,
            |step| Some(step.rate),
        ),
        (
            "gradient norm",
            "Before it was clipped.",
            Number,
            true,
            |step| Some(step.grad_norm),
        ),
        (
            "tokens per second",
            "Of all sequences, those counted for each that several share.",
            Number,
            true,
            |step| Some(step.tokens_per_second),
        ),
        (
            "tie margin",
            "Rewards closer than this are most likely a tie.",
            Number,
            false,
            |step| Some(step.tie_margin),
        ),
    ];
    all.into_iter()
        .map(|(name, text, unit, scatters, value)| TrainingSeries {
            name: name.to_owned(),
            text: text.to_owned(),
            unit,
            scatters,
            points: steps
                .iter()
                .filter_map(|step| Some((step.step as f64, value(step)?)))
                .collect(),
        })
        .filter(|series| series.points.iter().any(|&(_, value)| value != 0.0))
        .collect()
}

fn held_out(evaluations: &[EvaluationRecord], best: Option<Best>) -> Vec<HeldOut> {
    let mut sets: Vec<HeldOut> = Vec::new();
    for evaluation in evaluations {
        let index = sets.iter().position(|set| set.name == evaluation.name);
        let index = index.unwrap_or_else(|| {
            sets.push(HeldOut {
                name: evaluation.name.clone(),
                points: Vec::new(),
                best: best.map(|best| best.step),
            });
            sets.len() - 1
        });
        sets[index].points.push(point(evaluation));
    }
    sets
}

fn point(evaluation: &EvaluationRecord) -> HeldOutPoint {
    HeldOutPoint {
        step: evaluation.step,
        loss: evaluation.loss,
        overall: share(evaluation.overall),
        with_ties: share(evaluation.with_ties),
        tasks: evaluation
            .tasks
            .iter()
            .map(|task| (task.task, share(task.agreement)))
            .collect(),
    }
}

fn share(agreement: Agreement) -> HeldOutShare {
    HeldOutShare {
        correct: agreement.correct,
        pairs: agreement.pairs,
    }
}
