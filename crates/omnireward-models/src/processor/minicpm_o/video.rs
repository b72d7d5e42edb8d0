use std::sync::Arc;

use omnireward_media::{
    Error, Format, Limits, RgbImage, sniff,
    video::{Video, spread},
};

use crate::processor::{Preprocessing, ShortVideos, UncountedVideos};

/// The frames that are shown of a video, or why there are none.
pub(super) fn frames(
    bytes: &Arc<[u8]>,
    preprocessing: &Preprocessing,
    limits: &Limits,
) -> Result<Result<Vec<RgbImage>, String>, Error> {
    let video = Video::open(Arc::clone(bytes), limits)?;
    let info = video.info();
    let counted = sniff(bytes) != Some(Format::WebM);
    let seconds = info.duration.map(|duration| duration.as_secs_f64());
    Ok(match choice(info.frames, seconds, counted, preprocessing) {
        Ok(indices) => Ok(video.frames_at(&indices)?),
        Err(reason) => Err(reason),
    })
}

/// The numbers of the frames that are shown.
fn choice(
    total: u64,
    seconds: Option<f64>,
    counted: bool,
    preprocessing: &Preprocessing,
) -> Result<Vec<u64>, String> {
    let most = total.min(preprocessing.max_frames.max(1) as u64);
    if total == 0 {
        return Err("has no frames".to_owned());
    }
    if !counted && preprocessing.uncounted_videos == UncountedVideos::FirstFrames {
        return Ok((0..most).collect());
    }
    let in_time = seconds.map(|seconds| (seconds * preprocessing.frames_per_second) as u64);
    let count = match (preprocessing.short_videos, in_time) {
        (ShortVideos::Refused, None) => return Err("does not say how long it is".to_owned()),
        (ShortVideos::Refused, Some(0)) => {
            return Err(format!(
                "lasts {} s, too short for a frame at {} a second",
                seconds.unwrap_or(0.0),
                preprocessing.frames_per_second
            ));
        }
        (ShortVideos::Refused, Some(count)) => count.min(most),
        (ShortVideos::OneFrame, count) => count.unwrap_or(most).min(most).max(1),
    };
    Ok(spread(total, count as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_spread_over_the_whole() {
        let reference = Preprocessing::reference();
        let chosen = |total, seconds| choice(total, Some(seconds), true, &reference);
        assert_eq!(chosen(300, 10.0).unwrap(), [0, 99, 199, 299]);
        assert_eq!(chosen(30, 1.0).unwrap(), [0, 29]);
        assert_eq!(chosen(30, 0.99).unwrap(), [0]);
        assert_eq!(chosen(3, 60.0).unwrap(), [0, 1, 2]);
    }

    #[test]
    fn short_videos_are_refused_or_give_one_frame() {
        let reference = Preprocessing::reference();
        let clean = Preprocessing::clean();
        let reason = choice(12, Some(0.4), true, &reference).unwrap_err();
        assert!(reason.contains("0.4 s"), "{reason}");
        assert_eq!(choice(12, Some(0.4), true, &clean).unwrap(), [0]);
        assert!(choice(12, None, true, &reference).is_err());
        assert_eq!(choice(13, None, true, &clean).unwrap(), [0, 4, 8, 12]);
        assert!(choice(0, Some(0.0), true, &clean).is_err());
    }

    #[test]
    fn uncounted_videos_give_their_first_frames() {
        let reference = Preprocessing::reference();
        let clean = Preprocessing::clean();
        assert_eq!(
            choice(300, Some(10.0), false, &reference).unwrap(),
            [0, 1, 2, 3]
        );
        assert_eq!(choice(2, Some(0.1), false, &reference).unwrap(), [0, 1]);
        assert_eq!(
            choice(300, Some(10.0), false, &clean).unwrap(),
            [0, 99, 199, 299]
        );
    }
}
