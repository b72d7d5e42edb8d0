use candle_core::{D, Tensor};

use super::AudioConfig;
use crate::{
    Result,
    encoder::{Activation, Linear},
    ops::linear,
    weights::{Scope, Weight},
};

/// The two convolutions over time at the start of the encoder, as products: `act(conv(x))` of width 3 and padding 1,
/// the second with a stride of 2.
#[derive(Debug)]
pub(super) struct Convolutions {
    first: Kernel,
    second: Kernel,
    activation: Activation,
}

/// Frames under a kernel.
const WIDTH: usize = 3;

impl Convolutions {
    pub(super) fn load(config: &AudioConfig, scope: &Scope) -> Result<Self> {
        let AudioConfig {
            d_model,
            num_mel_bins,
            ..
        } = *config;
        Ok(Self {
            first: Kernel::load(d_model, num_mel_bins, &scope.under("conv1"))?,
            second: Kernel::load(d_model, d_model, &scope.under("conv2"))?,
            activation: config.activation_function,
        })
    }

    /// # Shapes
    ///
    /// `frames`: `[frames, mels]`; returns `[⌈frames / 2⌉, hidden]`.
    pub(super) fn forward(&self, frames: &Tensor) -> candle_core::Result<Tensor> {
        let x = self.first.forward(&neighbours(frames)?)?;
        let x = self.activation.apply(&x)?;
        let x = self.second.forward(&every_other_neighbours(&x)?)?;
        self.activation.apply(&x)
    }
}

/// A kernel `[out, in, 3]`.
#[derive(Debug)]
enum Kernel {
    /// As a matrix.
    Frozen(Linear),
    /// As it is stored: it is made a matrix each time, for it changes.
    Trained { kernel: Tensor, bias: Tensor },
}

impl Kernel {
    fn load(out: usize, inner: usize, scope: &Scope) -> Result<Self> {
        let kernel = scope.tensor("weight", &[out, inner, WIDTH])?;
        let bias = scope.tensor("bias", &[out])?;
        Ok(if kernel.track_op() {
            Self::Trained { kernel, bias }
        } else {
            Self::Frozen(Linear {
                weight: matrix(&kernel)?,
                bias: Some(bias),
            })
        })
    }

    fn forward(&self, windows: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Frozen(product) => product.forward(windows),
            Self::Trained { kernel, bias } => linear(windows, &matrix(kernel)?, Some(bias)),
        }
    }
}

/// A kernel `[out, in, 3]` as a matrix `[out, 3 · in]`, frame after frame.
fn matrix(kernel: &Tensor) -> candle_core::Result<Weight> {
    let (out, inner, width) = kernel.dims3()?;
    let matrix = kernel.transpose(1, 2)?.contiguous()?;
    Ok(Weight::Tensor(matrix.reshape((out, width * inner))?))
}

/// Each frame between its two neighbours, with silence beyond the ends: `[frames, width]` to `[frames, 3 · width]`.
fn neighbours(frames: &Tensor) -> candle_core::Result<Tensor> {
    let (length, _) = frames.dims2()?;
    let padded = frames.pad_with_zeros(0, 1, 1)?;
    let shifted = |by| padded.narrow(0, by, length);
    Tensor::cat(&[shifted(0)?, shifted(1)?, shifted(2)?], D::Minus1)
}

/// The same for every other frame: `[frames, width]` to `[⌈frames / 2⌉, 3 · width]`.
fn every_other_neighbours(frames: &Tensor) -> candle_core::Result<Tensor> {
    let (length, width) = frames.dims2()?;
    let kept = length.div_ceil(2);
    let pairs = frames
        .pad_with_zeros(0, 1, 2 * kept + 1 - length)?
        .reshape((kept + 1, 2 * width))?;
    let left_and_middle = pairs.narrow(0, 0, kept)?;
    let right = pairs.narrow(0, 1, kept)?.narrow(1, 0, width)?;
    Tensor::cat(&[left_and_middle, right], D::Minus1)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn windows_reach_one_frame_to_either_side() {
        for length in 1..6_u32 {
            let frames = Tensor::from_iter((1..=length).flat_map(|i| [i, 10 * i]), &Device::Cpu)
                .unwrap()
                .reshape((length as usize, 2))
                .unwrap();
            let frame = |i: u32| if i > length { 0 } else { i };
            let window = |i: u32| {
                [i - 1, i, i + 1]
                    .into_iter()
                    .flat_map(|i| [frame(i), 10 * frame(i)])
                    .collect::<Vec<u32>>()
            };
            let all: Vec<Vec<u32>> = (1..=length).map(window).collect();
            assert_eq!(neighbours(&frames).unwrap().to_vec2::<u32>().unwrap(), all);
            let other: Vec<Vec<u32>> = (1..=length).step_by(2).map(window).collect();
            assert_eq!(
                every_other_neighbours(&frames)
                    .unwrap()
                    .to_vec2::<u32>()
                    .unwrap(),
                other
            );
        }
    }
}
