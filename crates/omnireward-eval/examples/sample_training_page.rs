//! Writes the page of a made-up training, to look at its design.
//!
//! `cargo run -p omnireward-eval --example sample_training_page -- OUT.html`

use std::{fs, path::PathBuf};

use omnireward_core::Task;
use omnireward_eval::report::{
    HeldOut, HeldOutPoint, HeldOutShare, SeriesUnit, TrainingPage, TrainingSeries, training_html,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const STEPS: u32 = 4000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::env::args_os().nth(1).map(PathBuf::from);
    let out = out.unwrap_or_else(|| "sample-training.html".into());
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let page = TrainingPage {
        title: "omni-sample".into(),
        subtitle: "Davidson's likelihood over 85,000 pairs of nine tasks, made up".into(),
        command: Some("omnireward train bt --recipe recipes/sample.toml --out runs/sample".into()),
        facts: vec![
            ("started (UTC)".into(), "2026-01-02 03:04:05".into()),
            ("duration".into(), "1 h 42 min".into()),
            ("steps".into(), "4,000".into()),
            ("parameters trained".into(), "3.1 M of 3.1 M".into()),
        ],
        settings: vec![
            ("model.path".into(), "checkpoints/start".into()),
            ("train.parts".into(), "decoder, head".into()),
            ("train.learning_rate".into(), "0.002".into()),
            ("objective.likelihood".into(), "davidson".into()),
        ],
        series: series(&mut rng),
        evaluations: vec![
            held_out("development", &Task::ALL, &mut rng),
            held_out("vl_rewardbench", &[Task::TI2T], &mut rng),
        ],
        notes: Vec::new(),
    };
    fs::write(out, training_html(&page))?;
    Ok(())
}

/// How much of the way from the beginning to the end a training has gone at a step.
fn learned(step: u32) -> f64 {
    1.0 - (-f64::from(step) / 900.0).exp()
}

fn series(rng: &mut ChaCha8Rng) -> Vec<TrainingSeries> {
    let mut one = |name: &str, text: &str, unit, scatter: f64, at: &dyn Fn(u32) -> f64| {
        let points = (5..=STEPS).step_by(5).map(|step| {
            let noise = rng.random_range(-scatter..=scatter) * at(step).abs();
            (f64::from(step), at(step) + noise)
        });
        TrainingSeries {
            name: name.into(),
            text: text.into(),
            unit,
            scatters: scatter > 0.0,
            points: points.collect(),
        }
    };
    vec![
        one(
            "Loss",
            "The mean of a pair.",
            SeriesUnit::Number,
            0.2,
            &|step| 0.693 - 0.42 * learned(step),
        ),
        one(
            "Accuracy",
            "Comparisons whose better response has the larger reward.",
            SeriesUnit::Share,
            0.08,
            &|step| 0.5 + 0.38 * learned(step),
        ),
        one(
            "Margin",
            "The better response's reward less the other's.",
            SeriesUnit::Number,
            0.3,
            &|step| 2.4 * learned(step),
        ),
        one("Learning rate", "", SeriesUnit::Number, 0.0, &|step| {
            let warm = (f64::from(step) / 200.0).min(1.0);
            let turn = f64::from(step) / f64::from(STEPS) * std::f64::consts::PI;
            2e-6 * warm * 0.5 * (1.0 + turn.cos())
        }),
        one(
            "Gradient norm",
            "Before clipping.",
            SeriesUnit::Number,
            0.6,
            &|step| {
                if step == 1500 {
                    80.0
                } else {
                    2.0 - learned(step)
                }
            },
        ),
        one(
            "Speed",
            "Tokens in a second.",
            SeriesUnit::Number,
            0.1,
            &|_| 12_500.0,
        ),
    ]
}

fn held_out(name: &str, tasks: &[Task], rng: &mut ChaCha8Rng) -> HeldOut {
    let mut share = |step: u32, pairs: u64, end: f64| {
        let accuracy = 0.5 + (end - 0.5) * learned(step) + rng.random_range(-0.01..0.01);
        HeldOutShare {
            correct: (accuracy * pairs as f64).round() as u64,
            pairs,
        }
    };
    let points = (0..=STEPS)
        .step_by(200)
        .map(|step| HeldOutPoint {
            step: u64::from(step),
            loss: Some(0.693 - 0.38 * learned(step) + f64::from(step) * 8e-6),
            orders: None,
            overall: share(step, 3000, 0.87),
            with_ties: share(step, 3400, 0.78),
            tasks: tasks
                .iter()
                .zip(0..)
                .map(|(task, place)| (*task, share(step, 330, 0.95 - 0.02 * f64::from(place))))
                .collect(),
        })
        .collect();
    HeldOut {
        name: name.into(),
        points,
        best: Some(3200),
    }
}
