//! What a recipe means where it says nothing: the paper's scripts, and LLaMA-Factory's defaults where they are silent.

use super::{LoraTarget, Part, WriterPart};
use crate::schedule::Schedule;

/// The scripts' `warmup_ratio`; the paper's text says 1e-3.
pub(super) const WARMUP_RATIO: f64 = 0.05;

pub(super) const fn max_length() -> usize {
    18_000
}

pub(super) fn parts() -> Vec<Part> {
    vec![Part::Decoder, Part::Head]
}

pub(super) fn writer_parts() -> Vec<WriterPart> {
    vec![WriterPart::Decoder]
}

pub(super) fn lora_targets() -> Vec<LoraTarget> {
    LoraTarget::ALL.to_vec()
}

pub(super) const fn batch_pairs() -> usize {
    64
}

pub(super) const fn batch_rows() -> usize {
    4096
}

pub(super) const fn gradient_checkpointing() -> bool {
    true
}

pub(super) const fn head_dropout() -> f64 {
    0.1
}

pub(super) const fn schedule() -> Schedule {
    Schedule::Cosine
}

/// Of models that write, whose recipes are TRL's and `EasyR1`'s rather than the scripts of the paper.
pub(super) const fn constant_schedule() -> Schedule {
    Schedule::Constant
}

pub(super) const fn weight_decay() -> f64 {
    1e-3
}

pub(super) const fn weight_decay_of_writers() -> f64 {
    1e-2
}

pub(super) const fn betas() -> (f64, f64) {
    (0.9, 0.999)
}

pub(super) const fn epsilon() -> f64 {
    1e-8
}

pub(super) const fn clip() -> f64 {
    1.0
}

pub(super) const fn seed() -> u64 {
    42
}

pub(super) const fn log_every() -> u64 {
    5
}

pub(super) const fn every_step() -> u64 {
    1
}

pub(super) const fn near() -> f64 {
    0.5
}

pub(super) const fn weight() -> f64 {
    1.0
}

pub(super) const fn criteria() -> bool {
    true
}
