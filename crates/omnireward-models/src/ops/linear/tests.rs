use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};

use super::{linear, linear_plain};
use crate::weights::{Placement, Weight, Weights, write_tensors};

/// Numbers from -1 to 1 that look unordered; different for each seed.
fn matrix(rows: usize, columns: usize, seed: usize) -> Tensor {
    let number = |i: usize| ((i * 7919 + seed * 104_729) % 1013) as f32 / 506.0 - 1.0;
    let numbers: Vec<f32> = (0..rows * columns).map(number).collect();
    Tensor::from_vec(numbers, (rows, columns), &Device::Cpu).unwrap()
}

fn vector(len: usize, seed: usize) -> Tensor {
    matrix(1, len, seed).flatten_all().unwrap()
}

/// The matrix, in a file, in that type.
fn mapped(matrix: &Tensor, dtype: DType) -> (tempfile::TempDir, Weight) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("weights.safetensors");
    let stored = BTreeMap::from([("w".to_owned(), matrix.to_dtype(dtype).unwrap())]);
    write_tensors(&path, &stored, &BTreeMap::new()).unwrap();
    let placement = Placement {
        device: Device::Cpu,
        dtype: DType::F32,
    };
    let (out, inner) = matrix.dims2().unwrap();
    let weight = Weights::open(&path)
        .unwrap()
        .scope("", &placement)
        .weight("w", out, inner);
    (directory, weight.unwrap())
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!((a.dims(), a.dtype()), (b.dims(), b.dtype()));
    let difference = (a.to_dtype(DType::F32).unwrap() - b.to_dtype(DType::F32).unwrap()).unwrap();
    let largest = difference.abs().unwrap().max_all().unwrap();
    largest.to_scalar().unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    let wide = tensor.to_dtype(DType::F32).unwrap();
    wide.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn agrees_with_its_plain_twin() {
    let (x, w, bias) = (matrix(37, 530, 1), matrix(83, 530, 2), vector(83, 3));
    for dtype in [DType::F32, DType::BF16] {
        let x = x.to_dtype(dtype).unwrap();
        // Sums reach about 180, and in bf16 those have a last place of 1. In f32 two orders of adding up 530 products whose
        // magnitudes sum to 175 differ by about √530·2⁻²⁴·175 = 2.4e-4 (Higham and Mary 2019), and processors have their own.
        let tolerance = if dtype == DType::F32 { 5e-4 } else { 1.0 };
        for stored in [DType::F32, DType::BF16, DType::F16] {
            let (_kept, in_file) = mapped(&w, stored);
            assert!(matches!(in_file, Weight::Mapped(_)));
            let in_memory = Weight::Tensor(w.to_dtype(stored).unwrap());
            for bias in [None, Some(bias.to_dtype(dtype).unwrap())] {
                let ours = linear(&x, &in_memory, bias.as_ref()).unwrap();
                let plain = linear_plain(&x, &in_memory, bias.as_ref()).unwrap();
                let difference = largest_difference(&ours, &plain);
                assert!(
                    difference <= tolerance,
                    "{dtype:?} {stored:?}: {difference}"
                );
                let from_file = linear(&x, &in_file, bias.as_ref()).unwrap();
                assert_eq!(numbers(&from_file), numbers(&ours), "{dtype:?} {stored:?}");
            }
        }
    }
}

#[test]
fn a_matrix_of_a_narrower_type_is_used_as_it_is() {
    let (x, w) = (matrix(5, 300, 1), matrix(20, 300, 2));
    let narrow = w.to_dtype(DType::BF16).unwrap();
    let widened = Weight::Tensor(narrow.to_dtype(DType::F32).unwrap());
    let ours = linear(&x, &Weight::Tensor(narrow), None).unwrap();
    assert_eq!(
        numbers(&ours),
        numbers(&linear(&x, &widened, None).unwrap())
    );
}

#[test]
fn takes_views_of_tensors() {
    let whole = matrix(40, 64, 1);
    let x = whole.narrow(1, 8, 24).unwrap().narrow(0, 3, 30).unwrap();
    let w = matrix(24, 18, 2).t().unwrap();
    let bias = matrix(18, 2, 3)
        .narrow(1, 1, 1)
        .unwrap()
        .squeeze(1)
        .unwrap();
    let ours = linear(&x, &Weight::Tensor(w.clone()), Some(&bias)).unwrap();
    let copies = (
        x.contiguous().unwrap(),
        w.contiguous().unwrap(),
        bias.contiguous().unwrap(),
    );
    let plain = linear_plain(&copies.0, &Weight::Tensor(copies.1), Some(&copies.2)).unwrap();
    assert!(largest_difference(&ours, &plain) < 1e-5);
}

#[test]
fn gradients_agree_with_those_of_the_plain_twin() {
    type Operator = fn(&Tensor, &Weight, Option<&Tensor>) -> Result<Tensor>;
    let gradients = |operator: Operator, dtype: DType| {
        let var = |tensor: Tensor| Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap();
        let (x, w, b) = (
            var(matrix(29, 70, 1)),
            var(matrix(33, 70, 2)),
            var(vector(33, 3)),
        );
        let y = operator(
            x.as_tensor(),
            &Weight::Tensor(w.as_tensor().clone()),
            Some(b.as_tensor()),
        );
        let upstream = matrix(29, 33, 4).to_dtype(dtype).unwrap();
        let loss = (y.unwrap() * upstream).unwrap().sum_all().unwrap();
        let store = loss.backward().unwrap();
        [&x, &w, &b].map(|var| store.get(var.as_tensor()).unwrap().clone())
    };
    for (dtype, tolerance) in [(DType::F32, 2e-5), (DType::BF16, 0.15)] {
        let ours = gradients(linear, dtype);
        for (ours, plain) in ours.iter().zip(&gradients(linear_plain, dtype)) {
            let difference = largest_difference(ours, plain);
            assert!(
                difference <= tolerance,
                "{dtype:?} {:?}: {difference}",
                ours.dims()
            );
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let x = Var::from_tensor(&matrix(6, 11, 1)).unwrap();
    let w = Var::from_tensor(&matrix(7, 11, 2)).unwrap();
    let b = Var::from_tensor(&vector(7, 3)).unwrap();
    let upstream = matrix(6, 7, 4);
    let loss = || {
        let weight = Weight::Tensor(w.as_tensor().clone());
        let y = linear(x.as_tensor(), &weight, Some(b.as_tensor())).unwrap();
        (y.sqr().unwrap() * &upstream).unwrap().sum_all().unwrap()
    };
    let store = loss().backward().unwrap();
    let value = || f64::from(loss().to_scalar::<f32>().unwrap());
    for var in [&x, &w, &b] {
        let gradient = numbers(store.get(var.as_tensor()).unwrap());
        let at = numbers(var.as_tensor());
        for i in (0..at.len()).step_by(5) {
            let moved = |by: f32| {
                let mut numbers = at.clone();
                numbers[i] += by;
                let numbers = Tensor::from_vec(numbers, var.dims(), &Device::Cpu).unwrap();
                var.set(&numbers).unwrap();
                value()
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            moved(0.0);
            let found = f64::from(gradient[i]);
            assert!(
                (found - slope).abs() < 2e-2,
                "{:?} {i}: {found}, expected {slope}",
                var.dims()
            );
        }
    }
}

#[test]
fn a_frozen_matrix_passes_gradients_on() {
    let w = matrix(33, 70, 2);
    let (x, b) = (
        Var::from_tensor(&matrix(29, 70, 1)).unwrap(),
        Var::from_tensor(&vector(33, 3)).unwrap(),
    );
    let gradients = |weight: &Weight, bias: Option<&Tensor>| {
        let y = linear(x.as_tensor(), weight, bias).unwrap();
        let store = (y * matrix(29, 33, 4))
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        let of_bias = bias.map(|bias| numbers(store.get(bias).unwrap()));
        (numbers(store.get(x.as_tensor()).unwrap()), of_bias)
    };
    let (_kept, in_file) = mapped(&w, DType::F32);
    let in_memory = Weight::Tensor(w);
    for bias in [None, Some(b.as_tensor())] {
        assert_eq!(gradients(&in_file, bias), gradients(&in_memory, bias));
    }
}

#[test]
fn what_is_not_trained_gets_no_gradient() {
    let x = Var::from_tensor(&matrix(4, 8, 1)).unwrap();
    let (w, b) = (matrix(5, 8, 2), vector(5, 3));
    let y = linear(x.as_tensor(), &Weight::Tensor(w.clone()), Some(&b)).unwrap();
    let store = y.sum_all().unwrap().backward().unwrap();
    assert!(store.get(x.as_tensor()).is_some());
    assert!(store.get(&w).is_none() && store.get(&b).is_none());
}

#[test]
fn wrong_shapes_are_errors() {
    let (x, w) = (matrix(4, 8, 1), Weight::Tensor(matrix(5, 9, 2)));
    assert!(linear(&x, &w, None).is_err());
    let w = Weight::Tensor(matrix(5, 8, 2));
    assert!(linear(&x, &w, Some(&vector(4, 3))).is_err());
    assert!(linear(&vector(8, 3), &w, None).is_err());
}
