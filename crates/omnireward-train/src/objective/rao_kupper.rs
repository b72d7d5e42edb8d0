//! Rao and Kupper (1967), "Ties in paired-comparison experiments: a generalization of the Bradley-Terry model":
//! a preference is seen only beyond a threshold `log θ ≥ 0`,
//!
//! `P(i ≻ j) = e^{rᵢ} / (e^{rᵢ} + θ·e^{rⱼ}) = σ(Δ - log θ)`, `P(i ~ j) = (θ²-1)·P(i ≻ j)·P(j ≻ i)`.
//!
//! Here `log θ = log(1 + e^τ)`, that is `θ = 1 + e^τ`, so that any `τ` is allowed; `θ → 1` is Bradley–Terry.

use std::f64::consts::LN_2;

use super::{
    comparison::Term,
    logistic::{log_sum_exp, sigmoid, softplus},
};

/// `ℓ = -log σ(Δ - log θ)`; `dℓ/dΔ = -σ(log θ - Δ)`, `dℓ/dτ = σ(log θ - Δ)·σ(τ)`.
pub(super) fn preferred(advantage: f64, tie: f64) -> Term {
    let behind = softplus(tie) - advantage;
    let others = sigmoid(behind);
    Term {
        loss: softplus(behind),
        by_difference: -others,
        by_tie: others * sigmoid(tie),
    }
}

/// `ℓ = -log(θ²-1) - log P(i ≻ j) - log P(j ≻ i)`, where `log(θ²-1) = τ + log(2 + e^τ)` holds for any `τ` without
/// loss; `dℓ/dΔ = P(i ≻ j) - P(j ≻ i)` and `dℓ/dτ = -1 - σ(τ - log 2) + (2 - P(i ≻ j) - P(j ≻ i))·σ(τ)`.
pub(super) fn tied(difference: f64, tie: f64) -> Term {
    let threshold = softplus(tie);
    let first_behind = threshold - difference;
    let second_behind = threshold + difference;
    let (not_first, not_second) = (sigmoid(first_behind), sigmoid(second_behind));
    Term {
        loss: softplus(first_behind) + softplus(second_behind) - tie - log_sum_exp(&[LN_2, tie]),
        by_difference: not_second - not_first,
        by_tie: (not_first + not_second) * sigmoid(tie) - 1.0 - sigmoid(tie - LN_2),
    }
}

/// A tie is likelier than a preference for `i` while `(θ²-1)·P(j ≻ i) > 1`, that is `|Δ| < log(θ - 2/θ)`.
pub(super) fn tie_margin(tie: f64) -> f64 {
    let threshold = softplus(tie);
    let share = 2.0 * (-2.0 * threshold).exp();
    if share < 1.0 {
        (threshold + (-share).ln_1p()).max(0.0)
    } else {
        0.0
    }
}
