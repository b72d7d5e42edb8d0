//! Short hashes of what pairs are made of, alike for what is alike.
//!
//! Text has [`text`]: words, shingles, `MinHash`. A medium is hashed by the [`MediaSignature`] of its modality. Both give
//! *keys*: things that are alike share at least one with high probability, so that a join on keys finds the candidates
//! among millions of rows, and only those are compared.

use omnireward_core::Modality;
use omnireward_media::Limits;

mod audio;
mod image;
mod mesh;
pub mod text;
mod video;

pub use audio::AudioSignature;
pub use image::{ImageSignature, of_picture};
pub use mesh::MeshSignature;
pub use video::VideoSignature;

/// How media of one modality are hashed and compared.
pub trait MediaSignature: Send + Sync {
    /// The hash of an encoded medium, in as many words as the modality needs.
    ///
    /// # Errors
    ///
    /// When the medium cannot be decoded within the limits.
    fn words(&self, bytes: &[u8], limits: &Limits) -> Result<Vec<u64>, omnireward_media::Error>;

    /// What a medium is looked up by: two that are near share at least one key.
    fn keys(&self, words: &[u64]) -> Vec<u64>;

    /// How alike two hashes are: 1 for the same, about 0 for unrelated media.
    fn similarity(&self, first: &[u64], second: &[u64]) -> f64;

    /// The smallest similarity of two media that count as near.
    fn threshold(&self) -> f64;
}

/// The signature of a modality; `None` for text.
pub fn of_modality(modality: Modality) -> Option<&'static dyn MediaSignature> {
    match modality {
        Modality::Text => None,
        Modality::Image => Some(&ImageSignature),
        Modality::Video => Some(&VideoSignature),
        Modality::Audio => Some(&AudioSignature),
        Modality::Mesh => Some(&MeshSignature),
    }
}
