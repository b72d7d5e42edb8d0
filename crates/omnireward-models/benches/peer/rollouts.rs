//! Several replies to one prompt, each of a fixed length.

use std::path::Path;

use omnireward_models::{
    decoder::{Decoder, DecoderConfig},
    generation::{Generator, GeneratorOptions, Prompt, Request, Sampling, Stop},
    weights::Weights,
};

use crate::{Case, Error, Work, inputs::Inputs};

pub(crate) struct Rollouts {
    decoder: Decoder,
    prompt: Prompt,
    replies: u64,
    tokens: usize,
}

impl Rollouts {
    pub(crate) fn open(case: &Case, inputs: &Path) -> Result<Self, Error> {
        let folder = case.checkpoint()?;
        let path = folder.join("config.json");
        let config =
            DecoderConfig::from_json(&serde_json::from_slice(&std::fs::read(&path)?)?, &path)?;
        let (weights, placement) = (Weights::open(folder)?, case.placement());
        Ok(Self {
            decoder: Decoder::load(&config, &weights.scope("model", &placement))?
                .with_lm_head(&weights.scope("", &placement))?,
            prompt: Prompt {
                rows: Inputs::read(inputs)?.sequences.remove(0),
                ..Prompt::default()
            },
            replies: case.replies,
            tokens: case.size,
        })
    }
}

impl Work for Rollouts {
    /// The tokens of the first reply. All are greedy, which takes as long as drawing does, so that both sides can be seen
    /// to write the same.
    fn run(&self) -> Result<Vec<f64>, Error> {
        let mut generator = Generator::new(&self.decoder, GeneratorOptions::default())?;
        generator.add(Request {
            prompt: self.prompt.clone(),
            samples: 0..self.replies,
            sampling: Sampling {
                max_tokens: self.tokens,
                ..Sampling::default()
            },
            stop: Stop::default(),
            constraint: None,
            watched: None,
        })?;
        let replies = generator.run()?;
        let first = replies.first().ok_or("there is no reply")?;
        let tokens = first.reply.tokens.iter();
        Ok(tokens.map(|token| f64::from(*token)).collect())
    }
}
