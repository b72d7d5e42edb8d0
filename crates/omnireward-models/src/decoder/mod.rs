//! The language model: one decoder for Qwen2, Qwen3 and Llama, run over token trees only.

mod config;
mod fields;
mod key_values;
mod layer;
mod reads;
mod rotary;

use std::{ops::Range, sync::Arc};

use candle_core::{Device, Tensor, bail};

pub use config::{Biases, DecoderConfig};
pub use key_values::KeyValues;
pub(crate) use reads::beginning;
pub use rotary::{Rope, RopeScaling, RowPositions};

use crate::{
    Result,
    decoder::{layer::Layer, reads::Reads, rotary::Rotary},
    ops::{AttentionLayout, linear, rms_norm},
    weights::{Placement, Scope, Weight},
};

/// A decoder of pre-normalised layers with grouped-query attention, rotary positions and `SwiGLU`
/// (Touvron et al. 2023, section 2), over packed trees of rows.
///
/// Every linear layer runs once over the whole stream of rows; attention alone knows which row belongs to which
/// sequence. Nothing is kept between calls but what a caller of [`advance`](Self::advance) keeps. All other operations
/// are differentiable.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    embeddings: Weight,
    layers: Vec<Layer>,
    norm: Tensor,
    lm_head: Option<Weight>,
    placement: Placement,
}

/// What the stages of one run over a stream share: the angles of its positions, which rows see which, and which are
/// read.
#[derive(Debug)]
pub struct Pass {
    rotary: Rotary,
    layout: Arc<AttentionLayout>,
    reads: Reads,
}

/// Rows that go on from others, whose keys and values are kept.
#[derive(Clone, Debug)]
pub struct Continuation<'a> {
    /// The position of each row.
    pub positions: RowPositions<'a>,
    /// Which places of the kept keys and values each row sees, its own among them.
    pub layout: Arc<AttentionLayout>,
    /// Where the rows' own keys and values are put, in the order of the rows.
    pub places: &'a [Range<usize>],
    /// The rows whose hidden states are wanted.
    pub reads: &'a [usize],
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

    /// Where it computes, and in which type.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Room for the keys and values of `places` rows, in all layers.
    pub fn key_values(&self, places: usize) -> Result<KeyValues> {
        Ok(KeyValues::new(&self.config, &self.placement, places)?)
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
        let pass = self.pass(positions, layout, reads, inputs.device())?;
        let mut hidden = inputs.clone();
        for stage in 0..self.stages() {
            hidden = self.stage(stage, hidden, &pass)?;
        }
        self.finish(&hidden, &pass)
    }

    /// What [`forward`](Self::forward) knows about a stream before it begins, for a caller that goes from
    /// [stage](Self::stage) to stage: to compute some of them again, it may keep nothing but what enters each.
    pub fn pass(
        &self,
        positions: &[u32],
        layout: &Arc<AttentionLayout>,
        reads: &[usize],
        device: &Device,
    ) -> Result<Pass> {
        self.pass_at(RowPositions::Plain(positions), layout, reads, device)
    }

    /// As [`pass`](Self::pass), for rows that may stand at a time, a height and a width each.
    ///
    /// # Errors
    ///
    /// Also when they do and the decoder's rotary positions have no sections for them.
    pub fn pass_at(
        &self,
        positions: RowPositions<'_>,
        layout: &Arc<AttentionLayout>,
        reads: &[usize],
        device: &Device,
    ) -> Result<Pass> {
        check(positions.len(), layout, reads)?;
        let DecoderConfig { rope, head_dim, .. } = self.config;
        Ok(Pass {
            rotary: rope.tables(positions, head_dim, device)?,
            reads: Reads::new(layout, reads),
            layout: Arc::clone(layout),
        })
    }

    /// How many stages there are: the layers.
    pub fn stages(&self) -> usize {
        self.layers.len()
    }

    /// The stream after a stage, which takes what [`embed`](Self::embed) or the stage before it gave.
    ///
    /// # Shapes
    ///
    /// `hidden`: `[rows, hidden]`; returns `[rows, hidden]`, and after the last stage only the rows that are read, each
    /// once.
    pub fn stage(&self, index: usize, hidden: Tensor, pass: &Pass) -> Result<Tensor> {
        let Some(layer) = self.layers.get(index) else {
            return Err(message(format!(
                "stage `{index}` of a decoder of `{}`",
                self.stages()
            )));
        };
        self.check_rows(&hidden, pass.layout.queries)?;
        Ok(if index + 1 < self.stages() {
            layer.forward(hidden, &pass.rotary, &pass.layout)?
        } else {
            layer.forward_reads(hidden, &pass.rotary, &pass.reads)?
        })
    }

    /// The hidden states of the rows that are read, in the order they were asked for, from what the last stage gave.
    ///
    /// # Shapes
    ///
    /// Returns `[reads, hidden]`.
    pub fn finish(&self, hidden: &Tensor, pass: &Pass) -> Result<Tensor> {
        self.check_rows(hidden, pass.reads.layout().queries)?;
        let hidden = rms_norm(hidden, &self.norm, self.config.norm_eps)?;
        Ok(pass.reads.in_order(&hidden)?)
    }

    /// As [`forward`](Self::forward), for rows that go on from others: their keys and values are put among the `kept`
    /// ones, and attention goes to those. A row's result is the same, bit for bit, as when all rows of its path are one
    /// stream. Nothing here is differentiable.
    ///
    /// # Shapes
    ///
    /// `inputs`: `[rows, hidden]`; returns `[reads, hidden]`.
    pub fn advance(
        &self,
        inputs: &Tensor,
        rows: &Continuation<'_>,
        kept: &KeyValues,
    ) -> Result<Tensor> {
        let count = rows.positions.len();
        let layout = &rows.layout;
        if (layout.queries, layout.keys) != (count, kept.places()) {
            return Err(message(format!(
                "`{count}` rows that go on from `{}` kept ones, but attention of `{}` to `{}`",
                kept.places(),
                layout.queries,
                layout.keys
            )));
        }
        check_reads(count, rows.reads)?;
        self.check_rows(inputs, count)?;
        let DecoderConfig { rope, head_dim, .. } = self.config;
        let rotary = rope.tables(rows.positions, head_dim, inputs.device())?;
        let reads = Reads::new(layout, rows.reads);
        let mut hidden = inputs.detach();
        for (index, layer) in self.layers.iter().enumerate() {
            let kept = kept.layer(index);
            let is_last = index + 1 == self.layers.len();
            let reads = is_last.then_some(&reads);
            hidden = layer.advance(hidden, &rotary, layout, kept, rows.places, reads)?;
        }
        let hidden = rms_norm(&hidden, &self.norm, self.config.norm_eps)?;
        Ok(reads.in_order(&hidden)?.detach())
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

    fn check_rows(&self, hidden: &Tensor, rows: usize) -> candle_core::Result<()> {
        let expected = [rows, self.config.hidden];
        if hidden.dims() != expected {
            bail!(
                "hidden states of shape {:?}, expected {expected:?}",
                hidden.dims()
            );
        }
        Ok(())
    }
}

fn check(rows: usize, layout: &AttentionLayout, reads: &[usize]) -> candle_core::Result<()> {
    if layout.queries != rows || layout.keys != rows {
        bail!(
            "positions of `{rows}` rows, but attention of `{}` to `{}`",
            layout.queries,
            layout.keys
        );
    }
    check_reads(rows, reads)
}

fn check_reads(rows: usize, reads: &[usize]) -> candle_core::Result<()> {
    if reads.is_empty() {
        bail!("no row is read");
    }
    if let Some(read) = reads.iter().find(|read| **read >= rows) {
        bail!("row `{read}` is read, but there are `{rows}`");
    }
    Ok(())
}

fn message(text: String) -> crate::Error {
    candle_core::Error::Msg(text).into()
}
