use candle_core::{D, DType, Result, Tensor};

/// Rotary position embedding in the rotate-half layout (Su et al. 2021, eq. 34; element `i` is paired with
/// `i + head_dim / 2`).
///
/// # Shapes
///
/// `x`: `[rows, heads, head_dim]`; `cos`, `sin`: `[rows, head_dim / 2]` in `f32`.
pub fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    let wide = x.to_dtype(DType::F32)?;
    let (first, second) = (
        wide.narrow(D::Minus1, 0, half)?,
        wide.narrow(D::Minus1, half, half)?,
    );
    let (cos, sin) = (cos.unsqueeze(1)?, sin.unsqueeze(1)?);
    let turned = Tensor::cat(
        &[
            (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?,
            (second.broadcast_mul(&cos)? + first.broadcast_mul(&sin)?)?,
        ],
        D::Minus1,
    )?;
    turned.to_dtype(x.dtype())
}
