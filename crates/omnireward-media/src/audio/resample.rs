use std::ops::RangeInclusive;

use rubato::{
    Fft, FixedSync, Resampler,
    audioadapter_buffers::{direct::InterleavedSlice, owned::InterleavedOwned},
};

use super::{Waveform, decode::check_size};
use crate::{Error, Limits};

/// From below any rate in use to the fastest, 768 kHz in studios. At a rate of 1 Hz a few bytes
/// would be hours of sound, and the resampler's working memory grows with the rate, so rates beyond
/// reason are refused.
pub(super) const SAMPLE_RATES_HZ: RangeInclusive<u32> = 1000..=768_000;

/// The least number of frames that the resampler filters at once. Shorter blocks blur the edge of
/// the filter near half the sampling rate.
const LEAST_BLOCK_FRAMES: usize = 2048;

impl Waveform {
    /// The same sound at another sampling rate.
    ///
    /// Band-limited (FFT) resampling, aligned in time: frame `i` of the result is the sound at
    /// `i / hz` seconds. The result has exactly `ceil(frames · hz / sample_rate_hz)` frames.
    ///
    /// # Errors
    ///
    /// When either rate is below 1 kHz or over 768 kHz, and [`Error::LimitExceeded`] when the
    /// result would be longer or larger than `limits` allow.
    pub fn resampled(&self, hz: u32, limits: &Limits) -> Result<Self, Error> {
        if hz == self.sample_rate_hz {
            return Ok(self.clone());
        }
        check_rate(self.sample_rate_hz)?;
        check_rate(hz)?;
        check_size(expected_frames(self, hz) as u64, hz, self.channels, limits)?;
        let mut samples = if self.samples.is_empty() {
            Vec::new()
        } else {
            convert(self, hz)?
        };
        samples.resize(expected_frames(self, hz) * usize::from(self.channels), 0.0);
        Ok(Self {
            sample_rate_hz: hz,
            channels: self.channels,
            samples,
        })
    }
}

fn check_rate(hz: u32) -> Result<(), Error> {
    if SAMPLE_RATES_HZ.contains(&hz) {
        return Ok(());
    }
    let (least, most) = SAMPLE_RATES_HZ.into_inner();
    Err(Error::audio(
        "samples",
        format!("a rate of `{hz}` Hz is outside {least} to {most} Hz"),
    ))
}

/// In whole numbers: the resampler's own count is a rounded product and may be one frame off.
fn expected_frames(waveform: &Waveform, hz: u32) -> usize {
    let scaled = waveform.frames() as u128 * u128::from(hz);
    scaled.div_ceil(u128::from(waveform.sample_rate_hz)) as usize
}

/// A length that the resampler takes without rounding. It is even because half of it is the
/// filter's delay, which is taken off in whole frames: half a frame would shift the sound.
fn block_frames(from_hz: u32, to_hz: u32) -> usize {
    let unit = (from_hz / greatest_common_divisor(from_hz, to_hz)) as usize;
    let even = if unit.is_multiple_of(2) {
        unit
    } else {
        2 * unit
    };
    even * LEAST_BLOCK_FRAMES.div_ceil(even)
}

const fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

fn convert(waveform: &Waveform, hz: u32) -> Result<Vec<f32>, Error> {
    let failed = |reason: &'static str| move || Error::audio("samples", reason);
    let channels = usize::from(waveform.channels);
    let mut resampler = Fft::<f32>::new_custom(
        waveform.sample_rate_hz as usize,
        hz as usize,
        block_frames(waveform.sample_rate_hz, hz),
        1,
        channels,
        rubato::WindowFunction::BlackmanHarris2,
        FixedSync::Both,
    )
    .map_err(|cause| failed("no resampler for these rates")().caused_by(cause))?;
    let frames = waveform.frames();
    let input = InterleavedSlice::new(&waveform.samples, channels, frames)
        .map_err(|cause| failed("the samples are no whole frames")().caused_by(cause))?;
    let output: InterleavedOwned<f32> = resampler
        .process_all(&input, frames, None)
        .map_err(|cause| failed("resampling failed")().caused_by(cause))?;
    Ok(output.take_data())
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn tone(hz: f64, sample_rate_hz: u32, frames: usize) -> Waveform {
        Waveform {
            sample_rate_hz,
            channels: 1,
            samples: (0..frames)
                .map(|i| ((TAU * hz * i as f64 / f64::from(sample_rate_hz)).sin() * 0.5) as f32)
                .collect(),
        }
    }

    fn resampled(waveform: &Waveform, hz: u32) -> Result<Waveform, Error> {
        waveform.resampled(hz, &Limits::default())
    }

    #[test]
    fn lengths_are_exact() {
        let cases = [
            (44_100, 16_000, 132_300, 48_000),
            (44_100, 16_000, 1, 1),
            (48_000, 16_000, 193_536, 64_512),
            (8_000, 16_000, 7, 14),
            (24_000, 16_000, 111_361, 74_241),
            (16_000, 16_000, 5, 5),
            (44_100, 16_000, 0, 0),
        ];
        for (from, to, frames, expected) in cases {
            let resampled = resampled(&tone(100.0, from, frames), to).unwrap();
            assert_eq!(
                resampled.frames(),
                expected,
                "{from} to {to}, {frames} frames"
            );
        }
    }

    #[test]
    fn a_tone_below_both_limits_is_kept_in_place_and_level() {
        for (from, to) in [
            (44_100, 16_000),
            (24_000, 16_000),
            (8_000, 16_000),
            (48_000, 16_000),
        ] {
            let resampled = resampled(&tone(440.0, from, from as usize), to).unwrap();
            let expected = tone(440.0, to, to as usize);
            // The ends lean on silence outside the clip.
            let inner = 400..to as usize - 400;
            let worst = inner
                .map(|i| (resampled.samples[i] - expected.samples[i]).abs())
                .fold(0.0, f32::max);
            assert!(worst < 1e-3, "{from} to {to}: off by {worst}");
        }
    }

    #[test]
    fn a_tone_above_the_new_limit_is_removed_and_does_not_fold_back() {
        let resampled = resampled(&tone(11_000.0, 44_100, 44_100), 16_000).unwrap();
        let loudest = resampled.samples[400..15_600]
            .iter()
            .fold(0.0_f32, |a, b| a.max(b.abs()));
        assert!(loudest < 1e-3, "{loudest}");
    }

    #[test]
    fn channels_do_not_mix() {
        let mono = tone(300.0, 44_100, 4410);
        let stereo = Waveform {
            channels: 2,
            samples: mono.samples.iter().flat_map(|&s| [s, 0.0]).collect(),
            ..mono
        };
        let resampled = resampled(&stereo, 16_000).unwrap();
        assert!(
            resampled
                .samples
                .iter()
                .skip(1)
                .step_by(2)
                .all(|s| s.abs() < 1e-6)
        );
    }

    #[test]
    fn impossible_rates_are_refused() {
        for hz in [0, 999, 768_001, u32::MAX] {
            assert!(resampled(&tone(1.0, 8000, 10), hz).is_err(), "{hz}");
            assert!(resampled(&tone(1.0, hz, 10), 8000).is_err(), "{hz}");
        }
    }

    #[test]
    fn a_result_over_the_limits_is_refused_before_it_is_made() {
        // Three minutes at the slowest rate are 0.7 MB, and 46 MB at 64 kHz.
        let slow = tone(100.0, 1000, 180_000);
        let limits = Limits {
            bytes: 1 << 20,
            ..Limits::default()
        };
        let error = slow.resampled(64_000, &limits).unwrap_err();
        assert!(error.is_limit(), "{error}");
        let limits = Limits {
            seconds: 179.0,
            ..Limits::default()
        };
        assert!(slow.resampled(2000, &limits).unwrap_err().is_limit());
    }
}
