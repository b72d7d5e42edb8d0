use super::Waveform;

const HEADER_BYTES: u32 = 44;
const BYTES_PER_SAMPLE: u16 = 2;

impl Waveform {
    /// The sound as a WAV file of 16-bit integers, which every model API takes.
    ///
    /// A sample `x` becomes `round(32767 · x)`, clipped to ±32767. Frames that would push the
    /// file over the 4 GiB that a WAV header can express are left out.
    pub fn wav_i16(&self) -> Vec<u8> {
        let frame_bytes = u32::from(self.channels.max(1)) * u32::from(BYTES_PER_SAMPLE);
        let most_frames = ((u32::MAX - HEADER_BYTES) / frame_bytes) as usize;
        let frames = self.frames().min(most_frames);
        let samples = &self.samples[..frames * usize::from(self.channels.max(1))];

        let mut wav = header(self, samples.len() as u32 * u32::from(BYTES_PER_SAMPLE));
        wav.extend(
            samples
                .iter()
                .flat_map(|&sample| quantised(sample).to_le_bytes()),
        );
        wav
    }
}

/// The canonical 44 bytes before the samples.
fn header(waveform: &Waveform, data_bytes: u32) -> Vec<u8> {
    let block = waveform.channels.saturating_mul(BYTES_PER_SAMPLE);
    let bytes_per_second = waveform.sample_rate_hz.saturating_mul(u32::from(block));
    let mut header = Vec::with_capacity(HEADER_BYTES as usize + data_bytes as usize);
    header.extend_from_slice(b"RIFF");
    header.extend_from_slice(&(HEADER_BYTES - 8 + data_bytes).to_le_bytes());
    header.extend_from_slice(b"WAVEfmt ");
    header.extend_from_slice(&16_u32.to_le_bytes());
    header.extend_from_slice(&1_u16.to_le_bytes());
    header.extend_from_slice(&waveform.channels.to_le_bytes());
    header.extend_from_slice(&waveform.sample_rate_hz.to_le_bytes());
    header.extend_from_slice(&bytes_per_second.to_le_bytes());
    header.extend_from_slice(&block.to_le_bytes());
    header.extend_from_slice(&(8 * BYTES_PER_SAMPLE).to_le_bytes());
    header.extend_from_slice(b"data");
    header.extend_from_slice(&data_bytes.to_le_bytes());
    header
}

fn quantised(sample: f32) -> i16 {
    // The cast turns NaN into silence.
    (sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, audio::decode};

    #[test]
    fn samples_are_rounded_and_clipped() {
        let cases = [
            (0.0, 0),
            (1.0, 32_767),
            (-1.0, -32_767),
            (7.0, 32_767),
            (f32::NEG_INFINITY, -32_767),
            (f32::NAN, 0),
            (0.5, 16_384),
        ];
        for (sample, expected) in cases {
            assert_eq!(quantised(sample), expected, "{sample}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let original = Waveform {
            sample_rate_hz: 16_000,
            channels: 2,
            samples: (0..200_i16).map(|i| f32::from(i - 100) / 128.0).collect(),
        };
        let wav = original.wav_i16();
        assert_eq!(wav.len(), 44 + 400);
        let read = decode(&wav, &Limits::default()).unwrap();
        assert_eq!((read.sample_rate_hz, read.channels), (16_000, 2));
        for (found, written) in read.samples.iter().zip(&original.samples) {
            // Reading divides by 32768, hence one step and a half.
            assert!((found - written).abs() < 1.5 / 32_768.0);
        }
    }
}
