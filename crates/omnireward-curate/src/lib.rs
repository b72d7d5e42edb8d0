#![doc = include_str!("../README.md")]

mod error;

pub mod agreement;
pub mod build;
#[cfg(feature = "engine")]
pub mod decontaminate;
#[cfg(feature = "engine")]
pub mod dedup;
#[cfg(feature = "engine")]
pub mod engine;
pub mod lint;
#[cfg(feature = "engine")]
pub mod mix;
#[cfg(feature = "engine")]
mod near;
pub mod signature;
#[cfg(feature = "engine")]
pub mod stats;
#[cfg(feature = "engine")]
pub mod table;
#[cfg(feature = "engine")]
mod work;

pub use error::Error;
