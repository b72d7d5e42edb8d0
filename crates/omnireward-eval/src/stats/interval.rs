use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

/// How the ends of an [`Interval`] were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntervalMethod {
    /// Wilson's score interval for independent trials.
    Wilson,
    /// Wilson's interval at the effective number of trials, which clustering makes smaller.
    ClusteredWilson,
    /// Percentiles of the statistic over resampled clusters.
    ClusteredBootstrap,
    /// The normal interval with a standard error summed over clusters.
    ClusterRobust,
}

/// A confidence interval, with both ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// How it was found.
    pub method: IntervalMethod,
}

/// What one cluster adds to a share: `hits` of `weight`.
///
/// A cluster is what is drawn as a whole: the pairs that share a prompt and responses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cluster {
    /// The hits; fractions come from failures counted as a coin.
    pub hits: f64,
    /// The trials.
    pub weight: f64,
}

/// Wilson's score interval for `hits` of `trials` independent trials; `None` without trials.
///
/// `(p + z²/2n ± z·√(p(1−p)/n + z²/4n²)) / (1 + z²/n)`, Wilson 1927. `hits` and `trials` may be
/// fractions, as effective counts are.
pub fn wilson(hits: f64, trials: f64, confidence: f64) -> Option<Interval> {
    if trials <= 0.0 {
        return None;
    }
    let z = critical_value(confidence);
    let p = hits / trials;
    let z2 = z * z / trials;
    let centre = p + z2 / 2.0;
    let reach = z
        * (p * (1.0 - p) / trials + z2 / (4.0 * trials))
            .max(0.0)
            .sqrt();
    // At p = 0 and p = 1 one end is exact, which the arithmetic misses by rounding.
    let low = if p <= 0.0 {
        0.0
    } else {
        (centre - reach) / (1.0 + z2)
    };
    let high = if p >= 1.0 {
        1.0
    } else {
        (centre + reach) / (1.0 + z2)
    };
    Some(Interval {
        low,
        high,
        method: IntervalMethod::Wilson,
    })
}

/// Wilson's interval for trials that come in clusters.
///
/// The number of trials is divided by the design effect: the cluster-robust variance over the
/// binomial one, never below 1. Where every trial agrees and the effect cannot be estimated,
/// each cluster counts as one trial.
pub fn clustered_wilson(clusters: &[Cluster], confidence: f64) -> Option<Interval> {
    let total = sum(clusters);
    if total.weight <= 0.0 {
        return None;
    }
    let p = total.hits / total.weight;
    let used = clusters.iter().filter(|c| c.weight > 0.0).count() as f64;
    let independent = p * (1.0 - p) / total.weight;
    let trials = if independent > 0.0 {
        let robust = cluster_robust_variance(clusters).unwrap_or(independent);
        total.weight / (robust / independent).max(1.0)
    } else {
        used
    };
    let interval = wilson(p * trials, trials, confidence)?;
    Some(Interval {
        method: IntervalMethod::ClusteredWilson,
        ..interval
    })
}

/// The normal interval with the cluster-robust standard error, cut to 0–1; `None` with fewer than
/// two clusters.
pub fn cluster_robust(clusters: &[Cluster], confidence: f64) -> Option<Interval> {
    let total = sum(clusters);
    let p = total.hits / total.weight;
    let reach = critical_value(confidence) * cluster_robust_variance(clusters)?.sqrt();
    Some(Interval {
        low: (p - reach).max(0.0),
        high: (p + reach).min(1.0),
        method: IntervalMethod::ClusterRobust,
    })
}

/// The variance of a ratio `Σ hits / Σ weight` over clusters:
/// `g/(g−1) · Σ (hitsᵢ − p·weightᵢ)² / (Σ weight)²`, with `g` clusters of non-zero weight.
///
/// This is the sandwich estimator of the mean with the small-sample factor. `None` with fewer than
/// two clusters.
pub fn cluster_robust_variance(clusters: &[Cluster]) -> Option<f64> {
    let total = sum(clusters);
    let used = clusters.iter().filter(|c| c.weight > 0.0).count();
    if used < 2 {
        return None;
    }
    let p = total.hits / total.weight;
    let squares: f64 = clusters
        .iter()
        .map(|c| (c.hits - p * c.weight).powi(2))
        .sum();
    let g = used as f64;
    Some(g / (g - 1.0) * squares / total.weight.powi(2))
}

/// The two-sided critical value of the standard normal distribution, such as 1.96 for 0.95.
pub fn critical_value(confidence: f64) -> f64 {
    normal_quantile(0.5 + confidence / 2.0)
}

/// The quantile of the standard normal distribution.
pub fn normal_quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}

fn sum(clusters: &[Cluster]) -> Cluster {
    clusters.iter().fold(Cluster::default(), |a, b| Cluster {
        hits: a.hits + b.hits,
        weight: a.weight + b.weight,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_is_exact_at_the_ends() {
        let none = wilson(0.0, 10.0, 0.95).unwrap();
        assert!(none.low <= 0.0);
        assert!((none.high - 0.277_532_799_862_889_1).abs() < 1e-9);
        assert!(wilson(10.0, 10.0, 0.95).unwrap().high >= 1.0);
        assert_eq!(wilson(0.0, 0.0, 0.95), None);
    }

    #[test]
    fn clusters_that_move_together_widen_the_interval() {
        let single: Vec<_> = (0..200)
            .map(|i| Cluster {
                hits: f64::from(i % 2),
                weight: 1.0,
            })
            .collect();
        let quadruple: Vec<_> = (0..50)
            .map(|i| Cluster {
                hits: f64::from(i % 2 * 4),
                weight: 4.0,
            })
            .collect();
        let width = |clusters: &[Cluster]| {
            let interval = clustered_wilson(clusters, 0.95).unwrap();
            interval.high - interval.low
        };
        let ratio = width(&quadruple) / width(&single);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
        let robust = |clusters: &[Cluster]| cluster_robust_variance(clusters).unwrap();
        assert!((robust(&quadruple) / robust(&single) - 4.0).abs() < 0.1);
    }

    #[test]
    fn unanimous_clusters_count_once_each() {
        let clusters = vec![
            Cluster {
                hits: 2.0,
                weight: 2.0
            };
            10
        ];
        let interval = clustered_wilson(&clusters, 0.95).unwrap();
        let plain = wilson(10.0, 10.0, 0.95).unwrap();
        assert!((interval.low - plain.low).abs() < 1e-15);
    }
}
