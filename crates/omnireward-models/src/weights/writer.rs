use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use candle_core::{DType, Tensor};
use half::{bf16, f16};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};

use super::{
    StoredType,
    safetensors::{INDEX, WHOLE},
};
use crate::{Error, Result};

/// A tensor that is going to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Its name.
    pub name: String,
    /// The type its numbers are stored in.
    pub stored: StoredType,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl Outline {
    /// Bytes of its numbers.
    pub fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.stored.size()
    }
}

/// Writes a safetensors file whose tensors are produced one by one, so that none but the current one, or a piece of
/// it, is ever in memory.
///
/// `produce` is called once for each of `tensors` and writes its numbers in order. Tensors of wider types come
/// first, so that each begins at a multiple of its numbers' size; within a type they keep their order. The file
/// appears under its name when it is whole: it is written beside it and renamed.
///
/// # Errors
///
/// Fails when the file cannot be written, when two tensors share a name, when `produce` fails, and when it writes
/// more or fewer numbers than the tensor has.
pub fn write_safetensors(
    path: &Path,
    tensors: &[Outline],
    metadata: &BTreeMap<String, String>,
    mut produce: impl FnMut(&Outline, &mut TensorSink<'_>) -> Result<()>,
) -> Result<()> {
    let mut order: Vec<&Outline> = tensors.iter().collect();
    order.sort_by_key(|outline| std::cmp::Reverse(outline.stored.size()));
    let header = header(path, &order, metadata)?;
    let partial = Partial::beside(path);
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::create(&partial.path).map_err(io)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    out.write_all(&header).map_err(io)?;
    for outline in order {
        let mut sink = TensorSink {
            out: &mut out,
            path,
            outline,
            written: 0,
        };
        produce(outline, &mut sink)?;
        sink.finish()?;
    }
    let file = out.into_inner().map_err(|error| io(error.into_error()))?;
    file.sync_all().map_err(io)?;
    fs::rename(&partial.path, path).map_err(io)
}

/// Writes the tensors of a checkpoint into `directory`: as `model.safetensors` when they fit into `shard_bytes`, else
/// as numbered shards with `model.safetensors.index.json`. See [`write_safetensors`] for `produce`.
///
/// Tensors are dealt out to shards in their order; one that is larger than `shard_bytes` has a shard of its own. The
/// index is written last.
///
/// # Errors
///
/// As [`write_safetensors`].
pub fn write_checkpoint(
    directory: &Path,
    tensors: &[Outline],
    shard_bytes: usize,
    metadata: &BTreeMap<String, String>,
    mut produce: impl FnMut(&Outline, &mut TensorSink<'_>) -> Result<()>,
) -> Result<()> {
    let shards = deal(tensors, shard_bytes);
    if shards.len() <= 1 {
        return write_safetensors(&directory.join(WHOLE), tensors, metadata, produce);
    }
    let mut weight_map = BTreeMap::new();
    for (number, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", number + 1, shards.len());
        write_safetensors(&directory.join(&name), shard, metadata, &mut produce)?;
        weight_map.extend(
            shard
                .iter()
                .map(|outline| (outline.name.as_str(), name.clone())),
        );
    }
    let total: usize = tensors.iter().map(Outline::bytes).sum();
    let index = serde_json::json!({
        "metadata": { "total_size": total },
        "weight_map": weight_map,
    });
    let path = directory.join(INDEX);
    let text = serde_json::to_vec_pretty(&index).map_err(|source| Error::Json {
        path: path.clone(),
        source,
    })?;
    let partial = Partial::beside(&path);
    fs::write(&partial.path, text)
        .and_then(|()| fs::rename(&partial.path, &path))
        .map_err(|source| Error::Io { path, source })
}

/// Runs of tensors that take at most `limit` bytes each, or are one tensor.
fn deal(tensors: &[Outline], limit: usize) -> Vec<&[Outline]> {
    let mut shards = Vec::new();
    let mut start = 0;
    let mut bytes = 0;
    for (index, outline) in tensors.iter().enumerate() {
        if index > start && bytes + outline.bytes() > limit {
            shards.push(&tensors[start..index]);
            start = index;
            bytes = 0;
        }
        bytes += outline.bytes();
    }
    if start < tensors.len() {
        shards.push(&tensors[start..]);
    }
    shards
}

/// Writes tensors that are in memory as a safetensors file, each in its own type; see [`write_safetensors`].
///
/// # Errors
///
/// Fails when the file cannot be written, or a tensor is of a type that weights are not stored in.
pub fn write_tensors(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let outlines: Vec<Outline> = tensors
        .iter()
        .map(|(name, tensor)| {
            Ok(Outline {
                name: name.clone(),
                stored: stored_type(path, name, tensor.dtype())?,
                shape: tensor.dims().to_vec(),
            })
        })
        .collect::<Result<_>>()?;
    write_safetensors(path, &outlines, metadata, |outline, sink| {
        sink.tensor(&tensors[&outline.name])
    })
}

fn stored_type(path: &Path, name: &str, dtype: DType) -> Result<StoredType> {
    match dtype {
        DType::F32 => Ok(StoredType::F32),
        DType::BF16 => Ok(StoredType::Bf16),
        DType::F16 => Ok(StoredType::F16),
        other => Err(Error::Type {
            tensor: name.to_owned(),
            path: path.to_owned(),
            found: other.as_str().to_uppercase(),
        }),
    }
}

fn dtype(stored: StoredType) -> Dtype {
    match stored {
        StoredType::F32 => Dtype::F32,
        StoredType::Bf16 => Dtype::BF16,
        StoredType::F16 => Dtype::F16,
    }
}

/// Where the numbers of one tensor go.
pub struct TensorSink<'a> {
    out: &'a mut BufWriter<File>,
    path: &'a Path,
    outline: &'a Outline,
    written: usize,
}

impl TensorSink<'_> {
    /// Adds numbers, rounded to the tensor's stored type (to nearest, half to even).
    pub fn f32(&mut self, numbers: &[f32]) -> Result<()> {
        match self.outline.stored {
            StoredType::F32 => self.numbers(numbers, f32::to_le_bytes),
            StoredType::Bf16 => {
                self.numbers(numbers, |number| bf16::from_f32(number).to_le_bytes())
            }
            StoredType::F16 => self.numbers(numbers, |number| f16::from_f32(number).to_le_bytes()),
        }
    }

    /// Adds numbers of a bfloat16 tensor as they are; those of another type are converted.
    pub fn bf16(&mut self, numbers: &[bf16]) -> Result<()> {
        match self.outline.stored {
            StoredType::Bf16 => self.numbers(numbers, bf16::to_le_bytes),
            StoredType::F32 => self.numbers(numbers, |number| number.to_f32().to_le_bytes()),
            StoredType::F16 => self.numbers(numbers, |number| {
                f16::from_f32(number.to_f32()).to_le_bytes()
            }),
        }
    }

    /// Adds the numbers of `tensor`, wherever it is, in row-major order.
    pub fn tensor(&mut self, tensor: &Tensor) -> Result<()> {
        let flat = tensor.flatten_all()?;
        if tensor.dtype() == DType::BF16 {
            self.bf16(&flat.to_vec1()?)
        } else {
            self.f32(&flat.to_dtype(DType::F32)?.to_vec1()?)
        }
    }

    fn numbers<T: Copy, const BYTES: usize>(
        &mut self,
        numbers: &[T],
        encode: impl Fn(T) -> [u8; BYTES],
    ) -> Result<()> {
        const PIECE: usize = 1 << 14;
        let mut bytes = Vec::with_capacity(numbers.len().min(PIECE) * BYTES);
        for piece in numbers.chunks(PIECE) {
            bytes.clear();
            bytes.extend(piece.iter().flat_map(|&number| encode(number)));
            self.out.write_all(&bytes).map_err(|source| Error::Io {
                path: self.path.to_owned(),
                source,
            })?;
        }
        self.written += numbers.len();
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let elements = self.outline.shape.iter().product::<usize>();
        if self.written == elements {
            return Ok(());
        }
        Err(Error::Shape {
            tensor: self.outline.name.clone(),
            path: self.path.to_owned(),
            found: vec![self.written],
            expected: self.outline.shape.clone(),
        })
    }
}

impl std::fmt::Debug for TensorSink<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TensorSink")
            .field("path", &self.path)
            .field("tensor", &self.outline.name)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// The length and the header, padded so that the data begin at a multiple of eight bytes.
fn header(path: &Path, order: &[&Outline], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let damaged = |reason: String| Error::Damaged {
        path: path.to_owned(),
        reason,
    };
    let mut names = BTreeSet::new();
    let mut infos = Vec::with_capacity(order.len());
    let mut end = 0;
    for outline in order {
        if !names.insert(&outline.name) {
            return Err(Error::DuplicateTensor {
                tensor: outline.name.clone(),
                first: path.to_owned(),
                second: path.to_owned(),
            });
        }
        let start = end;
        end += outline.bytes();
        infos.push((
            outline.name.clone(),
            TensorInfo {
                dtype: dtype(outline.stored),
                shape: outline.shape.clone(),
                data_offsets: (start, end),
            },
        ));
    }
    let metadata = (!metadata.is_empty()).then(|| metadata.clone().into_iter().collect());
    let metadata = Metadata::new(metadata, infos).map_err(|error| damaged(error.to_string()))?;
    let mut text = serde_json::to_vec(&metadata).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })?;
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.extend(text);
    Ok(header)
}

/// A file that is being written, removed if it does not get its name.
struct Partial {
    path: PathBuf,
}

impl Partial {
    fn beside(path: &Path) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(
            ".partial-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        Self {
            path: path.with_file_name(name),
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After the renaming there is nothing to remove; after a failure, the failure is what the caller hears of.
        let _ = fs::remove_file(&self.path);
    }
}
