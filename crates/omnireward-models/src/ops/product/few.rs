//! Products with few rows, which the memory limits: the matrix is read once, where it lies, and not packed.
//!
//! The roles are swapped: a register holds the sums of up to eight rows with one column, and each number of B is
//! multiplied with all of them. Every sum takes the same steps as in a [tile](super::tile), so it is the same number.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::{
    output::{self, Rectangle},
    pack::{self, Pack},
    scratch::{self, Purpose},
    tile,
    view::View,
    whole::{self, Depth, Output},
};

/// At most as many rows are few.
pub(super) const ROWS: usize = 8;
/// Columns that are summed at the same time.
pub(super) const COLUMNS: usize = 12;
/// Sums of that many columns.
pub(super) type Sums = [[f32; ROWS]; COLUMNS];

/// Computes `out = a·b + bias` in this way; says no where it does not apply.
pub(super) fn product<A, B, C>(
    a: View<'_, A>,
    b: View<'_, B>,
    bias: Option<&[f32]>,
    out: &mut [C],
) -> bool
where
    A: Pack<f32>,
    B: Pack<f32>,
    C: Output,
{
    let applies = a.rows() <= ROWS && b.row_stride() == 1 && equals_tiles();
    if applies {
        compute(a, b, bias, out);
    }
    applies
}

fn compute<A, B, C>(a: View<'_, A>, b: View<'_, B>, bias: Option<&[f32]>, out: &mut [C])
where
    A: Pack<f32>,
    B: Pack<f32>,
    C: Output,
{
    let (rows, depth, columns) = (a.rows(), a.columns(), b.columns());
    let cut = Depth::new(depth, 1);
    let tasks = output::rectangles(out, columns, rows, TASK_COLUMNS);
    scratch::with(Purpose::Rows, ROWS * depth, |lanes: &mut [f32]| {
        pack::panels(a, ROWS, lanes);
        let lanes = &*lanes;
        let work = |task: Rectangle<'_, C>| columns_of(lanes, b.transposed(), bias, &cut, task);
        if whole::is_small(rows, columns, depth) {
            tasks.into_iter().for_each(work);
        } else {
            tasks.into_par_iter().for_each(work);
        }
    });
}

/// Columns of one task: a part of the matrix that takes a thread some microseconds.
const TASK_COLUMNS: usize = 4 * COLUMNS;

/// Computes the columns of a task. `lanes` is `[depth][ROWS]`, and `b` has the columns as its rows.
fn columns_of<B: Pack<f32>, C: Output>(
    lanes: &[f32],
    b: View<'_, B>,
    bias: Option<&[f32]>,
    cut: &Depth,
    mut task: Rectangle<'_, C>,
) {
    let (left, right) = (task.columns.start, task.columns.end);
    for first in (left..right).step_by(COLUMNS) {
        // Columns past the end repeat the last one, and their sums are not used.
        let rows: [&[B]; COLUMNS] = std::array::from_fn(|i| b.row((first + i).min(right - 1)));
        let mut sums: Sums = [[0.0; ROWS]; COLUMNS];
        for depth in cut.blocks() {
            let rows = rows.map(|row| &row[depth.clone()]);
            let add = depth.start > 0;
            sum(
                rows,
                &lanes[ROWS * depth.start..][..ROWS * depth.len()],
                &mut sums,
                add,
            );
        }
        let columns = first..right.min(first + COLUMNS);
        for row in task.rows.clone() {
            let to = task.part_of_row(row, columns.clone());
            for ((to, column), sums) in to.iter_mut().zip(columns.clone()).zip(&sums) {
                *to = C::round(bias.map_or(sums[row], |bias| sums[row] + bias[column]));
            }
        }
    }
}

/// Sums, in the order of `k`, the products of all lanes with all columns.
#[cfg(target_arch = "x86_64")]
fn sum<B: Pack<f32>>(columns: [&[B]; COLUMNS], lanes: &[f32], sums: &mut Sums, add: bool) {
    super::avx2::sum_few(columns, lanes, sums, add);
}

#[cfg(not(target_arch = "x86_64"))]
fn sum<B: Pack<f32>>(_: [&[B]; COLUMNS], _: &[f32], _: &mut Sums, _: bool) {
    unreachable!("only used where there is such a kernel");
}

/// Whether there is such a kernel here, and its sums are to the bit those of the [tile](tile::tile) in use.
fn equals_tiles() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        let exists = super::avx2::available() && tile::tile().name != super::portable::NAME;
        #[cfg(not(target_arch = "x86_64"))]
        let exists = false;
        let equal = exists && agrees();
        if exists && !equal {
            tracing::warn!("the kernel for few rows differs from the others here and is not used");
        }
        equal
    })
}

fn agrees() -> bool {
    let (rows, depth, columns) = (5, 533, 17);
    let (a, w) = (
        tile::samples::<f32>(rows * depth, 29),
        tile::samples::<f32>(columns * depth, 31),
    );
    let (a, w) = (
        View::new(&a, rows, depth),
        View::new(&w, columns, depth).transposed(),
    );
    let mut ours = vec![0.0_f32; rows * columns];
    let mut tiled = ours.clone();
    compute(a, w, None, &mut ours);
    whole::product_with(tile::tile(), a, w, None, &mut tiled);
    ours.iter()
        .zip(&tiled)
        .all(|(ours, tiled)| ours.to_bits() == tiled.to_bits())
}
