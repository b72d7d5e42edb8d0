//! What the tests of operators share.

use candle_core::{DType, Device, Result, Shape, Tensor, Var};

/// Numbers between -1 and 1, the same for the same seed.
pub(crate) fn random(shape: impl Into<Shape>, seed: u64) -> Tensor {
    let shape = shape.into();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f32> = (0..shape.elem_count())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The elements in `f32`.
pub(crate) fn values(tensor: &Tensor) -> Vec<f32> {
    let wide = tensor.to_dtype(DType::F32).unwrap();
    wide.flatten_all().unwrap().to_vec1().unwrap()
}

/// The elements' bits in `f32`.
pub(crate) fn bits(tensor: &Tensor) -> Vec<u32> {
    values(tensor).into_iter().map(f32::to_bits).collect()
}

/// The largest element, by size.
pub(crate) fn largest(tensor: &Tensor) -> f32 {
    values(tensor).into_iter().map(f32::abs).fold(0.0, f32::max)
}

/// The largest difference between two elements. NaNs are as far away as can be.
pub(crate) fn distance(left: &Tensor, right: &Tensor) -> f32 {
    assert_eq!(left.dims(), right.dims());
    let pairs = values(left).into_iter().zip(values(right));
    pairs
        .map(|(left, right)| (left - right).abs())
        .map(|gap| if gap.is_nan() { f32::INFINITY } else { gap })
        .fold(0.0, f32::max)
}

/// The gradients of `Σ out·weights`, for fixed random weights, by each operand.
pub(crate) fn gradients<const N: usize>(
    operands: &[Tensor; N],
    operator: impl Fn(&[Tensor; N]) -> Result<Tensor>,
) -> [Tensor; N] {
    let vars = operands.each_ref().map(|x| Var::from_tensor(x).unwrap());
    let out = operator(&vars.each_ref().map(|var| var.as_tensor().clone())).unwrap();
    let weights = random(out.shape(), 9).to_dtype(out.dtype()).unwrap();
    let loss = (out * weights).unwrap().to_dtype(DType::F32).unwrap();
    let store = loss.sum_all().unwrap().backward().unwrap();
    vars.map(|var| {
        store
            .get(&var)
            .expect("every operand gets a gradient")
            .clone()
    })
}

/// Holds an operator against its plain twin, forward and backward, in `f32` and `bf16`, and its gradients against
/// differences of its values. `tolerances` are for `f32` and `bf16`, relative to the largest element.
pub(crate) fn check<const N: usize>(
    operands: &[Tensor; N],
    tolerances: [f32; 2],
    ours: impl Fn(&[Tensor; N]) -> Result<Tensor>,
    plain: impl Fn(&[Tensor; N]) -> Result<Tensor>,
) {
    for (dtype, tolerance) in [DType::F32, DType::BF16].into_iter().zip(tolerances) {
        let operands = operands.each_ref().map(|x| x.to_dtype(dtype).unwrap());
        let close = |ours: &Tensor, plain: &Tensor, what: &str| {
            assert_eq!((ours.dtype(), ours.dims()), (dtype, plain.dims()));
            let (gap, allowed) = (distance(ours, plain), tolerance * largest(plain));
            assert!(gap <= allowed, "{what} in {dtype:?}: {gap} > {allowed}");
        };
        close(
            &ours(&operands).unwrap(),
            &plain(&operands).unwrap(),
            "value",
        );
        let plain = gradients(&operands, &plain);
        for (ours, plain) in gradients(&operands, &ours).iter().zip(&plain) {
            close(ours, plain, "gradient");
        }
    }
    check_slopes(operands, ours);
}

/// Holds an operator's gradients against differences of its values, for the first elements of each operand.
fn check_slopes<const N: usize>(
    operands: &[Tensor; N],
    operator: impl Fn(&[Tensor; N]) -> Result<Tensor>,
) {
    const STEP: f32 = 1e-2;
    let found = gradients(operands, &operator);
    let loss = |operands: &[Tensor; N]| -> f64 {
        let out = operator(operands).unwrap();
        let weights = values(&random(out.shape(), 9));
        let pairs = values(&out).into_iter().zip(weights);
        pairs
            .map(|(x, weight)| f64::from(x) * f64::from(weight))
            .sum()
    };
    for which in 0..N {
        let (before, found) = (values(&operands[which]), values(&found[which]));
        for index in 0..before.len().min(24) {
            let moved = |by: f32| {
                let mut values = before.clone();
                values[index] += by;
                let mut operands = operands.clone();
                let shape = operands[which].shape().clone();
                operands[which] = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
                loss(&operands)
            };
            let slope = (moved(STEP) - moved(-STEP)) / (2.0 * f64::from(STEP));
            let gap = (slope - f64::from(found[index])).abs();
            assert!(
                gap < 5e-3 * slope.abs().max(1.0),
                "operand {which} at {index}: {gap}"
            );
        }
    }
}
