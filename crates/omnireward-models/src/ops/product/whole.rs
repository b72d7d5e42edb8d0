//! The product of whole matrices: blocks that fit the caches, spread over threads.

use std::ops::Range;

use half::{bf16, f16};
use rayon::prelude::*;

use super::{
    super::simd,
    few,
    output::{self, Rectangle},
    pack::{self, Pack},
    prefetch::Ahead,
    scratch::{self, Kept, Purpose},
    tile::{self, Lane, Tile},
    view::View,
};

/// A type that a product can be written in.
pub(crate) trait Output: Copy + Default + Send + Sync + 'static {
    /// The nearest number of this type.
    fn round(value: f32) -> Self;
}

impl Output for f32 {
    #[inline]
    fn round(value: f32) -> Self {
        value
    }
}

impl Output for bf16 {
    #[inline]
    fn round(value: f32) -> Self {
        simd::Element::narrow(value)
    }
}

impl Output for f16 {
    #[inline]
    fn round(value: f32) -> Self {
        f16::from_f32(value)
    }
}

/// `out = a·b + bias`, on the threads of the current pool.
///
/// Where both are `bf16` and the processor multiplies those, it does; otherwise all numbers are widened to `f32` as they
/// are packed, and nothing is rounded but the sums.
///
/// # Shapes
///
/// `a`: `[rows, depth]`; `b`: `[depth, columns]`; `bias`: `[columns]`; `out`: `[rows, columns]`.
pub(crate) fn product<A, B, C>(a: View<'_, A>, b: View<'_, B>, bias: Option<&[f32]>, out: &mut [C])
where
    A: Pack<f32>,
    B: Pack<f32>,
    C: Output,
{
    assert_eq!(a.columns(), b.rows(), "inner dimensions of a product");
    assert_eq!(out.len(), a.rows() * b.columns(), "length of a product");
    assert!(
        bias.is_none_or(|bias| bias.len() == b.columns()),
        "length of a bias"
    );
    if out.is_empty() {
        return;
    }
    match (A::as_bf16(a), B::as_bf16(b), tile::pair_tile()) {
        (Some(a), Some(b), Some(tile)) => product_with(tile, a, b, bias, out),
        _ => {
            if !few::product(a, b, bias, out) {
                product_with(tile::tile(), a, b, bias, out);
            }
        }
    }
}

/// Steps of `k` between additions to the sums in memory: a panel of B of this depth stays in the first cache. Part of
/// what a result is, bit for bit, so it's the same everywhere.
const DEPTH_STEPS: usize = 256;
/// At most as many rows of sums belong to one task.
const TASK_ROWS: usize = 512;
/// At most as many columns belong to one task.
const TASK_COLUMNS: usize = 512;
/// Lanes of packed A that are held at a time: 64 MiB.
const PACKED_LANES: usize = 16 << 20;

/// Whether a product is done by the thread that asks for it: it takes that some microseconds.
pub(super) fn is_small(rows: usize, columns: usize, depth: usize) -> bool {
    rows * columns * depth < 1 << 18
}

pub(super) fn product_with<L, A, B, C>(
    tile: &Tile<L>,
    a: View<'_, A>,
    b: View<'_, B>,
    bias: Option<&[f32]>,
    out: &mut [C],
) where
    L: Lane + Kept,
    A: Pack<L>,
    B: Pack<L>,
    C: Output,
{
    let (rows, depth, columns) = (a.rows(), a.columns(), b.columns());
    if out.is_empty() {
        return;
    }
    let cut = Depth::new(depth, L::DEPTH);
    let slab = (PACKED_LANES / cut.steps().max(1))
        .max(tile.rows)
        .next_multiple_of(tile.rows);
    let threads = if is_small(rows, columns, depth) {
        1
    } else {
        rayon::current_num_threads()
    };
    for (index, out) in out.chunks_mut(slab * columns).enumerate() {
        let first = index * slab;
        let slab = a.part(first..rows.min(first + slab), 0..depth);
        product_of_slab(tile, slab, b, bias, out, &cut, threads);
    }
}

/// How `k` is cut.
pub(super) struct Depth {
    total: usize,
    block: usize,
    per_step: usize,
}

impl Depth {
    pub(super) fn new(depth: usize, per_step: usize) -> Self {
        let limit = DEPTH_STEPS * per_step;
        let blocks = depth.div_ceil(limit).max(1);
        let block = depth.div_ceil(blocks).next_multiple_of(16).max(16);
        Self {
            total: depth,
            block,
            per_step,
        }
    }

    fn steps(&self) -> usize {
        self.total.div_ceil(self.per_step)
    }

    fn steps_per_block(&self) -> usize {
        self.block / self.per_step
    }

    fn block(&self, index: usize) -> Range<usize> {
        let first = index * self.block;
        first..self.total.min(first + self.block)
    }

    /// The ranges of `k`, in order; one empty range where there is nothing to sum.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        (0..self.total.div_ceil(self.block).max(1)).map(|index| self.block(index))
    }
}

fn product_of_slab<L, A, B, C>(
    tile: &Tile<L>,
    a: View<'_, A>,
    b: View<'_, B>,
    bias: Option<&[f32]>,
    out: &mut [C],
    cut: &Depth,
    threads: usize,
) where
    L: Lane + Kept,
    A: Pack<L>,
    B: Pack<L>,
    C: Output,
{
    let (height, width) = task_size(tile, a.rows(), b.columns(), threads);
    let tasks = output::rectangles(out, b.columns(), height, width);
    let padded = a.rows().next_multiple_of(tile.rows);
    scratch::with(Purpose::Rows, padded * cut.steps(), |lanes: &mut [L]| {
        pack_rows(tile, a, lanes, cut, threads);
        let factors = Factors {
            tile,
            rows: lanes,
            padded,
            columns: b.transposed(),
            bias,
            cut,
        };
        if threads == 1 {
            for task in tasks {
                factors.multiply(task);
            }
        } else {
            tasks
                .into_par_iter()
                .with_max_len(1)
                .for_each(|task| factors.multiply(task));
        }
    });
}

/// Packs all rows: by blocks of `k`, and within a block by panels.
fn pack_rows<L: Lane, A: Pack<L>>(
    tile: &Tile<L>,
    a: View<'_, A>,
    lanes: &mut [L],
    cut: &Depth,
    threads: usize,
) {
    let padded = a.rows().next_multiple_of(tile.rows);
    let pack_block = |(depth, lanes): (Range<usize>, &mut [L])| {
        let panel_len = tile.rows * depth.len().div_ceil(L::DEPTH);
        let pack_panel = |(panel, lanes): (usize, &mut [L])| {
            let at = |panel: usize| {
                let first = a.rows().min(panel * tile.rows);
                a.part(first..a.rows().min(first + tile.rows), depth.clone())
            };
            Ahead::new(at(panel + 1)).ask_all();
            pack::panel(at(panel), tile.rows, lanes);
        };
        if threads == 1 {
            let panels = lanes.chunks_exact_mut(panel_len);
            panels.enumerate().for_each(pack_panel);
        } else {
            let panels = lanes.par_chunks_exact_mut(panel_len).with_min_len(8);
            panels.enumerate().for_each(pack_panel);
        }
    };
    let block_len = (padded * cut.steps_per_block()).max(1);
    if threads == 1 {
        let blocks = lanes.chunks_mut(block_len);
        cut.blocks().zip(blocks).for_each(pack_block);
    } else {
        let blocks = lanes.par_chunks_mut(block_len).enumerate();
        blocks.for_each(|(block, lanes)| pack_block((cut.block(block), lanes)));
    }
}

/// Rows and columns of a task: large enough to pay for packing, small enough that every thread has several.
fn task_size<L>(tile: &Tile<L>, rows: usize, columns: usize, threads: usize) -> (usize, usize) {
    let even = |total: usize, at_most: usize, unit: usize| {
        let parts = total.div_ceil(at_most.max(unit));
        total.div_ceil(parts).next_multiple_of(unit)
    };
    let mut height = even(rows, TASK_ROWS, tile.rows);
    let mut width = even(columns, TASK_COLUMNS, tile.columns);
    if threads > 1 {
        let wanted = 4 * threads;
        let count = |height: usize, width: usize| rows.div_ceil(height) * columns.div_ceil(width);
        while count(height, width) < wanted && width > 4 * tile.columns {
            width = (width / 2).next_multiple_of(tile.columns);
        }
        while count(height, width) < wanted && height > 16 * tile.rows {
            height = (height / 2).next_multiple_of(tile.rows);
        }
    }
    (height, width)
}

/// What a slab of the product is made of.
struct Factors<'a, L, B> {
    tile: &'a Tile<L>,
    /// The packed rows of A.
    rows: &'a [L],
    /// How many those are, with the zeros after the last.
    padded: usize,
    /// The columns of B, as the rows of a matrix.
    columns: View<'a, B>,
    bias: Option<&'a [f32]>,
    cut: &'a Depth,
}

impl<L: Lane + Kept, B: Pack<L>> Factors<'_, L, B> {
    /// Computes one rectangle, whole.
    fn multiply<C: Output>(&self, mut out: Rectangle<'_, C>) {
        let tile = self.tile;
        let panels = out.rows.len().div_ceil(tile.rows);
        let sums = panels * tile.rows * out.columns.len().next_multiple_of(tile.columns);
        let lanes = tile.columns * self.cut.steps_per_block();
        scratch::with(Purpose::Sums, sums, |sums: &mut [f32]| {
            scratch::with(Purpose::Columns, lanes, |lanes: &mut [L]| {
                self.multiply_with(&mut out, sums, lanes);
            });
        });
    }

    fn multiply_with<C: Output>(
        &self,
        out: &mut Rectangle<'_, C>,
        sums: &mut [f32],
        lanes: &mut [L],
    ) {
        let tile = self.tile;
        let panels = out.rows.len().div_ceil(tile.rows);
        let (start, end) = (out.columns.start, out.columns.end);
        let columns_at = |left: usize| left..end.min(left + tile.columns);
        for depth in self.cut.blocks() {
            let next_depth = depth.end..self.cut.total.min(depth.end + self.cut.block);
            let steps = depth.len().div_ceil(L::DEPTH);
            let lanes = &mut lanes[..tile.columns * steps];
            let sums = sums.chunks_exact_mut(panels * tile.rows * tile.columns);
            for (left, sums) in (start..end).step_by(tile.columns).zip(sums) {
                let columns = columns_at(left);
                pack::panel(
                    self.columns.part(columns.clone(), depth.clone()),
                    tile.columns,
                    lanes,
                );
                let next = if columns.end < end {
                    self.columns.part(columns_at(columns.end), depth.clone())
                } else {
                    self.columns.part(columns_at(start), next_depth.clone())
                };
                self.multiply_columns(&depth, lanes, sums, next, columns, out);
            }
        }
    }

    /// Multiplies all rows of a rectangle with one panel of columns, and writes the sums when they are complete.
    fn multiply_columns<C: Output>(
        &self,
        depth: &Range<usize>,
        lanes: &[L],
        sums: &mut [f32],
        next: View<'_, B>,
        columns: Range<usize>,
        out: &mut Rectangle<'_, C>,
    ) {
        let tile = self.tile;
        let steps = depth.len().div_ceil(L::DEPTH);
        let (add, complete) = (depth.start > 0, depth.end == self.cut.total);
        let rows = &self.rows[self.padded * depth.start / L::DEPTH..];
        let rows = &rows[out.rows.start * steps..];
        let bias = self.bias.map(|bias| &bias[columns.clone()]);
        let tops = out.rows.clone().step_by(tile.rows);
        let mut ahead = Ahead::new(next);
        let lines = ahead.lines().div_ceil(tops.len());
        for (panel, (top, sums)) in tops
            .zip(sums.chunks_exact_mut(tile.rows * tile.columns))
            .enumerate()
        {
            let of_tile = top..out.rows.end.min(top + tile.rows);
            ahead.ask(lines);
            if complete {
                of_tile
                    .clone()
                    .for_each(|row| out.prefetch(row, columns.start));
            }
            let a = &rows[panel * tile.rows * steps..][..tile.rows * steps];
            tile.run(steps, a, lanes, sums, add);
            if complete {
                for (row, sums) in of_tile.zip(sums.chunks_exact(tile.columns)) {
                    write(sums, bias, out.part_of_row(row, columns.clone()));
                }
            }
        }
    }
}

/// Adds the bias and rounds.
fn write<C: Output>(sums: &[f32], bias: Option<&[f32]>, to: &mut [C]) {
    if let Some(bias) = bias {
        for ((to, sum), bias) in to.iter_mut().zip(sums).zip(bias) {
            *to = C::round(sum + bias);
        }
    } else {
        let sums = &sums[..to.len()];
        let (whole, rest) = to.as_chunks_mut::<8>();
        let (whole_sums, rest_of_sums) = sums.as_chunks::<8>();
        for (to, sums) in whole.iter_mut().zip(whole_sums) {
            *to = sums.map(C::round);
        }
        for (to, sum) in rest.iter_mut().zip(rest_of_sums) {
            *to = C::round(*sum);
        }
    }
}
