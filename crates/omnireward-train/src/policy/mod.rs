//! A model that writes and is trained: what supervised fine-tuning and GRPO have in common.

mod card;
mod forward;
mod stream;
#[cfg(test)]
mod tests;

use std::path::Path;

use omnireward_core::{ChatMessage, ChatPart, Role};
use omnireward_models::{
    Precision,
    checkpoint::layout::Part,
    decoder::Decoder,
    generation::Prompt,
    weights::Weights,
    writer::{WritingNetwork, WritingOptions},
};

pub(crate) use self::{
    card::WriterCard,
    forward::{Scorer, Sink},
    stream::{Dialogue, Stream, streams},
};
use crate::{
    Error, Result,
    lanes::Lanes,
    optimiser::{AdamW, AdamWConfig, clipped},
    recipe::{UpdateRecipe, WriterPart, WriterRecipe},
    variables::{Choice, Variables},
};

/// A checkpoint that writes, some of whose tensors are variables.
pub(crate) struct Policy {
    pub(crate) variables: Variables,
    pub(crate) network: WritingNetwork,
    /// The token that ends a turn.
    pub(crate) end: u32,
    pub(crate) optimiser: AdamW,
    /// Steps of the optimiser.
    pub(crate) updates: u64,
    precision: Precision,
    checkpointing: bool,
    lowest_stage: usize,
    max_length: usize,
    lanes: Lanes,
}

impl Policy {
    /// Opens the checkpoint at `base`.
    ///
    /// # Errors
    ///
    /// Fails when the checkpoint cannot be opened or does not write, or when nothing of it is to be trained.
    pub(crate) fn open(base: &Path, model: &WriterRecipe, train: &UpdateRecipe) -> Result<Self> {
        let stored = Weights::open(base)?;
        let choice = Choice {
            // Where the decoder has adapters, its own weights stay.
            trains: &|name: &str| train.trains(name) && !(train.lora.is_some() && is_decoder(name)),
            freeze: &train.freeze,
            lora: train.lora.as_ref(),
            seed: train.seed,
            dtype: model.precision.dtype(&stored),
        };
        let variables = Variables::open(base, stored, &choice)?;
        check_parts(&variables, base, train)?;
        let mut network =
            WritingNetwork::new(base, &variables.weights()?, &options(model.precision))?;
        if train.trains_towers() {
            network = network.with_trained_towers();
        }
        let config = AdamWConfig {
            betas: train.betas,
            epsilon: train.epsilon,
            weight_decay: train.weight_decay,
        };
        Ok(Self {
            max_length: model
                .max_length
                .min(network.decoder().config().max_positions),
            optimiser: AdamW::new(variables.parameters(), config)?,
            lowest_stage: variables.lowest_stage(),
            checkpointing: train.gradient_checkpointing,
            lanes: Lanes::new(train.side_by_side),
            updates: 0,
            end: end(base, &network)?,
            precision: model.precision,
            variables,
            network,
        })
    }

    /// The model as it was before any training. Its weights are those of the checkpoint's files, mapped.
    pub(crate) fn reference(&self, base: &Path) -> Result<WritingNetwork> {
        let options = options(self.precision);
        Ok(WritingNetwork::new(
            base,
            self.variables.stored(),
            &options,
        )?)
    }

    /// What reads log-probabilities with a decoder, at a temperature.
    pub(crate) fn scorer<'a>(&'a self, decoder: &'a Decoder, temperature: f64) -> Scorer<'a> {
        Scorer {
            decoder,
            checkpointing: self.checkpointing,
            lowest_stage: self.lowest_stage,
            temperature,
        }
    }

    /// Adds up the gradients of so many passes. `learn` does the one of an index, by the policy as it is now, and says
    /// where its gradients go; what it gives reaches `take` in the order of the passes.
    ///
    /// # Errors
    ///
    /// The first that `learn` gives. What was added up is forgotten then.
    pub(crate) fn accumulate<T: Send>(
        &mut self,
        temperature: f64,
        passes: usize,
        learn: impl Fn(Scorer<'_>, usize, &mut Sink<'_>) -> Result<T> + Sync,
        mut take: impl FnMut(T) + Send,
    ) -> Result<()> {
        let scorer = Scorer {
            decoder: self.network.decoder(),
            checkpointing: self.checkpointing,
            lowest_stage: self.lowest_stage,
            temperature,
        };
        let optimiser = &mut self.optimiser;
        let done = if self.lanes.is_empty() {
            // Gradients go where they are added up as soon as they are there.
            (0..passes).try_for_each(|pass| {
                let mut sink = |gradients| optimiser.accumulate(&gradients);
                take(learn(scorer, pass, &mut sink)?);
                Ok(())
            })
        } else {
            let work = |pass| {
                let mut gradients = Vec::new();
                let mut sink = |some| {
                    gradients.push(some);
                    Ok(())
                };
                let learnt = learn(scorer, pass, &mut sink)?;
                Ok((learnt, gradients))
            };
            self.lanes.each(passes, work, |(learnt, gradients)| {
                take(learnt);
                gradients
                    .iter()
                    .try_for_each(|gradients| optimiser.accumulate(gradients))
            })
        };
        done.inspect_err(|_| self.optimiser.discard())
    }

    /// What `make` makes of each item, side by side where that is wanted, in their order.
    ///
    /// # Errors
    ///
    /// The first that `make` gives.
    pub(crate) fn each<I: Sync, T: Send>(
        &self,
        items: &[I],
        make: impl Fn(&I) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let mut made = Vec::with_capacity(items.len());
        let take = |one| {
            made.push(one);
            Ok(())
        };
        self.lanes
            .each(items.len(), |item| make(&items[item]), take)?;
        Ok(made)
    }

    /// The prompt of a conversation, with room for a reply of so many tokens.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] with `id` when there is none.
    pub(crate) fn prompt(
        &self,
        id: &str,
        messages: &[ChatMessage],
        reply: usize,
    ) -> Result<Prompt> {
        let prompt = self.network.prompt(messages)?;
        let tokens = prompt.rows.len() + reply;
        if tokens > self.max_length {
            return Err(Error::TooLong {
                id: id.to_owned(),
                tokens,
                limit: self.max_length,
            });
        }
        Ok(prompt)
    }

    /// Takes a step along the gradient that the optimiser has added up, and returns the gradient's norm.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`], with `pairs`, when the norm is not a finite number; nothing has changed then.
    pub(crate) fn take_step(
        &mut self,
        rate: f64,
        clip: f64,
        pairs: impl FnOnce() -> Vec<String>,
    ) -> Result<f64> {
        let norm = self.optimiser.norm(1.0)?;
        if !norm.is_finite() {
            self.optimiser.discard();
            return Err(Error::NotFinite {
                what: "gradient",
                step: self.updates + 1,
                pairs: pairs(),
            });
        }
        self.optimiser.step(rate, clipped(norm, clip))?;
        self.updates += 1;
        Ok(norm)
    }

    /// Counts a step in which there was nothing to learn.
    pub(crate) fn skip_step(&mut self) {
        self.optimiser.discard();
        self.updates += 1;
    }
}

/// Fails when a part that is to be trained has no tensor.
fn check_parts(variables: &Variables, base: &Path, train: &UpdateRecipe) -> Result<()> {
    let is_there = |part: WriterPart| {
        let of = |name: &String| Part::of(name).and_then(WriterPart::of);
        variables.names().any(|name| of(name) == Some(part))
    };
    match train.parts.iter().find(|part| !is_there(**part)) {
        None => Ok(()),
        Some(part) => Err(Error::Checkpoint {
            path: base.to_owned(),
            reason: format!("has no tensor to train in part `{part}`, which `train.parts` names"),
        }),
    }
}

fn is_decoder(name: &str) -> bool {
    Part::of(name).and_then(WriterPart::of) == Some(WriterPart::Decoder)
}

fn options(precision: Precision) -> WritingOptions {
    WritingOptions {
        precision,
        ..WritingOptions::default()
    }
}

/// The token that ends a turn: of those that end a reply, the one that the chat template ends the user's turn with, or else
/// the first. A model may name others for texts that are no conversation.
///
/// # Errors
///
/// Fails when no token ends a reply.
fn end(base: &Path, network: &WritingNetwork) -> Result<u32> {
    let message = ChatMessage {
        role: Role::User,
        parts: vec![ChatPart::Text("a".to_owned())],
    };
    let rows = network.prompt(&[message])?.rows;
    let ends = &network.stop().tokens;
    let mut tokens = rows.iter().rev().map(|row| row.token);
    let in_template = tokens.find(|token| ends.contains(token));
    in_template
        .or(ends.first().copied())
        .ok_or_else(|| Error::Checkpoint {
            path: base.to_owned(),
            reason: "names no token that ends a reply".to_owned(),
        })
}
