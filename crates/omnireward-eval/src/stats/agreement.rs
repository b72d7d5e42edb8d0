use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

/// How far apart two values of [`krippendorff_alpha`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal or not.
    Nominal,
    /// By how many values lie between them.
    Ordinal,
    /// By the square of their difference.
    Interval,
}

/// Cohen's kappa between two raters: `(pₒ − pₑ) / (1 − pₑ)`, with the observed agreement `pₒ` and
/// the one expected from the raters' own shares `pₑ` (Cohen 1960).
///
/// `None` without ratings, or when both raters gave a single same answer throughout: then there is
/// nothing that chance could not give.
pub fn cohen_kappa<T: Eq + Hash>(ratings: impl IntoIterator<Item = (T, T)>) -> Option<f64> {
    let (mut total, mut equal) = (0_u64, 0_u64);
    let (mut first, mut second) = (HashMap::<T, u64>::new(), HashMap::<T, u64>::new());
    for (a, b) in ratings {
        total += 1;
        equal += u64::from(a == b);
        *first.entry(a).or_default() += 1;
        *second.entry(b).or_default() += 1;
    }
    // Whole numbers, so that the order in which a hash map lists them does not matter.
    let expected: u64 = first
        .iter()
        .map(|(value, count)| count * second.get(value).copied().unwrap_or(0))
        .sum();
    let square = total * total;
    (square > expected)
        .then(|| ((equal * total) as f64 - expected as f64) / (square - expected) as f64)
}

/// Fleiss' kappa: `counts[i][j]` raters gave unit `i` the value `j` (Fleiss 1971).
///
/// `None` unless every unit has the same number of at least two ratings, or when all ratings are
/// the same.
pub fn fleiss_kappa(counts: &[Vec<u64>]) -> Option<f64> {
    let raters: u64 = counts.first()?.iter().sum();
    let values = counts[0].len();
    let even = counts
        .iter()
        .all(|unit| unit.len() == values && unit.iter().sum::<u64>() == raters);
    if !even || raters < 2 {
        return None;
    }
    let units = counts.len() as f64;
    let n = raters as f64;
    let observed = counts
        .iter()
        .map(|unit| unit.iter().map(|c| c * c.saturating_sub(1)).sum::<u64>() as f64)
        .sum::<f64>()
        / (units * n * (n - 1.0));
    let expected: f64 = (0..values)
        .map(|value| {
            let share = counts.iter().map(|unit| unit[value]).sum::<u64>() as f64 / (units * n);
            share * share
        })
        .sum();
    (expected < 1.0).then(|| (observed - expected) / (1.0 - expected))
}

/// Krippendorff's alpha: `1 − Dₒ/Dₑ`, the disagreement within units over the one expected from all
/// values together (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").
///
/// Each unit lists the values it was given, missing ones left out; units with fewer than two are
/// ignored. Values must be numbers, not NaN. `None` when nothing can disagree.
pub fn krippendorff_alpha<U: AsRef<[f64]>>(units: &[U], scale: Scale) -> Option<f64> {
    let units: Vec<&[f64]> = units
        .iter()
        .map(AsRef::as_ref)
        .filter(|unit| unit.len() > 1)
        .collect();
    let values = distinct(&units);
    let index: HashMap<u64, usize> = values
        .iter()
        .enumerate()
        .map(|(i, value)| (key(*value), i))
        .collect();
    let mut coincidences: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    let mut marginals = vec![0.0; values.len()];
    for unit in &units {
        let weight = 1.0 / (unit.len() - 1) as f64;
        for (i, a) in unit.iter().enumerate() {
            marginals[index[&key(*a)]] += 1.0;
            for (j, b) in unit.iter().enumerate() {
                if i != j {
                    *coincidences
                        .entry((index[&key(*a)], index[&key(*b)]))
                        .or_default() += weight;
                }
            }
        }
    }
    let total: f64 = marginals.iter().sum();
    let distance = |a: usize, b: usize| match scale {
        Scale::Nominal => f64::from(u8::from(a != b)),
        Scale::Interval => (values[a] - values[b]).powi(2),
        Scale::Ordinal => {
            let (low, high) = (a.min(b), a.max(b));
            let between: f64 = marginals[low..=high].iter().sum();
            (between - f64::midpoint(marginals[low], marginals[high])).powi(2)
        }
    };
    let observed: f64 = coincidences
        .iter()
        .map(|((a, b), n)| n * distance(*a, *b))
        .sum();
    let expected: f64 = (0..values.len())
        .flat_map(|a| (0..values.len()).map(move |b| (a, b)))
        .map(|(a, b)| marginals[a] * marginals[b] * distance(a, b))
        .sum();
    (expected > 0.0).then(|| 1.0 - (total - 1.0) * observed / expected)
}

/// The values that occur, in rising order.
fn distinct(units: &[&[f64]]) -> Vec<f64> {
    let mut seen = HashSet::new();
    let mut values: Vec<f64> = units
        .iter()
        .flat_map(|unit| unit.iter().copied())
        .filter(|value| seen.insert(key(*value)))
        .collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Equal numbers have equal keys, both zeros included.
fn key(value: f64) -> u64 {
    (value + 0.0).to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_by_chance_alone_is_zero() {
        let ratings = [(0, 0), (0, 1), (1, 0), (1, 1)];
        assert_eq!(cohen_kappa(ratings), Some(0.0));
        assert_eq!(cohen_kappa([(0, 0), (1, 1)]), Some(1.0));
        assert_eq!(cohen_kappa([(0, 0), (0, 0)]), None);
        assert_eq!(cohen_kappa::<u8>([]), None);
    }

    #[test]
    fn uneven_ratings_have_no_fleiss_kappa() {
        assert_eq!(fleiss_kappa(&[vec![2, 0], vec![1, 0]]), None);
        assert_eq!(fleiss_kappa(&[vec![2, 0], vec![2, 0]]), None);
        assert_eq!(fleiss_kappa(&[]), None);
        assert_eq!(fleiss_kappa(&[vec![2, 0], vec![0, 2]]), Some(1.0));
    }

    #[test]
    fn alpha_needs_something_that_can_disagree() {
        assert_eq!(
            krippendorff_alpha(&[[1.0, 1.0], [1.0, 1.0]], Scale::Nominal),
            None
        );
        assert_eq!(krippendorff_alpha(&[[1.0]], Scale::Nominal), None);
        assert_eq!(
            krippendorff_alpha(&[[1.0, 1.0], [0.0, -0.0]], Scale::Ordinal),
            Some(1.0)
        );
    }
}
