use candle_core::Tensor;

use super::{Config, MediaInput, VisionTower, weights as parts};
use crate::{
    Error, Result,
    audio::ChunkedAudioEncoder,
    weights::{Placement, Weights},
};

/// What turns pictures, videos and, in Qwen2.5-Omni, sounds into rows for the decoder.
#[derive(Debug)]
pub struct Towers {
    vision: VisionTower,
    audio: Option<ChunkedAudioEncoder>,
}

impl Towers {
    /// Takes the towers that the configuration has.
    ///
    /// # Errors
    ///
    /// Fails when one lacks a tensor, or a tensor has another shape than the configuration says.
    pub fn load(config: &Config, weights: &Weights, placement: &Placement) -> Result<Self> {
        let audio = config.audio.as_ref();
        Ok(Self {
            vision: VisionTower::load(&config.vision, &parts::vision(weights, placement))?,
            audio: audio
                .map(|audio| ChunkedAudioEncoder::load(audio, &parts::audio(weights, placement)))
                .transpose()?,
        })
    }

    /// Whether there is an audio tower.
    pub const fn hears(&self) -> bool {
        self.audio.is_some()
    }

    /// The vision tower.
    pub const fn vision(&self) -> &VisionTower {
        &self.vision
    }

    /// Encodes a medium.
    ///
    /// # Shapes
    ///
    /// Returns `[rows, hidden]`.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_one(&self, medium: &MediaInput) -> Result<Tensor> {
        let mut encoded = self.encode(&[medium])?;
        Ok(encoded.remove(0))
    }

    /// Encodes media, each on its own.
    ///
    /// # Shapes
    ///
    /// Returns `[rows, hidden]` for each.
    ///
    /// # Errors
    ///
    /// Fails when a medium does not hold what it says, or is a sound that the model does not hear.
    pub fn encode(&self, media: &[&MediaInput]) -> Result<Vec<Tensor>> {
        let (mut seen, mut heard) = (Vec::new(), Vec::new());
        for medium in media {
            match medium {
                MediaInput::Visual(input) => seen.push(input),
                MediaInput::Sound(mel) => heard.push(mel),
            }
        }
        let mut seen = self.vision.encode(&seen)?.into_iter();
        let mut heard = match (&self.audio, heard.is_empty()) {
            (_, true) => Vec::new(),
            (Some(tower), false) => tower.forward(&heard)?,
            (None, false) => return Err(deaf()),
        }
        .into_iter();
        let encoded = media.iter().filter_map(|medium| match medium {
            MediaInput::Visual(_) => seen.next(),
            MediaInput::Sound(_) => heard.next(),
        });
        Ok(encoded.collect())
    }
}

fn deaf() -> Error {
    Error::Input {
        input: "a sound".to_owned(),
        reason: "this model does not hear".to_owned(),
    }
}
