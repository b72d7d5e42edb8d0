use rayon::prelude::*;

use super::{Arithmetic, Element, Kernel, Rows, run};

/// Adds numbers to sums.
pub(crate) fn add_to<T: Element>(sums: &mut [f32], numbers: &[T]) {
    run(Add { sums, numbers });
}

struct Add<'a, T> {
    sums: &'a mut [f32],
    numbers: &'a [T],
}

impl<T: Element> Kernel for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for (sum, number) in self.sums.iter_mut().zip(self.numbers) {
            *sum += number.widen();
        }
    }
}

/// The sum of all rows, in their order, whatever the number of threads.
pub(crate) fn column_sums<T: Element>(rows: Rows<'_, T>) -> Vec<f32> {
    /// Columns of one task: some cache lines of every row.
    const COLUMNS: usize = 256;
    let mut sums = vec![0.0; rows.width];
    sums.par_chunks_mut(COLUMNS)
        .enumerate()
        .for_each(|(index, sums)| {
            let first = index * COLUMNS;
            for row in 0..rows.count {
                add_to(sums, &rows.row(row)[first..][..sums.len()]);
            }
        });
    sums
}

#[cfg(test)]
mod tests {
    use super::{super::testing::random, *};
    use crate::ops::simd::{read, testing::values};

    #[test]
    fn columns_are_summed_row_by_row() {
        let wide = random((70, 700), 3);
        let part = wide.narrow(1, 100, 515).unwrap();
        let sums = read::<f32, _>(&part, |rows| Ok(column_sums(rows))).unwrap();
        let numbers = values(&part);
        for (column, sum) in sums.into_iter().enumerate() {
            let expected = numbers[column..]
                .iter()
                .step_by(515)
                .fold(0.0_f32, |sum, number| sum + number);
            assert!(sum.to_bits() == expected.to_bits(), "column {column}");
        }
    }
}
