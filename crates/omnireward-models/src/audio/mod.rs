//! Sound: a Whisper encoder, and the projection of its frames to the decoder's width; and the tower of Qwen2.5-Omni,
//! with the same layers on chunks.
//!
//! Pieces are packed end to end without padding and each attends to itself alone, so a piece's features are the same
//! whatever else is encoded with it; the padding of the original, which is not without effect, can be asked for.

mod chunked;
mod config;
mod convolution;
mod encoder;
mod projection;

pub use chunked::{ChunkedAudioConfig, ChunkedAudioEncoder};
pub use config::AudioConfig;
pub use encoder::{AudioEncoder, AudioMask};
pub use projection::AudioProjection;
