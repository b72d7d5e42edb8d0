//! Pairs as streams of rows, with the features of their media.

use std::{collections::HashMap, sync::Arc};

use omnireward_core::Progress;
use omnireward_models::{
    Encoded, Features, MediaCache, RewardNetwork, Sequences, TokenTree, TooLong,
    processor::MediumShape,
};
use rayon::prelude::*;

use super::{
    data::Example,
    forward::{Learner, NextWord, Planted, Stream},
};
use crate::Result;

/// How pairs are made ready.
pub(super) struct Source<'a> {
    /// Features of media, where towers are frozen.
    pub(super) cache: &'a MediaCache,
    /// Whether gradients are to reach the towers, so that features are computed anew.
    pub(super) trains_media: bool,
    /// Rows that go through the decoder at once.
    pub(super) batch_rows: usize,
}

/// Examples as streams, and what their media became.
pub(super) struct Batch<'a> {
    pub(super) streams: Vec<Stream<'a>>,
    pub(super) features: Features,
}

/// An example's sequences as a tree, and what its media are known by.
struct Laid<'a> {
    example: &'a Example,
    tree: TokenTree,
    media: Vec<usize>,
    words: Vec<NextWord>,
}

/// Makes examples ready. Media that several of them share, as the criteria of one scene do, are encoded once.
pub(super) fn batch<'a>(
    learner: Learner<'_>,
    examples: &[&'a Example],
    source: &Source<'_>,
) -> Result<Batch<'a>> {
    let network = learner.network;
    let scenes = scenes(examples);
    let (features, shapes) = if source.trains_media {
        computed(network, examples, &scenes)?
    } else {
        cached(network, examples, &scenes, source.cache)?
    };
    let laid = examples
        .par_iter()
        .zip(&scenes.of)
        .map(|(example, &scene)| {
            let media = &shapes[scene];
            let known: Vec<MediumShape> = media.iter().map(|(shape, _)| shape.clone()).collect();
            let sequences = network.sequences(&example.pair, &known)?;
            let tree = TokenTree::new(&sequences.rows);
            let words = if example.learns_words() {
                words_of_best(network, example, &sequences, &tree)
            } else {
                Vec::new()
            };
            Ok(Laid {
                example,
                words,
                tree,
                media: media.iter().map(|&(_, index)| index).collect(),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Batch {
        streams: streams(laid, source.batch_rows),
        features,
    })
}

/// The words of the last turn of the best response's sequence and the token that ends it, unless the words were cut. They
/// are the response's, or, where responses are media, the prompt's, which follow the medium. None where no response is the
/// best.
fn words_of_best(
    network: &RewardNetwork,
    example: &Example,
    sequences: &Sequences,
    tree: &TokenTree,
) -> Vec<NextWord> {
    let Some(best) = example.judgement.best() else {
        return Vec::new();
    };
    let rows = &sequences.rows[best];
    let Some(mut words) = network.last_words(rows) else {
        return Vec::new();
    };
    if sequences.cut[best] == 0 {
        words.end += 1;
    }
    let places = tree.places(best);
    let of = words.len();
    words
        .map(|word| NextWord {
            after: places[word - 1],
            token: rows[word].token,
            of,
        })
        .collect()
}

/// Fails where a pair of words is longer than the model takes and may not be cut, before anything is computed. How long
/// others are is only known when their media are read.
pub(super) fn check_lengths<'a>(
    network: &RewardNetwork,
    examples: impl ParallelIterator<Item = &'a Example>,
    progress: &dyn Progress,
) -> Result<()> {
    if network.too_long() == TooLong::Cut {
        return Ok(());
    }
    examples
        .filter(|example| example.pair.media().next().is_none())
        .try_for_each(|example| {
            network.sequences(&example.pair, &[])?;
            progress.advance(1, "");
            Ok(())
        })
}

/// Packs trees, in their order, into streams of at most so many rows; a tree of more rows is a stream of its own.
fn streams(laid: Vec<Laid<'_>>, batch_rows: usize) -> Vec<Stream<'_>> {
    let mut streams = Vec::new();
    let mut trees = Vec::new();
    let mut rows = 0;
    for laid in laid {
        if rows + laid.tree.rows() > batch_rows && !trees.is_empty() {
            streams.push(Stream::new(std::mem::take(&mut trees)));
            rows = 0;
        }
        rows += laid.tree.rows();
        trees.push(Planted {
            example: laid.example,
            tree: laid.tree,
            media: laid.media,
            words: laid.words,
        });
    }
    if !trees.is_empty() {
        streams.push(Stream::new(trees));
    }
    streams
}

/// Which examples have the same media.
struct Scenes {
    /// The scene of each example.
    of: Vec<usize>,
    /// The first example of each scene.
    first: Vec<usize>,
}

fn scenes(examples: &[&Example]) -> Scenes {
    let mut known: HashMap<Vec<&omnireward_core::MediaRef>, usize> = HashMap::new();
    let mut first = Vec::new();
    let of = examples
        .iter()
        .enumerate()
        .map(|(index, example)| {
            let pair = &example.pair;
            let media = pair.media().collect();
            *known.entry(media).or_insert_with(|| {
                first.push(index);
                first.len() - 1
            })
        })
        .collect();
    Scenes { of, first }
}

/// For each scene the shapes of its media, with their places among the features.
type Shapes = Vec<Vec<(MediumShape, usize)>>;

/// Features from the cache, or from the towers without a graph.
fn cached(
    network: &RewardNetwork,
    examples: &[&Example],
    scenes: &Scenes,
    cache: &MediaCache,
) -> Result<(Features, Shapes)> {
    let mut all: Vec<Arc<Encoded>> = Vec::new();
    let mut shapes = Vec::new();
    for &first in &scenes.first {
        let media = network.encode(&examples[first].pair, cache)?;
        let own = media.iter().enumerate();
        shapes.push(
            own.map(|(index, medium)| (medium.shape.clone(), all.len() + index))
                .collect(),
        );
        all.extend(media);
    }
    Ok((Features::of(&all)?, shapes))
}

/// Features computed by towers that are trained.
fn computed(
    network: &RewardNetwork,
    examples: &[&Example],
    scenes: &Scenes,
) -> Result<(Features, Shapes)> {
    let media = scenes
        .first
        .par_iter()
        .map(|&first| Ok(network.media(&examples[first].pair)?))
        .collect::<Result<Vec<_>>>()?;
    let mut all = Vec::new();
    let mut shapes = Vec::new();
    for media in media {
        let own = media.iter().enumerate();
        shapes.push(
            own.map(|(index, medium)| (medium.shape(), all.len() + index))
                .collect(),
        );
        all.extend(media);
    }
    Ok((network.features(&all)?, shapes))
}
