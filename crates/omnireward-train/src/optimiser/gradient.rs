use candle_core::{CpuStorage, DType, InplaceOp2, Layout, Result, Storage, Tensor, bail};
use half::bf16;
use rayon::prelude::*;

use super::BLOCK;

/// The gradient of one parameter since the last step.
#[derive(Debug, Default)]
pub(super) struct Gradient {
    state: State,
    /// Room for a sum of several, kept from step to step.
    sum: Option<Tensor>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Nothing,
    /// One gradient, as it came.
    One(Tensor),
    /// Several, added up in `sum`.
    Sum,
}

impl Gradient {
    pub(super) fn add(&mut self, gradient: &Tensor) -> Result<()> {
        let gradient = readable(gradient)?;
        self.state = match std::mem::take(&mut self.state) {
            State::Nothing => State::One(gradient),
            State::One(first) => {
                self.set_sum(&first)?;
                self.add_to_sum(&gradient)?;
                State::Sum
            }
            State::Sum => {
                self.add_to_sum(&gradient)?;
                State::Sum
            }
        };
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.state = State::Nothing;
    }

    /// Contiguous, `f32` or `bf16`; nothing when there was no gradient.
    pub(super) fn tensor(&self) -> Option<&Tensor> {
        match &self.state {
            State::Nothing => None,
            State::One(gradient) => Some(gradient),
            State::Sum => self.sum.as_ref(),
        }
    }

    /// The sum of its squares, in `f64`.
    pub(super) fn squares(&self) -> Result<f64> {
        let Some(gradient) = self.tensor() else {
            return Ok(0.0);
        };
        if !gradient.device().is_cpu() {
            let squares = gradient.to_dtype(DType::F32)?.sqr()?.sum_all()?;
            return Ok(f64::from(squares.to_scalar::<f32>()?));
        }
        let (storage, layout) = gradient.storage_and_layout();
        match &*storage {
            Storage::Cpu(CpuStorage::F32(numbers)) => Ok(squares(part(numbers, layout)?)),
            Storage::Cpu(CpuStorage::BF16(numbers)) => Ok(squares(part(numbers, layout)?)),
            _ => bail!("a gradient of type {:?}", gradient.dtype()),
        }
    }

    fn set_sum(&mut self, gradient: &Tensor) -> Result<()> {
        if let Some(sum) = &self.sum
            && gradient.device().is_cpu()
        {
            return sum.inplace_op2(gradient, &SetSum);
        }
        // A copy, because the gradient belongs to whoever computed it.
        self.sum = Some(match gradient.dtype() {
            DType::F32 => gradient.copy()?,
            _ => gradient.to_dtype(DType::F32)?,
        });
        Ok(())
    }

    fn add_to_sum(&mut self, gradient: &Tensor) -> Result<()> {
        let sum = self.sum.as_ref().expect("the sum was set before");
        if gradient.device().is_cpu() {
            return sum.inplace_op2(gradient, &AddToSum);
        }
        self.sum = Some((sum + gradient.to_dtype(DType::F32)?)?);
        Ok(())
    }
}

/// A number that gradients come in.
pub(super) trait Number: Copy + Send + Sync {
    fn wide(self) -> f32;
}

impl Number for f32 {
    #[inline]
    fn wide(self) -> f32 {
        self
    }
}

impl Number for bf16 {
    #[inline]
    fn wide(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

/// The numbers of a contiguous tensor.
pub(super) fn part<'a, T>(numbers: &'a [T], layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&numbers[start..end]),
        None => bail!("numbers that do not lie side by side"),
    }
}

/// The numbers of a contiguous tensor, to be changed.
pub(super) fn part_mut<'a, T>(numbers: &'a mut [T], layout: &Layout) -> Result<&'a mut [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&mut numbers[start..end]),
        None => bail!("numbers that do not lie side by side"),
    }
}

/// The gradient by itself, without what it was computed from, contiguous, in a type that a step reads.
fn readable(gradient: &Tensor) -> Result<Tensor> {
    let gradient = gradient.detach().contiguous()?;
    match gradient.dtype() {
        DType::F32 | DType::BF16 => Ok(gradient),
        _ => gradient.to_dtype(DType::F32),
    }
}

/// The same for any number of threads: blocks are fixed, and are added up in their order.
fn squares<T: Number>(numbers: &[T]) -> f64 {
    let blocks: Vec<f64> = numbers.par_chunks(BLOCK).map(squares_of_block).collect();
    blocks.iter().sum()
}

/// Eight sums side by side, so that they can be computed at once.
fn squares_of_block<T: Number>(numbers: &[T]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let mut groups = numbers.chunks_exact(LANES);
    for group in &mut groups {
        for (sum, number) in sums.iter_mut().zip(group) {
            let number = f64::from(number.wide());
            *sum += number * number;
        }
    }
    for (sum, number) in sums.iter_mut().zip(groups.remainder()) {
        let number = f64::from(number.wide());
        *sum += number * number;
    }
    sums.iter().sum()
}

/// Replaces a sum by a gradient.
struct SetSum;

/// Adds a gradient to a sum.
struct AddToSum;

impl InplaceOp2 for SetSum {
    fn name(&self) -> &'static str {
        "copy gradient"
    }

    fn cpu_fwd(
        &self,
        sum: &mut CpuStorage,
        sum_layout: &Layout,
        gradient: &CpuStorage,
        layout: &Layout,
    ) -> Result<()> {
        each(sum, sum_layout, gradient, layout, |sum, gradient| {
            *sum = gradient;
        })
    }
}

impl InplaceOp2 for AddToSum {
    fn name(&self) -> &'static str {
        "add gradient"
    }

    fn cpu_fwd(
        &self,
        sum: &mut CpuStorage,
        sum_layout: &Layout,
        gradient: &CpuStorage,
        layout: &Layout,
    ) -> Result<()> {
        each(sum, sum_layout, gradient, layout, |sum, gradient| {
            *sum += gradient;
        })
    }
}

fn each(
    sum: &mut CpuStorage,
    sum_layout: &Layout,
    gradient: &CpuStorage,
    layout: &Layout,
    change: impl Fn(&mut f32, f32) + Sync,
) -> Result<()> {
    let CpuStorage::F32(sum) = sum else {
        bail!("a sum of gradients that is not f32");
    };
    let sum = part_mut(sum, sum_layout)?;
    match gradient {
        CpuStorage::F32(numbers) => each_of(sum, part(numbers, layout)?, change),
        CpuStorage::BF16(numbers) => each_of(sum, part(numbers, layout)?, change),
        _ => bail!("a gradient that is neither f32 nor bf16"),
    }
    Ok(())
}

fn each_of<T: Number>(sum: &mut [f32], numbers: &[T], change: impl Fn(&mut f32, f32) + Sync) {
    sum.par_chunks_mut(BLOCK)
        .zip(numbers.par_chunks(BLOCK))
        .for_each(|(sum, numbers)| {
            for (sum, number) in sum.iter_mut().zip(numbers) {
                change(sum, number.wide());
            }
        });
}
