//! Copies parts of a matrix into panels.

use half::{bf16, f16};

use super::view::{Element, View};

/// How a type is read in bulk.
pub(crate) trait Load {}
impl Load for f32 {}
impl Load for bf16 {}
impl Load for f16 {}

/// Packs the rows of a matrix, `width` to a panel: element `(i, k)` goes to
/// `panels[(i / width) · columns · width + k · width + i % width]`; rows past the end are zero.
pub(super) fn panels<T: Element>(matrix: View<'_, T>, width: usize, panels: &mut [f32]) {
    let depth = matrix.columns();
    if depth == 0 {
        return;
    }
    let firsts = (0..matrix.rows()).step_by(width);
    for (panel, first) in panels.chunks_exact_mut(width * depth).zip(firsts) {
        let rows = width.min(matrix.rows() - first);
        let part = matrix.part(first..first + rows, 0..depth);
        for (k, to) in panel.chunks_exact_mut(width).enumerate() {
            for (i, to) in to.iter_mut().enumerate() {
                *to = if i < rows {
                    part.get(i, k).widen()
                } else {
                    0.0
                };
            }
        }
    }
}
