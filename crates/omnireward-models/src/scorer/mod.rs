mod closing;
mod identity;
mod reader;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use candle_core::{DType, Device, Tensor};
use omnireward_core::{Identity, ModelError, ModelErrorKind, PreferencePair, RewardModel, Task};
use omnireward_media::Limits;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::{closing::Closing, reader::Reader};
use crate::{
    CacheStats, Encoded, Error, Forest, Head, HeadPrecision, MediaCache, Result, Row, TokenTree,
    checkpoint::{Architecture, Family},
    decoder::{Decoder, DecoderConfig},
    minicpm_o,
    processor::Preprocessing,
    weights::{Placement, Weights},
};

/// The type in which a model computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// `bf16` for weights that are stored so, as the reference runs them; otherwise `f32`.
    #[default]
    AsStored,
    /// Activations in `f32`, whatever the weights are stored as.
    F32,
    /// Activations in `bf16` between operators, sums in `f32`.
    Bf16,
}

/// What happens to a sequence longer than the model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TooLong {
    /// It is an error that names the pair.
    #[default]
    Refuse,
    /// The end of the last turn's words is cut off; the tokens that close the turn stay, so that the reward is read
    /// at the same token. What was cut is counted in [`Scored::cut`] and logged as a warning.
    Cut,
}

/// How a reward model runs. All of it but `batch_rows` and `limits` can change a reward and is part of the model's
/// [identity](RewardModel::identity).
#[derive(Clone, Debug)]
pub struct ScorerOptions {
    /// Where it computes.
    pub device: Device,
    /// In which type it computes.
    pub precision: Precision,
    /// In which type the head does.
    pub head_precision: HeadPrecision,
    /// How media become tensors.
    pub preprocessing: Preprocessing,
    /// The longest sequence, in tokens; the model's own limit when `None`.
    pub max_length: Option<usize>,
    /// What happens to longer ones.
    pub too_long: TooLong,
    /// About how many rows go through the decoder at once. Bounds the memory of activations.
    pub batch_rows: usize,
    /// What media may cost to decode.
    pub limits: Limits,
}

impl Default for ScorerOptions {
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            precision: Precision::default(),
            head_precision: HeadPrecision::default(),
            preprocessing: Preprocessing::reference(),
            max_length: None,
            too_long: TooLong::default(),
            batch_rows: 4096,
            limits: Limits::default(),
        }
    }
}

/// The rewards of one pair and what they cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// One reward for each response.
    pub rewards: Vec<f64>,
    /// Tokens of each response's sequence, prompt and media included.
    pub tokens: Vec<usize>,
    /// Rows that were computed for all of them, what they share counted once.
    pub rows: usize,
    /// Tokens cut from each response's sequence; all zero unless [`TooLong::Cut`] was asked for.
    pub cut: Vec<usize>,
}

/// A checkpoint that gives rewards, ready to run.
///
/// Every pair becomes a token tree: what its responses share is computed once. Trees are packed into streams of about
/// [`batch_rows`](ScorerOptions::batch_rows) rows; a reward does not depend on what else is in the stream. Features of
/// media come from the [cache](MediaCache) where it has them. One call computes at a time, on all processors.
#[derive(Debug)]
pub struct RewardScorer {
    reader: Reader,
    decoder: Decoder,
    head: Head,
    cache: Arc<MediaCache>,
    options: ScorerOptions,
    placement: Placement,
    max_length: usize,
    closing: Closing,
    identity: Identity,
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
    /// Fails before anything is computed, naming the file and the tensor or field, when the checkpoint is damaged,
    /// incomplete, of an unknown architecture, without a reward head, or has a tokenizer that does not fit it.
    pub fn open(path: &Path, options: ScorerOptions, cache: Arc<MediaCache>) -> Result<Self> {
        let config_path = path.join("config.json");
        let json = read_json(&config_path)?;
        let family = Architecture::from_json(&json, &config_path)?.family;
        let weights = Weights::open(path)?;
        let placement = Placement {
            device: options.device.clone(),
            dtype: dtype(&weights, options.precision),
        };
        let (config, decoder, reader) = if family == Family::MiniCpmO {
            let config = minicpm_o::Config::from_json(&json, &config_path)?;
            let scope = minicpm_o::weights::decoder(&weights, &placement);
            let decoder = Decoder::load(&config.text, &scope)?;
            let reader = Reader::mini_cpm_o(path, &config, &weights, &placement, &options)?;
            (config.text, decoder, reader)
        } else {
            let config = DecoderConfig::from_json(&json, &config_path)?;
            let decoder = Decoder::load(&config, &weights.scope("model", &placement))?;
            (config, decoder, Reader::chat(path)?)
        };
        let head = Head::load(&weights, path, config.hidden, &placement)?
            .with_precision(options.head_precision);
        let limit = config.max_positions;
        let max_length = options.max_length.map_or(limit, |length| length.min(limit));
        let identity = Identity::new(
            name(path),
            json!({
                "checkpoint": identity::fingerprint(path)?,
                "family": family,
                "head": head.kind(),
                "compute": placement.dtype.as_str(),
                "head_precision": options.head_precision,
                "preprocessing": reader.preprocessing(),
                "max_length": max_length,
                "too_long": options.too_long,
            }),
        );
        Ok(Self {
            closing: Closing::of(&reader)?,
            reader,
            decoder,
            head,
            cache,
            placement,
            max_length,
            identity,
            options,
            computing: Mutex::new(()),
        })
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
                    results.push(Err(error));
                    prepared.push(None);
                }
            }
        }
        for batch in self.batches(&prepared) {
            self.add_rewards(&batch, &mut results);
        }
        for (pair, result) in pairs.iter().zip(&mut results) {
            if let Ok(scored) = result
                && let Err(error) = check_finite(pair, &scored.rewards)
            {
                *result = Err(error);
            }
        }
        results
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
        let media = self.reader.encode(pair, &self.cache, &self.placement)?;
        let mut sequences = self.reader.sequences(pair, &media)?;
        let mut cut = vec![0; sequences.len()];
        for (index, sequence) in sequences.iter_mut().enumerate() {
            if sequence.len() > self.max_length {
                cut[index] = self.shorten(pair, index, sequence)?;
            }
        }
        Ok(Prepared {
            sequences,
            media,
            cut,
        })
    }

    /// Cuts a sequence that is too long, if that is asked for and possible, and says by how much.
    fn shorten(
        &self,
        pair: &PreferencePair,
        response: usize,
        rows: &mut Vec<Row>,
    ) -> Result<usize> {
        let too_many = rows.len() - self.max_length;
        let cuttable = match self.options.too_long {
            TooLong::Refuse => None,
            TooLong::Cut => self.closing.cuttable(rows),
        };
        match cuttable {
            Some(span) if span.len() >= too_many => {
                rows.drain(span.end - too_many..span.end);
                tracing::warn!(
                    pair = pair.id,
                    response = response + 1,
                    cut = too_many,
                    "sequence cut to fit"
                );
                Ok(too_many)
            }
            _ => Err(Error::TooLong {
                pair: pair.id.clone(),
                response: response + 1,
                rows: rows.len(),
                limit: self.max_length,
            }),
        }
    }

    /// Packs trees into streams of about as many rows as are allowed.
    fn batches<'a>(&self, prepared: &'a [Option<Prepared>]) -> Vec<Vec<Work<'a>>> {
        let mut batches = Vec::new();
        let mut batch: Vec<Work<'a>> = Vec::new();
        let mut rows = 0;
        for (pair, prepared) in prepared.iter().enumerate() {
            let Some(prepared) = prepared else { continue };
            for work in self.trees(pair, prepared, &prepared.sequences) {
                if rows + work.tree.rows() > self.options.batch_rows && !batch.is_empty() {
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
        if tree.rows() <= self.options.batch_rows || sequences.len() == 1 {
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
        let inputs = self.inputs(&forest.rows, &media)?;
        let hidden = self
            .decoder
            .forward(&inputs, &forest.positions, &forest.layout, &reads)?;
        let mut rewards = self.head.rewards(&hidden)?.into_iter();
        Ok(forest
            .reads
            .iter()
            .map(|reads| rewards.by_ref().take(reads.len()).collect())
            .collect())
    }

    /// The embeddings of all rows, with features in the places of media: `[rows, hidden]`.
    fn inputs(&self, rows: &[Row], media: &[Arc<Encoded>]) -> Result<Tensor> {
        let tokens: Vec<u32> = rows.iter().map(|row| row.token).collect();
        let embedded = self.decoder.embed(&tokens)?;
        let mut parts = Vec::new();
        let mut start = 0;
        for run in rows.chunk_by(follows) {
            parts.push(match run[0].feature {
                None => embedded.narrow(0, start, run.len())?,
                Some(feature) => media[feature.medium]
                    .features
                    .narrow(0, feature.row, run.len())?
                    .to_dtype(self.placement.dtype)?,
            });
            start += run.len();
        }
        Ok(if parts.len() == 1 {
            parts.swap_remove(0)
        } else {
            Tensor::cat(&parts, 0)?
        })
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

fn dtype(weights: &Weights, precision: Precision) -> DType {
    match precision {
        Precision::Bf16 => DType::BF16,
        Precision::AsStored if mostly_bf16(weights) => DType::BF16,
        Precision::F32 | Precision::AsStored => DType::F32,
    }
}

/// Whether more than half of the bytes of a checkpoint's tensors are `bf16`.
fn mostly_bf16(weights: &Weights) -> bool {
    let (mut bf16, mut all) = (0, 0);
    for info in weights.names().filter_map(|name| weights.info(name)) {
        all += info.bytes;
        if info.stored == "BF16" {
            bf16 += info.bytes;
        }
    }
    2 * bf16 > all
}

fn read_json(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })
}

/// Whether two rows that stand side by side can be copied as one run.
fn follows(left: &Row, right: &Row) -> bool {
    match (left.feature, right.feature) {
        (None, None) => true,
        (Some(left), Some(right)) => left.medium == right.medium && left.row + 1 == right.row,
        _ => false,
    }
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

fn check_finite(pair: &PreferencePair, rewards: &[f64]) -> Result<()> {
    match rewards.iter().position(|reward| !reward.is_finite()) {
        None => Ok(()),
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
        self.reader.supports(task)
    }

    fn score(&self, pairs: &[PreferencePair]) -> Result<Vec<Vec<f64>>, ModelError> {
        self.score_pairs(pairs)
            .into_iter()
            .map(|scored| Ok(scored?.rewards))
            .collect::<Result<_>>()
            .map_err(model_error)
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
