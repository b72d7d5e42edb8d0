//! The matrix product on the processor: `C = A·B` for matrices with any strides, of `f32`, `bf16` or `f16`.
//!
//! **For whole matrices** use [`product`]: it uses all threads of the current rayon pool and may be called from anywhere.
//! `x·Wᵀ`, `dy·W` and `dyᵀ·x` are the same call on [transposed](View::transposed) views.
//!
//! **For small products inside an operator** that is threaded itself, such as attention, use [`tile`]: pack the rows of
//! A and the columns of B into buffers of [`Tile::packed_rows`] and [`Tile::packed_columns`] numbers, once each, and
//! [multiply](Tile::multiply) them as often as needed, or go tile by tile with [`Tile::run`].
//!
//! **Order of summation.** Every element is summed over `k` in an order that depends on the length of `k` alone: not on
//! the other rows and columns, their number, the element's place, or the number of threads. Rows and columns at the
//! edge go through the same kernel as all others, padded with zeros.

#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "uses intrinsics; its functions for others check what they need"
)]
mod avx2;
#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "uses intrinsics; its functions for others check what they need"
)]
mod avx512;
#[expect(
    unsafe_code,
    reason = "cuts a borrow into rectangles; see its contract"
)]
mod output;
mod pack;
mod portable;
mod scratch;
mod tile;
mod view;
mod whole;

pub(crate) use pack::Pack;
pub(crate) use tile::{Block, Tile, tile};
pub(crate) use view::{Element, View};
pub(crate) use whole::{Output, product};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_packed_panels_is_multiplied() {
        let a: Vec<f32> = (0..7 * 5).map(|i| i as f32 - 9.0).collect();
        let b: Vec<f32> = (0..5 * 19).map(|i| (i % 11) as f32).collect();
        let (a, b) = (View::new(&a, 7, 5), View::new(&b, 5, 19));
        let tile = tile();
        let mut rows = vec![0.0; tile.packed_rows(7, 5)];
        let mut columns = vec![0.0; tile.packed_columns(19, 5)];
        tile.pack_rows(a, &mut rows);
        tile.pack_columns(b, &mut columns);
        let mut out = vec![1.0; 7 * 20];
        let block = Block {
            data: &mut out,
            rows: 7,
            columns: 19,
            row_stride: 20,
        };
        tile.multiply(&rows, &columns, 5, block, true);
        for i in 0..7 {
            for j in 0..19 {
                let expected: f32 = (0..5).map(|k| a.get(i, k) * b.get(k, j)).sum();
                assert_eq!(out[i * 20 + j], 1.0 + expected, "{i} {j}");
            }
            assert_eq!(out[i * 20 + 19], 1.0);
        }
    }
}
