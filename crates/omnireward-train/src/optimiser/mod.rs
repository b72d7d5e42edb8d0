//! `AdamW` (Loshchilov and Hutter 2019, algorithm 2) over the variables of a model.
//!
//! Gradients of micro-batches are [added up](AdamW::accumulate), their [norm](AdamW::norm) is taken, and
//! [`AdamW::step`] changes the variables in place: with `g` the gradient, `w` a weight, `t` counting the steps of
//! its variable, `α` the rate, `β₁`, `β₂`, `ε` and `λ` the settings,
//!
//! ```text
//! m ← m + (1-β₁)·(g - m)        v ← β₂·v + (1-β₂)·g²
//! w ← w - α/(1-β₁ᵗ) · m / (√v / √(1-β₂ᵗ) + ε) - α·λ·w
//! ```
//!
//! as `torch.optim.AdamW` does, but that the two subtractions are one, and round once. A variable that got no
//! gradient since the last step stays as it is, and its steps are not counted.
//!
//! On the processor a step is one pass over memory, by all threads; elsewhere it is composed of the framework's
//! operators. Moments, and the master weights of `bf16` variables, are `f32`. Every number is the same for any number
//! of threads.

mod fused;
mod gradient;
mod moments;
mod plain;
mod saved;
mod scalar;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, path::Path};

use candle_core::{DType, Tensor, Var, backprop::GradStore};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use scalar::ScalarAdam;

use crate::{Error, Result};
use gradient::Gradient;
use moments::State;

/// Numbers that one thread works on at a time, and that are added up in one block.
const BLOCK: usize = 1 << 14;

/// A variable that is trained.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// What it is called in the checkpoint.
    pub name: String,
    /// Its numbers, `f32` or `bf16`.
    pub var: Var,
    /// Whether weight decay applies to it.
    pub decays: bool,
}

/// The settings of `AdamW`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamWConfig {
    /// How much of the first and of the second moment each step keeps.
    pub betas: (f64, f64),
    /// What is added to the root of the second moment.
    pub epsilon: f64,
    /// The share of a weight that a step takes away, before the learning rate is multiplied in.
    pub weight_decay: f64,
}

/// Variables, their gradients since the last step, and their moments.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    slots: Vec<Slot>,
}

impl AdamW {
    /// An optimiser that has taken no step.
    ///
    /// # Errors
    ///
    /// Fails when a name or a variable occurs twice, and when a variable is neither `f32` nor `bf16`.
    pub fn new(parameters: Vec<Parameter>, config: AdamWConfig) -> Result<Self> {
        check_distinct(&parameters)?;
        let slots = parameters
            .into_iter()
            .map(Slot::new)
            .collect::<Result<_>>()?;
        Ok(Self { config, slots })
    }

    /// What is trained, in the order given.
    pub fn parameters(&self) -> impl ExactSizeIterator<Item = &Parameter> {
        self.slots.iter().map(|slot| &slot.parameter)
    }

    /// Adds the gradients of one backward pass to those since the last step. Variables that have none are left alone.
    ///
    /// The first gradient of a variable since the last step is kept as it is, without a copy; further ones are added
    /// in `f32`.
    pub fn accumulate(&mut self, gradients: &GradStore) -> Result<()> {
        for slot in &mut self.slots {
            if let Some(gradient) = gradients.get(&slot.parameter.var) {
                slot.accumulate(gradient)?;
            }
        }
        Ok(())
    }

    /// Adds a gradient of parameter `index`; see [`accumulate`](Self::accumulate).
    ///
    /// # Errors
    ///
    /// Fails when its shape is not that of the parameter.
    ///
    /// # Panics
    ///
    /// Panics when there are not so many parameters.
    pub fn accumulate_one(&mut self, index: usize, gradient: &Tensor) -> Result<()> {
        self.slots[index].accumulate(gradient)
    }

    /// The length of the gradient since the last step times `scale`, over all parameters together, in `f64`. Not
    /// finite when a number of it is not.
    pub fn norm(&self, scale: f64) -> Result<f64> {
        let (here, elsewhere): (Vec<&Slot>, Vec<&Slot>) = self
            .slots
            .iter()
            .partition(|slot| slot.state.is_on_processor());
        let mut squares = here
            .into_par_iter()
            .map(|slot| slot.gradient.squares())
            .collect::<candle_core::Result<Vec<f64>>>()?;
        for slot in elsewhere {
            squares.push(slot.gradient.squares()?);
        }
        Ok(squares.iter().sum::<f64>().sqrt() * scale.abs())
    }

    /// Takes a step of learning rate `rate` along the gradient since the last one times `scale`, and forgets it.
    pub fn step(&mut self, rate: f64, scale: f64) -> Result<()> {
        let config = self.config;
        let (here, elsewhere): (Vec<&mut Slot>, Vec<&mut Slot>) = self
            .slots
            .iter_mut()
            .partition(|slot| slot.state.is_on_processor());
        here.into_par_iter()
            .try_for_each(|slot| slot.step(&config, rate, scale))?;
        for slot in elsewhere {
            slot.step(&config, rate, scale)?;
        }
        Ok(())
    }

    /// Forgets the gradient since the last step.
    pub fn discard(&mut self) {
        for slot in &mut self.slots {
            slot.gradient.clear();
        }
    }

    /// Parameters that never received a gradient, by name.
    pub fn without_gradient(&self) -> Vec<&str> {
        let unreached = self.slots.iter().filter(|slot| !slot.reached);
        unreached.map(|slot| slot.parameter.name.as_str()).collect()
    }

    /// Writes moments, master weights and counts of steps as a safetensors file, to the last bit. Variables that are
    /// `f32` have no master weights: their numbers are the checkpoint's to keep.
    ///
    /// Gradients since the last step are not written.
    pub fn save(&self, path: &Path) -> Result<()> {
        saved::write(&self.slots, path)
    }

    /// Takes up what [`save`](Self::save) wrote. Variables with master weights are set to these, rounded.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, when the file is damaged or was saved for other parameters. When it fails because
    /// reading broke off in the middle, the optimiser is not to be used any more.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        saved::read(&mut self.slots, path)
    }
}

/// A parameter with what belongs to it.
#[derive(Debug)]
struct Slot {
    parameter: Parameter,
    state: State,
    gradient: Gradient,
    /// Whether it ever received a gradient.
    reached: bool,
    /// Steps taken.
    steps: u64,
}

/// One step of one parameter: what its numbers are multiplied by.
#[derive(Clone, Copy, Debug)]
struct Update {
    /// Of the gradient.
    scale: f32,
    /// `1 - β₁`.
    first_share: f32,
    /// `β₂`.
    second_kept: f32,
    /// `1 - β₂`.
    second_share: f32,
    /// `1 / √(1 - β₂ᵗ)`.
    second_correction: f32,
    epsilon: f32,
    /// `α / (1 - β₁ᵗ)`.
    rate: f32,
    /// `α·λ`.
    decay: f32,
}

impl Slot {
    fn new(parameter: Parameter) -> Result<Self> {
        if !matches!(parameter.var.dtype(), DType::F32 | DType::BF16) {
            return Err(Error::ParameterType {
                name: parameter.name,
                found: parameter.var.dtype().as_str(),
            });
        }
        Ok(Self {
            state: State::new(&parameter.var)?,
            parameter,
            gradient: Gradient::default(),
            reached: false,
            steps: 0,
        })
    }

    fn accumulate(&mut self, gradient: &Tensor) -> Result<()> {
        let Parameter { name, var, .. } = &self.parameter;
        if gradient.dims() != var.dims() {
            return Err(Error::GradientShape {
                name: name.clone(),
                found: gradient.dims().to_vec(),
                expected: var.dims().to_vec(),
            });
        }
        self.gradient.add(gradient)?;
        self.reached = true;
        Ok(())
    }

    fn step(&mut self, config: &AdamWConfig, rate: f64, scale: f64) -> Result<()> {
        let Some(gradient) = self.gradient.tensor() else {
            return Ok(());
        };
        let update = Update::new(config, self.parameter.decays, self.steps + 1, rate, scale);
        self.state.step(&self.parameter.var, gradient, &update)?;
        self.steps += 1;
        self.gradient.clear();
        Ok(())
    }
}

impl Update {
    fn new(config: &AdamWConfig, decays: bool, steps: u64, rate: f64, scale: f64) -> Self {
        let (first, second) = config.betas;
        let weight_decay = if decays { config.weight_decay } else { 0.0 };
        Self {
            scale: scale as f32,
            first_share: (1.0 - first) as f32,
            second_kept: second as f32,
            second_share: (1.0 - second) as f32,
            second_correction: (1.0 / remembered(second, steps).sqrt()) as f32,
            epsilon: config.epsilon as f32,
            rate: (rate / remembered(first, steps)) as f32,
            decay: (rate * weight_decay) as f32,
        }
    }
}

/// `1 - βᵗ`: how much of a moment the gradients of so many steps make up; the rest is the zero it began with.
fn remembered(beta: f64, steps: u64) -> f64 {
    1.0 - beta.powf(steps as f64)
}

/// What a gradient is multiplied by so that its norm is at most `most`, as torch's `clip_grad_norm_` does.
pub(crate) fn clipped(norm: f64, most: f64) -> f64 {
    if most > 0.0 {
        (most / (norm + 1e-6)).min(1.0)
    } else {
        1.0
    }
}

fn check_distinct(parameters: &[Parameter]) -> Result<()> {
    let mut names = HashSet::new();
    let mut vars = HashSet::new();
    let twice = parameters.iter().find(|parameter| {
        let is_new = names.insert(&parameter.name) && vars.insert(parameter.var.id());
        !is_new
    });
    match twice {
        Some(parameter) => Err(Error::ParameterTwice {
            name: parameter.name.clone(),
        }),
        None => Ok(()),
    }
}
