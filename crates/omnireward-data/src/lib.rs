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
pub mod synth;
pub mod write;

pub use confine::{PathError, resolve};
pub use dataset::{Dataset, Format, OpenOptions, Part, Rows, matching_formats, open};
pub use error::{Error, RowError};
