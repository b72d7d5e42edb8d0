//! Kernels in plain code, which the compiler vectorises as far as the target allows.

use super::tile::{Lane, Tile};

/// Sums of the largest tile of any kernel.
pub(super) const LARGEST_TILE: usize = 12 * 32;

/// The kernel for processors without one of their own; on aarch64, where 24 of 32 registers hold the sums, the usual one.
pub(super) fn tile() -> Tile<f32> {
    if cfg!(target_arch = "aarch64") {
        Tile {
            name: "portable",
            rows: 6,
            columns: 16,
            kernel: kernel::<f32, 6, 16>,
        }
    } else {
        Tile {
            name: "portable",
            rows: 4,
            columns: 8,
            kernel: kernel::<f32, 4, 8>,
        }
    }
}

/// `a · b + c`, fused where the target does that in one instruction.
#[inline(always)]
pub(super) fn fused(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// Does what every kernel does, for a tile of any size.
pub(super) fn kernel<L: Lane, const ROWS: usize, const COLUMNS: usize>(
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
    for (totals, sums) in totals
        .iter()
        .zip(sums[..ROWS * COLUMNS].chunks_exact_mut(COLUMNS))
    {
        for (total, sum) in totals.iter().zip(sums) {
            *sum = if add { *sum + total } else { *total };
        }
    }
}
