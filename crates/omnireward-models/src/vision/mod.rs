//! Pictures: a `SigLIP` encoder that takes tiles of any size, and the resampler that turns each into a fixed number of
//! rows.
//!
//! Tiles are packed end to end without padding and each attends to itself alone, so a tile's features are the same
//! whatever else is encoded with it.

mod config;
mod encoder;
mod positions;
mod resampler;

pub use config::VisionConfig;
pub use encoder::VisionEncoder;
pub use positions::{buckets, position_ids};
pub use resampler::{Resampler, ResamplerConfig};
