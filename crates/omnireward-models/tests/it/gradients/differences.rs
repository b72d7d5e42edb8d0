//! What the loss does when a tensor is moved, and what its gradient said it would do.

use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use omnireward_models::ops::pull_back;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Numbers from −1 to 1, the same for the same seed.
pub(super) fn random(shape: impl Into<Shape>, seed: u64) -> Tensor {
    let shape = shape.into();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let numbers: Vec<f32> = (0..shape.elem_count())
        .map(|_| rng.random_range(-1.0..1.0))
        .collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

pub(super) fn variable(tensor: Tensor) -> Var {
    Var::from_tensor(&tensor).unwrap()
}

pub(super) fn numbers(tensor: &Tensor) -> Vec<f32> {
    let wide = tensor.to_dtype(DType::F32).unwrap();
    wide.flatten_all().unwrap().to_vec1().unwrap()
}

/// `Σ out·weights` with weights that depend on the place alone, summed in `f64`. Of the result only differences are
/// used, and what a move does not reach falls out of them to the last bit.
pub(super) struct Loss<F> {
    forward: F,
    weights: Vec<f32>,
    shape: Shape,
}

impl<F: Fn() -> Result<Tensor>> Loss<F> {
    pub(super) fn new(forward: F) -> Self {
        let shape = forward().unwrap().shape().clone();
        let weights = numbers(&random(shape.elem_count(), 77));
        Self {
            forward,
            weights,
            shape,
        }
    }

    fn value(&self) -> f64 {
        let out = numbers(&(self.forward)().unwrap());
        assert_eq!(out.len(), self.weights.len());
        out.iter()
            .zip(&self.weights)
            .map(|(out, weight)| f64::from(*out) * f64::from(*weight))
            .sum()
    }

    /// About how far rounding in `f32` moves the value.
    pub(super) fn noise(&self) -> f64 {
        let out = numbers(&(self.forward)().unwrap());
        let squares = out
            .iter()
            .zip(&self.weights)
            .map(|(out, weight)| f64::from(out * weight).powi(2));
        f64::from(f32::EPSILON) * squares.sum::<f64>().sqrt()
    }

    /// The gradient by each variable, as the backward pass has it.
    pub(super) fn gradients(&self, variables: &[(String, Var)]) -> Vec<Option<Vec<f32>>> {
        let out = (self.forward)().unwrap();
        let by_out =
            Tensor::from_vec(self.weights.clone(), self.shape.clone(), &Device::Cpu).unwrap();
        let store = pull_back(&out, &by_out).unwrap();
        variables
            .iter()
            .map(|(_, variable)| store.get(variable).map(numbers))
            .collect()
    }

    /// The slope along `direction`, from four values: `(8(f₁ − f₋₁) − (f₂ − f₋₂)) / 12h`, which is right up to `h⁴`.
    pub(super) fn slope(&self, variable: &Var, direction: &[f32], step: f32) -> f64 {
        let before = numbers(variable);
        let at = |steps: f32| {
            let moved = before
                .iter()
                .zip(direction)
                .map(|(number, by)| number + steps * step * by)
                .collect();
            set(variable, moved);
            self.value()
        };
        let near = at(1.0) - at(-1.0);
        let far = at(2.0) - at(-2.0);
        set(variable, before.clone());
        (8.0 * near - far) / (12.0 * f64::from(step))
    }
}

fn set(variable: &Var, numbers: Vec<f32>) {
    let tensor = Tensor::from_vec(numbers, variable.shape(), &Device::Cpu).unwrap();
    variable.set(&tensor).unwrap();
}

/// What the gradient of an operator may be off by, as a share of its largest element. Rounding in `f32` accounts for a
/// third of it.
const ALLOWED: f64 = 5e-4;

const STEP: f32 = 1.0 / 32.0;

/// Elements of an operand that are moved, each by itself.
const MOVED: usize = 60;

/// How far gradients are from differences of values: the worst element of each operand, as a share of the operand's
/// largest slope.
pub(super) fn errors(
    operands: &[(&str, &Var)],
    forward: impl Fn() -> Result<Tensor>,
    gradients: impl Fn(&[Option<Vec<f32>>]) -> Vec<Option<Vec<f32>>>,
) -> Vec<(String, f64)> {
    let loss = Loss::new(forward);
    let variables: Vec<(String, Var)> = operands
        .iter()
        .map(|(name, variable)| ((*name).to_owned(), (*variable).clone()))
        .collect();
    let found = gradients(&loss.gradients(&variables));
    variables
        .iter()
        .zip(found)
        .map(|((name, variable), found)| {
            let found = found.unwrap_or_else(|| panic!("`{name}` gets no gradient"));
            // An odd stride meets every column in the end.
            let stride = found.len().div_ceil(MOVED) | 1;
            let slopes: Vec<(usize, f64)> = (0..found.len())
                .step_by(stride)
                .map(|element| {
                    let mut direction = vec![0.0; found.len()];
                    direction[element] = 1.0;
                    (element, loss.slope(variable, &direction, STEP))
                })
                .collect();
            let largest = slopes
                .iter()
                .fold(0.0, |largest: f64, (_, slope)| largest.max(slope.abs()));
            assert!(largest > 0.0, "`{name}` does nothing");
            let worst = slopes.iter().fold(0.0, |worst: f64, (element, slope)| {
                worst.max((f64::from(found[*element]) - slope).abs())
            });
            (name.clone(), worst / largest)
        })
        .collect()
}

/// Holds every gradient of an operator against differences of its values.
pub(super) fn check(case: &str, operands: &[(&str, &Var)], forward: impl Fn() -> Result<Tensor>) {
    for (operand, error) in errors(operands, forward, <[_]>::to_vec) {
        assert!(
            error <= ALLOWED,
            "{case}, by `{operand}`: off by {error:.1e}"
        );
    }
}

#[test]
fn a_gradient_that_is_wrong_by_one_percent_is_noticed() {
    let x = variable(random((4, 6), 1));
    let too_long = |gradients: &[Option<Vec<f32>>]| {
        let wrong = |gradient: &Option<Vec<f32>>| {
            gradient
                .as_ref()
                .map(|numbers| numbers.iter().map(|number| number * 1.01).collect())
        };
        gradients.iter().map(wrong).collect()
    };
    let error = errors(&[("x", &x)], || x.sin(), too_long)[0].1;
    assert!(error > 10.0 * ALLOWED, "{error}");
}
