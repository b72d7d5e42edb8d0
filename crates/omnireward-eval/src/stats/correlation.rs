/// Pearson's correlation coefficient of paired values.
///
/// `None` when the slices differ in length, hold fewer than two values, or one does not vary.
pub fn pearson(xs: &[f64], ys: &[f64]) -> Option<f64> {
    if xs.len() != ys.len() || xs.len() < 2 {
        return None;
    }
    let count = xs.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let (mx, my) = (mean(xs), mean(ys));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in xs.iter().zip(ys) {
        xx += (x - mx).powi(2);
        yy += (y - my).powi(2);
        xy += (x - mx) * (y - my);
    }
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx.sqrt() * yy.sqrt())).clamp(-1.0, 1.0))
}

/// Spearman's rank correlation: Pearson's of the ranks, equal values sharing their mean rank.
pub fn spearman(xs: &[f64], ys: &[f64]) -> Option<f64> {
    pearson(&ranks(xs), &ranks(ys))
}

/// Kendall's tau-b: `(C − D) / √((n₀ − n₁)(n₀ − n₂))`, with concordant and discordant pairs, all
/// pairs, and those tied in either list (Kendall 1945). Knight's algorithm, `n log n`.
///
/// `None` when the slices differ in length, hold fewer than two values, or one does not vary.
pub fn kendall_tau_b(xs: &[f64], ys: &[f64]) -> Option<f64> {
    if xs.len() != ys.len() || xs.len() < 2 {
        return None;
    }
    let mut points: Vec<(f64, f64)> = xs
        .iter()
        .zip(ys)
        // Adding zero makes both zeros the same to the total order.
        .map(|(x, y)| (x + 0.0, y + 0.0))
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let all = pairs_of(points.len());
    let tied_both = tied_pairs(&points, |a, b| a == b);
    let tied_x = tied_pairs(&points, |a, b| same(a.0, b.0));
    let mut seconds: Vec<f64> = points.iter().map(|point| point.1).collect();
    let discordant = sort_counting_swaps(&mut seconds);
    let tied_y = tied_pairs(&seconds, |a, b| same(*a, *b));
    let difference =
        all as f64 - tied_x as f64 - tied_y as f64 + tied_both as f64 - 2.0 * discordant as f64;
    let scale = ((all - tied_x) as f64).sqrt() * ((all - tied_y) as f64).sqrt();
    (scale > 0.0).then(|| (difference / scale).clamp(-1.0, 1.0))
}

/// The rank of each value from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| (values[*a] + 0.0).total_cmp(&(values[*b] + 0.0)));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|a, b| same(values[*a], values[*b])) {
        let rank = before as f64 + f64::midpoint(1.0, equal.len() as f64);
        for index in equal {
            ranks[*index] = rank;
        }
        before += equal.len();
    }
    ranks
}

/// Whether two values are tied: exactly equal, whatever the sign of a zero.
#[expect(clippy::float_cmp, reason = "ties are exact")]
fn same(a: f64, b: f64) -> bool {
    a == b
}

fn pairs_of(count: usize) -> u64 {
    count as u64 * (count as u64).saturating_sub(1) / 2
}

fn tied_pairs<T>(sorted: &[T], same: impl FnMut(&T, &T) -> bool) -> u64 {
    sorted
        .chunk_by(same)
        .map(|equal| pairs_of(equal.len()))
        .sum()
}

/// Merge sort; returns how many pairs stood in falling order.
fn sort_counting_swaps(values: &mut Vec<f64>) -> u64 {
    let mut merged = Vec::with_capacity(values.len());
    let mut swaps = 0;
    let mut width = 1;
    while width < values.len() {
        merged.clear();
        for run in values.chunks(2 * width) {
            let (mut left, mut right) = run.split_at(width.min(run.len()));
            while let (Some(l), Some(r)) = (left.first(), right.first()) {
                if r < l {
                    swaps += left.len() as u64;
                    merged.push(*r);
                    right = &right[1..];
                } else {
                    merged.push(*l);
                    left = &left[1..];
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        std::mem::swap(values, &mut merged);
        width *= 2;
    }
    swaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tau-b from its definition.
    fn by_definition(xs: &[f64], ys: &[f64]) -> Option<f64> {
        let (mut sum, mut x_differ, mut y_differ) = (0.0, 0.0, 0.0_f64);
        for i in 0..xs.len() {
            for j in 0..i {
                let step =
                    |v: &[f64]| f64::from(u8::from(v[i] > v[j])) - f64::from(u8::from(v[i] < v[j]));
                let (x, y) = (step(xs), step(ys));
                sum += x * y;
                x_differ += x * x;
                y_differ += y * y;
            }
        }
        (x_differ * y_differ > 0.0).then(|| sum / (x_differ * y_differ).sqrt())
    }

    proptest! {
        #[test]
        fn knights_algorithm_counts_as_the_definition_does(
            points in prop::collection::vec((-4_i8..4, -4_i8..4), 0..60)
        ) {
            let (xs, ys): (Vec<f64>, Vec<f64>) =
                points.into_iter().map(|(x, y)| (f64::from(x), f64::from(y))).unzip();
            match (kendall_tau_b(&xs, &ys), by_definition(&xs, &ys)) {
                (Some(fast), Some(slow)) => prop_assert!((fast - slow).abs() < 1e-12),
                (fast, slow) => prop_assert_eq!(fast, slow),
            }
        }
    }

    #[test]
    fn equal_values_share_their_mean_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    }

    #[test]
    fn what_does_not_vary_has_no_correlation() {
        assert_eq!(pearson(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0], &[1.0]), None);
        assert_eq!(kendall_tau_b(&[1.0, 2.0], &[1.0]), None);
        assert_eq!(kendall_tau_b(&[0.0, -0.0], &[1.0, 2.0]), None);
    }
}
