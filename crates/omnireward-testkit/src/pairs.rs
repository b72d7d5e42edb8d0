//! Pairs of all nine tasks, with media made here, for tests that must not depend on files.
#![expect(
    clippy::missing_panics_doc,
    reason = "what is made here is always well formed"
)]

use std::sync::Arc;

use image::{
    Delay, Frame, RgbImage, RgbaImage,
    codecs::gif::{GifEncoder, Repeat},
};
use omnireward_core::{
    Criterion, MediaRef, MediaSource, Modality, Part, PreferencePair, Response, Task,
};
use omnireward_media::audio::Waveform;

/// One pair of each task. `seed` changes words and media; odd seeds have a criterion.
pub fn nine_tasks(seed: u32) -> Vec<PreferencePair> {
    Task::ALL.map(|task| pair(task, seed)).to_vec()
}

/// One pair of `task`.
pub fn pair(task: Task, seed: u32) -> PreferencePair {
    let words = format!("Which is closer to number {seed}?");
    let mut prompt = vec![Part::Text(words)];
    if let Some(modality) = task
        .prompt_modality()
        .filter(|kind| *kind != Modality::Text)
    {
        prompt.insert(0, medium(modality, seed, "prompt").into());
    }
    let responses = [1, 2].map(|side| match task.response_modality() {
        Modality::Text => Response::text(format!("It is {}.", seed + side)),
        modality => Response::media(medium(modality, 10 * seed + side, "response")),
    });
    let mut pair = PreferencePair::new(format!("{task}-{seed}"), task, "", responses);
    pair.prompt = prompt;
    pair.criterion = (seed % 2 == 1).then(|| criterion(seed));
    pair
}

/// A criterion that differs by `seed`.
pub fn criterion(seed: u32) -> Criterion {
    Criterion::new(format!("The one that fits rule {seed} is better."))
        .expect("the wording is not blank")
}

/// A small medium that differs by `seed`.
pub fn medium(modality: Modality, seed: u32, name: &str) -> MediaRef {
    let bytes = match modality {
        Modality::Text => unreachable!("text is no medium"),
        // One in three is large enough to be sliced.
        Modality::Image => {
            omnireward_media::image::encode_png(&picture(80 + 200 * (seed % 3), seed))
        }
        Modality::Video => video(seed),
        Modality::Audio => sound(0.4 + 0.37 * f64::from(seed % 5), seed),
        Modality::Mesh => mesh(seed),
    };
    MediaRef {
        modality,
        source: MediaSource::Bytes {
            bytes: Arc::from(bytes),
            name: Some(format!("{name}-{seed}")),
        },
    }
}

/// A picture of 4 by 3 that differs by `seed`.
pub fn picture(width: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, 3 * width / 4, |x, y| {
        image::Rgb([
            (x * (seed % 7 + 1)) as u8,
            (y * 3 + seed) as u8,
            (x + y * (seed % 5)) as u8,
        ])
    })
}

fn video(seed: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    encoder
        .set_repeat(Repeat::Infinite)
        .expect("a vector can be written to");
    for index in 0..6 {
        let frame = picture(64, 40 * index + seed);
        let frame: RgbaImage = image::DynamicImage::from(frame).into_rgba8();
        let delay = Delay::from_numer_denom_ms(300, 1);
        encoder
            .encode_frame(Frame::from_parts(frame, 0, 0, delay))
            .expect("a vector can be written to");
    }
    drop(encoder);
    bytes
}

fn sound(seconds: f64, seed: u32) -> Vec<u8> {
    let sample_rate_hz = 16_000;
    let step = f64::from(100 + 60 * seed) / f64::from(sample_rate_hz);
    let samples = (0..(seconds * f64::from(sample_rate_hz)) as u32)
        .map(|index| (std::f64::consts::TAU * step * f64::from(index)).sin() as f32 / 3.0)
        .collect();
    Waveform {
        sample_rate_hz,
        channels: 1,
        samples,
    }
    .wav_i16()
}

fn mesh(seed: u32) -> Vec<u8> {
    let tip = 1.0 + f64::from(seed % 9) / 4.0;
    format!("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 {tip}\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n")
        .into_bytes()
}
