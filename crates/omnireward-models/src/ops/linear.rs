use candle_core::{Result, Tensor};

use crate::weights::Weight;

/// `x · Wᵀ + b`.
///
/// # Shapes
///
/// `x`: `[rows, in]`; `weight`: `[out, in]`; `bias`: `[out]`; returns `[rows, out]` in `x`'s type.
pub fn linear(x: &Tensor, weight: &Weight, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.matmul(&weight.tensor(x.device(), x.dtype())?.t()?)?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}
