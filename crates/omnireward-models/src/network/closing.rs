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
        let after = |opening: &[Row]| {
            let mut windows = rows[..end].windows(opening.len().max(1));
            windows
                .rposition(|window| window == opening)
                .map(|start| start + opening.len())
        };
        // White space at the beginning of the words can be one token with the template's last.
        let melted = self.opening.split_last().and_then(|(_, rest)| after(rest));
        let words = after(&self.opening).max(melted)?;
        let has_features = rows[words..end].iter().any(|row| row.feature.is_some());
        (!has_features && words < end).then_some(words..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A turn begins with the rows 1, 2, 3 and ends with 9.
    fn words(tokens: &[u32]) -> Option<Range<usize>> {
        let rows =
            |tokens: &[u32]| -> Vec<Row> { tokens.iter().copied().map(Row::token).collect() };
        let closing = Closing {
            opening: rows(&[1, 2, 3]),
            closing: 1,
        };
        closing.words(&rows(tokens))
    }

    #[test]
    fn the_words_are_those_of_the_last_turn() {
        assert_eq!(words(&[1, 2, 3, 7, 9, 1, 2, 3, 8, 8, 9]), Some(8..10));
        assert_eq!(words(&[7, 8, 9]), None);
        assert_eq!(words(&[1, 2, 3, 9]), None, "there are none");
    }

    /// Byte pairs: a new line and the one before it are a token of their own, here 4.
    #[test]
    fn words_that_melt_into_the_opening_begin_with_the_molten_token() {
        assert_eq!(words(&[1, 2, 3, 7, 9, 1, 2, 4, 8, 9]), Some(7..9));
    }
}
