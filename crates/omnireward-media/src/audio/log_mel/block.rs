//! From samples to the logarithms of the power in each band.
//!
//! Plain loops over eight frames at a time. Compiled for AVX2 the same loops work on four numbers at
//! once; which of the two is called is decided when the program runs, and both give the same bits.
#![expect(
    unsafe_code,
    reason = "a function compiled for AVX2 is called, after asking the processor whether it has it"
)]
#![expect(
    clippy::inline_always,
    reason = "everything is compiled again inside the function for AVX2"
)]

use std::{
    f64::consts::{LOG10_2, LOG10_E, SQRT_2},
    ops::Range,
};

use rustfft::num_complex::Complex;

use super::{BINS, FLOOR, Filter, HOP, LogMel, SILENCE, WINDOW};

/// Frames that are worked on together, so that the same is done to neighbouring numbers.
const LANES: usize = 8;

/// Writes `log₁₀` of the power in each band to `values`, `[mels, frames]`, for as many of the first
/// `sounding` frames as there is room for. Returns the largest of all `sounding` frames.
pub(super) fn write_logarithms(
    extractor: &LogMel,
    samples: &[f32],
    sounding: usize,
    values: &mut [f32],
) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, which is all that the function asks for.
        return unsafe { write_avx2(extractor, samples, sounding, values) };
    }
    write(extractor, samples, sounding, values)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn write_avx2(extractor: &LogMel, samples: &[f32], sounding: usize, values: &mut [f32]) -> f32 {
    write(extractor, samples, sounding, values)
}

#[inline(always)]
fn write(extractor: &LogMel, samples: &[f32], sounding: usize, values: &mut [f32]) -> f32 {
    let frames = values.len() / extractor.filters.len();
    let mut loudest = [SILENCE; LANES];
    let mut block = Block::new(extractor);
    for first in (0..sounding).step_by(LANES) {
        block.transform(samples, first..sounding.min(first + LANES));
        // Of the last frames some are computed for their loudest value alone.
        let kept = frames.saturating_sub(first).min(LANES);
        for (mel, filter) in extractor.filters.iter().enumerate() {
            let logs = block.logarithms(filter);
            for (loudest, &log) in loudest.iter_mut().zip(&logs) {
                *loudest = loudest.max(log);
            }
            if kept > 0 {
                values[mel * frames + first..][..kept].copy_from_slice(&logs[..kept]);
            }
        }
    }
    loudest.into_iter().fold(SILENCE, f32::max)
}

/// Neighbouring frames on their way from samples to logarithms.
struct Block<'a> {
    extractor: &'a LogMel,
    /// Two frames at once: one in the real parts, one in the imaginary parts.
    frames: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
    /// The power of each frequency in each frame.
    power: Vec<[f64; LANES]>,
}

impl<'a> Block<'a> {
    fn new(extractor: &'a LogMel) -> Self {
        Self {
            extractor,
            frames: vec![Complex::default(); WINDOW],
            scratch: vec![Complex::default(); extractor.fft.get_inplace_scratch_len()],
            power: vec![[0.0; LANES]; BINS],
        }
    }

    /// Finds the spectra of frames, at most [`LANES`] of them.
    #[inline(always)]
    fn transform(&mut self, samples: &[f32], frames: Range<usize>) {
        for lane in (0..LANES).step_by(2) {
            let frame = frames.start + lane;
            self.window(samples, frame..frames.end.min(frame + 2));
            self.extractor
                .fft
                .process_with_scratch(&mut self.frames, &mut self.scratch);
            self.split(lane);
        }
    }

    /// Fills in two frames, or one, or none, and silence for the others.
    #[inline(always)]
    fn window(&mut self, samples: &[f32], frames: Range<usize>) {
        let start = frames.start * HOP;
        let places = self.frames.iter_mut().zip(&self.extractor.window);
        let inside = start
            .checked_sub(WINDOW / 2)
            .and_then(|first| samples.get(first..first + WINDOW + HOP));
        if let (2, Some(samples)) = (frames.len(), inside) {
            let pairs = samples.iter().zip(&samples[HOP..]);
            for ((value, weight), (&first, &second)) in places.zip(pairs) {
                *value = Complex::new(f64::from(first), f64::from(second)) * weight;
            }
            return;
        }
        for (offset, (value, weight)) in places.enumerate() {
            let sample = |frame: usize| {
                if frame < frames.len() {
                    let place = start + frame * HOP + offset;
                    self.extractor.reflected(samples, place)
                } else {
                    0.0
                }
            };
            *value = Complex::new(sample(0), sample(1)) * weight;
        }
    }

    /// Tells the powers of the two frames apart. The spectrum of real numbers is symmetric and that of
    /// imaginary ones is antisymmetric, so each is half a sum or half a difference.
    #[inline(always)]
    fn split(&mut self, lane: usize) {
        let (head, tail) = self.frames.split_at(BINS);
        let mirrors = std::iter::once(&head[0])
            .chain(tail.iter().rev())
            .chain(std::iter::once(&head[BINS - 1]));
        for ((power, here), mirror) in self.power.iter_mut().zip(head).zip(mirrors) {
            let first = Complex::new(here.re + mirror.re, here.im - mirror.im);
            let second = Complex::new(here.im + mirror.im, mirror.re - here.re);
            power[lane] = first.norm_sqr() / 4.0;
            power[lane + 1] = second.norm_sqr() / 4.0;
        }
    }

    /// `log₁₀` of the power in a band, for each frame.
    #[inline(always)]
    fn logarithms(&self, filter: &Filter) -> [f32; LANES] {
        let mut sums = [0.0; LANES];
        for (power, weight) in self.power[filter.bins.clone()].iter().zip(&filter.weights) {
            for (sum, power) in sums.iter_mut().zip(power) {
                *sum += power * weight;
            }
        }
        let mut logs = [0.0; LANES];
        for (log, sum) in logs.iter_mut().zip(sums) {
            *log = log10(sum.max(FLOOR)) as f32;
        }
        logs
    }
}

/// The decimal logarithm of a positive, normal number, within 1e-13.
///
/// Without branches and calls, so that a compiler can compute several at once: `x = 2ᵉ·m` with `m`
/// from √½ to √2, and `ln m = 2 artanh s` with `s = (m − 1) / (m + 1)`.
#[inline(always)]
fn log10(x: f64) -> f64 {
    const EXPONENT: u32 = 52;
    const ONE: u64 = 1023 << EXPONENT;
    /// A number of this size has an integer in its low digits.
    const INTEGER: u64 = (1023 + 52) << EXPONENT;
    const SQRT_HALF: u64 = (SQRT_2 / 2.0).to_bits();

    let biased = (x.to_bits() + ONE - SQRT_HALF) >> EXPONENT;
    let exponent = f64::from_bits(INTEGER | biased) - (f64::from_bits(INTEGER) + 1023.0);
    let m = f64::from_bits(x.to_bits() + ONE - (biased << EXPONENT));
    let s = (m - 1.0) / (m + 1.0);
    let t = s * s;
    let mut sum = 1.0 / 15.0;
    for term in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * t + 1.0 / term;
    }
    exponent * LOG10_2 + 2.0 * LOG10_E * s * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::LogMelConfig;

    #[test]
    fn logarithms_are_exact_enough() {
        assert!((log10(FLOOR) as f32).to_bits() == SILENCE.to_bits());
        let mut x = 1e-10;
        while x < 1e12 {
            assert!((log10(x) - x.log10()).abs() < 1e-13, "{x}");
            x *= 1.0037;
        }
    }

    #[test]
    fn the_instructions_make_no_difference() {
        let extractor = LogMel::new(LogMelConfig::default());
        let clip: Vec<f32> = (0..5000)
            .map(|i| (i as f32 * i as f32 * 0.01).sin())
            .collect();
        let written = |write: fn(&LogMel, &[f32], usize, &mut [f32]) -> f32| {
            let mut values = vec![0.0; 80 * 32];
            let loudest = write(&extractor, &clip, 33, &mut values);
            (loudest.to_bits(), values)
        };
        assert_eq!(written(write), written(write_logarithms));
    }
}
