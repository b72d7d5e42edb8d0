#![doc = include_str!("../README.md")]
#![expect(
    clippy::missing_errors_doc,
    reason = "tensor operations fail when shapes, types or devices disagree, or memory runs out"
)]

pub mod audio;
pub mod checkpoint;
pub mod decoder;
mod encoder;
mod error;
pub mod generation;
mod head;
pub mod lora;
mod media_cache;
pub mod minicpm_o;
mod network;
pub mod ops;
pub mod processor;
pub mod qwen2_5_vl;
mod scorer;
mod tree;
pub mod vision;
pub mod weights;
pub mod writer;

pub use encoder::Activation;
pub use error::Error;
pub use head::{Head, HeadKind, HeadPrecision};
pub use media_cache::{CacheStats, Encoded, MediaCache, MediaKey};
pub use network::{Features, NetworkOptions, Precision, RewardNetwork, Sequences, TooLong};
pub use scorer::{RewardScorer, Scored};
pub use tree::{Feature, Forest, Row, Segment, TokenTree};

/// Fails with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
