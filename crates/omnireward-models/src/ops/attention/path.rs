#![expect(
    clippy::inline_always,
    reason = "a loop is compiled for its caller's instruction set only when it is inlined into it"
)]

use std::ops::Range;

use super::{
    super::{
        product::{Tile, View},
        simd::{self, Arithmetic, Element, Kernel, Rows},
    },
    BLOCK, Heads,
};

/// The keys and values of one head along a path, packed as the products of the forward pass take them.
pub(super) struct PackedPath {
    tile: &'static Tile<f32>,
    dim: usize,
    /// What is packed: path and length.
    ranges: Vec<Range<usize>>,
    len: usize,
    /// Blocks of rows `[BLOCK, dim]` of keys.
    keys: Vec<f32>,
    /// Blocks of rows `[dim, keys in the block]` of values.
    values: Vec<f32>,
    gathered: Vec<f32>,
}

/// A block of a [path](PackedPath).
pub(super) struct PackedBlock<'a> {
    /// Where on the path it begins.
    pub(super) start: usize,
    /// How many keys it holds.
    pub(super) len: usize,
    /// Panels of rows of keys, `[tile.rows]` wide and `dim` deep.
    pub(super) keys: &'a [f32],
    /// Panels of rows of transposed values, `[tile.rows]` wide and `len` deep.
    pub(super) values: &'a [f32],
}

impl PackedPath {
    pub(super) fn new(tile: &'static Tile<f32>, heads: Heads) -> Self {
        Self {
            tile,
            dim: heads.dim,
            ranges: Vec::new(),
            len: 0,
            keys: Vec::new(),
            values: Vec::new(),
            gathered: vec![0.0; BLOCK * heads.dim],
        }
    }

    /// Forgets what is packed, which belonged to another head.
    pub(super) fn clear(&mut self) {
        self.ranges.clear();
        self.len = 0;
    }

    /// Packs the first `len` keys of the path through `ranges`, except those that are packed already because the last
    /// path began with the same rows: branches of a tree share their trunk.
    pub(super) fn hold<T: Element>(
        &mut self,
        [keys, values]: [Rows<'_, T>; 2],
        head: usize,
        ranges: &[Range<usize>],
        len: usize,
    ) {
        let common = common(&self.ranges, ranges).min(self.len);
        if common >= len {
            return;
        }
        let (key_stride, value_stride) = self.strides();
        let blocks = len.div_ceil(BLOCK);
        self.keys
            .resize(self.keys.len().max(blocks * key_stride), 0.0);
        self.values
            .resize(self.values.len().max(blocks * value_stride), 0.0);
        for block in common / BLOCK..blocks {
            let positions = block * BLOCK..len.min((block + 1) * BLOCK);
            let gathered = &mut self.gathered[..positions.len() * self.dim];
            gather(keys, ranges, positions.clone(), head, gathered);
            let rows = View::new(gathered, positions.len(), self.dim);
            let to = &mut self.keys[block * key_stride..][..key_stride];
            self.tile.pack_rows(rows, to);
            gather(values, ranges, positions.clone(), head, gathered);
            let rows = View::new(gathered, positions.len(), self.dim).transposed();
            let to = &mut self.values[block * value_stride..][..value_stride];
            self.tile.pack_rows(rows, to);
        }
        self.ranges.clear();
        self.ranges.extend(clip(ranges, 0..len));
        self.len = len;
    }

    /// The blocks that hold the first `len` keys.
    pub(super) fn blocks(&self, len: usize) -> impl Iterator<Item = PackedBlock<'_>> {
        let (key_stride, value_stride) = self.strides();
        (0..len.div_ceil(BLOCK)).map(move |block| PackedBlock {
            start: block * BLOCK,
            len: BLOCK.min(self.len - block * BLOCK),
            keys: &self.keys[block * key_stride..][..key_stride],
            values: &self.values[block * value_stride..][..value_stride],
        })
    }

    fn strides(&self) -> (usize, usize) {
        (
            self.tile.packed_rows(BLOCK, self.dim),
            self.tile.packed_rows(self.dim, BLOCK),
        )
    }
}

/// How many rows two paths have in common at their beginning.
fn common(left: &[Range<usize>], right: &[Range<usize>]) -> usize {
    let mut common = 0;
    for (left, right) in left.iter().zip(right) {
        if left.start == right.start {
            common += left.len().min(right.len());
        }
        if left != right {
            break;
        }
    }
    common
}

/// The rows at the given positions of a path.
pub(super) fn clip(
    ranges: &[Range<usize>],
    positions: Range<usize>,
) -> impl Iterator<Item = Range<usize>> {
    let mut passed = 0;
    ranges.iter().filter_map(move |range| {
        let start = range.start + positions.start.saturating_sub(passed);
        let end = range
            .end
            .min(range.start + positions.end.saturating_sub(passed));
        passed += range.len();
        (start < end).then_some(start..end)
    })
}

/// Copies one head of the rows at the given positions of a path, widened, one after another.
pub(super) fn gather<T: Element>(
    stream: Rows<'_, T>,
    ranges: &[Range<usize>],
    positions: Range<usize>,
    head: usize,
    to: &mut [f32],
) {
    let dim = to.len() / positions.len().max(1);
    let rows = clip(ranges, positions).flatten();
    let from = rows.map(|row| &stream.row(row)[head * dim..][..dim]);
    simd::run(Widen {
        from,
        scale: 1.0,
        to,
    });
}

/// Copies slices one after another, widened and multiplied.
pub(super) struct Widen<'a, I> {
    pub(super) from: I,
    pub(super) scale: f32,
    pub(super) to: &'a mut [f32],
}

impl<'a, T: Element, I: Iterator<Item = &'a [T]>> Kernel for Widen<'_, I> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let mut to = self.to;
        for from in self.from {
            let (here, rest) = to.split_at_mut(from.len());
            for (from, to) in from.iter().zip(here) {
                *to = from.widen() * self.scale;
            }
            to = rest;
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::single_range_in_vec_init,
    reason = "a path may be one range of rows"
)]
mod tests {
    use super::*;

    #[test]
    fn clips_a_path() {
        let path = [4..7, 0..0, 10..12, 20..30];
        let clipped = |positions| clip(&path, positions).collect::<Vec<_>>();
        assert_eq!(clipped(0..15), [4..7, 10..12, 20..30]);
        assert_eq!(clipped(2..6), [6..7, 10..12, 20..21]);
        assert!(clipped(5..5).is_empty());
        assert_eq!(clipped(6..9), [21..24]);
    }

    #[test]
    fn finds_the_common_beginning() {
        assert_eq!(common(&[0..5, 9..12], &[0..5, 12..14]), 5);
        assert_eq!(common(&[0..5, 9..12], &[0..5, 9..11]), 7);
        assert_eq!(common(&[0..3], &[0..5, 9..11]), 3);
        assert_eq!(common(&[1..3], &[0..3]), 0);
    }
}
