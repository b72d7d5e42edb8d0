#![expect(
    clippy::inline_always,
    reason = "a loop is compiled for its caller's instruction set only when it is inlined into it"
)]

use std::ops::Range;

use super::{
    super::{
        product::{Tile, View},
        simd::{self, Arithmetic, Element, Kernel, Known, Rows},
    },
    BLOCK,
};

/// The keys and values of one head along a path, packed block by block as the products of the forward pass take them.
pub(super) struct PackedPath<'a, T> {
    tile: &'static Tile<f32>,
    dim: usize,
    streams: [Rows<'a, T>; 2],
    head: usize,
    ranges: Vec<Range<usize>>,
    len: usize,
    /// Keys from the beginning of the path on that are packed.
    packed: usize,
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

impl<'a, T: Element> PackedPath<'a, T> {
    /// `streams`: keys and values, whose heads have `dim` numbers.
    pub(super) fn new(tile: &'static Tile<f32>, streams: [Rows<'a, T>; 2], dim: usize) -> Self {
        Self {
            tile,
            dim,
            streams,
            head: 0,
            ranges: Vec::new(),
            len: 0,
            packed: 0,
            keys: Vec::new(),
            values: Vec::new(),
            gathered: vec![0.0; BLOCK * dim],
        }
    }

    /// Turns to another head.
    pub(super) fn turn_to(&mut self, head: usize) {
        self.head = head;
        self.packed = 0;
    }

    /// Goes along the first `len` keys of the path through `ranges`. What is packed of the last path is kept as far as
    /// this one has the same rows: branches of a tree share their trunk.
    pub(super) fn follow(&mut self, ranges: &[Range<usize>], len: usize) {
        let common = common(&self.ranges, ranges).min(self.packed);
        if common >= len {
            return;
        }
        self.packed = common / BLOCK * BLOCK;
        self.ranges.clear();
        self.ranges.extend(clip(ranges, 0..len));
        self.len = len;
        let blocks = len.div_ceil(BLOCK);
        let (keys, values) = self.strides();
        self.keys.resize(self.keys.len().max(blocks * keys), 0.0);
        self.values
            .resize(self.values.len().max(blocks * values), 0.0);
    }

    /// A block of the path; packed now if it is not yet, so that it is still in the cache when it is used.
    pub(super) fn block(&mut self, index: usize) -> PackedBlock<'_> {
        let (key_stride, value_stride) = self.strides();
        let positions = index * BLOCK..self.len.min((index + 1) * BLOCK);
        let keys = &mut self.keys[index * key_stride..][..key_stride];
        let values = &mut self.values[index * value_stride..][..value_stride];
        if self.packed < positions.end {
            let source = Source {
                ranges: &self.ranges,
                positions: positions.clone(),
                head: self.head,
                dim: self.dim,
            };
            source.pack_rows(self.tile, self.streams[0], &mut self.gathered, keys);
            source.pack_across(self.tile, self.streams[1], values);
            self.packed = positions.end;
        }
        PackedBlock {
            start: positions.start,
            len: positions.len(),
            keys,
            values,
        }
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

/// One head of the rows at some positions of a path.
pub(super) struct Source<'a> {
    pub(super) ranges: &'a [Range<usize>],
    pub(super) positions: Range<usize>,
    pub(super) head: usize,
    pub(super) dim: usize,
}

impl Source<'_> {
    /// Packs the rows into panels, `dim` deep.
    pub(super) fn pack_rows<T: Element>(
        &self,
        tile: &Tile<f32>,
        stream: Rows<'_, T>,
        gathered: &mut [f32],
        to: &mut [f32],
    ) {
        let count = self.positions.len();
        let mut rows = clip(self.ranges, self.positions.clone());
        if let (Some(range), None) = (rows.next(), rows.next()) {
            let panels = to.chunks_exact_mut(tile.rows * self.dim);
            for (panel, first) in panels.zip(range.clone().step_by(tile.rows)) {
                let rows = first..range.end.min(first + tile.rows);
                for next in rows.end..range.end.min(rows.end + tile.rows) {
                    simd::prefetch(&stream.row(next)[self.head * self.dim..][..self.dim]);
                }
                let (data, stride) = stream.starting_at(first);
                let (count, data) = (rows.len(), &data[self.head * self.dim..]);
                match T::known(data) {
                    Known::F32(data) => {
                        let rows = View::strided(data, count, self.dim, stride, 1);
                        tile.pack_rows(rows, panel);
                    }
                    Known::Bf16(data) => {
                        let rows = View::strided(data, count, self.dim, stride, 1);
                        tile.pack_rows(rows, panel);
                    }
                }
            }
        } else {
            let gathered = &mut gathered[..count * self.dim];
            simd::run(Widen {
                from: self.rows(stream),
                scale: 1.0,
                to: gathered,
            });
            tile.pack_rows(View::new(gathered, count, self.dim), to);
        }
    }

    /// Packs the rows of the transposed matrix into panels, as deep as there are positions.
    pub(super) fn pack_across<T: Element>(
        &self,
        tile: &Tile<f32>,
        stream: Rows<'_, T>,
        to: &mut [f32],
    ) {
        simd::run(Across {
            from: self.rows(stream),
            dim: self.dim,
            depth: self.positions.len(),
            width: tile.rows,
            to,
        });
    }

    /// The rows themselves, each called for some rows ahead: they lie too far apart for the processor to foresee.
    fn rows<'a, T: Element>(&self, stream: Rows<'a, T>) -> impl Iterator<Item = &'a [T]> {
        const AHEAD: usize = 8;
        let (head, dim) = (self.head, self.dim);
        let rows = || {
            clip(self.ranges, self.positions.clone())
                .flatten()
                .map(move |row| &stream.row(row)[head * dim..][..dim])
        };
        let mut ahead = rows().skip(AHEAD);
        rows().inspect(move |_| {
            if let Some(row) = ahead.next() {
                simd::prefetch(row);
            }
        })
    }
}

/// Packs slices as columns: number `i` of slice `k` goes to
/// `to[(i / width) · depth · width + k · width + i % width]`, and numbers past the end are zero.
struct Across<'a, I> {
    from: I,
    dim: usize,
    depth: usize,
    width: usize,
    to: &'a mut [f32],
}

impl<'a, T: Element, I: Iterator<Item = &'a [T]>> Kernel for Across<'_, I> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        match self.width {
            4 => self.pack::<T, 4>(),
            6 => self.pack::<T, 6>(),
            12 => self.pack::<T, 12>(),
            _ => self.pack::<T, 0>(),
        }
    }
}

impl<'a, I> Across<'_, I> {
    /// `WIDTH`: the width, or zero for any.
    ///
    /// Where there is room, whole vectors are copied; the numbers too many are overwritten by the slices that follow.
    #[inline(always)]
    fn pack<T: Element, const WIDTH: usize>(self)
    where
        I: Iterator<Item = &'a [T]>,
    {
        const VECTOR: usize = 8;
        let Self {
            dim, depth, width, ..
        } = self;
        let copied = WIDTH.next_multiple_of(VECTOR);
        let in_vectors = if WIDTH > 0 && dim >= copied {
            (dim - copied) / WIDTH + 1
        } else {
            0
        };
        for (k, from) in self.from.enumerate() {
            let room = (depth - k) * width >= copied;
            let in_vectors = if room { in_vectors } else { 0 };
            for panel in 0..in_vectors {
                let from = &from[panel * WIDTH..][..copied];
                let to = &mut self.to[(panel * depth + k) * WIDTH..][..copied];
                let vectors = from.chunks_exact(VECTOR);
                for (from, to) in vectors.zip(to.chunks_exact_mut(VECTOR)) {
                    // Collected first, lest the compiler fear that it writes what it still has to read.
                    let mut numbers = [0.0; VECTOR];
                    for (number, from) in numbers.iter_mut().zip(from) {
                        *number = from.widen();
                    }
                    to.copy_from_slice(&numbers);
                }
            }
            for panel in in_vectors..dim.div_ceil(width) {
                let to = &mut self.to[(panel * depth + k) * width..][..width];
                for (at, to) in (panel * width..).zip(to) {
                    *to = from.get(at).map_or(0.0, |from| from.widen());
                }
            }
        }
    }
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
