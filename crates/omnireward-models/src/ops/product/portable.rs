//! Kernels in plain code, which the compiler vectorises as far as the target allows.

use super::tile::{Lane, Tile};

/// The kernel for processors without one of their own; on aarch64, where 24 of 32 registers hold the sums, the usual one.
pub(super) fn tile() -> Tile<f32> {
    if cfg!(target_arch = "aarch64") {
        sized::<f32, 6, 16>()
    } else {
        sized::<f32, 4, 8>()
    }
}

/// What these kernels are called.
pub(super) const NAME: &str = "portable";

/// A kernel of this size. Those of other modules' sizes stand in for them in tests.
pub(super) fn sized<L: Lane, const ROWS: usize, const COLUMNS: usize>() -> Tile<L> {
    Tile {
        name: NAME,
        rows: ROWS,
        columns: COLUMNS,
        kernel: kernel::<L, ROWS, COLUMNS>,
    }
}

fn kernel<L: Lane, const ROWS: usize, const COLUMNS: usize>(
    steps: usize,
    a: &[L],
    b: &[L],
    sums: &mut [f32],
    add: bool,
) {
    let mut totals = [[0.0_f32; COLUMNS]; ROWS];
    let a = a[..steps * ROWS].chunks_exact(ROWS);
    let b = b[..steps * COLUMNS].chunks_exact(COLUMNS);
    for (a, b) in a.zip(b) {
        for (a, totals) in a.iter().zip(&mut totals) {
            for (b, total) in b.iter().zip(totals) {
                *total = a.dot(*b, *total);
            }
        }
    }
    for (total, sum) in totals
        .as_flattened()
        .iter()
        .zip(&mut sums[..ROWS * COLUMNS])
    {
        *sum = if add { *sum + total } else { *total };
    }
}

/// `a · b + c`, fused where the target does that in one instruction.
#[inline]
pub(super) fn fused(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}
