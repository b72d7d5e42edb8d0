use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How the learning rate goes down after it has been warmed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// In a straight line, to zero at the end.
    Linear,
    /// Along half a cosine, to zero at the end.
    Cosine,
}

impl Schedule {
    /// The learning rate of the step that comes after `step` others, of `total`.
    ///
    /// For the first `warmup` steps it rises in a straight line from zero, which is the rate of the very first; step
    /// `warmup` has `peak`. The same numbers as `get_{constant,linear,cosine}_schedule_with_warmup` of transformers.
    pub fn rate(self, step: u64, total: u64, warmup: u64, peak: f64) -> f64 {
        if step < warmup {
            return peak * (step as f64 / warmup as f64);
        }
        peak * self.remaining(progress(step, total, warmup))
    }

    /// What is left of the peak when this much of the way down is done.
    fn remaining(self, progress: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - progress,
            Self::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
        }
    }
}

/// From 0 at the end of the warm-up to 1 at the end of training, and 1 from there on.
fn progress(step: u64, total: u64, warmup: u64) -> f64 {
    let down = total.saturating_sub(warmup).max(1);
    ((step - warmup) as f64 / down as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::Schedule;

    #[derive(Deserialize)]
    struct Case {
        schedule: Schedule,
        total: u64,
        warmup: u64,
        rates: Vec<f64>,
    }

    #[test]
    fn rates_are_those_of_transformers() {
        let text = include_str!("../tests/parity/schedule/expected.json");
        let cases: Vec<Case> = serde_json::from_str(text).unwrap();
        assert!(cases.len() >= 9);
        for case in cases {
            for (step, &expected) in case.rates.iter().enumerate() {
                let (total, warmup) = (case.total, case.warmup);
                let found = case.schedule.rate(step as u64, total, warmup, 2e-6);
                assert!(
                    (found - expected).abs() <= 1e-12 * 2e-6,
                    "{:?}, step {step} of {total}, warm-up {warmup}: {found}, not {expected}",
                    case.schedule
                );
            }
        }
    }

    #[test]
    fn the_ends_are_exact() {
        let zero = 0.0_f64.to_bits();
        for schedule in [Schedule::Constant, Schedule::Linear, Schedule::Cosine] {
            assert_eq!(schedule.rate(0, 100, 10, 1.0).to_bits(), zero);
            assert_eq!(schedule.rate(10, 100, 10, 0.3).to_bits(), 0.3_f64.to_bits());
            assert_eq!(schedule.rate(0, 100, 0, 0.3).to_bits(), 0.3_f64.to_bits());
        }
        assert_eq!(Schedule::Linear.rate(100, 100, 10, 1.0).to_bits(), zero);
        assert_eq!(Schedule::Cosine.rate(170, 100, 10, 1.0).to_bits(), zero);
    }

    #[test]
    fn a_warm_up_longer_than_training_only_rises() {
        let rates: Vec<f64> = (0..5)
            .map(|step| Schedule::Cosine.rate(step, 5, 8, 1.0))
            .collect();
        assert!(rates.is_sorted(), "{rates:?}");
        assert!((rates[4] - 0.5).abs() < 1e-15);
    }

    #[test]
    fn schedules_are_named_in_recipes() {
        let schedule: Schedule = serde_json::from_str("\"cosine\"").unwrap();
        assert_eq!(schedule, Schedule::Cosine);
    }
}
