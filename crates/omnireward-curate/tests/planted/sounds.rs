//! Sounds, and how copies of them are changed.

use std::f64::consts::TAU;

use omnireward_media::{
    Limits,
    audio::{Waveform, decode},
};
use omnireward_testkit::real_data;

use crate::{ORIGINAL, Planted, noise::Noise};

/// Speech of several voices, music and noises, each once.
const REAL: [&str; 17] = [
    "audio/speakbench/sb508_314_a.wav",
    "audio/speakbench/sb508_314_b.wav",
    "audio/speakbench/sb508_314_instruction.wav",
    "audio/speakbench/sb_0_0_a.wav",
    "audio/speakbench/sb_0_0_b.wav",
    "audio/speed/1_a.wav",
    "audio/speed/1_b.wav",
    "audio/speed/3_a.wav",
    "audio/speed/3_b.wav",
    "audio/speed/4_a.wav",
    "audio/speed/4_b.wav",
    "audio/speed/8_a.wav",
    "audio/speed/8_b.wav",
    "media/audio/bell.ogg",
    "media/audio/complete.ogg",
    "media/audio/librispeech_16k.flac",
    "media/audio/nasa_8k_stereo.mp3",
];

const GENERATED: usize = 20;

pub(crate) fn planted() -> Vec<Planted> {
    let mut originals = real();
    originals.extend((0..GENERATED).map(|seed| {
        let sound = generated(seed);
        (sound.wav_i16(), sound)
    }));
    let all = originals.into_iter().enumerate();
    all.flat_map(|(original, (bytes, sound))| copies_of(original, bytes, &sound))
        .collect()
}

fn real() -> Vec<(Vec<u8>, Waveform)> {
    if real_data("audio").is_none() {
        return Vec::new();
    }
    let read = |path: &str| {
        let bytes = std::fs::read(real_data(path).unwrap()).unwrap();
        let sound = decode(&bytes, &Limits::default()).unwrap().mono();
        (bytes, sound)
    };
    REAL.map(read).to_vec()
}

/// Notes of random pitch and length, with overtones and a little noise.
fn generated(seed: usize) -> Waveform {
    const RATE: u32 = 16_000;
    let mut noise = Noise::new(9000 + seed);
    let mut samples = Vec::new();
    while samples.len() < 4 * RATE as usize {
        let pitch = 150.0 * 2.0_f64.powf(noise.between(0.0, 2.5));
        let overtones: Vec<f64> = (1..=6).map(|n| noise.unit() / f64::from(n)).collect();
        let length = (f64::from(RATE) * noise.between(0.08, 0.4)) as usize;
        for index in 0..length {
            let time = index as f64 / f64::from(RATE);
            let tones = overtones.iter().zip(1..);
            let tone: f64 = tones
                .map(|(s, n)| s * (TAU * pitch * f64::from(n) * time).sin())
                .sum();
            let fade = (-3.0 * index as f64 / length as f64).exp();
            samples.push((0.25 * fade * tone + 0.01 * noise.between(-1.0, 1.0)) as f32);
        }
    }
    Waveform {
        sample_rate_hz: RATE,
        channels: 1,
        samples,
    }
}

fn copies_of(original: usize, bytes: Vec<u8>, sound: &Waveform) -> Vec<Planted> {
    let limits = Limits::default();
    let each = |change: &dyn Fn(f32) -> f32| Waveform {
        samples: sound.samples.iter().map(|sample| change(*sample)).collect(),
        ..sound.clone()
    };
    let narrow = sound.resampled(8000, &limits).unwrap();
    let telephone = Waveform {
        samples: narrow
            .samples
            .iter()
            .map(|sample| companded(*sample))
            .collect(),
        ..narrow.clone()
    };
    let mut noise = Noise::new(original);
    let loudness = (sound.samples.iter().map(|s| f64::from(s * s)).sum::<f64>()
        / sound.samples.len() as f64)
        .sqrt();
    let mut hissing = sound.clone();
    for sample in &mut hissing.samples {
        *sample += (0.03 * loudness * 1.7 * noise.between(-1.0, 1.0)) as f32;
    }
    let delayed = Waveform {
        // What an MP3 encoder and decoder add: 1105 samples at 44.1 kHz.
        samples: vec![0.0; (0.025 * f64::from(sound.sample_rate_hz)) as usize]
            .into_iter()
            .chain(sound.samples.iter().copied())
            .collect(),
        ..sound.clone()
    };
    let copies = [
        (ORIGINAL, bytes),
        ("level ×0.25", each(&|sample| 0.25 * sample).wav_i16()),
        (
            "level ×1.5, clipped",
            each(&|sample| (1.5 * sample).clamp(-1.0, 1.0)).wav_i16(),
        ),
        (
            "8 bits",
            each(&|sample| (sample * 127.0).round() / 127.0).wav_i16(),
        ),
        ("8 kHz", narrow.wav_i16()),
        (
            "44.1 kHz",
            sound.resampled(44_100, &limits).unwrap().wav_i16(),
        ),
        ("telephone (G.711 µ-law, 8 kHz)", telephone.wav_i16()),
        ("noise at -30 dB", hissing.wav_i16()),
        ("delayed by 25 ms", delayed.wav_i16()),
    ];
    let planted = copies.into_iter().map(|(change, bytes)| Planted {
        original,
        change: change.to_owned(),
        bytes,
    });
    planted.collect()
}

/// A sample after being coded in 8 bits by the µ-law of ITU-T G.711 and back.
fn companded(sample: f32) -> f32 {
    const MU: f32 = 255.0;
    let coded = sample.signum() * (1.0 + MU * sample.abs().min(1.0)).ln() / (1.0 + MU).ln();
    let coded = (coded * 127.0).round() / 127.0;
    coded.signum() * ((1.0 + MU).powf(coded.abs()) - 1.0) / MU
}
