//! Tests of whole models.
mod random;

mod packing;
mod parity;
