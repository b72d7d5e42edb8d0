use serde::Deserialize;

use crate::encoder::Activation;

/// `audio_config`: the encoder of a Whisper model. Fields that a file leaves out have the values of the
/// `transformers` class.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct AudioConfig {
    /// Width of the residual stream.
    pub d_model: usize,
    /// Layers.
    pub encoder_layers: usize,
    /// Attention heads.
    pub encoder_attention_heads: usize,
    /// Width inside the perceptrons.
    pub encoder_ffn_dim: usize,
    /// Mel bands.
    pub num_mel_bins: usize,
    /// Rows of the position table: half the frames of the longest piece.
    pub max_source_positions: usize,
    /// Activation of the convolutions and perceptrons.
    pub activation_function: Activation,
}

impl Default for AudioConfig {
    fn default() -> Self {
        Self {
            d_model: 384,
            encoder_layers: 4,
            encoder_attention_heads: 6,
            encoder_ffn_dim: 1536,
            num_mel_bins: 80,
            max_source_positions: 1500,
            activation_function: Activation::Gelu,
        }
    }
}
