//! Replies to prompts as streams of rows, what they share once.

use std::{ops::Range, sync::Arc};

use candle_core::Tensor;
use omnireward_models::{
    Features, Forest, Row, TokenTree,
    decoder::{Decoder, RowPositions},
    generation::{Positions, Prompt},
    ops,
};

use crate::Result;

/// A prompt with replies to it, none of them empty.
#[derive(Clone, Debug)]
pub(crate) struct Dialogue<'a> {
    pub(crate) prompt: &'a Prompt,
    pub(crate) replies: Vec<&'a [u32]>,
}

/// Dialogues that go through the decoder together. A token is read at the row before it, so the last of a reply has none.
pub(crate) struct Stream<'a> {
    forest: Forest,
    positions: Standing,
    /// Features of all dialogues' media, and which of them rows name.
    features: Vec<&'a Features>,
    /// The row before each token of each reply.
    pub(super) reads: Vec<usize>,
    /// The tokens.
    pub(super) words: Vec<u32>,
    /// Which of the tokens are each reply's, in the order of the dialogues.
    pub(crate) replies: Vec<Range<usize>>,
}

/// Where rows stand.
enum Standing {
    Plain,
    Multimodal(Vec<[u32; 3]>),
}

/// A dialogue as a tree.
struct Planted<'a, 'd> {
    dialogue: &'d Dialogue<'a>,
    tree: TokenTree,
}

impl<'a, 'd> Planted<'a, 'd> {
    fn new(dialogue: &'d Dialogue<'a>) -> Self {
        let sequences: Vec<Vec<Row>> = dialogue
            .replies
            .iter()
            .map(|reply| {
                let before_last = &reply[..reply.len().saturating_sub(1)];
                let words = before_last.iter().copied().map(Row::token);
                dialogue.prompt.rows.iter().copied().chain(words).collect()
            })
            .collect();
        Self {
            tree: TokenTree::new(&sequences),
            dialogue,
        }
    }
}

/// Packs dialogues, in their order, into streams of at most so many rows; one of more rows is a stream of its own.
/// Beside each stream stands the range of its dialogues.
pub(crate) fn streams<'a>(
    dialogues: &[Dialogue<'a>],
    batch_rows: usize,
) -> Vec<(Range<usize>, Stream<'a>)> {
    let mut streams = Vec::new();
    let mut trees: Vec<Planted<'a, '_>> = Vec::new();
    let (mut first, mut rows) = (0, 0);
    for (index, dialogue) in dialogues.iter().enumerate() {
        let planted = Planted::new(dialogue);
        if rows + planted.tree.rows() > batch_rows && !trees.is_empty() {
            streams.push((first..index, Stream::of(&std::mem::take(&mut trees))));
            (first, rows) = (index, 0);
        }
        rows += planted.tree.rows();
        trees.push(planted);
    }
    if !trees.is_empty() {
        streams.push((first..dialogues.len(), Stream::of(&trees)));
    }
    streams
}

impl<'a> Stream<'a> {
    fn of(trees: &[Planted<'a, '_>]) -> Self {
        let mut media = 0;
        let placed: Vec<(&TokenTree, usize)> = trees
            .iter()
            .map(|planted| {
                let start = media;
                media += planted.dialogue.prompt.features.starts.len();
                (&planted.tree, start)
            })
            .collect();
        let forest = Forest::new(&placed);
        let (mut reads, mut words, mut replies) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for Planted { dialogue, tree } in trees {
            let before = dialogue.prompt.rows.len() - 1;
            for (index, reply) in dialogue.replies.iter().enumerate() {
                let places = tree.places(index);
                reads.extend(places[before..].iter().map(|place| start + place));
                replies.push(words.len()..words.len() + reply.len());
                words.extend_from_slice(reply);
            }
            start += tree.rows();
        }
        Self {
            positions: Standing::of(trees, &forest),
            features: trees
                .iter()
                .map(|planted| &planted.dialogue.prompt.features)
                .collect(),
            forest,
            reads,
            words,
            replies,
        }
    }

    /// Rows of the stream.
    pub(crate) fn rows(&self) -> usize {
        self.forest.rows.len()
    }

    pub(super) fn positions(&self) -> RowPositions<'_> {
        match &self.positions {
            Standing::Plain => RowPositions::Plain(&self.forest.positions),
            Standing::Multimodal(positions) => RowPositions::Multimodal(positions),
        }
    }

    pub(super) fn layout(&self) -> &Arc<ops::AttentionLayout> {
        &self.forest.layout
    }

    /// The embeddings of all rows, with features in the places of media.
    ///
    /// # Shapes
    ///
    /// Returns `[rows, hidden]`.
    pub(super) fn inputs(&self, decoder: &Decoder) -> Result<Tensor> {
        let rows = &self.forest.rows;
        let words = rows.iter().filter(|row| row.feature.is_none());
        let tokens: Vec<u32> = words.map(|row| row.token).collect();
        let embedded = decoder.embed(&tokens)?;
        if tokens.len() == rows.len() {
            return Ok(embedded);
        }
        let mut tables = vec![embedded];
        // Where each medium's rows begin below the words.
        let mut starts = Vec::new();
        let mut end = tokens.len();
        for features in &self.features {
            starts.extend(features.starts.iter().map(|start| end + start));
            if let Some(table) = &features.rows {
                end += table.dim(0)?;
                tables.push(table.to_dtype(decoder.placement().dtype)?);
            }
        }
        let mut words = 0..tokens.len() as u32;
        let places: Vec<u32> = rows
            .iter()
            .map(|row| {
                let feature = row.feature.map(|at| (starts[at.medium] + at.row) as u32);
                let place = feature.or_else(|| words.next());
                place.expect("a row is a feature or one of the words")
            })
            .collect();
        Ok(ops::rows(&Tensor::cat(&tables, 0)?, &places)?)
    }
}

impl Standing {
    /// Of rows that are `forest`: those of a prompt as it says, those of replies one after another from there.
    fn of(trees: &[Planted<'_, '_>], forest: &Forest) -> Self {
        let is_plain = |planted: &Planted<'_, '_>| {
            matches!(planted.dialogue.prompt.positions, Positions::Plain)
        };
        if trees.iter().all(is_plain) {
            return Self::Plain;
        }
        let mut depths = forest.positions.iter();
        let mut all = Vec::with_capacity(forest.positions.len());
        for Planted { dialogue, tree } in trees {
            let own = depths.by_ref().take(tree.rows());
            all.extend(own.map(|&depth| match &dialogue.prompt.positions {
                Positions::Plain => [depth; 3],
                Positions::Multimodal(positions, next) => {
                    let after = depth as usize;
                    let position = positions.get(after).copied();
                    position.unwrap_or_else(|| [next + depth - positions.len() as u32; 3])
                }
            }));
        }
        Self::Multimodal(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(tokens: &[u32]) -> Prompt {
        Prompt::of_tokens(tokens)
    }

    #[test]
    fn what_replies_share_is_there_once() {
        let (long, short) = (prompt(&[1, 2, 3]), prompt(&[1]));
        let dialogues = [
            Dialogue {
                prompt: &long,
                replies: vec![&[7, 8, 9][..], &[7, 8, 5], &[6]],
            },
            Dialogue {
                prompt: &short,
                replies: vec![&[4, 4][..]],
            },
        ];
        let streams = streams(&dialogues, 100);
        let [(range, stream)] = &streams[..] else {
            panic!("{} streams", streams.len());
        };
        assert_eq!(*range, 0..2);
        // 1 2 3 | 7 8 and 1 | 4: the last token of a reply has no row.
        assert_eq!(stream.rows(), 7);
        assert_eq!(stream.words, [7, 8, 9, 7, 8, 5, 6, 4, 4]);
        assert_eq!(stream.reads, [2, 3, 4, 2, 3, 4, 2, 5, 6]);
        assert_eq!(stream.replies, [0..3, 3..6, 6..7, 7..9]);
    }

    #[test]
    fn streams_have_so_many_rows() {
        let prompts: Vec<Prompt> = (0..5).map(|token| prompt(&[token, 9, 9])).collect();
        let dialogues: Vec<Dialogue<'_>> = prompts
            .iter()
            .map(|prompt| Dialogue {
                prompt,
                replies: vec![&[1, 2][..]],
            })
            .collect();
        let rows = |most| -> Vec<(Range<usize>, usize)> {
            let streams = streams(&dialogues, most);
            streams
                .into_iter()
                .map(|(range, stream)| (range, stream.rows()))
                .collect()
        };
        assert_eq!(rows(8), [(0..2, 8), (2..4, 8), (4..5, 4)]);
        assert_eq!(rows(1).len(), 5);
        assert_eq!(rows(100), [(0..5, 20)]);
    }

    #[test]
    fn replies_stand_after_what_the_prompt_says() {
        let seeing = Prompt {
            positions: Positions::Multimodal(vec![[0; 3], [1, 1, 2], [1, 2, 1]], 3),
            ..prompt(&[1, 9, 9])
        };
        let plain = prompt(&[1]);
        let dialogues = [
            Dialogue {
                prompt: &seeing,
                replies: vec![&[5, 6, 7][..], &[5, 8, 7]],
            },
            Dialogue {
                prompt: &plain,
                replies: vec![&[5, 6][..]],
            },
        ];
        let streams = streams(&dialogues, 100);
        let RowPositions::Multimodal(positions) = streams[0].1.positions() else {
            panic!("positions are triples");
        };
        let expected = [
            [0; 3],
            [1, 1, 2],
            [1, 2, 1],
            [3; 3],
            [4; 3],
            [4; 3],
            [0; 3],
            [1; 3],
        ];
        assert_eq!(positions, expected);
    }
}
