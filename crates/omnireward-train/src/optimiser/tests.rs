use std::{collections::BTreeMap, fs, path::Path};

use candle_core::{DType, Device, Tensor, Var};
use half::bf16;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::{AdamW, AdamWConfig, BLOCK, Parameter, ScalarAdam, State, moments::Row, plain};
use crate::Error;

const CONFIG: AdamWConfig = AdamWConfig {
    betas: (0.9, 0.99),
    epsilon: 1e-8,
    weight_decay: 0.1,
};

fn parameter(name: &str, var: &Var) -> Parameter {
    Parameter {
        name: name.to_owned(),
        var: var.clone(),
        decays: true,
    }
}

fn adamw(vars: &[(&str, &Var)]) -> AdamW {
    let parameters = vars.iter().map(|(name, var)| parameter(name, var));
    AdamW::new(parameters.collect(), CONFIG).unwrap()
}

fn var(numbers: &[f32]) -> Var {
    Var::new(numbers, &Device::Cpu).unwrap()
}

fn tensor(numbers: &[f32]) -> Tensor {
    Tensor::new(numbers, &Device::Cpu).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    let wide = tensor.to_dtype(DType::F32).unwrap();
    wide.flatten_all().unwrap().to_vec1().unwrap()
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    numbers(tensor).into_iter().map(f32::to_bits).collect()
}

fn row(optimiser: &AdamW, index: usize, row: Row) -> Vec<f32> {
    match &optimiser.slots[index].state {
        State::Fused(moments) => moments.row(row).clone(),
        State::Plain(moments) => numbers(moments.row(row)),
    }
}

fn random(rng: &mut ChaCha8Rng, count: usize, dtype: DType) -> Tensor {
    let numbers: Vec<f32> = (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
    tensor(&numbers).to_dtype(dtype).unwrap()
}

fn random_var(rng: &mut ChaCha8Rng, count: usize, dtype: DType) -> Var {
    Var::from_tensor(&random(rng, count, dtype)).unwrap()
}

#[derive(Deserialize)]
struct Reference {
    settings: AdamWConfig,
    rates: Vec<f64>,
    tensors: BTreeMap<String, ReferenceTensor>,
}

#[derive(Deserialize)]
struct ReferenceTensor {
    start: Vec<f32>,
    gradients: Vec<Vec<f32>>,
    end: Vec<f32>,
    first_moment: Vec<f32>,
    second_moment: Vec<f32>,
}

#[test]
fn steps_are_those_of_torch() {
    let text = include_str!("../../tests/parity/adamw/expected.json");
    let reference: Reference = serde_json::from_str(text).unwrap();
    let parameters = reference.tensors.iter().map(|(name, tensor)| Parameter {
        name: name.clone(),
        var: var(&tensor.start),
        decays: name == "decays",
    });
    let mut optimiser = AdamW::new(parameters.collect(), reference.settings).unwrap();
    for (step, &rate) in reference.rates.iter().enumerate() {
        for (index, expected) in reference.tensors.values().enumerate() {
            let gradient = tensor(&expected.gradients[step]);
            optimiser.accumulate_one(index, &gradient).unwrap();
        }
        optimiser.step(rate, 1.0).unwrap();
    }
    for (index, (name, expected)) in reference.tensors.iter().enumerate() {
        let largest = expected.largest_gradients();
        let squares: Vec<f32> = largest.iter().map(|size| size * size).collect();
        let end = numbers(&optimiser.slots[index].parameter.var);
        close(name, &end, &expected.end, &vec![3.0; end.len()]);
        let first = row(&optimiser, index, Row::First);
        close(name, &first, &expected.first_moment, &largest);
        let second = row(&optimiser, index, Row::Second);
        close(name, &second, &expected.second_moment, &squares);
    }
}

impl ReferenceTensor {
    /// At each place, the largest gradient of all steps.
    fn largest_gradients(&self) -> Vec<f32> {
        let at = |place: usize| {
            let sizes = self.gradients.iter().map(|gradient| gradient[place].abs());
            sizes.fold(0.0, f32::max)
        };
        (0..self.start.len()).map(at).collect()
    }
}

/// Twelve steps are a few dozen roundings of `6e-8` of what is rounded, most of which cancel.
fn close(name: &str, found: &[f32], expected: &[f32], scales: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= 5e-7 * scales[place],
            "{name}, {place}: {found}, not {expected}"
        );
    }
}

/// The same optimiser with moments as tensors, as on another device.
fn as_elsewhere(mut optimiser: AdamW) -> AdamW {
    for slot in &mut optimiser.slots {
        slot.state = State::Plain(plain::moments(&slot.parameter.var).unwrap());
    }
    optimiser
}

#[test]
fn one_pass_equals_the_plain_steps() {
    let types = [DType::F32, DType::BF16];
    for (var_type, gradient_type) in types.into_iter().flat_map(|a| types.map(|b| (a, b))) {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let count = 2 * BLOCK + 5;
        let ours = random_var(&mut rng, count, var_type);
        let theirs = Var::from_tensor(&ours.copy().unwrap()).unwrap();
        let mut fused = adamw(&[("w", &ours)]);
        let mut plain = as_elsewhere(adamw(&[("w", &theirs)]));
        for step in 1..5 {
            let gradient = random(&mut rng, count, gradient_type);
            for optimiser in [&mut fused, &mut plain] {
                optimiser.accumulate_one(0, &gradient).unwrap();
                optimiser.step(1e-3 * f64::from(step), 0.7).unwrap();
            }
        }
        assert_eq!(
            bits(&ours),
            bits(&theirs),
            "{var_type:?}, {gradient_type:?}"
        );
        for kept in fused.slots[0].state.rows() {
            assert_eq!(row(&fused, 0, *kept), row(&plain, 0, *kept), "{kept:?}");
        }
    }
}

#[test]
fn numbers_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let mut rng = ChaCha8Rng::seed_from_u64(2);
            let vars: Vec<Var> = [10, 3 * BLOCK + 1, BLOCK, 777]
                .map(|count| random_var(&mut rng, count, DType::F32))
                .into();
            let named: Vec<(&str, &Var)> = ["a", "b", "c", "d"].into_iter().zip(&vars).collect();
            let mut optimiser = adamw(&named);
            for _ in 0..2 {
                for (index, var) in vars.iter().enumerate() {
                    let gradient = random(&mut rng, var.elem_count(), DType::F32);
                    optimiser.accumulate_one(index, &gradient).unwrap();
                }
            }
            let norm = optimiser.norm(0.5).unwrap();
            optimiser.step(1e-3, 0.5).unwrap();
            (
                norm.to_bits(),
                vars.iter().map(|var| bits(var)).collect::<Vec<_>>(),
            )
        })
    };
    assert_eq!(run(1), run(4));
}

#[test]
fn gradients_of_several_passes_are_added_up() {
    let gradients = [[1.0, -2.0, 0.5], [0.25, 4.0, -1.5], [2.0, 0.0, 8.0]];
    let sum = tensor(&[3.25, 2.0, 7.0]);
    let (one, other) = (var(&[1.0, 2.0, 3.0]), var(&[1.0, 2.0, 3.0]));
    let mut at_once = adamw(&[("w", &one)]);
    let mut in_parts = adamw(&[("w", &other)]);
    // Twice, because the sum of the first step is written over in the second.
    for _ in 0..2 {
        at_once.accumulate_one(0, &sum).unwrap();
        at_once.step(0.1, 1.0).unwrap();
        let held: Vec<Tensor> = gradients.iter().map(|numbers| tensor(numbers)).collect();
        for gradient in &held {
            in_parts.accumulate_one(0, gradient).unwrap();
        }
        in_parts.step(0.1, 1.0).unwrap();
        assert_eq!(bits(&one), bits(&other));
        assert_eq!(numbers(&held[0]), gradients[0], "a gradient was changed");
    }
}

#[test]
fn halves_are_added_up_in_full() {
    let weight = Var::from_tensor(&tensor(&[1.0]).to_dtype(DType::BF16).unwrap()).unwrap();
    let mut optimiser = adamw(&[("w", &weight)]);
    for _ in 0..300 {
        let gradient = tensor(&[1.0]).to_dtype(DType::BF16).unwrap();
        optimiser.accumulate_one(0, &gradient).unwrap();
    }
    // In bf16, 256 + 1 is 256.
    assert_eq!(optimiser.norm(1.0).unwrap().to_bits(), 300.0_f64.to_bits());
}

#[test]
fn gradients_come_from_backward_passes_and_views() {
    let weight = var(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let matrix = Var::from_tensor(&weight.reshape((2, 3)).unwrap()).unwrap();
    let unused = var(&[1.0]);
    let mut optimiser = adamw(&[("matrix", &matrix), ("unused", &unused)]);
    let loss = matrix.sqr().unwrap().sum_all().unwrap();
    optimiser.accumulate(&loss.backward().unwrap()).unwrap();
    assert_eq!(optimiser.without_gradient(), ["unused"]);
    // 2·√(1 + 4 + … + 36).
    assert!((optimiser.norm(0.5).unwrap() - 91.0_f64.sqrt()).abs() < 1e-12);
    optimiser.discard();
    assert_eq!(optimiser.norm(1.0).unwrap().to_bits(), 0.0_f64.to_bits());
    let turned = tensor(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0])
        .reshape((3, 2))
        .unwrap();
    optimiser.accumulate_one(0, &turned.t().unwrap()).unwrap();
    optimiser.step(0.1, 1.0).unwrap();
    let expected: Vec<f32> = (1..7).map(|gradient| 0.1 * gradient as f32).collect();
    close("w", &row(&optimiser, 0, Row::First), &expected, &expected);
}

#[test]
fn a_gradient_that_is_no_number_shows_in_the_norm() {
    let weight = var(&[1.0; 3]);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut optimiser = adamw(&[("w", &weight)]);
        optimiser
            .accumulate_one(0, &tensor(&[1.0, bad, 1.0]))
            .unwrap();
        assert!(!optimiser.norm(1.0).unwrap().is_finite());
    }
}

#[test]
fn only_what_decays_decays_and_only_with_a_gradient() {
    let (decaying, staying, untouched) = (var(&[2.0]), var(&[2.0]), var(&[2.0]));
    let mut stays = parameter("stays", &staying);
    stays.decays = false;
    let parameters = vec![
        parameter("decays", &decaying),
        stays,
        parameter("untouched", &untouched),
    ];
    let mut optimiser = AdamW::new(parameters, CONFIG).unwrap();
    for index in 0..2 {
        optimiser.accumulate_one(index, &tensor(&[0.0])).unwrap();
    }
    optimiser.step(0.5, 1.0).unwrap();
    assert_eq!(numbers(&decaying), [2.0 * (1.0 - 0.5 * 0.1)]);
    assert_eq!(numbers(&staying), [2.0]);
    assert_eq!(numbers(&untouched), [2.0]);
    let steps: Vec<u64> = optimiser.slots.iter().map(|slot| slot.steps).collect();
    assert_eq!(steps, [1, 1, 0]);
    assert_eq!(optimiser.without_gradient(), ["untouched"]);
}

#[test]
fn small_changes_of_rounded_weights_add_up() {
    let weight = Var::from_tensor(&tensor(&[1.0; 4]).to_dtype(DType::BF16).unwrap()).unwrap();
    let mut parameter = parameter("w", &weight);
    parameter.decays = false;
    let mut optimiser = AdamW::new(vec![parameter], CONFIG).unwrap();
    let gradient = tensor(&[1.0; 4]).to_dtype(DType::BF16).unwrap();
    for step in 1..=100 {
        optimiser.accumulate_one(0, &gradient).unwrap();
        optimiser.step(1e-4, 1.0).unwrap();
        let master = row(&optimiser, 0, Row::Master);
        assert_eq!(
            numbers(&weight)[0].to_bits(),
            bf16::from_f32(master[0]).to_f32().to_bits()
        );
        let expected = 1.0 - 1e-4 * step as f32;
        assert!((master[0] - expected).abs() < 1e-5, "{}", master[0]);
    }
    // Next to 1, bf16 goes in steps of 1/256.
    assert_eq!(numbers(&weight), [bf16::from_f32(0.99).to_f32(); 4]);
}

/// Steps of a small training, by gradients that belong to the step.
fn train(optimiser: &mut AdamW, steps: std::ops::Range<u64>) {
    for step in steps {
        let mut rng = ChaCha8Rng::seed_from_u64(100 + step);
        for index in 0..optimiser.slots.len() {
            let count = optimiser.slots[index].parameter.var.elem_count();
            let gradient = random(&mut rng, count, DType::F32);
            // The last parameter is not part of every step.
            if index + 1 < optimiser.slots.len() || step.is_multiple_of(2) {
                optimiser.accumulate_one(index, &gradient).unwrap();
            }
        }
        optimiser.step(1e-3, 0.3).unwrap();
    }
}

fn small_model() -> [Var; 3] {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    [
        random_var(&mut rng, BLOCK + 3, DType::F32),
        random_var(&mut rng, 100, DType::BF16),
        random_var(&mut rng, 5, DType::F32),
    ]
}

fn small_optimiser(vars: &[Var; 3]) -> AdamW {
    adamw(&[("a", &vars[0]), ("b", &vars[1]), ("c", &vars[2])])
}

#[test]
fn going_on_from_a_file_equals_not_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optimiser.safetensors");
    let vars = small_model();
    let mut optimiser = small_optimiser(&vars);
    train(&mut optimiser, 0..3);
    optimiser.save(&path).unwrap();
    let at_save = vars.each_ref().map(|var| var.copy().unwrap());
    train(&mut optimiser, 3..7);

    for elsewhere in [false, true] {
        let resumed_vars = small_model();
        let mut resumed = small_optimiser(&resumed_vars);
        if elsewhere {
            resumed = as_elsewhere(resumed);
        }
        // What is not rounded is the checkpoint's to keep.
        for index in [0, 2] {
            resumed_vars[index].set(&at_save[index]).unwrap();
        }
        resumed.load(&path).unwrap();
        assert_eq!(bits(&resumed_vars[1]), bits(&at_save[1]));
        assert_eq!(resumed.without_gradient(), [""; 0]);
        train(&mut resumed, 3..7);
        for (index, (found, expected)) in resumed_vars.iter().zip(&vars).enumerate() {
            assert_eq!(bits(found), bits(expected), "parameter {index}");
        }
        let again = folder.path().join("again.safetensors");
        let straight = folder.path().join("straight.safetensors");
        resumed.save(&again).unwrap();
        optimiser.save(&straight).unwrap();
        assert!(fs::read(&again).unwrap() == fs::read(&straight).unwrap());
    }
}

#[test]
fn files_that_do_not_fit_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optimiser.safetensors");
    let vars = small_model();
    let mut optimiser = small_optimiser(&vars);
    train(&mut optimiser, 0..2);
    optimiser.save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let size = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&whole[8..8 + size]).unwrap();

    let damaged = folder.path().join("damaged.safetensors");
    for (what, bytes, word) in [
        ("empty", Vec::new(), ""),
        ("cut", whole[..whole.len() - 1].to_vec(), "bytes long"),
        ("cut in the header", whole[..20].to_vec(), "no header"),
        ("longer", [whole.as_slice(), &[0]].concat(), "bytes long"),
        ("no header", vec![0xff; 4000], "no header"),
        (
            "another format",
            replaced(&whole, header, "version\\\":1", "version\\\":9"),
            "state of an",
        ),
        (
            "another type",
            replaced(&whole, header, "\"F32\"", "\"I32\""),
            "not as F32",
        ),
        (
            "another tensor",
            replaced(&whole, header, "master.b", "master.x"),
            "no tensor `master.b`",
        ),
    ] {
        fs::write(&damaged, bytes).unwrap();
        assert!(
            refusal(&mut optimiser, &damaged).contains(word),
            "{what}: {}",
            refusal(&mut optimiser, &damaged)
        );
    }

    let narrow = var(&[0.0; 7]);
    let mut other = adamw(&[("a", &vars[0]), ("b", &vars[1]), ("c", &narrow)]);
    assert!(refusal(&mut other, &path).contains("`first_moment.c` as F32 [5], not as F32 [7]"));
    let mut fewer = adamw(&[("a", &vars[0]), ("b", &vars[1])]);
    assert!(refusal(&mut fewer, &path).contains("more parameters"));
    let mut renamed = adamw(&[("a", &vars[0]), ("b", &vars[1]), ("d", &vars[2])]);
    assert!(refusal(&mut renamed, &path).contains("`d` is not among them"));
    let missing = optimiser.load(&folder.path().join("none")).unwrap_err();
    assert!(matches!(missing, Error::Io { .. }));

    let untouched = folder.path().join("untouched.safetensors");
    optimiser.save(&untouched).unwrap();
    assert!(fs::read(&untouched).unwrap() == whole);
}

fn replaced(whole: &[u8], header: &str, from: &str, to: &str) -> Vec<u8> {
    assert!(header.contains(from) && from.len() == to.len());
    let header = header.replace(from, to);
    [&whole[..8], header.as_bytes(), &whole[8 + header.len()..]].concat()
}

fn refusal(optimiser: &mut AdamW, path: &Path) -> String {
    optimiser.load(path).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_trained_is_named() {
    let weight = var(&[1.0]);
    let half = Var::zeros(3, DType::F16, &Device::Cpu).unwrap();
    let new = |parameters| AdamW::new(parameters, CONFIG).unwrap_err().to_string();
    assert!(new(vec![parameter("h", &half)]).contains("`h` is f16"));
    let other = var(&[1.0]);
    let same_name = vec![parameter("w", &weight), parameter("w", &other)];
    assert!(new(same_name).contains("`w` is to be trained twice"));
    let same_var = vec![parameter("w", &weight), parameter("v", &weight)];
    assert!(new(same_var).contains("`v` is to be trained twice"));
    let mut optimiser = adamw(&[("w", &weight)]);
    let error = optimiser
        .accumulate_one(0, &tensor(&[1.0, 2.0]))
        .unwrap_err();
    assert_eq!(error.to_string(), "the gradient of `w` is [2], not [1]");
    // A gradient that is the variable itself cannot be read while that is written.
    optimiser.accumulate_one(0, weight.as_tensor()).unwrap();
    assert!(optimiser.step(0.1, 1.0).is_err());
}

#[test]
fn a_scalar_goes_where_a_tensor_goes() {
    let weight = var(&[0.3]);
    let mut parameter = parameter("w", &weight);
    parameter.decays = false;
    let mut optimiser = AdamW::new(vec![parameter], CONFIG).unwrap();
    let mut scalar = ScalarAdam::new(CONFIG);
    let mut value = 0.3;
    for step in 0..20 {
        let gradient = (f64::from(step) - 7.5) * 0.2;
        optimiser
            .accumulate_one(0, &tensor(&[gradient as f32]))
            .unwrap();
        optimiser.step(1e-2, 1.0).unwrap();
        scalar.step(&mut value, gradient, 1e-2);
        let text = serde_json::to_string(&scalar).unwrap();
        scalar = serde_json::from_str(&text).unwrap();
    }
    assert!((f64::from(numbers(&weight)[0]) - value).abs() < 1e-6);
    // The first step of Adam is as long as the rate, whatever the gradient.
    let mut value = 0.0;
    ScalarAdam::new(CONFIG).step(&mut value, -1e-3, 0.25);
    assert!((value - 0.25).abs() < 1e-5);
}
