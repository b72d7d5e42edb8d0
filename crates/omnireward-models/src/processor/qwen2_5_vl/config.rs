use std::path::Path;

use omnireward_media::audio::LogMelConfig;
use serde::Deserialize;

use super::resize::Pixels;
use crate::{Error, Result, qwen2_5_vl::Config};

const IMAGES: &str = "preprocessor_config.json";
const VIDEOS: &str = "video_preprocessor_config.json";

/// `preprocessor_config.json`: how pictures become patches.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ImageConfig {
    /// Side of a patch, in pixels.
    pub(super) patch: u32,
    /// Frames that a patch spans.
    pub(super) temporal_patch: usize,
    /// Patches along the side of a cell.
    pub(super) merge: u32,
    /// Of red, green and blue, what is taken off, on a scale of 0 to 1.
    pub(super) mean: [f32; 3],
    /// Of red, green and blue, what the rest is divided by.
    pub(super) std: [f32; 3],
    /// How large a picture may be.
    pub(super) pixels: Pixels,
}

/// Which frames of a video are shown, and how large.
///
/// The published model says this in a utility beside it, whose numbers are the default. A checkpoint that was made for
/// other media says it in `video_preprocessor_config.json`, which counts when it has `do_sample_frames`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VideoSettings {
    /// Frames shown of a second.
    pub frames_per_second: f64,
    /// As few as are shown, if the video has them.
    pub least_frames: u64,
    /// As many as are shown.
    pub most_frames: u64,
    /// As few pixels as a frame has.
    pub least_pixels: u64,
    /// As many pixels as a frame has.
    pub most_pixels: u64,
    /// As many pixels as all frames have together, which wins over `most_pixels` and not over `least_pixels`.
    pub all_pixels: u64,
}

impl Default for VideoSettings {
    fn default() -> Self {
        Self {
            frames_per_second: 2.0,
            least_frames: 4,
            most_frames: 768,
            least_pixels: 128 * 28 * 28,
            most_pixels: 768 * 28 * 28,
            // Nine tenths of 128 000 rows.
            all_pixels: 115_200 * 28 * 28,
        }
    }
}

/// Samples of sound in a second, as audio towers take it.
pub(super) const SAMPLE_RATE_HZ: u32 = 16_000;

/// How sounds become spectrograms, by the same file as pictures; `None` for a model that does not hear.
pub(super) fn sounds(dir: &Path, model: &Config) -> Result<Option<LogMelConfig>> {
    let Some(audio) = &model.audio else {
        return Ok(None);
    };
    let path = dir.join(IMAGES);
    let published: PublishedSound = json(&path)?;
    let wrong = |field: &str, reason: String| Error::Config {
        path: path.clone(),
        field: field.to_owned(),
        reason,
    };
    let mels = audio.layers.num_mel_bins;
    if published.feature_size != mels {
        let is = published.feature_size;
        let reason = format!("it is `{is}`, and `config.json` says `{mels}`");
        return Err(wrong("feature_size", reason));
    }
    if published.sampling_rate != SAMPLE_RATE_HZ {
        let is = published.sampling_rate;
        let reason = format!("it is `{is}`, expected `{SAMPLE_RATE_HZ}`");
        return Err(wrong("sampling_rate", reason));
    }
    let rate = SAMPLE_RATE_HZ as usize;
    if published.n_samples == 0 || !published.n_samples.is_multiple_of(rate) {
        let reason = format!("`{}` are no whole seconds", published.n_samples);
        return Err(wrong("n_samples", reason));
    }
    Ok(Some(LogMelConfig {
        mels,
        seconds: published.n_samples / rate,
    }))
}

#[derive(Deserialize)]
struct PublishedSound {
    feature_size: usize,
    n_samples: usize,
    sampling_rate: u32,
}

#[derive(Deserialize)]
struct Published {
    patch_size: u32,
    temporal_patch_size: usize,
    merge_size: u32,
    image_mean: [f32; 3],
    image_std: [f32; 3],
    min_pixels: Option<u64>,
    max_pixels: Option<u64>,
    /// Later saves say the limits here.
    size: Option<Size>,
}

#[derive(Clone, Copy, Deserialize)]
struct Size {
    shortest_edge: Option<u64>,
    longest_edge: Option<u64>,
}

#[derive(Deserialize)]
struct PublishedVideo {
    #[serde(default)]
    do_sample_frames: bool,
    fps: Option<f64>,
    min_frames: Option<u64>,
    max_frames: Option<u64>,
    min_pixels: Option<u64>,
    max_pixels: Option<u64>,
    size: Option<Size>,
}

impl ImageConfig {
    pub(super) fn read(dir: &Path, model: &Config) -> Result<Self> {
        let path = dir.join(IMAGES);
        let published: Published = json(&path)?;
        let wrong = |field: &str, reason: String| Error::Config {
            path: path.clone(),
            field: field.to_owned(),
            reason,
        };
        let pixels = limits(published.min_pixels, published.max_pixels, published.size);
        let (least, most) = pixels.map_err(|field| wrong(field, "it is missing".to_owned()))?;
        if least == 0 || least > most || most > MOST_PIXELS {
            let reason = format!("`{least}` to `{most}` pixels are not within 1 to {MOST_PIXELS}");
            return Err(wrong("min_pixels", reason));
        }
        if published.image_std.contains(&0.0) {
            return Err(wrong("image_std", "has a zero".to_owned()));
        }
        let vision = &model.vision;
        let fields = [
            ("patch_size", published.patch_size as usize, vision.patch),
            ("merge_size", published.merge_size as usize, vision.merge),
            (
                "temporal_patch_size",
                published.temporal_patch_size,
                vision.temporal_patch,
            ),
        ];
        if let Some((field, is, should)) = fields.into_iter().find(|(_, is, should)| is != should) {
            let reason = format!("it is `{is}`, and `config.json` says `{should}`");
            return Err(wrong(field, reason));
        }
        Ok(Self {
            patch: published.patch_size,
            temporal_patch: published.temporal_patch_size,
            merge: published.merge_size,
            mean: published.image_mean,
            std: published.image_std,
            pixels: Pixels { least, most },
        })
    }

    /// The unit of a picture's sides, in pixels: a cell's.
    pub(super) const fn unit(&self) -> u32 {
        self.patch * self.merge
    }
}

impl VideoSettings {
    /// Those of a checkpoint.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(VIDEOS);
        if !path.is_file() {
            return Ok(Self::default());
        }
        let published: PublishedVideo = json(&path)?;
        if !published.do_sample_frames {
            return Ok(Self::default());
        }
        let usual = Self::default();
        let (least_pixels, most_pixels) =
            limits(published.min_pixels, published.max_pixels, published.size)
                .unwrap_or((usual.least_pixels, usual.most_pixels));
        let settings = Self {
            frames_per_second: published.fps.unwrap_or(usual.frames_per_second),
            least_frames: published.min_frames.unwrap_or(usual.least_frames),
            most_frames: published.max_frames.unwrap_or(usual.most_frames),
            least_pixels,
            most_pixels,
            ..usual
        };
        settings.check(&path)?;
        Ok(settings)
    }

    fn check(&self, path: &Path) -> Result<()> {
        let rate = self.frames_per_second;
        let problems = [
            (
                "fps",
                !(rate.is_finite() && rate > 0.0),
                "is no number above 0",
            ),
            (
                "max_frames",
                self.most_frames == 0 || self.least_frames > self.most_frames,
                "is 0 or below `min_frames`",
            ),
            (
                "max_pixels",
                self.least_pixels == 0
                    || self.least_pixels > self.most_pixels
                    || self.most_pixels > MOST_PIXELS,
                "is below `min_pixels`, one of them is 0, or it is beyond all pictures",
            ),
        ];
        match problems.into_iter().find(|(_, is_wrong, _)| *is_wrong) {
            None => Ok(()),
            Some((field, _, reason)) => Err(Error::Config {
                path: path.to_owned(),
                field: field.to_owned(),
                reason: reason.to_owned(),
            }),
        }
    }
}

/// No picture is made larger than this.
const MOST_PIXELS: u64 = 1 << 28;

/// The limits in either spelling; the field that is missing otherwise.
fn limits(
    least: Option<u64>,
    most: Option<u64>,
    size: Option<Size>,
) -> Result<(u64, u64), &'static str> {
    let least = least.or(size.and_then(|size| size.shortest_edge));
    let most = most.or(size.and_then(|size| size.longest_edge));
    Ok((least.ok_or("min_pixels")?, most.ok_or("max_pixels")?))
}

fn json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })
}
