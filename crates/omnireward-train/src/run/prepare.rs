//! Pairs as streams of rows, with the features of their media.

use std::{collections::HashMap, sync::Arc};

use omnireward_models::{
    Encoded, Features, MediaCache, RewardNetwork, TokenTree, processor::MediumShape,
};
use rayon::prelude::*;

use super::{
    data::Example,
    forward::{Planted, Stream},
};
use crate::{Error, Result};

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
}

/// Makes examples ready. Media that several of them share, as the criteria of one scene do, are encoded once.
pub(super) fn batch<'a>(
    network: &RewardNetwork,
    examples: &[&'a Example],
    source: &Source<'_>,
) -> Result<Batch<'a>> {
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
            if tree.rows() > source.batch_rows {
                return Err(Error::TooManyRows {
                    pair: example.pair.id.clone(),
                    rows: tree.rows(),
                    limit: source.batch_rows,
                });
            }
            Ok(Laid {
                example,
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

/// Packs trees, in their order, into streams of at most so many rows.
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
            let parts = pair
                .prompt
                .iter()
                .chain(pair.responses.iter().flat_map(|response| &response.parts));
            let media = parts.filter_map(omnireward_core::Part::as_media).collect();
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
