#![doc = include_str!("../README.md")]

pub mod audio;
mod boxes;
mod contain;
mod error;
mod fields;
pub mod image;
mod limits;
pub mod mesh;
mod picture;
mod sniff;
mod source;
pub mod video;

pub use ::image::{RgbImage, RgbaImage};
pub use error::{Error, LimitKind};
pub use limits::Limits;
pub use picture::picture;
pub use sniff::{Format, sniff};
pub use source::read;
