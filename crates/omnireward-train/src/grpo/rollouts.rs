//! Where replies come from.

use std::path::PathBuf;

use omnireward_core::{ChatMessage, Finish, ModelError};
use omnireward_models::{
    generation::{End, Finished, GeneratorOptions, Prompt, Request, Sampling},
    writer::WritingNetwork,
};

use super::Rollout;
use crate::{Error, Result, lanes::Lanes, recipe::RolloutRecipe};

/// A question to be asked several times.
#[derive(Clone, Copy, Debug)]
pub struct RolloutRequest<'a> {
    /// The conversation.
    pub messages: &'a [ChatMessage],
    /// The same as the model reads it.
    pub prompt: &'a Prompt,
    /// The number of its first reply. Replies of the same number to the same prompt are the same, and no number occurs
    /// twice in a training.
    pub first: u64,
    /// How many replies are wanted.
    pub count: usize,
    /// The token that ends a turn.
    pub end: u32,
}

/// What samples replies.
pub trait RolloutEngine: Send {
    /// The folder that the policy's weights are to be written into before replies are sampled: an adapter where one is
    /// trained, else a checkpoint. None when it samples by the weights in memory.
    fn hand_over(&self) -> Option<PathBuf> {
        None
    }

    /// Takes up the weights that were handed over.
    ///
    /// # Errors
    ///
    /// When they cannot be taken up; the training ends with it.
    fn take_up(&mut self) -> Result<(), ModelError> {
        Ok(())
    }

    /// The replies to each request, in its order.
    ///
    /// # Errors
    ///
    /// When replies cannot be had; the training ends with it, and can be gone on with.
    fn sample(
        &mut self,
        network: &WritingNetwork,
        requests: &[RolloutRequest<'_>],
        recipe: &RolloutRecipe,
        seed: u64,
    ) -> Result<Vec<Vec<Rollout>>>;
}

/// Samples by the weights that are trained: prompts are computed once for all replies to them, both orders of a pair
/// share their beginning, and replies that end make room for others.
#[derive(Debug, Default)]
pub struct LocalEngine {
    lanes: Lanes,
}

impl LocalEngine {
    /// An engine whose threads have replies of their own each, as `train.side_by_side` wants them, or share all. The
    /// replies are the same.
    pub fn new(side_by_side: bool) -> Self {
        Self {
            lanes: Lanes::new(side_by_side),
        }
    }
}

impl RolloutEngine for LocalEngine {
    fn sample(
        &mut self,
        network: &WritingNetwork,
        requests: &[RolloutRequest<'_>],
        recipe: &RolloutRecipe,
        seed: u64,
    ) -> Result<Vec<Vec<Rollout>>> {
        let of_lane = requests.len().div_ceil(self.lanes.count()).max(1);
        let parts: Vec<&[RolloutRequest<'_>]> = requests.chunks(of_lane).collect();
        let mut replies = Vec::with_capacity(requests.len());
        let work = |part: usize| sample(network, parts[part], recipe, seed);
        self.lanes.each(parts.len(), work, |part| {
            replies.extend(part);
            Ok(())
        })?;
        Ok(replies)
    }
}

/// The replies to requests that are asked together.
fn sample(
    network: &WritingNetwork,
    requests: &[RolloutRequest<'_>],
    recipe: &RolloutRecipe,
    seed: u64,
) -> Result<Vec<Vec<Rollout>>> {
    let options = GeneratorOptions {
        rows: recipe.kept_rows,
        batch_rows: recipe.batch_rows,
    };
    let sampling = Sampling {
        temperature: recipe.temperature,
        top_p: recipe.top_p,
        top_k: recipe.top_k.unwrap_or(0),
        repetition_penalty: recipe.repetition_penalty,
        seed,
        max_tokens: recipe.max_tokens as usize,
    };
    let mut generator = network.generator(options)?;
    let mut ids = Vec::with_capacity(requests.len());
    for request in requests {
        ids.push(generator.add(Request {
            prompt: request.prompt.clone(),
            samples: request.first..request.first + request.count as u64,
            sampling,
            stop: network.stop().clone(),
            constraint: None,
            watched: None,
        })?);
    }
    let mut replies: Vec<Vec<Rollout>> = requests.iter().map(|_| Vec::new()).collect();
    // Sorted by request and number, as the ids are.
    for finished in generator.run()? {
        let request = ids.partition_point(|id| *id < finished.request);
        replies[request].push(rollout(finished, network));
    }
    Ok(replies)
}

fn rollout(finished: Finished, network: &WritingNetwork) -> Rollout {
    Rollout {
        text: network.text_of(&finished.reply),
        finish: match finished.reply.end {
            End::Token | End::String | End::Choice => Finish::Stop,
            End::Length => Finish::Length,
        },
        tokens: finished.reply.tokens,
    }
}

impl Rollout {
    /// A reply that another engine has written: its tokens are those of its text, and `end` after it, unless it was cut.
    ///
    /// # Errors
    ///
    /// When the tokenizer refuses the text.
    pub fn written(
        text: String,
        finish: Finish,
        network: &WritingNetwork,
        end: u32,
    ) -> Result<Self> {
        let mut tokens = network.tokens(&text)?;
        if finish != Finish::Length {
            tokens.push(end);
        }
        Ok(Self {
            tokens,
            text,
            finish,
        })
    }
}

/// Fails when an engine gave other replies than it was asked for.
pub(super) fn check(pair: &str, request: &RolloutRequest<'_>, replies: &[Rollout]) -> Result<()> {
    let is_empty = |reply: &Rollout| reply.tokens.is_empty();
    if replies.len() == request.count && !replies.iter().any(is_empty) {
        return Ok(());
    }
    Err(Error::Replies {
        pair: pair.to_owned(),
        expected: request.count,
        found: replies.len(),
    })
}
