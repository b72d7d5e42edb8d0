//! Compares frames with what Pillow and PyAV decoded (`oracle/make_fixtures.py`).
#![expect(
    clippy::unwrap_used,
    clippy::case_sensitive_file_extension_comparisons,
    clippy::print_stderr,
    reason = "helpers of tests, over files whose names are known"
)]

use std::{fs, path::Path, process::Command, sync::Arc, time::Duration};

use omnireward_media::{
    Limits, RgbImage,
    video::{Video, spread},
};
use omnireward_testkit::real_data;
use serde_json::Value;

/// The largest difference of means, in levels of 255, between frames that count as equal.
const NEARLY_EQUAL: f64 = 2e-3;

fn fixture(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    let fixture: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    fixture["files"].as_array().unwrap().clone()
}

fn open(file: &Value) -> Option<Video> {
    let path = real_data(file["path"].as_str().unwrap())?;
    let bytes: Arc<[u8]> = fs::read(path).unwrap().into();
    Some(Video::open(bytes, &Limits::default()).unwrap())
}

fn mean_rgb(image: &RgbImage) -> [f64; 3] {
    let mut sums = [0_u64; 3];
    for pixel in image.pixels() {
        for (sum, channel) in sums.iter_mut().zip(pixel.0) {
            *sum += u64::from(channel);
        }
    }
    let count = f64::from(image.width()) * f64::from(image.height());
    sums.map(|sum| sum as f64 / count)
}

fn distance(mean: [f64; 3], expected: &Value) -> f64 {
    mean.iter()
        .zip(expected["mean_rgb"].as_array().unwrap())
        .map(|(ours, theirs)| (ours - theirs.as_f64().unwrap()).abs())
        .fold(0.0, f64::max)
}

fn needs_ffmpeg(file: &Value) -> bool {
    let path = file["path"].as_str().unwrap();
    path.ends_with(".webm") || path.contains("10bits")
}

fn has_ffmpeg() -> bool {
    let found = Command::new("ffmpeg").arg("-version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: `ffmpeg` was not found, so what it decodes for us is not tested");
    }
    found
}

/// Checks the frames of one video, asked for out of order and one of them twice, and returns the
/// largest distance of a mean.
fn check_frames(file: &Value) -> Option<f64> {
    let path = file["path"].as_str().unwrap();
    let video = open(file)?;
    assert_eq!(
        video.info().frames,
        file["frames"].as_u64().unwrap(),
        "{path}"
    );
    assert_eq!(
        vec![video.info().width, video.info().height],
        serde_json::from_value::<Vec<u32>>(file["size"].clone()).unwrap(),
        "{path}"
    );
    let decoded = file["decoded"].as_array().unwrap();
    let mut indices: Vec<_> = decoded
        .iter()
        .rev()
        .map(|frame| frame["index"].as_u64().unwrap())
        .collect();
    indices.push(indices[0]);
    let frames = video.frames_at(&indices).unwrap();
    assert_eq!(
        frames[0],
        frames[frames.len() - 1],
        "{path}: the repeated frame"
    );
    Some(
        decoded
            .iter()
            .rev()
            .zip(&frames)
            .map(|(expected, frame)| distance(mean_rgb(frame), expected))
            .fold(0.0, f64::max),
    )
}

#[test]
fn frames_of_h264_equal_those_of_pyav() {
    for file in fixture("video_frames.json")
        .iter()
        .filter(|file| !needs_ffmpeg(file))
    {
        let Some(worst) = check_frames(file) else {
            return;
        };
        // In a few bidirectional pictures OpenH264 weighs the two references a little differently,
        // and some pixels are a level or two off; all others are equal.
        assert!(worst < NEARLY_EQUAL, "{}: {worst}", file["path"]);
    }
}

#[test]
fn frames_through_ffmpeg_equal_those_of_pyav() {
    if !has_ffmpeg() {
        return;
    }
    for file in fixture("video_frames.json")
        .iter()
        .filter(|file| needs_ffmpeg(file))
    {
        let Some(worst) = check_frames(file) else {
            return;
        };
        // Another version of FFmpeg converts ten bits to eight a little differently.
        assert!(worst < 1.5, "{}: {worst}", file["path"]);
    }
}

#[test]
fn frames_of_animations_equal_those_of_pillow() {
    for file in fixture("animation_frames.json") {
        let Some(worst) = check_frames(&file) else {
            return;
        };
        assert!(worst < 1.0, "{}: {worst}", file["path"]);
    }
}

/// The tests above can fail: an index that is off by one is noticed in every video.
#[test]
fn a_shifted_index_would_be_noticed() {
    for file in fixture("video_frames.json")
        .iter()
        .filter(|file| !needs_ffmpeg(file))
    {
        let Some(video) = open(file) else { return };
        let last = video.info().frames - 1;
        let decoded = file["decoded"].as_array().unwrap();
        let shifted: Vec<_> = decoded
            .iter()
            .map(|frame| (frame["index"].as_u64().unwrap() + 1).min(last))
            .collect();
        let frames = video.frames_at(&shifted).unwrap();
        let noticed = decoded
            .iter()
            .zip(&frames)
            .filter(|(expected, frame)| distance(mean_rgb(frame), expected) > NEARLY_EQUAL)
            .count();
        // The last frame has no successor; a still scene may repeat a frame.
        assert!(noticed * 2 > decoded.len(), "{}: {noticed}", file["path"]);
    }
}

#[test]
fn times_lead_to_the_frames_shown_at_them() {
    for file in fixture("video_frames.json")
        .iter()
        .filter(|file| !needs_ffmpeg(file))
    {
        let Some(video) = open(file) else { return };
        let decoded = file["decoded"].as_array().unwrap();
        // A time is rounded down to microseconds in the fixture; a millisecond later the same
        // frame is still shown.
        let times: Vec<_> = decoded
            .iter()
            .map(|frame| Duration::from_secs_f64(frame["time"].as_f64().unwrap() + 1e-3))
            .collect();
        let indices: Vec<_> = decoded
            .iter()
            .map(|frame| frame["index"].as_u64().unwrap())
            .collect();
        assert_eq!(
            video.frames_at_times(&times).unwrap(),
            video.frames_at(&indices).unwrap(),
            "{}",
            file["path"]
        );
        let last = video.info().frames - 1;
        assert_eq!(
            video.frames_at_times(&[Duration::from_secs(3600)]).unwrap(),
            video.frames_at(&[last]).unwrap()
        );
    }
}

#[test]
fn spreading_equals_numpy() {
    for file in fixture("video_frames.json") {
        let expected: Vec<u64> = serde_json::from_value(file["spread_8"].clone()).unwrap();
        assert_eq!(spread(file["frames"].as_u64().unwrap(), 8), expected);
    }
}
