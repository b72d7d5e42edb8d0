//! What the labels of duplicates say of the same responses.

use std::collections::{BTreeSet, HashMap};

use datafusion::arrow::{
    array::{Array, AsArray},
    datatypes::UInt64Type,
};
use omnireward_core::Preference;

use crate::{
    Error,
    near::{MediaHashes, RowMedia},
    signature::text::shingles,
    table::WorkTable,
};

/// Shingles that are kept of a response: enough to tell which of two it is.
const SHINGLES: usize = 16;

/// The labels of some rows, and what their responses look like.
pub(super) struct Labels<'a> {
    rows: HashMap<u64, Sides>,
    media: &'a RowMedia,
    hashes: &'a MediaHashes,
}

#[derive(Clone, Debug, Default)]
struct Sides {
    label: Option<Preference>,
    /// The least shingles of each response.
    responses: Vec<Vec<u64>>,
}

impl<'a> Labels<'a> {
    /// Reads the labels of the rows that are wanted.
    pub(super) fn read(
        table: &WorkTable,
        wanted: &BTreeSet<u64>,
        media: &'a RowMedia,
        hashes: &'a MediaHashes,
    ) -> Result<Self, Error> {
        let mut rows = HashMap::new();
        if wanted.is_empty() {
            return Ok(Self {
                rows,
                media,
                hashes,
            });
        }
        // Columns come in the table's order, whatever the order of their names.
        for (_, batch) in table.batches(Some(&["label", "responses", "row"]))? {
            let batch = batch?;
            let labels = batch.column(0).as_string::<i32>();
            let lists = batch.column(1).as_list::<i32>();
            let numbers = batch.column(2).as_primitive::<UInt64Type>().values();
            for (index, number) in numbers.iter().enumerate() {
                if !wanted.contains(number) {
                    continue;
                }
                let label = labels.is_valid(index).then(|| labels.value(index));
                let responses = lists.value(index);
                let responses = responses.as_string::<i32>().iter();
                let sides = Sides {
                    label: label.and_then(|label| label.parse().ok()),
                    responses: responses
                        .map(|text| least(text.unwrap_or_default()))
                        .collect(),
                };
                rows.insert(*number, sides);
            }
        }
        Ok(Self {
            rows,
            media,
            hashes,
        })
    }

    /// The label of a row.
    pub(super) fn of(&self, row: u64) -> Option<Preference> {
        self.rows.get(&row)?.label
    }

    /// The label of a row as if its responses stood in the order in which those of `other` do.
    pub(super) fn as_ordered(&self, row: u64, other: u64) -> Option<Preference> {
        let label = self.of(row)?;
        Some(if self.is_exchanged(row, other) {
            label.swapped()
        } else {
            label
        })
    }

    /// Whether the first response of one row is like the second of the other, and the other way about.
    fn is_exchanged(&self, one: u64, other: u64) -> bool {
        let like = |first: usize, second: usize| self.likeness((one, first), (other, second));
        like(0, 1) + like(1, 0) > like(0, 0) + like(1, 1)
    }

    /// How alike two responses are, by their words and by their media; a response is a row and its place.
    fn likeness(&self, one: (u64, usize), other: (u64, usize)) -> f64 {
        let words = |(row, index): (u64, usize)| {
            let sides = self.rows.get(&row);
            sides.and_then(|sides| sides.responses.get(index))
        };
        let media = |(row, index): (u64, usize)| {
            let all = self.media.of(row).iter();
            all.filter(move |one| one.place as usize == index + 1)
        };
        let shared = match (words(one), words(other)) {
            (Some(a), Some(b)) => a.iter().filter(|shingle| b.contains(shingle)).count(),
            _ => 0,
        };
        let near = media(one)
            .flat_map(|a| media(other).map(move |b| self.hashes.similarity(a.medium, b.medium)));
        shared as f64 / SHINGLES as f64 + near.fold(0.0, f64::max)
    }
}

/// The least shingles of a text.
fn least(text: &str) -> Vec<u64> {
    // Of single words: one edit takes no other word with it.
    let mut shingles = shingles([text], 1);
    shingles.truncate(SHINGLES);
    shingles
}
