use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{Device, Tensor};

use super::{
    Gguf, GgufWeights, Mapped, Placement, Quantised, Renaming, StoredType, Weight,
    file_map::FileMap,
    mapped::Numbers,
    quantised::{self, Blocks},
};
use crate::{Error, Result};

/// The tensors of a checkpoint.
#[derive(Clone)]
pub(super) struct Store {
    /// What was opened.
    pub(super) origin: PathBuf,
    /// The tensors, by the names that models know them by.
    pub(super) entries: BTreeMap<String, Entry>,
    /// How those names differ from the files'.
    pub(super) renaming: Renaming,
    /// What a GGUF file says besides.
    pub(super) gguf: Option<Arc<Gguf>>,
}

impl Store {
    /// An empty store of what is at `origin`.
    pub(super) fn new(origin: &Path) -> Self {
        Self {
            origin: origin.to_owned(),
            entries: BTreeMap::new(),
            renaming: Renaming::default(),
            gguf: None,
        }
    }

    /// Adds a tensor, whose name must be new.
    pub(super) fn insert(&mut self, name: String, entry: Entry) -> Result<()> {
        if let Some(other) = self.entries.get(&name) {
            return Err(Error::DuplicateTensor {
                first: other.file().to_owned(),
                second: entry.file().to_owned(),
                tensor: name,
            });
        }
        self.entries.insert(name, entry);
        Ok(())
    }
}

/// What is known of a tensor without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its shape.
    pub shape: Vec<usize>,
    /// The type it is stored in, as the file's format calls it: `BF16`, `I64`, `Q4_K`, …
    pub stored: String,
    /// Bytes it takes in its file, or in memory.
    pub bytes: usize,
    /// The file that holds it.
    pub file: PathBuf,
}

/// One tensor.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    shape: Vec<usize>,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Memory { tensor: Tensor, origin: PathBuf },
    File(Stored),
}

/// A tensor's place in a file.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) map: Arc<FileMap>,
    pub(super) bytes: Range<usize>,
    pub(super) format: Format,
}

/// What a file's bytes mean.
#[derive(Clone, Debug)]
pub(super) enum Format {
    /// Numbers, one after the other.
    Plain(StoredType),
    /// Blocks that hold fewer bits per number, or rows in another order than the model's.
    Blocks(Blocks),
    /// Something that is no weight, by its name.
    Foreign(String),
}

impl Entry {
    pub(super) fn in_memory(tensor: Tensor, origin: &Path) -> Self {
        Self {
            shape: tensor.dims().to_vec(),
            source: Source::Memory {
                tensor,
                origin: origin.to_owned(),
            },
        }
    }

    pub(super) fn in_file(shape: Vec<usize>, stored: Stored) -> Self {
        Self {
            shape,
            source: Source::File(stored),
        }
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(super) fn file(&self) -> &Path {
        match &self.source {
            Source::Memory { origin, .. } => origin,
            Source::File(stored) => stored.map.path(),
        }
    }

    pub(super) fn info(&self) -> TensorInfo {
        let (stored, bytes) = match &self.source {
            Source::Memory { tensor, .. } => (
                tensor.dtype().as_str().to_uppercase(),
                tensor.elem_count() * tensor.dtype().size_in_bytes(),
            ),
            Source::File(stored) => (stored.format.name(), stored.bytes.len()),
        };
        TensorInfo {
            shape: self.shape.clone(),
            stored,
            bytes,
            file: self.file().to_owned(),
        }
    }

    /// The whole tensor, on the device and in the type of `placement`.
    pub(super) fn tensor(&self, name: &str, placement: &Placement) -> Result<Tensor> {
        let Placement { device, dtype } = placement;
        match &self.source {
            Source::Memory { tensor, .. } => {
                self.check_trained(name, placement)?;
                Ok(tensor.to_device(device)?.to_dtype(*dtype)?)
            }
            Source::File(stored) => {
                let tensor = match &stored.format {
                    Format::Plain(kind) => Numbers::new(&stored.map, stored.bytes.clone(), *kind)
                        .elements()
                        .tensor(self.shape.as_slice(), device, *dtype)?,
                    Format::Blocks(blocks) => {
                        let (rows, width) = self.matrix();
                        blocks
                            .tensor(0..rows, width, *dtype)?
                            .reshape(self.shape.as_slice())?
                            .to_device(device)?
                    }
                    Format::Foreign(found) => return Err(stored.foreign(name, found)),
                };
                self.release_after_upload(device);
                Ok(tensor)
            }
        }
    }

    /// The tensor as a matrix of `dims`, where `placement` wants it.
    pub(super) fn weight(
        &self,
        name: &str,
        dims: (usize, usize),
        placement: &Placement,
        gguf: GgufWeights,
    ) -> Result<Weight> {
        let Placement { device, dtype } = placement;
        match &self.source {
            Source::Memory { tensor, .. } => {
                let matrix = match tensor.dims() {
                    [out, inner] if (*out, *inner) == dims => tensor.clone(),
                    _ => tensor.reshape(dims)?,
                };
                // A tensor that is trained stays itself, so that a step reaches it; a product takes any type.
                Ok(Weight::Tensor(if device.is_cpu() || matrix.track_op() {
                    matrix
                } else {
                    matrix.to_device(device)?.to_dtype(*dtype)?
                }))
            }
            Source::File(stored) => {
                let weight = match &stored.format {
                    Format::Plain(kind) => {
                        let mapped = Mapped::new(&stored.map, stored.bytes.clone(), *kind, dims);
                        if device.is_cpu() {
                            return Ok(Weight::Mapped(mapped));
                        }
                        Weight::Tensor(mapped.tensor(device, *dtype)?)
                    }
                    Format::Blocks(blocks) => {
                        let quantised = Quantised::new(blocks.clone(), dims, device)?;
                        match gguf {
                            GgufWeights::Keep if device.is_cpu() => {
                                return Ok(Weight::Quantised(quantised));
                            }
                            GgufWeights::Keep => Weight::Quantised(quantised),
                            GgufWeights::Expand => {
                                Weight::Tensor(quantised.tensor(device, *dtype)?)
                            }
                        }
                    }
                    Format::Foreign(found) => return Err(stored.foreign(name, found)),
                };
                // Its numbers are elsewhere now.
                self.release();
                Ok(weight)
            }
        }
    }

    /// A model keeps what it loads. If that were a converted copy of a tensor that is trained, it would go on computing
    /// with the numbers from before the first step.
    fn check_trained(&self, name: &str, placement: &Placement) -> Result<()> {
        match &self.source {
            Source::Memory { tensor, .. }
                if tensor.is_variable()
                    && (tensor.dtype() != placement.dtype
                        || !tensor.device().same_device(&placement.device)) =>
            {
                Err(Error::Trained {
                    tensor: name.to_owned(),
                    found: tensor.dtype().as_str(),
                    expected: placement.dtype.as_str(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Lets the pages of the tensor go.
    pub(super) fn release(&self) {
        if let Source::File(stored) = &self.source {
            stored.map.release(&stored.bytes);
        }
    }

    /// Rows, and numbers of a row: blocks do not reach across rows.
    fn matrix(&self) -> (usize, usize) {
        match self.shape.as_slice() {
            [.., width] if self.shape.len() > 1 => {
                (self.shape[..self.shape.len() - 1].iter().product(), *width)
            }
            shape => (shape.iter().product(), 1),
        }
    }

    fn release_after_upload(&self, device: &Device) {
        if !device.is_cpu() {
            self.release();
        }
    }
}

impl Stored {
    fn foreign(&self, name: &str, found: &str) -> Error {
        Error::Type {
            tensor: name.to_owned(),
            path: self.map.path().to_owned(),
            found: found.to_owned(),
        }
    }
}

impl Format {
    fn name(&self) -> String {
        match self {
            Self::Plain(StoredType::F32) => "F32".to_owned(),
            Self::Plain(StoredType::F16) => "F16".to_owned(),
            Self::Plain(StoredType::Bf16) => "BF16".to_owned(),
            Self::Blocks(blocks) => quantised::kind(blocks.dtype).to_owned(),
            Self::Foreign(name) => name.clone(),
        }
    }
}
