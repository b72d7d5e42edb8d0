//! Compares with the facts that independent decoders found in the real test data
//! (`media_facts.jsonl`): every image and video row.
#![expect(
    clippy::unwrap_used,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "helpers of tests, over files whose names are known"
)]

use std::{fs, process::Command, sync::Arc};

use omnireward_media::{Error, Limits, RgbaImage, image, video::Video};
use omnireward_testkit::real_data;
use serde_json::Value;

fn rows(is_wanted: impl Fn(&str) -> bool) -> Vec<(Value, Arc<[u8]>)> {
    let Some(facts) = real_data("media_facts.jsonl") else {
        return Vec::new();
    };
    fs::read_to_string(&facts)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|row| is_wanted(row["path"].as_str().unwrap()))
        .map(|row| {
            let bytes = fs::read(facts.with_file_name(row["path"].as_str().unwrap())).unwrap();
            (row, bytes.into())
        })
        .collect()
}

fn is_image(path: &str) -> bool {
    [".jpg", ".jpeg", ".png", ".gif", ".webp"]
        .iter()
        .any(|end| path.ends_with(end))
}

fn is_video(path: &str) -> bool {
    [".mp4", ".avi", ".webm"]
        .iter()
        .any(|end| path.ends_with(end))
}

/// The mean of each channel over the picture, color weighted by alpha as the facts have it.
fn mean_rgba(image: &RgbaImage) -> [f64; 4] {
    let mut sums = [0.0; 4];
    for pixel in image.pixels() {
        for (sum, channel) in sums.iter_mut().zip(pixel.0) {
            *sum += f64::from(channel);
        }
    }
    sums.map(|sum| sum / f64::from(image.width()) / f64::from(image.height()))
}

#[test]
fn images_have_the_size_and_mean_color_that_pillow_found() {
    let mut checked = 0;
    for (row, bytes) in rows(is_image) {
        let path = row["path"].as_str().unwrap();
        let decoded = image::decode(&bytes, &Limits::default());
        if row["reference_tool_error"].is_string() {
            let error = decoded.expect_err(path);
            assert!(
                matches!(error, Error::Decode { format: "JPEG", .. }),
                "{error}"
            );
            continue;
        }
        let decoded = decoded.unwrap_or_else(|error| panic!("{path}: {error:?}"));
        assert_eq!(
            u64::from(decoded.width()),
            row["width"].as_u64().unwrap(),
            "{path}"
        );
        assert_eq!(
            u64::from(decoded.height()),
            row["height"].as_u64().unwrap(),
            "{path}"
        );
        let expected: [f64; 4] = serde_json::from_value(row["mean_rgba"].clone()).unwrap();
        let mean = mean_rgba(&decoded);
        // Lossy decoders round differently, and Pillow cuts 16 bits to 8 where we round.
        // Which color a wholly transparent pixel has does not show, and animation decoders differ
        // on it; `oracle.rs` compares these files as they look on white.
        let is_composited = path.ends_with(".gif") || row["frames"].as_u64() > Some(1);
        let is_see_through = is_composited && expected[3] < 255.0;
        let compared = if is_see_through { 3..4 } else { 0..4 };
        let worst = compared
            .map(|i| (mean[i] - expected[i]).abs())
            .fold(0.0, f64::max);
        assert!(worst < 1.0, "{path}: {mean:?}, expected {expected:?}");
        checked += 1;
    }
    if checked > 0 {
        assert!(checked >= 40, "{checked}");
    }
}

#[test]
fn animations_have_the_frames_and_duration_that_pillow_found() {
    for (row, bytes) in rows(is_image) {
        let Some(frames) = row["frames"].as_u64().filter(|frames| *frames > 1) else {
            continue;
        };
        let path = row["path"].as_str().unwrap();
        let video = Video::open(bytes, &Limits::default()).unwrap();
        assert_eq!(video.info().frames, frames, "{path}");
        let milliseconds = video.info().duration.unwrap().as_secs_f64() * 1000.0;
        let expected = row["total_duration_ms"].as_f64().unwrap();
        // Pillow reports the duration of one frame for a WebP.
        if !path.ends_with(".webp") {
            assert!(
                (milliseconds - expected).abs() < 1.0,
                "{path}: {milliseconds}"
            );
        }
    }
}

#[test]
fn videos_have_the_codec_size_frames_and_rate_that_ffmpeg_found() {
    let has_ffmpeg = Command::new("ffmpeg").arg("-version").output().is_ok();
    for (row, bytes) in rows(is_video) {
        let path = row["path"].as_str().unwrap();
        if path.ends_with(".webm") && !has_ffmpeg {
            eprintln!("SKIPPED: {path} takes `ffmpeg`, which was not found");
            continue;
        }
        let video = Video::open(bytes, &Limits::default()).unwrap();
        let info = video.info();
        assert_eq!(info.codec, row["codec"].as_str().unwrap(), "{path}");
        assert_eq!(
            u64::from(info.width),
            row["width"].as_u64().unwrap(),
            "{path}"
        );
        assert_eq!(
            u64::from(info.height),
            row["height"].as_u64().unwrap(),
            "{path}"
        );
        assert_eq!(
            info.frames,
            row["decoded_frames_first_video_stream"].as_u64().unwrap(),
            "{path}"
        );
        let rate = info.frame_rate.unwrap();
        assert!(
            (rate - row["fps"].as_f64().unwrap()).abs() < 0.02,
            "{path}: {rate}"
        );
        let seconds = info.duration.unwrap().as_secs_f64();
        // The facts give the whole file's duration, in which sound may outlast the picture.
        assert!(
            (seconds - row["duration_s"].as_f64().unwrap()).abs() < 0.1,
            "{path}: {seconds}"
        );
    }
}
