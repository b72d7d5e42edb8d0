//! Fingerprints of sounds.

use std::{f32::consts::TAU, sync::LazyLock};

use omnireward_media::{Error, Limits, audio};
use rustfft::{FftPlanner, num_complex::Complex};

use super::MediaSignature;

/// The fingerprint of a sound: for each 23 ms the signs of how the energy differs from one band to
/// the next and from one moment to the next.
///
/// This is the fingerprint of Haitsma and Kalker, *A Highly Robust Audio Fingerprinting System*,
/// ISMIR 2002: bit `m` of frame `n` is set where `E(n, m) − E(n, m + 1) − (E(n − 2, m) − E(n − 2, m + 1))`
/// is positive, over 33 bands spaced logarithmically, of windows of 0.37 s. It differs from the
/// paper's in four ways: bands reach from 300 to 3600 Hz rather than to 2000, for sounds that are no speech; frames
/// are 23 ms apart rather than 11.6 and compared with the last but one, since whole clips are compared and not
/// excerpts of 3 s; and what is less than a ten-thousandth of the energy counts as nothing,
/// since in a pure tone most bands hold only noise. A change of level leaves every bit as it is, and a lossy
/// codec few different.
///
/// The first minute is taken. The first word is the number of frames, each further one two frames. A
/// silent frame has no bits set and is not compared.
///
/// Two sounds are compared at shifts of up to 0.14 s, which is what codecs add, and the share of
/// equal bits at the best counts. Unrelated ones have about half of their bits in common. A sound is looked up
/// by its frames: by the pigeonhole principle two that differ in fewer bits than they have frames
/// share one.
#[derive(Clone, Copy, Debug, Default)]
pub struct AudioSignature;

const SAMPLE_RATE_HZ: u32 = 11_025;
const WINDOW: usize = 4096;
const HOP: usize = 256;
/// Frames back to the one that a frame is compared with.
const BACK: usize = 2;
const BANDS: usize = 33;
const LOWEST_HZ: f32 = 300.0;
const HIGHEST_HZ: f32 = 3600.0;
/// The share of a frame's energy below which a difference is nothing.
const NOTHING: f32 = 1e-4;
const MOST_SECONDS: usize = 60;
/// Energy below the loudest frame's at which a frame is silent: 50 dB.
const SILENCE: f32 = 1e-5;
/// Frames by which two sounds are shifted against each other, at most.
const SHIFT: usize = 6;
/// Shorter sounds have to be at least this share of the longer.
const SAME_LENGTH: f64 = 0.8;
/// Smallest share of equal bits in near sounds. The paper takes 0.65; copies measured here have 0.92 or
/// more, and strangers 0.6 or less.
const THRESHOLD: f64 = 0.75;
/// Sounds of fewer frames than this, about a second and a half, are looked up by half frames, too.
const FEW_FRAMES: usize = 64;

impl MediaSignature for AudioSignature {
    fn words(&self, bytes: &[u8], limits: &Limits) -> Result<Vec<u64>, Error> {
        let sound = audio::decode(bytes, limits)?.mono();
        let sound = sound.resampled(SAMPLE_RATE_HZ, limits)?;
        Ok(packed(&frames(&sound.samples)))
    }

    fn keys(&self, words: &[u64]) -> Vec<u64> {
        let frames: Vec<u32> = unpacked(words)
            .into_iter()
            .filter(|frame| *frame != 0)
            .collect();
        let mut keys: Vec<u64> = frames.iter().map(|frame| u64::from(*frame)).collect();
        if frames.len() < FEW_FRAMES {
            let halves = frames.iter().flat_map(|frame| {
                let lower = 1 << 32 | u64::from(*frame & 0xFFFF);
                let upper = 2 << 32 | u64::from(*frame >> 16);
                [lower, upper]
            });
            keys.extend(halves);
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn similarity(&self, first: &[u64], second: &[u64]) -> f64 {
        let (first, second) = (unpacked(first), unpacked(second));
        let (short, long) = (first.len().min(second.len()), first.len().max(second.len()));
        let least = (long as f64 * SAME_LENGTH) as usize;
        if short + 2 * SHIFT < least {
            return 0.0;
        }
        let forth = (0..=SHIFT).map(|shift| alike(&first[shift.min(first.len())..], &second));
        let back = (1..=SHIFT).map(|shift| alike(&first, &second[shift.min(second.len())..]));
        forth.chain(back).fold(0.0, f64::max)
    }

    fn threshold(&self) -> f64 {
        THRESHOLD
    }
}

/// The share of equal bits in frames that are both not silent.
fn alike(first: &[u32], second: &[u32]) -> f64 {
    let both = first
        .iter()
        .zip(second)
        .filter(|(a, b)| **a != 0 && **b != 0);
    let (frames, different) = both.fold((0_u32, 0), |(frames, different), (a, b)| {
        (frames + 1, different + (a ^ b).count_ones())
    });
    if frames == 0 {
        // Two sounds without anything to hear are alike.
        let is_silent = |frames: &[u32]| frames.iter().all(|frame| *frame == 0);
        return f64::from(u8::from(is_silent(first) && is_silent(second)));
    }
    1.0 - f64::from(different) / f64::from(32 * frames)
}

fn packed(frames: &[u32]) -> Vec<u64> {
    let two = |two: &[u32]| u64::from(two[0]) | u64::from(two.get(1).copied().unwrap_or(0)) << 32;
    let mut words = vec![frames.len() as u64];
    words.extend(frames.chunks(2).map(two));
    words
}

fn unpacked(words: &[u64]) -> Vec<u32> {
    let Some((count, words)) = words.split_first() else {
        return Vec::new();
    };
    let frames = words
        .iter()
        .flat_map(|word| [*word as u32, (word >> 32) as u32]);
    frames.take(*count as usize).collect()
}

/// The bits of each frame but the first two, which have none to be compared with.
fn frames(samples: &[f32]) -> Vec<u32> {
    let most = MOST_SECONDS * SAMPLE_RATE_HZ as usize;
    let mut samples = samples[..samples.len().min(most)].to_vec();
    // A very short sound still has a few frames.
    samples.resize(samples.len().max(WINDOW + 8 * HOP), 0.0);
    let energies: Vec<[f32; BANDS]> = Spectrum::new().energies(&samples);
    let loudest = energies.iter().map(total).fold(0.0, f32::max);
    energies
        .windows(BACK + 1)
        .map(|frames| {
            let (before, now) = (&frames[0], &frames[BACK]);
            if total(now) <= SILENCE * loudest {
                return 0;
            }
            bits(before, now)
        })
        .collect()
}

fn total(energies: &[f32; BANDS]) -> f32 {
    energies.iter().sum()
}

fn bits(before: &[f32; BANDS], now: &[f32; BANDS]) -> u32 {
    let nothing = NOTHING * total(before).max(total(now));
    (0..BANDS - 1).fold(0, |bits, band| {
        let slope = now[band] - now[band + 1] - (before[band] - before[band + 1]);
        bits | u32::from(slope > nothing) << band
    })
}

/// Takes the energies of bands.
struct Spectrum {
    fft: std::sync::Arc<dyn rustfft::Fft<f32>>,
}

static HANN: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let angle = |index: usize| TAU * (index as f32 + 0.5) / WINDOW as f32;
    (0..WINDOW)
        .map(|index| 0.5 - 0.5 * angle(index).cos())
        .collect()
});

/// The first bin of each band, and the first after the last.
static EDGES: LazyLock<[usize; BANDS + 1]> = LazyLock::new(|| {
    std::array::from_fn(|band| {
        let share = band as f32 / BANDS as f32;
        let hz = LOWEST_HZ * (HIGHEST_HZ / LOWEST_HZ).powf(share);
        (hz * WINDOW as f32 / SAMPLE_RATE_HZ as f32).round() as usize
    })
});

impl Spectrum {
    fn new() -> Self {
        Self {
            fft: FftPlanner::new().plan_fft_forward(WINDOW),
        }
    }

    fn energies(&self, samples: &[f32]) -> Vec<[f32; BANDS]> {
        let mut scratch = vec![Complex::default(); self.fft.get_inplace_scratch_len()];
        samples
            .windows(WINDOW)
            .step_by(HOP)
            .map(|window| {
                let weighted = window.iter().zip(&*HANN);
                let mut buffer: Vec<Complex<f32>> = weighted
                    .map(|(sample, weight)| Complex::new(sample * weight, 0.0))
                    .collect();
                self.fft.process_with_scratch(&mut buffer, &mut scratch);
                std::array::from_fn(|band| {
                    let bins = &buffer[EDGES[band]..EDGES[band + 1]];
                    bins.iter().map(Complex::norm_sqr).sum()
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn melody(gain: f32, delay: usize) -> Vec<f32> {
        let mut state = 7_u32;
        let mut noise = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let sound = (0..5 * 11_025).map(|index| {
            let time = index as f32 / 11_025.0;
            let pitch = 400.0 + 300.0 * (1.3 * time).sin() + 150.0 * (4.1 * time).cos();
            gain * ((TAU * pitch * time).sin() + 0.6 * noise())
        });
        std::iter::repeat_n(0.0, delay).chain(sound).collect()
    }

    fn similarity(first: &[f32], second: &[f32]) -> f64 {
        AudioSignature.similarity(&packed(&frames(first)), &packed(&frames(second)))
    }

    #[test]
    fn level_changes_nothing_and_a_delay_little() {
        let sound = melody(0.3, 0);
        assert!(similarity(&sound, &melody(0.9, 0)) > 0.999);
        for delay in [100, 256, 500, 1400] {
            let similarity = similarity(&sound, &melody(0.3, delay));
            assert!(similarity > THRESHOLD, "{delay}: {similarity}");
        }
    }

    #[test]
    fn frames_survive_their_words() {
        for frames in [vec![], vec![5], vec![1, 2, 3], vec![9, 0]] {
            assert_eq!(unpacked(&packed(&frames)), frames);
        }
        assert!(unpacked(&[]).is_empty());
    }

    #[test]
    fn silence_is_alike_and_has_no_keys() {
        let silence = packed(&frames(&vec![0.0; 20_000]));
        assert!(AudioSignature.keys(&silence).is_empty());
        assert!((AudioSignature.similarity(&silence, &silence) - 1.0).abs() < 1e-12);
        let sound = packed(&frames(&melody(0.3, 0)));
        assert!(AudioSignature.similarity(&silence, &sound) < THRESHOLD);
    }
}
