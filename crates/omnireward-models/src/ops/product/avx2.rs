//! Kernels and packing for AVX2 and FMA.
//!
//! **Contract.** The functions that others may call check the lengths of their slices and ask the processor for its
//! features before they run anything it may lack; the functions with `target_feature` are private.

use std::arch::x86_64::{
    __m256, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_add_ps, _mm256_broadcast_ss,
    _mm256_castsi256_ps, _mm256_cvtepu16_epi32, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_permute2f128_ps, _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_slli_epi32,
    _mm256_storeu_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
};

use super::{
    pack::{self, Form, Pack},
    tile::{Lane, Tile},
    view::View,
};

const ROWS: usize = 6;
const COLUMNS: usize = 16;

/// Whether the processor has what this module needs.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

/// The kernel, if the processor can run it: twelve of sixteen registers hold sums.
pub(super) fn tile() -> Option<Tile<f32>> {
    available().then_some(Tile {
        name: "avx2",
        rows: ROWS,
        columns: COLUMNS,
        kernel,
    })
}

fn kernel(steps: usize, a: &[f32], b: &[f32], sums: &mut [f32], add: bool) {
    assert!(a.len() >= steps * ROWS && b.len() >= steps * COLUMNS && sums.len() >= ROWS * COLUMNS);
    // SAFETY: `tile` gives this function out only where the features are there; the lengths were checked.
    unsafe { sum(steps, a.as_ptr(), b.as_ptr(), sums.as_mut_ptr(), add) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn sum(steps: usize, mut a: *const f32, mut b: *const f32, sums: *mut f32, add: bool) {
    // SAFETY: the caller vouches for `steps` steps of both panels and for the sums.
    unsafe {
        for i in 0..ROWS {
            _mm_prefetch::<_MM_HINT_T0>(sums.add(i * COLUMNS).cast());
        }
        let mut totals = [[_mm256_setzero_ps(); 2]; ROWS];
        for _ in 0..steps / UNROLL {
            for _ in 0..UNROLL {
                step(a, b, &mut totals);
                a = a.add(ROWS);
                b = b.add(COLUMNS);
            }
        }
        for _ in 0..steps % UNROLL {
            step(a, b, &mut totals);
            a = a.add(ROWS);
            b = b.add(COLUMNS);
        }
        for (i, totals) in totals.iter().enumerate() {
            for (j, total) in totals.iter().enumerate() {
                let to = sums.add(i * COLUMNS + 8 * j);
                let total = if add {
                    _mm256_add_ps(_mm256_loadu_ps(to), *total)
                } else {
                    *total
                };
                _mm256_storeu_ps(to, total);
            }
        }
    }
}

const UNROLL: usize = 4;

#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn step(a: *const f32, b: *const f32, totals: &mut [[__m256; 2]; ROWS]) {
    // SAFETY: the caller vouches for one step of both panels.
    unsafe {
        let b = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))];
        for (i, totals) in totals.iter_mut().enumerate() {
            let a = _mm256_broadcast_ss(&*a.add(i));
            totals[0] = _mm256_fmadd_ps(a, b[0], totals[0]);
            totals[1] = _mm256_fmadd_ps(a, b[1], totals[1]);
        }
    }
}

/// Packs rows whose numbers lie one after another into a panel; says no where the processor lacks AVX2.
pub(super) fn panel<L: Lane, T: Pack<L>>(rows: View<'_, T>, width: usize, panel: &mut [L]) -> bool {
    let steps = rows.columns().div_ceil(L::DEPTH);
    assert!(
        rows.column_stride() == 1
            && rows.rows() <= width
            && width <= WIDEST
            && panel.len() >= steps * width
    );
    if !available() {
        return false;
    }
    // SAFETY: the features are there; the view reaches `columns` numbers in each of its rows.
    unsafe { transpose(rows, width, panel) };
    true
}

const WIDEST: usize = 32;

/// Packs by blocks of eight rows and eight steps.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn transpose<L: Lane, T: Pack<L>>(rows: View<'_, T>, width: usize, panel: &mut [L]) {
    let whole = rows.columns() / (8 * L::DEPTH);
    // Eight rows may be more than the panel has left: what is too much lands in the next step, which is written later.
    // So the last block, which has no next step, goes by way of a buffer.
    let direct = if width.is_multiple_of(8) {
        whole
    } else {
        whole.saturating_sub(1)
    };
    for block in 0..direct {
        // SAFETY: as the caller vouches; the panel goes on for at least seven lanes.
        unsafe { transpose_block(&rows, width, block, panel[8 * block * width..].as_mut_ptr()) };
    }
    if direct < whole {
        let mut buffer = [L::default(); 8 * WIDEST + 8];
        // SAFETY: as the caller vouches; the buffer has room for eight steps and more.
        unsafe { transpose_block(&rows, width, direct, buffer.as_mut_ptr()) };
        panel[8 * direct * width..][..8 * width].copy_from_slice(&buffer[..8 * width]);
    }
    pack::plain(rows, width, panel, 8 * whole);
}

/// Eight steps of all rows.
///
/// # Safety
///
/// The features are there; the rows have eight steps from block `block` on; `to` has room for eight steps of the panel
/// and seven lanes.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn transpose_block<L: Lane, T: Pack<L>>(
    rows: &View<'_, T>,
    width: usize,
    block: usize,
    to: *mut L,
) {
    const { assert!(size_of::<L>() == 4) };
    // SAFETY: as the caller vouches.
    unsafe {
        let from = rows.data().as_ptr().add(8 * L::DEPTH * block);
        for group in (0..width).step_by(8).rev() {
            let mut lanes = [_mm256_setzero_ps(); 8];
            if group + 8 <= rows.rows() {
                for (row, to) in lanes.iter_mut().enumerate() {
                    *to = eight::<L, T>(from.add((group + row) * rows.row_stride()));
                }
            } else {
                for (row, to) in (group..rows.rows()).zip(&mut lanes) {
                    *to = eight::<L, T>(from.add(row * rows.row_stride()));
                }
            }
            for (step, lanes) in transposed(lanes).into_iter().enumerate() {
                _mm256_storeu_ps(to.add(step * width + group).cast(), lanes);
            }
        }
    }
}

/// Eight lanes, from consecutive numbers.
///
/// # Safety
///
/// The features are there, and so are the numbers.
#[target_feature(enable = "avx2,f16c")]
#[inline]
unsafe fn eight<L: Lane, T: Pack<L>>(from: *const T) -> __m256 {
    // SAFETY: as the caller vouches.
    unsafe {
        match T::FORM {
            Form::Same => _mm256_loadu_ps(from.cast()),
            Form::Half => _mm256_cvtph_ps(_mm_loadu_si128(from.cast())),
            Form::Upper => {
                let halves = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
            }
        }
    }
}

/// The transpose of eight rows of eight.
#[target_feature(enable = "avx2")]
#[inline]
fn transposed(rows: [__m256; 8]) -> [__m256; 8] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    let halves = |low, high| {
        [
            _mm256_permute2f128_ps::<0x20>(low, high),
            _mm256_permute2f128_ps::<0x31>(low, high),
        ]
    };
    let ([a0, b0], [a1, b1]) = (halves(r0, r4), halves(r1, r5));
    let ([a2, b2], [a3, b3]) = (halves(r2, r6), halves(r3, r7));
    let fours = |x0, x1, x2, x3| {
        let (low01, high01) = (_mm256_unpacklo_ps(x0, x1), _mm256_unpackhi_ps(x0, x1));
        let (low23, high23) = (_mm256_unpacklo_ps(x2, x3), _mm256_unpackhi_ps(x2, x3));
        [
            _mm256_shuffle_ps::<0x44>(low01, low23),
            _mm256_shuffle_ps::<0xee>(low01, low23),
            _mm256_shuffle_ps::<0x44>(high01, high23),
            _mm256_shuffle_ps::<0xee>(high01, high23),
        ]
    };
    let [c0, c1, c2, c3] = fours(a0, a1, a2, a3);
    let [c4, c5, c6, c7] = fours(b0, b1, b2, b3);
    [c0, c1, c2, c3, c4, c5, c6, c7]
}
