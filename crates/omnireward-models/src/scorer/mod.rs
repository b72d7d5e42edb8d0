use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use omnireward_core::{
    Identity, ModelError, ModelErrorKind, PreferencePair, RewardModel, Rewards, Task,
};
use serde::Serialize;
use serde_json::json;

use crate::{
    CacheStats, Encoded, Error, Features, Forest, MediaCache, NetworkOptions, Result,
    RewardNetwork, Row, TokenTree,
    checkpoint::{TieMargin, fingerprint},
    processor::MediumShape,
    weights::Weights,
};

/// About how many rows go through the decoder at once, unless said otherwise.
const BATCH_ROWS: usize = 4096;

/// The rewards of one pair and what they cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scored {
    /// One reward for each response.
    pub rewards: Vec<f64>,
    /// Tokens of each response's sequence, prompt and media included.
    pub tokens: Vec<usize>,
    /// Rows that were computed for all of them, what they share counted once.
    pub rows: usize,
    /// Tokens cut from each response's sequence; all zero unless [`TooLong::Cut`](crate::TooLong::Cut) was asked for.
    pub cut: Vec<usize>,
}

/// A checkpoint that gives rewards, ready to run.
///
/// Every pair becomes a token tree: what its responses share is computed once. Trees are packed into streams of about
/// 4096 rows, or [as many as asked for](Self::with_batch_rows); a reward does not depend on what else is in the
/// stream. Features of media come from the [cache](MediaCache) where it has them. One call computes at a time, on all
/// processors.
#[derive(Debug)]
pub struct RewardScorer {
    network: RewardNetwork,
    cache: Arc<MediaCache>,
    batch_rows: usize,
    identity: Identity,
    tie_margin: Option<f64>,
    computing: Mutex<()>,
}

/// A pair as the decoder takes it.
struct Prepared {
    sequences: Vec<Vec<Row>>,
    media: Vec<Arc<Encoded>>,
    cut: Vec<usize>,
}

/// Some responses of one pair, as one tree.
struct Work<'a> {
    pair: usize,
    tree: TokenTree,
    media: &'a [Arc<Encoded>],
}

impl RewardScorer {
    /// Opens the checkpoint at `path`: a folder in Hugging Face layout.
    ///
    /// # Errors
    ///
    /// As [`RewardNetwork::new`].
    pub fn open(path: &Path, options: &NetworkOptions, cache: Arc<MediaCache>) -> Result<Self> {
        let network = RewardNetwork::new(path, &Weights::open(path)?, options)?;
        let identity = Identity::new(
            name(path),
            json!({
                "checkpoint": fingerprint(path)?,
                "family": network.family(),
                "head": network.head().kind(),
                "compute": network.placement().dtype.as_str(),
                "device": network.placement().device_kind(),
                "head_precision": options.head_precision,
                "preprocessing": network.preprocessing(),
                "max_length": network.max_length(),
                "too_long": network.too_long(),
            }),
        );
        Ok(Self {
            network,
            cache,
            batch_rows: BATCH_ROWS,
            identity,
            tie_margin: TieMargin::read(path)?.map(|width| width.tie_margin),
            computing: Mutex::new(()),
        })
    }

    /// The same scorer with about this many rows in the decoder at once, which bounds the memory of activations.
    #[must_use]
    pub fn with_batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows;
        self
    }

    /// How close two rewards are when they are most likely a tie, where the checkpoint says so.
    pub fn tie_margin(&self) -> Option<f64> {
        self.tie_margin
    }

    /// Scores pairs, each on its own: one that fails does not fail the others.
    pub fn score_pairs(&self, pairs: &[PreferencePair]) -> Vec<Result<Scored>> {
        // A panic in another call leaves nothing half done that this one could see.
        let _computing = self
            .computing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut prepared = Vec::with_capacity(pairs.len());
        let mut results: Vec<Result<Scored>> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            match self.prepare(pair) {
                Ok(ready) => {
                    results.push(Ok(Scored::empty(&ready)));
                    prepared.push(Some(ready));
                }
                Err(error) => {
                    results.push(Err(error.of_pair(&pair.id)));
                    prepared.push(None);
                }
            }
        }
        for batch in self.batches(&prepared) {
            self.add_rewards(&batch, &mut results);
        }
        for (pair, result) in pairs.iter().zip(&mut results) {
            let scored = std::mem::replace(result, Ok(Scored::default()));
            *result = scored
                .map_err(|error| error.of_pair(&pair.id))
                .and_then(|scored| check_finite(pair, scored));
        }
        results
    }

    /// Whether there was a pair so far of which sounds were heard with the first response alone, as the original's
    /// preprocessing has it.
    pub fn has_left_unheard(&self) -> bool {
        self.network.has_left_unheard()
    }

    /// How often features of media were found in the cache.
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// Computes a stream of trees and adds their rewards to those of their pairs. When the stream fails, each tree is
    /// computed alone, so that only the pair at fault fails.
    fn add_rewards(&self, batch: &[Work<'_>], results: &mut [Result<Scored>]) {
        match self.run(batch) {
            Ok(rewards) => {
                for (work, rewards) in batch.iter().zip(rewards) {
                    if let Ok(scored) = &mut results[work.pair] {
                        scored.rewards.extend(rewards);
                        scored.rows += work.tree.rows();
                    }
                }
            }
            Err(error) => match batch {
                [work] => results[work.pair] = Err(error),
                _ => {
                    for work in batch {
                        self.add_rewards(std::slice::from_ref(work), results);
                    }
                }
            },
        }
    }

    fn prepare(&self, pair: &PreferencePair) -> Result<Prepared> {
        let media = self.network.encode(pair, &self.cache)?;
        let shapes: Vec<MediumShape> = media.iter().map(|medium| medium.shape.clone()).collect();
        let sequences = self.network.sequences(pair, &shapes)?;
        Ok(Prepared {
            sequences: sequences.rows,
            media,
            cut: sequences.cut,
        })
    }

    /// Packs trees into streams of about as many rows as are allowed.
    fn batches<'a>(&self, prepared: &'a [Option<Prepared>]) -> Vec<Vec<Work<'a>>> {
        let mut batches = Vec::new();
        let mut batch: Vec<Work<'a>> = Vec::new();
        let mut rows = 0;
        for (pair, prepared) in prepared.iter().enumerate() {
            let Some(prepared) = prepared else { continue };
            for work in self.trees(pair, prepared, &prepared.sequences) {
                if rows + work.tree.rows() > self.batch_rows && !batch.is_empty() {
                    batches.push(std::mem::take(&mut batch));
                    rows = 0;
                }
                rows += work.tree.rows();
                batch.push(work);
            }
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        batches
    }

    /// One tree for all responses of a pair, or several where one would not fit into a stream.
    fn trees<'a>(
        &self,
        pair: usize,
        prepared: &'a Prepared,
        sequences: &[Vec<Row>],
    ) -> Vec<Work<'a>> {
        let tree = TokenTree::new(sequences);
        if tree.rows() <= self.batch_rows || sequences.len() == 1 {
            return vec![Work {
                pair,
                tree,
                media: &prepared.media,
            }];
        }
        let (left, right) = sequences.split_at(sequences.len() / 2);
        let mut work = self.trees(pair, prepared, left);
        work.extend(self.trees(pair, prepared, right));
        work
    }

    /// The rewards of each tree's responses.
    fn run(&self, batch: &[Work<'_>]) -> Result<Vec<Vec<f64>>> {
        let mut media = Vec::new();
        let mut trees = Vec::with_capacity(batch.len());
        for work in batch {
            trees.push((&work.tree, media.len()));
            media.extend(work.media.iter().cloned());
        }
        let forest = Forest::new(&trees);
        let reads: Vec<usize> = forest.reads.iter().flatten().copied().collect();
        let media_places: Vec<usize> = (0..media.len()).collect();
        let inputs = self
            .network
            .inputs(&forest.rows, &Features::of(&media)?, &media_places)?;
        let hidden =
            self.network
                .decoder()
                .forward(&inputs, &forest.positions, &forest.layout, &reads)?;
        let mut rewards = self.network.head().rewards(&hidden)?.into_iter();
        Ok(forest
            .reads
            .iter()
            .map(|reads| rewards.by_ref().take(reads.len()).collect())
            .collect())
    }
}

/// The checkpoint's name in tables: that of its folder.
fn name(path: &Path) -> String {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

impl Scored {
    fn empty(prepared: &Prepared) -> Self {
        Self {
            rewards: Vec::with_capacity(prepared.sequences.len()),
            tokens: prepared.sequences.iter().map(Vec::len).collect(),
            rows: 0,
            cut: prepared.cut.clone(),
        }
    }
}

fn check_finite(pair: &PreferencePair, scored: Scored) -> Result<Scored> {
    let rewards = &scored.rewards;
    match rewards.iter().position(|reward| !reward.is_finite()) {
        None => Ok(scored),
        Some(index) => Err(Error::NotFinite {
            pair: pair.id.clone(),
            response: index + 1,
            reward: rewards[index],
        }),
    }
}

impl RewardModel for RewardScorer {
    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn supports(&self, task: Task) -> bool {
        self.network.supports(task)
    }

    fn is_order_sensitive(&self, task: Task) -> bool {
        self.network.is_order_sensitive(task)
    }

    fn score(&self, pairs: &[PreferencePair]) -> Result<Vec<Rewards>, ModelError> {
        self.score_pairs(pairs)
            .into_iter()
            .map(|scored| Ok(scored?.into()))
            .collect::<Result<_>>()
            .map_err(model_error)
    }
}

impl From<Scored> for Rewards {
    fn from(scored: Scored) -> Self {
        let cut = scored.cut.iter().zip(1..).filter(|&(&cut, _)| cut > 0);
        let cut: Vec<String> = cut
            .map(|(cut, response)| {
                let s = if *cut == 1 { "" } else { "s" };
                format!("response {response} was cut by {cut} token{s} to fit")
            })
            .collect();
        Self {
            values: scored.rewards,
            detail: (!cut.is_empty()).then(|| cut.join(", ")),
        }
    }
}

fn model_error(error: Error) -> ModelError {
    let kind = match &error {
        Error::Media { .. } => ModelErrorKind::Media,
        Error::TooLong { .. } => ModelErrorKind::Rejected,
        Error::Unsupported { .. } => ModelErrorKind::Unsupported,
        _ => ModelErrorKind::Internal,
    };
    ModelError::caused_by(kind, "the reward model failed", error)
}
