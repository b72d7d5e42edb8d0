use candle_core::{DType, Tensor};

use crate::{Result, encoder::Linear, weights::Scope};

/// From the encoder's frames to rows for the decoder: two linear layers on every frame, then the mean of each group of
/// frames.
#[derive(Debug)]
pub struct AudioProjection {
    first: Linear,
    second: Linear,
    step: usize,
}

impl AudioProjection {
    /// Takes the weights from the level that holds `linear1` and `linear2`. `step` is the number of frames that become
    /// a row.
    pub fn load(frame: usize, hidden: usize, step: usize, scope: &Scope) -> Result<Self> {
        Ok(Self {
            first: Linear::load(hidden, frame, &scope.under("linear1"))?,
            second: Linear::load(hidden, hidden, &scope.under("linear2"))?,
            step,
        })
    }

    /// Frames that become a row.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Frames beyond the last whole group are left out.
    ///
    /// # Shapes
    ///
    /// `frames`: `[frames, frame]`, of one piece; returns `[⌊frames / step⌋, hidden]`.
    pub fn forward(&self, frames: &Tensor) -> Result<Tensor> {
        let (count, _) = frames.dims2()?;
        let groups = count / self.step;
        let frames = frames.narrow(0, 0, groups * self.step)?;
        let inner = self.first.forward(&frames)?.relu()?;
        let projected = self.second.forward(&inner)?;
        let (_, hidden) = projected.dims2()?;
        let means = projected
            .reshape((groups, self.step, hidden))?
            .to_dtype(DType::F32)?
            .mean(1)?;
        Ok(means.to_dtype(projected.dtype())?)
    }
}
