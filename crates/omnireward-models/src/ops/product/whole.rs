//! The product of whole matrices: blocks that fit the caches, spread over threads.

use half::{bf16, f16};
use rayon::prelude::*;

use super::{
    super::simd,
    output::{self, Rectangle},
    pack::{self, Pack},
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
    match (A::as_bf16(a), B::as_bf16(b), tile::pair_tile()) {
        (Some(a), Some(b), Some(tile)) => product_with(tile, a, b, bias, out),
        _ => product_with(tile::tile(), a, b, bias, out),
    }
}

/// Steps of `k` between additions to the sums in memory: a panel of B of this depth stays in the first cache. Part of
/// what a result is, bit for bit, so it's the same everywhere.
const DEPTH_STEPS: usize = 256;
/// At most as many rows of sums belong to one task.
const TASK_ROWS: usize = 512;
/// At most as many columns belong to one task.
const TASK_COLUMNS: usize = 256;
/// Lanes of packed A that are held at a time: 64 MiB.
const PACKED_LANES: usize = 16 << 20;
/// Below this many multiplications a product is done by the thread that asks for it.
const ALONE: usize = 1 << 18;

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
    assert_eq!(depth, b.rows(), "inner dimensions of a product");
    assert_eq!(out.len(), rows * columns, "length of a product");
    assert!(
        bias.is_none_or(|bias| bias.len() == columns),
        "length of a bias"
    );
    if out.is_empty() {
        return;
    }
    let cut = Depth::new(depth, L::DEPTH);
    let slab = (PACKED_LANES / cut.steps().max(1))
        .max(tile.rows)
        .next_multiple_of(tile.rows);
    let threads = if rows * columns * depth < ALONE {
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
struct Depth {
    total: usize,
    block: usize,
    per_step: usize,
}

impl Depth {
    fn new(depth: usize, per_step: usize) -> Self {
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

    /// The ranges of `k`, in order; one empty range where there is nothing to sum.
    fn blocks(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        (0..self.total.max(1))
            .step_by(self.block)
            .map(|first| first..self.total.min(first + self.block))
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
    let columns = b.columns();
    let (height, width) = task_size(tile, a.rows(), columns, threads);
    let tasks = output::rectangles(out, columns, height, width);
    let padded = a.rows().next_multiple_of(tile.rows);
    scratch::with(Purpose::Rows, padded * cut.steps(), |packed: &mut [L]| {
        let pack_block = |(block, to): (usize, &mut [L])| {
            let depth = block * cut.block..cut.total.min((block + 1) * cut.block);
            let steps = depth.len().div_ceil(L::DEPTH);
            let pack_panel = |(panel, to): (usize, &mut [L])| {
                let first = panel * tile.rows;
                let rows = first..a.rows().min(first + tile.rows);
                pack::panel(a.part(rows, depth.clone()), tile.rows, to);
            };
            let panels = to.chunks_exact_mut(tile.rows * steps);
            if threads == 1 {
                panels.enumerate().for_each(pack_panel);
            } else {
                to.par_chunks_exact_mut(tile.rows * steps)
                    .enumerate()
                    .for_each(pack_panel);
            }
        };
        packed
            .chunks_mut((padded * cut.steps_per_block()).max(1))
            .enumerate()
            .for_each(pack_block);
        let packed = &*packed;
        let work = |task: Rectangle<'_, C>| run(tile, packed, padded, b, bias, task, cut);
        if threads == 1 {
            tasks.into_iter().for_each(work);
        } else {
            tasks.into_par_iter().with_max_len(1).for_each(work);
        }
    });
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

/// Computes one rectangle, whole.
fn run<L, B, C>(
    tile: &Tile<L>,
    packed: &[L],
    padded: usize,
    b: View<'_, B>,
    bias: Option<&[f32]>,
    mut task: Rectangle<'_, C>,
    cut: &Depth,
) where
    L: Lane + Kept,
    B: Pack<L>,
    C: Output,
{
    let size = tile.rows * tile.columns;
    let first_panel = task.rows.start / tile.rows;
    let row_panels = task.rows.len().div_ceil(tile.rows);
    let column_panels = task.columns.len().div_ceil(tile.columns);
    let columns_len = tile.columns * cut.steps_per_block();
    scratch::with(
        Purpose::Sums,
        row_panels * column_panels * size,
        |sums: &mut [f32]| {
            scratch::with(
                Purpose::Columns,
                columns_len,
                |packed_columns: &mut [L]| {
                    for depth in cut.blocks() {
                        let steps = depth.len().div_ceil(L::DEPTH);
                        let (first, last) = (depth.start == 0, depth.end == cut.total);
                        let rows_of_block =
                            &packed[padded * depth.start / L::DEPTH..][..padded * steps];
                        let part = b.transposed().part(task.columns.clone(), depth);
                        let panel_columns = &mut packed_columns[..tile.columns * steps];
                        for (column, sums) in sums.chunks_exact_mut(row_panels * size).enumerate() {
                            let left = column * tile.columns;
                            let width = tile.columns.min(task.columns.len() - left);
                            pack::panel(
                                part.part(left..left + width, 0..part.columns()),
                                tile.columns,
                                panel_columns,
                            );
                            for (panel, sums) in sums.chunks_exact_mut(size).enumerate() {
                                let a = (first_panel + panel) * tile.rows * steps;
                                let a = &rows_of_block[a..][..tile.rows * steps];
                                tile.run(steps, a, panel_columns, sums, !first);
                                if last {
                                    let bias = bias
                                        .map(|bias| &bias[task.columns.start + left..][..width]);
                                    let top = task.rows.start + panel * tile.rows;
                                    let rows = top..task.rows.end.min(top + tile.rows);
                                    for (row, sums) in rows.zip(sums.chunks_exact(tile.columns)) {
                                        write(
                                            &sums[..width],
                                            bias,
                                            &mut task.row(row)[left..left + width],
                                        );
                                    }
                                }
                            }
                        }
                    }
                },
            );
        },
    );
}

fn write<C: Output>(sums: &[f32], bias: Option<&[f32]>, to: &mut [C]) {
    match bias {
        Some(bias) => {
            for ((to, sum), bias) in to.iter_mut().zip(sums).zip(bias) {
                *to = C::round(sum + bias);
            }
        }
        None => {
            for (to, sum) in to.iter_mut().zip(sums) {
                *to = C::round(*sum);
            }
        }
    }
}
