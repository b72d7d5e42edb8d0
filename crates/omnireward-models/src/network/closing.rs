use std::ops::Range;

use omnireward_core::{PreferencePair, Response, Task};

use super::reader::Reader;
use crate::{Result, Row};

/// How a conversation's last turn begins and ends, so that its words can be told from what is the template's.
///
/// Found by laying out two conversations that differ only in the words of the last turn: what they share before and
/// after those words is the template's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Closing {
    /// The last rows before the words.
    opening: Vec<Row>,
    /// How many rows follow the words.
    closing: usize,
}

/// Rows that tell the beginning of the last turn from other text.
const OPENING: usize = 3;

impl Closing {
    pub(super) fn of(reader: &Reader) -> Result<Self> {
        let responses = ["a", "b"].map(Response::text);
        let pair = PreferencePair::new("template", Task::T2T, "c", responses);
        let sequences = reader.sequences(&pair, &[])?;
        let [first, second] = [&sequences[0], &sequences[1]];
        let same = |(left, right): &(&Row, &Row)| left == right;
        let before = first.iter().zip(second).take_while(same).count();
        let after = first
            .iter()
            .rev()
            .zip(second.iter().rev())
            .take_while(same)
            .count();
        Ok(Self {
            opening: first[before.saturating_sub(OPENING)..before].to_vec(),
            closing: after,
        })
    }

    /// The words of the last turn, if they can be told from what stands around them.
    pub(super) fn words(&self, rows: &[Row]) -> Option<Range<usize>> {
        let end = rows.len().checked_sub(self.closing)?;
        let words = rows[..end]
            .windows(self.opening.len().max(1))
            .rposition(|window| window == self.opening)?
            + self.opening.len();
        let has_features = rows[words..end].iter().any(|row| row.feature.is_some());
        (!has_features && words < end).then_some(words..end)
    }
}
