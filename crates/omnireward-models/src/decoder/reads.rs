use std::{ops::Range, sync::Arc};

use candle_core::{Result, Tensor};

use crate::{
    decoder::rotary::Rotary,
    ops::{AttentionItem, AttentionLayout, Visibility, rows},
};

/// The rows of a stream that are read, each once, and the attention of those rows alone.
#[derive(Debug)]
pub(super) struct Reads {
    /// Sorted, without repetition.
    rows: Vec<u32>,
    /// For each read as it was asked for, its place in `rows`.
    order: Vec<u32>,
    layout: Arc<AttentionLayout>,
}

impl Reads {
    /// # Panics
    ///
    /// When a row belongs to no item of `layout`.
    pub(super) fn new(layout: &AttentionLayout, reads: &[usize]) -> Self {
        let mut rows = reads.to_vec();
        rows.sort_unstable();
        rows.dedup();
        let order = reads
            .iter()
            .map(|read| rows.partition_point(|row| row < read) as u32)
            .collect();
        Self {
            layout: Arc::new(restricted(layout, &rows)),
            rows: rows.into_iter().map(|row| row as u32).collect(),
            order,
        }
    }

    /// Which keys the rows see, the queries being the rows alone.
    pub(super) fn layout(&self) -> &Arc<AttentionLayout> {
        &self.layout
    }

    /// The rows of a stream.
    pub(super) fn select(&self, stream: &Tensor) -> Result<Tensor> {
        rows(stream, &self.rows)
    }

    /// The angles of the rows.
    pub(super) fn select_rotary(&self, rotary: &Rotary) -> Result<Rotary> {
        Ok(Rotary {
            cos: self.select(&rotary.cos)?,
            sin: self.select(&rotary.sin)?,
        })
    }

    /// The rows as they were asked for.
    pub(super) fn in_order(&self, stream: &Tensor) -> Result<Tensor> {
        rows(stream, &self.order)
    }
}

/// `layout` with the queries `rows` only. Neighbours of one item stay together.
fn restricted(layout: &AttentionLayout, rows: &[usize]) -> AttentionLayout {
    let mut items: Vec<&AttentionItem> = layout.items.iter().collect();
    items.sort_unstable_by_key(|item| item.queries.start);
    let mut kept = Vec::new();
    let mut done = 0;
    while done < rows.len() {
        let row = rows[done];
        let item = items[..items.partition_point(|item| item.queries.start <= row)]
            .last()
            .filter(|item| item.queries.contains(&row))
            .expect("every row belongs to an item of its layout");
        let run = match item.visibility {
            Visibility::Chunks(_) => 1,
            Visibility::Causal | Visibility::Full => run(&rows[done..], item.queries.end),
        };
        let last = row + run - 1 - item.queries.start;
        kept.push(AttentionItem {
            queries: done..done + run,
            keys: beginning(&item.keys, item.visible(last)),
            visibility: match item.visibility {
                Visibility::Chunks(_) => Visibility::Full,
                other => other,
            },
        });
        done += run;
    }
    AttentionLayout {
        queries: rows.len(),
        keys: layout.keys,
        items: kept,
    }
}

/// How many of `rows` follow one another without a gap before `end`.
fn run(rows: &[usize], end: usize) -> usize {
    rows.iter()
        .enumerate()
        .take_while(|(index, row)| **row == rows[0] + index && **row < end)
        .count()
}

/// The first `len` rows of a path.
pub(crate) fn beginning(path: &[Range<usize>], len: usize) -> Vec<Range<usize>> {
    let mut left = len;
    path.iter()
        .map_while(|range| {
            let taken = range.len().min(left);
            left -= taken;
            (taken > 0).then(|| range.start..range.start + taken)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(
        queries: Range<usize>,
        keys: &[(usize, usize)],
        visibility: Visibility,
    ) -> AttentionItem {
        AttentionItem {
            queries,
            keys: keys.iter().map(|(start, end)| *start..*end).collect(),
            visibility,
        }
    }

    #[test]
    fn reads_keep_what_their_rows_see() {
        use Visibility::{Causal, Chunks, Full};
        let layout = AttentionLayout {
            queries: 17,
            keys: 17,
            items: vec![
                item(0..4, &[(0, 4)], Causal),
                item(9..12, &[(9, 12)], Full),
                item(4..9, &[(0, 4), (4, 9)], Causal),
                item(12..17, &[(12, 17)], Chunks(2)),
            ],
        };
        let reads = Reads::new(&layout, &[15, 6, 3, 7, 10, 6, 4]);
        assert_eq!(reads.rows, [3, 4, 6, 7, 10, 15]);
        assert_eq!(reads.order, [5, 2, 0, 3, 4, 2, 1]);
        assert_eq!(
            *reads.layout,
            AttentionLayout {
                queries: 6,
                keys: 17,
                items: vec![
                    item(0..1, &[(0, 4)], Causal),
                    item(1..2, &[(0, 4), (4, 5)], Causal),
                    item(2..4, &[(0, 4), (4, 8)], Causal),
                    item(4..5, &[(9, 12)], Full),
                    item(5..6, &[(12, 16)], Full),
                ],
            }
        );
    }
}
