use std::{fmt, ops::Range, sync::Arc};

use candle_core::{DType, Device, Tensor, WithDType};
use half::{bf16, f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;

use super::file_map::{FileMap, Number};

/// A matrix that stays in its mapped file.
///
/// A tensor that does not begin at a multiple of its elements' size (files written by hand or by old writers have
/// some) is copied once, when the weight is made; every other is read in place.
#[derive(Clone)]
pub struct Mapped {
    numbers: Numbers,
    dims: (usize, usize),
}

impl Mapped {
    pub(super) fn new(
        map: &Arc<FileMap>,
        bytes: Range<usize>,
        kind: StoredType,
        dims: (usize, usize),
    ) -> Self {
        Self {
            numbers: Numbers::new(map, bytes, kind),
            dims,
        }
    }

    /// `[out, in]`.
    pub fn dims(&self) -> (usize, usize) {
        self.dims
    }

    /// All elements, row after row, as stored.
    pub fn elements(&self) -> Elements<'_> {
        self.numbers.elements()
    }

    /// Rows `rows` as a matrix of their own, of the same file.
    pub(super) fn part(&self, rows: Range<usize>) -> Self {
        let width = self.dims.1;
        Self {
            dims: (rows.len(), width),
            numbers: self.numbers.part(rows.start * width..rows.end * width),
        }
    }

    pub(super) fn tensor(&self, device: &Device, dtype: DType) -> candle_core::Result<Tensor> {
        self.elements().tensor(self.dims, device, dtype)
    }

    pub(super) fn rows(
        &self,
        indices: &[u32],
        device: &Device,
        dtype: DType,
    ) -> candle_core::Result<Tensor> {
        let (rows, width) = self.dims;
        if let Some(&bad) = indices.iter().find(|&&index| index as usize >= rows) {
            candle_core::bail!("row {bad} of a matrix of {rows} rows");
        }
        let elements = self.elements();
        let gather =
            |index: u32| elements.slice(index as usize * width..(index as usize + 1) * width);
        let shape = (indices.len(), width);
        if dtype == DType::BF16 {
            let mut out = vec![bf16::ZERO; indices.len() * width];
            for (row, &index) in out.chunks_exact_mut(width.max(1)).zip(indices) {
                gather(index).write_bf16(row);
            }
            return Tensor::from_vec(out, shape, device);
        }
        let mut out = vec![0.0f32; indices.len() * width];
        for (row, &index) in out.chunks_exact_mut(width.max(1)).zip(indices) {
            gather(index).write_f32(row);
        }
        Tensor::from_vec(out, shape, device)?.to_dtype(dtype)
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Mapped")
            .field("dims", &self.dims)
            .field("stored", &self.elements().stored())
            .finish_non_exhaustive()
    }
}

/// The type that numbers are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredType {
    /// Single precision.
    F32,
    /// The upper half of single precision.
    Bf16,
    /// IEEE half precision.
    F16,
}

impl StoredType {
    /// Bytes of one number.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }
}

/// Elements in a mapped file, or a copy of them where they do not lie as they must.
#[derive(Clone)]
pub(super) enum Numbers {
    Mapped {
        map: Arc<FileMap>,
        bytes: Range<usize>,
        kind: StoredType,
    },
    Copied {
        copy: Arc<Copied>,
        elements: Range<usize>,
    },
}

pub(super) enum Copied {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
    F16(Vec<f16>),
}

impl Numbers {
    pub(super) fn new(map: &Arc<FileMap>, bytes: Range<usize>, kind: StoredType) -> Self {
        let in_place = match kind {
            StoredType::F32 => map.numbers::<f32>(&bytes).is_some(),
            StoredType::Bf16 => map.numbers::<bf16>(&bytes).is_some(),
            StoredType::F16 => map.numbers::<f16>(&bytes).is_some(),
        };
        if in_place {
            return Self::Mapped {
                map: Arc::clone(map),
                bytes,
                kind,
            };
        }
        let elements = 0..bytes.len() / kind.size();
        let raw = &map.bytes()[bytes];
        let copy = match kind {
            StoredType::F32 => Copied::F32(copied(raw)),
            StoredType::Bf16 => Copied::Bf16(copied(raw)),
            StoredType::F16 => Copied::F16(copied(raw)),
        };
        Self::Copied {
            copy: Arc::new(copy),
            elements,
        }
    }

    pub(super) fn elements(&self) -> Elements<'_> {
        const IN_PLACE: &str = "alignment was seen when the numbers were made";
        match self {
            Self::Mapped { map, bytes, kind } => match kind {
                StoredType::F32 => Elements::F32(map.numbers(bytes).expect(IN_PLACE)),
                StoredType::Bf16 => Elements::Bf16(map.numbers(bytes).expect(IN_PLACE)),
                StoredType::F16 => Elements::F16(map.numbers(bytes).expect(IN_PLACE)),
            },
            Self::Copied { copy, elements } => match &**copy {
                Copied::F32(numbers) => Elements::F32(&numbers[elements.clone()]),
                Copied::Bf16(numbers) => Elements::Bf16(&numbers[elements.clone()]),
                Copied::F16(numbers) => Elements::F16(&numbers[elements.clone()]),
            },
        }
    }

    fn part(&self, part: Range<usize>) -> Self {
        match self {
            Self::Mapped { map, bytes, kind } => {
                let size = kind.size();
                let part = bytes.start + part.start * size..bytes.start + part.end * size;
                assert!(part.end <= bytes.end, "a part lies within its whole");
                Self::Mapped {
                    map: Arc::clone(map),
                    bytes: part,
                    kind: *kind,
                }
            }
            Self::Copied { copy, elements } => Self::Copied {
                copy: Arc::clone(copy),
                elements: elements.start + part.start..elements.start + part.end,
            },
        }
    }
}

fn copied<T: Number>(bytes: &[u8]) -> Vec<T> {
    bytes
        .chunks_exact(size_of::<T>())
        .map(T::from_le_bytes)
        .collect()
}

/// Stored numbers, in the type they are stored in.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// The upper half of single precision.
    Bf16(&'a [bf16]),
    /// IEEE half precision.
    F16(&'a [f16]),
}

impl<'a> Elements<'a> {
    /// How many.
    pub fn len(self) -> usize {
        match self {
            Self::F32(numbers) => numbers.len(),
            Self::Bf16(numbers) => numbers.len(),
            Self::F16(numbers) => numbers.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Those of `range`.
    ///
    /// # Panics
    ///
    /// When `range` reaches beyond the end.
    #[must_use]
    pub fn slice(self, range: Range<usize>) -> Elements<'a> {
        match self {
            Self::F32(numbers) => Self::F32(&numbers[range]),
            Self::Bf16(numbers) => Self::Bf16(&numbers[range]),
            Self::F16(numbers) => Self::F16(&numbers[range]),
        }
    }

    /// Writes them widened to single precision, which loses nothing.
    ///
    /// # Panics
    ///
    /// When `out` has another length.
    pub fn write_f32(self, out: &mut [f32]) {
        match self {
            Self::F32(numbers) => out.copy_from_slice(numbers),
            Self::Bf16(numbers) => numbers.convert_to_f32_slice(out),
            Self::F16(numbers) => numbers.convert_to_f32_slice(out),
        }
    }

    /// Writes them as bfloat16, rounded to nearest, half to even.
    ///
    /// # Panics
    ///
    /// When `out` has another length.
    pub fn write_bf16(self, out: &mut [bf16]) {
        assert_eq!(self.len(), out.len(), "one place per number");
        match self {
            Self::F32(numbers) => out.convert_from_f32_slice(numbers),
            Self::Bf16(numbers) => out.copy_from_slice(numbers),
            Self::F16(numbers) => {
                for (out, number) in out.iter_mut().zip(numbers) {
                    *out = bf16::from_f32(number.to_f32());
                }
            }
        }
    }

    /// The type they are stored in.
    pub const fn stored(self) -> StoredType {
        match self {
            Self::F32(_) => StoredType::F32,
            Self::Bf16(_) => StoredType::Bf16,
            Self::F16(_) => StoredType::F16,
        }
    }

    /// A tensor of them, converted by all threads, block by block.
    pub(super) fn tensor(
        self,
        shape: impl Into<candle_core::Shape>,
        device: &Device,
        dtype: DType,
    ) -> candle_core::Result<Tensor> {
        let shape = shape.into();
        if dtype == DType::BF16 {
            let numbers = fill(self.len(), |range, out: &mut [bf16]| {
                self.slice(range).write_bf16(out);
            });
            return Tensor::from_vec(numbers, shape, device);
        }
        let numbers = fill(self.len(), |range, out: &mut [f32]| {
            self.slice(range).write_f32(out);
        });
        Tensor::from_vec(numbers, shape, device)?.to_dtype(dtype)
    }
}

/// `len` numbers, written block by block by all threads.
fn fill<T: WithDType + Default>(
    len: usize,
    write: impl Fn(Range<usize>, &mut [T]) + Sync,
) -> Vec<T> {
    const BLOCK: usize = 1 << 16;
    let mut numbers = vec![T::default(); len];
    numbers
        .par_chunks_mut(BLOCK)
        .enumerate()
        .for_each(|(index, block)| {
            let start = index * BLOCK;
            write(start..start + block.len(), block);
        });
    numbers
}
