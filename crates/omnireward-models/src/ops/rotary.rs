#![expect(
    clippy::inline_always,
    reason = "a loop is compiled for its caller's instruction set only when it is inlined into it"
)]

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Tensor, bail};
use half::bf16;

use super::simd::{self, Arithmetic, Element, Kernel, Rows};

/// Rotary position embedding in the rotate-half layout (Su et al. 2021, eq. 34; element `i` is paired with
/// `i + head_dim / 2`): `x·cos + rotate_half(x)·sin`.
///
/// As in the reference, everything happens in `x`'s type: `cos` and `sin` are cast to it, and each product and the sum
/// are rounded. No gradient reaches `cos` and `sin`.
///
/// # Shapes
///
/// `x`: `[rows, heads, head_dim]`; `cos`, `sin`: `[rows, head_dim / 2]` in `f32`; returns `x`'s shape.
pub fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let tables = cos.dtype() == DType::F32 && simd::ours(&[cos, sin]);
    if !tables || !simd::ours(&[x]) {
        return rotate_plain(x, cos, sin);
    }
    let (x, cos, sin) = (simd::with_rows(x)?, cos.contiguous()?, sin.contiguous()?);
    match x.dtype() {
        DType::F32 => x.apply_op3(&cos, &sin, Rotate::<f32>(PhantomData)),
        _ => x.apply_op3(&cos, &sin, Rotate::<bf16>(PhantomData)),
    }
}

/// [`rotate`], composed of the framework's operators.
pub fn rotate_plain(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let (first, second) = (
        x.narrow(D::Minus1, 0, half)?,
        x.narrow(D::Minus1, half, half)?,
    );
    let cos = cos.to_dtype(x.dtype())?.unsqueeze(1)?;
    let sin = sin.to_dtype(x.dtype())?.unsqueeze(1)?;
    Tensor::cat(
        &[
            (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?,
            (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?,
        ],
        D::Minus1,
    )
}

struct Rotate<T>(PhantomData<T>);

impl<T: Element> CustomOp3 for Rotate<T> {
    fn name(&self) -> &'static str {
        "rotate"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        cos: &CpuStorage,
        cos_layout: &Layout,
        sin: &CpuStorage,
        sin_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, _, head_dim) = x_layout.shape().dims3()?;
        for table in [cos_layout, sin_layout] {
            if table.dims() != [rows, head_dim / 2] || head_dim % 2 != 0 {
                bail!(
                    "a rotary table of shape {:?} for activations of {:?}",
                    table.dims(),
                    x_layout.dims()
                );
            }
        }
        let x = Rows::<T>::of(x, x_layout)?;
        let cos = Rows::<f32>::of(cos, cos_layout)?;
        let sin = Rows::<f32>::of(sin, sin_layout)?;
        let values = simd::fill(rows * x.width, x.width, |first, to| {
            for (row, to) in to.chunks_exact_mut(x.width.max(1)).enumerate() {
                simd::run(RotateRow {
                    x: x.row(first + row),
                    cos: cos.row(first + row),
                    sin: sin.row(first + row),
                    to,
                });
            }
        });
        Ok((T::to_cpu_storage_owned(values), x_layout.shape().clone()))
    }

    /// A turn back by the same angle.
    fn bwd(
        &self,
        _: &Tensor,
        cos: &Tensor,
        sin: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        Ok((Some(rotate(grad, cos, &sin.neg()?)?), None, None))
    }
}

/// All heads of one row.
struct RotateRow<'a, T> {
    x: &'a [T],
    cos: &'a [f32],
    sin: &'a [f32],
    to: &'a mut [T],
}

impl<T: Element> Kernel for RotateRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let half = self.cos.len();
        let heads = self.x.chunks_exact(2 * half);
        for (x, to) in heads.zip(self.to.chunks_exact_mut(2 * half)) {
            let (x_first, x_second) = x.split_at(half);
            let (first, second) = to.split_at_mut(half);
            let mut at = 0;
            while at + 16 <= half {
                let tables = [&self.cos[at..], &self.sin[at..]];
                let to = [&mut first[at..], &mut second[at..]];
                turn::<T, 16>([&x_first[at..], &x_second[at..]], tables, to);
                at += 16;
            }
            while at < half {
                let tables = [&self.cos[at..], &self.sin[at..]];
                let to = [&mut first[at..], &mut second[at..]];
                turn::<T, 1>([&x_first[at..], &x_second[at..]], tables, to);
                at += 1;
            }
        }
    }
}

/// Turns the first `N` pairs. They are collected before they are written, so that the compiler need not fear that what
/// is written is read again.
#[inline(always)]
fn turn<T: Element, const N: usize>(x: [&[T]; 2], tables: [&[f32]; 2], to: [&mut [T]; 2]) {
    let ([a, b], [cos, sin]) = (x.map(|x| &x[..N]), tables.map(|table| &table[..N]));
    let mut turned = [[T::ZERO; N]; 2];
    for i in 0..N {
        let (cos, sin) = (round::<T>(cos[i]), round::<T>(sin[i]));
        let (a, b) = (a[i].widen(), b[i].widen());
        turned[0][i] = T::narrow(round::<T>(a * cos) - round::<T>(b * sin));
        turned[1][i] = T::narrow(round::<T>(b * cos) + round::<T>(a * sin));
    }
    for (to, turned) in to.into_iter().zip(turned) {
        to[..N].copy_from_slice(&turned);
    }
}

/// The nearest number of type `T`.
#[inline(always)]
fn round<T: Element>(x: f32) -> f32 {
    T::narrow(x).widen()
}

#[cfg(test)]
mod tests {
    use super::simd::testing::{bits, check, random};
    use super::*;

    fn tables(rows: usize, half: usize) -> (Tensor, Tensor) {
        let angles = (random((rows, half), 7) * 3.0).unwrap();
        (angles.cos().unwrap(), angles.sin().unwrap())
    }

    #[test]
    fn equals_its_plain_twin_bit_for_bit() {
        for head_dim in [6, 64, 128] {
            let (cos, sin) = tables(9, head_dim / 2);
            check(
                &[random((9, 3, head_dim), 1)],
                [0.0, 0.0],
                |[x]| rotate(x, &cos, &sin),
                |[x]| rotate_plain(x, &cos, &sin),
            );
        }
    }

    #[test]
    fn a_row_depends_on_itself_alone() {
        let x = random((400, 14, 64), 1);
        let (cos, sin) = tables(400, 32);
        let row = |x: &Tensor| x.narrow(0, 333, 1).unwrap();
        let all = rotate(&x, &cos, &sin).unwrap();
        let alone = rotate(&row(&x), &row(&cos), &row(&sin)).unwrap();
        assert_eq!(bits(&row(&all)), bits(&alone));
    }

    #[test]
    fn takes_parts_of_a_wider_tensor() {
        let wide = random((5, 6, 16), 1);
        let part = wide.narrow(1, 2, 3).unwrap();
        let (cos, sin) = tables(5, 8);
        let copied = rotate(&part.contiguous().unwrap(), &cos, &sin).unwrap();
        assert_eq!(bits(&rotate(&part, &cos, &sin).unwrap()), bits(&copied));
    }

    #[test]
    fn refuses_tables_of_another_shape() {
        let (cos, sin) = tables(5, 8);
        assert!(rotate(&random((5, 2, 32), 1), &cos, &sin).is_err());
        assert!(rotate(&random((4, 2, 16), 1), &cos, &sin).is_err());
    }
}
