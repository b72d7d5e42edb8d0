//! Where a model's numbers come from: safetensors shards, GGUF files, or tensors in memory.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// The matrix of a linear layer or an embedding table, wherever it is kept.
#[derive(Clone, Debug)]
pub enum Weight {
    /// A tensor of the framework: on an accelerator, or being trained.
    Tensor(Tensor),
}

impl Weight {
    /// `[out, in]`.
    pub fn dims(&self) -> (usize, usize) {
        match self {
            Self::Tensor(tensor) => (tensor.dims()[0], tensor.dims()[1]),
        }
    }

    /// The whole matrix as a tensor; copies, and converts, unless it is one of that type already.
    pub fn tensor(&self, device: &Device, dtype: DType) -> candle_core::Result<Tensor> {
        match self {
            Self::Tensor(tensor) => tensor.to_device(device)?.to_dtype(dtype),
        }
    }

    /// Rows `indices` of the matrix (an embedding lookup): `[indices, in]`.
    pub fn rows(&self, indices: &[u32], device: &Device, dtype: DType) -> candle_core::Result<Tensor> {
        let indices = Tensor::new(indices, device)?;
        self.tensor(device, dtype)?.index_select(&indices, 0)
    }
}

/// All tensors of a checkpoint, by name. Nothing is read until it is asked for.
#[derive(Clone, Debug)]
pub struct Weights {
    origin: PathBuf,
    tensors: Arc<BTreeMap<String, Tensor>>,
}

impl Weights {
    /// Tensors that are in memory already, for tests and training.
    pub fn in_memory(tensors: HashMap<String, Tensor>) -> Self {
        Self {
            origin: PathBuf::from("memory"),
            tensors: Arc::new(tensors.into_iter().collect()),
        }
    }

    /// Where they come from, for messages.
    pub fn origin(&self) -> &Path {
        &self.origin
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensors whose names begin with `prefix`, placed where and as `placement` says.
    pub fn scope(&self, prefix: &str, placement: &Placement) -> Scope {
        Scope {
            weights: self.clone(),
            prefix: prefix.to_owned(),
            placement: placement.clone(),
        }
    }
}

/// Where a model computes, and in which type.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The device.
    pub device: Device,
    /// The type of activations: `f32` or `bf16`.
    pub dtype: DType,
}

/// The tensors under one prefix.
#[derive(Clone, Debug)]
pub struct Scope {
    weights: Weights,
    prefix: String,
    placement: Placement,
}

impl Scope {
    /// The tensors one level further down.
    pub fn under(&self, name: impl std::fmt::Display) -> Self {
        Self {
            prefix: self.full(&name.to_string()),
            ..self.clone()
        }
    }

    /// Where the model computes.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Whether there is a tensor of that name.
    pub fn has(&self, name: &str) -> bool {
        self.weights.tensors.contains_key(&self.full(name))
    }

    /// A small tensor (a norm, a bias, a table), copied to the device in the type of activations.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.checked(name, shape)?;
        Ok(tensor
            .to_device(&self.placement.device)?
            .to_dtype(self.placement.dtype)?)
    }

    /// A matrix of shape `[out, in]`, kept where it is.
    pub fn weight(&self, name: &str, out: usize, inner: usize) -> Result<Weight> {
        Ok(Weight::Tensor(self.checked(name, &[out, inner])?))
    }

    fn checked(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let full = self.full(name);
        let tensor = self
            .weights
            .tensors
            .get(&full)
            .ok_or_else(|| Error::MissingTensor {
                tensor: full.clone(),
                path: self.weights.origin.clone(),
            })?;
        if tensor.dims() == shape {
            Ok(tensor.clone())
        } else {
            Err(Error::Shape {
                tensor: full,
                path: self.weights.origin.clone(),
                found: tensor.dims().to_vec(),
                expected: shape.to_vec(),
            })
        }
    }

    fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }
}
