use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use candle_core::Tensor;
use omnireward_core::{MediaSource, Modality, PreferencePair, Task};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{NetworkOptions, recent::Recent};
use crate::{
    Encoded, Error, MediaCache, MediaKey, Result, Row,
    minicpm_o::{self, Fingerprint, Towers},
    ops,
    processor::{ChatProcessor, MediaUse, MediumInput, MediumShape, MiniCpmOProcessor, is_mesh},
    weights::{Placement, Weights},
};

/// Pictures of meshes that are remembered, of about a megabyte each.
const SHEETS: usize = 32;
/// Lengths of sounds that are remembered.
const LENGTHS: usize = 1024;

/// Turns pairs into sequences, and their media into features.
#[derive(Debug)]
pub(super) enum Reader {
    /// MiniCPM-o, which sees and hears.
    MiniCpmO(Box<MiniCpmO>),
    /// A text model with a chat template.
    Chat(Box<ChatProcessor>),
}

#[derive(Debug)]
pub(super) struct MiniCpmO {
    processor: MiniCpmOProcessor,
    towers: Towers,
    /// Tells these towers from all others of this process.
    loaded: Fingerprint,
    sheets: Recent<Arc<[u8]>>,
    lengths: Recent<usize>,
    left_unheard: AtomicBool,
}

impl Reader {
    pub(super) fn mini_cpm_o(
        dir: &Path,
        config: minicpm_o::Config,
        weights: &Weights,
        placement: &Placement,
        options: &NetworkOptions,
    ) -> Result<Self> {
        if let Some(name) = options.chat.variables.keys().next() {
            return Err(Error::Template {
                path: dir.to_owned(),
                reason: format!("this model's conversations have none that `{name}` could go into"),
            });
        }
        let processor = MiniCpmOProcessor::open_for(dir, &config, options.preprocessing.clone())?;
        Ok(Self::MiniCpmO(Box::new(MiniCpmO {
            processor: processor.with_limits(options.limits),
            towers: Towers::load(&config, weights, placement)?,
            loaded: next_load(),
            sheets: Recent::new(SHEETS),
            lengths: Recent::new(LENGTHS),
            left_unheard: AtomicBool::new(false),
        })))
    }

    pub(super) fn chat(dir: &Path, options: &NetworkOptions) -> Result<Self> {
        let processor = ChatProcessor::open_with(dir, &options.chat)?;
        Ok(Self::Chat(Box::new(processor)))
    }

    /// Whether rewards of a task's responses depend on which of them is the first.
    pub(super) fn is_order_sensitive(&self, task: Task) -> bool {
        match self {
            Self::Chat(_) => false,
            Self::MiniCpmO(model) => model.processor.is_order_sensitive(task),
        }
    }

    /// Whether there was a pair of which the first response's sequence alone got sounds that belong to others too.
    pub(super) fn has_left_unheard(&self) -> bool {
        match self {
            Self::Chat(_) => false,
            Self::MiniCpmO(model) => model.left_unheard.load(Ordering::Relaxed),
        }
    }

    /// Whether pairs of a task can be scored with the towers that there are.
    pub(super) fn supports(&self, task: Task) -> bool {
        let is_read = |modality| match self {
            Self::Chat(_) => modality == Modality::Text,
            Self::MiniCpmO(model) => match modality {
                Modality::Text => true,
                Modality::Audio => model.towers.hears(),
                Modality::Image | Modality::Video | Modality::Mesh => model.towers.sees(),
            },
        };
        task.prompt_modality()
            .into_iter()
            .chain([task.response_modality()])
            .all(is_read)
    }

    /// The features of a pair's media, in the order in which sequences number them.
    pub(super) fn encode(
        &self,
        pair: &PreferencePair,
        cache: &MediaCache,
        placement: &Placement,
    ) -> Result<Vec<Arc<Encoded>>> {
        match self {
            Self::Chat(_) => Ok(Vec::new()),
            Self::MiniCpmO(model) => model.encode(pair, cache, placement),
        }
    }

    /// One sequence for each response.
    pub(super) fn sequences(
        &self,
        pair: &PreferencePair,
        media: &[MediumShape],
    ) -> Result<Vec<Vec<Row>>> {
        match self {
            Self::Chat(processor) => processor.sequences(pair),
            Self::MiniCpmO(model) => model.sequences(pair, media),
        }
    }

    /// A pair's media as the towers read them, in the order in which sequences number them.
    pub(super) fn media(&self, pair: &PreferencePair) -> Result<Vec<MediumInput>> {
        match self {
            Self::Chat(_) => Ok(Vec::new()),
            Self::MiniCpmO(model) => model.media(pair),
        }
    }

    /// What the towers make of media, and how many rows of each; nothing where there is none.
    pub(super) fn features(&self, media: &[MediumInput]) -> Result<Option<(Tensor, Vec<usize>)>> {
        match self {
            Self::MiniCpmO(model) if !media.is_empty() => model.features(media).map(Some),
            Self::Chat(_) | Self::MiniCpmO(_) => Ok(None),
        }
    }

    /// How media and conversations become the model's input, for the record.
    pub(super) fn preprocessing(&self) -> Value {
        match self {
            // The template and the tokenizer are files of the checkpoint.
            Self::Chat(processor) if processor.variables().is_empty() => Value::Null,
            Self::Chat(processor) => json!({ "template_variables": processor.variables() }),
            Self::MiniCpmO(model) => json!(model.processor.preprocessing()),
        }
    }
}

impl MiniCpmO {
    fn media(&self, pair: &PreferencePair) -> Result<Vec<MediumInput>> {
        let uses = self.processor.media(pair)?;
        let bytes = self.bytes(&uses)?;
        let padded_to = self.padded_to(&uses, &bytes)?;
        uses.iter()
            .zip(&bytes)
            .map(|(medium, bytes)| self.processor.prepare(medium, bytes, padded_to))
            .collect()
    }

    fn sequences(&self, pair: &PreferencePair, media: &[MediumShape]) -> Result<Vec<Vec<Row>>> {
        if self.processor.leaves_unheard(pair) && !self.left_unheard.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                pair = pair.id,
                "sounds are heard with the first response alone, here and in other pairs, as in the original; \
                 `audio_rows=own_row` mends that"
            );
        }
        self.processor.sequences(pair, media)
    }

    fn bytes(&self, uses: &[MediaUse<'_>]) -> Result<Vec<Arc<[u8]>>> {
        uses.iter().map(|medium| self.read(medium)).collect()
    }

    /// As the processor reads it; a mesh is drawn once.
    fn read(&self, medium: &MediaUse<'_>) -> Result<Arc<[u8]>> {
        let stored = self.processor.stored(medium)?;
        if !is_mesh(&stored) {
            return Ok(stored);
        }
        // What stands in other files beside it is known by its place.
        let place = match &medium.media.source {
            MediaSource::File { path, .. } => path.as_os_str().as_encoded_bytes(),
            _ => medium.media.name().as_bytes(),
        };
        let key = Sha256::new()
            .chain_update(Sha256::digest(&stored))
            .chain_update(place);
        self.sheets
            .get_or(key.finalize().into(), || self.processor.drawn(medium))
    }

    fn encode(
        &self,
        pair: &PreferencePair,
        cache: &MediaCache,
        placement: &Placement,
    ) -> Result<Vec<Arc<Encoded>>> {
        let uses = self.processor.media(pair)?;
        let bytes = self.bytes(&uses)?;
        let padded_to = self.padded_to(&uses, &bytes)?;
        let mut found: Vec<Option<Arc<Encoded>>> = Vec::with_capacity(uses.len());
        let mut keys = Vec::with_capacity(uses.len());
        for (medium, bytes) in uses.iter().zip(&bytes) {
            let tower = self.tower(medium.media.modality, cache)?;
            let key = MediaKey::new(bytes, &self.recipe(medium, padded_to), &tower);
            // A medium that stands twice in a pair is looked up, and encoded, once.
            let known = keys.contains(&key);
            found.push(if known {
                None
            } else {
                cache.get(key, &placement.device)
            });
            keys.push(key);
        }
        self.encode_missing(&uses, &bytes, padded_to, &keys, &mut found, cache)?;
        Ok(keys
            .iter()
            .zip(&found)
            .map(|(key, own)| {
                let first = || {
                    let first = keys.iter().position(|other| other == key)?;
                    found[first].clone()
                };
                own.clone()
                    .or_else(first)
                    .expect("every key was found or encoded at its first place")
            })
            .collect())
    }

    fn encode_missing(
        &self,
        uses: &[MediaUse<'_>],
        bytes: &[Arc<[u8]>],
        padded_to: Option<usize>,
        keys: &[MediaKey],
        found: &mut [Option<Arc<Encoded>>],
        cache: &MediaCache,
    ) -> Result<()> {
        let missing: Vec<usize> = (0..keys.len())
            .filter(|&index| found[index].is_none() && !keys[..index].contains(&keys[index]))
            .collect();
        let inputs = missing
            .iter()
            .map(|&index| {
                self.processor
                    .prepare(&uses[index], &bytes[index], padded_to)
            })
            .collect::<Result<Vec<_>>>()?;
        if missing.is_empty() {
            return Ok(());
        }
        let (rows, lengths) = self.features(&inputs)?;
        let mut start = 0;
        for ((index, input), length) in missing.into_iter().zip(&inputs).zip(lengths) {
            let encoded = Encoded {
                shape: input.shape(),
                features: rows.narrow(0, start, length)?,
            };
            start += length;
            found[index] = Some(cache.put(keys[index], encoded)?);
        }
        Ok(())
    }

    /// The rows of all inputs, one after another, and how many each has. All pictures go through the vision tower
    /// together.
    fn features(&self, inputs: &[MediumInput]) -> Result<(Tensor, Vec<usize>)> {
        let pictures: Vec<_> = inputs
            .iter()
            .flat_map(MediumInput::pictures)
            .cloned()
            .collect();
        let mut parts = Vec::new();
        let mut picture_rows = Vec::new();
        if !pictures.is_empty() {
            let (rows, lengths) = self.towers.encode_images_together(&pictures)?;
            parts.push(rows);
            picture_rows = lengths;
        }
        // Where each input's rows begin among all, pictures first.
        let (mut seen, mut heard) = (0, picture_rows.iter().sum::<usize>());
        let mut picture_rows = picture_rows.into_iter();
        let mut places = Vec::with_capacity(inputs.len());
        for input in inputs {
            if let MediumInput::Audio(audio) = input {
                let rows = self.towers.encode_audio(audio)?;
                places.push((heard, rows.dim(0)?));
                heard += rows.dim(0)?;
                parts.push(rows);
            } else {
                let length = picture_rows.by_ref().take(input.pictures().len()).sum();
                places.push((seen, length));
                seen += length;
            }
        }
        let lengths = places.iter().map(|&(_, length)| length).collect();
        let rows = match &parts[..] {
            [only] => only.clone(),
            _ => Tensor::cat(&parts, 0)?,
        };
        if places.is_sorted() {
            return Ok((rows, lengths));
        }
        let order: Vec<u32> = places
            .iter()
            .flat_map(|&(start, length)| start as u32..(start + length) as u32)
            .collect();
        Ok((ops::rows(&rows, &order)?, lengths))
    }

    /// The longest sound of the pair, in frames, where shorter ones are to hear that they are filled up.
    fn padded_to(&self, uses: &[MediaUse<'_>], bytes: &[Arc<[u8]>]) -> Result<Option<usize>> {
        if !self.processor.hears_padding() {
            return Ok(None);
        }
        let mut longest = None;
        for (medium, bytes) in uses.iter().zip(bytes) {
            if medium.media.modality == Modality::Audio {
                let frames = self.lengths.get_or(Sha256::digest(bytes).into(), || {
                    self.processor.audio_frames(medium, bytes)
                })?;
                longest = longest.max(Some(frames));
            }
        }
        Ok(longest)
    }

    /// How a medium is prepared, as a part of its key.
    fn recipe(&self, medium: &MediaUse<'_>, padded_to: Option<usize>) -> String {
        let modality = medium.media.modality;
        let mut recipe = format!("{modality};{}", self.processor.fingerprint());
        if let (Modality::Audio, Some(frames)) = (modality, padded_to) {
            recipe = format!("{recipe};padded_to={frames}");
        }
        recipe
    }

    /// What tells the features of one tower from another's. What does not outlive the program need not be told by all
    /// that is stored.
    fn tower(&self, modality: Modality, cache: &MediaCache) -> Result<Fingerprint> {
        match modality {
            _ if !cache.is_on_disk() => Ok(self.loaded),
            Modality::Audio => self.towers.audio_fingerprint(),
            _ => self.towers.vision_fingerprint(),
        }
    }
}

/// A number that no other towers of this process have.
fn next_load() -> Fingerprint {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut number = [0; 32];
    number[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    number
}
