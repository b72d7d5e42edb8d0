//! By how much a reply is better than the others to the same question.

use serde::{Deserialize, Serialize};

/// What advantages are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// The standard deviation of the group's rewards (Shao et al. 2024, `DeepSeekMath`, section 4.1.2).
    #[default]
    Deviation,
    /// Nothing (Liu et al. 2025, "Understanding R1-Zero-Like Training", section 3.1).
    None,
}

/// The least deviation that counts as one.
const LEAST: f64 = 1e-8;

/// The advantages of a group's replies: `(r - mean) / (s + ε)`, with `s` the standard deviation over the `n - 1` degrees
/// of freedom, as torch and TRL have it; or `r - mean`.
///
/// Nothing when all rewards are the same, so that there is nothing to learn.
pub fn advantages(rewards: &[f64], scale: Scale, epsilon: f64) -> Option<Vec<f64>> {
    let count = rewards.len() as f64;
    let mean = rewards.iter().sum::<f64>() / count;
    let squares: f64 = rewards.iter().map(|reward| (reward - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    // Also of a single reply, whose deviation is no number.
    if deviation.is_nan() || deviation <= LEAST {
        return None;
    }
    let divisor = match scale {
        Scale::Deviation => deviation + epsilon,
        Scale::None => 1.0,
    };
    Some(
        rewards
            .iter()
            .map(|reward| (reward - mean) / divisor)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rewards_have_no_advantages() {
        for rewards in [&[][..], &[1.0], &[0.3, 0.3, 0.3], &[0.1 + 0.2, 0.3]] {
            for scale in [Scale::Deviation, Scale::None] {
                assert_eq!(advantages(rewards, scale, 1e-4), None, "{rewards:?}");
            }
        }
    }

    #[test]
    fn they_are_measured_in_deviations() {
        let found = advantages(&[1.0, 0.0, 0.0, 0.0], Scale::Deviation, 0.0).unwrap();
        for (found, expected) in found.iter().zip([1.5, -0.5, -0.5, -0.5]) {
            assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
        }
        let found = advantages(&[1.0, 0.0], Scale::None, 1e-4).unwrap();
        assert_eq!(found, [0.5, -0.5]);
    }

    #[test]
    fn they_add_up_to_nothing() {
        let found = advantages(&[0.9, 0.1, 1.0, 0.4, 0.4], Scale::Deviation, 1e-4).unwrap();
        assert!(found.iter().sum::<f64>().abs() < 1e-12);
    }
}
