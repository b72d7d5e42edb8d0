use std::{ops::Range, sync::Arc};

use crate::ops::{AttentionItem, AttentionLayout, Visibility};

/// One position of a sequence: a token, or a row of a medium's features standing in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// The token; a placeholder where a feature stands.
    pub token: u32,
    /// The feature that replaces the token's embedding.
    pub feature: Option<Feature>,
}

impl Row {
    /// A row that is a plain token.
    pub const fn token(token: u32) -> Self {
        Self {
            token,
            feature: None,
        }
    }
}

/// Which row of which medium's features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Feature {
    /// The medium, as an index into the list that goes with the sequences.
    pub medium: usize,
    /// The row of its features.
    pub row: usize,
}

/// Rows that follow their parent's last row, and are shared by every sequence through them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The segment these rows follow; `None` at a root.
    pub parent: Option<usize>,
    /// The position of the first row, counted from the root.
    pub depth: usize,
    /// The rows.
    pub rows: Vec<Row>,
}

/// Sequences with their common beginnings merged: what they share is computed once.
///
/// Segments stand in an order in which parents come before their children, and no row is stored twice: two
/// children of one segment (or two roots) begin with different rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenTree {
    segments: Vec<Segment>,
    ends: Vec<End>,
}

/// Where a sequence ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    segment: usize,
    offset: usize,
}

impl TokenTree {
    /// Merges `sequences`, none of them empty.
    ///
    /// # Panics
    ///
    /// When a sequence is empty, since nothing could be read from it.
    pub fn new(sequences: &[Vec<Row>]) -> Self {
        let mut tree = Self::default();
        for sequence in sequences {
            assert!(!sequence.is_empty(), "a sequence has at least one row");
            let end = tree.insert(sequence);
            tree.ends.push(end);
        }
        tree
    }

    /// The segments, parents before children.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Rows in all segments: what the tree costs.
    pub fn rows(&self) -> usize {
        self.segments.iter().map(|segment| segment.rows.len()).sum()
    }

    /// Rows of the longest sequence.
    pub fn depth(&self) -> usize {
        self.segments
            .iter()
            .map(|segment| segment.depth + segment.rows.len())
            .max()
            .unwrap_or(0)
    }

    /// For each row of a sequence, its place among the rows of all segments, one after another.
    pub fn places(&self, sequence: usize) -> Vec<usize> {
        let starts: Vec<usize> = self
            .segments
            .iter()
            .scan(0, |start, segment| {
                *start += segment.rows.len();
                Some(*start - segment.rows.len())
            })
            .collect();
        let End { segment, offset } = self.ends[sequence];
        let mut path = vec![starts[segment]..starts[segment] + offset + 1];
        let mut at = segment;
        while let Some(parent) = self.segments[at].parent {
            path.push(starts[parent]..starts[parent] + self.segments[parent].rows.len());
            at = parent;
        }
        path.into_iter().rev().flatten().collect()
    }

    fn insert(&mut self, sequence: &[Row]) -> End {
        let mut parent = None;
        let mut done = 0;
        loop {
            let rest = &sequence[done..];
            let Some(segment) = self.child(parent, rest[0]) else {
                self.segments.push(Segment {
                    parent,
                    depth: done,
                    rows: rest.to_vec(),
                });
                return End {
                    segment: self.segments.len() - 1,
                    offset: rest.len() - 1,
                };
            };
            let common = common(&self.segments[segment].rows, rest);
            done += common;
            if done == sequence.len() {
                return End {
                    segment,
                    offset: common - 1,
                };
            }
            if common < self.segments[segment].rows.len() {
                self.split(segment, common);
            }
            parent = Some(segment);
        }
    }

    fn child(&self, parent: Option<usize>, first: Row) -> Option<usize> {
        self.segments
            .iter()
            .position(|segment| segment.parent == parent && segment.rows[0] == first)
    }

    /// Cuts a segment in two; the first part keeps the index, the second becomes its child.
    fn split(&mut self, segment: usize, at: usize) {
        let tail = self.segments[segment].rows.split_off(at);
        let new = segment + 1;
        for other in &mut self.segments {
            other.parent = other.parent.map(|parent| {
                if parent >= segment {
                    parent + 1
                } else {
                    parent
                }
            });
        }
        let depth = self.segments[segment].depth + at;
        self.segments.insert(
            new,
            Segment {
                parent: Some(segment),
                depth,
                rows: tail,
            },
        );
        for end in &mut self.ends {
            if end.segment > segment {
                end.segment += 1;
            } else if end.segment == segment && end.offset >= at {
                *end = End {
                    segment: new,
                    offset: end.offset - at,
                };
            }
        }
    }
}

fn common(left: &[Row], right: &[Row]) -> usize {
    left.iter()
        .zip(right)
        .take_while(|(left, right)| left == right)
        .count()
}

/// Trees laid end to end into one stream of rows, without padding.
#[derive(Clone, Debug)]
pub struct Forest {
    /// Every row, tree after tree and segment after segment.
    pub rows: Vec<Row>,
    /// The position of every row in its own sequence, counted from its root.
    pub positions: Vec<u32>,
    /// Which rows see which.
    pub layout: Arc<AttentionLayout>,
    /// For each tree, the stream's row at which each of its sequences ends.
    pub reads: Vec<Vec<usize>>,
}

impl Forest {
    /// Packs `trees`. The media of tree `i` are numbered from `media_offsets[i]` on in the stream.
    pub fn new(trees: &[(&TokenTree, usize)]) -> Self {
        let mut forest = Packing::default();
        for (tree, media_offset) in trees {
            forest.add(tree, *media_offset);
        }
        forest.finish()
    }
}

#[derive(Default)]
struct Packing {
    rows: Vec<Row>,
    positions: Vec<u32>,
    items: Vec<AttentionItem>,
    reads: Vec<Vec<usize>>,
}

impl Packing {
    fn add(&mut self, tree: &TokenTree, media_offset: usize) {
        let mut spans: Vec<Range<usize>> = Vec::with_capacity(tree.segments.len());
        for segment in &tree.segments {
            let start = self.rows.len();
            self.rows.extend(segment.rows.iter().map(|row| Row {
                token: row.token,
                feature: row.feature.map(|feature| Feature {
                    medium: feature.medium + media_offset,
                    row: feature.row,
                }),
            }));
            self.positions
                .extend((0..segment.rows.len()).map(|offset| (segment.depth + offset) as u32));
            spans.push(start..self.rows.len());
            self.items.push(AttentionItem {
                queries: start..self.rows.len(),
                keys: path(tree, &spans, spans.len() - 1),
                visibility: Visibility::Causal,
            });
        }
        self.reads.push(
            tree.ends
                .iter()
                .map(|end| spans[end.segment].start + end.offset)
                .collect(),
        );
    }

    fn finish(self) -> Forest {
        let rows = self.rows.len();
        Forest {
            rows: self.rows,
            positions: self.positions,
            layout: Arc::new(AttentionLayout {
                queries: rows,
                keys: rows,
                items: self.items,
            }),
            reads: self.reads,
        }
    }
}

/// The spans from a segment's root down to itself.
fn path(tree: &TokenTree, spans: &[Range<usize>], segment: usize) -> Vec<Range<usize>> {
    let mut path = vec![spans[segment].clone()];
    let mut at = segment;
    while let Some(parent) = tree.segments[at].parent {
        path.push(spans[parent].clone());
        at = parent;
    }
    path.reverse();
    path
}
