//! Low-rank adapters (Hu et al. 2021): a layer's matrix `W` is used as `W + s·B·A`, with `A` of a few rows and `B` of as
//! many columns, which are all that is trained.
//!
//! An adapter lies in a folder as PEFT writes it, `adapter_model.safetensors` beside `adapter_config.json`, with the
//! value head's file where the model has one. Its tensors are named as those of the [`Weights`] it is made for, with
//! [`A`], [`B`] and [`SCALE`] in the place of a layer's `weight`; a decoder that finds them there uses them.

mod config;
mod files;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use candle_core::{DType, Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

pub use config::LoraConfig;

use crate::{
    Error, Result,
    minicpm_o::weights::DECODER,
    ops::linear,
    weights::{Placement, Weight, Weights},
};

/// The name of a layer's first factor, `[rank, in]`.
pub const A: &str = "lora_A.weight";
/// The name of its second factor, `[out, rank]`.
pub const B: &str = "lora_B.weight";
/// The name of the number `s` that their product is multiplied with: `[1]`.
pub const SCALE: &str = "lora_scale";

/// Which layers can be adapted: those of a decoder, alone or in MiniCPM-o.
const DECODERS: [&str; 2] = ["model", DECODER];
const MATRICES: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// An adapter: the factors of the layers that it changes, and tensors that take the place of the model's own, such as
/// a head's.
#[derive(Clone, Debug)]
pub struct Lora {
    config: LoraConfig,
    tensors: BTreeMap<String, Tensor>,
}

impl Lora {
    /// An adapter that changes nothing yet: `A` uniform in `±1/√in`, as PEFT has it (Kaiming's with a slope of `√5`),
    /// and `B` zero. What a factor is depends on the seed and its name alone.
    ///
    /// # Errors
    ///
    /// Fails when a target is the name of no layer of the decoder.
    pub fn initialise(config: LoraConfig, weights: &Weights, seed: u64) -> Result<Self> {
        config
            .check()
            .map_err(|(field, reason)| adapter(weights.origin(), format!("`{field}`: {reason}")))?;
        if config.targets.is_empty() {
            return Err(adapter(weights.origin(), "no target is named".to_owned()));
        }
        let mut tensors = BTreeMap::new();
        for target in &config.targets {
            let layers: Vec<&str> = weights
                .names()
                .filter_map(layer_of_weight)
                .filter(|layer| is_target(layer, target))
                .collect();
            if layers.is_empty() {
                return Err(adapter(
                    weights.origin(),
                    format!(
                        "no layer is called `{target}`; a decoder's are {}",
                        MATRICES.join(", ")
                    ),
                ));
            }
            for layer in layers {
                let (out, inner) = matrix_dims(weights, layer)?;
                let a = format!("{layer}.{A}");
                tensors.insert(a.clone(), uniform((config.rank, inner), seed, &a)?);
                tensors.insert(
                    format!("{layer}.{B}"),
                    Tensor::zeros((out, config.rank), DType::F32, &Device::Cpu)?,
                );
            }
        }
        Ok(Self { config, tensors })
    }

    /// An adapter of these tensors: both factors of every layer that has one, and whatever takes the place of a tensor
    /// of the model.
    ///
    /// # Errors
    ///
    /// Fails when a factor lacks its other, is of another rank, or belongs to a layer that cannot be adapted.
    pub fn new(config: LoraConfig, tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let lora = Self { config, tensors };
        lora.check(Path::new("memory"))?;
        Ok(lora)
    }

    /// Reads an adapter from its folder.
    ///
    /// # Errors
    ///
    /// Names the file and what is wrong with it: a field that asks for something else than plain low-rank adapters, a
    /// factor without its other, a tensor of an unknown kind.
    pub fn read(dir: &Path) -> Result<Self> {
        let (config, tensors) = files::read(dir)?;
        let lora = Self { config, tensors };
        lora.check(dir)?;
        Ok(lora)
    }

    /// Writes the adapter into the folder `dir`, which must be there. `base` names the model that it belongs to.
    pub fn write(&self, dir: &Path, base: &str) -> Result<()> {
        files::write(self, dir, base)
    }

    /// How it was made.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// Its tensors but for the scales: what is trained, and what [`new`](Self::new) takes.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// The layers that it changes.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().filter_map(|name| layer_of_factor(name))
    }

    /// The weights of the model that it was made for, with the adapter beside them.
    ///
    /// # Errors
    ///
    /// Fails when the model lacks a layer that is changed, or has it in another size.
    pub fn over(&self, weights: &Weights) -> Result<Weights> {
        self.check_against(weights)?;
        let scale = Tensor::new(&[self.config.scale() as f32], &Device::Cpu)?;
        let scales = self
            .layers()
            .map(|layer| (format!("{layer}.{SCALE}"), scale.clone()));
        let tensors = self.tensors.clone().into_iter();
        Ok(weights.with_tensors(tensors.chain(scales).collect()))
    }

    /// What a tensor of the model is with the adapter merged into it; `None` where the adapter has no say.
    ///
    /// The sum `W + s·B·A` is made in `f32` and rounded once to the type that `W` is stored in.
    pub fn merged(&self, weights: &Weights, name: &str) -> Result<Option<Tensor>> {
        if let Some(tensor) = self.tensors.get(name) {
            return Ok(Some(tensor.clone()));
        }
        let factors = name.strip_suffix(".weight").and_then(|layer| {
            let factor = |which| self.tensors.get(&format!("{layer}.{which}"));
            Some((layer, factor(A)?, factor(B)?))
        });
        let Some((layer, a, b)) = factors else {
            return Ok(None);
        };
        let (out, inner) = matrix_dims(weights, layer)?;
        let base = weights.scope("", &exact()).weight(name, out, inner)?;
        let product = linear(&wide(b)?, &Weight::Tensor(wide(a)?.t()?), None)?;
        let sum = (base.tensor(&Device::Cpu, DType::F32)? + (product * self.config.scale())?)?;
        let stored = weights.info(name).map(|info| info.stored);
        Ok(Some(sum.to_dtype(match stored.as_deref() {
            Some("BF16") => DType::BF16,
            Some("F16") => DType::F16,
            _ => DType::F32,
        })?))
    }

    fn check(&self, path: &Path) -> Result<()> {
        self.config
            .check()
            .map_err(|(field, reason)| adapter(path, format!("`{field}`: {reason}")))?;
        let layers: BTreeSet<&str> = self.layers().collect();
        if layers.is_empty() {
            return Err(adapter(path, "it changes no layer".to_owned()));
        }
        for layer in layers {
            if !is_adaptable(layer) {
                let reason = format!("it changes `{layer}`, and only a decoder's layers can be");
                return Err(adapter(path, reason));
            }
            for (factor, side) in [(A, 0), (B, 1)] {
                let name = format!("{layer}.{factor}");
                let tensor = (self.tensors.get(&name))
                    .ok_or_else(|| adapter(path, format!("`{name}` is missing")))?;
                if tensor.rank() != 2 || tensor.dim(side)? != self.config.rank {
                    return Err(adapter(
                        path,
                        format!(
                            "`{name}` has shape {:?}, and the rank is {}",
                            tensor.dims(),
                            self.config.rank
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_against(&self, weights: &Weights) -> Result<()> {
        for layer in self.layers() {
            let (out, inner) = matrix_dims(weights, layer)?;
            for (factor, side, expected) in [(A, 1, inner), (B, 0, out)] {
                let name = format!("{layer}.{factor}");
                let found = self.tensors[&name].dims();
                if found[side] != expected {
                    let mut whole = [self.config.rank; 2];
                    whole[side] = expected;
                    return Err(Error::Shape {
                        tensor: name,
                        path: weights.origin().to_owned(),
                        found: found.to_vec(),
                        expected: whole.to_vec(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// The size of a layer's matrix.
fn matrix_dims(weights: &Weights, layer: &str) -> Result<(usize, usize)> {
    let name = format!("{layer}.weight");
    match weights.info(&name).map(|info| info.shape).as_deref() {
        Some([out, inner]) => Ok((*out, *inner)),
        _ => Err(Error::MissingTensor {
            tensor: name,
            path: weights.origin().to_owned(),
        }),
    }
}

/// The layer of a decoder that a matrix belongs to.
fn layer_of_weight(name: &str) -> Option<&str> {
    name.strip_suffix(".weight")
        .filter(|layer| is_adaptable(layer))
}

/// The layer that a factor belongs to.
fn layer_of_factor(name: &str) -> Option<&str> {
    let layer = name.strip_suffix(A).or_else(|| name.strip_suffix(B))?;
    layer.strip_suffix('.')
}

fn is_adaptable(layer: &str) -> bool {
    DECODERS.iter().any(|decoder| {
        layer
            .strip_prefix(decoder)
            .and_then(|rest| rest.strip_prefix(".layers."))
            .and_then(|rest| rest.split_once('.'))
            .is_some_and(|(_, matrix)| MATRICES.contains(&matrix))
    })
}

/// Whether a layer is called so: by its whole name, or by its last words, as PEFT has it.
fn is_target(layer: &str, target: &str) -> bool {
    layer
        .strip_suffix(target)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn uniform(shape: (usize, usize), seed: u64, name: &str) -> Result<Tensor> {
    let key = Sha256::new()
        .chain_update(seed.to_le_bytes())
        .chain_update(name)
        .finalize();
    let mut random = ChaCha8Rng::from_seed(key.into());
    let bound = (shape.1 as f32).sqrt().recip();
    let numbers: Vec<f32> = (0..shape.0 * shape.1)
        .map(|_| random.random_range(-bound..bound))
        .collect();
    Ok(Tensor::from_vec(numbers, shape, &Device::Cpu)?)
}

fn wide(tensor: &Tensor) -> candle_core::Result<Tensor> {
    tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)
}

fn exact() -> Placement {
    Placement {
        device: Device::Cpu,
        dtype: DType::F32,
    }
}

fn adapter(path: &Path, reason: String) -> Error {
    Error::Adapter {
        path: path.to_owned(),
        reason,
    }
}
