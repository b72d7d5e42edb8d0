use std::{path::Path, sync::Arc};

use candle_core::Tensor;
use omnireward_core::{Modality, PreferencePair, Task};
use serde_json::{Value, json};

use super::ScorerOptions;
use crate::{
    Encoded, MediaCache, MediaKey, Result, Row,
    minicpm_o::{self, Towers},
    processor::{ChatProcessor, MediaUse, MediumInput, MiniCpmOProcessor},
    weights::{Placement, Weights},
};

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
}

impl Reader {
    pub(super) fn mini_cpm_o(
        dir: &Path,
        config: &minicpm_o::Config,
        weights: &Weights,
        placement: &Placement,
        options: &ScorerOptions,
    ) -> Result<Self> {
        Ok(Self::MiniCpmO(Box::new(MiniCpmO {
            processor: MiniCpmOProcessor::open(dir, options.preprocessing.clone())?
                .with_limits(options.limits),
            towers: Towers::load(config, weights, placement)?,
        })))
    }

    pub(super) fn chat(dir: &Path) -> Result<Self> {
        Ok(Self::Chat(Box::new(ChatProcessor::open(dir)?)))
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
        media: &[Arc<Encoded>],
    ) -> Result<Vec<Vec<Row>>> {
        match self {
            Self::Chat(processor) => processor.sequences(pair),
            Self::MiniCpmO(model) => {
                let shapes: Vec<_> = media.iter().map(|medium| medium.shape.clone()).collect();
                model.processor.sequences(pair, &shapes)
            }
        }
    }

    /// How media and conversations become the model's input, for the record.
    pub(super) fn preprocessing(&self) -> Value {
        match self {
            // The template and the tokenizer are files of the checkpoint.
            Self::Chat(_) => Value::Null,
            Self::MiniCpmO(model) => json!(model.processor.preprocessing()),
        }
    }
}

impl MiniCpmO {
    fn encode(
        &self,
        pair: &PreferencePair,
        cache: &MediaCache,
        placement: &Placement,
    ) -> Result<Vec<Arc<Encoded>>> {
        let uses = self.processor.media(pair)?;
        let bytes = uses
            .iter()
            .map(|medium| self.processor.read(medium))
            .collect::<Result<Vec<_>>>()?;
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
        let features = self.features(&inputs)?;
        for ((index, input), features) in missing.into_iter().zip(&inputs).zip(features) {
            let encoded = Encoded {
                shape: input.shape(),
                features,
            };
            found[index] = Some(cache.put(keys[index], encoded)?);
        }
        Ok(())
    }

    /// The rows of each input. All pictures go through the vision tower together.
    fn features(&self, inputs: &[MediumInput]) -> Result<Vec<Tensor>> {
        let pictures: Vec<_> = inputs
            .iter()
            .flat_map(MediumInput::pictures)
            .cloned()
            .collect();
        let mut rows = self.towers.encode_images(&pictures)?.into_iter();
        inputs
            .iter()
            .map(|input| {
                if let MediumInput::Audio(audio) = input {
                    self.towers.encode_audio(audio)
                } else {
                    let own: Vec<Tensor> = rows.by_ref().take(input.pictures().len()).collect();
                    Ok(Tensor::cat(&own, 0)?)
                }
            })
            .collect()
    }

    /// The longest sound of the pair, in frames, where shorter ones are to hear that they are filled up.
    fn padded_to(&self, uses: &[MediaUse<'_>], bytes: &[Arc<[u8]>]) -> Result<Option<usize>> {
        if !self.processor.hears_padding() {
            return Ok(None);
        }
        let mut longest = None;
        for (medium, bytes) in uses.iter().zip(bytes) {
            if medium.media.modality == Modality::Audio {
                longest = longest.max(Some(self.processor.audio_frames(medium, bytes)?));
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

    /// What tells the features of one tower from another's. In memory there is only one model.
    fn tower(&self, modality: Modality, cache: &MediaCache) -> Result<[u8; 32]> {
        match modality {
            _ if !cache.is_on_disk() => Ok([0; 32]),
            Modality::Audio => self.towers.audio_fingerprint(),
            _ => self.towers.vision_fingerprint(),
        }
    }
}
