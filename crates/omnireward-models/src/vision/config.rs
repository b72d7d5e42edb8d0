use serde::Deserialize;

use crate::encoder::Activation;

/// `vision_config`: a `SigLIP` vision model. Fields that a file leaves out have the values of the `transformers` class.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default)]
pub struct VisionConfig {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the perceptrons.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Colour channels.
    pub num_channels: usize,
    /// Pixels along a side of the picture that the position table covers.
    pub image_size: usize,
    /// Pixels along a side of a patch.
    pub patch_size: usize,
    /// Activation of the perceptrons.
    pub hidden_act: Activation,
    /// Added to the variance in layer normalisation.
    pub layer_norm_eps: f64,
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 16,
            hidden_act: Activation::GeluTanh,
            layer_norm_eps: 1e-6,
        }
    }
}

impl VisionConfig {
    /// Patches along a side of the position table.
    pub fn side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Numbers in a patch.
    pub fn patch_len(&self) -> usize {
        self.num_channels * self.patch_size * self.patch_size
    }
}
