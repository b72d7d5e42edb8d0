//! Tests of whole models.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

mod doctor;
mod gradients;
mod random;

mod packing;
mod parity;
mod processor;
mod scorer;
