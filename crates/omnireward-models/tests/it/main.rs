//! Tests of whole models.
mod random;
