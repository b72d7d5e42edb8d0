//! The loss of GRPO as a function of plain numbers: the log-probabilities of the tokens of replies.
//!
//! With `ℓ` the log-probability of a token now, `ℓ_old` when its reply was sampled, `ℓ_ref` under the reference,
//! `ρ = exp(ℓ - ℓ_old)` and `A` the advantage of its reply, the loss of a token is
//!
//! ```text
//! -min(min(ρ, δ)·A, clip(ρ, 1-ε_low, 1+ε_high)·A) + β·k3,   k3 = exp(ℓ_ref - ℓ) - (ℓ_ref - ℓ) - 1
//! ```
//!
//! Sources: Shao et al. 2024 (`DeepSeekMath`, eqs. 3 and 4); two bounds of the ratio from Yu et al. 2025 ("DAPO", section
//! 3.1); the cap `δ` for negative advantages from Ye et al. 2020 ("Mastering Complex Control", section 3.4); the estimator
//! `k3` of the divergence from Schulman 2020. TRL computes the same.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// The loss of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surrogate {
    /// `ε_low`: how far below 1 a ratio still counts.
    pub clip_low: f64,
    /// `ε_high`: how far above 1 a ratio still counts.
    pub clip_high: f64,
    /// `δ`: the largest ratio of a token of a reply that is worse than others; more than `1 + ε_high`. None for no bound.
    pub dual_clip: Option<f64>,
    /// `β`: the weight of the divergence from the reference.
    pub beta: f64,
}

/// A reply's tokens.
#[derive(Clone, Copy, Debug)]
pub struct ReplyTokens<'a> {
    /// Their log-probabilities now.
    pub now: &'a [f64],
    /// Those when the reply was sampled.
    pub old: &'a [f64],
    /// Those under the reference, where the divergence from it counts.
    pub reference: Option<&'a [f64]>,
    /// How much better the reply is than the others.
    pub advantage: f64,
}

/// How the losses of tokens become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Average {
    /// The mean over replies of the mean over each one's tokens: Shao et al. 2024; `grpo` of TRL, `seq` of `EasyR1`.
    #[default]
    Reply,
    /// The mean over all tokens, so that long replies count more: Yu et al. 2025; `dapo` of TRL, `token` of `EasyR1`.
    Token,
    /// The sum over tokens, divided by replies times the longest that one may be: Liu et al. 2025; `dr_grpo` of TRL.
    Constant,
}

/// What an average is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All replies, those included that there is nothing to learn from.
    pub replies: u64,
    /// Their tokens.
    pub tokens: u64,
    /// The most tokens that a reply may have.
    pub longest: u64,
}

/// What [`Surrogate::evaluate`] found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// The share of the loss that is this reply's.
    pub loss: f64,
    /// Its derivative by each token's log-probability.
    pub gradient: Vec<f64>,
    /// What happened to ratios and divergence.
    pub counts: Counts,
}

/// Sums over tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// How many.
    pub tokens: u64,
    /// `Σ k3`; 0 without a reference.
    pub divergence: f64,
    /// Those whose ratio is below its bound, and whose reply is worse than others: they have no part in the gradient.
    pub clipped_low: u64,
    /// Those whose ratio is above its bound, and whose reply is better.
    pub clipped_high: u64,
}

impl Average {
    /// What the loss of a token counts whose reply has so many.
    pub fn share(self, tokens: usize, totals: &Totals) -> f64 {
        let divisor = match self {
            Self::Reply => tokens as u64 * totals.replies,
            Self::Token => totals.tokens,
            Self::Constant => totals.longest * totals.replies,
        };
        1.0 / divisor.max(1) as f64
    }
}

impl Surrogate {
    /// The loss of a reply whose tokens count `share` each, and its derivatives.
    ///
    /// # Panics
    ///
    /// Panics when the log-probabilities are not of as many tokens as one another.
    pub fn evaluate(&self, reply: &ReplyTokens<'_>, share: f64) -> Evaluation {
        let tokens = reply.now.len();
        let reference = reply.reference.unwrap_or(reply.now);
        assert!(
            reply.old.len() == tokens && reference.len() == tokens,
            "a token has a log-probability at every time"
        );
        let mut evaluation = Evaluation::default();
        evaluation.counts.tokens = tokens as u64;
        for ((&now, &old), &reference) in reply.now.iter().zip(reply.old).zip(reference) {
            let ratio = (now - old).exp();
            let gain = self.gain(ratio, reply.advantage);
            let divergence = Divergence::of(now, reference);
            evaluation.loss += share * (self.beta * divergence.value - gain.value);
            let gradient = self.beta * divergence.by_now - gain.by_ratio * ratio;
            evaluation.gradient.push(share * gradient);
            let counts = &mut evaluation.counts;
            counts.divergence += divergence.value;
            counts.clipped_low += u64::from(ratio < 1.0 - self.clip_low && reply.advantage < 0.0);
            counts.clipped_high += u64::from(ratio > 1.0 + self.clip_high && reply.advantage > 0.0);
        }
        evaluation
    }

    /// What is to grow.
    fn gain(&self, ratio: f64, advantage: f64) -> Gain {
        let capped = self.dual_clip.map_or(ratio, |most| ratio.min(most));
        let clipped = ratio.clamp(1.0 - self.clip_low, 1.0 + self.clip_high);
        let moves = |bounded: f64| f64::from(u8::from(bounded.total_cmp(&ratio).is_eq()));
        // Inside of all bounds the two are the same.
        let least = if capped * advantage <= clipped * advantage {
            capped
        } else {
            clipped
        };
        Gain {
            value: least * advantage,
            by_ratio: moves(least) * advantage,
        }
    }
}

struct Gain {
    value: f64,
    by_ratio: f64,
}

/// `k3` with its derivative.
struct Divergence {
    value: f64,
    by_now: f64,
}

impl Divergence {
    fn of(now: f64, reference: f64) -> Self {
        let difference = reference - now;
        let grown = difference.exp_m1();
        Self {
            value: grown - difference,
            by_now: -grown,
        }
    }
}

impl Counts {
    /// The mean of `k3` over tokens; nothing where there are none.
    pub fn mean_divergence(&self) -> Option<f64> {
        self.share(self.divergence)
    }

    /// The share of tokens whose ratio was beyond a bound, so that they had no part in the gradient.
    pub fn clipped(&self) -> Option<f64> {
        self.share((self.clipped_low + self.clipped_high) as f64)
    }

    fn share(&self, sum: f64) -> Option<f64> {
        (self.tokens > 0).then(|| sum / self.tokens as f64)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.divergence += other.divergence;
        self.clipped_low += other.clipped_low;
        self.clipped_high += other.clipped_high;
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use serde::Deserialize;

    use super::*;
    use crate::grpo::{Scale, advantages};

    /// As `scripts/oracle/grpo_loss.py` writes it.
    #[derive(Deserialize)]
    struct Case {
        loss_type: String,
        scale: String,
        beta: f64,
        clip_low: f64,
        clip_high: f64,
        dual_clip: Option<f64>,
        max_tokens: u64,
        rewards: Vec<Vec<f64>>,
        advantages: Vec<Vec<f64>>,
        now: Vec<Vec<f64>>,
        old: Vec<Vec<f64>>,
        reference: Vec<Vec<f64>>,
        loss: f64,
        gradient: Vec<Vec<f64>>,
        kl: Option<f64>,
        clipped_low: f64,
        clipped_high: f64,
    }

    fn cases() -> Vec<Case> {
        serde_json::from_str(include_str!("../../tests/parity/grpo/expected.json")).unwrap()
    }

    fn close(found: f64, expected: f64, what: &str) {
        within(1e-9, found, expected, what);
    }

    fn within(bound: f64, found: f64, expected: f64, what: &str) {
        assert!(
            (found - expected).abs() <= bound * expected.abs().max(1.0),
            "{what}: {found}, not {expected}"
        );
    }

    /// The loss of all replies of a case, their gradients and counts.
    fn evaluate(case: &Case, surrogate: &Surrogate) -> (f64, Vec<Vec<f64>>, Counts) {
        let average = match &case.loss_type[..] {
            "grpo" => Average::Reply,
            "bnpo" | "dapo" => Average::Token,
            "dr_grpo" => Average::Constant,
            other => panic!("no average `{other}`"),
        };
        let totals = Totals {
            replies: case.now.len() as u64,
            tokens: case.now.iter().map(|tokens| tokens.len() as u64).sum(),
            longest: case.max_tokens,
        };
        let advantages: Vec<f64> = case.advantages.concat();
        let (mut loss, mut gradients, mut counts) = (0.0, Vec::new(), Counts::default());
        for (index, now) in case.now.iter().enumerate() {
            let reply = ReplyTokens {
                now,
                old: &case.old[index],
                reference: Some(&case.reference[index]),
                advantage: advantages[index],
            };
            let found = surrogate.evaluate(&reply, average.share(now.len(), &totals));
            loss += found.loss;
            gradients.push(found.gradient);
            counts += found.counts;
        }
        (loss, gradients, counts)
    }

    fn surrogate(case: &Case) -> Surrogate {
        Surrogate {
            clip_low: case.clip_low,
            clip_high: case.clip_high,
            dual_clip: case.dual_clip,
            beta: case.beta,
        }
    }

    #[test]
    fn loss_and_gradient_are_those_of_trl() {
        let cases = cases();
        assert!(cases.len() >= 5);
        for case in cases {
            let (loss, gradients, counts) = evaluate(&case, &surrogate(&case));
            close(loss, case.loss, "loss");
            for (found, expected) in gradients.concat().iter().zip(case.gradient.concat()) {
                close(*found, expected, "gradient");
            }
            if let Some(divergence) = case.kl {
                close(counts.mean_divergence().unwrap(), divergence, "divergence");
            }
            let share = |count: u64| count as f64 / counts.tokens as f64;
            close(share(counts.clipped_low), case.clipped_low, "clipped below");
            close(
                share(counts.clipped_high),
                case.clipped_high,
                "clipped above",
            );
        }
    }

    #[test]
    fn advantages_are_those_of_trl() {
        for case in cases() {
            let scale = match &case.scale[..] {
                "group" => Scale::Deviation,
                _ => Scale::None,
            };
            for (rewards, expected) in case.rewards.iter().zip(&case.advantages) {
                let found = advantages(rewards, scale, 1e-4).unwrap();
                for (found, expected) in found.iter().zip(expected) {
                    // TRL has n / (n - 1), by which it multiplies a variance, in `f32`.
                    within(3e-8, *found, *expected, "advantage");
                }
            }
        }
    }

    #[test]
    fn another_bound_is_noticed() {
        let case = &cases()[1];
        let other = Surrogate {
            clip_high: case.clip_high + 0.05,
            ..surrogate(case)
        };
        assert!((evaluate(case, &other).0 - case.loss).abs() > 1e-5);
    }

    #[test]
    fn derivatives_are_those_of_finite_differences() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let mut some = |count: usize, low: f64, high: f64| -> Vec<f64> {
            (0..count).map(|_| random.random_range(low..high)).collect()
        };
        for dual_clip in [None, Some(2.0)] {
            let surrogate = Surrogate {
                clip_low: 0.2,
                clip_high: 0.3,
                dual_clip,
                beta: 0.1,
            };
            for advantage in [-1.5, 0.0, 0.7] {
                let (now, old, reference) = (
                    some(40, -3.0, -0.1),
                    some(40, -3.0, -0.1),
                    some(40, -3.0, -0.1),
                );
                let loss = |now: &[f64]| {
                    let reply = ReplyTokens {
                        now,
                        old: &old,
                        reference: Some(&reference),
                        advantage,
                    };
                    surrogate.evaluate(&reply, 0.1)
                };
                let found = loss(&now).gradient;
                for place in 0..now.len() {
                    let slope = |by: f64| {
                        let mut moved = now.clone();
                        moved[place] += by;
                        loss(&moved).loss
                    };
                    let expected = (slope(1e-6) - slope(-1e-6)) / 2e-6;
                    assert!(
                        (found[place] - expected).abs() < 1e-7,
                        "{advantage}, token {place}: {}, by differences {expected}",
                        found[place]
                    );
                }
            }
        }
    }

    #[test]
    fn on_policy_the_gradient_is_the_advantage() {
        let surrogate = Surrogate {
            clip_low: 0.2,
            clip_high: 0.2,
            dual_clip: None,
            beta: 0.0,
        };
        let reply = ReplyTokens {
            now: &[-0.5, -2.0],
            old: &[-0.5, -2.0],
            reference: None,
            advantage: 0.8,
        };
        let found = surrogate.evaluate(&reply, 0.5);
        assert_eq!(found.gradient, [-0.4, -0.4]);
        assert_eq!(found.counts.clipped(), Some(0.0));
    }
}
