use std::{collections::HashMap, fs};

use half::bf16;
use tempfile::TempDir;

use super::*;
use crate::Error;

const HIDDEN: usize = 3;

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).expect("a tensor")
}

/// A checkpoint's directory: the files, each with its tensors.
fn checkpoint(files: &[(&str, Vec<(&str, Tensor)>)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (file, tensors) in files {
        let tensors: HashMap<&str, Tensor> = tensors.iter().cloned().collect();
        candle_core::safetensors::save(&tensors, dir.path().join(file)).expect("a file");
    }
    dir
}

fn body() -> (&'static str, Tensor) {
    ("model.norm.weight", tensor(&[1.0; HIDDEN], &[HIDDEN]))
}

fn value_head() -> Vec<(&'static str, Tensor)> {
    vec![
        (
            "v_head.summary.weight",
            tensor(&[1.0, -2.0, 0.5], &[1, HIDDEN]),
        ),
        ("v_head.summary.bias", tensor(&[0.25], &[1])),
    ]
}

fn score() -> (&'static str, Tensor) {
    ("score.weight", tensor(&[1.0, -2.0, 0.5], &[1, HIDDEN]))
}

fn two_layers() -> Vec<(&'static str, Tensor)> {
    let first = [1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 1.0, 1.0];
    vec![
        ("score.0.weight", tensor(&first, &[HIDDEN, HIDDEN])),
        ("score.0.bias", tensor(&[0.0, 0.5, -1.0], &[HIDDEN])),
        ("score.2.weight", tensor(&[1.0, 2.0, 4.0], &[1, HIDDEN])),
        ("score.2.bias", tensor(&[-0.5], &[1])),
    ]
}

fn open(path: &Path) -> Result<Head> {
    let weights = Weights::open(path)?;
    let placement = Placement {
        device: Device::Cpu,
        dtype: DType::F32,
    };
    Head::load(&weights, path, HIDDEN, &placement)
}

fn hidden() -> Tensor {
    tensor(&[1.0, 2.0, 3.0, -1.0, 0.0, 4.0], &[2, HIDDEN])
}

fn rewards(head: &Head) -> Vec<f64> {
    head.rewards(&hidden()).expect("it fits")
}

fn reason(dir: &TempDir) -> String {
    match open(dir.path()) {
        Err(Error::Head { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_layout_gives_its_rewards() {
    let beside = checkpoint(&[
        ("model.safetensors", vec![body()]),
        ("value_head.safetensors", value_head()),
    ]);
    let inside = checkpoint(&[("model.safetensors", value_head())]);
    for dir in [&beside, &inside] {
        let head = open(dir.path()).expect("a value head");
        assert_eq!(head.kind(), HeadKind::Value);
        assert_eq!(rewards(&head), [1.0 - 4.0 + 1.5 + 0.25, -1.0 + 2.0 + 0.25]);
    }
    let file = open(&beside.path().join("model.safetensors")).expect("the head is beside the file");
    assert_eq!(file.kind(), HeadKind::Value);

    let dir = checkpoint(&[("model.safetensors", vec![body(), score()])]);
    let head = open(dir.path()).expect("a score");
    assert_eq!(head.kind(), HeadKind::Score);
    assert_eq!(rewards(&head), [-1.5, 1.0]);

    let dir = checkpoint(&[("model.safetensors", two_layers())]);
    let head = open(dir.path()).expect("two layers");
    assert_eq!(head.kind(), HeadKind::TwoLayerScore);
    // relu([1, −1.5, 5]) and relu([−1, 0.5, 2])
    assert_eq!(rewards(&head), [1.0 + 20.0 - 0.5, 1.0 + 8.0 - 0.5]);
}

#[test]
fn heads_are_never_guessed() {
    let none = checkpoint(&[("model.safetensors", vec![body()])]);
    let found = reason(&none);
    for name in ["v_head.summary.weight", "score.weight", "score.0.weight"] {
        assert!(found.contains(name), "{found}");
    }
    fs::write(none.path().join("value_head.bin"), b"PK").expect("a file");
    assert!(reason(&none).contains("value_head.bin` is a pickle"));

    let several = tensor(&[0.0; 2 * HIDDEN], &[2, HIDDEN]);
    let several = checkpoint(&[("model.safetensors", vec![("score.weight", several)])]);
    assert!(reason(&several).starts_with("`score.weight` has shape [2, 3]"));

    let bias = ("score.bias", tensor(&[1.0], &[1]));
    let biased = checkpoint(&[("model.safetensors", vec![score(), bias])]);
    assert!(reason(&biased).contains("score.bias"));

    let wide = tensor(&[0.0; HIDDEN + 1], &[1, HIDDEN + 1]);
    let wide = checkpoint(&[("model.safetensors", vec![("score.weight", wide)])]);
    assert!(matches!(open(wide.path()), Err(Error::Shape { .. })));

    let half = checkpoint(&[("model.safetensors", value_head()[..1].to_vec())]);
    assert!(matches!(
        open(half.path()),
        Err(Error::MissingTensor { .. })
    ));
}

#[test]
fn two_heads_must_agree() {
    let mut tensors = value_head();
    tensors.push(score());
    let differ = checkpoint(&[("model.safetensors", tensors.clone())]);
    assert!(reason(&differ).ends_with("differ"));
    tensors[1].1 = tensor(&[0.0], &[1]);
    let agree = checkpoint(&[("model.safetensors", tensors)]);
    let head = open(agree.path()).expect("they say the same");
    assert_eq!(head.kind(), HeadKind::Value);
}

#[test]
fn the_compute_type_rounds_as_the_reference_does() {
    let dir = checkpoint(&[("model.safetensors", vec![score()])]);
    let placement = Placement {
        device: Device::Cpu,
        dtype: DType::BF16,
    };
    let weights = Weights::open(dir.path()).expect("it opens");
    let head = Head::load(&weights, dir.path(), HIDDEN, &placement).expect("a score");
    let hidden = tensor(&[1.0, 0.0, 2f32.powi(-9)], &[1, HIDDEN]);
    assert_eq!(
        head.rewards(&hidden).expect("it fits"),
        [1.0 + 2f64.powi(-10)]
    );
    let rounded = head.with_precision(HeadPrecision::ComputeType);
    assert_eq!(rounded.rewards(&hidden).expect("it fits"), [1.0]);
    let fine = tensor(&[0.3, 0.3, 0.3], &[1, HIDDEN]);
    let reward = rounded.rewards(&fine).expect("it fits")[0];
    let nearest = bf16::from_f32(bf16::from_f32(0.3).to_f32() * -0.5);
    assert!((reward - f64::from(nearest.to_f32())).abs() < f64::EPSILON);
}

#[test]
fn a_head_is_converted_where_nothing_is_lost() {
    let into = tempfile::tempdir().expect("a folder");
    let path = into.path().join("model.safetensors");
    let converted = |head: &Head, kind: HeadKind| -> Result<Head> {
        head.save_as(kind, &path)?;
        open(&path)
    };
    let score_dir = checkpoint(&[("model.safetensors", vec![score()])]);
    let score = open(score_dir.path()).expect("a score");
    let value = converted(&score, HeadKind::Value).expect("a bias of zero is added");
    assert_eq!(
        (value.kind(), rewards(&value)),
        (HeadKind::Value, rewards(&score))
    );
    let back = converted(&value, HeadKind::Score).expect("the bias is zero");
    assert_eq!(
        (back.kind(), rewards(&back)),
        (HeadKind::Score, rewards(&score))
    );

    let biased_dir = checkpoint(&[("model.safetensors", value_head())]);
    let biased = open(biased_dir.path()).expect("a value head");
    let error = converted(&biased, HeadKind::Score).expect_err("the bias would be lost");
    assert!(error.to_string().contains("bias of [0.25]"), "{error}");
    let two_dir = checkpoint(&[("model.safetensors", two_layers())]);
    let two = open(two_dir.path()).expect("two layers");
    converted(&two, HeadKind::Value).expect_err("two layers are not one");
    let same = converted(&two, HeadKind::TwoLayerScore).expect("the same");
    assert_eq!(rewards(&same), rewards(&two));
}

#[test]
fn hidden_states_of_another_width_are_refused() {
    let dir = checkpoint(&[("model.safetensors", vec![score()])]);
    let head = open(dir.path()).expect("a score");
    assert!(head.rewards(&tensor(&[1.0; 4], &[1, 4])).is_err());
}
