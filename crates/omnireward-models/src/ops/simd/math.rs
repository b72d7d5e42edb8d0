//! Elementary functions without branches or tables, so that a loop over them becomes vector instructions.
//!
//! The polynomials are minimax fits (Lawson's iteration on Chebyshev nodes, in `f64`, rounded to `f32`); their own
//! error is below 5e-9 relative to the function, and what is left is rounding: the tests hold each function within
//! 3e-7 of `f64`'s. Numbers below `f32`'s normal range lose digits or come out as zero.

use super::Arithmetic;

/// `c[0] + c[1]·x + c[2]·x² + …`
#[inline(always)]
fn polynomial<A: Arithmetic, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[N - 1];
    for index in (0..N - 1).rev() {
        sum = A::mul_add(sum, x, coefficients[index]);
    }
    sum
}

/// `eˣ`
#[inline(always)]
pub(crate) fn exp<A: Arithmetic>(x: f32) -> f32 {
    /// Beyond these `eˣ` is zero and infinite.
    const LOW: f32 = -104.0;
    const HIGH: f32 = 89.0;

    // Comparisons rather than `clamp`, which would turn a NaN into a number.
    let bounded = if x > HIGH { HIGH } else { x };
    let bounded = if bounded < LOW { LOW } else { bounded };
    let (power, n) = split::<A>(bounded);
    // 2ⁿ in two factors, since it may not be a number where eˣ still is one.
    let half = n >> 1;
    power * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// `eˣ` for `x ≤ 0`, which takes less; other numbers give anything. A NaN stays one.
#[inline(always)]
pub(crate) fn exp_below<A: Arithmetic>(x: f32) -> f32 {
    /// Here `n` is -127, and what stands for 2ⁿ is zero.
    const LOW: f32 = -88.0;

    let bounded = if x < LOW { LOW } else { x };
    let (power, n) = split::<A>(bounded);
    power * power_of_two(n)
}

/// `eʳ` and `n`, where `x = n·ln 2 + r` with an integer `n` and the smallest `r`.
#[inline(always)]
fn split<A: Arithmetic>(x: f32) -> (f32, i32) {
    /// Added and taken away, it rounds to an integer, which then stands in the sum's last bits.
    const ROUND: f32 = 12_582_912.0;
    /// `ln 2` in a part short enough that its products with `n` are exact, and the rest.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;

    let shifted = A::mul_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = A::mul_add(n, -LN2_HIGH, x);
    let r = A::mul_add(n, -LN2_LOW, r);
    let tail = polynomial::<A, 5>(
        r,
        [
            0.5,
            0.166_665_12,
            0.041_666_187,
            0.008_369_599,
            0.001_395_159_4,
        ],
    );
    let power = A::mul_add(r * r, tail, r) + 1.0;
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    (power, n)
}

/// 2ⁿ for `-126 ≤ n ≤ 127`, and zero for -127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// `1 / (1 + e⁻ˣ)`
#[inline(always)]
pub(crate) fn sigmoid<A: Arithmetic>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<A>(-x))
}

/// The error function: a polynomial near zero, `1 - e^-p(x)` elsewhere, where `p` is a polynomial for `-ln erfc`.
#[inline(always)]
fn erf<A: Arithmetic>(x: f32) -> f32 {
    let size = x.abs();
    let tail = polynomial::<A, 7>(
        x * x,
        [
            0.128_379_17,
            -0.376_126_26,
            0.112_836,
            -0.026_854_444,
            0.005_189_535,
            -0.000_802_084_16,
            7.889_12e-5,
        ],
    );
    let near = A::mul_add(x, tail, x);
    // Beyond 4 the function is 1 in `f32`, and the polynomial was not fitted.
    let bounded = if size > 4.0 { 4.0 } else { size };
    let exponent = polynomial::<A, 7>(
        bounded,
        [
            1.128_682_9,
            0.635_014,
            0.106_460_2,
            -0.023_951_46,
            0.003_730_728,
            -0.000_344_225_93,
            1.334_548_3e-5,
        ],
    );
    let far = (1.0 - exp_below::<A>(-bounded * exponent)).copysign(x);
    if size < 1.0 { near } else { far }
}

/// The normal distribution function `Φ(x) = (1 + erf(x / √2)) / 2`.
#[inline(always)]
pub(crate) fn cdf<A: Arithmetic>(x: f32) -> f32 {
    0.5 * (1.0 + erf::<A>(x * std::f32::consts::FRAC_1_SQRT_2))
}

#[cfg(test)]
mod tests {
    use super::super::{Baseline, Kernel, run};
    use super::*;

    /// A function at many points, through both copies.
    fn both(points: &[f32], function: impl Function) -> [Vec<f32>; 2] {
        struct Map<'a, F>(&'a [f32], F);
        impl<F: Function> Kernel for Map<'_, F> {
            type Output = Vec<f32>;
            #[inline(always)]
            fn run<A: Arithmetic>(self) -> Vec<f32> {
                self.0.iter().map(|x| self.1.at::<A>(*x)).collect()
            }
        }
        [
            run(Map(points, function)),
            Map(points, function).run::<Baseline>(),
        ]
    }

    trait Function: Copy {
        fn at<A: Arithmetic>(self, x: f32) -> f32;
    }

    macro_rules! function {
        ($name:ident, $function:ident) => {
            #[derive(Clone, Copy)]
            struct $name;
            impl Function for $name {
                #[inline(always)]
                fn at<A: Arithmetic>(self, x: f32) -> f32 {
                    $function::<A>(x)
                }
            }
        };
    }
    function!(Exp, exp);
    function!(ExpBelow, exp_below);
    function!(Erf, erf);
    function!(Sigmoid, sigmoid);

    fn grid(low: f32, high: f32) -> Vec<f32> {
        let steps = 400_000;
        (0..=steps)
            .map(|step| low + (high - low) * step as f32 / steps as f32)
            .collect()
    }

    fn worst(points: &[f32], values: &[f32], truth: impl Fn(f64) -> f64) -> f64 {
        points
            .iter()
            .zip(values)
            .map(|(x, y)| {
                let truth = truth(f64::from(*x));
                if truth == 0.0 {
                    f64::from(y.abs())
                } else {
                    ((f64::from(*y) - truth) / truth).abs()
                }
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn stay_within_three_parts_in_ten_million() {
        let tiny: Vec<f32> = (0..30).map(|power| 1.7 * 0.1_f32.powi(power)).collect();
        let mut signed = grid(-12.0, 12.0);
        signed.extend(tiny.iter().flat_map(|x| [*x, -x]));
        let mut wide = grid(-87.3, 88.7);
        wide.extend(&signed);
        for values in both(&wide, Exp) {
            assert!(worst(&wide, &values, f64::exp) < 2e-7);
        }
        let below = grid(-87.3, 0.0);
        for values in both(&below, ExpBelow) {
            assert!(worst(&below, &values, f64::exp) < 2e-7);
        }
        for values in both(&wide, Sigmoid) {
            assert!(worst(&wide, &values, |x| 1.0 / (1.0 + (-x).exp())) < 3e-7);
        }
        for values in both(&signed, Erf) {
            assert!(worst(&signed, &values, erf_by_series) < 3e-7);
        }
    }

    /// `erf` in `f64`: its series `2/√π · e^-x² · Σ 2ⁿ x²ⁿ⁺¹ / (1·3·…·(2n+1))`, all of whose terms have one sign.
    fn erf_by_series(x: f64) -> f64 {
        if x.abs() > 6.0 {
            return x.signum();
        }
        let (mut term, mut sum, mut odd) = (x, x, 1.0);
        while term.abs() > 1e-17 * sum.abs() {
            odd += 2.0;
            term *= 2.0 * x * x / odd;
            sum += term;
        }
        2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
    }

    #[test]
    fn edges() {
        let points = [
            f32::NEG_INFINITY,
            -110.0,
            0.0,
            -0.0,
            88.9,
            f32::INFINITY,
            f32::NAN,
        ];
        let infinity = f32::INFINITY;
        for values in both(&points, Exp) {
            assert_eq!(values[..6], [0.0, 0.0, 1.0, 1.0, infinity, infinity]);
            assert!(values[6].is_nan());
        }
        for values in both(&points, ExpBelow) {
            assert_eq!(values[..4], [0.0, 0.0, 1.0, 1.0]);
            assert!(values[6].is_nan());
        }
        for values in both(&points, Erf) {
            assert_eq!(values[..6], [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0]);
            assert!(values[6].is_nan());
        }
        for values in both(&points, Sigmoid) {
            assert_eq!(values[..6], [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]);
            assert!(values[6].is_nan());
        }
    }
}
