#![expect(
    clippy::inline_always,
    reason = "a loop is compiled for its caller's instruction set only when it is inlined into it"
)]

use std::marker::PhantomData;

use candle_core::{
    CpuStorage, CustomOp2, CustomOp3, D, DType, Layout, Result, Shape, Tensor, bail,
};
use half::bf16;
use rayon::prelude::*;

use super::simd::{self, Arithmetic, Element, Kernel, Rows};

/// Root-mean-square normalisation: `x / √(mean(x²) + eps)` in `f32`, cast back to `x`'s type, times `weight`
/// (Zhang and Sennrich 2019, eq. 4; cast order as in Llama and Qwen2).
///
/// # Shapes
///
/// `x`: `[rows, width]` (or any leading shape); `weight`: `[width]`; returns `x`'s shape.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    if !simd::ours(&[x, weight]) {
        return rms_norm_plain(x, weight, eps);
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let eps = eps as f32;
    match x.dtype() {
        DType::F32 => x.apply_op2(&weight, RmsNorm::<f32>(eps, PhantomData)),
        _ => x.apply_op2(&weight, RmsNorm::<bf16>(eps, PhantomData)),
    }
}

/// [`rms_norm`], composed of the framework's operators.
pub fn rms_norm_plain(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let wide = x.to_dtype(DType::F32)?;
    let variance = wide.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = wide.broadcast_div(&(variance + eps)?.sqrt()?)?;
    normed.to_dtype(x.dtype())?.broadcast_mul(weight)
}

/// Layer normalisation `(x - mean(x)) / √(var(x) + eps) · weight + bias` (Ba et al. 2016, eq. 4), computed in `f32`
/// and rounded once, as `PyTorch` does.
///
/// # Shapes
///
/// `x`: `[rows, width]` (or any leading shape); `weight`, `bias`: `[width]`; returns `x`'s shape.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    if !simd::ours(&[x, weight, bias]) {
        return layer_norm_plain(x, weight, bias, eps);
    }
    let (x, weight, bias) = (x.contiguous()?, weight.contiguous()?, bias.contiguous()?);
    let eps = eps as f32;
    match x.dtype() {
        DType::F32 => x.apply_op3(&weight, &bias, LayerNorm::<f32>(eps, PhantomData)),
        _ => x.apply_op3(&weight, &bias, LayerNorm::<bf16>(eps, PhantomData)),
    }
}

/// [`layer_norm`], composed of the framework's operators.
pub fn layer_norm_plain(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let wide = x.to_dtype(DType::F32)?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    centred
        .broadcast_div(&(variance + eps)?.sqrt()?)?
        .broadcast_mul(&weight.to_dtype(DType::F32)?)?
        .broadcast_add(&bias.to_dtype(DType::F32)?)?
        .to_dtype(x.dtype())
}

struct RmsNorm<T>(f32, PhantomData<T>);

impl<T: Element> CustomOp2 for RmsNorm<T> {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = width(x_layout.dims(), &[weight_layout.dims()])?;
        let (x, weight) = (flat::<T>(x, x_layout)?, flat(weight, weight_layout)?);
        let values = simd::fill(x.len(), width, |first, to| {
            for (row, to) in to.chunks_exact_mut(width).enumerate() {
                simd::run(RmsRow {
                    x: &x[(first + row) * width..][..width],
                    weight,
                    eps: self.0,
                    to,
                });
            }
        });
        Ok((T::to_cpu_storage_owned(values), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (by_x, [by_weight, _]) = gradients::<T>(x, weight, grad, |row| {
            simd::run(RmsRowBackward { eps: self.0, row });
        })?;
        Ok((
            simd::wanted(x, || Ok(by_x))?,
            simd::wanted(weight, || Ok(by_weight))?,
        ))
    }
}

struct LayerNorm<T>(f32, PhantomData<T>);

impl<T: Element> CustomOp3 for LayerNorm<T> {
    fn name(&self) -> &'static str {
        "layer_norm"
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
        let width = width(x_layout.dims(), &[weight_layout.dims(), bias_layout.dims()])?;
        let (x, weight) = (flat::<T>(x, x_layout)?, flat(weight, weight_layout)?);
        let bias = flat(bias, bias_layout)?;
        let values = simd::fill(x.len(), width, |first, to| {
            for (row, to) in to.chunks_exact_mut(width).enumerate() {
                simd::run(LayerRow {
                    x: &x[(first + row) * width..][..width],
                    weight,
                    bias,
                    eps: self.0,
                    to,
                });
            }
        });
        Ok((T::to_cpu_storage_owned(values), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (by_x, [by_weight, by_bias]) = gradients::<T>(x, weight, grad, |row| {
            simd::run(LayerRowBackward { eps: self.0, row });
        })?;
        Ok((
            simd::wanted(x, || Ok(by_x))?,
            simd::wanted(weight, || Ok(by_weight))?,
            simd::wanted(bias, || Ok(by_bias))?,
        ))
    }
}

/// The width of the rows, which every parameter must have.
fn width(x: &[usize], parameters: &[&[usize]]) -> Result<usize> {
    let width = x.last().copied().unwrap_or(1);
    for parameter in parameters {
        if *parameter != [width] {
            bail!("a norm's parameter of shape {parameter:?} over rows of {width}");
        }
    }
    Ok(width)
}

/// All elements of a contiguous operand.
fn flat<'a, T: Element>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match Rows::of(storage, layout)?.whole() {
        Some(whole) => Ok(whole),
        None => bail!("a norm's operand is not contiguous"),
    }
}

struct RmsRow<'a, T> {
    x: &'a [T],
    weight: &'a [T],
    eps: f32,
    to: &'a mut [T],
}

impl<T: Element> Kernel for RmsRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let scale = rms_scale::<A, T>(self.x, self.eps);
        for ((x, weight), to) in self.x.iter().zip(self.weight).zip(self.to) {
            let normed = T::narrow(x.widen() * scale).widen();
            *to = T::narrow(normed * weight.widen());
        }
    }
}

#[inline(always)]
fn rms_scale<A: Arithmetic, T: Element>(x: &[T], eps: f32) -> f32 {
    let [square] = sums([x], |[x], [sum]| [A::mul_add(x, x, sum)]);
    1.0 / (square / x.len() as f32 + eps).sqrt()
}

struct LayerRow<'a, T> {
    x: &'a [T],
    weight: &'a [T],
    bias: &'a [T],
    eps: f32,
    to: &'a mut [T],
}

impl<T: Element> Kernel for LayerRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let (mean, scale) = layer_scale::<A, T>(self.x, self.eps);
        let parameters = self.weight.iter().zip(self.bias);
        for ((x, (weight, bias)), to) in self.x.iter().zip(parameters).zip(self.to) {
            let normed = (x.widen() - mean) * scale;
            *to = T::narrow(A::mul_add(normed, weight.widen(), bias.widen()));
        }
    }
}

#[inline(always)]
fn layer_scale<A: Arithmetic, T: Element>(x: &[T], eps: f32) -> (f32, f32) {
    let width = x.len() as f32;
    let [sum] = sums([x], |[x], [sum]| [sum + x]);
    let mean = sum / width;
    let [square] = sums([x], |[x], [sum]| [A::mul_add(x - mean, x - mean, sum)]);
    (mean, 1.0 / (square / width + eps).sqrt())
}

/// Sums over the elements of rows of one length, in an order that depends on that length alone: one partial sum per
/// lane.
#[inline(always)]
fn sums<T: Element, const K: usize, const N: usize>(
    rows: [&[T]; K],
    add: impl Fn([f32; K], [f32; N]) -> [f32; N],
) -> [f32; N] {
    const LANES: usize = 16;
    let width = rows[0].len();
    let mut partial = [[0.0_f32; LANES]; N];
    let mut step = |start: usize, lanes: usize| {
        let rows = rows.map(|row| &row[start..][..lanes]);
        for lane in 0..lanes {
            let sums = std::array::from_fn(|n| partial[n][lane]);
            let sums = add(rows.map(|row| row[lane].widen()), sums);
            for n in 0..N {
                partial[n][lane] = sums[n];
            }
        }
    };
    for block in 0..width / LANES {
        step(block * LANES, LANES);
    }
    step(width / LANES * LANES, width % LANES);
    partial.map(|mut lanes| {
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                lanes[lane] += lanes[lane + half];
            }
            half /= 2;
        }
        lanes[0]
    })
}

/// What the backward pass of a norm works on, row by row.
struct BackwardRow<'a, T> {
    x: &'a [T],
    weight: &'a [T],
    grad: &'a [T],
    to: &'a mut [T],
    /// Sums of the gradients of the parameters over rows.
    by_weight: &'a mut [f32],
    by_bias: &'a mut [f32],
}

/// With `n = x·s` the normed row and `h = grad·weight`: `dx = s·(h - n·mean(h·n))`.
struct RmsRowBackward<'a, T> {
    eps: f32,
    row: BackwardRow<'a, T>,
}

impl<T: Element> Kernel for RmsRowBackward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let BackwardRow { x, grad, .. } = self.row;
        let scale = rms_scale::<A, T>(x, self.eps);
        for ((x, grad), sum) in x.iter().zip(grad).zip(self.row.by_weight) {
            *sum = A::mul_add(grad.widen(), T::narrow(x.widen() * scale).widen(), *sum);
        }
        let row = [x, self.row.weight, grad];
        backward_row::<A, T>(row, self.row.to, (0.0, scale), 0.0);
    }
}

/// With `n = (x - mean)·s` and `h = grad·weight`: `dx = s·(h - mean(h) - n·mean(h·n))`.
struct LayerRowBackward<'a, T> {
    eps: f32,
    row: BackwardRow<'a, T>,
}

impl<T: Element> Kernel for LayerRowBackward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let BackwardRow { x, grad, .. } = self.row;
        let (mean, scale) = layer_scale::<A, T>(x, self.eps);
        let parameters = self.row.by_weight.iter_mut().zip(self.row.by_bias);
        for ((x, grad), (by_weight, by_bias)) in x.iter().zip(grad).zip(parameters) {
            *by_weight = A::mul_add(grad.widen(), (x.widen() - mean) * scale, *by_weight);
            *by_bias += grad.widen();
        }
        let row = [x, self.row.weight, grad];
        backward_row::<A, T>(row, self.row.to, (mean, scale), 1.0);
    }
}

/// `dx = s·(h - centred·mean(h) - n·mean(h·n))`, where `centred` is one if the norm takes the mean away.
#[inline(always)]
fn backward_row<A: Arithmetic, T: Element>(
    row: [&[T]; 3],
    to: &mut [T],
    (mean, scale): (f32, f32),
    centred: f32,
) {
    let [x, weight, grad] = row;
    let [plain, along] = sums(row, |[x, weight, grad], [plain, along]| {
        let weighted = grad * weight;
        [
            plain + weighted,
            A::mul_add(weighted, (x - mean) * scale, along),
        ]
    });
    let width = x.len() as f32;
    let (plain, along) = (centred * plain / width, along / width);
    for (((x, weight), grad), to) in x.iter().zip(weight).zip(grad).zip(to) {
        let normed = (x.widen() - mean) * scale;
        let weighted = grad.widen() * weight.widen() - plain;
        *to = T::narrow(scale * A::mul_add(-normed, along, weighted));
    }
}

/// The gradients of a norm by `x` and by its parameters. `backward` works on one row.
///
/// The parameters' gradients are sums over rows, made in groups of rows that do not depend on the number of threads.
fn gradients<T: Element>(
    x: &Tensor,
    weight: &Tensor,
    grad: &Tensor,
    backward: impl Fn(BackwardRow<'_, T>) + Sync,
) -> Result<(Tensor, [Tensor; 2])> {
    const GROUP: usize = 32;
    let grad = grad.contiguous()?;
    let width = weight.elem_count();
    let mut by_x = vec![T::ZERO; x.elem_count()];
    let groups = (by_x.len() / width.max(1)).div_ceil(GROUP);
    let mut by_parameters = vec![0.0_f32; groups * 2 * width];
    simd::read::<T, _>(x, |x| {
        simd::read::<T, _>(weight, |weight| {
            simd::read::<T, _>(&grad, |grad| {
                let (Some(x), Some(weight), Some(grad)) = (x.whole(), weight.whole(), grad.whole())
                else {
                    bail!("a norm's operand is not contiguous");
                };
                let length = (GROUP * width).max(1);
                by_x.par_chunks_mut(length)
                    .zip(by_parameters.par_chunks_mut((2 * width).max(1)))
                    .zip(x.par_chunks(length).zip(grad.par_chunks(length)))
                    .for_each(|((to, sums), (x, grad))| {
                        let (by_weight, by_bias) = sums.split_at_mut(width);
                        let rows = x.chunks_exact(width).zip(grad.chunks_exact(width));
                        for ((x, grad), to) in rows.zip(to.chunks_exact_mut(width)) {
                            backward(BackwardRow {
                                x,
                                weight,
                                grad,
                                to,
                                by_weight,
                                by_bias,
                            });
                        }
                    });
                Ok(())
            })
        })
    })?;
    let total = |offset: usize| {
        let mut total = vec![0.0_f32; width];
        for group in by_parameters.chunks_exact((2 * width).max(1)) {
            for (total, part) in total.iter_mut().zip(&group[offset..]) {
                *total += part;
            }
        }
        let total = total.into_iter().map(T::narrow).collect();
        Tensor::from_vec(total, weight.shape(), weight.device())
    };
    Ok((
        Tensor::from_vec(by_x, x.shape(), x.device())?,
        [total(0)?, total(width)?],
    ))
}

#[cfg(test)]
mod tests {
    use super::simd::testing::{bits, check, random};
    use super::*;

    #[test]
    fn equal_their_plain_twins() {
        for width in [5, 16, 72, 896] {
            let x = ((random((70, width), 1) * 2.0).unwrap() + 0.3).unwrap();
            let weight = (random(width, 2) + 1.0).unwrap();
            let operands = [x.clone(), weight.clone()];
            check(
                &operands,
                [2e-6, 3e-2],
                |[x, weight]| rms_norm(x, weight, 1e-6),
                |[x, weight]| rms_norm_plain(x, weight, 1e-6),
            );
            check(
                &[x, weight, random(width, 3)],
                [2e-6, 3e-2],
                |[x, weight, bias]| layer_norm(x, weight, bias, 1e-5),
                |[x, weight, bias]| layer_norm_plain(x, weight, bias, 1e-5),
            );
        }
    }

    #[test]
    fn a_row_depends_on_itself_alone() {
        let x = random((3, 100, 896), 4);
        let (weight, bias) = (random(896, 5), random(896, 6));
        let pick = |x: &Tensor| x.narrow(0, 1, 1).unwrap().narrow(1, 77, 1).unwrap();
        let all = rms_norm(&x, &weight, 1e-6).unwrap();
        let alone = rms_norm(&pick(&x), &weight, 1e-6).unwrap();
        assert_eq!(bits(&pick(&all)), bits(&alone));
        let all = layer_norm(&x, &weight, &bias, 1e-6).unwrap();
        let alone = layer_norm(&pick(&x), &weight, &bias, 1e-6).unwrap();
        assert_eq!(bits(&pick(&all)), bits(&alone));
    }

    #[test]
    fn threads_change_no_gradient() {
        let operands = [random((300, 64), 1), random(64, 2), random(64, 3)];
        let run = |threads| {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
            builder.build().unwrap().install(|| {
                simd::testing::gradients(&operands, |[x, weight, bias]| {
                    layer_norm(x, weight, bias, 1e-6)
                })
                .map(|gradient| bits(&gradient))
            })
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn refuses_parameters_of_another_width() {
        let x = random((2, 8), 1);
        assert!(rms_norm(&x, &random(7, 2), 1e-6).is_err());
        assert!(layer_norm(&x, &random(8, 2), &random(1, 3), 1e-6).is_err());
    }
}
