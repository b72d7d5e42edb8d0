#![doc = include_str!("../README.md")]

mod confine;
mod dataset;
mod detect;
mod error;
mod fingerprint;
mod formats;
pub mod hub;
mod json_array;
mod json_lines;
mod place;
mod record;
pub mod write;

pub use confine::{PathError, resolve};
pub use dataset::{Dataset, Format, OpenOptions, Part, Rows, matching_formats, open};
pub use error::{Error, RowError};

/// Stands in until the media crate compiles.
mod omnireward_media {
    pub(crate) struct Format;
    impl Format {
        pub(crate) fn media_type(&self) -> &'static str { "application/bin" }
        pub(crate) fn modality(&self) -> omnireward_core::Modality { omnireward_core::Modality::Image }
    }
    pub(crate) fn sniff(_: &[u8]) -> Option<Format> { None }
}
