//! From streams of dialogues to the log-probabilities of what was said, and back to gradients.

use candle_core::{DType, Tensor, Var, backprop::GradStore};
use omnireward_models::{
    decoder::{Decoder, Pass},
    ops::pull_back,
};

use super::Stream;
use crate::{Error, Result};

/// Rows whose scores of the whole vocabulary are computed at once.
const CHUNK: usize = 256;

/// A decoder as it is in one step.
#[derive(Clone, Copy)]
pub(crate) struct Scorer<'a> {
    pub(super) decoder: &'a Decoder,
    pub(super) checkpointing: bool,
    /// The lowest layer that something is trained in; 0 when it is below the decoder.
    pub(super) lowest_stage: usize,
    /// What scores are divided by before they become probabilities.
    pub(super) temperature: f64,
}

/// What a stream's tokens are like.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observed {
    /// `log p` of each token.
    pub(crate) log_probabilities: Vec<f64>,
    /// `Σ -Σ p·log p`, the entropies of what could have stood in their places, in nats.
    pub(crate) entropy: f64,
}

/// Turns the log-probabilities of a stream's tokens, from a first one on, into the gradient of the loss by them.
pub(crate) type GradientBy<'a> = dyn FnMut(usize, &[f64]) -> Result<Vec<f64>> + 'a;

/// Where gradients go: those of one backward pass at a time, perhaps of a part of the network.
pub(crate) type Sink<'a> = dyn FnMut(GradStore) -> Result<()> + 'a;

impl Scorer<'_> {
    /// The log-probabilities of a stream's tokens, without a graph.
    pub(crate) fn observe(self, stream: &Stream<'_>) -> Result<Observed> {
        let inputs = stream.inputs(self.decoder)?;
        let pass = self.pass(stream, &inputs)?;
        let mut hidden = inputs.detach();
        for stage in 0..self.decoder.stages() {
            hidden = self.decoder.stage(stage, hidden, &pass)?.detach();
        }
        let hidden = self.decoder.finish(&hidden, &pass)?.detach();
        let hidden = hidden.to_dtype(DType::F32)?;
        let mut observed = Observed::default();
        for (first, words) in chunks(&stream.words) {
            let said = self.said(&hidden.narrow(0, first, words.len())?, words)?;
            observed.add(&said)?;
        }
        Ok(observed)
    }

    /// Gives the gradient of the loss to `sink`, which `by` knows by the log-probabilities.
    pub(crate) fn learn(
        self,
        stream: &Stream<'_>,
        by: &mut GradientBy<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<Observed> {
        let inputs = stream.inputs(self.decoder)?;
        let pass = self.pass(stream, &inputs)?;
        if self.checkpointing {
            return self.learn_by_stages(stream, inputs, &pass, by, sink);
        }
        let mut hidden = inputs;
        for stage in 0..self.decoder.stages() {
            hidden = self.decoder.stage(stage, hidden, &pass)?;
        }
        let hidden = self.decoder.finish(&hidden, &pass)?.to_dtype(DType::F32)?;
        let (observed, gradient) = self.read(&hidden, stream, by, sink)?;
        pull(hidden, &gradient, None, sink)?;
        Ok(observed)
    }

    /// Keeps only what goes into each layer, and computes a layer again when its gradient is wanted (Chen et al. 2016).
    fn learn_by_stages(
        self,
        stream: &Stream<'_>,
        inputs: Tensor,
        pass: &Pass,
        by: &mut GradientBy<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<Observed> {
        let decoder = self.decoder;
        let mut kept = vec![inputs.detach()];
        for stage in 0..decoder.stages() {
            let before = kept[stage].clone();
            kept.push(decoder.stage(stage, before, pass)?.detach());
        }
        let last = leaf(kept.pop())?;
        let hidden = decoder.finish(&last, pass)?.to_dtype(DType::F32)?;
        let (observed, gradient) = self.read(&hidden, stream, by, sink)?;
        let mut gradient = pull(hidden, &gradient, Some(&last), sink)?;
        for stage in (self.lowest_stage..decoder.stages()).rev() {
            let Some(after_gradient) = gradient else {
                return Ok(observed);
            };
            let before = leaf(kept.pop())?;
            let after = decoder.stage(stage, before.as_tensor().clone(), pass)?;
            gradient = pull(after, &after_gradient, Some(&before), sink)?;
        }
        if let Some(gradient) = gradient.filter(|_| self.lowest_stage == 0) {
            pull(inputs, &gradient, None, sink)?;
        }
        Ok(observed)
    }

    fn pass(self, stream: &Stream<'_>, inputs: &Tensor) -> Result<Pass> {
        let (positions, layout) = (stream.positions(), stream.layout());
        let device = inputs.device();
        Ok(self
            .decoder
            .pass_at(positions, layout, &stream.reads, device)?)
    }

    /// What was said after hidden states, and the gradient of the loss by these. That of the matrix to the vocabulary goes
    /// to `sink`, chunk by chunk, since the scores of all rows together are many.
    ///
    /// # Shapes
    ///
    /// `hidden` and the gradient: `[words, hidden]`.
    fn read(
        self,
        hidden: &Tensor,
        stream: &Stream<'_>,
        by: &mut GradientBy<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(Observed, Tensor)> {
        let mut observed = Observed::default();
        let mut parts = Vec::new();
        for (first, words) in chunks(&stream.words) {
            let leaf = leaf(Some(hidden.narrow(0, first, words.len())?.detach()))?;
            let said = self.said(&leaf, words)?;
            observed.add(&said)?;
            let gradient = by(first, &observed.log_probabilities[first..])?;
            let gradient: Vec<f32> = gradient.into_iter().map(|number| number as f32).collect();
            let gradient = Tensor::from_vec(gradient, words.len(), hidden.device())?;
            let of = pull(said.log_probabilities, &gradient, Some(&leaf), sink)?;
            parts.push(match of {
                Some(gradient) => gradient,
                None => leaf.zeros_like()?,
            });
        }
        Ok((observed, Tensor::cat(&parts, 0)?))
    }

    /// # Shapes
    ///
    /// `hidden`: `[words, hidden]`.
    fn said(self, hidden: &Tensor, words: &[u32]) -> Result<Said> {
        let logits = (self.decoder.logits(hidden)? / self.temperature)?;
        let highest = logits.max_keepdim(1)?.detach();
        let shifted = logits.broadcast_sub(&highest)?;
        let weights = shifted.exp()?;
        let sum = weights.sum_keepdim(1)?;
        let normaliser = sum.log()?;
        // H = log Σ exp(s) - Σ p·s, of scores s.
        let mean = (weights.detach() * shifted.detach())?
            .sum_keepdim(1)?
            .div(&sum.detach())?;
        let entropies = (normaliser.detach() - mean)?.flatten_all()?;
        let count = words.len();
        let words = Tensor::from_slice(words, (count, 1), hidden.device())?;
        let said = shifted.gather(&words, 1)?;
        Ok(Said {
            log_probabilities: (said - normaliser)?.flatten_all()?,
            entropies,
        })
    }
}

/// What was said in some places.
struct Said {
    /// `[words]`.
    log_probabilities: Tensor,
    /// `[words]`, without a graph.
    entropies: Tensor,
}

impl Observed {
    fn add(&mut self, said: &Said) -> Result<()> {
        let numbers = said.log_probabilities.to_vec1::<f32>()?;
        self.log_probabilities
            .extend(numbers.into_iter().map(f64::from));
        let entropies = said.entropies.to_vec1::<f32>()?;
        self.entropy += entropies.into_iter().map(f64::from).sum::<f64>();
        Ok(())
    }
}

/// Words in parts, each with the place of its first.
fn chunks(words: &[u32]) -> impl Iterator<Item = (usize, &[u32])> {
    let parts = words.chunks(CHUNK).enumerate();
    parts.map(|(index, words)| (index * CHUNK, words))
}

/// Gives the gradients below `out`, whose own is known, to `sink`, and returns that of `of`, if it has one.
fn pull(
    out: Tensor,
    gradient: &Tensor,
    of: Option<&Var>,
    sink: &mut Sink<'_>,
) -> Result<Option<Tensor>> {
    if !out.track_op() {
        // Nothing that is trained is below.
        return Ok(None);
    }
    let mut gradients = pull_back(&out, gradient)?;
    drop(out);
    let gradient = of.and_then(|of| gradients.remove(of.as_tensor()));
    sink(gradients)?;
    Ok(gradient)
}

/// A tensor that gets a gradient of its own.
fn leaf(tensor: Option<Tensor>) -> Result<Var> {
    let tensor = tensor.expect("one is kept for every stage");
    Var::from_tensor(&tensor).map_err(Error::from)
}
