//! Asks for memory before it is needed.
//!
//! **Contract.** A request changes nothing but the time that a later access takes, and none is made for memory outside
//! of what was borrowed.

use super::view::View;

/// Asks for one cache line, to be kept in the second cache.
#[inline]
pub(super) fn line<T>(at: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction, and it may be given any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(at).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Goes through a matrix, line by line, and asks for it.
#[derive(Debug)]
pub(super) struct Ahead<'a, T> {
    matrix: View<'a, T>,
    lines_per_row: usize,
    next: (usize, usize),
}

impl<'a, T> Ahead<'a, T> {
    /// Along the rows or the columns of the matrix, whichever lie in one piece.
    pub(super) fn new(matrix: View<'a, T>) -> Self {
        let matrix = if matrix.column_stride() == 1 {
            matrix
        } else {
            matrix.transposed()
        };
        let lines_per_row = if matrix.column_stride() == 1 {
            (matrix.columns() * size_of::<T>()).div_ceil(LINE) + 1
        } else {
            0
        };
        Self {
            matrix,
            lines_per_row,
            next: (0, 0),
        }
    }

    /// Asks for everything.
    pub(super) fn ask_all(&mut self) {
        self.ask(self.lines());
    }

    /// How many lines there are.
    pub(super) fn lines(&self) -> usize {
        self.matrix.rows() * self.lines_per_row
    }

    /// Asks for the next `count` lines.
    #[inline]
    pub(super) fn ask(&mut self, count: usize) {
        for _ in 0..count {
            let (row, in_row) = self.next;
            let place = row * self.matrix.row_stride() + in_row * (LINE / size_of::<T>());
            if let Some(at) = self.matrix.data().get(place) {
                line(at);
            }
            self.next = if in_row + 1 < self.lines_per_row {
                (row, in_row + 1)
            } else {
                (row + 1, 0)
            };
        }
    }
}

/// Bytes of a cache line.
const LINE: usize = 64;
