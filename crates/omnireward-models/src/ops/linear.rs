use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor,
    backend::BackendStorage, bail,
};
use half::{bf16, f16};

use super::{
    product::{self, Element, Output, Pack, View},
    simd,
};
use crate::weights::{Elements, Weight};

/// `x · Wᵀ + b`.
///
/// On the processor this is the crate's own product: a matrix of a narrower type is widened as it is used, sums are
/// kept in `f32`, and a row of the result does not depend on the other rows. It is differentiable in `x`, in `bias`, and
/// in a [`Weight::Tensor`]; a matrix in a file is frozen.
///
/// # Shapes
///
/// `x`: `[rows, in]`; `weight`: `[out, in]`; `bias`: `[out]`; returns `[rows, out]` in `x`'s type.
pub fn linear(x: &Tensor, weight: &Weight, bias: Option<&Tensor>) -> Result<Tensor> {
    check_shapes(x, weight, bias)?;
    let ours = x.device().is_cpu() && is_activation(x) && bias.is_none_or(is_number);
    match (weight, bias) {
        (Weight::Quantised(quantised), bias) => quantised.linear(x, bias),
        (Weight::Tensor(weight), None) if ours && is_number(weight) => x.apply_op2(weight, Linear),
        (Weight::Tensor(weight), Some(bias)) if ours && is_number(weight) => {
            x.apply_op3(weight, bias, Linear)
        }
        (Weight::Mapped(_), None) if ours => x.apply_op1(Frozen(weight.clone())),
        (Weight::Mapped(_), Some(bias)) if ours => x.apply_op2(bias, Frozen(weight.clone())),
        _ => linear_plain(x, weight, bias),
    }
}

/// [`linear`], composed of the framework's operators: for other devices, and to check ours against.
///
/// # Shapes
///
/// As [`linear`].
pub fn linear_plain(x: &Tensor, weight: &Weight, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.matmul(&weight.tensor(x.device(), x.dtype())?.t()?)?;
    match bias {
        Some(bias) => y.broadcast_add(&bias.to_dtype(x.dtype())?),
        None => Ok(y),
    }
}

fn check_shapes(x: &Tensor, weight: &Weight, bias: Option<&Tensor>) -> Result<()> {
    let (out, inner) = weight.dims();
    if x.dims2()?.1 != inner {
        bail!(
            "`x` of shape {:?} for a matrix of shape [{out}, {inner}]",
            x.dims()
        );
    }
    match bias {
        Some(bias) if bias.dims() != [out] => {
            bail!(
                "a bias of shape {:?} for a matrix of shape [{out}, {inner}]",
                bias.dims()
            )
        }
        _ => Ok(()),
    }
}

fn is_activation(x: &Tensor) -> bool {
    matches!(x.dtype(), DType::F32 | DType::BF16)
}

fn is_number(x: &Tensor) -> bool {
    matches!(x.dtype(), DType::F32 | DType::BF16 | DType::F16)
}

/// `x · Wᵀ (+ b)` of tensors.
struct Linear;

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let weight = Matrix::of(weight, weight_layout)?.transposed();
        multiply(Matrix::of(x, x_layout)?, weight, None, x.dtype())
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((
            simd::wanted(x, || grad.apply_op2_no_bwd(weight, &Product(x.dtype())))?,
            simd::wanted(weight, || {
                grad.t()?.apply_op2_no_bwd(x, &Product(weight.dtype()))
            })?,
        ))
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let weight = Matrix::of(weight, weight_layout)?.transposed();
        let bias = vector(bias, bias_layout)?;
        multiply(Matrix::of(x, x_layout)?, weight, Some(&bias), x.dtype())
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (of_x, of_weight) = CustomOp2::bwd(self, x, weight, y, grad)?;
        Ok((
            of_x,
            of_weight,
            simd::wanted(bias, || column_sums(grad, bias.dtype()))?,
        ))
    }
}

/// `x · Wᵀ (+ b)` with a matrix that stays as it is.
struct Frozen(Weight);

impl Frozen {
    fn matrix(&self) -> Result<Matrix<'_>> {
        let Weight::Mapped(mapped) = &self.0 else {
            bail!("a linear layer's matrix is not mapped");
        };
        let (out, inner) = mapped.dims();
        Ok(match mapped.elements() {
            Elements::F32(numbers) => Matrix::F32(View::new(numbers, out, inner)),
            Elements::Bf16(numbers) => Matrix::Bf16(View::new(numbers, out, inner)),
            Elements::F16(numbers) => Matrix::F16(View::new(numbers, out, inner)),
        })
    }

    fn grad_of_x(&self, x: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        simd::wanted(x, || grad.apply_op1_no_bwd(&TimesFrozen(self, x.dtype())))
    }
}

impl CustomOp1 for Frozen {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        multiply(
            Matrix::of(x, layout)?,
            self.matrix()?.transposed(),
            None,
            x.dtype(),
        )
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        self.grad_of_x(x, grad)
    }
}

impl CustomOp2 for Frozen {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let bias = vector(bias, bias_layout)?;
        let weight = self.matrix()?.transposed();
        multiply(Matrix::of(x, x_layout)?, weight, Some(&bias), x.dtype())
    }

    fn bwd(
        &self,
        x: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((
            self.grad_of_x(x, grad)?,
            simd::wanted(bias, || column_sums(grad, bias.dtype()))?,
        ))
    }
}

/// `dy · W` with a frozen matrix, in the given type.
struct TimesFrozen<'a>(&'a Frozen, DType);

impl CustomOp1 for TimesFrozen<'_> {
    fn name(&self) -> &'static str {
        "linear_backward"
    }

    fn cpu_fwd(&self, grad: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        multiply(Matrix::of(grad, layout)?, self.0.matrix()?, None, self.1)
    }
}

/// `A·B` in the given type.
struct Product(DType);

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "linear_backward"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        multiply(
            Matrix::of(a, a_layout)?,
            Matrix::of(b, b_layout)?,
            None,
            self.0,
        )
    }
}

/// The sum over the rows, in `f32` and in their order.
fn column_sums(x: &Tensor, dtype: DType) -> Result<Tensor> {
    let sums = match x.dtype() {
        DType::F32 => simd::read::<f32, _>(x, |rows| Ok(simd::column_sums(rows)))?,
        _ => simd::read::<bf16, _>(x, |rows| Ok(simd::column_sums(rows)))?,
    };
    Tensor::new(sums, x.device())?.to_dtype(dtype)
}

/// A matrix of any type that a product takes.
#[derive(Clone, Copy)]
enum Matrix<'a> {
    F32(View<'a, f32>),
    Bf16(View<'a, bf16>),
    F16(View<'a, f16>),
}

impl<'a> Matrix<'a> {
    fn of(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        let (rows, columns) = layout.shape().dims2()?;
        let [row_stride, column_stride] = *layout.stride() else {
            bail!("a matrix has two strides");
        };
        let start = layout.start_offset();
        Ok(match storage {
            CpuStorage::F32(data) => Self::F32(View::strided(
                &data[start..],
                rows,
                columns,
                row_stride,
                column_stride,
            )),
            CpuStorage::BF16(data) => Self::Bf16(View::strided(
                &data[start..],
                rows,
                columns,
                row_stride,
                column_stride,
            )),
            CpuStorage::F16(data) => Self::F16(View::strided(
                &data[start..],
                rows,
                columns,
                row_stride,
                column_stride,
            )),
            other => bail!("no matrix product for {:?}", other.dtype()),
        })
    }

    fn transposed(self) -> Self {
        match self {
            Self::F32(view) => Self::F32(view.transposed()),
            Self::Bf16(view) => Self::Bf16(view.transposed()),
            Self::F16(view) => Self::F16(view.transposed()),
        }
    }

    fn columns(&self) -> usize {
        match self {
            Self::F32(view) => view.columns(),
            Self::Bf16(view) => view.columns(),
            Self::F16(view) => view.columns(),
        }
    }

    fn rows(&self) -> usize {
        self.transposed().columns()
    }
}

/// The numbers of a vector, widened.
fn vector(storage: &CpuStorage, layout: &Layout) -> Result<Vec<f32>> {
    fn widened<T: Element>(data: &[T], layout: &Layout) -> Vec<f32> {
        let stride = layout.stride()[0];
        let places = (0..layout.dims()[0]).map(|i| layout.start_offset() + i * stride);
        places.map(|place| data[place].widen()).collect()
    }
    Ok(match storage {
        CpuStorage::F32(data) => widened(data, layout),
        CpuStorage::BF16(data) => widened(data, layout),
        CpuStorage::F16(data) => widened(data, layout),
        other => bail!("no bias of {:?}", other.dtype()),
    })
}

/// `A·B + bias` in the given type.
fn multiply(
    a: Matrix<'_>,
    b: Matrix<'_>,
    bias: Option<&[f32]>,
    dtype: DType,
) -> Result<(CpuStorage, Shape)> {
    let shape = Shape::from((a.rows(), b.columns()));
    let storage = match dtype {
        DType::F32 => CpuStorage::F32(multiply_into(a, b, bias, shape.elem_count())),
        DType::BF16 => CpuStorage::BF16(multiply_into(a, b, bias, shape.elem_count())),
        DType::F16 => CpuStorage::F16(multiply_into(a, b, bias, shape.elem_count())),
        other => bail!("no matrix product in {other:?}"),
    };
    Ok((storage, shape))
}

fn multiply_into<C: Output>(
    a: Matrix<'_>,
    b: Matrix<'_>,
    bias: Option<&[f32]>,
    len: usize,
) -> Vec<C> {
    fn by<A: Pack<f32>, C: Output>(
        a: View<'_, A>,
        b: Matrix<'_>,
        bias: Option<&[f32]>,
        out: &mut [C],
    ) {
        match b {
            Matrix::F32(b) => product::product(a, b, bias, out),
            Matrix::Bf16(b) => product::product(a, b, bias, out),
            Matrix::F16(b) => product::product(a, b, bias, out),
        }
    }
    let mut out = vec![C::default(); len];
    match a {
        Matrix::F32(a) => by(a, b, bias, &mut out),
        Matrix::Bf16(a) => by(a, b, bias, &mut out),
        Matrix::F16(a) => by(a, b, bias, &mut out),
    }
    out
}

#[cfg(test)]
mod tests;
