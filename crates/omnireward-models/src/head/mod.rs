mod layout;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    head::layout::Layer,
    ops::linear,
    weights::{Placement, Weight, Weights},
};

/// How a checkpoint writes its reward head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadKind {
    /// `v_head.summary`, a weight and a bias: TRL's value head, in `value_head.safetensors` or beside the decoder.
    Value,
    /// `score`, a weight alone: Hugging Face transformers' sequence classification.
    Score,
    /// `score.0`, a rectifier and `score.2`, each with a bias: the Qwen2 reward models.
    TwoLayerScore,
}

impl HeadKind {
    /// In words, with the names of its tensors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "value head (v_head.summary)",
            Self::Score => "sequence classification (score)",
            Self::TwoLayerScore => "two-layer score (score.0, score.2)",
        }
    }
}

impl fmt::Display for HeadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// In which type a head computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeadPrecision {
    /// In `f32`, from the weights as they are stored.
    #[default]
    F32,
    /// In the type of activations, as the reference does: its weights and every layer's result are rounded to it. In
    /// `bf16` a reward then has 8 bits, so that responses of nearly the same reward come out equal.
    ComputeType,
}

/// The layers that turn the last hidden state of a response into its reward.
#[derive(Clone, Debug)]
pub struct Head {
    kind: HeadKind,
    layers: Vec<Layer>,
    hidden: usize,
    origin: PathBuf,
    placement: Placement,
    precision: HeadPrecision,
}

impl Head {
    /// Finds the head among `weights`, the tensors of the checkpoint at `path`, or in the `value_head.safetensors`
    /// beside a single file. It computes in `f32`; see [`with_precision`](Self::with_precision).
    ///
    /// # Errors
    ///
    /// Fails when there is no head, when there are two that differ, and when the head gives several numbers. A head
    /// is never made up.
    pub fn load(
        weights: &Weights,
        path: &Path,
        hidden: usize,
        placement: &Placement,
    ) -> Result<Self> {
        let found = layout::find(weights, path, hidden, &placement.device)?;
        Ok(Self {
            kind: found.kind,
            layers: found.layers,
            hidden,
            origin: path.to_owned(),
            placement: placement.clone(),
            precision: HeadPrecision::F32,
        })
    }

    /// The same head, computing in another type.
    #[must_use]
    pub fn with_precision(mut self, precision: HeadPrecision) -> Self {
        self.precision = precision;
        self
    }

    /// How the checkpoint writes this head.
    pub fn kind(&self) -> HeadKind {
        self.kind
    }

    /// Rewards of hidden states, each from its own row alone.
    ///
    /// # Shapes
    ///
    /// `hidden`: `[responses, hidden]`, after the decoder's final norm.
    pub fn rewards(&self, hidden: &Tensor) -> Result<Vec<f64>> {
        let rewards = self.forward(hidden)?.to_device(&Device::Cpu)?;
        Ok(rewards
            .to_vec1::<f32>()?
            .into_iter()
            .map(f64::from)
            .collect())
    }

    /// Rewards as a tensor, differentiable.
    ///
    /// # Shapes
    ///
    /// `hidden`: `[responses, hidden]`; returns `[responses]` in `f32`.
    pub fn forward(&self, hidden: &Tensor) -> Result<Tensor> {
        let (_, width) = hidden.dims2()?;
        if width != self.hidden {
            return Err(candle_core::Error::Msg(format!(
                "hidden states are `{width}` wide, the head `{}`",
                self.hidden
            ))
            .into());
        }
        let last = self.layers.len() - 1;
        let mut x = hidden.to_dtype(DType::F32)?;
        for (index, layer) in self.layers.iter().enumerate() {
            x = self.apply(layer, &x)?;
            if index < last {
                x = x.relu()?;
            }
        }
        Ok(x.squeeze(1)?)
    }

    /// Writes the head to a safetensors file as a head of `kind`, in `f32`.
    ///
    /// # Errors
    ///
    /// Fails when a head of that kind cannot say the same: one without a bias for one that has it, two layers as one.
    pub fn save_as(&self, kind: HeadKind, path: &Path) -> Result<()> {
        let tensors = layout::tensors(&self.layers, kind, &self.origin)?;
        Ok(candle_core::safetensors::save(&tensors, path)?)
    }

    fn apply(&self, layer: &Layer, x: &Tensor) -> candle_core::Result<Tensor> {
        let round = |tensor: &Tensor| match self.precision {
            HeadPrecision::F32 => Ok(tensor.clone()),
            HeadPrecision::ComputeType => {
                tensor.to_dtype(self.placement.dtype)?.to_dtype(DType::F32)
            }
        };
        let weight = Weight::Tensor(round(&layer.weight)?);
        let bias = layer.bias.as_ref().map(round).transpose()?;
        round(&linear(&round(x)?, &weight, bias.as_ref())?)
    }
}

#[cfg(test)]
mod tests;
