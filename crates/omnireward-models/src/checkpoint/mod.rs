//! Checkpoints as folders of files: writing random ones, looking into them, finding what is wrong with them.
//!
//! Nothing here loads a model. [`layout`] is the one place that says which tensors a checkpoint has, and is what
//! [`random`] writes by.

pub mod architecture;
pub mod layout;
mod published;
pub mod random;

pub use architecture::{Architecture, Family};
pub use random::{RandomCheckpoint, Size, Written};
