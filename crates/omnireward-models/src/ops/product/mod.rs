//! The matrix product on the processor: `C = A·B` for matrices with any strides, of `f32`, `bf16` or `f16`.
//!
//! **For whole matrices** use [`product`]: it uses all threads of the current rayon pool and may be called from anywhere.
//! `x·Wᵀ`, `dy·W` and `dyᵀ·x` are the same call on [transposed](View::transposed) views.
//!
//! **For small products inside an operator** that is threaded itself, such as attention, use [`tile`]: pack the rows of
//! A and the columns of B into buffers of [`Tile::packed_rows`] and [`Tile::packed_columns`] numbers, once each, and
//! [multiply](Tile::multiply) them as often as needed, or go tile by tile with [`Tile::run`].
//!
//! Panels of the matrices are packed into buffers that fit the caches, by threads, while they are multiplied; of B
//! a panel is held at a time, of A at most 64 MiB. Up to eight rows take [another way](few), which reads B in place.
//!
//! **Kernels** are chosen when the first product is asked for, by what the processor can do, and checked against plain
//! code: AVX-512 BF16 where both matrices are `bf16`, else AVX-512, AVX2 with FMA, or plain code. All but the
//! innermost loop is common to them.
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
mod few;
#[expect(
    unsafe_code,
    reason = "cuts a borrow into rectangles; see its contract"
)]
mod output;
mod pack;
mod portable;
#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "uses an intrinsic that changes nothing")
)]
mod prefetch;
mod scratch;
mod tile;
mod view;
mod whole;

pub(crate) use pack::Pack;
pub(crate) use tile::{Block, Tile, tile};
pub(crate) use view::{Element, View};
pub(crate) use whole::{Output, product};

/// The kernel that products of `f32` use on this processor, by its name: for reports.
pub fn product_kernel() -> &'static str {
    tile().name
}

#[cfg(test)]
mod tests;
