use std::{ops::Range, sync::Arc};

use candle_core::{D, DType, Result, Tensor};

/// Which rows of a stream see which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionLayout {
    /// Rows of the query stream.
    pub queries: usize,
    /// Rows of the key and value streams.
    pub keys: usize,
    /// Runs of query rows, each with the keys it sees. Every query row belongs to exactly one.
    pub items: Vec<AttentionItem>,
}

/// A run of query rows over one path of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionItem {
    /// The query rows.
    pub queries: Range<usize>,
    /// Ranges of key rows, in the order of their positions: the path from the root.
    pub keys: Vec<Range<usize>>,
    /// How far along the path each query row sees.
    pub visibility: Visibility,
}

impl AttentionItem {
    /// Keys on the path.
    pub fn path_len(&self) -> usize {
        self.keys.iter().map(ExactSizeIterator::len).sum()
    }

    /// How many keys from the start of the path the `index`-th query of the run sees.
    pub fn visible(&self, index: usize) -> usize {
        let path = self.path_len();
        match self.visibility {
            Visibility::Causal => path - self.queries.len() + index + 1,
            Visibility::Full => path,
            Visibility::Chunks(size) => ((index / size + 1) * size).min(path),
        }
    }
}

/// How far along its path of keys a query sees. Always a beginning of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// The queries are the path's last rows, and see up to and including themselves.
    Causal,
    /// Everything.
    Full,
    /// Everything up to the end of their own chunk of this many rows; queries and keys are the same rows.
    Chunks(usize),
}

/// Scaled dot-product attention over a [layout](AttentionLayout) (Vaswani et al. 2017, eq. 1), with the softmax in
/// `f32` and grouped key and value heads.
///
/// # Shapes
///
/// `q`: `[queries, heads, head_dim]`; `k`, `v`: `[keys, kv_heads, head_dim]`; returns `[queries, heads, head_dim]`.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    layout: &Arc<AttentionLayout>,
    scale: f64,
) -> Result<Tensor> {
    let (_, heads, _) = q.dims3()?;
    let (_, kv_heads, _) = k.dims3()?;
    let mut outputs = Vec::with_capacity(layout.items.len());
    for item in &layout.items {
        let gather = |x: &Tensor| -> Result<Tensor> {
            let parts: Vec<Tensor> = item
                .keys
                .iter()
                .map(|range| x.narrow(0, range.start, range.len()))
                .collect::<Result<_>>()?;
            let path = Tensor::cat(&parts, 0)?.to_dtype(DType::F32)?;
            let (rows, _, dim) = path.dims3()?;
            path.unsqueeze(2)?
                .expand((rows, kv_heads, heads / kv_heads, dim))?
                .reshape((rows, heads, dim))?
                .transpose(0, 1)?
                .contiguous()
        };
        let queries = q
            .narrow(0, item.queries.start, item.queries.len())?
            .to_dtype(DType::F32)?
            .transpose(0, 1)?
            .contiguous()?;
        let scores = (queries.matmul(&gather(k)?.transpose(1, 2)?.contiguous()?)? * scale)?;
        let mask: Vec<f32> = (0..item.queries.len())
            .flat_map(|index| {
                let visible = item.visible(index);
                (0..item.path_len())
                    .map(move |key| if key < visible { 0.0 } else { f32::NEG_INFINITY })
            })
            .collect();
        let mask = Tensor::from_vec(mask, (item.queries.len(), item.path_len()), q.device())?;
        let scores = scores.broadcast_add(&mask)?;
        let weights = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        outputs.push(
            weights
                .matmul(&gather(v)?)?
                .transpose(0, 1)?
                .to_dtype(q.dtype())?,
        );
    }
    Tensor::cat(&outputs, 0)
}
