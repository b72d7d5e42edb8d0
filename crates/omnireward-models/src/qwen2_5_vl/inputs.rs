use omnireward_media::audio::Mel;
use serde::{Deserialize, Serialize};

use super::VisionConfig;
use crate::audio::ChunkedAudioConfig;

/// A medium, as its tower reads it.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaInput {
    /// A picture or a video.
    Visual(VisualInput),
    /// The log-mel spectrogram of a sound.
    Sound(Mel),
}

/// What a sequence has to know of a medium.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum MediaShape {
    /// A picture or a video.
    Visual(VisualShape),
    /// A sound.
    Sound {
        /// Its rows, 25 to the second.
        rows: usize,
    },
}

impl MediaInput {
    /// What a sequence has to know of it.
    pub const fn shape(&self) -> MediaShape {
        match self {
            Self::Visual(input) => MediaShape::Visual(input.shape),
            Self::Sound(mel) => MediaShape::Sound {
                rows: ChunkedAudioConfig::rows(mel.frames),
            },
        }
    }
}

impl MediaShape {
    /// Rows that stand for it in a sequence.
    pub const fn rows(&self, config: &VisionConfig) -> usize {
        match self {
            Self::Visual(shape) => shape.grid.merged(config.merge).cells(),
            Self::Sound { rows } => *rows,
        }
    }
}

/// A picture or a video, cut for the vision tower.
#[derive(Clone, Debug, PartialEq)]
pub struct VisualInput {
    /// How many patches it has, and where they stand in time.
    pub shape: VisualShape,
    /// `[frames · rows · columns, 3 · temporal_patch · patch · patch]`: patches as (channel, frame, y, x), normalised.
    /// Those of a merged cell stand together, row by row; cells stand in raster order, frame by frame.
    pub patches: Vec<f32>,
}

/// What a sequence has to know of a picture or a video.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VisualShape {
    /// Its patches.
    pub grid: PatchGrid,
    /// Seconds from one of the grid's frames to the next; `None` for a still picture.
    pub seconds: Option<f64>,
}

/// How patches, or cells of merged patches, are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PatchGrid {
    /// In time; a patch of a video spans several of its frames.
    pub frames: usize,
    /// One above another.
    pub rows: usize,
    /// Side by side.
    pub columns: usize,
}

impl PatchGrid {
    /// All of them.
    pub const fn cells(self) -> usize {
        self.frames * self.rows * self.columns
    }

    /// The cells when `side` × `side` patches of a frame become one.
    #[must_use]
    pub const fn merged(self, side: usize) -> Self {
        Self {
            frames: self.frames,
            rows: self.rows / side,
            columns: self.columns / side,
        }
    }
}
