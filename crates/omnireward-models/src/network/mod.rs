//! A reward model as a function of pairs: what both scoring and training are made of.

mod closing;
mod reader;
pub(crate) mod recent;

use std::{fs, ops::Range, path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};
use omnireward_core::{PreferencePair, Task};
use omnireward_media::Limits;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::{closing::Closing, reader::Reader};
use crate::{
    Encoded, Error, Head, HeadPrecision, MediaCache, Result, Row,
    checkpoint::{Architecture, Family},
    decoder::{Decoder, DecoderConfig},
    minicpm_o, ops,
    processor::{ChatOptions, MediumInput, MediumShape, Preprocessing},
    qwen2_5_vl,
    weights::{Placement, Scope, Weights},
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

impl Precision {
    /// The type of activations for a checkpoint's weights.
    pub fn dtype(self, weights: &Weights) -> DType {
        match self {
            Self::Bf16 => DType::BF16,
            Self::AsStored if mostly_bf16(weights) => DType::BF16,
            Self::F32 | Self::AsStored => DType::F32,
        }
    }
}

/// What happens to a sequence longer than the model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TooLong {
    /// It is an error that names the pair.
    #[default]
    Refuse,
    /// The end of the last turn's words is cut off; the tokens that close the turn stay, so that the reward is read
    /// at the same token. What was cut is counted and logged as a warning.
    Cut,
}

/// How a reward model is set up. All of it but `limits` can change a reward.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// Where it computes.
    pub device: Device,
    /// In which type it computes.
    pub precision: Precision,
    /// In which type the head does.
    pub head_precision: HeadPrecision,
    /// How media become tensors.
    pub preprocessing: Preprocessing,
    /// What a text model's chat template is given besides the conversation.
    pub chat: ChatOptions,
    /// The longest sequence, in tokens; the model's own limit when `None`.
    pub max_length: Option<usize>,
    /// What happens to longer ones.
    pub too_long: TooLong,
    /// What media may cost to decode.
    pub limits: Limits,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            precision: Precision::default(),
            head_precision: HeadPrecision::default(),
            preprocessing: Preprocessing::reference(),
            chat: ChatOptions::default(),
            max_length: None,
            too_long: TooLong::default(),
            limits: Limits::default(),
        }
    }
}

/// A checkpoint's parts: what reads pairs, and what turns rows into rewards.
#[derive(Debug)]
pub struct RewardNetwork {
    family: Family,
    reader: Reader,
    decoder: Decoder,
    head: Head,
    closing: Closing,
    placement: Placement,
    max_length: usize,
    too_long: TooLong,
}

/// What towers made of media, as one tensor.
#[derive(Clone, Debug, Default)]
pub struct Features {
    /// `[rows of all media, hidden]`; `None` when there are none.
    pub rows: Option<Tensor>,
    /// Where each medium's rows begin.
    pub starts: Vec<usize>,
}

impl Features {
    /// Features of media that have so many rows each.
    fn new(rows: Option<Tensor>, lengths: Vec<usize>) -> Self {
        let starts = lengths.into_iter().scan(0, |start, length| {
            *start += length;
            Some(*start - length)
        });
        Self {
            rows,
            starts: starts.collect(),
        }
    }

    /// Features that are known already, one after another.
    pub fn of(media: &[Arc<Encoded>]) -> Result<Self> {
        let parts: Vec<&Tensor> = media.iter().map(|medium| &medium.features).collect();
        let lengths = parts
            .iter()
            .map(|part| part.dim(0))
            .collect::<candle_core::Result<_>>()?;
        let rows = match &parts[..] {
            [] => None,
            [only] => Some((*only).clone()),
            _ => Some(Tensor::cat(&parts, 0)?),
        };
        Ok(Self::new(rows, lengths))
    }
}

/// One sequence for each response of a pair, none too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequences {
    /// The rows of each response's sequence.
    pub rows: Vec<Vec<Row>>,
    /// Tokens cut from each.
    pub cut: Vec<usize>,
}

impl RewardNetwork {
    /// Sets up the checkpoint at `path`, a folder in Hugging Face layout, with `weights`: its own, or those with some
    /// tensors replaced.
    ///
    /// # Errors
    ///
    /// Fails before anything is computed, naming the file and the tensor or field, when the checkpoint is damaged,
    /// incomplete, of an unknown architecture, without a reward head, or has a tokenizer that does not fit it.
    pub fn new(path: &Path, weights: &Weights, options: &NetworkOptions) -> Result<Self> {
        let config_path = path.join("config.json");
        let json = read_json(&config_path)?;
        let family = Architecture::from_json(&json, &config_path)?.family;
        let placement = Placement {
            device: options.device.clone(),
            dtype: options.precision.dtype(weights),
        };
        let (config, reader) = if family == Family::MiniCpmO {
            let config = minicpm_o::Config::from_json(&json, &config_path)?;
            let text = config.text.clone();
            let reader = Reader::mini_cpm_o(path, config, weights, &placement, options)?;
            (text, reader)
        } else {
            let config = DecoderConfig::from_json(&json, &config_path)?;
            (config, Reader::chat(path, options)?)
        };
        let head = Head::load(weights, path, config.hidden, &placement)?
            .with_precision(options.head_precision);
        let limit = config.max_positions;
        Ok(Self {
            family,
            closing: Closing::of(&reader)?,
            reader,
            decoder: Decoder::load(&config, &decoder_scope(family, weights, &placement))?,
            head,
            placement,
            max_length: options.max_length.map_or(limit, |length| length.min(limit)),
            too_long: options.too_long,
        })
    }

    /// The same network, whose decoder also [writes](Decoder::logits), with the language-model head of `weights`.
    ///
    /// # Errors
    ///
    /// Fails when the decoder's embeddings are not its head, and there is no other.
    pub fn with_lm_head(mut self, weights: &Weights) -> Result<Self> {
        let scope = lm_head_scope(self.family, weights, &self.placement);
        self.decoder = self.decoder.with_lm_head(&scope)?;
        Ok(self)
    }

    /// Which model it is.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The language model.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// What turns hidden states into rewards.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Where it computes, and in which type.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The longest sequence it takes, in tokens.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// What happens to longer ones.
    pub fn too_long(&self) -> TooLong {
        self.too_long
    }

    /// How media and conversations become the model's input, for the record.
    pub fn preprocessing(&self) -> Value {
        self.reader.preprocessing()
    }

    /// Whether pairs of a task can be read with the towers that there are.
    pub fn supports(&self, task: Task) -> bool {
        self.reader.supports(task)
    }

    /// Whether rewards of a task's responses depend on which of them is the first.
    pub fn is_order_sensitive(&self, task: Task) -> bool {
        self.reader.is_order_sensitive(task)
    }

    /// Whether there was a pair so far of which sounds were heard with the first response alone, as the original's
    /// preprocessing has it.
    pub fn has_left_unheard(&self) -> bool {
        self.reader.has_left_unheard()
    }

    /// The features of a pair's media, in the order in which sequences number them, from the cache where it has them.
    /// Not for towers that are trained: the cache would go on giving features from before a step.
    pub fn encode(&self, pair: &PreferencePair, cache: &MediaCache) -> Result<Vec<Arc<Encoded>>> {
        self.reader.encode(pair, cache, &self.placement)
    }

    /// A pair's media as the towers read them, in the order in which sequences number them.
    pub fn media(&self, pair: &PreferencePair) -> Result<Vec<MediumInput>> {
        self.reader.media(pair)
    }

    /// The features of media, computed by the towers and differentiable in their weights.
    ///
    /// # Shapes
    ///
    /// `[rows of all media, hidden]`.
    pub fn features(&self, media: &[MediumInput]) -> Result<Features> {
        Ok(match self.reader.features(media)? {
            Some((rows, lengths)) => Features::new(Some(rows), lengths),
            None => Features::default(),
        })
    }

    /// The sequences of a pair whose media have these shapes.
    ///
    /// # Errors
    ///
    /// Fails when one is too long and may not, or cannot, be cut.
    pub fn sequences(&self, pair: &PreferencePair, media: &[MediumShape]) -> Result<Sequences> {
        let mut rows = self.reader.sequences(pair, media)?;
        let mut cut = vec![0; rows.len()];
        for (index, sequence) in rows.iter_mut().enumerate() {
            if sequence.len() > self.max_length {
                cut[index] = self.shorten(pair, index, sequence)?;
            }
        }
        Ok(Sequences { rows, cut })
    }

    /// The embeddings of all rows, with features in the places of media. `media` says which of the features each
    /// medium that rows name has.
    ///
    /// # Shapes
    ///
    /// Returns `[rows, hidden]`.
    pub fn inputs(&self, rows: &[Row], features: &Features, media: &[usize]) -> Result<Tensor> {
        let words = |row: &&Row| row.feature.is_none();
        let tokens: Vec<u32> = rows.iter().filter(words).map(|row| row.token).collect();
        let Some(table) = features.rows.as_ref().filter(|_| tokens.len() < rows.len()) else {
            return self.decoder.embed(&tokens);
        };
        let table = table.to_dtype(self.placement.dtype)?;
        let embedded = self.decoder.embed(&tokens)?;
        let (mut word, mut places) = (0, Vec::with_capacity(rows.len()));
        for row in rows {
            places.push(match row.feature {
                None => {
                    word += 1;
                    word - 1
                }
                Some(feature) => {
                    (tokens.len() + features.starts[media[feature.medium]] + feature.row) as u32
                }
            });
        }
        Ok(ops::rows(&Tensor::cat(&[embedded, table], 0)?, &places)?)
    }

    /// Where the words of a sequence's last turn stand, if it is made of words alone. The first token that closes the
    /// turn comes after them.
    pub fn last_words(&self, rows: &[Row]) -> Option<Range<usize>> {
        self.closing.words(rows)
    }

    /// Cuts a sequence that is too long, if that is asked for and possible, and says by how much.
    fn shorten(
        &self,
        pair: &PreferencePair,
        response: usize,
        rows: &mut Vec<Row>,
    ) -> Result<usize> {
        let too_many = rows.len() - self.max_length;
        let cuttable = match self.too_long {
            TooLong::Refuse => None,
            TooLong::Cut => self.closing.words(rows),
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
}

/// The level of names that holds `embed_tokens`, `layers` and `norm`.
fn decoder_scope(family: Family, weights: &Weights, placement: &Placement) -> Scope {
    match family {
        Family::MiniCpmO => minicpm_o::weights::decoder(weights, placement),
        Family::Qwen2_5Vl | Family::Qwen2_5Omni => qwen2_5_vl::weights::decoder(weights, placement),
        Family::Qwen2 | Family::Qwen3 | Family::Llama => weights.scope("model", placement),
    }
}

/// The level of names that holds `lm_head`.
fn lm_head_scope(family: Family, weights: &Weights, placement: &Placement) -> Scope {
    match family {
        Family::MiniCpmO => minicpm_o::weights::language(weights, placement),
        Family::Qwen2_5Vl | Family::Qwen2_5Omni => {
            qwen2_5_vl::weights::language(weights, placement)
        }
        Family::Qwen2 | Family::Qwen3 | Family::Llama => weights.scope("", placement),
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
