//! Kernels for AVX-512: of `f32`, and of pairs of `bf16` (`vdpbf16ps`), twelve rows by two registers each.
//!
//! **Contract.** The kernels check the lengths of their slices and are given out only where the processor has the
//! features; the functions with `target_feature` are private.

use std::{
    arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_fmadd_ps,
        _mm512_loadu_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
    },
    mem::transmute,
};

use super::tile::{Pair, Tile};

const ROWS: usize = 12;
const COLUMNS: usize = 32;

/// Twenty-four of thirty-two registers.
type Totals = [[__m512; 2]; ROWS];

/// The `f32` kernel, if the processor can run it.
pub(super) fn tile() -> Option<Tile<f32>> {
    is_x86_feature_detected!("avx512f").then_some(Tile {
        name: "avx512",
        rows: ROWS,
        columns: COLUMNS,
        kernel,
    })
}

/// The `bf16` kernel, if the processor can run it.
pub(super) fn pair_tile() -> Option<Tile<Pair>> {
    let available = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16");
    available.then_some(Tile {
        name: "avx512bf16",
        rows: ROWS,
        columns: COLUMNS,
        kernel: pair_kernel,
    })
}

fn kernel(steps: usize, a: &[f32], b: &[f32], sums: &mut [f32], add: bool) {
    let (a, b, sums) = (
        &a[..steps * ROWS],
        &b[..steps * COLUMNS],
        &mut sums[..ROWS * COLUMNS],
    );
    // SAFETY: `tile` gives this function out only where AVX-512 is there.
    unsafe { sum(a, b, sums, add) }
}

fn pair_kernel(steps: usize, a: &[Pair], b: &[Pair], sums: &mut [f32], add: bool) {
    let (a, b, sums) = (
        &a[..steps * ROWS],
        &b[..steps * COLUMNS],
        &mut sums[..ROWS * COLUMNS],
    );
    // SAFETY: `pair_tile` gives this function out only where AVX-512 with its bf16 part is there.
    unsafe { sum_pairs(a, b, sums, add) }
}

#[target_feature(enable = "avx512f")]
fn sum(a: &[f32], b: &[f32], sums: &mut [f32], add: bool) {
    let mut totals: Totals = [[_mm512_setzero_ps(); 2]; ROWS];
    for (a, b) in a.chunks_exact(ROWS).zip(b.chunks_exact(COLUMNS)) {
        // SAFETY: 32 numbers of four bytes lie at `b`.
        let b = unsafe {
            [
                _mm512_loadu_ps(b.as_ptr()),
                _mm512_loadu_ps(b.as_ptr().add(16)),
            ]
        };
        for i in 0..ROWS {
            let a = _mm512_set1_ps(a[i]);
            totals[i][0] = _mm512_fmadd_ps(a, b[0], totals[i][0]);
            totals[i][1] = _mm512_fmadd_ps(a, b[1], totals[i][1]);
        }
    }
    store(&totals, sums, add);
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn sum_pairs(a: &[Pair], b: &[Pair], sums: &mut [f32], add: bool) {
    let mut totals: Totals = [[_mm512_setzero_ps(); 2]; ROWS];
    for (a, b) in a.chunks_exact(ROWS).zip(b.chunks_exact(COLUMNS)) {
        // SAFETY: 32 pairs of four bytes lie at `b`; the two types are of the same 64 bytes.
        let b = unsafe {
            [
                transmute::<__m512, __m512bh>(_mm512_loadu_ps(b.as_ptr().cast())),
                transmute::<__m512, __m512bh>(_mm512_loadu_ps(b.as_ptr().add(16).cast())),
            ]
        };
        for i in 0..ROWS {
            let pair = u32::from(a[i][0].to_bits()) | u32::from(a[i][1].to_bits()) << 16;
            let a = _mm512_set1_epi32(pair.cast_signed());
            // SAFETY: the two types are of the same 64 bytes.
            let a = unsafe { transmute::<__m512i, __m512bh>(a) };
            totals[i][0] = _mm512_dpbf16_ps(totals[i][0], a, b[0]);
            totals[i][1] = _mm512_dpbf16_ps(totals[i][1], a, b[1]);
        }
    }
    store(&totals, sums, add);
}

#[target_feature(enable = "avx512f")]
#[inline]
fn store(totals: &Totals, sums: &mut [f32], add: bool) {
    for (to, total) in sums.chunks_exact_mut(16).zip(totals.as_flattened()) {
        // SAFETY: 16 numbers lie at `to`.
        unsafe {
            let total = if add {
                _mm512_add_ps(_mm512_loadu_ps(to.as_ptr()), *total)
            } else {
                *total
            };
            _mm512_storeu_ps(to.as_mut_ptr(), total);
        }
    }
}
