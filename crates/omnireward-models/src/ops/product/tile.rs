use std::sync::OnceLock;

use half::bf16;

use super::{
    pack, portable,
    view::{Element, View},
};

/// What a panel is made of: the numbers that one step of a kernel takes from each row or column.
pub(crate) trait Lane: Copy + Default + PartialEq + Send + Sync + 'static {
    /// How many `k` one step covers.
    const DEPTH: usize;

    /// What a product of two lanes adds, for tests and for checking kernels: exact enough in `f32`.
    fn dot(self, other: Self, sum: f32) -> f32;

    /// A small number in every place, for checking kernels.
    fn sample(value: f32) -> Self;
}

impl Lane for f32 {
    const DEPTH: usize = 1;

    #[inline(always)]
    fn dot(self, other: Self, sum: f32) -> f32 {
        portable::fused(self, other, sum)
    }

    fn sample(value: f32) -> Self {
        value
    }
}

/// Two neighbours in `k`, as the processor's `bf16` products take them.
pub(crate) type Pair = [bf16; 2];

impl Lane for Pair {
    const DEPTH: usize = 2;

    #[inline(always)]
    fn dot(self, other: Self, sum: f32) -> f32 {
        let upper = portable::fused(self[1].widen(), other[1].widen(), sum);
        portable::fused(self[0].widen(), other[0].widen(), upper)
    }

    fn sample(value: f32) -> Self {
        [bf16::from_f32(value), bf16::from_f32(-0.5 * value)]
    }
}

/// The innermost product: `rows` by `columns` sums held in registers.
///
/// A panel of A is `[steps][rows]` lanes, a panel of B `[steps][columns]`; both are zero where the matrix has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile<L> {
    /// For messages and benchmarks.
    pub(crate) name: &'static str,
    /// Rows of A in a panel.
    pub(crate) rows: usize,
    /// Columns of B in a panel.
    pub(crate) columns: usize,
    /// The kernel; see [`Tile::run`].
    pub(super) kernel: Kernel<L>,
}

/// `(steps, panel of A, panel of B, [rows][columns] sums, whether to add to them)`.
pub(super) type Kernel<L> = fn(usize, &[L], &[L], &mut [f32], bool);

impl<L: Lane> Tile<L> {
    /// Steps that cover `depth` values of `k`.
    pub(crate) fn steps(&self, depth: usize) -> usize {
        depth.div_ceil(L::DEPTH)
    }

    /// Lanes that the packed rows of A take.
    pub(crate) fn packed_rows(&self, rows: usize, depth: usize) -> usize {
        rows.next_multiple_of(self.rows) * self.steps(depth)
    }

    /// Lanes that the packed columns of B take.
    pub(crate) fn packed_columns(&self, columns: usize, depth: usize) -> usize {
        columns.next_multiple_of(self.columns) * self.steps(depth)
    }

    /// Sums in `sums[i · columns + j]` the products of row `i` of a panel of A with column `j` of a panel of B, in the
    /// order of `k`; adds the result to what is there, or replaces it.
    #[inline]
    pub(crate) fn run(&self, steps: usize, a: &[L], b: &[L], sums: &mut [f32], add: bool) {
        (self.kernel)(steps, a, b, sums, add);
    }
}

impl Tile<f32> {
    /// Packs the rows of A (`[rows, depth]`) into panels, one after another, and widens them.
    pub(crate) fn pack_rows<T: Element>(&self, a: View<'_, T>, panels: &mut [f32]) {
        pack::panels(a, self.rows, panels);
    }

    /// Packs the columns of B (`[depth, columns]`) into panels, one after another, and widens them.
    pub(crate) fn pack_columns<T: Element>(&self, b: View<'_, T>, panels: &mut [f32]) {
        pack::panels(b.transposed(), self.columns, panels);
    }

    /// `out = A·B`, or `out += A·B`, from packed rows and columns, on this thread.
    ///
    /// Each sum runs over `k` in order, so an element depends on its row of A and its column of B only. A caller that
    /// cuts `k` and adds must cut where the cut does not depend on what else is computed.
    ///
    /// `out` is `[rows, columns]` with `row_stride` elements from row to row.
    pub(crate) fn multiply(&self, a: &[f32], b: &[f32], depth: usize, out: Block<'_>, add: bool) {
        let Block {
            data,
            rows,
            columns,
            row_stride,
        } = out;
        let mut sums = [0.0_f32; portable::LARGEST_TILE];
        let sums = &mut sums[..self.rows * self.columns];
        for (b, first_column) in b
            .chunks_exact((self.columns * depth).max(1))
            .zip((0..columns).step_by(self.columns))
        {
            let width = self.columns.min(columns - first_column);
            for (a, first_row) in a
                .chunks_exact((self.rows * depth).max(1))
                .zip((0..rows).step_by(self.rows))
            {
                self.run(depth, a, b, sums, false);
                let height = self.rows.min(rows - first_row);
                for (row, sums) in
                    (first_row..first_row + height).zip(sums.chunks_exact(self.columns))
                {
                    let to = &mut data[row * row_stride + first_column..][..width];
                    if add {
                        to.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum);
                    } else {
                        to.copy_from_slice(&sums[..width]);
                    }
                }
            }
        }
    }
}

/// Where [`Tile::multiply`] writes.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// Holds the block from its first element on.
    pub(crate) data: &'a mut [f32],
    /// Rows of the block.
    pub(crate) rows: usize,
    /// Columns of the block.
    pub(crate) columns: usize,
    /// Elements from row to row.
    pub(crate) row_stride: usize,
}

/// The best kernel of this processor for sums of `f32` products; chosen, and checked, once.
pub(crate) fn tile() -> &'static Tile<f32> {
    static CHOSEN: OnceLock<Tile<f32>> = OnceLock::new();
    CHOSEN.get_or_init(portable::tile)
}
