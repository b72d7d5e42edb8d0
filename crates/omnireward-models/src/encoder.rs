//! The transformer block that the vision and the audio tower have in common.

use std::{ops::Range, sync::Arc};

use candle_core::Tensor;
use serde::Deserialize;

use crate::{
    Result,
    ops::{
        AttentionItem, AttentionLayout, Visibility, add, attention, gelu_erf, gelu_tanh,
        layer_norm, linear,
    },
    weights::{Scope, Weight},
};

/// The activation between the two layers of a block's perceptron, by its name in configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Activation {
    /// The exact Gaussian error linear unit.
    #[serde(rename = "gelu")]
    Gelu,
    /// The Gaussian error linear unit in its tanh form.
    #[serde(rename = "gelu_pytorch_tanh")]
    GeluTanh,
}

impl Activation {
    pub(crate) fn apply(self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Gelu => gelu_erf(x),
            Self::GeluTanh => gelu_tanh(x),
        }
    }
}

/// Sizes of a block, and what a checkpoint calls its parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockConfig {
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) intermediate: usize,
    pub(crate) eps: f64,
    pub(crate) activation: Activation,
    pub(crate) key_bias: bool,
    pub(crate) attention_norm: &'static str,
    pub(crate) perceptron_norm: &'static str,
    pub(crate) first: &'static str,
    pub(crate) second: &'static str,
}

/// `x += out(attention(norm(x)))`, then `x += second(activation(first(norm(x))))`.
#[derive(Debug)]
pub(crate) struct Block {
    config: BlockConfig,
    attention_norm: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    perceptron_norm: Norm,
    first: Linear,
    second: Linear,
}

impl Block {
    pub(crate) fn load(config: BlockConfig, scope: &Scope) -> Result<Self> {
        let BlockConfig {
            hidden,
            intermediate,
            eps,
            ..
        } = config;
        let attention = scope.under("self_attn");
        let key = attention.under("k_proj");
        Ok(Self {
            attention_norm: Norm::load(hidden, eps, &scope.under(config.attention_norm))?,
            query: Linear::load(hidden, hidden, &attention.under("q_proj"))?,
            key: if config.key_bias {
                Linear::load(hidden, hidden, &key)?
            } else {
                Linear::without_bias(hidden, hidden, &key)?
            },
            value: Linear::load(hidden, hidden, &attention.under("v_proj"))?,
            out: Linear::load(hidden, hidden, &attention.under("out_proj"))?,
            perceptron_norm: Norm::load(hidden, eps, &scope.under(config.perceptron_norm))?,
            first: Linear::load(intermediate, hidden, &scope.under(config.first))?,
            second: Linear::load(hidden, intermediate, &scope.under(config.second))?,
            config,
        })
    }

    /// # Shapes
    ///
    /// `x`: `[rows, hidden]`, as is what it returns.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        layout: &Arc<AttentionLayout>,
    ) -> candle_core::Result<Tensor> {
        let x = add(x, &self.attend(&self.attention_norm.forward(x)?, layout)?)?;
        let inner = self.first.forward(&self.perceptron_norm.forward(&x)?)?;
        add(
            &x,
            &self
                .second
                .forward(&self.config.activation.apply(&inner)?)?,
        )
    }

    fn attend(&self, x: &Tensor, layout: &Arc<AttentionLayout>) -> candle_core::Result<Tensor> {
        let (rows, hidden) = x.dims2()?;
        let head_dim = hidden / self.config.heads;
        let heads = |projection: &Linear| {
            projection
                .forward(x)?
                .reshape((rows, self.config.heads, head_dim))
        };
        let scale = (head_dim as f64).powf(-0.5);
        let seen = attention(
            &heads(&self.query)?,
            &heads(&self.key)?,
            &heads(&self.value)?,
            layout,
            scale,
        )?;
        self.out.forward(&seen.reshape((rows, hidden))?)
    }
}

/// A linear layer.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Weight,
    pub(crate) bias: Option<Tensor>,
}

impl Linear {
    pub(crate) fn load(out: usize, inner: usize, scope: &Scope) -> Result<Self> {
        Ok(Self {
            weight: scope.weight("weight", out, inner)?,
            bias: Some(scope.tensor("bias", &[out])?),
        })
    }

    pub(crate) fn without_bias(out: usize, inner: usize, scope: &Scope) -> Result<Self> {
        Ok(Self {
            weight: scope.weight("weight", out, inner)?,
            bias: None,
        })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        linear(x, &self.weight, self.bias.as_ref())
    }
}

/// A layer normalisation.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Norm {
    pub(crate) fn load(width: usize, eps: f64, scope: &Scope) -> Result<Self> {
        Ok(Self {
            weight: scope.tensor("weight", &[width])?,
            bias: scope.tensor("bias", &[width])?,
            eps,
        })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}

/// Streams laid end to end without padding, each attending to itself alone.
pub(crate) fn end_to_end(
    lengths: impl IntoIterator<Item = usize>,
    visibility: Visibility,
) -> Arc<AttentionLayout> {
    let mut items = Vec::new();
    let mut rows = 0;
    for length in lengths {
        let range = rows..rows + length;
        rows = range.end;
        items.push(AttentionItem {
            queries: range.clone(),
            keys: vec![range],
            visibility,
        });
    }
    Arc::new(AttentionLayout {
        queries: rows,
        keys: rows,
        items,
    })
}

/// Rows that one pass through a tower holds at most, unless a single stream is longer. More would not be faster and
/// would take more memory; the bound has no influence on the numbers.
pub(crate) const ROWS_PER_RUN: usize = 4096;

/// Cuts a list of streams into runs of at most `streams` streams and [`ROWS_PER_RUN`] rows.
pub(crate) fn runs(lengths: &[usize], streams: usize) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let (mut start, mut rows) = (0, 0);
    for (index, length) in lengths.iter().enumerate() {
        let full = rows + length > ROWS_PER_RUN || index - start == streams;
        if full && index > start {
            runs.push(start..index);
            (start, rows) = (index, 0);
        }
        rows += length;
    }
    if start < lengths.len() {
        runs.push(start..lengths.len());
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_keep_the_order_and_the_bounds() {
        assert!(runs(&[], 16).is_empty());
        assert_eq!(runs(&[10_000, 1], 16), [0..1, 1..2]);
        assert_eq!(runs(&[1024; 6], 16), [0..4, 4..6]);
        assert_eq!(runs(&[64; 20], 16), [0..16, 16..20]);
        assert_eq!(runs(&[10_000, 1, 1, 4095], 16), [0..1, 1..3, 3..4]);
    }

    #[test]
    fn streams_stand_end_to_end() {
        let layout = end_to_end([3, 2], Visibility::Full);
        assert_eq!((layout.queries, layout.keys), (5, 5));
        assert_eq!(layout.items[1].queries, 3..5);
        assert_eq!(layout.items[1].keys, vec![3..5]);
    }
}
