//! The model that is trained: a network over weights of which some are variables.

use std::{collections::HashMap, path::Path};

use candle_core::{Device, Tensor};
use omnireward_models::{
    HeadPrecision, NetworkOptions, RewardNetwork, checkpoint::layout::Part, weights::Weights,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::forward::Learner;
use crate::{
    Error, Recipe, Result,
    objective::Objective,
    optimiser::{AdamW, AdamWConfig, ScalarAdam},
    recipe::NewHead,
    variables::{Choice, Variables},
};

/// A checkpoint whose chosen tensors are variables.
pub(super) struct Trainee {
    pub(super) variables: Variables,
    pub(super) network: RewardNetwork,
    pub(super) optimiser: AdamW,
    /// The parameter of ties, with its optimiser.
    pub(super) tie: f64,
    pub(super) tie_optimiser: ScalarAdam,
    checkpointing: bool,
    lowest_stage: usize,
    pub(super) trains_media: bool,
    pub(super) step: u64,
}

impl Trainee {
    /// Opens the checkpoint at `base`, with the language model's own head where it is to learn words.
    ///
    /// # Errors
    ///
    /// Fails when the checkpoint cannot be opened, when it lacks a head and the recipe makes none, when it has one and
    /// the recipe would make another, and when the recipe's parts are not in it.
    pub(super) fn open(base: &Path, recipe: &Recipe, learns_words: bool) -> Result<Self> {
        let opened = Weights::open(base)?;
        let stored = with_head(&opened, base, recipe)?;
        let train = &recipe.train;
        let choice = Choice {
            // Where the decoder has adapters, its own weights stay.
            trains: &|name: &str| train.trains(name) && !(train.lora.is_some() && is_decoder(name)),
            freeze: &train.freeze,
            lora: train.lora.as_ref(),
            seed: train.seed,
            dtype: recipe.model.precision.dtype(&opened),
        };
        let variables = Variables::open(base, stored, &choice)?;
        check_parts(&variables, recipe)?;
        let weights = variables.weights()?;
        let options = NetworkOptions {
            precision: recipe.model.precision,
            head_precision: HeadPrecision::F32,
            preprocessing: recipe.model.preprocessing.clone(),
            max_length: Some(recipe.model.max_length),
            too_long: recipe.model.too_long,
            ..NetworkOptions::default()
        };
        let mut network = RewardNetwork::new(base, &weights, &options)?;
        if learns_words {
            network = network.with_lm_head(&weights)?;
        }
        Ok(Self {
            optimiser: AdamW::new(variables.parameters(), config(recipe))?,
            tie: recipe.objective.tie,
            tie_optimiser: ScalarAdam::new(config(recipe)),
            checkpointing: recipe.train.gradient_checkpointing,
            lowest_stage: variables.lowest_stage(),
            trains_media: variables.encode_media(),
            step: 0,
            variables,
            network,
        })
    }

    /// The network as it is now, and the optimiser that takes what is learned with it.
    pub(super) fn split<'a>(
        &'a mut self,
        objective: &'a Objective,
    ) -> (Learner<'a>, &'a mut AdamW) {
        let learner = Learner {
            network: &self.network,
            objective,
            tie: self.tie,
            checkpointing: self.checkpointing,
            lowest_stage: self.lowest_stage,
            step: self.step,
        };
        (learner, &mut self.optimiser)
    }

    /// One step of the optimiser over what was added up.
    pub(super) fn update(&mut self, rate: f64, scale: f64) -> Result<()> {
        self.optimiser.step(rate, scale)?;
        self.step += 1;
        Ok(())
    }

    /// One step of the parameter of ties.
    pub(super) fn update_tie(&mut self, rate: f64, gradient: f64) {
        self.tie_optimiser.step(&mut self.tie, gradient, rate);
    }
}

/// The checkpoint's tensors, with a new head where the recipe makes one.
fn with_head(weights: &Weights, base: &Path, recipe: &Recipe) -> Result<Weights> {
    let heads: Vec<&str> = weights
        .names()
        .filter(|name| Part::of(name) == Some(Part::Head))
        .collect();
    let wrong = |reason: String| {
        Err(Error::Checkpoint {
            path: base.to_owned(),
            reason,
        })
    };
    match (recipe.model.new_head, heads.first()) {
        (None, Some(_)) => Ok(weights.clone()),
        (None, None) => wrong("has no reward head; `model.new_head` makes one".to_owned()),
        (Some(_), Some(head)) => wrong(format!(
            "has a reward head already (`{head}`), and `model.new_head` would make another"
        )),
        (Some(head), None) => {
            let Some(hidden) = hidden(weights) else {
                return wrong(
                    "has no norm after its decoder, and so no width for a head".to_owned(),
                );
            };
            Ok(weights.with_tensors(new_head(head, hidden, recipe.train.seed)?))
        }
    }
}

/// The width of the decoder's last norm.
fn hidden(weights: &Weights) -> Option<usize> {
    let norm = weights
        .names()
        .find(|name| name.ends_with("model.norm.weight"))?;
    weights.info(norm)?.shape.first().copied()
}

/// A head of numbers drawn from `U(−1/√hidden, 1/√hidden)`, as torch begins a linear layer.
fn new_head(head: NewHead, hidden: usize, seed: u64) -> Result<HashMap<String, Tensor>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let bound = 1.0 / (hidden as f32).sqrt();
    let mut drawn = |shape: &[usize]| {
        let numbers: Vec<f32> = (0..shape.iter().product())
            .map(|_| random.random_range(-bound..bound))
            .collect();
        Tensor::from_vec(numbers, shape, &Device::Cpu)
    };
    let mut tensors = HashMap::new();
    match head {
        NewHead::Value => {
            tensors.insert("v_head.summary.weight".to_owned(), drawn(&[1, hidden])?);
            tensors.insert("v_head.summary.bias".to_owned(), drawn(&[1])?);
        }
        NewHead::Score => {
            tensors.insert("score.weight".to_owned(), drawn(&[1, hidden])?);
        }
    }
    Ok(tensors)
}

/// Fails when a part that is to be trained has no tensor.
fn check_parts(variables: &Variables, recipe: &Recipe) -> Result<()> {
    for part in &recipe.train.parts {
        if recipe.train.lora.is_some() && part.stored() == Part::Language {
            continue;
        }
        let is_there = |name: &String| Part::of(name) == Some(part.stored());
        if !variables.names().any(is_there) {
            return Err(Error::Checkpoint {
                path: variables.stored().origin().to_owned(),
                reason: format!(
                    "has no tensor to train in part `{part}`, which `train.parts` names"
                ),
            });
        }
    }
    Ok(())
}

fn is_decoder(name: &str) -> bool {
    Part::of(name) == Some(Part::Language)
}

fn config(recipe: &Recipe) -> AdamWConfig {
    AdamWConfig {
        betas: recipe.train.betas,
        epsilon: recipe.train.epsilon,
        weight_decay: recipe.train.weight_decay,
    }
}
