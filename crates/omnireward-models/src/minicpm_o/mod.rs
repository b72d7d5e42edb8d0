//! MiniCPM-o-2.6: a Qwen2 decoder that reads pictures and sound through towers of its own.

mod inputs;

pub use inputs::{AudioInput, Grid, ImageInput, MelPiece, Tile};
