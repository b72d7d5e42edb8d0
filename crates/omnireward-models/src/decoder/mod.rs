//! The language model: one decoder for Qwen2, Qwen3 and Llama, run over token trees only.

mod config;
mod fields;
mod layer;
mod reads;
mod rotary;

use std::sync::Arc;

use candle_core::{Tensor, bail};

pub use config::{Biases, DecoderConfig};
pub use rotary::{Rope, RopeScaling};

use crate::{
    Result,
    decoder::{layer::Layer, reads::Reads},
    ops::{AttentionLayout, linear, rms_norm},
    weights::{Placement, Scope, Weight},
};

/// A decoder of pre-normalised layers with grouped-query attention, rotary positions and `SwiGLU`
/// (Touvron et al. 2023, section 2), over packed trees of rows.
///
/// Every linear layer runs once over the whole stream of rows; attention alone knows which row belongs to which
/// sequence. Nothing is kept between calls. All operations are differentiable.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    embeddings: Weight,
    layers: Vec<Layer>,
    norm: Tensor,
    lm_head: Option<Weight>,
    placement: Placement,
}

impl Decoder {
    /// Loads the decoder from the level of names that holds `embed_tokens`, `layers` and `norm`.
    pub fn load(config: &DecoderConfig, scope: &Scope) -> Result<Self> {
        let embeddings =
            scope
                .under("embed_tokens")
                .weight("weight", config.vocabulary, config.hidden)?;
        let layers = (0..config.layers)
            .map(|index| Layer::load(config, &scope.under("layers").under(index)))
            .collect::<Result<_>>()?;
        Ok(Self {
            lm_head: config.tied_embeddings.then(|| embeddings.clone()),
            embeddings,
            layers,
            norm: scope.under("norm").tensor("weight", &[config.hidden])?,
            config: config.clone(),
            placement: scope.placement().clone(),
        })
    }

    /// The same decoder, able to give [`logits`](Self::logits), with the language-model head from the level of names
    /// that holds `lm_head`. A tied decoder uses its embeddings and needs no head.
    pub fn with_lm_head(mut self, scope: &Scope) -> Result<Self> {
        if self.lm_head.is_none() {
            self.lm_head = Some(scope.under("lm_head").weight(
                "weight",
                self.config.vocabulary,
                self.config.hidden,
            )?);
        }
        Ok(self)
    }

    /// The decoder's dimensions and switches.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The embeddings of tokens.
    ///
    /// # Shapes
    ///
    /// Returns `[tokens, hidden]` in the type of activations.
    pub fn embed(&self, tokens: &[u32]) -> Result<Tensor> {
        let vocabulary = self.config.vocabulary;
        if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
            return Err(message(format!(
                "token `{token}` is outside of the decoder's vocabulary of `{vocabulary}`"
            )));
        }
        let Placement { device, dtype } = &self.placement;
        Ok(self.embeddings.rows(tokens, device, *dtype)?)
    }

    /// The hidden states of the rows `reads`, in that order, after the final norm.
    ///
    /// `positions` are counted from the root of each row's tree. The last layer computes only what the reads need:
    /// keys and values of all rows, everything else of the rows that are read.
    ///
    /// # Shapes
    ///
    /// `inputs`: `[rows, hidden]`; `positions`: `[rows]`; returns `[reads, hidden]`.
    pub fn forward(
        &self,
        inputs: &Tensor,
        positions: &[u32],
        layout: &Arc<AttentionLayout>,
        reads: &[usize],
    ) -> Result<Tensor> {
        self.check(inputs, positions, layout, reads)?;
        let rotary = self
            .config
            .rope
            .tables(positions, self.config.head_dim, inputs.device())?;
        let reads = Reads::new(layout, reads);
        let last = self.layers.len() - 1;
        let mut hidden = inputs.clone();
        for layer in &self.layers[..last] {
            hidden = layer.forward(hidden, &rotary, layout)?;
        }
        let hidden = self.layers[last].forward_reads(hidden, &rotary, &reads)?;
        let hidden = rms_norm(&hidden, &self.norm, self.config.norm_eps)?;
        Ok(reads.in_order(&hidden)?)
    }

    /// The scores of all tokens as the next one.
    ///
    /// # Shapes
    ///
    /// `hidden`: `[rows, hidden]` as [`forward`](Self::forward) gives it; returns `[rows, vocabulary]`.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let Some(head) = &self.lm_head else {
            return Err(message(
                "the decoder was opened without its language-model head".to_owned(),
            ));
        };
        Ok(linear(hidden, head, None)?)
    }

    fn check(
        &self,
        inputs: &Tensor,
        positions: &[u32],
        layout: &AttentionLayout,
        reads: &[usize],
    ) -> candle_core::Result<()> {
        let (rows, hidden) = inputs.dims2()?;
        if hidden != self.config.hidden {
            bail!(
                "inputs are `{hidden}` wide, the decoder `{}`",
                self.config.hidden
            );
        }
        if positions.len() != rows || layout.queries != rows || layout.keys != rows {
            bail!(
                "`{rows}` rows, but positions for `{}` and attention of `{}` to `{}`",
                positions.len(),
                layout.queries,
                layout.keys
            );
        }
        if reads.is_empty() {
            bail!("no row is read");
        }
        if let Some(read) = reads.iter().find(|read| **read >= rows) {
            bail!("row `{read}` is read, but there are `{rows}`");
        }
        Ok(())
    }
}

fn message(text: String) -> crate::Error {
    candle_core::Error::Msg(text).into()
}
