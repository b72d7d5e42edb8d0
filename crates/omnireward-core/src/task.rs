use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Modality, UnknownName};

/// One of the nine mappings from prompt to response that Omni-RewardBench covers.
///
/// Tables use the code (`T23D`), data files the key (`text_to_3D`); both parse, in any case.
///
/// ```
/// use omnireward_core::{Modality, Task};
/// let task: Task = "text_to_3D".parse()?;
/// assert_eq!(task, Task::T23D);
/// assert_eq!(task.response_modality(), Modality::Mesh);
/// # Ok::<(), omnireward_core::UnknownName>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Task {
    /// Text to text.
    T2T,
    /// Text and image to text: image understanding.
    TI2T,
    /// Text and video to text: video understanding.
    TV2T,
    /// Text and audio to text: audio understanding.
    TA2T,
    /// Text to image.
    T2I,
    /// Text to video.
    T2V,
    /// Text to audio.
    T2A,
    /// Text to 3D: a mesh, or one image holding rendered views of it.
    T23D,
    /// Text and image to image: image editing.
    TI2I,
}

impl Task {
    /// All nine, in the order of the paper's tables.
    pub const ALL: [Self; 9] = [
        Self::T2T,
        Self::TI2T,
        Self::TV2T,
        Self::TA2T,
        Self::T2I,
        Self::T2V,
        Self::T2A,
        Self::T23D,
        Self::TI2I,
    ];

    /// The short code used in tables, such as `TI2T`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::T2T => "T2T",
            Self::TI2T => "TI2T",
            Self::TV2T => "TV2T",
            Self::TA2T => "TA2T",
            Self::T2I => "T2I",
            Self::T2V => "T2V",
            Self::T2A => "T2A",
            Self::T23D => "T23D",
            Self::TI2I => "TI2I",
        }
    }

    /// The key used in data files, such as `text_image_to_text`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::T2T => "text_to_text",
            Self::TI2T => "text_image_to_text",
            Self::TV2T => "text_video_to_text",
            Self::TA2T => "text_audio_to_text",
            Self::T2I => "text_to_image",
            Self::T2V => "text_to_video",
            Self::T2A => "text_to_audio",
            Self::T23D => "text_to_3D",
            Self::TI2I => "text_image_to_image",
        }
    }

    /// What the responses are made of. For [`Task::T23D`] an image (a sheet of views) is as valid
    /// as a mesh.
    pub const fn response_modality(self) -> Modality {
        match self {
            Self::T2T | Self::TI2T | Self::TV2T | Self::TA2T => Modality::Text,
            Self::T2I | Self::TI2I => Modality::Image,
            Self::T2V => Modality::Video,
            Self::T2A => Modality::Audio,
            Self::T23D => Modality::Mesh,
        }
    }

    /// The medium that accompanies the prompt's text, if the task has one.
    pub const fn prompt_modality(self) -> Option<Modality> {
        match self {
            Self::TI2T | Self::TI2I => Some(Modality::Image),
            Self::TV2T => Some(Modality::Video),
            Self::TA2T => Some(Modality::Audio),
            Self::T2T | Self::T2I | Self::T2V | Self::T2A | Self::T23D => None,
        }
    }

    /// Whether the responses are media that were generated, rather than text.
    pub const fn is_generation(self) -> bool {
        !matches!(self.response_modality(), Modality::Text)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl FromStr for Task {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|task| {
                task.code().eq_ignore_ascii_case(name) || task.key().eq_ignore_ascii_case(name)
            })
            .ok_or_else(|| UnknownName::new("task", name, &Self::ALL.map(Self::code)))
    }
}

impl From<Task> for &'static str {
    fn from(task: Task) -> Self {
        task.code()
    }
}

impl TryFrom<String> for Task {
    type Error = UnknownName;

    fn try_from(name: String) -> Result<Self, UnknownName> {
        name.parse()
    }
}

/// Whether a judge may answer that the responses are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Setting {
    /// Three answers are offered and every labelled pair is asked.
    WithTies,
    /// Two answers are offered and pairs labelled a tie are left out.
    WithoutTies,
}

impl Setting {
    /// Both settings, in the order of the paper's tables.
    pub const ALL: [Self; 2] = [Self::WithTies, Self::WithoutTies];

    /// Whether a tie is among the answers offered.
    pub const fn offers_tie(self) -> bool {
        matches!(self, Self::WithTies)
    }

    /// `with-ties` or `without-ties`, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WithTies => "with-ties",
            Self::WithoutTies => "without-ties",
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Setting {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|setting| setting.name() == name)
            .ok_or_else(|| UnknownName::new("setting", name, &Self::ALL.map(Self::name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_parses_from_code_and_key() {
        for task in Task::ALL {
            assert_eq!(task.code().parse(), Ok(task));
            assert_eq!(task.key().parse(), Ok(task));
            assert_eq!(task.code().to_lowercase().parse(), Ok(task));
        }
        let error = "T2X".parse::<Task>().unwrap_err().to_string();
        assert!(error.contains("T2X") && error.contains("TI2I"), "{error}");
    }

    #[test]
    fn the_3d_key_has_a_capital_letter() {
        assert_eq!(Task::T23D.key(), "text_to_3D");
    }
}
