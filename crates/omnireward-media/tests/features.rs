//! Compares resized pictures and spectrograms with what Pillow and transformers make of the same
//! input (`parity/features/make_fixtures.py`).
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fmt::Write, fs, path::Path};

use omnireward_media::{
    Limits, RgbImage,
    audio::{self, LogMel, LogMelConfig},
    image::{resize_bicubic, resize_nearest},
};
use omnireward_testkit::real_data;
use serde_json::Value;
use sha2::{Digest, Sha256};

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/features");
    fs::read(folder.join(name)).unwrap()
}

/// A linear congruential generator with the constants of Numerical Recipes.
fn generator(seed: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(seed), |state| {
        Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
    })
    .skip(1)
}

/// A ramp, then noise.
fn picture(seed: u32, width: u32, height: u32) -> RgbImage {
    let count = width * height * 3;
    let pixels = generator(seed)
        .zip(0..count)
        .map(|(state, index)| {
            if index < count / 2 {
                (index / 3 * 7) as u8
            } else {
                (state >> 24) as u8
            }
        })
        .collect();
    RgbImage::from_raw(width, height, pixels).unwrap()
}

/// 16-bit noise that is a thousand times quieter after some sample.
fn sound(seed: u32, samples: usize, quiet_after: usize) -> Vec<f32> {
    generator(seed)
        .take(samples)
        .enumerate()
        .map(|(index, state)| {
            let loud = (state >> 16) as i32 - 32_768;
            let value = if index < quiet_after {
                loud
            } else {
                loud.div_euclid(1024)
            };
            value as f32 / 32_768.0
        })
        .collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
}

#[test]
fn resized_pictures_are_equal_to_pillows_byte_for_byte() {
    let fixture = String::from_utf8(fixture("resize.txt")).unwrap();
    let mut counts = [0, 0];
    for (seed, line) in (0..).zip(fixture.lines()) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [filter, width, height, new_width, new_height, expected] = fields[..] else {
            panic!("`{line}` is not a case");
        };
        let number = |field: &str| field.parse::<u32>().unwrap();
        let image = picture(seed, number(width), number(height));
        let (new_width, new_height) = (number(new_width), number(new_height));
        let resized = if filter == "bicubic" {
            counts[0] += 1;
            resize_bicubic(&image, new_width, new_height)
        } else {
            counts[1] += 1;
            resize_nearest(&image, new_width, new_height)
        };
        assert_eq!(sha256(&resized), expected, "seed {seed}: {line}");
    }
    assert!(counts.iter().all(|&count| count >= 500), "{counts:?}");
}

#[test]
fn spectrograms_are_within_1e_5_of_the_extractors() {
    let list: Value = serde_json::from_slice(&fixture("mel.json")).unwrap();
    let values: Vec<f32> = fixture("mel.f32")
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    let mut rest = &values[..];
    for case in list["cases"].as_array().unwrap() {
        let number = |field: &str| case[field].as_u64().unwrap() as usize;
        let (bins, frames, stride) = (number("bins"), number("frames"), number("stride"));
        let kept = frames.div_ceil(stride);
        let (expected, later) = rest.split_at(bins * kept);
        rest = later;
        let samples = match case["file"].as_str() {
            None => sound(
                number("seed") as u32,
                number("samples"),
                number("quiet_after"),
            ),
            Some(file) => {
                let Some(path) = real_data(file) else {
                    continue;
                };
                let bytes = fs::read(path).unwrap();
                audio::decode(&bytes, &Limits::default())
                    .unwrap()
                    .mono()
                    .samples
            }
        };
        let config = LogMelConfig {
            mels: bins,
            ..LogMelConfig::default()
        };
        let mel = LogMel::new(config).extract(&samples);
        assert_eq!((mel.mels, mel.frames), (bins, frames), "{case}");
        let worst = (0..bins)
            .flat_map(|bin| (0..kept).map(move |at| (bin, at)))
            .map(|(bin, at)| {
                let ours = mel.values[bin * frames + at * stride];
                (ours - expected[bin * kept + at]).abs()
            })
            .fold(0.0, f32::max);
        assert!(worst < 1e-5, "{case}: {worst}");
    }
    assert!(rest.is_empty());
}
