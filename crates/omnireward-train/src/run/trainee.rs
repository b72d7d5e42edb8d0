//! The model that is trained: a network over weights of which some are variables.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor, Var};
use omnireward_core::Progress;
use omnireward_models::{
    HeadPrecision, NetworkOptions, RewardNetwork,
    checkpoint::{Derived, layout::Part},
    lora::{Lora, LoraConfig},
    weights::{Placement, Weights},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::forward::Learner;
use crate::{
    Error, Recipe, Result,
    objective::Objective,
    optimiser::{AdamW, AdamWConfig, Parameter, ScalarAdam},
    recipe::NewHead,
};

/// Bytes of a weight file at most, as published checkpoints are cut.
const SHARD_BYTES: usize = 5_000_000_000;

/// A checkpoint whose chosen tensors are variables.
pub(super) struct Trainee {
    base: PathBuf,
    /// The base, as it is stored.
    stored: Weights,
    variables: HashMap<String, Var>,
    lora: Option<Lora>,
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
        let placement = Placement {
            device: Device::Cpu,
            dtype: recipe.model.precision.dtype(&opened),
        };
        let mut variables = variables(&stored, &placement, recipe)?;
        let mut weights = stored.with_tensors(tensors(&variables));
        let mut lora = None;
        if let Some(config) = lora_config(recipe) {
            let new = Lora::initialise(config.clone(), &stored, recipe.train.seed)?;
            let factors = new
                .tensors()
                .iter()
                .map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(tensor)?)))
                .collect::<Result<HashMap<_, _>>>()?;
            let adapter = Lora::new(config, tensors(&factors))?;
            weights = adapter.over(&weights)?;
            variables.extend(factors);
            lora = Some(adapter);
        }
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
            base: base.to_owned(),
            optimiser: AdamW::new(parameters(&variables), config(recipe))?,
            tie: recipe.objective.tie,
            tie_optimiser: ScalarAdam::new(config(recipe)),
            checkpointing: recipe.train.gradient_checkpointing,
            lowest_stage: lowest_stage(&variables),
            trains_media: variables.keys().any(|name| encodes_media(name)),
            step: 0,
            stored,
            variables,
            lora,
            network,
        })
    }

    /// Numbers that are trained.
    pub(super) fn trained(&self) -> u64 {
        let counts = self.variables.values().map(|var| var.elem_count() as u64);
        counts.sum()
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

    /// Writes the checkpoint into `out`, with other files beside its own.
    pub(super) fn write(
        &self,
        out: &Path,
        files: &[(&str, String)],
        progress: &dyn Progress,
    ) -> Result<()> {
        let changed = self.changed()?;
        let derived = Derived {
            files,
            ..self.derived(&changed)
        };
        Ok(derived.write(out, true, progress)?)
    }

    /// Bytes that a checkpoint takes.
    pub(super) fn checkpoint_bytes(&self) -> Result<u64> {
        Ok(self.derived(&self.changed()?).bytes()?)
    }

    fn derived<'a>(&'a self, changed: &'a HashMap<String, Tensor>) -> Derived<'a> {
        Derived {
            base: &self.base,
            weights: &self.stored,
            changed,
            files: &[],
            max_shard_bytes: SHARD_BYTES,
        }
    }

    /// Tensors of the checkpoint that differ from the base's. Adapters are merged into the weights that they adapt.
    fn changed(&self) -> Result<HashMap<String, Tensor>> {
        let mut changed = self.values();
        let Some(lora) = &self.lora else {
            return Ok(changed);
        };
        for factor in lora.tensors().keys() {
            changed.remove(factor);
        }
        for layer in lora.layers() {
            let name = format!("{layer}.weight");
            if let Some(merged) = lora.merged(&self.stored, &name)? {
                changed.insert(name, merged.detach());
            }
        }
        Ok(changed)
    }

    /// Writes the adapter into a folder of its own, in PEFT's layout, where one is trained.
    pub(super) fn write_adapter(&self, out: &Path) -> Result<()> {
        if let Some(lora) = &self.lora {
            fs::create_dir_all(out).map_err(|source| Error::io(out, source))?;
            lora.write(out, &self.base.display().to_string())?;
        }
        Ok(())
    }

    /// What is trained, by name.
    pub(super) fn values(&self) -> HashMap<String, Tensor> {
        let values = self.variables.iter();
        values
            .map(|(name, var)| (name.clone(), var.as_detached_tensor()))
            .collect()
    }

    /// Gives the variables the values of an earlier moment.
    pub(super) fn set_values(&mut self, values: &Weights, origin: &Path) -> Result<()> {
        let placement = |var: &Var| Placement {
            device: Device::Cpu,
            dtype: var.dtype(),
        };
        for (name, var) in &self.variables {
            let scope = values.scope("", &placement(var));
            if !scope.has(name) {
                return Err(Error::Damaged {
                    path: origin.to_owned(),
                    reason: format!("lacks tensor `{name}`"),
                });
            }
            var.set(&scope.tensor(name, var.dims())?)?;
        }
        Ok(())
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

/// Variables as the network takes them.
fn tensors<C: FromIterator<(String, Tensor)>>(variables: &HashMap<String, Var>) -> C {
    let tensors = variables.iter();
    tensors
        .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
        .collect()
}

/// Which adapters are trained, if any.
fn lora_config(recipe: &Recipe) -> Option<LoraConfig> {
    recipe.train.lora.as_ref().map(|lora| LoraConfig {
        rank: lora.rank,
        alpha: lora.alpha,
        targets: lora
            .targets
            .iter()
            .map(|target| target.name().to_owned())
            .collect(),
        rank_stabilised: false,
    })
}

/// What is trained, each in the type it computes in. Where the decoder has adapters, its own weights stay.
fn variables(
    weights: &Weights,
    placement: &Placement,
    recipe: &Recipe,
) -> Result<HashMap<String, Var>> {
    let unknown = (recipe.train.freeze.iter())
        .find(|prefix| !weights.names().any(|name| name.starts_with(&prefix[..])));
    if let Some(prefix) = unknown {
        return Err(Error::NothingToFreeze {
            prefix: prefix.clone(),
            path: PathBuf::from(&recipe.model.path),
        });
    }
    let mut variables = HashMap::new();
    let is_adapted =
        |name: &str| recipe.train.lora.is_some() && Part::of(name) == Some(Part::Language);
    let is_trained = |name: &&str| recipe.train.trains(name) && !is_adapted(name);
    for name in weights.names().filter(is_trained) {
        let info = weights.info(name).expect("the name is from the list");
        let is_head = Part::of(name) == Some(Part::Head);
        let placement = Placement {
            dtype: if is_head { DType::F32 } else { placement.dtype },
            ..placement.clone()
        };
        let tensor = weights.scope("", &placement).tensor(name, &info.shape)?;
        variables.insert(name.to_owned(), Var::from_tensor(&tensor)?);
    }
    for part in &recipe.train.parts {
        if recipe.train.lora.is_some() && part.stored() == Part::Language {
            continue;
        }
        let is_there = |name: &String| Part::of(name) == Some(part.stored());
        if !variables.keys().any(is_there) {
            return Err(Error::Checkpoint {
                path: weights.origin().to_owned(),
                reason: format!(
                    "has no tensor to train in part `{part}`, which `train.parts` names"
                ),
            });
        }
    }
    Ok(variables)
}

/// Variables as the optimiser takes them, in the order of their names. Biases, norms and other vectors do not decay.
fn parameters(variables: &HashMap<String, Var>) -> Vec<Parameter> {
    let mut names: Vec<&String> = variables.keys().collect();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let var = variables[name].clone();
            Parameter {
                name: name.clone(),
                decays: var.dims().len() > 1,
                var,
            }
        })
        .collect()
}

fn config(recipe: &Recipe) -> AdamWConfig {
    AdamWConfig {
        betas: recipe.train.betas,
        epsilon: recipe.train.epsilon,
        weight_decay: recipe.train.weight_decay,
    }
}

fn encodes_media(name: &str) -> bool {
    matches!(
        Part::of(name),
        Some(Part::Vision | Part::Resampler | Part::Audio | Part::AudioProjection)
    )
}

/// The lowest layer of the decoder in which, or below which, something is trained; past the last when it is the head.
fn lowest_stage(variables: &HashMap<String, Var>) -> usize {
    let stage = |name: &String| {
        if encodes_media(name) || name.contains("embed_tokens") {
            return 0;
        }
        let after = name.split_once(".layers.").map(|(_, after)| after);
        let number = after.and_then(|after| after.split('.').next());
        number
            .and_then(|number| number.parse().ok())
            .unwrap_or(usize::MAX)
    };
    variables.keys().map(stage).min().unwrap_or(usize::MAX)
}
