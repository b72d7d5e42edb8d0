//! Davidson (1970), "On extending the Bradley-Terry model to accommodate ties in paired comparison experiments":
//! a tie is `ν` times as probable as the geometric mean of the two preferences,
//!
//! `P(i ≻ j) = e^{rᵢ} / z`, `P(i ~ j) = ν·e^{(rᵢ+rⱼ)/2} / z`, `z = e^{rᵢ} + e^{rⱼ} + ν·e^{(rᵢ+rⱼ)/2}`.
//!
//! Here `τ = log ν`, so that any `τ` is allowed; `ν → 0` is Bradley–Terry.

use super::{comparison::Term, logistic::log_sum_exp};

/// `ℓ = log(1 + e^{-Δ} + e^{τ-Δ/2})`; `dℓ/dΔ = -P(loses) - P(tie)/2`, `dℓ/dτ = P(tie)`.
pub(super) fn preferred(advantage: f64, tie: f64) -> Term {
    let (loses, ties) = (-advantage, tie - advantage / 2.0);
    let loss = log_sum_exp(&[0.0, loses, ties]);
    let [loses, ties] = [loses, ties].map(|logit| (logit - loss).exp());
    Term {
        loss,
        by_difference: -loses - ties / 2.0,
        by_tie: ties,
    }
}

/// `ℓ = log(1 + e^{Δ/2-τ} + e^{-Δ/2-τ})`; `dℓ/dΔ = (P(i ≻ j) - P(j ≻ i)) / 2`, `dℓ/dτ = -P(i ≻ j) - P(j ≻ i)`.
pub(super) fn tied(difference: f64, tie: f64) -> Term {
    let logits = [difference / 2.0 - tie, -difference / 2.0 - tie];
    let loss = log_sum_exp(&[0.0, logits[0], logits[1]]);
    let [first, second] = logits.map(|logit| (logit - loss).exp());
    Term {
        loss,
        by_difference: (first - second) / 2.0,
        by_tie: -first - second,
    }
}

/// A tie is likelier than either preference while `ν > e^{|Δ|/2}`, that is `|Δ| < 2τ`.
pub(super) fn tie_margin(tie: f64) -> f64 {
    (2.0 * tie).max(0.0)
}
