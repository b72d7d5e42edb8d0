//! The page of a training, made of what it measured.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use omnireward_core::Task;
use omnireward_eval::report::{
    HeldOut, HeldOutPoint, HeldOutShare, SeriesUnit, TrainingPage, TrainingSeries, training_html,
};
use omnireward_train::{
    Best,
    grpo::{RoundRecord, VerdictsRecord},
    metrics::{self, Agreement, EvaluationRecord, Record, StepRecord, TaskAgreement},
};

use crate::model::grouped;

/// The page's file in the training's folder.
pub(crate) const PAGE: &str = "training.html";

/// What a training is.
pub(crate) struct About<'a> {
    /// Which of the trainings the program knows.
    pub(crate) verb: &'a str,
    /// What it was trained from.
    pub(crate) base: &'a str,
    /// Every setting, by its dotted key.
    pub(crate) settings: Vec<(String, String)>,
}

/// Writes the page of the training in `out`.
pub(crate) fn write(out: &Path, about: About<'_>, best: Option<Best>) -> Result<()> {
    let (mut steps, mut rounds, mut points) = (Vec::new(), Vec::new(), Vec::new());
    for record in metrics::read(&out.join(metrics::LINES))? {
        match record {
            Record::Step(step) => steps.push(step),
            Record::Round(round) => rounds.push(round),
            Record::Evaluation(one) => points.push((one.name.clone(), point(&one))),
            Record::Verdicts(one) => points.push((one.name.clone(), point_of_verdicts(&one))),
        }
    }
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let mut facts = facts(&steps);
    facts.extend(facts_of_rounds(&rounds));
    let mut series = series(&steps);
    series.extend(series_of_rounds(&rounds));
    let page = TrainingPage {
        title: name.into_owned(),
        subtitle: format!("trained from {}", about.base),
        command: Some(format!(
            "omnireward train {} --recipe {} --out {}",
            about.verb,
            out.join("recipe.toml").display(),
            out.display()
        )),
        facts,
        settings: about.settings,
        series,
        evaluations: held_out(points, best),
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

fn facts_of_rounds(rounds: &[RoundRecord]) -> Vec<(String, String)> {
    let Some(last) = rounds.last() else {
        return Vec::new();
    };
    let fact = |name: &str, value: String| (name.to_owned(), value);
    vec![
        fact("rounds", last.step.to_string()),
        fact("updates", last.updates.to_string()),
        fact("epochs", format!("{:.2}", last.epoch)),
        fact("minutes", format!("{:.1}", last.seconds / 60.0)),
    ]
}

fn series_of_rounds(rounds: &[RoundRecord]) -> Vec<TrainingSeries> {
    use SeriesUnit::{Number, Share};
    type Value = fn(&RoundRecord) -> Option<f64>;
    let all: [(&str, &str, SeriesUnit, Value); 10] = [
        ("reward", "The mean reward of a reply.", Number, |round| {
            Some(round.reward)
        }),
        (
            "right",
            "The share of sampled replies whose verdict is the label.",
            Share,
            |round| Some(round.accuracy),
        ),
        (
            "unread",
            "The share of sampled replies without a verdict that can be read.",
            Share,
            |round| Some(round.unread),
        ),
        (
            "length",
            "The mean length of a reply, in tokens.",
            Number,
            |round| Some(round.tokens),
        ),
        (
            "skipped",
            "The share of groups whose rewards were all the same.",
            Share,
            |round| Some(round.skipped as f64 / round.groups.max(1) as f64),
        ),
        (
            "divergence",
            "From the reference, in nats for each token.",
            Number,
            |round| round.divergence,
        ),
        (
            "entropy",
            "Of what could have stood in a token's place, in nats.",
            Number,
            |round| round.entropy,
        ),
        (
            "clipped",
            "The share of tokens whose ratio was beyond a bound.",
            Share,
            |round| Some(round.clipped_low? + round.clipped_high?),
        ),
        ("loss", "The mean loss of a step.", Number, |round| {
            round.loss
        }),
        ("gradient norm", "Before it was clipped.", Number, |round| {
            Some(round.grad_norm)
        }),
    ];
    let named = all.into_iter().map(|(name, text, unit, value)| {
        let points = rounds
            .iter()
            .filter_map(|round| Some((round.step as f64, value(round)?)));
        (
            name.to_owned(),
            text.to_owned(),
            unit,
            points.collect::<Vec<(f64, f64)>>(),
        )
    });
    // The newest round has every function that an earlier one had.
    let functions = rounds
        .last()
        .into_iter()
        .flat_map(|last| last.rewards.keys());
    let parts = functions.map(|function| {
        let points = rounds
            .iter()
            .filter_map(|round| Some((round.step as f64, *round.rewards.get(function)?)));
        let text = format!("The mean value of `{function}`, before its weight.");
        (
            format!("reward: {function}"),
            text,
            Number,
            points.collect::<Vec<(f64, f64)>>(),
        )
    });
    named
        .chain(parts)
        .map(
            |(name, text, unit, points): (String, String, SeriesUnit, Vec<(f64, f64)>)| {
                TrainingSeries {
                    name,
                    text,
                    unit,
                    scatters: true,
                    points,
                }
            },
        )
        .filter(|series| series.points.iter().any(|&(_, value)| value != 0.0))
        .collect()
}

fn held_out(points: Vec<(String, HeldOutPoint)>, best: Option<Best>) -> Vec<HeldOut> {
    let mut sets: Vec<HeldOut> = Vec::new();
    for (name, point) in points {
        let index = sets.iter().position(|set| set.name == name);
        let index = index.unwrap_or_else(|| {
            sets.push(HeldOut {
                name,
                points: Vec::new(),
                best: best.map(|best| best.step),
            });
            sets.len() - 1
        });
        sets[index].points.push(point);
    }
    sets
}

fn point(evaluation: &EvaluationRecord) -> HeldOutPoint {
    HeldOutPoint {
        step: evaluation.step,
        loss: Some(evaluation.loss),
        orders: None,
        overall: share(evaluation.overall),
        with_ties: share(evaluation.with_ties),
        tasks: evaluation.tasks.iter().map(share_of_task).collect(),
    }
}

fn point_of_verdicts(verdicts: &VerdictsRecord) -> HeldOutPoint {
    HeldOutPoint {
        step: verdicts.step,
        loss: None,
        orders: Some(share(verdicts.orders)),
        overall: share(verdicts.overall),
        with_ties: share(verdicts.overall),
        tasks: verdicts.tasks.iter().map(share_of_task).collect(),
    }
}

fn share_of_task(task: &TaskAgreement) -> (Task, HeldOutShare) {
    (task.task, share(task.agreement))
}

fn share(agreement: Agreement) -> HeldOutShare {
    HeldOutShare {
        correct: agreement.correct,
        pairs: agreement.pairs,
    }
}
