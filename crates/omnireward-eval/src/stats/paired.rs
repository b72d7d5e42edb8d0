use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, Discrete, DiscreteCDF};

use super::{critical_value, normal_quantile};

/// The exact test of whether two judges are right equally often on the same pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct McNemar {
    /// Pairs on which only the first is right.
    pub first_only: u64,
    /// Pairs on which only the second is right.
    pub second_only: u64,
    /// The two-sided exact p-value.
    pub p: f64,
    /// The mid-p value, which is less conservative.
    pub mid_p: f64,
}

/// The exact test of [`McNemar`]: given `first_only + second_only` discordant pairs, either side is as
/// likely under the null hypothesis, so the smaller count is binomial with probability 1/2. The
/// p-value is twice its lower tail, at most 1; the mid-p value takes half of the probability of
/// the observed count (Fagerland, Lydersen and Laake 2013).
///
/// # Panics
///
/// Never: one half is a probability.
pub fn mcnemar(first_only: u64, second_only: u64) -> McNemar {
    let discordant = first_only + second_only;
    let (p, mid_p) = if discordant == 0 {
        (1.0, 1.0)
    } else {
        let smaller = first_only.min(second_only);
        let null = Binomial::new(0.5, discordant).expect("1/2 is a probability");
        let p = (2.0 * null.cdf(smaller)).min(1.0);
        let mid_p = if first_only == second_only {
            1.0 - null.pmf(smaller)
        } else {
            p - null.pmf(smaller)
        };
        (p, mid_p)
    };
    McNemar {
        first_only,
        second_only,
        p,
        mid_p,
    }
}

/// Holm's step-down adjustment of p-values for how many there are (Holm 1979), in the order given.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut floor = 0.0_f64;
    for (rank, index) in order.into_iter().enumerate() {
        let factor = (p_values.len() - rank) as f64;
        floor = floor.max((factor * p_values[index]).min(1.0));
        adjusted[index] = floor;
    }
    adjusted
}

/// The smallest difference of accuracies that `pairs` pairs resolve with the given power, when a
/// share `discordant` of them has only one judge right.
///
/// Solves `δ·√n = z₁₋α/₂·√d + z_power·√(d − δ²)` for `δ` (Connor 1987), with `α = 1 − confidence`.
/// At most `discordant`: a gap cannot be larger. `None` without pairs.
pub fn minimal_detectable_gap(
    pairs: f64,
    discordant: f64,
    confidence: f64,
    power: f64,
) -> Option<f64> {
    if pairs <= 0.0 {
        return None;
    }
    let (za, zb) = (critical_value(confidence), normal_quantile(power));
    // The square of the equation, (δ√n − za√d)² = zb²(d − δ²), as a·δ² − 2b·δ + c = 0.
    let a = pairs + zb * zb;
    let b = za * (pairs * discordant).sqrt();
    let c = (za * za - zb * zb) * discordant;
    let gap = (b + (b * b - a * c).max(0.0).sqrt()) / a;
    Some(gap.min(discordant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_discordant_pairs_say_nothing() {
        assert!(mcnemar(0, 0).p >= 1.0);
        assert!(mcnemar(3, 3).p >= 1.0);
    }

    #[test]
    fn all_on_one_side_is_a_power_of_two() {
        assert!((mcnemar(0, 10).p - 2.0 / 1024.0).abs() < 1e-15);
        assert!((mcnemar(10, 0).mid_p - 1.0 / 1024.0).abs() < 1e-15);
    }

    #[test]
    fn holm_never_falls_and_never_exceeds_one() {
        assert_eq!(holm(&[0.04, 0.01, 0.5, 0.03]), [0.09, 0.04, 0.5, 0.09]);
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn the_detectable_gap_solves_its_equation() {
        let (n, d) = (3284.0, 0.2);
        let gap = minimal_detectable_gap(n, d, 0.95, 0.8).unwrap();
        let right =
            1.959_963_984_540_054 * f64::sqrt(d) + 0.841_621_233_572_914_3 * (d - gap * gap).sqrt();
        assert!((gap * n.sqrt() - right).abs() < 1e-8);
        assert!((0.021..0.022).contains(&gap), "{gap}");
        assert_eq!(minimal_detectable_gap(3.0, 0.1, 0.95, 0.8), Some(0.1));
        assert_eq!(minimal_detectable_gap(0.0, 0.1, 0.95, 0.8), None);
    }
}
