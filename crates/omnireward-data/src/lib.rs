#![doc = include_str!("../README.md")]

mod confine;
mod dataset;
mod detect;
mod error;
pub mod export;
mod fingerprint;
mod formats;
pub mod hub;
mod json_array;
mod json_lines;
mod place;
mod record;
pub mod sources;
pub mod synth;
pub mod write;

pub use confine::{PathError, resolve};
pub use dataset::{Dataset, Format, OpenOptions, Part, RowCounter, Rows, matching_formats, open};
pub use error::{Error, RowError};
pub use formats::{pair_of_record, pair_record};
