//! Fixtures, and how far from them is still equal.

use std::{fmt, path::PathBuf};

use candle_core::{DType, Device, Tensor};
use omnireward_models::weights::Placement;

use super::inputs::Named;

/// In `f32` both sides add the same numbers in different orders. Activations are up to 5 and sums up to 600 terms long,
/// for which differences of some 1e-6 are usual; what is wrong by design shows as 1e-2 and more.
pub(super) const EXACT: f32 = 1e-4;

/// In `bf16` every activation is rounded to 8 bits, by both sides at about the same places but not to the same values.
/// How far that leads is measured on the reference: the distance between its own `bf16` and `f32`. Ours is another draw
/// of the same kind. The root mean square of many such errors varies little, so half as much again is a rounding too
/// many; the largest of them varies more.
const BF16_FACTORS: (f32, f32) = (1.5, 2.5);

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
    pub(super) fn error(&self, stage: &str, ours: &Tensor) -> Distance {
        let exact = self.exact(stage);
        assert_eq!(ours.dims(), exact.dims(), "shape of {stage}");
        Distance::between(ours, exact)
    }

    /// How far the reference's `bf16` is from its `f32`.
    pub(super) fn spread(&self, stage: &str) -> Distance {
        Distance::between(&self.0[&format!("bf16.{stage}")], self.exact(stage))
    }
}

/// How far two tensors, or several pairs of them, are apart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Distance {
    /// The largest difference of two elements; infinite where one is not a number.
    pub(super) largest: f32,
    squares: f32,
    count: usize,
}

impl Distance {
    pub(super) fn between(left: &Tensor, right: &Tensor) -> Self {
        let differences = floats(left)
            .into_iter()
            .zip(floats(right))
            .map(|(left, right)| (left - right).abs());
        differences.fold(Self::default(), |sum, difference| {
            sum.and(Self {
                largest: if difference.is_nan() {
                    f32::INFINITY
                } else {
                    difference
                },
                squares: difference * difference,
                count: 1,
            })
        })
    }

    /// That of both pairs together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            largest: self.largest.max(other.largest),
            squares: self.squares + other.squares,
            count: self.count + other.count,
        }
    }

    fn root_mean_square(self) -> f32 {
        (self.squares / self.count as f32).sqrt()
    }

    /// Whether `self`, our distance in `bf16`, is one that the reference could have had.
    pub(super) fn is_like(self, reference: Self) -> bool {
        let (mean, largest) = BF16_FACTORS;
        // The mean of a handful says no more than their largest.
        let mean_is_like =
            self.count < 100 || self.root_mean_square() <= mean * reference.root_mean_square();
        mean_is_like && self.largest <= largest * reference.largest
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1e} (rms {:.1e})",
            self.largest,
            self.root_mean_square()
        )
    }
}

/// All tensors of a checkpoint, those of its head too, to be changed.
pub(super) fn checkpoint_tensors(name: &str) -> Named {
    let mut shards: Vec<PathBuf> = std::fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let file = path.file_name().unwrap().to_str().unwrap();
            (file.starts_with("model") || file == "value_head.safetensors")
                && file.ends_with(".safetensors")
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
    let mut values = floats(tensor);
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

fn floats(tensor: &Tensor) -> Vec<f32> {
    let wide = tensor.to_dtype(DType::F32).unwrap();
    wide.flatten_all().unwrap().to_vec1().unwrap()
}
