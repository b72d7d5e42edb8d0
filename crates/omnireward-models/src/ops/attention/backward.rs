//! The backward pass, with the weights computed again block by block.
//!
//! With `P` the weights, `dO` the gradient by the output and `∘` the product element by element: `dV = Pᵀ·dO`,
//! `dS = P ∘ (dO·Vᵀ - rowsum(dO ∘ O))`, `dQ = scale·dS·K`, `dK = scale·dSᵀ·Q` (Dao et al. 2022, appendix B.4).
//!
//! Several items may add to the same keys. Each [part] is computed by itself, and the parts are added in the order of
//! the query rows, so that the gradients do not depend on the number of threads either.
#![expect(
    clippy::inline_always,
    reason = "a loop is compiled for its caller's instruction set only when it is inlined into it"
)]

use rayon::prelude::*;

use super::{
    super::{
        product::{self, Block, Tile, View},
        simd::{self, Arithmetic, Element, Kernel, Rows},
    },
    BLOCK, Inputs,
    columns::{self, Column, Gradient, Run, Softmax},
    path::{self, Source},
};

/// The gradients by the operands, in their shapes.
pub(super) struct Gradients<T> {
    pub(super) q: Vec<T>,
    pub(super) k: Vec<T>,
    pub(super) v: Vec<T>,
}

/// The gradients, given what the forward pass returned and the gradient by its output.
pub(super) fn attend<T: Element>(
    inputs: Inputs<'_, T>,
    out: Rows<'_, T>,
    grad: Rows<'_, T>,
    softmax: &[Softmax],
) -> Gradients<T> {
    let heads = inputs.heads;
    let runs = cut(&inputs);
    let head_len = inputs.layout.keys * heads.dim;
    let mut by_q = vec![T::ZERO; inputs.layout.queries * heads.width()];
    let mut by_k = vec![0.0_f32; heads.keys * head_len];
    let mut by_v = by_k.clone();
    let mut by_q_left = &mut by_q[..];
    let wave = (4 * rayon::current_num_threads()).div_ceil(heads.keys);
    for runs in runs.chunks(wave) {
        let parts: Vec<Part<T>> = (0..runs.len() * heads.keys)
            .into_par_iter()
            .map(|index| {
                let (run, head) = (runs[index / heads.keys], index % heads.keys);
                part(&inputs, [out, grad], softmax, run, head)
            })
            .collect();
        by_k.par_chunks_mut(head_len.max(1))
            .zip(by_v.par_chunks_mut(head_len.max(1)))
            .enumerate()
            .for_each(|(head, (by_k, by_v))| {
                for (run, parts) in runs.iter().zip(parts.chunks_exact(heads.keys)) {
                    scatter(*run, heads.dim, &parts[head].k, by_k);
                    scatter(*run, heads.dim, &parts[head].v, by_v);
                }
            });
        for (run, parts) in runs.iter().zip(parts.chunks_exact(heads.keys)) {
            let (to, rest) = by_q_left.split_at_mut(run.len * heads.width());
            by_q_left = rest;
            let width = heads.group * heads.dim;
            for (index, row) in to.chunks_exact_mut(heads.width()).enumerate() {
                for (part, to) in parts.iter().zip(row.chunks_exact_mut(width)) {
                    to.copy_from_slice(&part.q[index * width..][..width]);
                }
            }
        }
    }
    Gradients {
        q: by_q,
        k: interleave(&by_k, heads.keys, heads.dim),
        v: interleave(&by_v, heads.keys, heads.dim),
    }
}

/// Cuts the items into runs that fill the caches, whatever the number of threads.
fn cut<'a, T: Element>(inputs: &Inputs<'a, T>) -> Vec<Run<'a>> {
    const COLUMNS: usize = 512;
    let longest = (COLUMNS / inputs.heads.group).max(1);
    let mut items: Vec<_> = inputs.layout.items.iter().collect();
    items.sort_by_key(|item| item.queries.start);
    items
        .into_iter()
        .flat_map(|item| {
            let rows = item.queries.len();
            (0..rows).step_by(longest).map(move |first| Run {
                item,
                first,
                len: longest.min(rows - first),
            })
        })
        .collect()
}

/// Adds the rows along a run's path to the rows of the stream.
fn scatter(run: Run<'_>, dim: usize, mut from: &[f32], to: &mut [f32]) {
    for range in path::clip(&run.item.keys, 0..run.visible()) {
        let (here, rest) = from.split_at(range.len() * dim);
        for (to, from) in to[range.start * dim..].iter_mut().zip(here) {
            *to += from;
        }
        from = rest;
    }
}

/// From `[heads, rows, dim]` to `[rows, heads, dim]`, rounded.
fn interleave<T: Element>(from: &[f32], heads: usize, dim: usize) -> Vec<T> {
    let rows = from.len() / (heads * dim).max(1);
    simd::fill(from.len(), heads * dim, |first, to| {
        for (row, to) in to.chunks_exact_mut(heads * dim).enumerate() {
            for (head, to) in to.chunks_exact_mut(dim).enumerate() {
                let from = &from[(head * rows + first + row) * dim..][..dim];
                simd::run(Narrow { from, to });
            }
        }
    })
}

struct Narrow<'a, T> {
    from: &'a [f32],
    to: &'a mut [T],
}

impl<T: Element> Kernel for Narrow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for (from, to) in self.from.iter().zip(self.to) {
            *to = T::narrow(*from);
        }
    }
}

/// What one run and one key head contribute: `q` for the run's columns, `k` and `v` for the rows along its path.
struct Part<T> {
    q: Vec<T>,
    k: Vec<f32>,
    v: Vec<f32>,
}

fn part<T: Element>(
    inputs: &Inputs<'_, T>,
    [out, grad]: [Rows<'_, T>; 2],
    softmax: &[Softmax],
    run: Run<'_>,
    head: usize,
) -> Part<T> {
    let (heads, tile) = (inputs.heads, product::tile());
    let dim = heads.dim;
    let visible = run.visible();
    let mut columns = Columns::new(inputs, [out, grad], softmax, run, head);
    let (mut by_k, mut by_v) = (vec![0.0; visible * dim], vec![0.0; visible * dim]);
    let mut block = PathBlock::new(tile, dim);
    let mut scratch = Scratch::new(tile);
    for start in (0..visible).step_by(BLOCK) {
        block.load(inputs, &run, head, start, BLOCK.min(visible - start));
        let rows = start * dim..(start + block.len) * dim;
        let (by_k, by_v) = (&mut by_k[rows.clone()], &mut by_v[rows]);
        for batch in 0..columns.batches() {
            columns.add(&block, batch, &mut scratch, [by_k, by_v]);
        }
    }
    let mut by_q = vec![T::ZERO; columns.count * dim];
    let size = tile.packed_rows(dim, tile.columns);
    for (column, to) in by_q.chunks_exact_mut(dim).enumerate() {
        simd::run(Column {
            panel: &columns.by_q[column / tile.columns * size + column % tile.columns..],
            width: tile.columns,
            scale: inputs.scale,
            to,
        });
    }
    Part {
        q: by_q,
        k: by_k,
        v: by_v,
    }
}

/// A block of a path's keys and values, packed as the products of the backward pass take them.
struct PathBlock {
    tile: &'static Tile<f32>,
    dim: usize,
    start: usize,
    len: usize,
    gathered: Vec<f32>,
    /// Panels of rows, `dim` deep.
    keys: Vec<f32>,
    values: Vec<f32>,
    /// Panels of rows of the transposed keys, `len` deep.
    keys_across: Vec<f32>,
}

impl PathBlock {
    fn new(tile: &'static Tile<f32>, dim: usize) -> Self {
        Self {
            tile,
            dim,
            start: 0,
            len: 0,
            gathered: vec![0.0; BLOCK * dim],
            keys: vec![0.0; tile.packed_rows(BLOCK, dim)],
            values: vec![0.0; tile.packed_rows(BLOCK, dim)],
            keys_across: vec![0.0; tile.packed_rows(dim, BLOCK)],
        }
    }

    fn load<T: Element>(
        &mut self,
        inputs: &Inputs<'_, T>,
        run: &Run<'_>,
        head: usize,
        start: usize,
        len: usize,
    ) {
        (self.start, self.len) = (start, len);
        let source = Source {
            ranges: &run.item.keys,
            positions: start..start + len,
            head,
            dim: self.dim,
        };
        let (tile, gathered) = (self.tile, &mut self.gathered);
        source.pack_rows(tile, inputs.v, gathered, &mut self.values);
        source.pack_rows(tile, inputs.k, gathered, &mut self.keys);
        source.pack_across(tile, inputs.k, &mut self.keys_across);
    }
}

/// Panels that go into one product of weights and gradients: enough to make it worth its while.
const BATCH: usize = 8;

/// Buffers for one batch of panels and one block of keys.
struct Scratch {
    /// `[BLOCK][columns of a panel]`
    scores: Vec<f32>,
    by_weight: Vec<f32>,
    /// `[BLOCK][columns of a batch]`
    weights: Vec<f32>,
    by_score: Vec<f32>,
    packed: Vec<f32>,
}

impl Scratch {
    fn new(tile: &Tile<f32>) -> Self {
        let panel = vec![0.0; tile.packed_rows(BLOCK, tile.columns)];
        let batch = vec![0.0; tile.packed_rows(BLOCK, BATCH * tile.columns)];
        Self {
            scores: panel.clone(),
            by_weight: panel,
            weights: batch.clone(),
            by_score: batch.clone(),
            packed: batch,
        }
    }
}

/// The columns of a run.
struct Columns {
    tile: &'static Tile<f32>,
    dim: usize,
    count: usize,
    /// Panels of columns, `dim` deep: queries (times the scale) and gradients by the output.
    queries: Vec<f32>,
    grads: Vec<f32>,
    /// For every batch, panels of `dim` columns, as deep as the batch has columns.
    queries_across: Vec<Vec<f32>>,
    grads_across: Vec<Vec<f32>>,
    visible: Vec<i32>,
    max: Vec<f32>,
    scale: Vec<f32>,
    mean: Vec<f32>,
    /// Panels `[dim, rounded up][columns]`.
    by_q: Vec<f32>,
}

impl Columns {
    fn new<T: Element>(
        inputs: &Inputs<'_, T>,
        [out, grad]: [Rows<'_, T>; 2],
        softmax: &[Softmax],
        run: Run<'_>,
        head: usize,
    ) -> Self {
        let (heads, tile) = (inputs.heads, product::tile());
        let count = run.len * heads.group;
        let mut visible = Vec::new();
        columns::visible(run, heads.group, tile.columns, &mut visible);
        let pack = |stream, scale| {
            let (mut gathered, mut packed) = (Vec::new(), Vec::new());
            let buffers = [&mut gathered, &mut packed];
            columns::pack(tile, stream, heads, head, run, scale, buffers);
            (packed, across(tile, &gathered, heads.dim), gathered)
        };
        let (queries, queries_across, _) = pack(inputs.q, inputs.scale);
        let (grads, grads_across, grad_rows) = pack(grad, 1.0);
        let (_, _, out_rows) = pack(out, 1.0);
        let mut columns = Self {
            tile,
            dim: heads.dim,
            count,
            queries,
            grads,
            queries_across,
            grads_across,
            max: vec![0.0; visible.len()],
            // Columns that only fill the last panel weigh nothing.
            scale: vec![0.0; visible.len()],
            mean: vec![0.0; visible.len()],
            by_q: vec![0.0; tile.packed_rows(heads.dim, visible.len())],
            visible,
        };
        for column in 0..count {
            let row = run.rows().start + column / heads.group;
            let at = (row * heads.keys + head) * heads.group + column % heads.group;
            columns.max[column] = softmax[at].max;
            columns.scale[column] = softmax[at].scale;
            let numbers = column * heads.dim..(column + 1) * heads.dim;
            let (out, grad) = (&out_rows[numbers.clone()], &grad_rows[numbers]);
            columns.mean[column] = out.iter().zip(grad).map(|(out, grad)| out * grad).sum();
        }
        columns
    }

    fn batches(&self) -> usize {
        self.queries_across.len()
    }

    /// Adds what a batch of panels and a block of keys contribute to the gradients by the queries, and to those by the
    /// block's keys and values.
    fn add(
        &mut self,
        block: &PathBlock,
        batch: usize,
        scratch: &mut Scratch,
        [by_k, by_v]: [&mut [f32]; 2],
    ) {
        let width = self.tile.columns;
        let stride = BATCH * width;
        let panels = self.visible.len() / width;
        let panels = batch * BATCH..panels.min((batch + 1) * BATCH);
        let len = self.seen(block, panels.end - 1);
        if len == 0 {
            return;
        }
        scratch.weights[..len * stride].fill(0.0);
        scratch.by_score[..len * stride].fill(0.0);
        for panel in panels {
            self.add_panel(block, panel, panel % BATCH * width, scratch);
        }
        let columns = stride.min(self.count - batch * stride);
        let products = [
            (&scratch.weights, &self.grads_across[batch], by_v),
            (&scratch.by_score, &self.queries_across[batch], by_k),
        ];
        for (rows, across, to) in products {
            let rows = View::strided(rows, len, columns, stride, 1);
            self.tile.pack_rows(rows, &mut scratch.packed);
            let to = Block {
                data: to,
                rows: len,
                columns: self.dim,
                row_stride: self.dim,
            };
            self.tile
                .multiply(&scratch.packed, across, columns, to, true);
        }
    }

    /// Keys of a block that at least one column of a panel sees.
    fn seen(&self, block: &PathBlock, panel: usize) -> usize {
        let last = self.visible[(panel + 1) * self.tile.columns - 1] as usize;
        last.saturating_sub(block.start).min(block.len)
    }

    fn add_panel(&mut self, block: &PathBlock, panel: usize, offset: usize, scratch: &mut Scratch) {
        let len = self.seen(block, panel);
        if len == 0 {
            return;
        }
        let (tile, dim) = (self.tile, self.dim);
        let (rows, width) = (tile.rows, tile.columns);
        let columns = panel * width..(panel + 1) * width;
        let numbers = columns.start * dim..columns.end * dim;
        let products = [
            (&block.keys, &self.queries, &mut scratch.scores),
            (&block.values, &self.grads, &mut scratch.by_weight),
        ];
        for (panels, columns, to) in products {
            let panels = panels.chunks_exact(rows * dim).take(len.div_ceil(rows));
            for (panel, to) in panels.zip(to.chunks_exact_mut(rows * width)) {
                tile.run(dim, panel, &columns[numbers.clone()], to, false);
            }
        }
        let visible: Vec<i32> = self.visible[columns.clone()]
            .iter()
            .map(|visible| visible - block.start as i32)
            .collect();
        let scores = &mut scratch.scores[..len * width];
        let by_score = &mut scratch.by_weight[..len * width];
        simd::run(Gradient {
            scores,
            by_weight: by_score,
            weights_to: &mut scratch.weights[offset..],
            gradients_to: &mut scratch.by_score[offset..],
            stride: BATCH * width,
            visible: &visible,
            max: &self.max[columns.clone()],
            scale: &self.scale[columns.clone()],
            mean: &self.mean[columns],
        });
        let size = tile.packed_rows(dim, width);
        let by_q = self.by_q[panel * size..][..size].chunks_exact_mut(rows * width);
        for (keys, by_q) in block.keys_across.chunks_exact(rows * block.len).zip(by_q) {
            tile.run(len, keys, by_score, by_q, true);
        }
    }
}

/// Packs rows of `dim` numbers, batch by batch, as columns as deep as the batch has rows.
fn across(tile: &Tile<f32>, rows: &[f32], dim: usize) -> Vec<Vec<f32>> {
    rows.chunks(BATCH * tile.columns * dim)
        .map(|rows| {
            let depth = rows.len() / dim;
            let mut packed = vec![0.0; tile.packed_columns(dim, depth)];
            tile.pack_columns(View::new(rows, depth, dim), &mut packed);
            packed
        })
        .collect()
}
