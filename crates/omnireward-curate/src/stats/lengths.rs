use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How long texts are, in words.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lengths {
    /// Texts.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// The shortest.
    pub least: u64,
    /// A quarter of the texts are no longer.
    pub quarter: u64,
    /// Half are no longer.
    pub median: u64,
    /// Three quarters are no longer.
    pub three_quarters: u64,
    /// Nineteen of twenty are no longer.
    pub most_of_20: u64,
    /// The longest.
    pub most: u64,
}

impl Lengths {
    /// From how often each length occurs; `None` when none does.
    ///
    /// A quantile `q` of `n` texts is the length of the `⌈q n⌉`-th shortest (definition 1 of Hyndman and Fan, "Sample
    /// quantiles in statistical packages", 1996): a length that occurs.
    pub fn new(occurrences: &BTreeMap<u64, u64>) -> Option<Self> {
        let count: u64 = occurrences.values().sum();
        let (&least, _) = occurrences.first_key_value()?;
        let (&most, _) = occurrences.last_key_value()?;
        let total: u64 = occurrences
            .iter()
            .map(|(length, times)| length * times)
            .sum();
        let quantile = |twentieths: u64| {
            let rank = (twentieths * count).div_ceil(20).max(1);
            let mut seen = 0;
            let found = occurrences.iter().find(|(_, times)| {
                seen += *times;
                seen >= rank
            });
            found.map_or(most, |(&length, _)| length)
        };
        Some(Self {
            count,
            mean: total as f64 / count as f64,
            least,
            quarter: quantile(5),
            median: quantile(10),
            three_quarters: quantile(15),
            most_of_20: quantile(19),
            most,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_lengths_that_occur() {
        let lengths = Lengths::new(&BTreeMap::from([(1, 5), (2, 5), (10, 9), (50, 1)])).unwrap();
        let found = [
            lengths.least,
            lengths.quarter,
            lengths.median,
            lengths.three_quarters,
            lengths.most_of_20,
            lengths.most,
        ];
        assert_eq!(found, [1, 1, 2, 10, 10, 50]);
        assert!((lengths.mean - 155.0 / 20.0).abs() < 1e-12);
        assert_eq!(Lengths::new(&BTreeMap::new()), None);
    }
}
