//! MiniCPM-o-2.6: a Qwen2 decoder that reads pictures and sound through towers of its own.

mod config;
mod inputs;
mod towers;
pub mod weights;

pub use config::Config;
pub use inputs::{AudioInput, Grid, ImageInput, MelPiece, Tile};
pub use towers::{Fingerprint, Towers};
