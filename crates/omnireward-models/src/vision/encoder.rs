use candle_core::Tensor;

use super::{VisionConfig, position_ids};
use crate::{
    Error, Result,
    encoder::{Block, BlockConfig, Linear, Norm, end_to_end},
    minicpm_o::Tile,
    ops::{Visibility, add, rows},
    weights::{Placement, Scope},
};

/// The vision encoder of `SigLIP` (Zhai et al. 2023) on tiles of any size, with the positions of `NaViT` (Dehghani et al.
/// 2023).
#[derive(Debug)]
pub struct VisionEncoder {
    config: VisionConfig,
    placement: Placement,
    patches: Linear,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
}

impl VisionEncoder {
    /// Takes the weights from the level that holds `embeddings`, `encoder` and `post_layernorm`.
    pub fn load(config: &VisionConfig, scope: &Scope) -> Result<Self> {
        let hidden = config.hidden_size;
        let block = BlockConfig {
            hidden,
            heads: config.num_attention_heads,
            intermediate: config.intermediate_size,
            eps: config.layer_norm_eps,
            activation: config.hidden_act,
            key_bias: true,
            attention_norm: "layer_norm1",
            perceptron_norm: "layer_norm2",
            first: "mlp.fc1",
            second: "mlp.fc2",
        };
        let layers = scope.under("encoder.layers");
        Ok(Self {
            patches: patch_embedding(config, &scope.under("embeddings.patch_embedding"))?,
            positions: scope.tensor(
                "embeddings.position_embedding.weight",
                &[config.side() * config.side(), hidden],
            )?,
            blocks: (0..config.num_hidden_layers)
                .map(|index| Block::load(block, &layers.under(index)))
                .collect::<Result<_>>()?,
            norm: Norm::load(
                hidden,
                config.layer_norm_eps,
                &scope.under("post_layernorm"),
            )?,
            placement: scope.placement().clone(),
            config: config.clone(),
        })
    }

    /// What it was loaded with.
    pub fn config(&self) -> &VisionConfig {
        &self.config
    }

    /// Encodes tiles, each on its own.
    ///
    /// # Shapes
    ///
    /// Returns `[patches, hidden]`: the patches of the first tile, then those of the next.
    pub fn forward(&self, tiles: &[&Tile]) -> Result<Tensor> {
        let mut x = self.embed(tiles)?;
        let layout = end_to_end(
            tiles.iter().map(|tile| tile.rows * tile.columns),
            Visibility::Full,
        );
        for block in &self.blocks {
            x = block.forward(&x, &layout)?;
        }
        Ok(self.norm.forward(&x)?)
    }

    fn embed(&self, tiles: &[&Tile]) -> Result<Tensor> {
        let width = self.config.patch_len();
        let mut patches = Vec::new();
        let mut positions = Vec::new();
        for tile in tiles {
            check(tile, width)?;
            patches.extend_from_slice(&tile.patches);
            positions.extend(position_ids(tile.rows, tile.columns, self.config.side()));
        }
        let device = &self.placement.device;
        let patches = Tensor::from_vec(patches, (positions.len(), width), device)?
            .to_dtype(self.placement.dtype)?;
        let positions = rows(&self.positions, &positions)?;
        Ok(add(&self.patches.forward(&patches)?, &positions)?)
    }
}

/// The convolution over patches, as the product that it is.
fn patch_embedding(config: &VisionConfig, scope: &Scope) -> Result<Linear> {
    let (hidden, side) = (config.hidden_size, config.patch_size);
    Ok(Linear {
        weight: scope.flat_weight("weight", &[hidden, config.num_channels, side, side])?,
        bias: Some(scope.tensor("bias", &[hidden])?),
    })
}

fn check(tile: &Tile, width: usize) -> Result<()> {
    let patches = tile.rows * tile.columns;
    if patches > 0 && tile.patches.len() == patches * width {
        return Ok(());
    }
    Err(Error::Input {
        input: format!("a tile of {} × {} patches", tile.rows, tile.columns),
        reason: format!(
            "it holds `{}` numbers, expected `{}` in each patch and a patch at least",
            tile.patches.len(),
            width
        ),
    })
}
