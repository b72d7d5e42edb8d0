//! Copies parts of a matrix into panels.

use half::{bf16, f16};

use super::{
    tile::{Lane, Pair},
    view::{Element, View},
};

/// A type of number that can be packed into lanes of another.
pub(crate) trait Pack<L: Lane>: Element {
    /// How lanes are made of consecutive numbers, for code that takes several at once.
    #[cfg(target_arch = "x86_64")]
    const FORM: Form;

    /// The lane that covers step `step` of a row; zero where the row has ended.
    fn lane(matrix: &View<'_, Self>, row: usize, step: usize) -> L;

    /// The lanes of step `step` of all rows, where a row's neighbour is the next number.
    fn lanes_across(matrix: &View<'_, Self>, step: usize, lanes: &mut [L]);
}

/// How a lane lies in memory.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The same four bytes.
    Same,
    /// Its upper two bytes.
    Upper,
    /// As an IEEE half.
    Half,
}

/// Packs the rows of a matrix, `width` to a panel: step `s` of row `i` goes to
/// `panels[(i / width) · steps · width + s · width + i % width]`; rows past the end are zero.
pub(super) fn panels<L: Lane, T: Pack<L>>(matrix: View<'_, T>, width: usize, panels: &mut [L]) {
    let panel_len = width * matrix.columns().div_ceil(L::DEPTH);
    if panel_len == 0 {
        return;
    }
    let firsts = (0..matrix.rows()).step_by(width);
    for (panel, first) in panels.chunks_exact_mut(panel_len).zip(firsts) {
        let rows = first..matrix.rows().min(first + width);
        self::panel(matrix.part(rows, 0..matrix.columns()), width, panel);
    }
}

/// Packs at most `width` rows into one panel.
pub(super) fn panel<L: Lane, T: Pack<L>>(rows: View<'_, T>, width: usize, panel: &mut [L]) {
    #[cfg(target_arch = "x86_64")]
    if rows.column_stride() == 1 && super::avx2::panel(rows, width, panel) {
        return;
    }
    if rows.row_stride() == 1 {
        across(rows, width, panel);
    } else {
        plain(rows, width, panel, 0);
    }
}

/// Packs rows whose numbers of one step lie beside each other: the loop over rows is the inner one, without a
/// condition, so that the compiler can vectorise it.
fn across<L: Lane, T: Pack<L>>(rows: View<'_, T>, width: usize, panel: &mut [L]) {
    for (step, to) in panel.chunks_exact_mut(width).enumerate() {
        let (filled, rest) = to.split_at_mut(rows.rows());
        T::lanes_across(&rows, step, filled);
        rest.fill(L::default());
    }
}

/// Packs in plain code from step `first` on, whatever the strides.
pub(super) fn plain<L: Lane, T: Pack<L>>(
    rows: View<'_, T>,
    width: usize,
    panel: &mut [L],
    first: usize,
) {
    for (step, to) in panel.chunks_exact_mut(width).enumerate().skip(first) {
        for (row, to) in to.iter_mut().enumerate() {
            *to = if row < rows.rows() {
                T::lane(&rows, row, step)
            } else {
                L::default()
            };
        }
    }
}

/// Widens the numbers at step `step` of all rows.
#[inline]
fn widen_across<T: Element>(matrix: &View<'_, T>, step: usize, lanes: &mut [f32]) {
    let from = &matrix.data()[step * matrix.column_stride()..][..lanes.len()];
    for (to, from) in lanes.iter_mut().zip(from) {
        *to = from.widen();
    }
}

impl Pack<f32> for f32 {
    #[cfg(target_arch = "x86_64")]
    const FORM: Form = Form::Same;

    #[inline]
    fn lane(matrix: &View<'_, Self>, row: usize, step: usize) -> f32 {
        matrix.get(row, step).widen()
    }

    #[inline]
    fn lanes_across(matrix: &View<'_, Self>, step: usize, lanes: &mut [f32]) {
        widen_across(matrix, step, lanes);
    }
}

impl Pack<f32> for bf16 {
    #[cfg(target_arch = "x86_64")]
    const FORM: Form = Form::Upper;

    #[inline]
    fn lane(matrix: &View<'_, Self>, row: usize, step: usize) -> f32 {
        matrix.get(row, step).widen()
    }

    #[inline]
    fn lanes_across(matrix: &View<'_, Self>, step: usize, lanes: &mut [f32]) {
        widen_across(matrix, step, lanes);
    }
}

impl Pack<f32> for f16 {
    #[cfg(target_arch = "x86_64")]
    const FORM: Form = Form::Half;

    #[inline]
    fn lane(matrix: &View<'_, Self>, row: usize, step: usize) -> f32 {
        matrix.get(row, step).widen()
    }

    #[inline]
    fn lanes_across(matrix: &View<'_, Self>, step: usize, lanes: &mut [f32]) {
        widen_across(matrix, step, lanes);
    }
}

impl Pack<Pair> for bf16 {
    #[cfg(target_arch = "x86_64")]
    const FORM: Form = Form::Same;

    #[inline]
    fn lane(matrix: &View<'_, Self>, row: usize, step: usize) -> Pair {
        let second = 2 * step + 1;
        let second = if second < matrix.columns() {
            matrix.get(row, second)
        } else {
            bf16::ZERO
        };
        [matrix.get(row, 2 * step), second]
    }

    #[inline]
    fn lanes_across(matrix: &View<'_, Self>, step: usize, lanes: &mut [Pair]) {
        let first = &matrix.data()[2 * step * matrix.column_stride()..][..lanes.len()];
        if 2 * step + 1 < matrix.columns() {
            let second = &matrix.data()[(2 * step + 1) * matrix.column_stride()..][..lanes.len()];
            for (to, pair) in lanes.iter_mut().zip(first.iter().zip(second)) {
                *to = [*pair.0, *pair.1];
            }
        } else {
            for (to, first) in lanes.iter_mut().zip(first) {
                *to = [*first, bf16::ZERO];
            }
        }
    }
}
