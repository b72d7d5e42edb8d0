use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Tensor};
use half::bf16;

use super::{Arithmetic, Element, Kernel, Rows, fill_several, read, run, wanted, with_rows};

/// A function of one number.
pub(crate) trait Unary: Send + Sync + 'static {
    /// For messages.
    const NAME: &'static str;

    /// The function.
    fn value<A: Arithmetic>(x: f32) -> f32;

    /// Its derivative.
    fn slope<A: Arithmetic>(x: f32) -> f32;
}

/// A function of two numbers.
pub(crate) trait Binary: Send + Sync + 'static {
    /// For messages.
    const NAME: &'static str;

    /// Whether both derivatives are one everywhere, so that gradients pass as they are.
    const PASSES: bool = false;

    /// The function, with whatever rounding to `T` belongs inside it.
    fn value<A: Arithmetic, T: Element>(x: f32, y: f32) -> f32;

    /// Its derivatives by `x` and by `y`.
    fn slopes<A: Arithmetic, T: Element>(x: f32, y: f32) -> (f32, f32);
}

/// The function of every element of a tensor that is [ours](super::ours).
pub(crate) fn map<F: Unary>(x: &Tensor) -> Result<Tensor> {
    let x = with_rows(x)?;
    match x.dtype() {
        DType::F32 => x.apply_op1(Map::<F, f32>(PhantomData)),
        _ => x.apply_op1(Map::<F, bf16>(PhantomData)),
    }
}

/// The function of every pair of elements of two tensors of one shape that are [ours](super::ours).
pub(crate) fn zip<F: Binary>(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (x, y) = (with_rows(x)?, with_rows(y)?);
    match x.dtype() {
        DType::F32 => x.apply_op2(&y, Zip::<F, f32>(PhantomData)),
        _ => x.apply_op2(&y, Zip::<F, bf16>(PhantomData)),
    }
}

struct Map<F, T>(PhantomData<(F, T)>);

impl<F: Unary, T: Element> CustomOp1 for Map<F, T> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [values] = together([Rows::<T>::of(storage, layout)?], |[x], [to]| {
            run(Values::<T, F> {
                x,
                to,
                function: PhantomData,
            });
        });
        Ok((T::to_cpu_storage_owned(values), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let [values] = read::<T, _>(x, |x| {
            read::<T, _>(grad, |grad| {
                Ok(together([x, grad], |[x, grad], [to]| {
                    run(Slopes::<T, F> {
                        x,
                        grad,
                        to,
                        function: PhantomData,
                    });
                }))
            })
        })?;
        Tensor::from_vec(values, x.shape(), x.device()).map(Some)
    }
}

struct Zip<F, T>(PhantomData<(F, T)>);

impl<F: Binary, T: Element> CustomOp2 for Zip<F, T> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let operands = [Rows::<T>::of(x, x_layout)?, Rows::of(y, y_layout)?];
        let [values] = together(operands, |[x, y], [to]| {
            run(PairValues::<T, F> {
                x,
                y,
                to,
                function: PhantomData,
            });
        });
        Ok((T::to_cpu_storage_owned(values), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        if F::PASSES {
            let pass = |operand| wanted(operand, || Ok(grad.clone()));
            return Ok((pass(x)?, pass(y)?));
        }
        let [by_x, by_y] = read::<T, _>(x, |x| {
            read::<T, _>(y, |y| {
                read::<T, _>(grad, |grad| {
                    Ok(together([x, y, grad], |[x, y, grad], [by_x, by_y]| {
                        run(PairSlopes::<T, F> {
                            x,
                            y,
                            grad,
                            by_x,
                            by_y,
                            function: PhantomData,
                        });
                    }))
                })
            })
        })?;
        Ok((gradient(x, by_x)?, gradient(y, by_y)?))
    }
}

/// The gradient by an operand, if it has one.
fn gradient<T: Element>(operand: &Tensor, values: Vec<T>) -> Result<Option<Tensor>> {
    wanted(operand, || {
        Tensor::from_vec(values, operand.shape(), operand.device())
    })
}

/// New buffers of the operands' shape, filled from the same stretch of each of them.
fn together<T: Element, const N: usize, const M: usize>(
    operands: [Rows<'_, T>; N],
    work: impl Fn([&[T]; N], [&mut [T]; M]) + Sync,
) -> [Vec<T>; M] {
    let Rows { width, count, .. } = operands[0];
    if operands.iter().all(|operand| operand.whole().is_some()) {
        let whole = operands.map(|operand| operand.whole().unwrap_or_default());
        return fill_several(count * width, 1, |first, to| {
            let len = to.first().map_or(0, |to| to.len());
            work(whole.map(|all| &all[first..first + len]), to);
        });
    }
    fill_several(count * width, width, |first, to| {
        let mut rows = to.map(|to| to.chunks_exact_mut(width));
        let count = rows.first().map_or(0, ExactSizeIterator::len);
        for row in first..first + count {
            let to = rows.each_mut().map(|rows| rows.next().unwrap_or_default());
            work(operands.map(|operand| operand.row(row)), to);
        }
    })
}

struct Values<'a, T, F> {
    x: &'a [T],
    to: &'a mut [T],
    function: PhantomData<F>,
}

impl<T: Element, F: Unary> Kernel for Values<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for (x, to) in self.x.iter().zip(self.to) {
            *to = T::narrow(F::value::<A>(x.widen()));
        }
    }
}

struct Slopes<'a, T, F> {
    x: &'a [T],
    grad: &'a [T],
    to: &'a mut [T],
    function: PhantomData<F>,
}

impl<T: Element, F: Unary> Kernel for Slopes<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for ((x, grad), to) in self.x.iter().zip(self.grad).zip(self.to) {
            *to = T::narrow(grad.widen() * F::slope::<A>(x.widen()));
        }
    }
}

struct PairValues<'a, T, F> {
    x: &'a [T],
    y: &'a [T],
    to: &'a mut [T],
    function: PhantomData<F>,
}

impl<T: Element, F: Binary> Kernel for PairValues<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for ((x, y), to) in self.x.iter().zip(self.y).zip(self.to) {
            *to = T::narrow(F::value::<A, T>(x.widen(), y.widen()));
        }
    }
}

struct PairSlopes<'a, T, F> {
    x: &'a [T],
    y: &'a [T],
    grad: &'a [T],
    by_x: &'a mut [T],
    by_y: &'a mut [T],
    function: PhantomData<F>,
}

impl<T: Element, F: Binary> Kernel for PairSlopes<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let operands = self.x.iter().zip(self.y).zip(self.grad);
        let gradients = self.by_x.iter_mut().zip(self.by_y);
        for (((x, y), grad), (to_x, to_y)) in operands.zip(gradients) {
            let (by_x, by_y) = F::slopes::<A, T>(x.widen(), y.widen());
            *to_x = T::narrow(grad.widen() * by_x);
            *to_y = T::narrow(grad.widen() * by_y);
        }
    }
}
