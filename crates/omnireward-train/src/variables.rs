//! A checkpoint some of whose tensors are trained: by themselves, or by low-rank adapters.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor, Var};
use omnireward_core::Progress;
use omnireward_models::{
    checkpoint::{Derived, layout::Part},
    lora::{Lora, LoraConfig},
    weights::{Placement, Weights},
};

use crate::{Error, Result, optimiser::Parameter, recipe::LoraRecipe};

/// Bytes of a weight file at most, as published checkpoints are cut.
const SHARD_BYTES: usize = 5_000_000_000;

/// The variables of a training, and the checkpoint that they belong to.
pub(crate) struct Variables {
    base: PathBuf,
    /// The base, as it is stored.
    stored: Weights,
    by_name: HashMap<String, Var>,
    lora: Option<Lora>,
}

/// What of a checkpoint is trained.
pub(crate) struct Choice<'a> {
    /// Whether the tensor of a name is trained by itself.
    pub(crate) trains: &'a dyn Fn(&str) -> bool,
    /// Beginnings of names that stay as they are.
    pub(crate) freeze: &'a [String],
    pub(crate) lora: Option<&'a LoraRecipe>,
    /// What new adapters come from.
    pub(crate) seed: u64,
    /// The type that the model computes in.
    pub(crate) dtype: DType,
}

impl Variables {
    /// Makes variables of tensors of `stored`, the weights of the checkpoint at `base`, each in the type it computes in.
    ///
    /// # Errors
    ///
    /// Fails when a beginning of names is that of no tensor, and when there is nothing to adapt.
    pub(crate) fn open(base: &Path, stored: Weights, choice: &Choice<'_>) -> Result<Self> {
        let mut variables = plain(&stored, base, choice)?;
        let mut lora = None;
        if let Some(config) = choice.lora.map(config) {
            let new = Lora::initialise(config.clone(), &stored, choice.seed)?;
            let factors = new
                .tensors()
                .iter()
                .map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(tensor)?)))
                .collect::<Result<HashMap<_, _>>>()?;
            lora = Some(Lora::new(config, tensors(&factors))?);
            variables.extend(factors);
        }
        Ok(Self {
            base: base.to_owned(),
            stored,
            by_name: variables,
            lora,
        })
    }

    /// The base, as it is stored.
    pub(crate) fn stored(&self) -> &Weights {
        &self.stored
    }

    /// The checkpoint's weights with variables and adapters in their places.
    pub(crate) fn weights(&self) -> Result<Weights> {
        let mut plain: HashMap<String, Tensor> = tensors(&self.by_name);
        let Some(lora) = &self.lora else {
            return Ok(self.stored.with_tensors(plain));
        };
        plain.retain(|name, _| !lora.tensors().contains_key(name));
        Ok(lora.over(&self.stored.with_tensors(plain))?)
    }

    /// What is trained.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.by_name.keys()
    }

    /// Variables as the optimiser takes them, in the order of their names. Biases, norms and other vectors do not decay.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        let mut names: Vec<&String> = self.by_name.keys().collect();
        names.sort();
        names
            .into_iter()
            .map(|name| {
                let var = self.by_name[name].clone();
                Parameter {
                    name: name.clone(),
                    decays: var.dims().len() > 1,
                    var,
                }
            })
            .collect()
    }

    /// Numbers that are trained.
    pub(crate) fn count(&self) -> u64 {
        let counts = self.by_name.values().map(|var| var.elem_count() as u64);
        counts.sum()
    }

    /// The lowest layer of the decoder in which, or below which, something is trained; past the last when it is none.
    pub(crate) fn lowest_stage(&self) -> usize {
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
        self.names().map(stage).min().unwrap_or(usize::MAX)
    }

    /// Whether a tower, or what stands between it and the decoder, is trained.
    pub(crate) fn encode_media(&self) -> bool {
        self.names().any(|name| encodes_media(name))
    }

    /// Writes the checkpoint into `out`, with other files beside its own.
    pub(crate) fn write(
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
    fn checkpoint_bytes(&self) -> Result<u64> {
        Ok(self.derived(&self.changed()?).bytes()?)
    }

    /// Bytes that a training writes that keeps so many checkpoints besides the best and the last.
    pub(crate) fn bytes_in_all(&self, checkpoints: u64) -> Result<u64> {
        let state = 16 * self.count();
        Ok(self.checkpoint_bytes()? * (checkpoints + 2) + 2 * state)
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

    /// Writes the adapter into a folder of its own, in PEFT's layout, and says whether one is trained.
    pub(crate) fn write_adapter(&self, out: &Path) -> Result<bool> {
        let Some(lora) = &self.lora else {
            return Ok(false);
        };
        fs::create_dir_all(out).map_err(|source| Error::io(out, source))?;
        lora.write(out, &self.base.display().to_string())?;
        Ok(true)
    }

    /// What is trained, by name.
    pub(crate) fn values(&self) -> HashMap<String, Tensor> {
        let values = self.by_name.iter();
        values
            .map(|(name, var)| (name.clone(), var.as_detached_tensor()))
            .collect()
    }

    /// Gives the variables the values of an earlier moment.
    pub(crate) fn set_values(&mut self, values: &Weights, origin: &Path) -> Result<()> {
        let placement = |var: &Var| Placement {
            device: Device::Cpu,
            dtype: var.dtype(),
        };
        for (name, var) in &self.by_name {
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

/// Tensors that are trained by themselves. A head computes in `f32`.
fn plain(stored: &Weights, base: &Path, choice: &Choice<'_>) -> Result<HashMap<String, Var>> {
    let unknown = (choice.freeze.iter())
        .find(|prefix| !stored.names().any(|name| name.starts_with(&prefix[..])));
    if let Some(prefix) = unknown {
        return Err(Error::NothingToFreeze {
            prefix: prefix.clone(),
            path: base.to_owned(),
        });
    }
    let mut variables = HashMap::new();
    for name in stored.names().filter(|&name| (choice.trains)(name)) {
        let info = stored.info(name).expect("the name is from the list");
        let is_head = Part::of(name) == Some(Part::Head);
        let placement = Placement {
            device: Device::Cpu,
            dtype: if is_head { DType::F32 } else { choice.dtype },
        };
        let tensor = stored.scope("", &placement).tensor(name, &info.shape)?;
        variables.insert(name.to_owned(), Var::from_tensor(&tensor)?);
    }
    Ok(variables)
}

/// Variables as the network takes them.
fn tensors<C: FromIterator<(String, Tensor)>>(variables: &HashMap<String, Var>) -> C {
    let tensors = variables.iter();
    tensors
        .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
        .collect()
}

fn config(lora: &LoraRecipe) -> LoraConfig {
    LoraConfig {
        rank: lora.rank,
        alpha: lora.alpha,
        targets: lora
            .targets
            .iter()
            .map(|target| target.name().to_owned())
            .collect(),
        rank_stabilised: false,
    }
}

fn encodes_media(name: &str) -> bool {
    matches!(
        Part::of(name),
        Some(Part::Vision | Part::Resampler | Part::Audio | Part::AudioProjection)
    )
}
