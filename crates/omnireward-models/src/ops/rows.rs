use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};
use half::bf16;
use rayon::prelude::*;

use super::simd::{self, Element, Rows};

/// Rows `indices` of a table, which may name a row more than once: an embedding lookup.
///
/// In the backward pass, what comes back to a row is summed in `f32`, in the order of `indices`, and rounded once. A
/// common token comes back hundreds of times, and a sum kept in `bf16` would stop growing long before.
///
/// # Shapes
///
/// `table`: `[rows, width]`; returns `[indices, width]` in its type.
pub fn rows(table: &Tensor, indices: &[u32]) -> Result<Tensor> {
    let (rows, _) = table.dims2()?;
    if let Some(index) = indices.iter().find(|index| **index as usize >= rows) {
        bail!("row {index} of a matrix of {rows} rows");
    }
    if !simd::ours(&[table]) {
        return rows_plain(table, indices);
    }
    let table = simd::with_rows(table)?;
    match table.dtype() {
        DType::F32 => table.apply_op1(Select::<f32>::new(indices)),
        _ => table.apply_op1(Select::<bf16>::new(indices)),
    }
}

/// [`rows`], by the framework's operator.
///
/// # Shapes
///
/// As [`rows`].
pub fn rows_plain(table: &Tensor, indices: &[u32]) -> Result<Tensor> {
    table
        .contiguous()?
        .index_select(&Tensor::new(indices, table.device())?, 0)
}

struct Select<T> {
    indices: Vec<u32>,
    element: PhantomData<T>,
}

impl<T> Select<T> {
    fn new(indices: &[u32]) -> Self {
        Self {
            indices: indices.to_vec(),
            element: PhantomData,
        }
    }
}

impl<T: Element> CustomOp1 for Select<T> {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let table = Rows::<T>::of(table, layout)?;
        let (count, width) = (self.indices.len(), table.width);
        let values = simd::fill(count * width, width, |first, to| {
            let rows = to.chunks_exact_mut(width.max(1));
            for (to, index) in rows.zip(&self.indices[first..]) {
                to.copy_from_slice(table.row(*index as usize));
            }
        });
        Ok((T::to_cpu_storage_owned(values), Shape::from((count, width))))
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (rows, width) = table.dims2()?;
        let mentions = Mentions::of(&self.indices, rows);
        let mut by_table = vec![T::ZERO; rows * width];
        simd::read::<T, _>(grad, |grad| {
            by_table
                .par_chunks_mut(width.max(1))
                .enumerate()
                .for_each_init(
                    || vec![0.0_f32; width],
                    |sums, (row, to)| add_up(grad, mentions.of_row(row), sums, to),
                );
            Ok(())
        })?;
        Tensor::from_vec(by_table, table.shape(), table.device()).map(Some)
    }
}

/// Writes the sum of the rows `places` of a gradient. A row that nothing comes back to stays as it is.
fn add_up<T: Element>(grad: Rows<'_, T>, places: &[u32], sums: &mut [f32], to: &mut [T]) {
    if let [place] = places {
        to.copy_from_slice(grad.row(*place as usize));
        return;
    }
    if places.is_empty() {
        return;
    }
    sums.fill(0.0);
    for place in places {
        simd::add_to(sums, grad.row(*place as usize));
    }
    for (to, sum) in to.iter_mut().zip(sums) {
        *to = T::narrow(*sum);
    }
}

/// For every row of a table, where it is mentioned, in order.
struct Mentions {
    places: Vec<u32>,
    /// Where the places of a row begin.
    starts: Vec<u32>,
}

impl Mentions {
    fn of(indices: &[u32], rows: usize) -> Self {
        let mut starts = vec![0; rows + 1];
        for index in indices {
            starts[*index as usize + 1] += 1;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut places = vec![0; indices.len()];
        for (place, index) in indices.iter().enumerate() {
            let next = &mut next[*index as usize];
            places[*next as usize] = place as u32;
            *next += 1;
        }
        Self { places, starts }
    }

    fn of_row(&self, row: usize) -> &[u32] {
        &self.places[self.starts[row] as usize..self.starts[row + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::super::simd::testing::{bits, check, gradients, random, values};
    use super::*;

    #[test]
    fn equals_its_plain_twin() {
        for width in [1, 5, 64] {
            let indices = [3, 0, 3, 8, 3, 0];
            check(
                &[random((9, width), 1)],
                [1e-6, 2e-2],
                |[table]| rows(table, &indices),
                |[table]| rows_plain(table, &indices),
            );
        }
    }

    #[test]
    fn takes_rows_of_a_wider_table() {
        let wide = random((9, 16), 1);
        let part = wide.narrow(1, 4, 7).unwrap().narrow(0, 2, 5).unwrap();
        let copied = rows(&part.contiguous().unwrap(), &[4, 1]).unwrap();
        assert_eq!(bits(&rows(&part, &[4, 1]).unwrap()), bits(&copied));
    }

    #[test]
    fn what_comes_back_often_is_summed_in_single_precision() {
        let table = random((2, 3), 1).to_dtype(DType::BF16).unwrap();
        let table = Var::from_tensor(&table).unwrap();
        let picked = rows(&table, &[1; 1000]).unwrap();
        let store = picked.sum_all().unwrap().backward().unwrap();
        // In `bf16`, 256 + 1 is 256.
        assert_eq!(
            values(store.get(&table).unwrap()),
            [0.0, 0.0, 0.0, 1000.0, 1000.0, 1000.0]
        );
    }

    #[test]
    fn threads_change_no_gradient() {
        let indices: Vec<u32> = (0..900).map(|i| i * i % 37).collect();
        let run = |threads| {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
            builder.build().unwrap().install(|| {
                gradients(&[random((40, 70), 1)], |[table]| rows(table, &indices))
                    .map(|gradient| bits(&gradient))
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn refuses_rows_that_are_not_there() {
        let table = Tensor::zeros((4, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(rows(&table, &[0, 4]).is_err());
        assert!(rows(&random(4, 1), &[0]).is_err());
    }
}
