//! Every sound of the real test data against an independent decoder, and formats made here.

use std::{f32::consts::TAU, fs};

use omnireward_media::{
    Error, Limits,
    audio::{Waveform, decode},
};
use serde_json::Value;

const TONE_AAC: &[u8] = include_bytes!("fixtures/audio/tone_aac.m4a");
const TONE_ALAC: &[u8] = include_bytes!("fixtures/audio/tone_alac.m4a");

fn rms(samples: &[f32]) -> f64 {
    let energy: f64 = samples
        .iter()
        .map(|&sample| f64::from(sample).powi(2))
        .sum();
    (energy / samples.len() as f64).sqrt()
}

fn peak(samples: &[f32]) -> f64 {
    f64::from(samples.iter().fold(0.0_f32, |a, b| a.max(b.abs())))
}

#[test]
fn real_sounds_agree_with_the_reference_decoder() {
    let Some(facts) = omnireward_testkit::real_data("media_facts.jsonl") else {
        return;
    };
    let root = facts.parent().unwrap();
    let mut compared = 0;
    for line in fs::read_to_string(&facts).unwrap().lines() {
        let fact: Value = serde_json::from_str(line).unwrap();
        if fact["rate"].is_null() || fact["samples_per_channel"].is_null() {
            continue;
        }
        let path = fact["path"].as_str().unwrap();
        let bytes = fs::read(root.join(path)).unwrap();
        let wave = decode(&bytes, &Limits::default()).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(u64::from(wave.sample_rate_hz), fact["rate"], "{path}");
        assert_eq!(u64::from(wave.channels), fact["channels"], "{path}");
        assert_eq!(wave.frames() as u64, fact["samples_per_channel"], "{path}");
        let duration = fact["duration_s"].as_f64().unwrap();
        assert!(
            (wave.duration().as_secs_f64() - duration).abs() < 1e-4,
            "{path}"
        );
        // Lossless formats agree to the digits of the facts. Two decoders of a lossy one may
        // round differently.
        let is_lossless = matches!(fact["format"].as_str(), Some("WAV" | "WAVEX" | "FLAC"));
        let tolerance = if is_lossless { 1e-5 } else { 1e-3 };
        for (name, found) in [("rms", rms(&wave.samples)), ("peak", peak(&wave.samples))] {
            let expected = fact[name].as_f64().unwrap();
            assert!(
                (found - expected).abs() < tolerance,
                "{path}: {name} {found} {expected}"
            );
        }
        compared += 1;
    }
    assert!(compared >= 26, "only {compared} sounds were compared");
}

/// The best match of a 440 Hz tone, whatever its phase, and what is left beside it.
fn tone_level(samples: &[f32], rate: f32) -> (f32, f32) {
    let (mut sin_sum, mut cos_sum) = (0.0_f64, 0.0_f64);
    for (i, &sample) in samples.iter().enumerate() {
        let (sin, cos) = (TAU * 440.0 * i as f32 / rate).sin_cos();
        sin_sum += f64::from(sample * sin);
        cos_sum += f64::from(sample * cos);
    }
    let level = 2.0 * (sin_sum.hypot(cos_sum)) / samples.len() as f64;
    let rest = (rms(samples).powi(2) - level * level / 2.0).max(0.0).sqrt();
    (level as f32, rest as f32)
}

fn channel(wave: &Waveform, number: usize) -> Vec<f32> {
    let channels = usize::from(wave.channels);
    wave.samples
        .iter()
        .skip(number)
        .step_by(channels)
        .copied()
        .collect()
}

#[test]
fn aac_and_alac_in_m4a_are_decoded() {
    for (name, bytes, frames) in [("AAC", TONE_AAC, 22_050), ("ALAC", TONE_ALAC, 4410)] {
        let wave = decode(bytes, &Limits::default()).unwrap();
        assert_eq!((wave.sample_rate_hz, wave.channels), (44_100, 2), "{name}");
        assert_eq!(wave.frames(), frames, "{name}");
        for (number, expected) in [(0, 0.5), (1, 0.25)] {
            // 22 periods of the tone, away from the ends, where an AAC encoder is not settled.
            let samples = channel(&wave, number);
            let inner = &samples[samples.len() / 4..][..2205];
            let (level, rest) = tone_level(inner, 44_100.0);
            assert!(
                (level - expected).abs() < 0.01,
                "{name} channel {number}: {level}"
            );
            assert!(rest < 0.02, "{name} channel {number}: {rest}");
        }
    }
}

/// A WAV file of one channel at 8 kHz around sample data.
fn wav(tag: u16, bits: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0");
    bytes.extend(tag.to_le_bytes());
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(8000_u32.to_le_bytes());
    bytes.extend((8000 * u32::from(bits / 8)).to_le_bytes());
    bytes.extend((bits / 8).to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn every_width_of_wav_is_decoded() {
    let steps = [0.0_f32, 0.5, -0.5, 0.25, -1.0];
    let scaled = |full: f64| steps.map(|step| (f64::from(step) * full) as i64);
    let cut = |values: [i64; 5], width: usize| -> Vec<u8> {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes()[..width].to_vec())
            .collect()
    };
    let unsigned: Vec<u8> = scaled(128.0)
        .iter()
        .map(|value| (value + 128) as u8)
        .collect();
    let floats: Vec<u8> = steps.iter().flat_map(|step| step.to_le_bytes()).collect();
    let doubles: Vec<u8> = steps
        .iter()
        .flat_map(|s| f64::from(*s).to_le_bytes())
        .collect();
    let cases = [
        ("8-bit", wav(1, 8, &unsigned)),
        ("16-bit", wav(1, 16, &cut(scaled(32_768.0), 2))),
        ("24-bit", wav(1, 24, &cut(scaled(8_388_608.0), 3))),
        ("32-bit", wav(1, 32, &cut(scaled(2_147_483_648.0), 4))),
        ("float", wav(3, 32, &floats)),
        ("double", wav(3, 64, &doubles)),
    ];
    for (name, bytes) in cases {
        let wave = decode(&bytes, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(wave.samples, steps, "{name}");
    }
}

#[test]
fn a_wav_of_open_length_is_taken_as_it_is() {
    let mut bytes = wav(1, 16, &[0; 200]);
    bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    bytes[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(decode(&bytes, &Limits::default()).unwrap().frames(), 100);
}

#[test]
fn malformed_sounds_are_named() {
    let mut nan = wav(3, 32, &[0; 40]);
    nan[52..56].copy_from_slice(&f32::NAN.to_le_bytes());
    let whole = wav(1, 16, &[0; 200]);
    let cases = [
        (wav(1, 16, &[]), "WAV"),
        (whole[..144].to_vec(), "cut short"),
        (whole[..30].to_vec(), "WAV"),
        (nan, "sample 2 is not a finite number"),
        (TONE_AAC[..TONE_AAC.len() / 2].to_vec(), "M4A"),
        (TONE_ALAC[..100].to_vec(), "M4A"),
    ];
    for (bytes, expected) in cases {
        let error = decode(&bytes, &Limits::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
    let error = decode(b"\x89PNG\r\n\x1a\n", &Limits::default()).unwrap_err();
    assert!(matches!(error, Error::WrongKind { .. }), "{error}");
    let error = decode(b"nothing", &Limits::default()).unwrap_err();
    assert!(matches!(error, Error::UnknownFormat { .. }), "{error}");
}

#[test]
fn limits_stop_long_and_large_sounds() {
    let second = wav(1, 16, &[0; 16_000]);
    let limits = |seconds, bytes| Limits {
        seconds,
        bytes,
        ..Limits::default()
    };
    assert!(decode(&second, &limits(1.0, 40_000)).is_ok());
    assert!(
        decode(&second, &limits(0.99, 40_000))
            .unwrap_err()
            .is_limit()
    );
    assert!(
        decode(&second, &limits(1.0, 10_000))
            .unwrap_err()
            .is_limit()
    );
    // 16 044 bytes of file, 32 000 of samples.
    assert!(
        decode(&second, &limits(1.0, 20_000))
            .unwrap_err()
            .is_limit()
    );
    assert!(
        decode(TONE_AAC, &limits(0.2, 1 << 20))
            .unwrap_err()
            .is_limit()
    );
}

#[test]
fn real_sounds_cut_short_are_refused() {
    let Some(folder) = omnireward_testkit::real_data("media/audio") else {
        return;
    };
    for name in [
        "audacity16bit.wav",
        "audacity24bit_level5.flac",
        "librispeech_16k.flac",
        "bell.ogg",
        "complete.ogg",
    ] {
        let bytes = fs::read(folder.join(name)).unwrap();
        for share in [0.02, 0.3, 0.7, 0.99] {
            let cut = &bytes[..(bytes.len() as f64 * share) as usize];
            let error = decode(cut, &Limits::default()).expect_err(name);
            assert!(
                matches!(error, Error::Decode { .. }),
                "{name} at {share}: {error}"
            );
        }
    }
}

#[test]
fn rates_beyond_reason_are_refused_by_name() {
    // 28 kB that would be 230 million frames at 16 kHz.
    for (rate, frames) in [(1, 14_000), (999, 14_000), (768_001, 14_000)] {
        let wav = Waveform {
            sample_rate_hz: rate,
            channels: 1,
            samples: vec![0.0; frames],
        }
        .wav_i16();
        let error = decode(&wav, &Limits::default()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("at `{rate}` Hz is no sound")),
            "{error}"
        );
    }
}
