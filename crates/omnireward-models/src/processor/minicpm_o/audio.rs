use omnireward_media::{
    Error, Limits,
    audio::{Waveform, log_mel},
};

use crate::minicpm_o::{AudioInput, MelPiece};

const SAMPLE_RATE_HZ: u32 = 16_000;
/// Samples of a frame: 10 ms.
const HOP: usize = 160;
/// Frames of the audio tower that are averaged into a row. The published processor counts with this number wherever
/// the model's configuration has another.
pub(super) const POOL_STEP: usize = 2;
/// Samples that the audio tower takes at once: 30 seconds.
const PIECE: usize = 30 * SAMPLE_RATE_HZ as usize;

/// The spectrograms of a sound's pieces. Frames of a piece too short for a single row are left out.
pub(super) fn input(
    sound: &Waveform,
    padded_to: Option<usize>,
    limits: &Limits,
) -> Result<AudioInput, Error> {
    let sound = sound.mono().resampled(SAMPLE_RATE_HZ, limits)?;
    let pieces = sound
        .samples
        .chunks(PIECE)
        .filter(|samples| rows(samples.len().div_ceil(HOP)) > 0)
        .map(|samples| {
            let mel = log_mel(samples);
            MelPiece {
                frames: mel.frames,
                padded_frames: padded_to.unwrap_or(0).max(mel.frames),
                mels: mel.values,
            }
        })
        .collect();
    Ok(AudioInput { pieces })
}

/// The frames of the longest piece that a sound is cut into.
pub(super) fn longest_piece(sound: &Waveform) -> usize {
    let rate = u64::from(sound.sample_rate_hz.max(1));
    let samples = (sound.frames() as u64 * u64::from(SAMPLE_RATE_HZ)).div_ceil(rate);
    (samples as usize).min(PIECE).div_ceil(HOP)
}

/// Rows of a sound in the decoder.
pub(super) fn tokens(audio: &AudioInput) -> usize {
    audio.pieces.iter().map(|piece| rows(piece.frames)).sum()
}

/// Rows that `frames` of a spectrogram become: a convolution and an average each halve them.
fn rows(frames: usize) -> usize {
    frames.div_ceil(2) / POOL_STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(seconds: f64, sample_rate_hz: u32) -> Waveform {
        let samples = (seconds * f64::from(sample_rate_hz)).round() as usize;
        Waveform {
            sample_rate_hz,
            channels: 1,
            samples: (0..samples).map(|i| (i as f32 * 0.1).sin()).collect(),
        }
    }

    #[test]
    fn rows_are_the_published_placeholders() {
        let cases = [
            (0.0, 0),
            (0.01, 0),
            (0.1, 2),
            (0.5, 12),
            (1.0, 25),
            (1.5, 37),
            (2.03, 51),
            (10.0, 250),
            (30.0, 750),
            (30.01, 750),
            (35.5, 887),
            (61.0, 1525),
        ];
        for (seconds, expected) in cases {
            let audio = input(&sound(seconds, 16_000), None, &Limits::default()).unwrap();
            assert_eq!(tokens(&audio), expected, "{seconds} s");
        }
    }

    #[test]
    fn rows_agree_with_the_two_halvings() {
        for frames in 0..3001_usize {
            let convolved = if frames == 0 { 0 } else { (frames - 1) / 2 + 1 };
            let pooled = if convolved < 2 {
                0
            } else {
                (convolved - 2) / 2 + 1
            };
            assert_eq!(rows(frames), pooled);
        }
    }

    #[test]
    fn the_longest_piece_is_known_without_a_spectrogram() {
        for (seconds, rate) in [
            (0.3, 8000),
            (1.234, 44_100),
            (29.99, 24_000),
            (70.0, 16_000),
        ] {
            let sound = sound(seconds, rate);
            let audio = input(&sound, None, &Limits::default()).unwrap();
            let longest = audio.pieces.iter().map(|piece| piece.frames).max();
            assert_eq!(longest, Some(longest_piece(&sound)), "{seconds} s");
        }
    }

    #[test]
    fn padding_is_at_least_the_piece() {
        let audio = input(&sound(1.0, 16_000), Some(250), &Limits::default()).unwrap();
        assert_eq!(audio.pieces[0].padded_frames, 250);
        let audio = input(&sound(1.0, 16_000), None, &Limits::default()).unwrap();
        assert_eq!(audio.pieces[0].padded_frames, 100);
    }
}
