use std::{ops::Range, sync::Arc};

use candle_core::{DType, Result, Tensor};

use crate::{
    decoder::{DecoderConfig, key_values::LayerKeyValues, reads::Reads, rotary::Rotary},
    lora,
    ops::{AttentionLayout, add, attention, linear, rms_norm, rotate, swiglu},
    weights::{Scope, Weight},
};

/// One layer: attention, then the gated network, each on the normalised stream and added back to it.
#[derive(Debug)]
pub(super) struct Layer {
    attention: Attention,
    network: Network,
}

impl Layer {
    pub(super) fn load(config: &DecoderConfig, scope: &Scope) -> crate::Result<Self> {
        Ok(Self {
            attention: Attention::load(config, scope)?,
            network: Network::load(config, scope)?,
        })
    }

    /// The stream after this layer. Takes the stream so that it is freed as soon as it was used.
    pub(super) fn forward(
        &self,
        stream: Tensor,
        rotary: &Rotary,
        layout: &Arc<AttentionLayout>,
    ) -> Result<Tensor> {
        let normed = self.attention.norm.forward(&stream)?;
        let (k, v) = self.attention.keys_and_values(&normed, rotary)?;
        let q = self.attention.queries(&normed, rotary)?;
        drop(normed);
        let stream = add(&stream, &self.attention.mix(&q, &k, &v, layout)?)?;
        drop((q, k, v));
        self.network.forward(stream)
    }

    /// Those rows of the stream after this layer that are read.
    pub(super) fn forward_reads(
        &self,
        stream: Tensor,
        rotary: &Rotary,
        reads: &Reads,
    ) -> Result<Tensor> {
        let normed = self.attention.norm.forward(&stream)?;
        let (k, v) = self.attention.keys_and_values(&normed, rotary)?;
        let q = self
            .attention
            .queries(&reads.select(&normed)?, &reads.select_rotary(rotary)?)?;
        drop(normed);
        let mixed = self.attention.mix(&q, &k, &v, reads.layout())?;
        let stream = add(&reads.select(&stream)?, &mixed)?;
        drop((q, k, v));
        self.network.forward(stream)
    }

    /// The stream after this layer, or those rows of it that are read, where keys and values of earlier rows are `kept`
    /// and those of these rows join them at `places`. Cut from the graph, which would hold every layer otherwise.
    pub(super) fn advance(
        &self,
        stream: Tensor,
        rotary: &Rotary,
        layout: &Arc<AttentionLayout>,
        kept: &LayerKeyValues,
        places: &[Range<usize>],
        reads: Option<&Reads>,
    ) -> Result<Tensor> {
        let normed = self.attention.norm.forward(&stream)?;
        let (k, v) = self.attention.keys_and_values(&normed, rotary)?;
        kept.put(places, &k, &v)?;
        drop((k, v));
        let (stream, q, layout) = match reads {
            None => (stream, self.attention.queries(&normed, rotary)?, layout),
            Some(reads) => {
                let (normed, rotary) = (reads.select(&normed)?, reads.select_rotary(rotary)?);
                let q = self.attention.queries(&normed, &rotary)?;
                (reads.select(&stream)?, q, reads.layout())
            }
        };
        drop(normed);
        let mixed = self.attention.mix(&q, &kept.keys, &kept.values, layout)?;
        Ok(self.network.forward(add(&stream, &mixed)?)?.detach())
    }
}

#[derive(Debug)]
struct Attention {
    norm: Norm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    q_norm: Option<Norm>,
    k_norm: Option<Norm>,
    head_dim: usize,
}

impl Attention {
    fn load(config: &DecoderConfig, scope: &Scope) -> crate::Result<Self> {
        let DecoderConfig {
            hidden, head_dim, ..
        } = *config;
        let own = scope.under("self_attn");
        let (q_width, kv_width) = (config.heads * head_dim, config.kv_heads * head_dim);
        let head_norm = |name: &str| {
            config
                .qk_norm
                .then(|| Norm::load(config, &own, name, head_dim))
                .transpose()
        };
        let bias = config.biases;
        Ok(Self {
            norm: Norm::load(config, scope, "input_layernorm", hidden)?,
            q: Linear::load(&own.under("q_proj"), q_width, hidden, bias.qkv)?,
            k: Linear::load(&own.under("k_proj"), kv_width, hidden, bias.qkv)?,
            v: Linear::load(&own.under("v_proj"), kv_width, hidden, bias.qkv)?,
            o: Linear::load(&own.under("o_proj"), hidden, q_width, bias.output)?,
            q_norm: head_norm("q_norm")?,
            k_norm: head_norm("k_norm")?,
            head_dim,
        })
    }

    fn queries(&self, normed: &Tensor, rotary: &Rotary) -> Result<Tensor> {
        self.turned(&self.q, self.q_norm.as_ref(), normed, rotary)
    }

    fn keys_and_values(&self, normed: &Tensor, rotary: &Rotary) -> Result<(Tensor, Tensor)> {
        let keys = self.turned(&self.k, self.k_norm.as_ref(), normed, rotary)?;
        Ok((keys, self.heads(&self.v.forward(normed)?)?))
    }

    fn turned(
        &self,
        projection: &Linear,
        norm: Option<&Norm>,
        normed: &Tensor,
        rotary: &Rotary,
    ) -> Result<Tensor> {
        let mut heads = self.heads(&projection.forward(normed)?)?;
        if let Some(norm) = norm {
            heads = norm.forward(&heads)?;
        }
        rotate(&heads, &rotary.cos, &rotary.sin)
    }

    /// `[rows, heads · head_dim]` as `[rows, heads, head_dim]`.
    fn heads(&self, x: &Tensor) -> Result<Tensor> {
        x.reshape((x.dim(0)?, (), self.head_dim))
    }

    fn mix(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        layout: &Arc<AttentionLayout>,
    ) -> Result<Tensor> {
        let scale = (self.head_dim as f64).sqrt().recip();
        self.o
            .forward(&attention(q, k, v, layout, scale)?.flatten_from(1)?)
    }
}

#[derive(Debug)]
struct Network {
    norm: Norm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Network {
    fn load(config: &DecoderConfig, scope: &Scope) -> crate::Result<Self> {
        let DecoderConfig {
            hidden,
            intermediate,
            biases,
            ..
        } = *config;
        let own = scope.under("mlp");
        Ok(Self {
            norm: Norm::load(config, scope, "post_attention_layernorm", hidden)?,
            gate: Linear::load(&own.under("gate_proj"), intermediate, hidden, biases.mlp)?,
            up: Linear::load(&own.under("up_proj"), intermediate, hidden, biases.mlp)?,
            down: Linear::load(&own.under("down_proj"), hidden, intermediate, biases.mlp)?,
        })
    }

    fn forward(&self, stream: Tensor) -> Result<Tensor> {
        let normed = self.norm.forward(&stream)?;
        let gated = swiglu(&self.gate.forward(&normed)?, &self.up.forward(&normed)?)?;
        drop(normed);
        add(&stream, &self.down.forward(&gated)?)
    }
}

#[derive(Debug)]
struct Norm {
    weight: Tensor,
    eps: f64,
}

impl Norm {
    fn load(
        config: &DecoderConfig,
        scope: &Scope,
        name: &str,
        width: usize,
    ) -> crate::Result<Self> {
        Ok(Self {
            weight: scope.under(name).tensor("weight", &[width])?,
            eps: config.norm_eps,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        rms_norm(x, &self.weight, self.eps)
    }
}

/// A linear layer, with the low-rank adapter that the weights have for it.
#[derive(Debug)]
struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
    adapter: Option<Adapter>,
}

impl Linear {
    fn load(scope: &Scope, out: usize, inner: usize, biased: bool) -> crate::Result<Self> {
        Ok(Self {
            weight: scope.weight("weight", out, inner)?,
            bias: biased.then(|| scope.tensor("bias", &[out])).transpose()?,
            adapter: Adapter::load(scope, out, inner)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = linear(x, &self.weight, self.bias.as_ref())?;
        match &self.adapter {
            None => Ok(y),
            Some(adapter) => adapter.add_to(&y, x),
        }
    }
}

/// What is added to a layer's result: `scale·(x·Aᵀ)·Bᵀ` (Hu et al. 2021, eq. 3).
#[derive(Debug)]
struct Adapter {
    a: Weight,
    b: Weight,
    scale: f64,
}

impl Adapter {
    fn load(scope: &Scope, out: usize, inner: usize) -> crate::Result<Option<Self>> {
        let Some(rank) = scope
            .shape(lora::A)
            .and_then(|shape| shape.first().copied())
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            a: scope.weight(lora::A, rank, inner)?,
            b: scope.weight(lora::B, out, rank)?,
            scale: scope.number(lora::SCALE)?,
        }))
    }

    /// As in PEFT, whose adapters are `f32` whatever the model is, the addend is computed in `f32` and rounded with the
    /// sum.
    fn add_to(&self, y: &Tensor, x: &Tensor) -> Result<Tensor> {
        let inner = linear(&x.to_dtype(DType::F32)?, &self.a, None)?;
        let addend = linear(&(inner * self.scale)?, &self.b, None)?;
        add(&y.to_dtype(DType::F32)?, &addend)?.to_dtype(y.dtype())
    }
}
