/// For every patch of a tile in raster order, its row of a position table of `side` × `side` patches.
pub fn position_ids(rows: usize, columns: usize, side: usize) -> Vec<u32> {
    let across = buckets(columns, side);
    buckets(rows, side)
        .into_iter()
        .flat_map(|row| across.iter().map(move |column| row * side as u32 + column))
        .collect()
}

/// Where `count` patches along an edge lie in a table with `side` entries along it.
///
/// Almost `⌊side · i / count⌋`. The original asks `PyTorch` how many of the thresholds `1/side, 2/side, …` are at most
/// `i / count`, and where the two are equal on paper, rounding decides: with 25 patches and 70 entries, patches 5, 10,
/// 15 and 20 lie one lower. Both sequences are therefore computed as `PyTorch` computes them; the step of the second is
/// an `f32`, because the original divides by an integer tensor.
pub fn buckets(count: usize, side: usize) -> Vec<u32> {
    let entry = 1.0 / side as f64;
    let thresholds = arithmetic_sequence(entry, entry, side.saturating_sub(1));
    let step = f64::from(1.0 / count as f32);
    arithmetic_sequence(0.0, step, count)
        .into_iter()
        .map(|coordinate| thresholds.partition_point(|threshold| *threshold <= coordinate) as u32)
        .collect()
}

/// `start, start + step, …` with the rounding of `PyTorch`'s vectorised `arange`: in every whole block of eight, the
/// first element is rounded to `f32` before the others are derived from it; what is left is computed one by one.
fn arithmetic_sequence(start: f64, step: f64, count: usize) -> Vec<f32> {
    const BLOCK: usize = 8;
    let blocks = count / BLOCK * BLOCK;
    (0..count)
        .map(|index| {
            let (first, offset) = if index < blocks {
                (index / BLOCK * BLOCK, index % BLOCK)
            } else {
                (index, 0)
            };
            let first = (start + step * first as f64) as f32;
            (f64::from(first) + step * offset as f64) as f32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Side of the table → buckets of 1, 2, … patches.
    #[derive(serde::Deserialize)]
    struct Fixture {
        buckets: BTreeMap<usize, Vec<Vec<u32>>>,
    }

    #[test]
    fn buckets_are_pytorchs() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/parity/positions/buckets.json"
        );
        let fixture: Fixture =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(fixture.buckets[&70].len(), 199);
        for (side, lines) in fixture.buckets {
            for (line, count) in lines.iter().zip(1..) {
                assert_eq!(&buckets(count, side), line, "{count} patches, side {side}");
            }
        }
    }

    #[test]
    fn twenty_five_patches() {
        let expected = [
            0, 2, 5, 8, 11, 13, 16, 19, 22, 25, 27, 30, 33, 36, 39, 41, 44, 47, 50, 53, 55, 58, 61,
            64, 67,
        ];
        assert_eq!(buckets(25, 70), expected);
        let on_paper: Vec<u32> = (0..25).map(|index| 70 * index / 25).collect();
        assert_ne!(
            buckets(25, 70),
            on_paper,
            "ties are decided by rounding, not on paper"
        );
    }

    #[test]
    fn rows_come_first() {
        let ids = position_ids(2, 3, 70);
        assert_eq!(ids, [0, 23, 46, 2450, 2473, 2496]);
    }
}
