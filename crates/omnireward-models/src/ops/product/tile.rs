use std::{fmt, sync::OnceLock};

use half::bf16;

use super::{
    pack::{self, Pack},
    portable,
    view::{Element, View},
};

/// The innermost product: `rows` by `columns` sums held in registers.
///
/// A panel of A is `[steps][rows]` lanes, a panel of B `[steps][columns]`; both are zero where the matrix has ended.
#[derive(Clone, Copy)]
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
    /// Sums in `sums[i · columns + j]` the products of row `i` of a panel of A with column `j` of a panel of B, in the
    /// order of `k`; adds the result to what is there, or replaces it.
    #[inline]
    pub(crate) fn run(&self, steps: usize, a: &[L], b: &[L], sums: &mut [f32], add: bool) {
        (self.kernel)(steps, a, b, sums, add);
    }
}

impl Tile<f32> {
    /// Numbers that the packed rows of A take.
    pub(crate) fn packed_rows(&self, rows: usize, depth: usize) -> usize {
        rows.next_multiple_of(self.rows) * depth
    }

    /// Numbers that the packed columns of B take.
    pub(crate) fn packed_columns(&self, columns: usize, depth: usize) -> usize {
        columns.next_multiple_of(self.columns) * depth
    }

    /// Packs the rows of A (`[rows, depth]`) into panels, one after another, and widens them.
    pub(crate) fn pack_rows<T: Pack<f32>>(&self, a: View<'_, T>, panels: &mut [f32]) {
        pack::panels(a, self.rows, panels);
    }

    /// Packs the columns of B (`[depth, columns]`) into panels, one after another, and widens them.
    pub(crate) fn pack_columns<T: Pack<f32>>(&self, b: View<'_, T>, panels: &mut [f32]) {
        pack::panels(b.transposed(), self.columns, panels);
    }

    /// `out = A·B`, or `out += A·B`, from packed rows and columns, on this thread.
    ///
    /// Each sum runs over `k` in order, so an element depends on its row of A and its column of B only. A caller that
    /// cuts `k` and adds must cut where the cut does not depend on what else is computed.
    pub(crate) fn multiply(&self, a: &[f32], b: &[f32], depth: usize, out: Block<'_>, add: bool) {
        let Block {
            data,
            rows,
            columns,
            row_stride,
        } = out;
        let mut sums = [0.0_f32; LARGEST];
        let sums = &mut sums[..self.rows * self.columns];
        let panels_of_b = b.chunks_exact((self.columns * depth).max(1));
        for (b, left) in panels_of_b.zip((0..columns).step_by(self.columns)) {
            let width = self.columns.min(columns - left);
            let panels_of_a = a.chunks_exact((self.rows * depth).max(1));
            for (a, top) in panels_of_a.zip((0..rows).step_by(self.rows)) {
                self.run(depth, a, b, sums, false);
                for (row, sums) in (top..rows).zip(sums.chunks_exact(self.columns)) {
                    let to = &mut data[row * row_stride + left..][..width];
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

impl<L> fmt::Debug for Tile<L> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}x{}", self.name, self.rows, self.columns)
    }
}

/// Where [`Tile::multiply`] writes: a matrix `[rows, columns]` with `row_stride` elements from row to row.
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

/// What a panel is made of: the numbers that one step of a kernel takes from each row or column; four bytes.
pub(crate) trait Lane: Copy + Default + Send + Sync + 'static {
    /// How many `k` one step covers.
    const DEPTH: usize;

    /// Adds the product of two lanes to a sum.
    fn dot(self, other: Self, sum: f32) -> f32;

    /// A lane made of a number, for checking kernels.
    fn sample(value: f32) -> Self;
}

impl Lane for f32 {
    const DEPTH: usize = 1;

    #[inline]
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

    #[inline]
    fn dot(self, other: Self, sum: f32) -> f32 {
        let upper = portable::fused(self[1].widen(), other[1].widen(), sum);
        portable::fused(self[0].widen(), other[0].widen(), upper)
    }

    fn sample(value: f32) -> Self {
        [bf16::from_f32(value), bf16::from_f32(1.0 - 3.0 * value)]
    }
}

/// Sums of the largest tile of any kernel.
const LARGEST: usize = 12 * 32;

/// The best kernel of this processor for sums of `f32` products; chosen, and checked, once.
pub(crate) fn tile() -> &'static Tile<f32> {
    static CHOSEN: OnceLock<Tile<f32>> = OnceLock::new();
    CHOSEN.get_or_init(|| best(candidates()).unwrap_or_else(portable::tile))
}

/// The kernel of this processor for products of `bf16`, if it has one; chosen, and checked, once.
pub(super) fn pair_tile() -> Option<&'static Tile<Pair>> {
    static CHOSEN: OnceLock<Option<Tile<Pair>>> = OnceLock::new();
    CHOSEN.get_or_init(|| best(pair_candidates())).as_ref()
}

/// Kernels that this processor can run, the fastest first.
pub(super) fn candidates() -> impl Iterator<Item = Tile<f32>> {
    #[cfg(target_arch = "x86_64")]
    let candidates = [super::avx512::tile(), super::avx2::tile()];
    #[cfg(not(target_arch = "x86_64"))]
    let candidates: [Option<Tile<f32>>; 0] = [];
    candidates.into_iter().flatten()
}

/// As [`candidates`], for pairs.
pub(super) fn pair_candidates() -> impl Iterator<Item = Tile<Pair>> {
    #[cfg(target_arch = "x86_64")]
    let candidates = [super::avx512::pair_tile()];
    #[cfg(not(target_arch = "x86_64"))]
    let candidates: [Option<Tile<Pair>>; 0] = [];
    candidates.into_iter().flatten()
}

/// The first that computes what it should.
pub(super) fn best<L: Lane>(mut candidates: impl Iterator<Item = Tile<L>>) -> Option<Tile<L>> {
    candidates.find(|tile| {
        let agrees = agrees(tile);
        if !agrees {
            tracing::warn!(kernel = ?tile, "a matrix kernel computes wrong sums here and is not used");
        }
        agrees
    })
}

/// Whether a kernel's sums are those of plain code, up to rounding.
fn agrees<L: Lane>(tile: &Tile<L>) -> bool {
    [1, 6, 37].into_iter().all(|steps| {
        let a = samples(steps * tile.rows, 29);
        let b = samples(steps * tile.columns, 31);
        let mut sums = vec![0.5; tile.rows * tile.columns];
        tile.run(steps, &a, &b, &mut sums, false);
        tile.run(steps, &a, &b, &mut sums, true);
        sums.chunks_exact(tile.columns)
            .enumerate()
            .all(|(i, sums)| {
                sums.iter().enumerate().all(|(j, sum)| {
                    let lane = |step: usize| (a[step * tile.rows + i], b[step * tile.columns + j]);
                    let expected = (0..steps)
                        .map(lane)
                        .fold(0.0, |sum, (a, b): (L, L)| a.dot(b, sum));
                    (sum - 2.0 * expected).abs() <= 1e-5 * steps as f32
                })
            })
    })
}

/// Numbers from -0.5 to 0.5 in an order that repeats late.
pub(super) fn samples<L: Lane>(len: usize, seed: usize) -> Vec<L> {
    let number = |i: usize| ((i + 7) * (i + seed) % 1009) as f32 / 1008.0 - 0.5;
    (0..len).map(number).map(L::sample).collect()
}
