use std::sync::Arc;

use candle_core::{D, Tensor};

use crate::{
    Result,
    encoder::{Linear, Norm},
    minicpm_o::Tile,
    ops::{AttentionItem, AttentionLayout, Visibility, attention},
    weights::{Placement, Scope, Weight},
};

/// Sizes of a [`Resampler`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResamplerConfig {
    /// Rows that each tile becomes.
    pub queries: usize,
    /// Width of the decoder, a multiple of 128.
    pub hidden: usize,
    /// Width of the vision encoder.
    pub vision_hidden: usize,
}

impl ResamplerConfig {
    /// Numbers in an attention head: the original fixes them, not the heads.
    pub const HEAD_DIM: usize = 128;

    fn heads(&self) -> usize {
        self.hidden / Self::HEAD_DIM
    }
}

/// One layer of cross-attention from learned queries to a tile's patches, with two-dimensional sine and cosine
/// positions on the keys (the perceiver resampler of MiniCPM-V).
#[derive(Debug)]
pub struct Resampler {
    config: ResamplerConfig,
    placement: Placement,
    query: Tensor,
    query_norm: Norm,
    patches: Linear,
    patch_norm: Norm,
    query_projection: Linear,
    key_projection: Linear,
    value_projection: Linear,
    out: Linear,
    norm: Norm,
    projection: Weight,
}

/// Layer normalisation in the original is fixed to this.
const EPS: f64 = 1e-6;

impl Resampler {
    /// Takes the weights from the level that holds `query`, `kv_proj` and `attn`.
    pub fn load(config: &ResamplerConfig, scope: &Scope) -> Result<Self> {
        let hidden = config.hidden;
        let norm = |name| Norm::load(hidden, EPS, &scope.under(name));
        let attention = scope.under("attn");
        let stacked = attention.weight("in_proj_weight", 3 * hidden, hidden)?;
        let biases = attention.tensor("in_proj_bias", &[3 * hidden])?;
        let third = |index: usize| -> Result<Linear> {
            Ok(Linear {
                weight: stacked.part(index * hidden..(index + 1) * hidden)?,
                bias: Some(biases.narrow(0, index * hidden, hidden)?),
            })
        };
        Ok(Self {
            query: scope.tensor("query", &[config.queries, hidden])?,
            query_norm: norm("ln_q")?,
            patches: Linear::without_bias(hidden, config.vision_hidden, &scope.under("kv_proj"))?,
            patch_norm: norm("ln_kv")?,
            query_projection: third(0)?,
            key_projection: third(1)?,
            value_projection: third(2)?,
            out: Linear::load(hidden, hidden, &attention.under("out_proj"))?,
            norm: norm("ln_post")?,
            projection: transposed(&scope.tensor("proj", &[hidden, hidden])?)?,
            placement: scope.placement().clone(),
            config: config.clone(),
        })
    }

    /// What it was loaded with.
    pub fn config(&self) -> &ResamplerConfig {
        &self.config
    }

    /// Turns the patches of each tile into rows for the decoder.
    ///
    /// # Shapes
    ///
    /// `patches`: `[patches, vision_hidden]`, those of `tiles` one after another, as
    /// [`VisionEncoder::forward`](super::VisionEncoder::forward) returns them; returns `[tiles · queries, hidden]`.
    pub fn forward(&self, patches: &Tensor, tiles: &[&Tile]) -> Result<Tensor> {
        let ResamplerConfig {
            queries, hidden, ..
        } = self.config;
        let heads = |x: Tensor| x.reshape(((), self.config.heads(), ResamplerConfig::HEAD_DIM));
        let values = self.patch_norm.forward(&self.patches.forward(patches)?)?;
        let keys = (&values + self.positions(tiles)?)?;
        let query = self
            .query_projection
            .forward(&self.query_norm.forward(&self.query)?)?;
        let seen = attention(
            &heads(query.repeat((tiles.len(), 1))?)?,
            &heads(self.key_projection.forward(&keys)?)?,
            &heads(self.value_projection.forward(&values)?)?,
            &layout(queries, tiles),
            (ResamplerConfig::HEAD_DIM as f64).powf(-0.5),
        )?;
        let seen = self.out.forward(&seen.reshape(((), hidden))?)?;
        Ok(crate::ops::linear(
            &self.norm.forward(&seen)?,
            &self.projection,
            None,
        )?)
    }

    /// The position of every patch: its column in the first half of the width, its row in the second.
    fn positions(&self, tiles: &[&Tile]) -> candle_core::Result<Tensor> {
        let mut columns = Vec::new();
        let mut rows = Vec::new();
        for tile in tiles {
            for row in 0..tile.rows as u32 {
                columns.extend(0..tile.columns as u32);
                rows.extend(std::iter::repeat_n(row, tile.columns));
            }
        }
        let half = |indices: Vec<u32>| {
            let extent = indices.iter().max().map_or(0, |last| *last as usize + 1);
            let indices = Tensor::new(indices, &self.placement.device)?;
            axis(extent, self.config.hidden / 2, &self.placement)?.index_select(&indices, 0)
        };
        Tensor::cat(&[half(columns)?, half(rows)?], D::Minus1)
    }
}

/// The resampler's last factor stands on the right of its product. It is turned without a copy, which would go on
/// being used if the factor were trained.
fn transposed(matrix: &Tensor) -> candle_core::Result<Weight> {
    Ok(Weight::Tensor(matrix.t()?))
}

/// Every tile's queries over that tile's patches.
fn layout(queries: usize, tiles: &[&Tile]) -> Arc<AttentionLayout> {
    let mut items = Vec::with_capacity(tiles.len());
    let mut keys = 0;
    for (index, tile) in tiles.iter().enumerate() {
        let patches = keys..keys + tile.rows * tile.columns;
        keys = patches.end;
        items.push(AttentionItem {
            queries: index * queries..(index + 1) * queries,
            keys: vec![patches],
            visibility: Visibility::Full,
        });
    }
    Arc::new(AttentionLayout {
        queries: tiles.len() * queries,
        keys,
        items,
    })
}

/// `sin(i·ω), cos(i·ω)` for `i` below `extent`, with `ω_j = 10000^(−j / (width/2))`: `[extent, width]`. Computed in
/// `f32` step by step as the original's table is, then rounded to the type of activations.
fn axis(extent: usize, width: usize, placement: &Placement) -> candle_core::Result<Tensor> {
    let half = width / 2;
    let frequencies: Vec<f32> = (0..half)
        .map(|index| 1.0 / 10_000_f32.powf(index as f32 / half as f32))
        .collect();
    let mut table = Vec::with_capacity(extent * width);
    for index in 0..extent {
        let angles = frequencies.iter().map(|frequency| index as f32 * frequency);
        table.extend(angles.clone().map(f32::sin));
        table.extend(angles.map(f32::cos));
    }
    Tensor::from_vec(table, (extent, width), &placement.device)?.to_dtype(placement.dtype)
}
