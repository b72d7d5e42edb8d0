//! Trainings, from recipe to checkpoint.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

mod bad_input;
mod support;
mod training;
mod words;
mod writers;
