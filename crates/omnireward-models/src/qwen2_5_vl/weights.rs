//! What a checkpoint calls the parts of the model. Nothing else knows these names.
//!
//! They are those of published files; the ones that parts have in memory, with which some fine-tuned models were saved,
//! are brought to this form when weights are [opened](crate::weights::Renaming).

use crate::weights::{Placement, Scope, Weights};

/// The vision tower.
pub const VISION: &str = "visual";
/// The audio tower, which Qwen2.5-Omni has.
pub const AUDIO: &str = "audio_tower";
/// The decoder: the level that holds `embed_tokens`, `layers` and `norm`.
pub const DECODER: &str = "model";

/// The vision tower's weights.
pub fn vision(weights: &Weights, placement: &Placement) -> Scope {
    weights.scope(VISION, placement)
}

/// The audio tower's weights.
pub fn audio(weights: &Weights, placement: &Placement) -> Scope {
    weights.scope(AUDIO, placement)
}

/// The decoder's weights.
pub fn decoder(weights: &Weights, placement: &Placement) -> Scope {
    weights.scope(DECODER, placement)
}

/// The level of names that holds the language model's head.
pub fn language(weights: &Weights, placement: &Placement) -> Scope {
    weights.scope("", placement)
}
