use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, WithDType, bail};
use half::bf16;

/// A type of activations. Arithmetic is done in `f32`.
pub(crate) trait Element: WithDType {
    /// Zero.
    const ZERO: Self;

    /// The same number in `f32`.
    fn widen(self) -> f32;

    /// The nearest number of this type, ties to even.
    fn narrow(x: f32) -> Self;

    /// A storage's elements, if they are of this type.
    fn of(storage: &CpuStorage) -> Option<&[Self]>;

    /// Elements whose type is known.
    fn known(elements: &[Self]) -> Known<'_>;
}

/// Elements of either type.
#[derive(Clone, Copy)]
pub(crate) enum Known<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

impl Element for f32 {
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }

    #[inline(always)]
    fn narrow(x: f32) -> Self {
        x
    }

    fn of(storage: &CpuStorage) -> Option<&[Self]> {
        match storage {
            CpuStorage::F32(values) => Some(values),
            _ => None,
        }
    }

    fn known(elements: &[Self]) -> Known<'_> {
        Known::F32(elements)
    }
}

/// Written without branches, unlike the conversions of `half`, so that loops over it become vector instructions.
impl Element for bf16 {
    const ZERO: Self = bf16::ZERO;

    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn narrow(x: f32) -> Self {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        // Rounding could carry a NaN's payload away; a set quiet bit keeps it one.
        let quiet = (bits >> 16) | 0x40;
        bf16::from_bits((if x.is_nan() { quiet } else { rounded }) as u16)
    }

    fn of(storage: &CpuStorage) -> Option<&[Self]> {
        match storage {
            CpuStorage::BF16(values) => Some(values),
            _ => None,
        }
    }

    fn known(elements: &[Self]) -> Known<'_> {
        Known::Bf16(elements)
    }
}

/// An operand `[rows, …]` whose rows are contiguous, though they may lie apart, as those of a narrowed tensor do.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    data: &'a [T],
    stride: usize,
    /// Elements in a row.
    pub(crate) width: usize,
    /// How many rows there are.
    pub(crate) count: usize,
}

impl<'a, T: Element> Rows<'a, T> {
    /// The rows of an operand; fails unless it is of this type and has rows.
    pub(crate) fn of(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let (Some(data), Some(stride)) = (T::of(storage), row_stride(layout)) else {
            bail!("an operand of another type, or whose rows are not contiguous");
        };
        let count = layout.dims()[0];
        Ok(Self {
            data: &data[layout.start_offset()..],
            stride,
            width: layout.dims()[1..].iter().product(),
            count,
        })
    }

    /// One row.
    #[inline(always)]
    pub(crate) fn row(&self, index: usize) -> &'a [T] {
        &self.data[index * self.stride..][..self.width]
    }

    /// Everything from a row's first element on, and the elements from row to row.
    pub(crate) fn starting_at(&self, index: usize) -> (&'a [T], usize) {
        (&self.data[index * self.stride..], self.stride)
    }

    /// All elements, if no gap lies between the rows.
    pub(crate) fn whole(&self) -> Option<&'a [T]> {
        (self.stride == self.width || self.count <= 1)
            .then(|| &self.data[..self.count * self.width])
    }
}

/// Elements from row to row, if the rows themselves are contiguous.
fn row_stride(layout: &Layout) -> Option<usize> {
    let (dims, strides) = (layout.dims(), layout.stride());
    let mut expected = 1;
    for (dim, stride) in dims[1..].iter().zip(&strides[1..]).rev() {
        if *dim != 1 && *stride != expected {
            return None;
        }
        expected *= dim;
    }
    Some(if dims[0] <= 1 { expected } else { strides[0] })
}

/// The tensor itself if its rows are contiguous, a contiguous copy otherwise. A scalar is no operand of ours.
pub(crate) fn with_rows(tensor: &Tensor) -> Result<Tensor> {
    if tensor.rank() > 0 && row_stride(tensor.layout()).is_some() {
        Ok(tensor.clone())
    } else {
        tensor.contiguous()
    }
}

/// Calls `work` with the rows of a tensor in this machine's memory.
pub(crate) fn read<T: Element, R>(
    tensor: &Tensor,
    work: impl FnOnce(Rows<'_, T>) -> Result<R>,
) -> Result<R> {
    let tensor = with_rows(tensor)?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => work(Rows::of(storage, layout)?),
        _ => bail!("an operand is not in this machine's memory"),
    }
}

/// The gradient by an operand that has one.
pub(crate) fn wanted(
    operand: &Tensor,
    gradient: impl FnOnce() -> Result<Tensor>,
) -> Result<Option<Tensor>> {
    operand.track_op().then(gradient).transpose()
}

/// Whether our own operators can work on these operands: on the processor, all `f32` or all `bf16`.
pub(crate) fn ours(operands: &[&Tensor]) -> bool {
    let dtype = operands[0].dtype();
    matches!(dtype, DType::F32 | DType::BF16)
        && operands.iter().all(|operand| {
            operand.dtype() == dtype && operand.device().is_cpu() && operand.rank() > 0
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_like_half() {
        let mut bits = 1_u32;
        for _ in 0..1_000_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let x = f32::from_bits(bits);
            let (ours, theirs) = (<bf16 as Element>::narrow(x), bf16::from_f32(x));
            assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan());
            assert!(ours.widen().to_bits() == ours.to_f32().to_bits() || ours.is_nan());
        }
    }
}
