use candle_core::{D, DType, Result, Tensor};

/// Root-mean-square normalisation: `x / √(mean(x²) + eps)` in `f32`, cast back to `x`'s type, times `weight`
/// (Zhang and Sennrich 2019, eq. 4; cast order as in Llama and Qwen2).
///
/// # Shapes
///
/// `x`: `[rows, width]` (or any leading shape); `weight`: `[width]`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let wide = x.to_dtype(DType::F32)?;
    let variance = wide.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = wide.broadcast_div(&(variance + eps)?.sqrt()?)?;
    normed.to_dtype(x.dtype())?.broadcast_mul(weight)
}

/// Layer normalisation (Ba et al. 2016), computed in `f32`.
///
/// # Shapes
///
/// `x`: `[rows, width]`; `weight`, `bias`: `[width]`.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let wide = x.to_dtype(DType::F32)?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    normed
        .to_dtype(x.dtype())?
        .broadcast_mul(weight)?
        .broadcast_add(bias)
}
