//! Log-mel spectrograms as Whisper's feature extractor makes them.

mod block;

use std::{
    f64::consts::TAU,
    fmt,
    ops::Range,
    sync::{Arc, LazyLock},
};

use rustfft::{Fft, FftPlanner};

use block::write_logarithms;

/// The sound that a spectrogram is taken of: one channel at this rate.
const SAMPLE_RATE_HZ: usize = 16_000;
/// Samples of a frame's window.
const WINDOW: usize = 400;
/// Samples from one frame to the next: 10 ms.
const HOP: usize = 160;
/// Frequencies of a frame's spectrum.
const BINS: usize = WINDOW / 2 + 1;
/// Below this, power counts as silence.
const FLOOR: f64 = 1e-10;
/// Decades below the loudest at which everything is cut off.
const RANGE: f32 = 8.0;

/// Which spectrogram is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMelConfig {
    /// Bands of frequency, evenly spread in mel from 0 to 8 kHz. Default: 80; some towers take 128.
    pub mels: usize,
    /// The length that every clip is filled up to with silence, in seconds. It decides the range of
    /// values, since the loudest is looked for in the whole. Default: 30.
    pub seconds: usize,
}

impl Default for LogMelConfig {
    fn default() -> Self {
        Self {
            mels: 80,
            seconds: 30,
        }
    }
}

/// A log-mel spectrogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Mel {
    /// Bands of frequency.
    pub mels: usize,
    /// Frames of 10 ms.
    pub frames: usize,
    /// `[mels, frames]`: the values of the lowest band, then of the next.
    pub values: Vec<f32>,
}

/// Takes log-mel spectrograms, equal to those of transformers' `WhisperFeatureExtractor` on its
/// `NumPy` path within 1e-5.
///
/// A frame is `|FFT(x · w)|²` of 400 samples under a periodic Hann window every 160 samples, the
/// clip's ends reflected so that frame `t` is centred on sample `160 t`. Bands are triangles on
/// Slaney's mel scale, each of unit area. A value is `(max(log₁₀ p, m − 8) + 4) / 4`, with `p ≥ 1e-10`
/// the power in the band and `m` the largest logarithm in the clip, filled up with silence to
/// [`LogMelConfig::seconds`]. Frames of that silence cost nothing.
///
/// # Examples
///
/// ```
/// use omnireward_media::audio::{LogMel, LogMelConfig};
///
/// let tone: Vec<f32> = (0..16_000).map(|i| (i as f32 * 0.2).sin()).collect();
/// let mel = LogMel::new(LogMelConfig { mels: 128, ..LogMelConfig::default() }).extract(&tone);
/// assert_eq!((mel.mels, mel.frames, mel.values.len()), (128, 100, 12_800));
/// ```
pub struct LogMel {
    config: LogMelConfig,
    window: Vec<f64>,
    filters: Vec<Filter>,
    fft: Arc<dyn Fft<f64>>,
}

impl fmt::Debug for LogMel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogMel")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The spectrogram with 80 bands of at most 30 seconds of sound at 16 kHz, as Whisper's audio
/// encoder and MiniCPM-o's take it.
///
/// It has `ceil(samples / 160)` frames. Samples beyond 30 seconds are left out.
pub fn log_mel(samples: &[f32]) -> Mel {
    static EXTRACTOR: LazyLock<LogMel> = LazyLock::new(|| LogMel::new(LogMelConfig::default()));
    EXTRACTOR.extract(samples)
}

impl LogMel {
    /// Prepares windows, filters and the transform.
    pub fn new(config: LogMelConfig) -> Self {
        Self {
            config,
            window: hann(),
            filters: slaney_filters(config.mels),
            fft: FftPlanner::new().plan_fft_forward(WINDOW),
        }
    }

    /// The frames that hold sound: `ceil(samples / 160)`. Samples beyond the configured length are
    /// left out.
    pub fn extract(&self, samples: &[f32]) -> Mel {
        let samples = &samples[..samples.len().min(self.length())];
        self.frames(samples, samples.len().div_ceil(HOP))
    }

    /// All frames of the configured length, silence included, as a Whisper encoder takes them.
    pub fn extract_filled(&self, samples: &[f32]) -> Mel {
        let samples = &samples[..samples.len().min(self.length())];
        self.frames(samples, self.length() / HOP)
    }

    /// The configured length in samples.
    const fn length(&self) -> usize {
        self.config.seconds * SAMPLE_RATE_HZ
    }

    fn frames(&self, samples: &[f32], wanted: usize) -> Mel {
        // Beyond these, a window holds silence alone.
        let sounding = (samples.len() + WINDOW / 2).div_ceil(HOP);
        let sounding = sounding.min(self.length() / HOP);
        let mels = self.config.mels;
        let mut values = vec![SILENCE; mels * wanted];
        let loudest = write_logarithms(self, samples, sounding, &mut values);
        for value in &mut values {
            *value = (value.max(loudest - RANGE) + 4.0) / 4.0;
        }
        Mel {
            mels,
            frames: wanted,
            values,
        }
    }

    /// The sample at `place`, counted from half a window before the clip; the ends of the filled-up
    /// clip are mirrors.
    fn reflected(&self, samples: &[f32], place: usize) -> f64 {
        let index = place.abs_diff(WINDOW / 2);
        let last = self.length() - 1;
        let index = if index > last {
            2 * last - index
        } else {
            index
        };
        samples.get(index).copied().map_or(0.0, f64::from)
    }
}

/// The logarithm of [`FLOOR`].
const SILENCE: f32 = -10.0;

/// A periodic Hann window.
fn hann() -> Vec<f64> {
    (0..WINDOW)
        .map(|i| 0.5 - 0.5 * (TAU * i as f64 / WINDOW as f64).cos())
        .collect()
}

/// The weights of a band, over the frequencies that it covers.
struct Filter {
    bins: Range<usize>,
    weights: Vec<f64>,
}

/// Triangles between neighbouring points that are evenly spread in mel from 0 Hz to half the rate,
/// each divided by half its width so that its area is one.
fn slaney_filters(mels: usize) -> Vec<Filter> {
    let nyquist = SAMPLE_RATE_HZ as f64 / 2.0;
    let top = hertz_to_mel(nyquist);
    let edges: Vec<f64> = (0..mels + 2)
        .map(|i| mel_to_hertz(top * i as f64 / (mels + 1) as f64))
        .collect();
    let bin_hz = nyquist / (BINS - 1) as f64;
    edges
        .windows(3)
        .map(|edges| {
            let (low, peak, high) = (edges[0], edges[1], edges[2]);
            let weight = |bin: usize| {
                let hz = bin as f64 * bin_hz;
                let rising = (hz - low) / (peak - low);
                let falling = (high - hz) / (high - peak);
                rising.min(falling).max(0.0) * 2.0 / (high - low)
            };
            let first = (0..BINS).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
            let weights: Vec<f64> = (first..BINS)
                .map(weight)
                .take_while(|&weight| weight > 0.0)
                .collect();
            Filter {
                bins: first..first + weights.len(),
                weights,
            }
        })
        .collect()
}

/// Below 1 kHz Slaney's scale is linear, 3 mel to 200 Hz; above, 27 mel are a factor of 6.4.
const LINEAR_HZ: f64 = 1000.0;
const LINEAR_MEL: f64 = 15.0;

fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

fn hertz_to_mel(hertz: f64) -> f64 {
    if hertz < LINEAR_HZ {
        3.0 * hertz / 200.0
    } else {
        LINEAR_MEL + (hertz / LINEAR_HZ).ln() / log_step()
    }
}

fn mel_to_hertz(mel: f64) -> f64 {
    if mel < LINEAR_MEL {
        200.0 * mel / 3.0
    } else {
        LINEAR_HZ * (log_step() * (mel - LINEAR_MEL)).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mel_and_hertz_undo_each_other() {
        for hertz in [0.0, 200.0, 999.0, 1000.0, 1001.0, 8000.0] {
            assert!((mel_to_hertz(hertz_to_mel(hertz)) - hertz).abs() < 1e-9);
        }
        assert!((hertz_to_mel(6400.0) - 42.0).abs() < 1e-12);
    }

    #[test]
    fn each_filter_has_unit_area() {
        for filter in slaney_filters(80).iter().skip(40) {
            let area: f64 = filter.weights.iter().sum::<f64>() * 40.0;
            assert!((area - 1.0).abs() < 0.1, "{area}");
        }
    }

    #[test]
    fn silence_is_one_value() {
        let mel = log_mel(&[0.0; 1600]);
        assert_eq!((mel.mels, mel.frames), (80, 10));
        assert!(
            mel.values
                .iter()
                .all(|&value| value.to_bits() == (-1.5_f32).to_bits())
        );
        assert_eq!(log_mel(&[]).frames, 0);
    }

    #[test]
    fn a_tone_is_loudest_in_its_band() {
        let tone: Vec<f32> = (0..16_000)
            .map(|i| (std::f32::consts::TAU * 1000.0 * i as f32 / 16_000.0).sin())
            .collect();
        let mel = log_mel(&tone);
        let at = |band: usize| mel.values[band * mel.frames + 50];
        let loudest = (0..80).max_by(|&a, &b| at(a).total_cmp(&at(b))).unwrap();
        let top = hertz_to_mel(8000.0);
        let expected = (hertz_to_mel(1000.0) / top * 81.0).round() as usize - 1;
        assert_eq!(loudest, expected);
    }

    #[test]
    fn frames_of_the_filling_are_the_silence_of_the_clip() {
        let clip: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.3).sin() * 0.1).collect();
        let extractor = LogMel::new(LogMelConfig::default());
        let (short, filled) = (extractor.extract(&clip), extractor.extract_filled(&clip));
        assert_eq!((short.frames, filled.frames), (7, 3000));
        for mel in 0..80 {
            assert_eq!(
                short.values[mel * 7..][..7],
                filled.values[mel * 3000..][..7]
            );
        }
        let far = filled.values[2999];
        assert!((8..3000).all(|frame| filled.values[frame].to_bits() == far.to_bits()));
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let long: Vec<f32> = (0..480_320).map(|i| (i as f32 * 0.1).sin()).collect();
        assert_eq!(log_mel(&long), log_mel(&long[..480_000]));
        assert_eq!(log_mel(&long).frames, 3000);
    }
}
