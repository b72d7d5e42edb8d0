//! Attention of rows to the paths they lie on.
//!
//! One operator serves causal token trees, tiles of an image, chunks of audio and cross-attention: each
//! [item](AttentionItem) of a [layout](AttentionLayout) is a run of query rows over a path of keys, and a row sees a
//! beginning of its path.
//!
//! **How.** For one item and one key head, the query heads that share it are stacked as the columns of one matrix. The
//! path is gathered and packed in blocks of [`BLOCK`] keys, counted from the beginning of the path; for each block the
//! scores `K·Qᵀ`, their softmax with a running maximum, and the weighted sum `Vᵀ·P` stay in the cache (Milakov and
//! Gimelshein 2018; Dao et al. 2022). With the columns as queries, the softmax works on whole vectors of them, and its
//! weights already lie as the next product wants them.
//!
//! **Order of summation.** What a row gets is summed over the keys of its path in their order, block by block. Keys that
//! it does not see weigh zero and change no bit. So a row's result depends on its path alone: not on the other rows, not
//! on where the path's segments begin, and not on the number of threads.

mod backward;
mod columns;
mod forward;
mod layout;
mod path;
mod plain;
#[cfg(test)]
mod tests;

use std::{
    marker::PhantomData,
    sync::{Arc, OnceLock},
};

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use half::bf16;

pub use layout::{AttentionItem, AttentionLayout, Visibility};
pub use plain::attention_plain;

use super::simd::{self, Element, Rows};
use columns::Softmax;

/// Scaled dot-product attention over a [layout](AttentionLayout), `softmax(q·kᵀ·scale)·v` (Vaswani et al. 2017, eq. 1),
/// with the softmax in `f32` and grouped key and value heads.
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
    let heads = Heads::of([q, k, v], layout)?;
    if !simd::ours(&[q, k, v]) {
        return attention_plain(q, k, v, layout, scale);
    }
    let (q, k, v) = (
        simd::with_rows(q)?,
        simd::with_rows(k)?,
        simd::with_rows(v)?,
    );
    let (layout, scale) = (Arc::clone(layout), scale as f32);
    match q.dtype() {
        DType::F32 => q.apply_op3(&k, &v, Attend::<f32>::new(layout, heads, scale)),
        _ => q.apply_op3(&k, &v, Attend::<bf16>::new(layout, heads, scale)),
    }
}

/// Keys in a block: a multiple of the rows of every product kernel's tile.
const BLOCK: usize = 96;

/// How many heads there are, and how they are grouped.
#[derive(Clone, Copy, Debug)]
struct Heads {
    /// Heads of the keys and values.
    keys: usize,
    /// Heads of the queries to each of them.
    group: usize,
    /// Numbers in a head.
    dim: usize,
}

impl Heads {
    fn of([q, k, v]: [&Tensor; 3], layout: &AttentionLayout) -> Result<Self> {
        let (queries, heads, dim) = q.dims3()?;
        let (keys, key_heads, key_dim) = k.dims3()?;
        if k.dims() != v.dims() || key_dim != dim || key_heads == 0 || heads % key_heads != 0 {
            bail!(
                "attention of queries {:?} to keys {:?} and values {:?}",
                q.dims(),
                k.dims(),
                v.dims()
            );
        }
        if (queries, keys) != (layout.queries, layout.keys) {
            bail!(
                "attention of {queries} rows to {keys} with a layout for {} and {}",
                layout.queries,
                layout.keys
            );
        }
        layout.check()?;
        Ok(Self {
            keys: key_heads,
            group: heads / key_heads,
            dim,
        })
    }

    /// Numbers in a row of queries.
    fn width(&self) -> usize {
        self.keys * self.group * self.dim
    }
}

/// The operands, as the forward and the backward pass take them.
#[derive(Clone, Copy)]
struct Inputs<'a, T> {
    q: Rows<'a, T>,
    k: Rows<'a, T>,
    v: Rows<'a, T>,
    layout: &'a AttentionLayout,
    heads: Heads,
    scale: f32,
}

struct Attend<T> {
    layout: Arc<AttentionLayout>,
    heads: Heads,
    scale: f32,
    /// What the forward pass found of each query row and head, for the backward pass.
    softmax: OnceLock<Vec<Softmax>>,
    element: PhantomData<T>,
}

impl<T: Element> Attend<T> {
    fn new(layout: Arc<AttentionLayout>, heads: Heads, scale: f32) -> Self {
        Self {
            layout,
            heads,
            scale,
            softmax: OnceLock::new(),
            element: PhantomData,
        }
    }

    fn inputs<'a>(&'a self, q: Rows<'a, T>, k: Rows<'a, T>, v: Rows<'a, T>) -> Inputs<'a, T> {
        Inputs {
            q,
            k,
            v,
            layout: &self.layout,
            heads: self.heads,
            scale: self.scale,
        }
    }
}

impl<T: Element> CustomOp3 for Attend<T> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (q, k) = (Rows::of(q, q_layout)?, Rows::of(k, k_layout)?);
        let (values, softmax) = forward::attend(self.inputs(q, k, Rows::of(v, v_layout)?));
        // A second call on the same operands, if it came, would find the same.
        let _ = self.softmax.set(softmax);
        Ok((T::to_cpu_storage_owned(values), q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(softmax) = self.softmax.get() else {
            bail!("attention's backward pass without its forward pass");
        };
        let gradients = simd::read(q, |q| {
            simd::read(k, |k| {
                simd::read(v, |v| {
                    simd::read(out, |out| {
                        simd::read(grad, |grad| {
                            let inputs = self.inputs(q, k, v);
                            Ok(backward::attend(inputs, out, grad, softmax))
                        })
                    })
                })
            })
        })?;
        let tensor = |values: Vec<T>, like: &Tensor| {
            simd::wanted(like, || {
                Tensor::from_vec(values, like.shape(), like.device())
            })
        };
        Ok((
            tensor(gradients.q, q)?,
            tensor(gradients.k, k)?,
            tensor(gradients.v, v)?,
        ))
    }
}
