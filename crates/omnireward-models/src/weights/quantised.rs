use std::{fmt, ops::Range, sync::Arc};

use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlDType, QStorage, QTensor},
};
use half::bf16;
use rayon::prelude::*;

use super::{Weight, file_map::FileMap};
use crate::ops;

/// A matrix whose rows are kept in the blocks of a GGUF file: a few bits per number, with scales.
///
/// Blocks are expanded when they are used, some rows at a time, and multiplied like any other matrix. So the numbers
/// are those of the expanded matrix, to the bit, for a part of its memory. (GGUF runtimes usually round the
/// activations to eight bits instead and multiply integers, which is faster for a single row and less exact, and
/// whose result depends on how many rows there are.) On the processor the blocks stay in the mapped file; on another
/// device they are copied there.
#[derive(Clone)]
pub struct Quantised {
    blocks: Blocks,
    dims: (usize, usize),
    device: Option<Arc<QTensor>>,
}

/// Numbers that one expanded piece of a matrix holds: few enough to stay near the processor, and enough to keep the
/// product busy.
const PIECE: usize = 1 << 20;

impl Quantised {
    pub(super) fn new(
        blocks: Blocks,
        dims: (usize, usize),
        device: &Device,
    ) -> candle_core::Result<Self> {
        let device = if device.is_cpu() {
            None
        } else {
            Some(Arc::new(blocks.upload(dims, device)?))
        };
        Ok(Self {
            blocks,
            dims,
            device,
        })
    }

    /// `[out, in]`.
    pub fn dims(&self) -> (usize, usize) {
        self.dims
    }

    /// The kind of blocks as GGUF files call it: `Q4_1`, `Q6_K`, …
    pub fn kind(&self) -> &'static str {
        kind(self.blocks.dtype)
    }

    /// `x · Wᵀ`: [`linear`](Self::linear) without a bias.
    ///
    /// # Shapes
    ///
    /// `x`: `[rows, in]`; returns `[rows, out]` in `x`'s type.
    pub fn multiply(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.linear(x, None)
    }

    /// `x · Wᵀ + b`, with the matrix expanded piece by piece into `x`'s type.
    ///
    /// # Shapes
    ///
    /// `x`: `[rows, in]`; `bias`: `[out]`; returns `[rows, out]` in `x`'s type.
    pub fn linear(&self, x: &Tensor, bias: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let (out, inner) = self.dims;
        if self.device.is_some() {
            let whole = self.tensor(x.device(), x.dtype())?;
            return ops::linear(x, &Weight::Tensor(whole), bias);
        }
        let rows = (PIECE / inner.max(1)).clamp(1, out.max(1));
        let pieces = (0..out)
            .step_by(rows)
            .map(|start| {
                let end = (start + rows).min(out);
                let piece = self.blocks.tensor(start..end, inner, x.dtype())?;
                let bias = bias
                    .map(|bias| bias.narrow(0, start, end - start)?.contiguous())
                    .transpose()?;
                let piece = Weight::Tensor(piece.to_device(x.device())?);
                ops::linear(x, &piece, bias.as_ref())
            })
            .collect::<candle_core::Result<Vec<_>>>()?;
        Tensor::cat(&pieces, 1)
    }

    /// Writes rows `rows`, expanded.
    ///
    /// # Panics
    ///
    /// When there are no such rows, or `out` has not the length of those rows.
    pub fn expand(&self, rows: Range<usize>, out: &mut [f32]) {
        assert_eq!(out.len(), rows.len() * self.dims.1, "one place per number");
        self.blocks.expand(rows, self.dims.1, out);
    }

    pub(super) fn tensor(&self, device: &Device, dtype: DType) -> candle_core::Result<Tensor> {
        match &self.device {
            Some(blocks) => blocks.dequantize(device)?.to_dtype(dtype),
            None => self
                .blocks
                .tensor(0..self.dims.0, self.dims.1, dtype)?
                .to_device(device),
        }
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
        let mut out = vec![0.0; indices.len() * width];
        for (out, &index) in out.chunks_exact_mut(width.max(1)).zip(indices) {
            let index = index as usize;
            self.blocks.expand(index..index + 1, width, out);
        }
        Tensor::from_vec(out, (indices.len(), width), device)?.to_dtype(dtype)
    }

    pub(super) fn part(&self, rows: Range<usize>) -> candle_core::Result<Self> {
        let device = match &self.device {
            Some(blocks) => blocks.device(),
            None => Device::Cpu,
        };
        let dims = (rows.len(), self.dims.1);
        let blocks = Blocks {
            first: self.blocks.first + rows.start,
            ..self.blocks.clone()
        };
        Self::new(blocks, dims, &device)
    }
}

impl fmt::Debug for Quantised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Quantised")
            .field("dims", &self.dims)
            .field("kind", &self.kind())
            .finish_non_exhaustive()
    }
}

/// The blocks of a tensor in a mapped file.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    pub(super) map: Arc<FileMap>,
    pub(super) bytes: Range<usize>,
    pub(super) dtype: GgmlDType,
    pub(super) order: RowOrder,
    /// The first row that belongs to the matrix.
    pub(super) first: usize,
}

/// In which order a file holds a matrix's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowOrder {
    /// As the model has them.
    Same,
    /// Within each head of this many rows, the rows `j` and `j + half` that are turned together by the rotary
    /// position stand side by side. So llama.cpp stores the queries and keys of Llama models.
    Interleaved { head: usize },
}

impl RowOrder {
    /// Where the model's row `row` is in the file.
    fn stored(self, row: usize) -> usize {
        match self {
            Self::Same => row,
            Self::Interleaved { head } => {
                let (start, within) = (row / head * head, row % head);
                let half = head / 2;
                start + within % half * 2 + within / half
            }
        }
    }
}

impl Blocks {
    /// A tensor of rows `rows`, expanded by all threads.
    pub(super) fn tensor(
        &self,
        rows: Range<usize>,
        width: usize,
        dtype: DType,
    ) -> candle_core::Result<Tensor> {
        let shape = (rows.len(), width);
        let chunk = (PIECE / 16 / width.max(1)).max(1);
        let numbers = rows.len() * width;
        let chunks = |index: usize, len: usize| {
            let start = rows.start + index * chunk;
            start..start + len / width
        };
        if dtype == DType::BF16 {
            let mut out = vec![bf16::ZERO; numbers];
            out.par_chunks_mut((chunk * width).max(1))
                .enumerate()
                .for_each(|(index, out)| {
                    let mut wide = vec![0.0; out.len()];
                    self.expand(chunks(index, out.len()), width, &mut wide);
                    super::Elements::F32(&wide).write_bf16(out);
                });
            return Tensor::from_vec(out, shape, &Device::Cpu);
        }
        let mut out = vec![0.0; numbers];
        out.par_chunks_mut((chunk * width).max(1))
            .enumerate()
            .for_each(|(index, out)| self.expand(chunks(index, out.len()), width, out));
        Tensor::from_vec(out, shape, &Device::Cpu)?.to_dtype(dtype)
    }

    fn expand(&self, rows: Range<usize>, width: usize, out: &mut [f32]) {
        let rows = self.first + rows.start..self.first + rows.end;
        if self.order == RowOrder::Same {
            return expand(self.dtype, self.row_bytes(rows, width), out);
        }
        for (row, out) in rows.zip(out.chunks_exact_mut(width.max(1))) {
            let stored = self.order.stored(row);
            expand(self.dtype, self.row_bytes(stored..stored + 1, width), out);
        }
    }

    fn row_bytes(&self, rows: Range<usize>, width: usize) -> &[u8] {
        let size = width / self.dtype.block_size() * self.dtype.type_size();
        let bytes = &self.map.bytes()[self.bytes.clone()];
        &bytes[rows.start * size..rows.end * size]
    }

    fn upload(&self, dims: (usize, usize), device: &Device) -> candle_core::Result<QTensor> {
        let (rows, width) = dims;
        let bytes: Vec<u8> = (self.first..self.first + rows)
            .flat_map(|row| {
                let stored = self.order.stored(row);
                self.row_bytes(stored..stored + 1, width)
            })
            .copied()
            .collect();
        QTensor::new(QStorage::from_data(bytes.into(), device, self.dtype)?, dims)
    }
}

/// Expands whole blocks.
fn expand(dtype: GgmlDType, bytes: &[u8], out: &mut [f32]) {
    let expanded = dtype
        .from_data(bytes.into())
        .dequantize(out.len())
        .and_then(|storage| {
            storage
                .as_slice::<f32>()
                .map(|wide| out.copy_from_slice(wide))
        });
    expanded.expect("blocks on the processor expand to single precision");
}

pub(super) fn kind(dtype: GgmlDType) -> &'static str {
    match dtype {
        GgmlDType::F32 => "F32",
        GgmlDType::F16 => "F16",
        GgmlDType::BF16 => "BF16",
        GgmlDType::Q4_0 => "Q4_0",
        GgmlDType::Q4_1 => "Q4_1",
        GgmlDType::Q5_0 => "Q5_0",
        GgmlDType::Q5_1 => "Q5_1",
        GgmlDType::Q8_0 => "Q8_0",
        GgmlDType::Q8_1 => "Q8_1",
        GgmlDType::Q2K => "Q2_K",
        GgmlDType::Q3K => "Q3_K",
        GgmlDType::Q4K => "Q4_K",
        GgmlDType::Q5K => "Q5_K",
        GgmlDType::Q6K => "Q6_K",
        GgmlDType::Q8K => "Q8_K",
    }
}
