use std::sync::Arc;

use candle_core::{DType, Tensor};
use omnireward_media::audio::Mel;

use super::{AudioConfig, convolution::Convolutions};
use crate::{
    Error, Result,
    encoder::{Block, BlockConfig, Linear, Norm, runs},
    ops::{AttentionLayout, add},
    weights::{Placement, Scope},
};

/// The audio tower of Qwen2.5-Omni (Xu et al. 2025, section 2.2): Whisper's layers on chunks of a sound, none of which
/// sees another, then the mean of every two frames, a norm and a projection to the decoder's width.
///
/// Chunks are packed end to end without padding, so a sound's rows are the same whatever else is encoded with it.
#[derive(Debug)]
pub struct ChunkedAudioEncoder {
    config: ChunkedAudioConfig,
    placement: Placement,
    convolutions: Convolutions,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
    projection: Linear,
}

/// Sizes of a [`ChunkedAudioEncoder`].
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkedAudioConfig {
    /// The layers.
    pub layers: AudioConfig,
    /// Frames of a spectrogram in a chunk.
    pub chunk: usize,
    /// Width of the decoder.
    pub out: usize,
}

impl ChunkedAudioConfig {
    /// Rows that so many frames of a spectrogram become: a convolution and an average each halve them.
    pub const fn rows(frames: usize) -> usize {
        frames.div_ceil(2) / POOLED
    }
}

/// Layer normalisation in Whisper is fixed to this.
const EPS: f64 = 1e-5;
/// Frames of the layers that become a row.
const POOLED: usize = 2;

impl ChunkedAudioEncoder {
    /// Takes the weights from the level that holds `conv1`, `layers`, `ln_post` and `proj`.
    pub fn load(config: &ChunkedAudioConfig, scope: &Scope) -> Result<Self> {
        let whisper = &config.layers;
        let hidden = whisper.d_model;
        let block = BlockConfig {
            hidden,
            heads: whisper.encoder_attention_heads,
            intermediate: whisper.encoder_ffn_dim,
            eps: EPS,
            activation: whisper.activation_function,
            key_bias: false,
            attention_norm: "self_attn_layer_norm",
            perceptron_norm: "final_layer_norm",
            first: "fc1",
            second: "fc2",
        };
        let layers = scope.under("layers");
        Ok(Self {
            convolutions: Convolutions::load(whisper, scope)?,
            positions: positions(config.chunk.div_ceil(2), hidden, scope.placement())?,
            blocks: (0..whisper.encoder_layers)
                .map(|index| Block::load(block, &layers.under(index)))
                .collect::<Result<_>>()?,
            norm: Norm::load(hidden, EPS, &scope.under("ln_post"))?,
            projection: Linear::load(config.out, hidden, &scope.under("proj"))?,
            placement: scope.placement().clone(),
            config: config.clone(),
        })
    }

    /// What it was loaded with.
    pub fn config(&self) -> &ChunkedAudioConfig {
        &self.config
    }

    /// Encodes sounds, each on its own.
    ///
    /// # Shapes
    ///
    /// Returns `[⌊⌈frames / 2⌉ / 2⌋, out]` for each.
    ///
    /// # Errors
    ///
    /// Fails when a spectrogram has other bands than the tower takes, or is too short for a row.
    pub fn forward(&self, sounds: &[&Mel]) -> Result<Vec<Tensor>> {
        for sound in sounds {
            self.check(sound)?;
        }
        let lengths: Vec<usize> = sounds
            .iter()
            .map(|sound| sound.frames.div_ceil(2))
            .collect();
        let mut outputs = Vec::with_capacity(sounds.len());
        for run in runs(&lengths, usize::MAX) {
            outputs.extend(self.run(&sounds[run.clone()], &lengths[run])?);
        }
        Ok(outputs)
    }

    /// Encodes sounds whose chunks are laid end to end.
    fn run(&self, sounds: &[&Mel], lengths: &[usize]) -> Result<Vec<Tensor>> {
        let (mut embedded, mut chunks) = (Vec::new(), Vec::new());
        for sound in sounds {
            for start in (0..sound.frames).step_by(self.config.chunk) {
                let end = (start + self.config.chunk).min(sound.frames);
                chunks.push((end - start).div_ceil(2));
                embedded.push(self.embed(sound, start, end)?);
            }
        }
        let mut x = Tensor::cat(&embedded, 0)?;
        let layout = Arc::new(AttentionLayout::blocks(&chunks));
        for block in &self.blocks {
            x = block.forward(&x, &layout)?;
        }
        let mut start = 0;
        lengths
            .iter()
            .map(|length| {
                let own = x.narrow(0, start, *length)?;
                start += length;
                let normed = self.norm.forward(&pooled(&own)?)?;
                Ok(self.projection.forward(&normed)?)
            })
            .collect()
    }

    /// Frames `start..end` of a spectrogram, convolved without their neighbours; positions begin anew.
    fn embed(&self, sound: &Mel, start: usize, end: usize) -> Result<Tensor> {
        let (length, mels) = (end - start, sound.mels);
        let mut frames = vec![0.0; length * mels];
        for (band, levels) in sound.values.chunks_exact(sound.frames).enumerate() {
            for (frame, level) in levels[start..end].iter().enumerate() {
                frames[frame * mels + band] = *level;
            }
        }
        let frames = Tensor::from_vec(frames, (length, mels), &self.placement.device)?
            .to_dtype(self.placement.dtype)?;
        let positions = self.positions.narrow(0, 0, length.div_ceil(2))?;
        Ok(add(&self.convolutions.forward(&frames)?, &positions)?)
    }

    fn check(&self, sound: &Mel) -> Result<()> {
        let mels = self.config.layers.num_mel_bins;
        let reason = if sound.mels != mels || sound.values.len() != mels * sound.frames {
            format!(
                "it holds `{}` numbers in `{}` bands, expected `{mels}` bands",
                sound.values.len(),
                sound.mels
            )
        } else if ChunkedAudioConfig::rows(sound.frames) == 0 {
            "it is too short to be heard: a row stands for 40 ms".to_owned()
        } else {
            return Ok(());
        };
        Err(Error::Input {
            input: format!("a sound of {} frames", sound.frames),
            reason,
        })
    }
}

/// The mean of every two frames; a last one alone is left out.
fn pooled(frames: &Tensor) -> candle_core::Result<Tensor> {
    let (count, hidden) = frames.dims2()?;
    let groups = count / POOLED;
    let means = frames
        .narrow(0, 0, groups * POOLED)?
        .reshape((groups, POOLED, hidden))?
        .to_dtype(DType::F32)?
        .mean(1)?;
    means.to_dtype(frames.dtype())
}

/// Whisper's table, which the checkpoint does not have: sines of each position, then cosines, at frequencies from 1
/// down to 1/10000.
fn positions(count: usize, hidden: usize, placement: &Placement) -> candle_core::Result<Tensor> {
    let half = hidden / 2;
    let step = (10_000.0_f64.ln() / (half.max(2) - 1) as f64) as f32;
    let frequencies: Vec<f32> = (0..half)
        .map(|index| (-step * index as f32).exp())
        .collect();
    let mut table = Vec::with_capacity(count * 2 * half);
    for position in 0..count {
        let angles = frequencies
            .iter()
            .map(|frequency| position as f32 * frequency);
        table.extend(angles.clone().map(f32::sin));
        table.extend(angles.map(f32::cos));
    }
    Tensor::from_vec(table, (count, 2 * half), &placement.device)?.to_dtype(placement.dtype)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn rows_are_the_published_placeholders() {
        // 0.03, 0.1, 1, 2.03 and 30 seconds.
        for (frames, rows) in [(3, 1), (10, 2), (100, 25), (203, 51), (3000, 750)] {
            assert_eq!(ChunkedAudioConfig::rows(frames), rows);
        }
        assert_eq!(ChunkedAudioConfig::rows(2), 0);
    }

    #[test]
    fn every_two_frames_become_their_mean() {
        let frames = Tensor::from_vec(vec![1.0_f32, 2.0, 3.0, 6.0, 9.0, 9.0], (3, 2), &Device::Cpu);
        let means = pooled(&frames.unwrap()).unwrap();
        assert_eq!(means.to_vec2::<f32>().unwrap(), [[2.0, 4.0]]);
    }
}
