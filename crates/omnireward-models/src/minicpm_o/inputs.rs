//! What the processor hands to the towers.

use serde::{Deserialize, Serialize};

/// A picture, cut for the vision tower.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageInput {
    /// How the refined picture was sliced; `None` when it was not.
    pub grid: Option<Grid>,
    /// The overview, then the slices row by row. Each becomes the same number of rows in the decoder.
    pub tiles: Vec<Tile>,
}

/// Slices of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grid {
    /// Slices side by side.
    pub columns: usize,
    /// Slices one above another.
    pub rows: usize,
}

/// One picture of the vision tower, as patches.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// Patches one above another.
    pub rows: usize,
    /// Patches side by side.
    pub columns: usize,
    /// `[rows · columns, 3 · patch · patch]`: patches in raster order, each as (channel, y, x), from −1 to 1.
    pub patches: Vec<f32>,
}

/// A clip, as log-mel spectrograms of at most 30 seconds each.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioInput {
    /// The pieces, in order.
    pub pieces: Vec<MelPiece>,
}

/// The log-mel spectrogram of one piece of a clip.
#[derive(Clone, Debug, PartialEq)]
pub struct MelPiece {
    /// Frames of 10 ms that hold sound.
    pub frames: usize,
    /// Frames of the longest piece that the reference would have padded this one to, when its visible padding is
    /// reproduced; otherwise equal to `frames`.
    pub padded_frames: usize,
    /// `[mels, frames]`.
    pub mels: Vec<f32>,
}
