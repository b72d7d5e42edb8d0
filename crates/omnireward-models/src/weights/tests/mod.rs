mod damage;
mod gguf;
mod naming;
mod reading;
mod writing;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use tempfile::TempDir;

use super::{Placement, write_tensors};

const CPU: Placement = Placement {
    device: Device::Cpu,
    dtype: DType::F32,
};

/// A directory for a checkpoint.
fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A tensor of numbers that are all different and exact in every stored type.
fn tensor(shape: &[usize], dtype: DType) -> Tensor {
    let count = shape.iter().product::<usize>();
    let numbers: Vec<f32> = (0..count)
        .map(|index| (index as f32 - 50.0) / 8.0)
        .collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu)
        .unwrap()
        .to_dtype(dtype)
        .unwrap()
}

fn write(directory: &Path, file: &str, tensors: &[(&str, Tensor)]) -> PathBuf {
    let tensors: BTreeMap<String, Tensor> = tensors
        .iter()
        .map(|(name, tensor)| ((*name).to_owned(), tensor.clone()))
        .collect();
    let path = directory.join(file);
    write_tensors(&path, &tensors, &BTreeMap::new()).unwrap();
    path
}

/// Two shards and their index.
fn write_shards(directory: &Path) {
    write(
        directory,
        "model-00001-of-00002.safetensors",
        &[
            ("model.embed_tokens.weight", tensor(&[5, 4], DType::BF16)),
            ("model.norm.weight", tensor(&[4], DType::BF16)),
        ],
    );
    write(
        directory,
        "model-00002-of-00002.safetensors",
        &[("lm_head.weight", tensor(&[5, 4], DType::F16))],
    );
    fs::write(
        directory.join("model.safetensors.index.json"),
        r#"{"metadata": {"total_size": 88}, "weight_map": {
            "lm_head.weight": "model-00002-of-00002.safetensors",
            "model.embed_tokens.weight": "model-00001-of-00002.safetensors",
            "model.norm.weight": "model-00001-of-00002.safetensors"}}"#,
    )
    .unwrap();
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor
        .to_dtype(DType::F32)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}
