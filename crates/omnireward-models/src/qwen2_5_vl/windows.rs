use super::PatchGrid;

/// The cells of a grid, window by window.
///
/// Each frame is cut from its upper left corner into squares of `side` cells; what is left over at the right and below
/// makes smaller windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// The cells' numbers in raster order, those of a window together and in raster order too.
    pub order: Vec<usize>,
    /// Cells of each window.
    pub lengths: Vec<usize>,
}

impl Windows {
    /// Those of a grid of merged cells.
    ///
    /// # Panics
    ///
    /// When `side` is 0.
    pub fn of(cells: PatchGrid, side: usize) -> Self {
        let mut windows = Self {
            order: Vec::with_capacity(cells.cells()),
            lengths: Vec::new(),
        };
        for frame in 0..cells.frames {
            for top in (0..cells.rows).step_by(side) {
                for left in (0..cells.columns).step_by(side) {
                    windows.add(cells, frame, [top, left], side);
                }
            }
        }
        windows
    }

    fn add(&mut self, cells: PatchGrid, frame: usize, [top, left]: [usize; 2], side: usize) {
        let bottom = (top + side).min(cells.rows);
        let right = (left + side).min(cells.columns);
        for row in top..bottom {
            let start = (frame * cells.rows + row) * cells.columns;
            self.order.extend(start + left..start + right);
        }
        self.lengths.push((bottom - top) * (right - left));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_windows_are_smaller() {
        let cells = PatchGrid {
            frames: 1,
            rows: 5,
            columns: 7,
        };
        let windows = Windows::of(cells, 4);
        assert_eq!(windows.lengths, [16, 12, 4, 3]);
        assert_eq!(windows.order[..5], [0, 1, 2, 3, 7]);
        assert_eq!(windows.order[16..20], [4, 5, 6, 11]);
        assert_eq!(windows.order[28..], [28, 29, 30, 31, 32, 33, 34]);
    }

    #[test]
    fn windows_stay_within_their_frame() {
        let cells = PatchGrid {
            frames: 2,
            rows: 4,
            columns: 4,
        };
        let windows = Windows::of(cells, 4);
        assert_eq!(windows.lengths, [16, 16]);
        assert!(windows.order.iter().copied().eq(0..32));
    }
}
