//! The two passes of the bicubic filter.
//!
//! They are plain loops over fixed numbers of lanes. Compiled for AVX2 the same loops work on eight
//! numbers at once; which of the two is called is decided when the program runs. All arithmetic is on
//! whole numbers, so both give the same bytes.
#![expect(
    unsafe_code,
    reason = "a function compiled for AVX2 is called, after asking the processor whether it has it"
)]

use super::{PRECISION, Taps};

/// Half of a unit, which makes the shift round to nearest.
const HALF: i32 = 1 << (PRECISION - 1);

/// Resizes each row of a picture of `width` RGB pixels a row.
pub(super) fn horizontal(pixels: &[u8], width: usize, taps: &Taps) -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, which is all that the function asks for.
        return unsafe { horizontal_avx2(pixels, width, taps) };
    }
    horizontal_portable(pixels, width, taps)
}

/// Resizes each column of a picture of `row_len` bytes a row.
pub(super) fn vertical(pixels: &[u8], row_len: usize, taps: &Taps) -> Vec<u8> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, which is all that the function asks for.
        return unsafe { vertical_avx2(pixels, row_len, taps) };
    }
    vertical_portable(pixels, row_len, taps)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn horizontal_avx2(pixels: &[u8], width: usize, taps: &Taps) -> Vec<u8> {
    horizontal_portable(pixels, width, taps)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn vertical_avx2(pixels: &[u8], row_len: usize, taps: &Taps) -> Vec<u8> {
    vertical_portable(pixels, row_len, taps)
}

/// Rows that the horizontal pass works on together.
const STRIP: usize = 16;

/// The pixels that are above one another in a strip.
type Column = [u8; 3 * STRIP];

/// Along a row, neighbouring bytes have different weights, so a strip of rows is turned on its side:
/// then whole columns are weighted and added.
#[expect(
    clippy::inline_always,
    reason = "the body is compiled again inside the function for AVX2"
)]
#[inline(always)]
fn horizontal_portable(pixels: &[u8], width: usize, taps: &Taps) -> Vec<u8> {
    let height = pixels.len() / (3 * width);
    let row_len = 3 * taps.len();
    let mut resized = vec![0; height * row_len];
    let mut columns: Vec<Column> = vec![[0; 3 * STRIP]; width];
    let strips = pixels.chunks(3 * width * STRIP);
    for (strip, resized) in strips.zip(resized.chunks_mut(row_len * STRIP)) {
        turn(strip, width, &mut columns);
        for (x, (first, weights)) in taps.iter().enumerate() {
            let column = weighted_column(&columns[first..][..weights.len()], weights);
            for (row, pixel) in resized
                .chunks_exact_mut(row_len)
                .zip(column.chunks_exact(3))
            {
                row[3 * x..][..3].copy_from_slice(pixel);
            }
        }
    }
    resized
}

#[expect(clippy::inline_always, reason = "as `horizontal_portable`")]
#[inline(always)]
fn turn(strip: &[u8], width: usize, columns: &mut [Column]) {
    for (x, column) in columns.iter_mut().enumerate() {
        for (row, place) in strip
            .chunks_exact(3 * width)
            .zip(column.chunks_exact_mut(3))
        {
            place.copy_from_slice(&row[3 * x..][..3]);
        }
    }
}

#[expect(clippy::inline_always, reason = "as `horizontal_portable`")]
#[inline(always)]
fn weighted_column(columns: &[Column], weights: &[i32]) -> Column {
    let mut sums = [HALF; 3 * STRIP];
    for (column, &weight) in columns.iter().zip(weights) {
        for (sum, &value) in sums.iter_mut().zip(column) {
            *sum += weight * i32::from(value);
        }
    }
    sums.map(rounded)
}

/// Bytes of a row that the vertical pass works on together.
const SPAN: usize = 64;

#[expect(clippy::inline_always, reason = "as `horizontal_portable`")]
#[inline(always)]
fn vertical_portable(pixels: &[u8], row_len: usize, taps: &Taps) -> Vec<u8> {
    let mut resized = vec![0; taps.len() * row_len];
    for (row, (first, weights)) in resized.chunks_exact_mut(row_len).zip(taps.iter()) {
        let sources = &pixels[first * row_len..];
        let (spans, rest) = row.as_chunks_mut::<SPAN>();
        for (index, span) in spans.iter_mut().enumerate() {
            let mut sums = [HALF; SPAN];
            let from = SPAN * index;
            for (source, &weight) in sources.chunks_exact(row_len).zip(weights) {
                for (sum, &value) in sums.iter_mut().zip(&source[from..][..SPAN]) {
                    *sum += weight * i32::from(value);
                }
            }
            *span = sums.map(rounded);
        }
        let from = row_len - rest.len();
        for (offset, byte) in rest.iter_mut().enumerate() {
            let sum = sources
                .chunks_exact(row_len)
                .zip(weights)
                .fold(HALF, |sum, (source, &weight)| {
                    sum + weight * i32::from(source[from + offset])
                });
            *byte = rounded(sum);
        }
    }
    resized
}

#[expect(clippy::inline_always, reason = "as `horizontal_portable`")]
#[inline(always)]
fn rounded(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instructions_make_no_difference() {
        for (width, height, new) in [(1, 1, 5), (7, 40, 19), (64, 17, 23), (33, 16, 90)] {
            let pixels: Vec<u8> = (0..3 * width * height)
                .map(|i: usize| (i * i * 31 + i * 7) as u8)
                .collect();
            let across = Taps::new(width, new);
            assert_eq!(
                horizontal(&pixels, width, &across),
                horizontal_portable(&pixels, width, &across)
            );
            let down = Taps::new(height, new);
            assert_eq!(
                vertical(&pixels, 3 * width, &down),
                vertical_portable(&pixels, 3 * width, &down)
            );
        }
    }
}
