//! Qwen2.5-VL: a Qwen2 decoder that reads pictures and videos through a vision tower of windows.
//!
//! Rows of words stand one behind another; rows of a medium stand at a time, a height and a width
//! ([`positions`](fn@positions)). What a medium becomes depends on itself alone, so features are kept like those of
//! other towers.

mod config;
mod inputs;
mod positions;
mod vision;
pub mod weights;
mod windows;

pub use config::{Config, MediaTokens, VisionConfig};
pub use inputs::{PatchGrid, VisualInput, VisualShape};
pub use positions::{MultimodalPositions, positions};
pub use vision::VisionTower;
pub use windows::Windows;
