mod fingerprint;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use candle_core::Tensor;

use super::{
    AudioInput, Config, ImageInput, Tile,
    weights::{AUDIO, AUDIO_PROJECTION, RESAMPLER, VISION, holds},
};
use crate::{
    Error, Result,
    audio::{AudioEncoder, AudioMask, AudioProjection},
    encoder::runs,
    vision::{Resampler, VisionEncoder},
    weights::{Placement, Weights},
};

/// What turns pictures and sound into rows for the decoder. A tower that the checkpoint lacks is missed only when it
/// is asked for.
#[derive(Debug)]
pub struct Towers {
    vision: Option<Vision>,
    audio: Option<Audio>,
    weights: Weights,
    placement: Placement,
}

#[derive(Debug)]
struct Vision {
    encoder: VisionEncoder,
    resampler: Resampler,
    queries: usize,
    tiles_per_run: usize,
    fingerprint: OnceLock<Fingerprint>,
}

#[derive(Debug)]
struct Audio {
    encoder: AudioEncoder,
    projection: AudioProjection,
    mask: AudioMask,
    fingerprint: OnceLock<Fingerprint>,
}

/// A SHA-256 digest.
pub type Fingerprint = [u8; 32];

impl Towers {
    /// Takes each tower of which the checkpoint holds a part.
    ///
    /// # Errors
    ///
    /// Fails when a tower that is there lacks a tensor, or one has another shape than the configuration says.
    pub fn load(config: &Config, weights: &Weights, placement: &Placement) -> Result<Self> {
        Ok(Self {
            vision: holds(weights, VISION)
                .then(|| Vision::load(config, weights, placement))
                .transpose()?,
            audio: holds(weights, AUDIO)
                .then(|| Audio::load(config, weights, placement))
                .transpose()?,
            weights: weights.clone(),
            placement: placement.clone(),
        })
    }

    /// Whether there is a vision tower.
    pub fn sees(&self) -> bool {
        self.vision.is_some()
    }

    /// Whether there is an audio tower.
    pub fn hears(&self) -> bool {
        self.audio.is_some()
    }

    /// Encodes pictures. Each tile is computed on its own, so how they are grouped makes no difference.
    ///
    /// # Shapes
    ///
    /// Returns `[tiles · query_num, hidden]` for each picture.
    ///
    /// # Errors
    ///
    /// Fails when the checkpoint has no vision tower, or a tile does not hold what it says.
    pub fn encode_images(&self, images: &[ImageInput]) -> Result<Vec<Tensor>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let (rows, lengths) = self.encode_images_together(images)?;
        let mut start = 0;
        lengths
            .into_iter()
            .map(|length| {
                let own = rows.narrow(0, start, length)?;
                start += length;
                Ok(own)
            })
            .collect()
    }

    /// The same as one tensor, with the rows of each picture counted: one gradient for all of them.
    ///
    /// # Shapes
    ///
    /// Returns `[tiles of all pictures · query_num, hidden]`.
    ///
    /// # Errors
    ///
    /// As [`encode_images`](Self::encode_images), and when there is no picture.
    pub fn encode_images_together(&self, images: &[ImageInput]) -> Result<(Tensor, Vec<usize>)> {
        let vision = self.vision.as_ref().ok_or_else(|| self.missing(VISION))?;
        let tiles: Vec<&Tile> = images.iter().flat_map(|image| &image.tiles).collect();
        let lengths = images
            .iter()
            .map(|image| image.tiles.len() * vision.queries)
            .collect();
        Ok((vision.encode(&tiles)?, lengths))
    }

    /// Encodes a clip. Each piece is computed on its own.
    ///
    /// # Shapes
    ///
    /// Returns `[tokens, hidden]`, those of one piece after the other.
    ///
    /// # Errors
    ///
    /// Fails when the checkpoint has no audio tower, or a piece does not hold what it says or is too long.
    pub fn encode_audio(&self, audio: &AudioInput) -> Result<Tensor> {
        let tower = self.audio.as_ref().ok_or_else(|| self.missing(AUDIO))?;
        tower.encode(audio)
    }

    /// What the features of a picture depend on besides the picture: the tensors of the vision tower and the resampler
    /// as they are stored, the settings, the precision and the kind of device. Computed by all threads when first asked
    /// for, which reads every one of those tensors.
    ///
    /// # Errors
    ///
    /// Fails when the checkpoint has no vision tower.
    pub fn vision_fingerprint(&self) -> Result<Fingerprint> {
        let vision = self.vision.as_ref().ok_or_else(|| self.missing(VISION))?;
        let settings = (vision.encoder.config(), vision.resampler.config());
        self.fingerprint(
            &vision.fingerprint,
            &[VISION, RESAMPLER],
            &format!("{settings:?}"),
        )
    }

    /// The same for sound: the audio tower and its projection.
    ///
    /// # Errors
    ///
    /// Fails when the checkpoint has no audio tower.
    pub fn audio_fingerprint(&self) -> Result<Fingerprint> {
        let audio = self.audio.as_ref().ok_or_else(|| self.missing(AUDIO))?;
        let settings = (audio.encoder.config(), audio.projection.step(), audio.mask);
        self.fingerprint(
            &audio.fingerprint,
            &[AUDIO, AUDIO_PROJECTION],
            &format!("{settings:?}"),
        )
    }

    fn fingerprint(
        &self,
        known: &OnceLock<Fingerprint>,
        parts: &[&str],
        settings: &str,
    ) -> Result<Fingerprint> {
        if let Some(known) = known.get() {
            return Ok(*known);
        }
        let computed = fingerprint::of(&self.weights, parts, settings, &self.placement)?;
        Ok(*known.get_or_init(|| computed))
    }

    fn missing(&self, part: &str) -> Error {
        Error::MissingTensor {
            tensor: format!("{part}.*"),
            path: self.weights.origin().to_owned(),
        }
    }
}

impl Vision {
    fn load(config: &Config, weights: &Weights, placement: &Placement) -> Result<Self> {
        Ok(Self {
            encoder: VisionEncoder::load(&config.encoder(), &weights.scope(VISION, placement))?,
            resampler: Resampler::load(&config.resampler(), &weights.scope(RESAMPLER, placement))?,
            queries: config.query_num,
            tiles_per_run: config.vision_batch_size,
            fingerprint: OnceLock::new(),
        })
    }

    fn encode(&self, tiles: &[&Tile]) -> Result<Tensor> {
        let lengths: Vec<usize> = tiles.iter().map(|tile| tile.rows * tile.columns).collect();
        let outputs = runs(&lengths, self.tiles_per_run)
            .into_iter()
            .map(|run| {
                let tiles = &tiles[run];
                self.resampler.forward(&self.encoder.forward(tiles)?, tiles)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&outputs, 0)?)
    }
}

impl Audio {
    fn load(config: &Config, weights: &Weights, placement: &Placement) -> Result<Self> {
        Ok(Self {
            encoder: AudioEncoder::load(&config.audio, &weights.scope(AUDIO, placement))?,
            projection: AudioProjection::load(
                config.audio.d_model,
                config.text.hidden,
                config.audio_pool_step,
                &weights.scope(AUDIO_PROJECTION, placement),
            )?,
            mask: config.audio_mask(),
            fingerprint: OnceLock::new(),
        })
    }

    fn encode(&self, audio: &AudioInput) -> Result<Tensor> {
        let rows = self
            .encoder
            .forward(&audio.pieces, self.mask)?
            .iter()
            .map(|frames| self.projection.forward(frames))
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&rows, 0)?)
    }
}
