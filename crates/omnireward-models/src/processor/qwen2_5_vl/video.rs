use std::sync::Arc;

use omnireward_media::{Error, Limits, RgbImage, video::Video};

use super::{VideoSettings, resize::Pixels};

/// The frames that are shown of a video.
#[derive(Debug)]
pub(super) struct Frames {
    /// In their order; at least one.
    pub(super) pictures: Vec<RgbImage>,
    /// How many of them are shown for a second of the video.
    pub(super) per_second: f64,
}

/// Decodes the frames that are shown; `None` of a video without any.
pub(super) fn frames(
    bytes: &Arc<[u8]>,
    settings: &VideoSettings,
    span: usize,
    limits: &Limits,
) -> Result<Option<Frames>, Error> {
    let video = Video::open(Arc::clone(bytes), limits)?;
    let info = video.info();
    let seconds = info.duration.map(|duration| duration.as_secs_f64());
    let counted = seconds
        .filter(|seconds| *seconds > 0.0)
        .map(|seconds| info.frames as f64 / seconds);
    // What has no clock is shown frame by frame.
    let rate = info
        .frame_rate
        .or(counted)
        .filter(|rate| rate.is_finite() && *rate > 0.0)
        .unwrap_or(settings.frames_per_second);
    let chosen = chosen(info.frames, rate, settings, span);
    if chosen.is_empty() {
        return Ok(None);
    }
    Ok(Some(Frames {
        per_second: chosen.len() as f64 / info.frames as f64 * rate,
        pictures: video.frames_at(&chosen)?,
    }))
}

/// The numbers of the frames that are shown: as many as fit the clock, a multiple of `span`, spread over the whole with
/// both ends.
///
/// A video of fewer than `span` frames, which the original refuses, is shown as it is; its last frame is repeated when
/// it is cut into patches.
fn chosen(total: u64, rate: f64, settings: &VideoSettings, span: usize) -> Vec<u64> {
    let span = span.max(1) as u64;
    if total < span {
        return (0..total).collect();
    }
    let most = settings.most_frames.min(total) / span * span;
    let least = settings.least_frames.div_ceil(span) * span;
    let wanted = total as f64 / rate * settings.frames_per_second;
    let count = wanted.max(least as f64).min(most as f64) as u64 / span * span;
    spread(total, count.max(span))
}

/// `torch.linspace(0, total − 1, count).round()`: in `f32`, counted from the nearer end.
fn spread(total: u64, count: u64) -> Vec<u64> {
    let last = (total - 1) as f32;
    if count == 1 {
        return vec![0];
    }
    let step = last / (count - 1) as f32;
    (0..count)
        .map(|index| {
            let at = if index < count / 2 {
                step * index as f32
            } else {
                last - step * (count - index - 1) as f32
            };
            (at.round_ties_even() as u64).min(total - 1)
        })
        .collect()
}

/// How large each of `count` frames may be.
pub(super) fn pixels(count: usize, settings: &VideoSettings, span: usize) -> Pixels {
    let share = settings.all_pixels as f64 / count.max(1) as f64 * span as f64;
    let most = (settings.most_pixels as f64).min(share);
    let least = settings.least_pixels;
    Pixels {
        least,
        most: most.max((least as f64 * 1.05).trunc()) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_the_published_utility() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/parity/models/qwen2_5_vl/frames.json"
        );
        let table: Vec<(u64, f64, Vec<u64>)> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for (total, rate, expected) in table {
            let found = chosen(total, rate, &VideoSettings::default(), 2);
            assert_eq!(found, expected, "{total} frames at {rate}");
        }
    }

    #[test]
    fn a_single_frame_is_shown() {
        let settings = VideoSettings::default();
        assert_eq!(chosen(1, 30.0, &settings, 2), [0]);
        assert_eq!(chosen(2, 30.0, &settings, 2), [0, 1]);
        assert_eq!(chosen(3, 30.0, &settings, 2), [0, 2]);
        assert!(chosen(0, 30.0, &settings, 2).is_empty());
    }

    #[test]
    fn many_frames_are_smaller() {
        let settings = VideoSettings::default();
        assert_eq!(pixels(8, &settings, 2).most, 768 * 784);
        assert_eq!(pixels(768, &settings, 2).most, 300 * 784);
        let floor = (128.0 * 784.0 * 1.05_f64) as u64;
        assert_eq!(pixels(100_000, &settings, 2).most, floor);
    }
}
