//! Video frames at chosen places, without decoding or holding the whole file.
//!
//! H.264 in MP4 and AVI is decoded by what cargo builds, animated GIF, PNG and WebP too. Other codecs
//! go through an installed `ffmpeg`, and [`Error::Unsupported`] says so when there is none.
//!
//! Frames are numbered in the order in which they are shown. They are given as stored: a display
//! rotation or pixel aspect that the file names is not applied. Colors equal those of PyAV's
//! `to_rgb`, bit for bit, on x86.

mod animation;
mod avi;
mod bits;
mod ffmpeg;
mod gif;
mod h264;
mod h264_headers;
mod mp4;
mod pixels;
mod track;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use ::image::RgbImage;

use crate::{Error, Format, Limits, sniff::sniff_or_error};
use animation::Animation;
pub use gif::encode_gif;
use track::{Codec, Track};

/// Which programs may be used for codecs that this crate has no decoder for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoders {
    /// The `ffmpeg` program, version 5.1 or later; a name without a folder is looked up by the
    /// system. `None` never runs one. Default: `ffmpeg`.
    pub ffmpeg: Option<PathBuf>,
    /// How long a run of `ffmpeg` may take. Default: 2 minutes.
    pub time_limit: Duration,
}

impl Default for Decoders {
    fn default() -> Self {
        Self {
            ffmpeg: Some("ffmpeg".into()),
            time_limit: Duration::from_secs(120),
        }
    }
}

/// What a video is, before any of it is decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoInfo {
    /// Width of a frame in pixels.
    pub width: u32,
    /// Height of a frame in pixels.
    pub height: u32,
    /// Frames that are shown.
    pub frames: u64,
    /// From the first frame to the end of the last. Zero for animations without delays.
    pub duration: Option<Duration>,
    /// Frames per second, on average.
    pub frame_rate: Option<f64>,
    /// FFmpeg's short name of the codec, such as `h264`; of an animation, its format.
    pub codec: String,
}

/// A video whose frames have been found and not yet decoded.
///
/// Of several video streams, the first that is enabled is taken.
///
/// # Examples
///
/// ```no_run
/// use omnireward_media::{Limits, video::{Video, spread}};
///
/// let bytes = std::fs::read("clip.mp4")?;
/// let video = Video::open(bytes.into(), &Limits::default())?;
/// let frames = video.frames_at(&spread(video.info().frames, 8))?;
/// assert_eq!(frames.len(), 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Video {
    bytes: Arc<[u8]>,
    limits: Limits,
    decoders: Decoders,
    info: VideoInfo,
    times: Vec<Duration>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Track(Track),
    Animation(Animation),
    /// A container that only ffmpeg reads.
    External(Format),
}

impl fmt::Debug for Video {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Video")
            .field("len", &self.bytes.len())
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl Video {
    /// Finds the frames of a video, with the default [`Decoders`].
    ///
    /// # Errors
    ///
    /// As [`open_with`](Self::open_with).
    pub fn open(bytes: Arc<[u8]>, limits: &Limits) -> Result<Self, Error> {
        Self::open_with(bytes, limits, &Decoders::default())
    }

    /// Finds the frames of a video.
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`] for one over a limit, before anything is allocated for it;
    /// [`Error::Decode`] for one that is malformed or cut short; [`Error::Unsupported`] for a
    /// WebM when there is no `ffmpeg`; [`Error::WrongKind`] and [`Error::UnknownFormat`] for what
    /// is no video. An MP4 or AVI is opened without `ffmpeg` whatever its codec.
    pub fn open_with(
        bytes: Arc<[u8]>,
        limits: &Limits,
        decoders: &Decoders,
    ) -> Result<Self, Error> {
        limits.check_bytes(bytes.len() as u64)?;
        let (info, times, source) = match sniff_or_error(&bytes)? {
            Format::Mp4 => of_track(mp4::demux(&bytes, limits)?),
            Format::Avi => of_track(avi::demux(&bytes, limits)?),
            format @ (Format::Gif | Format::Png | Format::WebP) => {
                let animation = Animation::open(format, &bytes, limits)?;
                (
                    animation.info(),
                    animation.times(),
                    Source::Animation(animation),
                )
            }
            Format::WebM => {
                let listing = ffmpeg::list(Format::WebM, &bytes, decoders, limits)?;
                (listing.info, listing.times, Source::External(Format::WebM))
            }
            other => {
                return Err(Error::WrongKind {
                    expected: "a video",
                    found: other.name(),
                });
            }
        };
        Ok(Self {
            bytes,
            limits: *limits,
            decoders: decoders.clone(),
            info,
            times,
            source,
        })
    }

    /// What the video is.
    pub const fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// Decodes the frames with the given numbers, counted from 0 in display order. The result has
    /// a picture for each number, in the order given; a number may be repeated.
    ///
    /// Of the file, only what lies between a wanted frame and the last entry point before it is
    /// decoded.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchFrame`]; [`Error::Unsupported`] when the codec needs an `ffmpeg` that is not
    /// there; [`Error::Program`] when there is one and it fails; [`Error::Decode`] when a picture
    /// on the way is damaged; [`Error::LimitExceeded`] when too many pixels are on the way.
    pub fn frames_at(&self, indices: &[u64]) -> Result<Vec<RgbImage>, Error> {
        let frames = self.info.frames;
        if let Some(&index) = indices.iter().find(|&&index| index >= frames) {
            return Err(Error::NoSuchFrame { index, frames });
        }
        let wanted: BTreeSet<u32> = indices.iter().map(|&index| index as u32).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let decoded = self.decode(&wanted)?;
        Ok(indices
            .iter()
            .map(|&index| decoded[&(index as u32)].clone())
            .collect())
    }

    /// Decodes the frames that are shown at the given times, counted from the first frame. Beyond
    /// the end, that is the last frame.
    ///
    /// # Errors
    ///
    /// As [`frames_at`](Self::frames_at).
    pub fn frames_at_times(&self, times: &[Duration]) -> Result<Vec<RgbImage>, Error> {
        let shown_at = |time: &Duration| {
            let begun = self.times.partition_point(|begin| begin <= time);
            begun.saturating_sub(1) as u64
        };
        self.frames_at(&times.iter().map(shown_at).collect::<Vec<_>>())
    }

    fn decode(&self, wanted: &BTreeSet<u32>) -> Result<BTreeMap<u32, RgbImage>, Error> {
        match &self.source {
            Source::Animation(animation) => animation.decode(&self.bytes, wanted, &self.limits),
            Source::External(format) => {
                self.decode_externally(*format, &format!("{format} video"), wanted)
            }
            Source::Track(track) => match &track.codec {
                Codec::Other { description, .. } => {
                    self.decode_externally(track.format, description, wanted)
                }
                Codec::H264(h264) => {
                    let sample_of = |frame: u32| track.display[frame as usize];
                    let samples = wanted.iter().map(|&frame| sample_of(frame)).collect();
                    let mut decoded =
                        h264::decode(&self.bytes, track, h264, &samples, &self.limits)?;
                    Ok(wanted
                        .iter()
                        .filter_map(|&frame| Some((frame, decoded.remove(&sample_of(frame))?)))
                        .collect())
                }
            },
        }
    }

    fn decode_externally(
        &self,
        format: Format,
        description: &str,
        wanted: &BTreeSet<u32>,
    ) -> Result<BTreeMap<u32, RgbImage>, Error> {
        ffmpeg::decode(
            description,
            &self.info,
            format,
            &self.bytes,
            wanted,
            &self.decoders,
            &self.limits,
        )
    }
}

fn of_track(track: Track) -> (VideoInfo, Vec<Duration>, Source) {
    (track.info(), track.times(), Source::Track(track))
}

/// Chooses `count` of `total` frames, evenly spread with both ends: `numpy.linspace(0, total − 1,
/// count)` cut to integers, as the reference samples. Frames repeat when there are too few.
///
/// # Examples
///
/// ```
/// use omnireward_media::video::spread;
///
/// assert_eq!(spread(10, 4), [0, 3, 6, 9]);
/// assert_eq!(spread(2, 3), [0, 0, 1]);
/// ```
pub fn spread(total: u64, count: usize) -> Vec<u64> {
    if total == 0 {
        return Vec::new();
    }
    let last = total - 1;
    if count == 1 {
        return vec![0];
    }
    // NumPy multiplies by a rounded step and sets the end exactly; so do we, because where a
    // product falls just below an integer the cut shows.
    let step = last as f64 / (count.max(2) - 1) as f64;
    (0..count)
        .map(|index| {
            if index + 1 == count {
                last
            } else {
                (index as f64 * step) as u64
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreading_includes_both_ends() {
        assert_eq!(spread(100, 8), [0, 14, 28, 42, 56, 70, 84, 99]);
        assert_eq!(spread(1, 3), [0, 0, 0]);
        assert_eq!(spread(5, 1), [0]);
        assert_eq!(spread(5, 0), Vec::<u64>::new());
        assert_eq!(spread(0, 4), Vec::<u64>::new());
    }
}
