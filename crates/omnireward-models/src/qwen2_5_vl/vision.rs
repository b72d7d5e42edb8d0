use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::{VisionConfig, VisualInput, Windows, config::CHANNELS};
use crate::{
    Error, Result,
    decoder::{Rope, RopeScaling},
    encoder::{Linear, runs},
    ops::{AttentionLayout, add, attention, gelu_erf, rms_norm, rotate, rows, swiglu},
    weights::{Placement, Scope},
};

/// The vision tower of Qwen2.5-VL (Bai et al. 2025, section 2.1): a transformer over patches with rotary positions in
/// two dimensions, most of whose blocks see windows only, and a merger that makes a row of each cell of patches.
///
/// Media are packed end to end without padding, and neither windows nor frames see each other, so a medium's rows are
/// the same whatever else is encoded with it.
#[derive(Debug)]
pub struct VisionTower {
    config: VisionConfig,
    placement: Placement,
    patches: Linear,
    blocks: Vec<Block>,
    merger: Merger,
}

/// The original fixes what norms add to the mean square, and the base of rotary frequencies.
const EPS: f64 = 1e-6;
const THETA: f64 = 10_000.0;

impl VisionTower {
    /// Takes the weights from the level that holds `patch_embed`, `blocks` and `merger`.
    pub fn load(config: &VisionConfig, scope: &Scope) -> Result<Self> {
        let blocks = scope.under("blocks");
        let VisionConfig {
            hidden,
            temporal_patch,
            patch,
            ..
        } = *config;
        let kernel = [hidden, CHANNELS, temporal_patch, patch, patch];
        Ok(Self {
            patches: Linear {
                weight: scope.flat_weight("patch_embed.proj.weight", &kernel)?,
                bias: None,
            },
            blocks: (0..config.depth)
                .map(|index| Block::load(config, &blocks.under(index)))
                .collect::<Result<_>>()?,
            merger: Merger::load(config, &scope.under("merger"))?,
            placement: scope.placement().clone(),
            config: config.clone(),
        })
    }

    /// What it was loaded with.
    pub fn config(&self) -> &VisionConfig {
        &self.config
    }

    /// Encodes pictures and videos, each on its own.
    ///
    /// # Shapes
    ///
    /// Returns `[cells, out_hidden]` for each: a row for every cell of `merge` × `merge` patches, in raster order and
    /// frame by frame.
    ///
    /// # Errors
    ///
    /// Fails when a medium does not hold what it says, or its sides are no whole cells.
    pub fn encode(&self, media: &[&VisualInput]) -> Result<Vec<Tensor>> {
        let lengths: Vec<usize> = media
            .iter()
            .map(|medium| medium.shape.grid.cells())
            .collect();
        let mut encoded = Vec::with_capacity(media.len());
        for run in runs(&lengths, usize::MAX) {
            let rows = self.encode_together(&media[run.clone()])?;
            let mut start = 0;
            for patches in &lengths[run] {
                let cells = patches / self.config.cell_len();
                encoded.push(rows.narrow(0, start, cells)?);
                start += cells;
            }
        }
        Ok(encoded)
    }

    /// The same as one tensor, one medium after another: one gradient for all of them.
    ///
    /// # Shapes
    ///
    /// Returns `[cells of all media, out_hidden]`.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and when there is no medium.
    pub fn encode_together(&self, media: &[&VisualInput]) -> Result<Tensor> {
        let plan = Plan::new(media, &self.config)?;
        let Placement { device, dtype } = &self.placement;
        let width = self.config.patch_len();
        let patches = Tensor::from_vec(plan.patches, (plan.places.len(), width), device)?;
        let turns = Turns::new(&plan.places, &self.config, device)?;
        let (frames, windows) = (
            Arc::new(AttentionLayout::blocks(&plan.frames)),
            Arc::new(AttentionLayout::blocks(&plan.windows)),
        );
        let mut x = self.patches.forward(&patches.to_dtype(*dtype)?)?;
        for (index, block) in self.blocks.iter().enumerate() {
            let sees_frames = self.config.full_attention.contains(&index);
            x = block.forward(&x, if sees_frames { &frames } else { &windows }, &turns)?;
        }
        Ok(rows(&self.merger.forward(&x)?, &plan.back)?)
    }
}

/// Patches in the order in which they are computed: window by window.
struct Plan {
    /// `[patches, patch_len]`.
    patches: Vec<f32>,
    /// Each patch's row and column.
    places: Vec<[u32; 2]>,
    /// Patches of each frame.
    frames: Vec<usize>,
    /// Patches of each window.
    windows: Vec<usize>,
    /// For each cell in raster order, its place in this order.
    back: Vec<u32>,
}

impl Plan {
    fn new(media: &[&VisualInput], config: &VisionConfig) -> Result<Self> {
        let mut plan = Self {
            patches: Vec::new(),
            places: Vec::new(),
            frames: Vec::new(),
            windows: Vec::new(),
            back: Vec::new(),
        };
        for medium in media {
            check(medium, config)?;
            plan.add(medium, config);
        }
        Ok(plan)
    }

    fn add(&mut self, medium: &VisualInput, config: &VisionConfig) {
        let grid = medium.shape.grid;
        let (merge, cell) = (config.merge, config.cell_len());
        let cells = grid.merged(merge);
        let windows = Windows::of(cells, config.window_cells());
        let begun = self.back.len();
        self.back.resize(begun + cells.cells(), 0);
        for (place, from) in windows.order.iter().enumerate() {
            self.back[begun + from] = (begun + place) as u32;
            let width = cell * config.patch_len();
            self.patches
                .extend_from_slice(&medium.patches[from * width..][..width]);
            let (row, column) = (from / cells.columns % cells.rows, from % cells.columns);
            for inner in 0..cell {
                let row = row * merge + inner / merge;
                let column = column * merge + inner % merge;
                self.places.push([row as u32, column as u32]);
            }
        }
        let frame = grid.rows * grid.columns;
        self.frames.extend(std::iter::repeat_n(frame, grid.frames));
        self.windows
            .extend(windows.lengths.iter().map(|length| length * cell));
    }
}

fn check(medium: &VisualInput, config: &VisionConfig) -> Result<()> {
    let grid = medium.shape.grid;
    let refused = |reason: String| Error::Input {
        input: format!(
            "a medium of {} × {} × {} patches",
            grid.frames, grid.rows, grid.columns
        ),
        reason,
    };
    if grid.cells() == 0
        || !grid.rows.is_multiple_of(config.merge)
        || !grid.columns.is_multiple_of(config.merge)
    {
        let side = config.merge;
        return Err(refused(format!(
            "expected a frame at least, of whole cells of {side} × {side} patches"
        )));
    }
    let expected = grid.cells() * config.patch_len();
    if medium.patches.len() == expected {
        Ok(())
    } else {
        let found = medium.patches.len();
        Err(refused(format!(
            "it holds `{found}` numbers, expected `{expected}`"
        )))
    }
}

/// Cosines and sines of the angles by which queries and keys are turned.
///
/// # Shapes
///
/// Both `[patches, head_dim / 2]`, in `f32`: the first half of the pairs by a patch's row, the second by its column.
struct Turns {
    cos: Tensor,
    sin: Tensor,
}

impl Turns {
    fn new(
        places: &[[u32; 2]],
        config: &VisionConfig,
        device: &candle_core::Device,
    ) -> Result<Self> {
        let rope = Rope {
            theta: THETA,
            scaling: RopeScaling::None,
            sections: None,
        };
        let frequencies = rope.frequencies(config.head_dim() / 2);
        let angles: Vec<f32> = places
            .iter()
            .flatten()
            .flat_map(|place| frequencies.iter().map(move |f| *place as f32 * f))
            .collect();
        let table = |turn: fn(f32) -> f32| {
            let values: Vec<f32> = angles.iter().map(|angle| turn(*angle)).collect();
            Tensor::from_vec(values, (places.len(), 2 * frequencies.len()), device)
        };
        Ok(Self {
            cos: table(f32::cos)?,
            sin: table(f32::sin)?,
        })
    }

    /// As in the original, in `f32` whatever the type of activations is.
    fn apply(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        rotate(&x.to_dtype(DType::F32)?, &self.cos, &self.sin)?.to_dtype(x.dtype())
    }
}

/// `x += proj(attention(norm1(x)))`, then `x += down(silu(gate(norm2(x))) · up(norm2(x)))`.
#[derive(Debug)]
struct Block {
    heads: usize,
    attention_norm: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    network_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Block {
    fn load(config: &VisionConfig, scope: &Scope) -> Result<Self> {
        let VisionConfig {
            hidden,
            intermediate,
            heads,
            ..
        } = *config;
        let (attention, network) = (scope.under("attn"), scope.under("mlp"));
        let [query, key, value] = projections(hidden, &attention)?;
        Ok(Self {
            heads,
            attention_norm: scope.tensor("norm1.weight", &[hidden])?,
            query,
            key,
            value,
            out: Linear::load(hidden, hidden, &attention.under("proj"))?,
            network_norm: scope.tensor("norm2.weight", &[hidden])?,
            gate: Linear::load(intermediate, hidden, &network.under("gate_proj"))?,
            up: Linear::load(intermediate, hidden, &network.under("up_proj"))?,
            down: Linear::load(hidden, intermediate, &network.under("down_proj"))?,
        })
    }

    /// # Shapes
    ///
    /// `x`: `[patches, hidden]`, as is what it returns.
    fn forward(
        &self,
        x: &Tensor,
        layout: &Arc<AttentionLayout>,
        turns: &Turns,
    ) -> candle_core::Result<Tensor> {
        let normed = rms_norm(x, &self.attention_norm, EPS)?;
        let x = add(x, &self.attend(&normed, layout, turns)?)?;
        let normed = rms_norm(&x, &self.network_norm, EPS)?;
        let gated = swiglu(&self.gate.forward(&normed)?, &self.up.forward(&normed)?)?;
        add(&x, &self.down.forward(&gated)?)
    }

    fn attend(
        &self,
        x: &Tensor,
        layout: &Arc<AttentionLayout>,
        turns: &Turns,
    ) -> candle_core::Result<Tensor> {
        let (patches, hidden) = x.dims2()?;
        let head_dim = hidden / self.heads;
        let heads = |projection: &Linear| {
            projection
                .forward(x)?
                .reshape((patches, self.heads, head_dim))
        };
        let seen = attention(
            &turns.apply(&heads(&self.query)?)?,
            &turns.apply(&heads(&self.key)?)?,
            &heads(&self.value)?,
            layout,
            (head_dim as f64).powf(-0.5),
        )?;
        self.out.forward(&seen.reshape((patches, hidden))?)
    }
}

/// Those of queries, keys and values: one stacked matrix in Qwen2.5-VL, three in Qwen2.5-Omni.
fn projections(hidden: usize, scope: &Scope) -> Result<[Linear; 3]> {
    let stacked = scope.under("qkv");
    if !stacked.has("weight") && scope.has("q.weight") {
        let own = |name: &str| Linear::load(hidden, hidden, &scope.under(name));
        return Ok([own("q")?, own("k")?, own("v")?]);
    }
    let weight = stacked.weight("weight", 3 * hidden, hidden)?;
    let bias = stacked.tensor("bias", &[3 * hidden])?;
    let third = |index: usize| -> Result<Linear> {
        Ok(Linear {
            weight: weight.part(index * hidden..(index + 1) * hidden)?,
            bias: Some(bias.narrow(0, index * hidden, hidden)?),
        })
    };
    Ok([third(0)?, third(1)?, third(2)?])
}

/// Makes a row for the decoder of the patches of a cell: `second(gelu(first(norm(patches) side by side)))`.
#[derive(Debug)]
struct Merger {
    norm: Tensor,
    width: usize,
    first: Linear,
    second: Linear,
}

impl Merger {
    fn load(config: &VisionConfig, scope: &Scope) -> Result<Self> {
        let width = config.cell_len() * config.hidden;
        Ok(Self {
            norm: scope.tensor("ln_q.weight", &[config.hidden])?,
            width,
            first: Linear::load(width, width, &scope.under("mlp.0"))?,
            second: Linear::load(config.out_hidden, width, &scope.under("mlp.2"))?,
        })
    }

    /// # Shapes
    ///
    /// `x`: `[patches, hidden]`; returns `[cells, out_hidden]`.
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let cells = rms_norm(x, &self.norm, EPS)?.reshape(((), self.width))?;
        self.second
            .forward(&gelu_erf(&self.first.forward(&cells)?)?)
    }
}
