//! Fixtures, and how far from them is still equal.

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use omnireward_models::weights::Placement;

use super::inputs::Named;

/// In `f32` both sides add the same numbers in different orders. Activations are up to 5 and sums up to 600 terms long,
/// for which differences of some 1e-6 are usual; what is wrong by design shows as 1e-2 and more.
pub(super) const EXACT: f32 = 1e-4;

/// In `bf16` every activation is rounded to 8 bits, by both sides at about the same places but not to the same values.
/// How far that leads is measured on the reference: the largest difference between its own `bf16` and `f32`. Ours is
/// another draw of the same kind, and the largest of a few hundred such errors is not twice another's.
pub(super) const BF16_FACTOR: f32 = 2.0;

/// The fixtures of one model.
pub(super) fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/parity/models")
        .join(name)
}

pub(super) fn on_cpu(dtype: DType) -> Placement {
    Placement {
        device: Device::Cpu,
        dtype,
    }
}

/// What the reference gave, in both precisions.
pub(super) struct Expected(Named);

impl Expected {
    pub(super) fn open(folder_name: &str, file: &str) -> Self {
        Self(candle_core::safetensors::load(folder(folder_name).join(file), &Device::Cpu).unwrap())
    }

    pub(super) fn tensors(&self) -> &Named {
        &self.0
    }

    /// The reference's `f32` value of a stage.
    pub(super) fn exact(&self, stage: &str) -> &Tensor {
        &self.0[&format!("f32.{stage}")]
    }

    /// How far `ours` is from the reference's `f32` value of a stage.
    pub(super) fn error(&self, stage: &str, ours: &Tensor) -> f32 {
        let exact = self.exact(stage);
        assert_eq!(ours.dims(), exact.dims(), "shape of {stage}");
        largest_difference(ours, exact)
    }

    /// How far the reference's `bf16` is from its `f32`.
    pub(super) fn spread(&self, stage: &str) -> f32 {
        largest_difference(&self.0[&format!("bf16.{stage}")], self.exact(stage))
    }
}

/// The largest difference of two elements; infinite where one is not a number.
pub(super) fn largest_difference(left: &Tensor, right: &Tensor) -> f32 {
    let values = |tensor: &Tensor| -> Vec<f32> {
        let wide = tensor.to_dtype(DType::F32).unwrap();
        wide.flatten_all().unwrap().to_vec1().unwrap()
    };
    let differences = values(left)
        .into_iter()
        .zip(values(right))
        .map(|(left, right)| (left - right).abs());
    differences.fold(0.0, |largest, difference| {
        if difference.is_nan() {
            f32::INFINITY
        } else {
            largest.max(difference)
        }
    })
}

/// All tensors of a checkpoint, to be changed.
pub(super) fn checkpoint_tensors(name: &str) -> Named {
    let mut shards: Vec<PathBuf> = std::fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let file = path.file_name().unwrap().to_str().unwrap();
            file.starts_with("model") && file.ends_with(".safetensors")
        })
        .collect();
    shards.sort();
    shards
        .iter()
        .flat_map(|shard| candle_core::safetensors::load(shard, &Device::Cpu).unwrap())
        .collect()
}

/// Adds `by` to one element of a matrix or vector.
pub(super) fn bump(tensor: &Tensor, element: usize, by: f32) -> Tensor {
    let mut values: Vec<f32> = tensor
        .to_dtype(DType::F32)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap();
    values[element] += by;
    Tensor::from_vec(values, tensor.dims(), tensor.device())
        .unwrap()
        .to_dtype(tensor.dtype())
        .unwrap()
}

/// Moves every row of a table to the place of the one before it.
pub(super) fn shift_rows(table: &Tensor) -> Tensor {
    let rows = table.dim(0).unwrap();
    let first = table.narrow(0, 0, 1).unwrap();
    let rest = table.narrow(0, 1, rows - 1).unwrap();
    Tensor::cat(&[&rest, &first], 0).unwrap()
}
