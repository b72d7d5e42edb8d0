use super::{Candidate, RewardFunction};

/// 0 for replies of up to `from` tokens, from there down in a straight line to -1 at `most` tokens: the soft punishment
/// of overlong replies of Yu et al. 2025 ("DAPO", eq. 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// The longest reply that loses nothing, in tokens.
    pub from: u32,
    /// The longest that a reply can be, in tokens; more than `from`.
    pub most: u32,
}

impl RewardFunction for Length {
    fn name(&self) -> &'static str {
        "length"
    }

    fn value(&self, candidate: &Candidate<'_>) -> Option<f64> {
        let tokens = candidate.answer.rollout.tokens.len() as f64;
        let over = tokens - f64::from(self.from);
        let room = f64::from(self.most) - f64::from(self.from);
        Some(0.0 - (over / room).clamp(0.0, 1.0))
    }
}
