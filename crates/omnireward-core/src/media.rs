use std::{fmt, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

/// What a part of a prompt or response is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// Words.
    Text,
    /// A still picture.
    Image,
    /// Moving pictures, with or without sound.
    Video,
    /// Sound.
    Audio,
    /// A 3D model.
    Mesh,
}

impl Modality {
    /// The name used in our pair files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Mesh => "mesh",
        }
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A medium that belongs to a prompt or a response, and where its bytes are.
///
/// Nothing is read or decoded until somebody asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediaRef {
    /// What the medium is.
    pub modality: Modality,
    /// Where its bytes are.
    pub source: MediaSource,
}

/// Where a medium's bytes are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum MediaSource {
    /// A file. `path` was checked to stay inside the dataset's root; `name` is how the dataset
    /// wrote it.
    File {
        /// The file to open.
        path: PathBuf,
        /// The name as the dataset wrote it.
        name: String,
    },
    /// Bytes that came with the dataset itself, for example in a parquet column.
    Bytes {
        /// The encoded medium.
        bytes: Arc<[u8]>,
        /// The file name that accompanied the bytes, if any.
        name: Option<String>,
    },
    /// A remote medium. Fetching is refused unless the user allows it.
    Url(String),
    /// The dataset names a medium that it does not carry ("labels only").
    Absent {
        /// The name as the dataset wrote it.
        name: String,
    },
}

impl MediaRef {
    /// The name of the medium for messages: the dataset's own name for it where there is one.
    pub fn name(&self) -> &str {
        match &self.source {
            MediaSource::File { name, .. } | MediaSource::Absent { name } => name,
            MediaSource::Bytes { name, .. } => name.as_deref().unwrap_or("embedded medium"),
            MediaSource::Url(url) => url,
        }
    }
}

impl fmt::Debug for MediaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, name } => f
                .debug_struct("File")
                .field("path", path)
                .field("name", name)
                .finish(),
            Self::Bytes { bytes, name } => f
                .debug_struct("Bytes")
                .field("len", &bytes.len())
                .field("name", name)
                .finish(),
            Self::Url(url) => f.debug_tuple("Url").field(url).finish(),
            Self::Absent { name } => f.debug_struct("Absent").field("name", name).finish(),
        }
    }
}
