use std::ops::Range;

use half::{bf16, f16};

use super::super::simd;

/// A number that a matrix may hold. Products are summed in `f32`, to which every such number widens without loss.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    /// The same number as `f32`.
    fn widen(self) -> f32;

    /// The view itself where its numbers are `bf16`.
    fn as_bf16(_view: View<'_, Self>) -> Option<View<'_, bf16>> {
        None
    }
}

impl Element for f32 {
    #[inline]
    fn widen(self) -> f32 {
        self
    }
}

impl Element for bf16 {
    #[inline]
    fn widen(self) -> f32 {
        simd::Element::widen(self)
    }

    fn as_bf16(view: View<'_, Self>) -> Option<View<'_, bf16>> {
        Some(view)
    }
}

impl Element for f16 {
    #[inline]
    fn widen(self) -> f32 {
        self.to_f32()
    }
}

/// A matrix inside a slice: element `(i, j)` is `data[i · row_stride + j · column_stride]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> View<'a, T> {
    /// A whole matrix, row after row.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns, 1)
    }

    /// A matrix with any strides, in elements.
    ///
    /// # Panics
    ///
    /// When the last element lies outside `data`.
    pub(crate) fn strided(
        data: &'a [T],
        rows: usize,
        columns: usize,
        row_stride: usize,
        column_stride: usize,
    ) -> Self {
        if rows > 0 && columns > 0 {
            let last = (rows - 1) * row_stride + (columns - 1) * column_stride;
            assert!(
                last < data.len(),
                "a view reaches element {last} of {}",
                data.len()
            );
        }
        Self {
            data,
            rows,
            columns,
            row_stride,
            column_stride,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn row_stride(&self) -> usize {
        self.row_stride
    }

    pub(super) fn column_stride(&self) -> usize {
        self.column_stride
    }

    /// The transposed matrix; nothing is copied.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// The rows and columns of these ranges.
    pub(crate) fn part(self, rows: Range<usize>, columns: Range<usize>) -> Self {
        assert!(rows.end <= self.rows && columns.end <= self.columns);
        let start = rows.start * self.row_stride + columns.start * self.column_stride;
        Self {
            data: self.data.get(start..).unwrap_or_default(),
            rows: rows.len(),
            columns: columns.len(),
            ..self
        }
    }

    /// A row whose numbers lie beside each other.
    pub(super) fn row(&self, row: usize) -> &'a [T] {
        assert!(row < self.rows && self.column_stride == 1);
        self.data
            .get(row * self.row_stride..)
            .unwrap_or_default()
            .get(..self.columns)
            .unwrap_or_default()
    }

    /// Everything from element `(0, 0)` on.
    pub(super) fn data(&self) -> &'a [T] {
        self.data
    }
}

impl<T: Copy> View<'_, T> {
    #[inline]
    pub(super) fn get(&self, row: usize, column: usize) -> T {
        self.data[row * self.row_stride + column * self.column_stride]
    }
}
