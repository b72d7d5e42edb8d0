use std::{error::Error as StdError, fmt, io, path::PathBuf};

use omnireward_core::Modality;

/// Why a medium could not be read or decoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file of a medium could not be opened or read.
    #[error("could not read medium `{name}` from `{}`", path.display())]
    Read {
        /// The name as the dataset wrote it.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The dataset names a medium that it does not carry.
    #[error("medium `{name}` is named by the dataset but not included in it")]
    Absent {
        /// The name as the dataset wrote it.
        name: String,
    },
    /// The medium is remote, and this crate never fetches.
    #[error("medium `{url}` is remote, and remote media are not fetched")]
    Remote {
        /// Where the medium is.
        url: String,
    },
    /// The bytes begin like no format we know.
    #[error("the bytes are of no known media format (they begin with `{beginning}`)")]
    UnknownFormat {
        /// The first bytes, in hexadecimal.
        beginning: String,
    },
    /// The bytes are a medium, but not of the kind that was asked for.
    #[error("expected {expected}, found {found}")]
    WrongKind {
        /// What was asked for, such as `an image`.
        expected: &'static str,
        /// What the bytes are, such as `WAV`.
        found: &'static str,
    },
    /// The medium is malformed, truncated or empty.
    #[error("could not decode {modality} ({format}): {reason}")]
    Decode {
        /// What was being decoded.
        modality: Modality,
        /// The format, such as `JPEG`.
        format: &'static str,
        /// What is wrong, or which step failed.
        reason: String,
        /// What the decoder said.
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// The medium is larger than [`Limits`](crate::Limits) allow.
    #[error("the medium has {found} {limit}, more than the limit of {max}")]
    LimitExceeded {
        /// Which limit.
        limit: LimitKind,
        /// Its value.
        max: f64,
        /// What the medium has or claims to have.
        found: f64,
    },
    /// A mesh refers to another file that is not there.
    #[error("mesh `{mesh}` needs the file `{name}`, which is missing")]
    MissingSideFile {
        /// The mesh.
        mesh: String,
        /// The file as the mesh names it.
        name: String,
        /// What the system said, where it was asked.
        source: Option<io::Error>,
    },
    /// A mesh refers to a file that it may not have, such as one above its own folder.
    #[error("mesh `{mesh}` refers to `{name}`, which is refused: {reason}")]
    SideFileRefused {
        /// The mesh.
        mesh: String,
        /// The file as the mesh names it.
        name: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// The format or codec takes something that is not at hand.
    #[error("{what} needs {needs}")]
    Unsupported {
        /// The format or codec, such as `decoding VP9 video`.
        what: String,
        /// What is lacking, such as `` `ffmpeg`, which was not found ``.
        needs: String,
    },
    /// A frame was asked for that the video does not have.
    #[error("frame {index} was asked for, and the video has {frames}")]
    NoSuchFrame {
        /// The frame asked for, counted from zero.
        index: u64,
        /// How many frames there are.
        frames: u64,
    },
    /// An external program could not be run, failed, or was stopped for running over its bounds.
    #[error("`{}` {what}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// What happened, with the end of what the program said.
        what: String,
        /// What the system said.
        source: Option<io::Error>,
    },
}

impl Error {
    /// An image that cannot be decoded.
    pub(crate) fn image(format: &'static str, reason: impl Into<String>) -> Self {
        Self::decode(Modality::Image, format, reason)
    }

    /// A video that cannot be decoded.
    pub(crate) fn video(format: &'static str, reason: impl Into<String>) -> Self {
        Self::decode(Modality::Video, format, reason)
    }

    /// A sound that cannot be decoded.
    pub(crate) fn audio(format: &'static str, reason: impl Into<String>) -> Self {
        Self::decode(Modality::Audio, format, reason)
    }

    /// A mesh that cannot be decoded.
    pub(crate) fn mesh(format: &'static str, reason: impl Into<String>) -> Self {
        Self::decode(Modality::Mesh, format, reason)
    }

    fn decode(modality: Modality, format: &'static str, reason: impl Into<String>) -> Self {
        Self::Decode {
            modality,
            format,
            reason: reason.into(),
            source: None,
        }
    }

    /// Adds the decoder's own error to a [`Decode`](Self::Decode) error; others stay as they are.
    #[must_use]
    pub(crate) fn caused_by(self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        match self {
            Self::Decode {
                modality,
                format,
                reason,
                ..
            } => Self::Decode {
                modality,
                format,
                reason,
                source: Some(cause.into()),
            },
            other => other,
        }
    }

    /// Whether the medium may be fine but takes a program or codec that is not at hand.
    pub const fn is_unsupported(&self) -> bool {
        matches!(self, Self::Unsupported { .. })
    }

    /// Whether the medium is refused for its size rather than for being malformed.
    pub const fn is_limit(&self) -> bool {
        matches!(self, Self::LimitExceeded { .. })
    }
}

/// One of the [`Limits`](crate::Limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitKind {
    /// The encoded size.
    Bytes,
    /// Width times height.
    Pixels,
    /// Pixels of all the frames that must be decoded to reach those asked for.
    DecodedPixels,
    /// Frames of a video.
    Frames,
    /// Duration.
    Seconds,
    /// Triangles of a mesh.
    Triangles,
    /// Samples that the triangles of a mesh cover in a picture of it.
    DrawnSamples,
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bytes => "bytes",
            Self::Pixels => "pixels",
            Self::DecodedPixels => "pixels to decode",
            Self::Frames => "frames",
            Self::Seconds => "seconds",
            Self::Triangles => "triangles",
            Self::DrawnSamples => "samples to draw",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_and_leave_the_cause_to_the_source() {
        let error = Error::audio("WAV", "the header is cut short")
            .caused_by(io::Error::other("unexpected end"));
        assert_eq!(
            error.to_string(),
            "could not decode audio (WAV): the header is cut short"
        );
        assert_eq!(error.source().unwrap().to_string(), "unexpected end");
        assert!(!error.is_unsupported());
    }

    #[test]
    fn a_limit_names_itself_its_value_and_what_was_found() {
        let error = Error::LimitExceeded {
            limit: LimitKind::Pixels,
            max: 67_108_864.0,
            found: 100_000_000.0,
        };
        assert_eq!(
            error.to_string(),
            "the medium has 100000000 pixels, more than the limit of 67108864"
        );
    }
}
