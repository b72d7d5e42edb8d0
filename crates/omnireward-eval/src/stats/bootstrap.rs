use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::{Cluster, Interval, IntervalMethod, critical_value};

/// Replicates drawn by one task of the thread pool. Each such block has its own random stream, so
/// results do not depend on the number of threads.
const BLOCK: usize = 250;

/// Cluster sums are held as whole numbers of 1/6, so that halves and thirds are exact.
const UNIT: f64 = 6.0;

/// The lower half of a packed sum.
const LOW: u64 = u32::MAX as u64;

/// How clusters are resampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resampling {
    /// How many times.
    pub resamples: u32,
    /// Seeds the random numbers.
    pub seed: u64,
    /// Which sequence of random numbers to use: different ones are independent.
    pub stream: u32,
}

/// The sums of hits and weights over clusters drawn with replacement, once for each resample.
#[derive(Clone, Debug, PartialEq)]
pub struct ShareReplicates(Vec<u64>);

impl ShareReplicates {
    /// Draws as many clusters as there are, with replacement, `resamples` times.
    ///
    /// Hits and weights are rounded to sixths, which is exact for whole numbers, halves and
    /// thirds.
    ///
    /// # Panics
    ///
    /// When the heaviest cluster, drawn every time, would exceed what 32 bits count in sixths:
    /// 700 million trials.
    pub fn draw(clusters: &[Cluster], how: Resampling) -> Self {
        let packed: Vec<u64> = clusters.iter().map(|c| pack(*c)).collect();
        let heaviest = packed
            .iter()
            .map(|sums| (sums >> 32).max(sums & LOW))
            .max()
            .unwrap_or(0);
        assert!(
            heaviest * packed.len() as u64 <= LOW,
            "the clusters are too many and too heavy to be resampled"
        );
        let mut sums = vec![0; how.resamples as usize];
        if !packed.is_empty() {
            sums.par_chunks_mut(BLOCK)
                .enumerate()
                .for_each(|(block, sums)| {
                    let mut rng = ChaCha8Rng::seed_from_u64(how.seed);
                    rng.set_stream(u64::from(how.stream) << 32 | block as u64);
                    for sum in sums {
                        *sum = draw_once(&packed, &mut rng);
                    }
                });
        }
        Self(sums)
    }

    /// The share in each resample; `None` where the weight is zero.
    pub fn shares(&self) -> impl Iterator<Item = Option<f64>> + '_ {
        self.0.iter().map(|sum| {
            let (hits, weight) = (sum >> 32, sum & LOW);
            (weight > 0).then(|| hits as f64 / weight as f64)
        })
    }

    /// Adds another set of sums drawn equally often, resample by resample.
    pub fn add(&mut self, other: &Self) {
        for (sum, other) in self.0.iter_mut().zip(&other.0) {
            *sum += other;
        }
    }

    /// The percentile interval of the share; `None` where resamples have no share.
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        percentile_interval(self.shares().collect::<Option<Vec<f64>>>()?, confidence)
    }
}

/// The interval between the `(1 ± confidence) / 2` quantiles of replicates, interpolated linearly
/// between order statistics as `numpy.quantile` does. `None` without replicates.
pub fn percentile_interval(mut replicates: Vec<f64>, confidence: f64) -> Option<Interval> {
    if replicates.is_empty() {
        return None;
    }
    let tail = (1.0 - confidence) / 2.0;
    let low = quantile(&mut replicates, tail);
    let high = quantile(&mut replicates, 1.0 - tail);
    Some(Interval {
        low,
        high,
        method: IntervalMethod::ClusteredBootstrap,
    })
}

/// The normal interval of the mean of independent values, with their sample variance, cut to 0–1.
/// `None` with fewer than two.
pub fn mean_interval(values: &[f64], confidence: f64) -> Option<Interval> {
    let count = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let reach = critical_value(confidence) * (squares / (count - 1.0) / count).sqrt();
    Some(Interval {
        low: (mean - reach).max(0.0),
        high: (mean + reach).min(1.0),
        method: IntervalMethod::ClusterRobust,
    })
}

/// Hits in the upper half, weight in the lower: one addition sums both.
fn pack(cluster: Cluster) -> u64 {
    let sixths = |value: f64| (value * UNIT).round() as u64;
    sixths(cluster.hits) << 32 | sixths(cluster.weight)
}

fn draw_once(packed: &[u64], rng: &mut ChaCha8Rng) -> u64 {
    let count = packed.len() as u64;
    // The high half of a 32-bit number times `count` is uniform up to a bias of count / 2³².
    let pick = |random: u64| packed[(((random & LOW) * count) >> 32) as usize];
    let mut sum = 0;
    for _ in 0..packed.len() / 2 {
        let random = rng.next_u64();
        sum += pick(random) + pick(random >> 32);
    }
    if packed.len() % 2 == 1 {
        sum += pick(rng.next_u64());
    }
    sum
}

/// The quantile of unsorted values, which are partly sorted by it.
fn quantile(values: &mut [f64], probability: f64) -> f64 {
    let position = probability * (values.len() - 1) as f64;
    let below = position.floor() as usize;
    let (_, low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    let next = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    low + (next - low) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOW: Resampling = Resampling {
        resamples: 4000,
        seed: 3,
        stream: 0,
    };

    fn clusters() -> Vec<Cluster> {
        (0..300)
            .map(|i| Cluster {
                hits: f64::from(i % 3 != 0) * f64::from(1 + i % 4),
                weight: f64::from(1 + i % 4),
            })
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_draws_on_any_number_of_threads() {
        let draw = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| ShareReplicates::draw(&clusters(), HOW))
        };
        assert_eq!(draw(1), draw(3));
        let other = Resampling { stream: 1, ..HOW };
        assert_ne!(draw(1), ShareReplicates::draw(&clusters(), other));
    }

    #[test]
    fn the_spread_of_resamples_is_the_robust_standard_error() {
        let shares: Vec<f64> = ShareReplicates::draw(&clusters(), HOW)
            .shares()
            .flatten()
            .collect();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        let variance = shares.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / shares.len() as f64;
        let robust = super::super::cluster_robust_variance(&clusters()).unwrap();
        assert!((variance / robust - 1.0).abs() < 0.1, "{variance} {robust}");
    }

    #[test]
    fn halves_and_thirds_are_exact() {
        let thirds = vec![
            Cluster {
                hits: 1.0 / 3.0,
                weight: 1.0
            };
            3
        ];
        let replicates = ShareReplicates::draw(&thirds, HOW);
        assert!(replicates.shares().all(|s| s == Some(1.0 / 3.0)));
    }

    #[test]
    fn quantiles_interpolate() {
        let interval = percentile_interval(vec![4.0, 1.0, 3.0, 2.0, 5.0], 0.9).unwrap();
        assert!((interval.low - 1.2).abs() < 1e-12 && (interval.high - 4.8).abs() < 1e-12);
    }

    #[test]
    fn nothing_to_draw_has_no_interval() {
        assert_eq!(ShareReplicates::draw(&[], HOW).interval(0.95), None);
        let weightless = [Cluster::default(); 3];
        assert_eq!(ShareReplicates::draw(&weightless, HOW).interval(0.95), None);
    }
}
