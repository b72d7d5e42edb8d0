//! Kernels and packing for AVX2 and FMA.
//!
//! **Contract.** The functions that others may call check the lengths of their slices and ask the processor for its
//! features before they run anything it may lack; the functions with `target_feature` are private.

use std::arch::x86_64::{
    __m256, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_add_ps, _mm256_broadcast_ss,
    _mm256_castsi256_ps, _mm256_cvtepu16_epi32, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_permute2f128_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_shuffle_ps,
    _mm256_slli_epi32, _mm256_storeu_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
};

use super::{
    few,
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

/// The kernel for [few rows](few): twelve registers hold the sums of eight rows with a column each.
pub(super) fn sum_few<T: Pack<f32>>(
    columns: [&[T]; few::COLUMNS],
    lanes: &[f32],
    sums: &mut few::Sums,
    add: bool,
) {
    assert!(
        available()
            && columns
                .iter()
                .all(|column| column.len() * few::ROWS == lanes.len())
    );
    // SAFETY: the features are there.
    unsafe { sum_columns(columns, lanes, sums, add) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn sum_columns<T: Pack<f32>>(
    columns: [&[T]; few::COLUMNS],
    lanes: &[f32],
    sums: &mut few::Sums,
    add: bool,
) {
    let mut totals = [_mm256_setzero_ps(); few::COLUMNS];
    let starts = columns.map(<[T]>::as_ptr);
    let mut blocks = lanes.chunks_exact(BLOCK * few::ROWS);
    for (block, lanes) in blocks.by_ref().enumerate() {
        let mut widened = [[0.0; BLOCK]; few::COLUMNS];
        if T::FORM != Form::Same {
            for (start, widened) in starts.iter().zip(&mut widened) {
                // SAFETY: eight numbers of each column belong to a block, and `widened` has room for them.
                unsafe {
                    _mm256_storeu_ps(
                        widened.as_mut_ptr(),
                        eight::<f32, T>(start.add(block * BLOCK)),
                    );
                };
            }
        }
        for (k, lanes) in lanes.chunks_exact(few::ROWS).enumerate() {
            // SAFETY: eight lanes lie there.
            let lanes = unsafe { _mm256_loadu_ps(lanes.as_ptr()) };
            for (i, total) in totals.iter_mut().enumerate() {
                let number = if T::FORM == Form::Same {
                    // SAFETY: the block's numbers belong to the column.
                    unsafe { (*starts[i].add(block * BLOCK + k)).widen() }
                } else {
                    widened[i][k]
                };
                *total = _mm256_fmadd_ps(_mm256_set1_ps(number), lanes, *total);
            }
        }
    }
    let first = lanes.len() / few::ROWS / BLOCK * BLOCK;
    for (k, lanes) in (first..).zip(blocks.remainder().chunks_exact(few::ROWS)) {
        // SAFETY: eight lanes lie there.
        let lanes = unsafe { _mm256_loadu_ps(lanes.as_ptr()) };
        for (column, total) in columns.iter().zip(&mut totals) {
            *total = _mm256_fmadd_ps(_mm256_set1_ps(column[k].widen()), lanes, *total);
        }
    }
    for (sums, total) in sums.iter_mut().zip(totals) {
        // SAFETY: a column has eight sums.
        unsafe {
            let total = if add {
                _mm256_add_ps(_mm256_loadu_ps(sums.as_ptr()), total)
            } else {
                total
            };
            _mm256_storeu_ps(sums.as_mut_ptr(), total);
        }
    }
}

/// Packs rows whose numbers lie one after another into a panel; says no where the processor lacks AVX2.
pub(super) fn panel<L: Lane, T: Pack<L>>(rows: View<'_, T>, width: usize, panel: &mut [L]) -> bool {
    let steps = rows.columns().div_ceil(L::DEPTH);
    assert!(rows.column_stride() == 1 && rows.rows() <= width && panel.len() == steps * width);
    if !available() {
        return false;
    }
    // The last group may be of fewer than eight, and spills into lanes that the first one sets afterwards.
    for group in (0..rows.rows()).step_by(8).rev() {
        // SAFETY: the features are there.
        unsafe { transpose(rows, group, width, panel) };
    }
    pack::plain(
        rows,
        width,
        panel,
        rows.columns() / BLOCK / L::DEPTH * BLOCK,
    );
    if rows.rows() < width {
        for step in panel.chunks_exact_mut(width) {
            step[rows.rows()..].fill(L::default());
        }
    }
    true
}

/// Rows, and steps, that are transposed at a time.
const BLOCK: usize = 8;

/// Packs the whole blocks of eight rows from row `group` on. Where there are fewer rows, or fewer lanes, the lanes that
/// follow are set to any number, within the panel.
#[target_feature(enable = "avx2,fma,f16c")]
fn transpose<L: Lane, T: Pack<L>>(rows: View<'_, T>, group: usize, width: usize, panel: &mut [L]) {
    const { assert!(size_of::<L>() == 4) };
    let blocks = rows.columns() / L::DEPTH / BLOCK;
    // The last block of a narrow group would spill beyond the panel, and goes by way of a buffer.
    let direct = if group + BLOCK <= width {
        blocks
    } else {
        blocks.saturating_sub(1)
    };
    let starts: [&[T]; BLOCK] = std::array::from_fn(|i| {
        let row = rows.rows().min(group + i + 1) - 1;
        &rows.data()[row * rows.row_stride()..][..rows.columns()]
    });
    let starts = starts.map(<[T]>::as_ptr);
    let block_at = |block: usize| {
        // SAFETY: every row has `blocks` blocks of steps, each of which covers `L::DEPTH` numbers.
        transposed(starts.map(|row| unsafe { eight::<L, T>(row.add(block * BLOCK * L::DEPTH)) }))
    };
    let to = panel.as_mut_ptr();
    for block in 0..direct {
        for (step, lanes) in block_at(block).into_iter().enumerate() {
            // SAFETY: eight lanes lie there: a step ends after `group + 8` lanes or more, or another one follows.
            unsafe {
                _mm256_storeu_ps(to.add((block * BLOCK + step) * width + group).cast(), lanes);
            }
        }
    }
    if direct < blocks {
        for (step, lanes) in block_at(direct).into_iter().enumerate() {
            let mut buffer = [L::default(); BLOCK];
            // SAFETY: the buffer has eight lanes.
            unsafe { _mm256_storeu_ps(buffer.as_mut_ptr().cast(), lanes) };
            let to = &mut panel[(direct * BLOCK + step) * width + group..][..width - group];
            to.copy_from_slice(&buffer[..width - group]);
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
