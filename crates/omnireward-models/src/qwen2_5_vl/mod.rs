//! Qwen2.5-VL: a Qwen2 decoder that reads pictures and videos through a vision tower of windows. The thinker of
//! Qwen2.5-Omni is such a model with an audio tower.
//!
//! Rows of words stand one behind another; rows of a medium stand at a time, a height and a width
//! ([`positions`](fn@positions)). What a medium becomes depends on itself alone, so features are kept like those of
//! other towers.

mod config;
mod inputs;
mod positions;
mod towers;
mod vision;
pub mod weights;
mod windows;

pub use config::{Config, MediaTokens, VisionConfig};
pub use inputs::{MediaInput, MediaShape, PatchGrid, VisualInput, VisualShape};
pub use positions::{MultimodalPositions, positions};
pub use towers::Towers;
pub use vision::VisionTower;
pub use windows::Windows;
