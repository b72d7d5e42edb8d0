//! Queries as columns: the query heads of one key head, for a run of query rows, query by query and head by head.
#![expect(
    clippy::inline_always,
    reason = "a loop is compiled for its caller's instruction set only when it is inlined into it"
)]

use std::ops::Range;

use super::{
    super::{
        product::{Tile, View},
        simd::{self, Arithmetic, Element, Kernel, Rows},
    },
    AttentionItem, Heads,
    path::Widen,
};

/// What the softmax over a row's scores came to: a score weighs `e^(score - max) · scale`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Softmax {
    pub(super) max: f32,
    pub(super) scale: f32,
}

/// A run of an item's query rows, and one key head.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) item: &'a AttentionItem,
    pub(super) first: usize,
    pub(super) len: usize,
}

impl Run<'_> {
    /// Keys that the run's last row sees, and with it all others.
    pub(super) fn visible(&self) -> usize {
        self.item.visible(self.first + self.len - 1)
    }

    /// The run's rows in the query stream.
    pub(super) fn rows(&self) -> Range<usize> {
        let start = self.item.queries.start + self.first;
        start..start + self.len
    }
}

/// How far along the path each column sees, padded to whole panels with the last column's answer.
pub(super) fn visible(run: Run<'_>, group: usize, width: usize, to: &mut Vec<i32>) {
    to.clear();
    for index in run.first..run.first + run.len {
        let visible = run.item.visible(index) as i32;
        to.extend(std::iter::repeat_n(visible, group));
    }
    let last = to.last().copied().unwrap_or(0);
    to.resize(to.len().next_multiple_of(width), last);
}

/// Packs the heads of a run's rows that belong to key head `head`, times `scale`, as columns.
pub(super) fn pack<T: Element>(
    tile: &Tile<f32>,
    stream: Rows<'_, T>,
    heads: Heads,
    head: usize,
    run: Run<'_>,
    scale: f32,
    [gathered, packed]: [&mut Vec<f32>; 2],
) {
    let width = heads.group * heads.dim;
    gathered.resize(run.len * width, 0.0);
    simd::run(Widen {
        from: run
            .rows()
            .map(|row| &stream.row(row)[head * width..][..width]),
        scale,
        to: gathered,
    });
    let columns = run.len * heads.group;
    packed.resize(tile.packed_columns(columns, heads.dim), 0.0);
    let view = View::new(gathered, columns, heads.dim).transposed();
    tile.pack_columns(view, packed);
}

/// One block's step of the softmax with a running maximum, for a panel of columns.
///
/// Scores become weights relative to the maximum so far; scores of keys that a column does not see become zero.
pub(super) struct Weigh<'a> {
    /// `[keys][columns]`
    pub(super) scores: &'a mut [f32],
    /// Keys of the block that each column sees, if one of them does not see all.
    pub(super) visible: Option<&'a [i32]>,
    /// The maximum so far, and the sum of the weights relative to it.
    pub(super) max: &'a mut [f32],
    pub(super) sum: &'a mut [f32],
    /// What earlier weights have to be multiplied by.
    pub(super) decay: &'a mut [f32],
}

/// Columns that are worked on at a time: one vector of them.
const LANES: usize = 8;

impl Kernel for Weigh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let groups = self.max.len() / LANES;
        let scores = self.scores.as_chunks_mut::<LANES>().0;
        let max = self.max.as_chunks_mut::<LANES>().0;
        let sum = self.sum.as_chunks_mut::<LANES>().0;
        let decay = self.decay.as_chunks_mut::<LANES>().0;
        for group in 0..groups {
            if let Some(visible) = self.visible {
                let visible = visible.as_chunks::<LANES>().0[group];
                hide(scores, groups, group, visible);
            }
            let old = max[group];
            let new = larger(old, maximum(scores, groups, group));
            let total = exponentials::<A>(scores, groups, group, new);
            for lane in 0..LANES {
                decay[group][lane] = simd::exp_below::<A>(old[lane] - new[lane]);
                sum[group][lane] = A::mul_add(sum[group][lane], decay[group][lane], total[lane]);
            }
            max[group] = new;
        }
    }
}

/// Scores of keys that a column does not see weigh nothing.
#[inline(always)]
fn hide(scores: &mut [[f32; LANES]], groups: usize, group: usize, visible: [i32; LANES]) {
    for (key, scores) in scores[group..].iter_mut().step_by(groups).enumerate() {
        for (score, visible) in scores.iter_mut().zip(visible) {
            let seen = (key as i32) < visible;
            *score = if seen { *score } else { f32::NEG_INFINITY };
        }
    }
}

#[inline(always)]
fn maximum(scores: &[[f32; LANES]], groups: usize, group: usize) -> [f32; LANES] {
    // Four chains, since each comparison has to wait for the one before; the order changes nothing.
    let mut chains = [[f32::NEG_INFINITY; LANES]; 4];
    let fours = scores.chunks_exact(4 * groups);
    for scores in fours.remainder().chunks_exact(groups) {
        chains[0] = larger(chains[0], scores[group]);
    }
    for scores in fours {
        for (chain, scores) in chains.iter_mut().zip(scores.chunks_exact(groups)) {
            *chain = larger(*chain, scores[group]);
        }
    }
    let [a, b, c, d] = chains;
    larger(larger(a, b), larger(c, d))
}

#[inline(always)]
fn larger(mut a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
    for lane in 0..LANES {
        a[lane] = if a[lane] > b[lane] { a[lane] } else { b[lane] };
    }
    a
}

/// Turns scores into `e^(score - max)`, and adds them up.
#[inline(always)]
fn exponentials<A: Arithmetic>(
    scores: &mut [[f32; LANES]],
    groups: usize,
    group: usize,
    max: [f32; LANES],
) -> [f32; LANES] {
    let mut total = [0.0; LANES];
    for scores in scores.chunks_exact_mut(groups) {
        let mut weights = scores[group];
        for lane in 0..LANES {
            weights[lane] = simd::exp_below::<A>(weights[lane] - max[lane]);
        }
        scores[group] = weights;
        for lane in 0..LANES {
            total[lane] += weights[lane];
        }
    }
    total
}

/// Multiplies every row of a panel by a row.
pub(super) struct Scale<'a> {
    /// `[rows][columns]`
    pub(super) panel: &'a mut [f32],
    pub(super) by: &'a [f32],
}

impl Kernel for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for row in self.panel.chunks_exact_mut(self.by.len()) {
            for (x, by) in row.iter_mut().zip(self.by) {
                *x *= by;
            }
        }
    }
}

/// Writes a column of a panel into a row, times `scale`.
pub(super) struct Column<'a, T> {
    /// `[rows][columns]`, from the column's first number on.
    pub(super) panel: &'a [f32],
    /// Columns in the panel.
    pub(super) width: usize,
    pub(super) scale: f32,
    pub(super) to: &'a mut [T],
}

impl<T: Element> Kernel for Column<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for (to, from) in self
            .to
            .iter_mut()
            .zip(self.panel.iter().step_by(self.width))
        {
            // Adding zero turns the minus zero of an underflow into the zero that more keys of no weight would make it.
            *to = T::narrow(from * self.scale + 0.0);
        }
    }
}

/// The weights of a block's scores, and the gradients by the scores, for a panel of columns.
pub(super) struct Gradient<'a> {
    /// `[keys][columns]`: scores on entry.
    pub(super) scores: &'a mut [f32],
    /// `[keys][columns]`: gradients by the weights on entry, gradients by the scores on return.
    pub(super) by_weight: &'a mut [f32],
    /// Where the weights and the gradients by the scores go besides, `stride` numbers from key to key.
    pub(super) weights_to: &'a mut [f32],
    pub(super) gradients_to: &'a mut [f32],
    pub(super) stride: usize,
    /// Keys of the block that each column sees.
    pub(super) visible: &'a [i32],
    pub(super) max: &'a [f32],
    pub(super) scale: &'a [f32],
    /// The mean of the gradients by the weights, under the weights.
    pub(super) mean: &'a [f32],
}

impl Kernel for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let width = self.max.len();
        let rows = self
            .scores
            .chunks_exact_mut(width)
            .zip(self.by_weight.chunks_exact_mut(width));
        let to = self
            .weights_to
            .chunks_mut(self.stride)
            .zip(self.gradients_to.chunks_mut(self.stride));
        for (key, ((scores, by_weight), (weights_to, gradients_to))) in rows.zip(to).enumerate() {
            let (max, scale) = (&self.max[..width], &self.scale[..width]);
            let (mean, visible) = (&self.mean[..width], &self.visible[..width]);
            for lane in 0..width {
                let weight = simd::exp_below::<A>(scores[lane] - max[lane]) * scale[lane];
                let seen = (key as i32) < visible[lane];
                scores[lane] = if seen { weight } else { 0.0 };
                by_weight[lane] = scores[lane] * (by_weight[lane] - mean[lane]);
            }
            weights_to[..width].copy_from_slice(scores);
            gradients_to[..width].copy_from_slice(by_weight);
        }
    }
}
