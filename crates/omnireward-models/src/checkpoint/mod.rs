//! Checkpoints as folders of files: writing random ones, looking into them, finding what is wrong with them.
//!
//! Nothing here loads a model. [`layout`] is the one place that says which tensors a checkpoint has, and is what
//! [`random`] writes by, [`inspect`](inspect()) counts by and [`doctor`](doctor()) checks by.

pub mod architecture;
mod derived;
pub mod doctor;
mod files;
mod fingerprint;
mod folder;
mod heads;
pub mod inspect;
pub mod layout;
mod published;
pub mod random;
mod tie_margin;
mod vocabulary;

pub use architecture::{Architecture, Family};
pub use derived::Derived;
pub use doctor::{Code, Examination, Finding, Golden, Severity, doctor, write_golden};
pub use fingerprint::fingerprint;
pub use folder::free_bytes;
pub use inspect::{Inspection, inspect};
pub use random::{RandomCheckpoint, Size, Written};
pub use tie_margin::TieMargin;
pub use vocabulary::train_tokenizer;
