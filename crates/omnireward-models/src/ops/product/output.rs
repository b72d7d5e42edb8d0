//! Cuts a matrix into rectangles that threads may write at the same time.
//!
//! **Contract.** [`rectangles`] cuts each element of the slice it borrows into exactly one [`Rectangle`], and a rectangle
//! gives out only rows of its own, one at a time; so no two threads ever reach the same element.

use std::{marker::PhantomData, ops::Range};

use super::prefetch;

/// Part of a matrix that can be written without regard to the other parts.
#[derive(Debug)]
pub(super) struct Rectangle<'a, T> {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    start: *mut T,
    stride: usize,
    matrix: PhantomData<&'a mut [T]>,
}

// SAFETY: a rectangle is a mutable borrow of elements that nothing else borrows.
unsafe impl<T: Send> Send for Rectangle<'_, T> {}

impl<T> Rectangle<'_, T> {
    /// Elements of row `row` of the matrix, in those columns of it.
    pub(super) fn part_of_row(&mut self, row: usize, columns: Range<usize>) -> &mut [T] {
        assert!(columns.start <= columns.end && columns.end <= self.columns.end);
        assert!(self.rows.contains(&row) && self.columns.start <= columns.start);
        // SAFETY: the elements lie within the borrowed matrix, `stride` long in each row, and belong to this rectangle.
        unsafe {
            let first = self.start.add(row * self.stride + columns.start);
            std::slice::from_raw_parts_mut(first, columns.len())
        }
    }

    /// Asks for the memory around one element of the matrix.
    pub(super) fn prefetch(&mut self, row: usize, column: usize) {
        if let [at, ..] = self.part_of_row(row, column..column + 1) {
            prefetch::line(at);
        }
    }
}

/// Cuts a matrix of rows of `columns` elements into rectangles of at most `height` rows and `width` columns, those that
/// share columns beside each other.
pub(super) fn rectangles<T>(
    matrix: &mut [T],
    columns: usize,
    height: usize,
    width: usize,
) -> Vec<Rectangle<'_, T>> {
    let rows = matrix.len() / columns;
    let start = matrix.as_mut_ptr();
    let tops = (0..rows).step_by(height);
    (0..columns)
        .step_by(width)
        .flat_map(|left| tops.clone().map(move |top| (top, left)))
        .map(|(top, left)| Rectangle {
            rows: top..rows.min(top + height),
            columns: left..columns.min(left + width),
            start,
            stride: columns,
            matrix: PhantomData,
        })
        .collect()
}
