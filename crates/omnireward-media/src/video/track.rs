use std::{ops::Range, time::Duration};

use super::{
    VideoInfo,
    h264_headers::{Framing, IDR_SLICE, SequenceParameters, nal_type},
};
use crate::{Error, Format, Limits};

/// The video stream of a container, before anything is decoded.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) format: Format,
    pub(super) codec: Codec,
    pub(super) width: u32,
    pub(super) height: u32,
    /// In coded order.
    pub(super) samples: Vec<Sample>,
    /// For each shown frame in display order, its place among the samples.
    pub(super) display: Vec<u32>,
    pub(super) ticks_per_second: f64,
    /// From the first shown frame to the end of the last, in ticks.
    pub(super) ticks: u64,
}

/// One coded picture.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Where its bytes are in the file.
    pub(super) range: Range<usize>,
    /// When it is shown, in ticks.
    pub(super) time: i64,
    /// Whether the container says that decoding can start here.
    pub(super) is_sync: bool,
}

/// How pictures are coded.
#[derive(Clone, Debug)]
pub(super) enum Codec {
    /// H.264 that the decoder which cargo builds can decode.
    H264(H264),
    /// Anything else.
    Other {
        /// FFmpeg's short name, such as `vp9`.
        name: String,
        /// For messages, such as `VP9 video`.
        description: String,
    },
}

/// What decoding an H.264 stream takes beside its samples.
#[derive(Clone, Debug)]
pub(super) struct H264 {
    pub(super) framing: Framing,
    pub(super) parameters: SequenceParameters,
    /// Parameter sets that came beside the samples.
    pub(super) parameter_sets: Vec<Vec<u8>>,
}

impl Codec {
    /// Chooses the decoder for an H.264 stream whose parameter sets are known.
    pub(super) fn h264(
        framing: Framing,
        parameters: SequenceParameters,
        parameter_sets: Vec<Vec<u8>>,
    ) -> Self {
        match parameters.beyond_builtin_decoder() {
            Some(description) => Self::Other {
                name: "h264".to_owned(),
                description,
            },
            None => Self::H264(H264 {
                framing,
                parameters,
                parameter_sets,
            }),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::H264(_) => "h264",
            Self::Other { name, .. } => name,
        }
    }
}

impl Track {
    /// Refuses a track that is over a limit, is empty, or points outside its file; and leaves an
    /// H.264 stream that does not begin with an IDR picture to a decoder that can start there.
    pub(super) fn checked(mut self, bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        let malformed = |reason: &str| Error::video(self.format.name(), reason);
        limits.check_pixels(self.width, self.height)?;
        limits.check_frames(self.samples.len() as u64)?;
        limits.check_seconds(self.seconds())?;
        if self.display.is_empty() {
            return Err(malformed("the video stream has no frames"));
        }
        if self.width == 0 || self.height == 0 {
            return Err(malformed("the frames have no area"));
        }
        if self
            .samples
            .iter()
            .any(|sample| sample.range.end > bytes.len())
        {
            return Err(malformed("the file is cut short"));
        }
        if let Codec::H264(h264) = &self.codec
            && !is_idr(h264.framing, &bytes[self.samples[0].range.clone()])
        {
            self.codec = Codec::Other {
                name: "h264".to_owned(),
                description: "H.264 video that does not begin with an IDR picture".to_owned(),
            };
        }
        Ok(self)
    }

    pub(super) fn info(&self) -> VideoInfo {
        let frames = self.display.len() as u64;
        let seconds = self.seconds();
        VideoInfo {
            width: self.width,
            height: self.height,
            frames,
            duration: Duration::try_from_secs_f64(seconds).ok(),
            frame_rate: (seconds > 0.0).then(|| frames as f64 / seconds),
            codec: self.codec.name().to_owned(),
        }
    }

    /// When each frame is shown, counted from the first.
    pub(super) fn times(&self) -> Vec<Duration> {
        let time = |&sample: &u32| self.samples[sample as usize].time;
        let first = self.display.first().map_or(0, time);
        self.display
            .iter()
            .map(|sample| {
                let ticks = time(sample).saturating_sub(first).max(0);
                Duration::try_from_secs_f64(ticks as f64 / self.ticks_per_second)
                    .unwrap_or(Duration::MAX)
            })
            .collect()
    }

    fn seconds(&self) -> f64 {
        self.ticks as f64 / self.ticks_per_second
    }
}

/// Whether a sample holds an IDR picture: no later picture is predicted from one before it.
pub(super) fn is_idr(framing: Framing, sample: &[u8]) -> bool {
    framing
        .nals(sample)
        .is_some_and(|nals| nals.iter().any(|nal| nal_type(nal) == IDR_SLICE))
}
