//! Bradley and Terry (1952): `P(i ≻ j) = e^{rᵢ} / (e^{rᵢ} + e^{rⱼ}) = σ(Δ)`.

use super::{
    comparison::Term,
    logistic::{sigmoid, softplus},
};

/// `ℓ = -log σ(Δ)`, `dℓ/dΔ = -σ(-Δ)`.
pub(super) fn preferred(advantage: f64) -> Term {
    Term {
        loss: softplus(-advantage),
        by_difference: -sigmoid(-advantage),
        by_tie: 0.0,
    }
}
