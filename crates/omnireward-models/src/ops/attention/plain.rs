use candle_core::{D, DType, Device, Result, Tensor};

use super::{AttentionItem, AttentionLayout};

/// [`attention`](super::attention), composed of the framework's operators, item by item.
///
/// # Shapes
///
/// As [`attention`](super::attention).
pub fn attention_plain(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    layout: &AttentionLayout,
    scale: f64,
) -> Result<Tensor> {
    let (_, heads, _) = q.dims3()?;
    let mut order: Vec<&AttentionItem> = layout.items.iter().collect();
    order.sort_by_key(|item| item.queries.start);
    let outputs: Vec<Tensor> = order
        .into_iter()
        .filter(|item| !item.queries.is_empty())
        .map(|item| {
            let queries = q
                .narrow(0, item.queries.start, item.queries.len())?
                .to_dtype(DType::F32)?
                .transpose(0, 1)?
                .contiguous()?;
            let keys = gather(k, item, heads)?.transpose(1, 2)?.contiguous()?;
            let scores = (queries.matmul(&keys)? * scale)?;
            let scores = scores.broadcast_add(&mask(item, q.device())?)?;
            let weights = scores
                .broadcast_sub(&scores.max_keepdim(D::Minus1)?)?
                .exp()?;
            let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
            weights
                .matmul(&gather(v, item, heads)?)?
                .transpose(0, 1)?
                .to_dtype(q.dtype())
        })
        .collect::<Result<_>>()?;
    if outputs.is_empty() {
        return q.zeros_like();
    }
    Tensor::cat(&outputs, 0)?.contiguous()
}

/// The rows on an item's path, in `f32`, for every query head: `[heads, path, head_dim]`.
fn gather(stream: &Tensor, item: &AttentionItem, heads: usize) -> Result<Tensor> {
    let (_, kv_heads, dim) = stream.dims3()?;
    let parts: Vec<Tensor> = item
        .keys
        .iter()
        .map(|range| stream.narrow(0, range.start, range.len()))
        .collect::<Result<_>>()?;
    let path = Tensor::cat(&parts, 0)?.to_dtype(DType::F32)?;
    let rows = path.dim(0)?;
    path.unsqueeze(2)?
        .expand((rows, kv_heads, heads / kv_heads, dim))?
        .reshape((rows, heads, dim))?
        .transpose(0, 1)?
        .contiguous()
}

/// Zero where a query sees a key, minus infinity elsewhere: `[queries, path]`.
fn mask(item: &AttentionItem, device: &Device) -> Result<Tensor> {
    let path = item.path_len();
    let mask: Vec<f32> = (0..item.queries.len())
        .flat_map(|index| {
            let visible = item.visible(index);
            (0..path).map(move |key| {
                if key < visible {
                    0.0
                } else {
                    f32::NEG_INFINITY
                }
            })
        })
        .collect();
    Tensor::from_vec(mask, (item.queries.len(), path), device)
}
