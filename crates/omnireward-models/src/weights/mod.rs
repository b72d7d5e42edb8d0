//! Where a model's numbers come from: safetensors shards, GGUF files, or tensors in memory.
//!
//! [`Weights::open`] maps the files of a checkpoint and reads their headers; no number is read until a model asks
//! for it. A model sees [`Scope`]s: the tensors under a prefix, checked against the shapes that its configuration
//! gives, so that a damaged or foreign checkpoint is refused before anything is computed. On the processor a
//! matrix stays where it is in its file ([`Weight::Mapped`], or [`Weight::Quantised`] with the blocks of a GGUF
//! file); on another device it is copied there, and the file's pages are let go.

mod file_map;
mod gguf;
mod mapped;
mod names;
mod quantised;
mod safetensors;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{DType, Device, Tensor};

pub use gguf::Gguf;
pub use mapped::{Elements, Mapped, StoredType};
pub use names::Renaming;
pub use quantised::Quantised;
pub use store::TensorInfo;
pub use writer::{Outline, TensorSink, write_checkpoint, write_safetensors, write_tensors};

use crate::{Error, Result, ops};
use file_map::FileMap;
use store::{Entry, Store};

/// The matrix of a linear layer or an embedding table, wherever it is kept.
#[derive(Clone, Debug)]
pub enum Weight {
    /// A tensor of the framework: on an accelerator, or being trained.
    Tensor(Tensor),
    /// In its file, as stored.
    Mapped(Mapped),
    /// In the blocks of a GGUF file.
    Quantised(Quantised),
}

impl Weight {
    /// `[out, in]`.
    pub fn dims(&self) -> (usize, usize) {
        match self {
            Self::Tensor(tensor) => (tensor.dims()[0], tensor.dims()[1]),
            Self::Mapped(mapped) => mapped.dims(),
            Self::Quantised(quantised) => quantised.dims(),
        }
    }

    /// The whole matrix as a tensor; copies, and converts, unless it is one of that type already.
    ///
    /// # Shapes
    ///
    /// Returns `[out, in]`.
    pub fn tensor(&self, device: &Device, dtype: DType) -> candle_core::Result<Tensor> {
        match self {
            Self::Tensor(tensor) => tensor.to_device(device)?.to_dtype(dtype),
            Self::Mapped(mapped) => mapped.tensor(device, dtype),
            Self::Quantised(quantised) => quantised.tensor(device, dtype),
        }
    }

    /// Rows `indices` of the matrix (an embedding lookup). Of a matrix in a file, only those are read.
    ///
    /// # Shapes
    ///
    /// Returns `[indices, in]`.
    pub fn rows(
        &self,
        indices: &[u32],
        device: &Device,
        dtype: DType,
    ) -> candle_core::Result<Tensor> {
        match self {
            Self::Tensor(tensor) => ops::rows(tensor, indices)?
                .to_device(device)?
                .to_dtype(dtype),
            Self::Mapped(mapped) => mapped.rows(indices, device, dtype),
            Self::Quantised(quantised) => quantised.rows(indices, device, dtype),
        }
    }

    /// Rows `rows` as a matrix of their own, without a copy: one block of a stacked projection.
    pub fn part(&self, rows: Range<usize>) -> candle_core::Result<Self> {
        let (out, _) = self.dims();
        if rows.start > rows.end || rows.end > out {
            candle_core::bail!("rows {rows:?} of a matrix of {out} rows");
        }
        Ok(match self {
            Self::Tensor(tensor) => Self::Tensor(tensor.narrow(0, rows.start, rows.len())?),
            Self::Mapped(mapped) => Self::Mapped(mapped.part(rows)),
            Self::Quantised(quantised) => Self::Quantised(quantised.part(rows)?),
        })
    }
}

/// All tensors of a checkpoint, by name. Nothing is read until it is asked for.
///
/// Names are those of the checkpoint, brought to one form: see [`Renaming`].
#[derive(Clone)]
pub struct Weights {
    store: Arc<Store>,
    gguf: GgufWeights,
}

/// How a checkpoint is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// What becomes of the matrices of a GGUF file.
    pub gguf: GgufWeights,
}

/// What becomes of the matrices of a GGUF file. A model computes the same numbers either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GgufWeights {
    /// They stay in their blocks, and are expanded piece by piece each time they are used.
    #[default]
    Keep,
    /// They are expanded into the type of activations once: faster, and larger by what the blocks had saved.
    Expand,
}

impl Weights {
    /// Opens a checkpoint: a directory of safetensors, one `.safetensors` file, or one `.gguf` file.
    ///
    /// A directory holds `model.safetensors.index.json` with its shards, or `model.safetensors`; the tensors of a
    /// `value_head.safetensors` beside them are joined to theirs. Files are told apart by what they hold. They are
    /// mapped, and must not be written to or shortened while in use.
    ///
    /// # Errors
    ///
    /// Fails when a file cannot be read, is cut short or has a bad header, when a shard that the index names is
    /// missing or lacks a tensor that the index says it has, and when two files hold tensors of the same name.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, OpenOptions::default())
    }

    /// As [`open`](Self::open), with choices.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(path: &Path, options: OpenOptions) -> Result<Self> {
        let store = if path.is_dir() {
            safetensors::open_directory(path)?
        } else {
            let map = FileMap::open(path)?;
            if gguf::is_gguf(map.bytes()) {
                gguf::open(map)?
            } else {
                safetensors::open_file(map)?
            }
        };
        Ok(Self {
            store: Arc::new(store),
            gguf: options.gguf,
        })
    }

    /// Tensors that are in memory already, for tests and training. Their names are taken as they are.
    pub fn in_memory(tensors: HashMap<String, Tensor>) -> Self {
        let origin = PathBuf::from("memory");
        let mut store = Store::new(&origin);
        store.entries = tensors
            .into_iter()
            .map(|(name, tensor)| (name, Entry::in_memory(tensor, &origin)))
            .collect();
        Self {
            store: Arc::new(store),
            gguf: GgufWeights::default(),
        }
    }

    /// The same tensors, but for those in `tensors`, which take the place of the ones of their names or are added.
    ///
    /// This is how a model is trained: a [`Var`](candle_core::Var)'s tensor reaches the operators as it is, so its
    /// gradient is found under it and a step of the optimiser is seen by the next pass. All others are frozen.
    #[must_use]
    pub fn with_tensors(&self, tensors: HashMap<String, Tensor>) -> Self {
        let mut store = (*self.store).clone();
        for (name, tensor) in tensors {
            let file = store
                .entries
                .get(&name)
                .map(|entry| entry.file().to_owned());
            let entry = Entry::in_memory(tensor, &file.unwrap_or_else(|| store.origin.clone()));
            store.entries.insert(name, entry);
        }
        Self {
            store: Arc::new(store),
            gguf: self.gguf,
        }
    }

    /// Where they come from, for messages: the path that was opened.
    pub fn origin(&self) -> &Path {
        &self.store.origin
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.store.entries.keys().map(String::as_str)
    }

    /// What is known of a tensor without reading it.
    pub fn info(&self, name: &str) -> Option<TensorInfo> {
        self.store.entries.get(name).map(Entry::info)
    }

    /// How the names differ from those in the files.
    pub fn renaming(&self) -> &Renaming {
        &self.store.renaming
    }

    /// What a GGUF file says besides its tensors.
    pub fn gguf(&self) -> Option<&Gguf> {
        self.store.gguf.as_deref()
    }

    /// The tensors whose names begin with `prefix`, placed where and as `placement` says.
    pub fn scope(&self, prefix: &str, placement: &Placement) -> Scope {
        Scope {
            weights: self.clone(),
            prefix: prefix.to_owned(),
            placement: placement.clone(),
        }
    }

    /// Tells the system that the pages of all mapped files are not needed for now. What is used again is read again.
    pub fn release(&self) {
        for entry in self.store.entries.values() {
            entry.release();
        }
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Weights")
            .field("origin", &self.store.origin)
            .field("tensors", &self.store.entries.len())
            .finish_non_exhaustive()
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

impl Placement {
    /// The kind of the device. Each rounds in its own way.
    pub fn device_kind(&self) -> &'static str {
        match self.device {
            Device::Cpu => "cpu",
            Device::Cuda(_) => "cuda",
            Device::Metal(_) => "metal",
        }
    }
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
    #[must_use]
    pub fn under(&self, name: impl fmt::Display) -> Self {
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
        self.weights.store.entries.contains_key(&self.full(name))
    }

    /// The shape of the tensor of that name, if there is one.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        let entry = self.weights.store.entries.get(&self.full(name))?;
        Some(entry.shape())
    }

    /// A single number, as exact as it is stored.
    pub fn number(&self, name: &str) -> Result<f64> {
        let (full, entry) = self.checked(name, &[1])?;
        let exact = Placement {
            device: Device::Cpu,
            dtype: DType::F32,
        };
        let number = entry.tensor(&full, &exact)?.get(0)?.to_scalar::<f32>()?;
        Ok(f64::from(number))
    }

    /// A small tensor (a norm, a bias, a table), copied to the device in the type of activations.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let (full, entry) = self.checked(name, shape)?;
        entry.tensor(&full, &self.placement)
    }

    /// A matrix of shape `[out, in]`: on the processor kept where it is, on another device copied there in the type
    /// of activations.
    pub fn weight(&self, name: &str, out: usize, inner: usize) -> Result<Weight> {
        let (full, entry) = self.checked(name, &[out, inner])?;
        entry.weight(&full, (out, inner), &self.placement, self.weights.gguf)
    }

    /// A tensor of shape `[out, …]` as a matrix that has a row for each of its first dimension: a convolution whose
    /// patches do not overlap.
    pub fn flat_weight(&self, name: &str, shape: &[usize]) -> Result<Weight> {
        let (full, entry) = self.checked(name, shape)?;
        let out = shape.first().copied().unwrap_or(1);
        let inner = shape.iter().skip(1).product();
        entry.weight(&full, (out, inner), &self.placement, self.weights.gguf)
    }

    fn checked(&self, name: &str, shape: &[usize]) -> Result<(String, &Entry)> {
        let full = self.full(name);
        let entry = self
            .weights
            .store
            .entries
            .get(&full)
            .ok_or_else(|| Error::MissingTensor {
                tensor: full.clone(),
                path: self.weights.store.origin.clone(),
            })?;
        if entry.shape() == shape {
            Ok((full, entry))
        } else {
            Err(Error::Shape {
                tensor: full,
                path: entry.file().to_owned(),
                found: entry.shape().to_vec(),
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
