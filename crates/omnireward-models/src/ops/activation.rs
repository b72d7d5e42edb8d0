#![expect(
    clippy::inline_always,
    reason = "a loop is compiled for its caller's instruction set only when it is inlined into it"
)]

use candle_core::{DType, Result, Tensor};

use super::simd::{self, Arithmetic, Binary, Element, Unary};

/// `silu(gate) · up` with `silu(x) = x / (1 + e⁻ˣ)` (Shazeer 2020, `SwiGLU`). As in the reference, `silu(gate)` is
/// rounded to the type of activations before the product.
///
/// # Shapes
///
/// `gate`, `up`: any, the same; so is what is returned.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if simd::ours(&[gate, up]) && gate.dims() == up.dims() {
        simd::zip::<SwiGlu>(gate, up)
    } else {
        swiglu_plain(gate, up)
    }
}

/// [`swiglu`], composed of the framework's operators.
pub fn swiglu_plain(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.to_dtype(DType::F32)?
        .silu()?
        .to_dtype(gate.dtype())?
        .mul(up)
}

/// The Gaussian error linear unit in its tanh form, `x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³)))` (Hendrycks and
/// Gimpel 2016).
///
/// # Shapes
///
/// `x`: any; so is what is returned.
pub fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    if simd::ours(&[x]) {
        simd::map::<GeluTanh>(x)
    } else {
        gelu_tanh_plain(x)
    }
}

/// [`gelu_tanh`], composed of the framework's operators.
pub fn gelu_tanh_plain(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(DType::F32)?.gelu()?.to_dtype(x.dtype())
}

/// The exact Gaussian error linear unit, `x · Φ(x)` with the normal distribution function `Φ` (Hendrycks and
/// Gimpel 2016).
///
/// # Shapes
///
/// `x`: any; so is what is returned.
pub fn gelu_erf(x: &Tensor) -> Result<Tensor> {
    if simd::ours(&[x]) {
        simd::map::<GeluErf>(x)
    } else {
        gelu_erf_plain(x)
    }
}

/// [`gelu_erf`], composed of the framework's operators.
pub fn gelu_erf_plain(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(DType::F32)?.gelu_erf()?.to_dtype(x.dtype())
}

/// `x + y`: the framework's sum, but vectorised for `bf16` too and on several threads.
///
/// # Shapes
///
/// `x`, `y`: any, the same; so is what is returned.
pub fn add(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    if simd::ours(&[x, y]) && x.dims() == y.dims() {
        simd::zip::<Sum>(x, y)
    } else {
        x.add(y)
    }
}

struct SwiGlu;

impl Binary for SwiGlu {
    const NAME: &'static str = "swiglu";

    #[inline(always)]
    fn value<A: Arithmetic, T: Element>(gate: f32, up: f32) -> f32 {
        T::narrow(silu::<A>(gate)).widen() * up
    }

    #[inline(always)]
    fn slopes<A: Arithmetic, T: Element>(gate: f32, up: f32) -> (f32, f32) {
        let open = simd::sigmoid::<A>(gate);
        let slope = open * A::mul_add(gate, 1.0 - open, 1.0);
        (up * slope, T::narrow(gate * open).widen())
    }
}

#[inline(always)]
fn silu<A: Arithmetic>(x: f32) -> f32 {
    x / (1.0 + simd::exp::<A>(-x))
}

struct GeluTanh;

impl GeluTanh {
    const CUBE: f32 = 0.044_715;

    /// `(1 + tanh(u)) / 2`, which is the logistic function of `2u`.
    #[inline(always)]
    fn gate<A: Arithmetic>(x: f32) -> f32 {
        simd::sigmoid::<A>(Self::OUTER * A::mul_add(Self::CUBE * x * x, x, x))
    }

    /// `2·√(2/π)`
    const OUTER: f32 = 1.595_769_2;
}

impl Unary for GeluTanh {
    const NAME: &'static str = "gelu_tanh";

    #[inline(always)]
    fn value<A: Arithmetic>(x: f32) -> f32 {
        x * Self::gate::<A>(x)
    }

    #[inline(always)]
    fn slope<A: Arithmetic>(x: f32) -> f32 {
        let gate = Self::gate::<A>(x);
        let inner = Self::OUTER * A::mul_add(3.0 * Self::CUBE * x, x, 1.0);
        A::mul_add(x * gate * (1.0 - gate), inner, gate)
    }
}

struct GeluErf;

impl Unary for GeluErf {
    const NAME: &'static str = "gelu_erf";

    #[inline(always)]
    fn value<A: Arithmetic>(x: f32) -> f32 {
        x * simd::cdf::<A>(x)
    }

    #[inline(always)]
    fn slope<A: Arithmetic>(x: f32) -> f32 {
        /// `1/√(2π)`
        const PEAK: f32 = 0.398_942_3;
        A::mul_add(x * PEAK, simd::exp::<A>(-0.5 * x * x), simd::cdf::<A>(x))
    }
}

struct Sum;

impl Binary for Sum {
    const NAME: &'static str = "add";
    const PASSES: bool = true;

    #[inline(always)]
    fn value<A: Arithmetic, T: Element>(x: f32, y: f32) -> f32 {
        x + y
    }

    #[inline(always)]
    fn slopes<A: Arithmetic, T: Element>(_: f32, _: f32) -> (f32, f32) {
        (1.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use half::bf16;

    use super::simd::testing::{bits, check, random, values};
    use super::*;

    /// Where the interesting things happen; an odd length, so that the last vector is not full.
    fn spread(seed: u64) -> Tensor {
        (random((37, 53), seed) * 6.0).unwrap()
    }

    #[test]
    fn equal_their_plain_twins() {
        let pair = [spread(1), spread(2)];
        check(
            &pair,
            [4e-7, 8e-3],
            |[x, y]| swiglu(x, y),
            |[x, y]| swiglu_plain(x, y),
        );
        check(&pair, [0.0, 0.0], |[x, y]| add(x, y), |[x, y]| x + y);
        // The framework's derivative has constants of six digits.
        check(
            &[spread(3)],
            [4e-6, 8e-3],
            |[x]| gelu_tanh(x),
            |[x]| gelu_tanh_plain(x),
        );
        check(
            &[spread(4)],
            [4e-7, 8e-3],
            |[x]| gelu_erf(x),
            |[x]| gelu_erf_plain(x),
        );
    }

    #[test]
    fn long_operands_and_parts_of_wider_ones_give_the_same() {
        let wide = (random((300, 1024), 5) * 4.0).unwrap();
        let (gate, up) = (
            wide.narrow(1, 0, 512).unwrap(),
            wide.narrow(1, 512, 512).unwrap(),
        );
        assert!(!gate.is_contiguous());
        let whole = swiglu(&gate, &up).unwrap();
        let (gate, up) = (gate.contiguous().unwrap(), up.contiguous().unwrap());
        assert_eq!(bits(&whole), bits(&swiglu(&gate, &up).unwrap()));
        let row = |x: &Tensor| x.narrow(0, 299, 1).unwrap();
        let alone = swiglu(&row(&gate), &row(&up)).unwrap();
        assert_eq!(bits(&row(&whole)), bits(&alone));
    }

    #[test]
    fn gelu_is_accurate() {
        let points: Vec<f32> = (-8000..8000).map(|i| i as f32 / 1000.0).collect();
        let x = Tensor::new(points.as_slice(), &Device::Cpu).unwrap();
        for (x, y) in points.iter().zip(values(&gelu_tanh(&x).unwrap())) {
            let wide = f64::from(*x);
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044_715 * wide.powi(3));
            // The logistic form keeps its digits where `1 + tanh` has none left.
            let truth = wide / (1.0 + (-2.0 * inner).exp());
            // The rounding of the exponent weighs as much as the exponent is large.
            let allowed = truth.abs() * (3e-7 * (1.0 + inner.abs()));
            assert!((f64::from(y) - truth).abs() <= allowed, "{x} {y} {truth}");
        }
    }

    #[test]
    fn silu_is_rounded_before_the_product() {
        let gate: Vec<bf16> = (-400..400)
            .map(|i| bf16::from_f32(i as f32 / 50.0))
            .collect();
        let up: Vec<bf16> = (0..800)
            .map(|i| bf16::from_f32(1.0 + i as f32 / 300.0))
            .collect();
        let tensor = |values: &[bf16]| Tensor::new(values, &Device::Cpu).unwrap();
        let ours = values(&swiglu(&tensor(&gate), &tensor(&up)).unwrap());
        for ((gate, up), ours) in gate.iter().zip(&up).zip(ours) {
            let gate = gate.to_f32();
            let silu = bf16::from_f32(gate / (1.0 + (-gate).exp()));
            assert!((silu * *up).to_f32().to_bits() == ours.to_bits(), "{gate}");
        }
    }
}
