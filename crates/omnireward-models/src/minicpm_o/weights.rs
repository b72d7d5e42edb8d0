//! What a checkpoint calls the parts of the model. Nothing else knows these names.
//!
//! `tts.*`, which the published base model has and a reward model has no use for, is passed over.

use crate::weights::{Placement, Scope, Weights};

/// The vision encoder.
pub const VISION: &str = "vpm";
/// From the vision encoder to the decoder.
pub const RESAMPLER: &str = "resampler";
/// The audio encoder.
pub const AUDIO: &str = "apm";
/// From the audio encoder to the decoder.
pub const AUDIO_PROJECTION: &str = "audio_projection_layer";
/// The decoder: the level that holds `embed_tokens`, `layers` and `norm`.
pub const DECODER: &str = "llm.model";

/// The language model: the decoder, and its head beside it.
const LANGUAGE: &str = "llm";

/// The level of names that holds the language model's head.
pub fn language(weights: &Weights, placement: &Placement) -> Scope {
    weights.scope(LANGUAGE, placement)
}

/// The decoder's weights.
pub fn decoder(weights: &Weights, placement: &Placement) -> Scope {
    weights.scope(DECODER, placement)
}

/// Whether there is any tensor of a part.
pub(super) fn holds(weights: &Weights, part: &str) -> bool {
    weights.names().any(|name| belongs(name, part))
}

/// Whether a tensor belongs to a part.
pub(super) fn belongs(name: &str, part: &str) -> bool {
    name.strip_prefix(part)
        .is_some_and(|rest| rest.starts_with('.'))
}
