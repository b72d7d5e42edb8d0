use std::{collections::BTreeMap, fs, path::Path};

use candle_core::{DType, Device, Tensor};
use half::bf16;
use proptest::prelude::*;

use super::{CPU, directory, numbers, tensor, write};
use crate::{
    Error,
    weights::{Outline, StoredType, Weights, write_checkpoint, write_safetensors},
};

fn outline(name: &str, stored: StoredType, shape: &[usize]) -> Outline {
    Outline {
        name: name.to_owned(),
        stored,
        shape: shape.to_vec(),
    }
}

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What is written reads back, in order, in its type, at aligned places.
    #[test]
    fn round_trip(shapes in prop::collection::vec((0_usize..4, 1_usize..5, 0_usize..3), 1..8)) {
        let directory = directory();
        let names: Vec<String> = (0..shapes.len()).map(|index| format!("t{index}")).collect();
        let tensors: Vec<(&str, Tensor)> = shapes
            .iter()
            .zip(&names)
            .map(|((rows, width, kind), name)| {
                let dtype = [DType::F32, DType::BF16, DType::F16][*kind];
                (name.as_str(), tensor(&[*rows, *width], dtype))
            })
            .collect();
        let path = write(directory.path(), "a.safetensors", &tensors);
        let weights = Weights::open(&path).unwrap();
        for (name, tensor) in &tensors {
            let read = weights.scope("", &CPU).tensor(name, tensor.dims()).unwrap();
            prop_assert_eq!(numbers(&read), numbers(tensor));
            let stored = weights.info(name).unwrap().stored;
            prop_assert_eq!(stored, tensor.dtype().as_str().to_uppercase());
        }
        let bytes = fs::read(&path).unwrap();
        let parsed = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        for (_, view) in parsed.tensors() {
            let offset = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
            prop_assert!(offset.is_multiple_of(view.dtype().bitsize() / 8) || view.data().is_empty());
        }
    }
}

#[test]
fn numbers_come_in_pieces_and_are_rounded_to_the_stored_type() {
    let directory = directory();
    let path = directory.path().join("a.safetensors");
    let tensors = [
        outline("narrow", StoredType::Bf16, &[3]),
        outline("wide", StoredType::F32, &[1, 2]),
    ];
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let mut order = Vec::new();
    write_safetensors(&path, &tensors, &metadata, |outline, sink| {
        order.push(outline.name.clone());
        if outline.name == "wide" {
            return sink.bf16(&[bf16::ONE, bf16::NEG_ONE]);
        }
        sink.f32(&[1.0 + 1.0 / 256.0])?;
        sink.tensor(&Tensor::new(&[2.0_f32, 3.0], &Device::Cpu)?)
    })
    .unwrap();
    assert_eq!(order, ["wide", "narrow"]);
    let scope = Weights::open(&path).unwrap().scope("", &CPU);
    assert_eq!(
        numbers(&scope.tensor("wide", &[1, 2]).unwrap()),
        [1.0, -1.0]
    );
    assert_eq!(
        numbers(&scope.tensor("narrow", &[3]).unwrap()),
        [1.0, 2.0, 3.0]
    );
    let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    assert!(text.contains(r#""__metadata__":{"format":"pt"}"#));
}

#[test]
fn a_failure_leaves_what_was_there() {
    let directory = directory();
    let path = write(
        directory.path(),
        "a.safetensors",
        &[("old", tensor(&[2], DType::F32))],
    );
    let tensors = [outline("new", StoredType::F32, &[4])];
    let none = BTreeMap::new();
    let short = write_safetensors(&path, &tensors, &none, |_, sink| sink.f32(&[1.0, 2.0]));
    assert!(matches!(short, Err(Error::Shape { tensor, .. }) if tensor == "new"));
    let failed = write_safetensors(&path, &tensors, &none, |_, _| {
        Err(candle_core::Error::Msg("no numbers".to_owned()).into())
    });
    assert!(matches!(failed, Err(Error::Tensor(_))));
    let twice = [tensors[0].clone(), tensors[0].clone()];
    let twice = write_safetensors(&path, &twice, &none, |_, sink| sink.f32(&[0.0; 4]));
    assert!(matches!(twice, Err(Error::DuplicateTensor { .. })));
    assert_eq!(files(directory.path()), ["a.safetensors"]);
    assert!(Weights::open(&path).unwrap().info("old").is_some());
}

#[test]
fn a_mapped_file_can_be_replaced() {
    let directory = directory();
    let path = write(
        directory.path(),
        "a.safetensors",
        &[("a", tensor(&[64, 64], DType::F32))],
    );
    let old = Weights::open(&path)
        .unwrap()
        .scope("", &CPU)
        .weight("a", 64, 64)
        .unwrap();
    write(
        directory.path(),
        "a.safetensors",
        &[("a", tensor(&[2, 2], DType::F32))],
    );
    assert_eq!(
        numbers(&old.tensor(&Device::Cpu, DType::F32).unwrap()),
        numbers(&tensor(&[64, 64], DType::F32))
    );
}

#[test]
fn a_checkpoint_is_one_file_or_shards_with_an_index() {
    let tensors = [
        outline("a", StoredType::F32, &[4]),
        outline("b", StoredType::Bf16, &[100]),
        outline("c", StoredType::F32, &[4]),
        outline("d", StoredType::F32, &[4]),
    ];
    for (limit, expected) in [
        (1_000, vec!["model.safetensors"]),
        (
            32,
            vec![
                "model-00001-of-00003.safetensors",
                "model-00002-of-00003.safetensors",
                "model-00003-of-00003.safetensors",
                "model.safetensors.index.json",
            ],
        ),
    ] {
        let directory = directory();
        write_checkpoint(
            directory.path(),
            &tensors,
            limit,
            &BTreeMap::new(),
            |outline, sink| sink.f32(&vec![outline.name.len() as f32; outline.shape[0]]),
        )
        .unwrap();
        assert_eq!(files(directory.path()), expected);
        let weights = Weights::open(directory.path()).unwrap();
        assert_eq!(weights.names().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        let b = weights.scope("", &CPU).tensor("b", &[100]).unwrap();
        assert_eq!(numbers(&b), [1.0; 100]);
    }
}
