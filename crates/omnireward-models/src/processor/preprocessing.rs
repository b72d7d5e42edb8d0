use std::{
    fmt::{self, Write},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};

/// How media and conversations become a model's input, where the original system does something that
/// another implementation would not. One named switch for each such point.
///
/// A model scores best what it was trained on, defects included, so [`reference`](Self::reference) is
/// for the published checkpoint; [`clean`](Self::clean) is for models trained here. The limits (pixels,
/// frames, slices) are the same in both.
///
/// In settings it is written as a preset and the switches that differ from it.
///
/// # Examples
///
/// ```
/// use omnireward_models::processor::{Preprocessing, Shrink};
///
/// let preprocessing: Preprocessing = "reference,image_shrink=bicubic,max_frames=8".parse()?;
/// assert_eq!(preprocessing.image_shrink, Shrink::Bicubic);
/// assert_eq!(preprocessing.max_frames, 8);
/// assert_eq!(preprocessing.to_string(), "reference,image_shrink=bicubic,max_frames=8");
/// # Ok::<(), omnireward_models::processor::UnknownPreprocessing>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// How an image over [`image_pixels`](Self::image_pixels) is shrunk before it is sliced.
    pub image_shrink: Shrink,
    /// How a video's frame over [`frame_pixels`](Self::frame_pixels) is shrunk.
    pub frame_shrink: Shrink,
    /// What becomes of an image's transparency.
    pub transparency: Transparency,
    /// Whether an image is turned as its EXIF data say.
    pub orientation: Orientation,
    /// How images are numbered and sized in a conversation of several messages.
    pub image_numbers: ImageNumbers,
    /// Whether a clip hears the padding that a longer clip of the same pair brings.
    pub audio_padding: AudioPadding,
    /// Which response's sequence the features of its sounds are written to.
    pub audio_rows: AudioRows,
    /// Which media belong to which response.
    pub media_split: MediaSplit,
    /// What becomes of videos so short that no frame would be taken.
    pub short_videos: ShortVideos,
    /// Which frames are taken of a video whose container does not count them.
    pub uncounted_videos: UncountedVideos,
    /// What becomes of a pair that has both images and videos.
    pub mixed_media: MixedMedia,
    /// What becomes of text that reads like a special token.
    pub special_text: SpecialText,
    /// The largest image that is not shrunk, in pixels. 768² in both presets.
    #[serde(deserialize_with = "above_zero")]
    pub image_pixels: u32,
    /// The largest frame that is not shrunk, in pixels. 256² in both presets.
    #[serde(deserialize_with = "above_zero")]
    pub frame_pixels: u32,
    /// Into how many slices an image may be cut. `None`, as in both presets, is what the checkpoint's
    /// `preprocessor_config.json` says, which is 9 in the published one; with 768² pixels it is 4 at most.
    #[serde(deserialize_with = "above_zero_or_none")]
    pub max_slices: Option<usize>,
    /// Into how many slices a frame may be cut. 2 in both presets; with 256² pixels none is.
    #[serde(deserialize_with = "above_zero")]
    pub max_frame_slices: usize,
    /// Frames taken of a video, at most. 4 in both presets.
    #[serde(deserialize_with = "above_zero")]
    pub max_frames: usize,
    /// Frames taken of a second of video, at most. 2 in both presets.
    #[serde(deserialize_with = "above_zero")]
    pub frames_per_second: f64,
}

/// A limit that leaves something.
fn above_zero<'de, D, T>(reader: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default + PartialOrd,
{
    let limit = T::deserialize(reader)?;
    if limit > T::default() {
        Ok(limit)
    } else {
        Err(D::Error::custom("a limit is a number above zero"))
    }
}

fn above_zero_or_none<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<usize>, D::Error> {
    match Option::deserialize(reader)? {
        Some(0) => Err(D::Error::custom("a limit is a number above zero")),
        limit => Ok(limit),
    }
}

impl Preprocessing {
    /// As the published model was trained and evaluated, each of its defects included.
    pub const fn reference() -> Self {
        Self {
            image_shrink: Shrink::Nearest,
            frame_shrink: Shrink::Nearest,
            transparency: Transparency::Dropped,
            orientation: Orientation::Ignored,
            image_numbers: ImageNumbers::PerMessage,
            audio_padding: AudioPadding::Visible,
            audio_rows: AudioRows::FirstRow,
            media_split: MediaSplit::ByCount,
            short_videos: ShortVideos::Refused,
            uncounted_videos: UncountedVideos::FirstFrames,
            mixed_media: MixedMedia::Refused,
            special_text: SpecialText::AsTokens,
            ..Self::clean()
        }
    }

    /// With the defects mended.
    pub const fn clean() -> Self {
        Self {
            image_shrink: Shrink::Bicubic,
            frame_shrink: Shrink::Bicubic,
            transparency: Transparency::OnWhite,
            orientation: Orientation::Applied,
            image_numbers: ImageNumbers::Running,
            audio_padding: AudioPadding::Masked,
            audio_rows: AudioRows::OwnRow,
            media_split: MediaSplit::ByRole,
            short_videos: ShortVideos::OneFrame,
            uncounted_videos: UncountedVideos::Spread,
            mixed_media: MixedMedia::Allowed,
            special_text: SpecialText::AsText,
            image_pixels: 768 * 768,
            frame_pixels: 256 * 256,
            max_slices: None,
            max_frame_slices: 2,
            max_frames: 4,
            frames_per_second: 2.0,
        }
    }

    /// A text that is equal for two settings if they give the same features of every medium. What
    /// only changes where features stand in a conversation is not part of it; nor is the length that a
    /// sound is padded to, since that depends on its pair.
    pub fn fingerprint(&self) -> String {
        let mut text = String::from("1");
        for (name, value) in [
            ("image_shrink", json(&self.image_shrink)),
            ("frame_shrink", json(&self.frame_shrink)),
            ("transparency", json(&self.transparency)),
            ("orientation", json(&self.orientation)),
            ("short_videos", json(&self.short_videos)),
            ("uncounted_videos", json(&self.uncounted_videos)),
            ("image_pixels", json(&self.image_pixels)),
            ("frame_pixels", json(&self.frame_pixels)),
            ("max_slices", json(&self.max_slices)),
            ("max_frame_slices", json(&self.max_frame_slices)),
            ("max_frames", json(&self.max_frames)),
            ("frames_per_second", json(&self.frames_per_second)),
        ] {
            write!(text, ";{name}={value}").expect("writing to a string succeeds");
        }
        text
    }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("names and numbers have a form in JSON")
}

/// The presets, by the names that settings begin with.
const PRESETS: [(&str, Preprocessing); 2] = [
    ("reference", Preprocessing::reference()),
    ("clean", Preprocessing::clean()),
];

/// A text that says no [`Preprocessing`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownPreprocessing(String);

impl FromStr for Preprocessing {
    type Err = UnknownPreprocessing;

    /// Reads the name of a preset, and switches that differ from it after commas:
    /// `reference,image_shrink=bicubic,max_frames=8`.
    fn from_str(text: &str) -> Result<Self, UnknownPreprocessing> {
        let mut words = text.split(',').map(str::trim);
        let name = words.next().unwrap_or_default();
        let preset = PRESETS.iter().find(|(known, _)| *known == name);
        let Some((_, preset)) = preset else {
            let reason = format!("`{name}` is not `reference` or `clean`");
            return Err(UnknownPreprocessing(reason));
        };
        let mut switches = preset.switches();
        for word in words {
            set(&mut switches, word).map_err(UnknownPreprocessing)?;
        }
        serde_path_to_error::deserialize(Value::Object(switches))
            .map_err(|error| UnknownPreprocessing(format!("`{}`: {}", error.path(), error.inner())))
    }
}

/// The shortest text that says it, as [`FromStr`] reads it.
impl fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shortest = PRESETS
            .iter()
            .map(|(name, preset)| self.relative_to(name, preset))
            .min_by_key(String::len)
            .expect("there are two presets");
        f.pad(&shortest)
    }
}

impl Preprocessing {
    fn switches(&self) -> Map<String, Value> {
        match json(self) {
            Value::Object(switches) => switches,
            other => unreachable!("it is a struct of names and numbers, not {other}"),
        }
    }

    fn relative_to(&self, name: &str, preset: &Self) -> String {
        let preset = preset.switches();
        let mut text = name.to_owned();
        for (switch, value) in self.switches() {
            if preset[&switch] != value {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                write!(text, ",{switch}={value}").expect("writing to a string succeeds");
            }
        }
        text
    }
}

/// Sets one switch from a text such as `max_frames=8`.
fn set(switches: &mut Map<String, Value>, word: &str) -> Result<(), String> {
    let (name, value) = word
        .split_once('=')
        .ok_or_else(|| format!("expected SWITCH=VALUE, not `{word}`"))?;
    let known = switches
        .get_mut(name)
        .ok_or_else(|| format!("there is no switch `{name}`"))?;
    *known = if known.is_string() {
        value.into()
    } else {
        let number: serde_json::Number = serde_json::from_str(value)
            .map_err(|_| format!("`{name}` is `{value}`, expected a number"))?;
        number.into()
    };
    Ok(())
}

/// How pictures are shrunk to a number of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shrink {
    /// The original's way: the nearest pixel is taken, so that fine patterns turn into others.
    Nearest,
    /// A bicubic filter that widens with the shrinking.
    Bicubic,
}

/// What becomes of transparency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transparency {
    /// The original's way: the colours that a file stores below transparent pixels show, often black.
    Dropped,
    /// The picture is put on white, as people see it.
    OnWhite,
}

/// What becomes of an image's EXIF orientation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orientation {
    /// The original's way: a phone's upright photograph may lie on its side.
    Ignored,
    /// The image is turned.
    Applied,
}

/// How images are numbered over the messages of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageNumbers {
    /// The original's way: each message counts its images from 0 and takes the sizes of as many images
    /// from the beginning of the conversation, whichever its own are. Where that leaves fewer places
    /// than an image has features the rest of them is lost, and with more places there is an error.
    PerMessage,
    /// The count goes on from message to message, and each image has its own size.
    Running,
}

/// Whether padding can be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioPadding {
    /// The original's way: all clips of a pair are filled up to the longest, and the last, incomplete
    /// second of a shorter one attends to the filling. A clip's features then depend on the pair's
    /// other clips.
    Visible,
    /// Each clip is encoded as if it were alone.
    Masked,
}

/// Which sequence gets the features of sounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioRows {
    /// The original's way, a mistake in an index: whatever response a sound belongs to, its features
    /// are written to the first response's sequence, at the places where the sound stands in its own.
    /// The other sequences keep the placeholder's embedding: of a T2A pair their sounds are judged
    /// unheard, and of a TA2T pair they answer a prompt that is not heard. Which response comes first
    /// then changes the rewards.
    FirstRow,
    /// Each response's sequence gets its own.
    OwnRow,
}

/// Which media belong to which response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaSplit {
    /// The original's way: when a pair has exactly two images, videos or sounds, the first goes with
    /// the first response and the second with the second; when it has more images and the responses
    /// are the same text, each response gets half of them. If both were the prompt's, each side then has
    /// two placeholders and one medium, which is an error.
    ByCount,
    /// The prompt's media go with every response, and a response's with it alone.
    ByRole,
}

/// What becomes of videos under half a second, at two frames a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShortVideos {
    /// The original's way: no frame is taken, which is an error. So is a video without a duration.
    Refused,
    /// The first frame is taken; of a video without a duration, as many as are allowed.
    OneFrame,
}

/// Which frames are taken of a video whose container does not count them, such as `WebM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UncountedVideos {
    /// The original's way: the first ones, which may be a fraction of a second.
    FirstFrames,
    /// As of any other video: frames spread over the whole.
    Spread,
}

/// What becomes of a pair that has both images and videos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MixedMedia {
    /// The original's way: an error.
    Refused,
    /// Both are shown.
    Allowed,
}

/// What becomes of text that reads like a special token, such as `<|im_end|>`.
///
/// Either way such text is no placeholder: it never gets a medium's features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpecialText {
    /// The original's way: it is that token, so a text can end its own turn.
    AsTokens,
    /// It is characters like others.
    AsText,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_have_the_same_limits_and_no_switch_in_common() {
        let reference = serde_json::to_value(Preprocessing::reference()).unwrap();
        let clean = serde_json::to_value(Preprocessing::clean()).unwrap();
        for (field, value) in reference.as_object().unwrap() {
            assert_eq!(value == &clean[field], !value.is_string(), "{field}");
        }
    }

    #[test]
    fn the_fingerprint_tells_what_changes_features() {
        let reference = Preprocessing::reference();
        assert_eq!(
            reference.fingerprint(),
            Preprocessing::reference().fingerprint()
        );
        assert_ne!(
            reference.fingerprint(),
            Preprocessing::clean().fingerprint()
        );
        let other_place = Preprocessing {
            audio_rows: AudioRows::OwnRow,
            special_text: SpecialText::AsText,
            ..reference.clone()
        };
        assert_eq!(reference.fingerprint(), other_place.fingerprint());
        let fewer = Preprocessing {
            max_frames: 3,
            ..reference.clone()
        };
        assert_ne!(reference.fingerprint(), fewer.fingerprint());
    }

    #[test]
    fn unknown_switches_are_refused() {
        let mut json = serde_json::to_value(Preprocessing::clean()).unwrap();
        json["image_shirnk"] = "nearest".into();
        assert!(serde_json::from_value::<Preprocessing>(json).is_err());
    }

    #[test]
    fn the_shortest_text_is_written_and_read_again() {
        let shrunk = Preprocessing {
            image_shrink: Shrink::Bicubic,
            max_slices: Some(4),
            max_frames: 8,
            ..Preprocessing::reference()
        };
        for (value, expected) in [
            (Preprocessing::reference(), "reference"),
            (Preprocessing::clean(), "clean"),
            (
                shrunk,
                "reference,image_shrink=bicubic,max_slices=4,max_frames=8",
            ),
        ] {
            assert_eq!(value.to_string(), expected);
            assert_eq!(expected.parse(), Ok(value));
        }
    }

    #[test]
    fn what_is_wrong_with_a_text_is_named() {
        for (wrong, named) in [
            ("", "`reference` or `clean`"),
            ("dirty", "dirty"),
            ("clean,x=1", "`x`"),
            ("clean,max_frames=many", "many"),
            ("clean,max_slices=null", "null"),
            ("clean,max_frames=1.5", "max_frames"),
            ("clean,image_shrink", "SWITCH=VALUE"),
            ("clean,image_shrink=best", "best"),
            ("clean,max_frames=0", "`max_frames`: a limit"),
            ("clean,image_pixels=0", "`image_pixels`: a limit"),
            ("clean,frame_pixels=0", "`frame_pixels`: a limit"),
            ("clean,max_slices=0", "`max_slices`: a limit"),
            ("clean,max_frame_slices=0", "`max_frame_slices`: a limit"),
            ("clean,frames_per_second=0", "`frames_per_second`: a limit"),
            ("clean,frames_per_second=-1", "`frames_per_second`: a limit"),
        ] {
            let error = wrong.parse::<Preprocessing>().unwrap_err().to_string();
            assert!(error.contains(named), "{wrong}: {error}");
        }
    }
}
