//! Sound: WAV, MP3, FLAC, Ogg/Vorbis and M4A (AAC, ALAC) to samples, and what judges, audio towers
//! and reports need from them.

mod decode;
mod edit_list;
mod envelope;
mod log_mel;
mod resample;
mod wav;

use std::time::Duration;

use decode::check_size;
pub use decode::decode;
pub use envelope::envelope_picture;
pub use log_mel::{LogMel, LogMelConfig, Mel, log_mel};

use crate::{Error, Limits};

/// Decoded sound.
///
/// # Examples
///
/// ```
/// use omnireward_media::audio::Waveform;
///
/// let stereo = Waveform {
///     sample_rate_hz: 48_000,
///     channels: 2,
///     samples: vec![0.5, -0.5, 1.0, 0.0],
/// };
/// assert_eq!(stereo.frames(), 2);
/// assert_eq!(stereo.mono().samples, [0.0, 0.5]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Waveform {
    /// Frames per second.
    pub sample_rate_hz: u32,
    /// Samples per frame.
    pub channels: u16,
    /// The samples, frame by frame. Full scale is ±1; lossy formats may overshoot a little.
    pub samples: Vec<f32>,
}

impl Waveform {
    /// How many frames there are; a frame is one sample of each channel.
    pub fn frames(&self) -> usize {
        self.samples.len() / usize::from(self.channels).max(1)
    }

    /// How long the sound lasts.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.frames() as f64 / f64::from(self.sample_rate_hz.max(1)))
    }

    /// One channel: the mean of all.
    #[must_use]
    pub fn mono(&self) -> Self {
        let channels = usize::from(self.channels).max(1);
        if channels == 1 {
            return self.clone();
        }
        let samples = self
            .samples
            .chunks_exact(channels)
            .map(|frame| frame.iter().sum::<f32>() / channels as f32)
            .collect();
        Self {
            sample_rate_hz: self.sample_rate_hz,
            channels: 1,
            samples,
        }
    }
}

/// Plays several clips after one another with silence between, as one clip.
///
/// Clips that differ in rate or channels are made mono at the first clip's rate; clips that agree
/// are left as they are. The gap is rounded to the nearest frame. The reference's audio judge
/// hears both answers this way: 16 kHz, mono, one second of silence between.
///
/// # Errors
///
/// When there is no clip, when a clip cannot be resampled, and [`Error::LimitExceeded`] when the
/// result would be longer or larger than `limits` allow.
pub fn concat_with_silence(
    clips: &[Waveform],
    gap: Duration,
    limits: &Limits,
) -> Result<Waveform, Error> {
    let first = clips
        .first()
        .ok_or_else(|| Error::audio("samples", "there is no clip to play"))?;
    let agree = |clip: &Waveform| {
        (clip.sample_rate_hz, clip.channels) == (first.sample_rate_hz, first.channels)
    };
    let channels = if clips.iter().all(agree) {
        first.channels
    } else {
        1
    };
    let gap_frames = (gap.as_secs_f64() * f64::from(first.sample_rate_hz)).round() as usize;

    let mut joined = Waveform {
        sample_rate_hz: first.sample_rate_hz,
        channels,
        samples: Vec::new(),
    };
    for (position, clip) in clips.iter().enumerate() {
        let samples = &mut joined.samples;
        if position > 0 {
            samples.resize(samples.len() + gap_frames * usize::from(channels), 0.0);
        }
        if channels == clip.channels && clip.sample_rate_hz == first.sample_rate_hz {
            samples.extend_from_slice(&clip.samples);
        } else {
            samples.extend(clip.mono().resampled(first.sample_rate_hz, limits)?.samples);
        }
        let frames = joined.frames() as u64;
        check_size(frames, joined.sample_rate_hz, channels, limits)?;
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(sample_rate_hz: u32, channels: u16, samples: &[f32]) -> Waveform {
        Waveform {
            sample_rate_hz,
            channels,
            samples: samples.to_vec(),
        }
    }

    fn concat(clips: &[Waveform], gap: Duration) -> Result<Waveform, Error> {
        concat_with_silence(clips, gap, &Limits::default())
    }

    #[test]
    fn mono_is_the_mean_of_the_channels() {
        let mono = clip(8000, 3, &[0.3, 0.6, 0.0, -0.9, 0.0, 0.3]).mono();
        assert_eq!(mono.channels, 1);
        for (found, expected) in mono.samples.iter().zip([0.3, -0.2]) {
            assert!((found - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn duration_counts_frames_not_samples() {
        let stereo = clip(8000, 2, &vec![0.0; 8000]);
        assert_eq!(stereo.duration(), Duration::from_millis(500));
    }

    #[test]
    fn silence_lies_between_clips_only() {
        let joined = concat(
            &[
                clip(10, 1, &[1.0, 2.0]),
                clip(10, 1, &[3.0]),
                clip(10, 1, &[4.0]),
            ],
            Duration::from_millis(300),
        )
        .unwrap();
        assert_eq!(
            joined.samples,
            [1.0, 2.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 4.0]
        );
    }

    #[test]
    fn clips_that_agree_keep_their_channels() {
        let stereo = clip(10, 2, &[1.0, 2.0]);
        let joined = concat(&[stereo.clone(), stereo], Duration::from_millis(100)).unwrap();
        assert_eq!(joined.channels, 2);
        assert_eq!(joined.samples, [1.0, 2.0, 0.0, 0.0, 1.0, 2.0]);
    }

    #[test]
    fn clips_that_differ_become_mono_at_the_first_rate() {
        let joined = concat(
            &[clip(16_000, 1, &[0.0; 1600]), clip(8000, 2, &[0.0; 1600])],
            Duration::from_secs(1),
        )
        .unwrap();
        assert_eq!((joined.sample_rate_hz, joined.channels), (16_000, 1));
        assert_eq!(joined.frames(), 1600 + 16_000 + 1600);
    }

    #[test]
    fn a_result_over_the_limits_is_refused() {
        let second = clip(1000, 1, &[0.0; 1000]);
        let joined = |seconds: f64, bytes: u64| {
            let limits = Limits {
                bytes,
                seconds,
                ..Limits::default()
            };
            let gap = Duration::from_secs(1);
            concat_with_silence(&[second.clone(), second.clone()], gap, &limits)
        };
        assert_eq!(joined(3.0, 12_000).unwrap().frames(), 3000);
        assert!(joined(2.9, 12_000).unwrap_err().is_limit());
        assert!(joined(3.0, 11_999).unwrap_err().is_limit());
    }

    #[test]
    fn nothing_to_play_is_an_error() {
        assert!(concat(&[], Duration::ZERO).is_err());
    }
}
