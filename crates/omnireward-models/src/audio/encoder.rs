use candle_core::Tensor;

use super::{AudioConfig, convolution::Convolutions};
use crate::{
    Error, Result,
    encoder::{Block, BlockConfig, Norm, end_to_end, runs},
    minicpm_o::MelPiece,
    ops::{Visibility, add},
    weights::{Placement, Scope},
};

/// Whisper's encoder (Radford et al. 2022).
#[derive(Debug)]
pub struct AudioEncoder {
    config: AudioConfig,
    placement: Placement,
    convolutions: Convolutions,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
}

/// Which frames of a piece an encoder's frame sees. Frames are counted after the convolutions, 50 in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioMask {
    /// All of them, as in Whisper.
    Full,
    /// Those up to the end of its own chunk of this many.
    Chunks(usize),
}

/// Layer normalisation in Whisper is fixed to this.
const EPS: f64 = 1e-5;

impl AudioEncoder {
    /// Takes the weights from the level that holds `conv1`, `embed_positions`, `layers` and `layer_norm`.
    pub fn load(config: &AudioConfig, scope: &Scope) -> Result<Self> {
        let hidden = config.d_model;
        let block = BlockConfig {
            hidden,
            heads: config.encoder_attention_heads,
            intermediate: config.encoder_ffn_dim,
            eps: EPS,
            activation: config.activation_function,
            key_bias: false,
            attention_norm: "self_attn_layer_norm",
            perceptron_norm: "final_layer_norm",
            first: "fc1",
            second: "fc2",
        };
        let layers = scope.under("layers");
        Ok(Self {
            convolutions: Convolutions::load(config, scope)?,
            positions: scope.tensor(
                "embed_positions.weight",
                &[config.max_source_positions, hidden],
            )?,
            blocks: (0..config.encoder_layers)
                .map(|index| Block::load(block, &layers.under(index)))
                .collect::<Result<_>>()?,
            norm: Norm::load(hidden, EPS, &scope.under("layer_norm"))?,
            placement: scope.placement().clone(),
            config: config.clone(),
        })
    }

    /// What it was loaded with.
    pub fn config(&self) -> &AudioConfig {
        &self.config
    }

    /// Encodes pieces, each on its own.
    ///
    /// # Shapes
    ///
    /// Returns `[⌈frames / 2⌉, hidden]` for each piece.
    pub fn forward(&self, pieces: &[MelPiece], mask: AudioMask) -> Result<Vec<Tensor>> {
        let spans = pieces
            .iter()
            .map(|piece| self.span(piece, mask))
            .collect::<Result<Vec<_>>>()?;
        let lengths: Vec<usize> = spans.iter().map(|span| span.computed).collect();
        let mut outputs = Vec::with_capacity(pieces.len());
        for run in runs(&lengths, usize::MAX) {
            outputs.extend(self.run(&pieces[run.clone()], &spans[run], mask)?);
        }
        Ok(outputs)
    }

    /// Encodes pieces laid end to end.
    fn run(&self, pieces: &[MelPiece], spans: &[Span], mask: AudioMask) -> Result<Vec<Tensor>> {
        let embedded = pieces
            .iter()
            .zip(spans)
            .map(|(piece, span)| self.embed(piece, span))
            .collect::<Result<Vec<_>>>()?;
        let mut x = Tensor::cat(&embedded, 0)?;
        let layout = end_to_end(
            spans.iter().map(|span| span.computed),
            match mask {
                AudioMask::Full => Visibility::Full,
                AudioMask::Chunks(size) => Visibility::Chunks(size),
            },
        );
        for block in &self.blocks {
            x = block.forward(&x, &layout)?;
        }
        let x = self.norm.forward(&x)?;
        let mut start = 0;
        spans
            .iter()
            .map(|span| {
                let own = x.narrow(0, start, span.own)?;
                start += span.computed;
                Ok(own)
            })
            .collect()
    }

    fn embed(&self, piece: &MelPiece, span: &Span) -> Result<Tensor> {
        let mels = self.config.num_mel_bins;
        let mut frames = vec![0.0; span.mel_frames * mels];
        for (band, levels) in piece.mels.chunks_exact(piece.frames).enumerate() {
            for (frame, level) in levels.iter().enumerate() {
                frames[frame * mels + band] = *level;
            }
        }
        let frames = Tensor::from_vec(frames, (span.mel_frames, mels), &self.placement.device)?
            .to_dtype(self.placement.dtype)?;
        let positions = self.positions.narrow(0, 0, span.computed)?;
        Ok(add(&self.convolutions.forward(&frames)?, &positions)?)
    }

    fn span(&self, piece: &MelPiece, mask: AudioMask) -> Result<Span> {
        let span = Span::new(piece.frames, piece.padded_frames, mask);
        let mels = self.config.num_mel_bins;
        let longest = self.config.max_source_positions;
        let reason = if piece.frames == 0 || piece.mels.len() != piece.frames * mels {
            format!(
                "it holds `{}` numbers, expected `{mels}` in each frame and a frame at least",
                piece.mels.len()
            )
        } else if span.computed > longest {
            format!("the encoder takes at most `{}` frames", 2 * longest)
        } else {
            return Ok(span);
        };
        Err(Error::Input {
            input: format!("a piece of sound of {} frames", piece.frames),
            reason,
        })
    }
}

/// How much of a piece is computed.
///
/// The original pads the pieces of a batch with silence to the longest, and hides the padding from attention by a mask
/// that compares the encoder's frames with the number of mel frames, of which there are twice as many. So padded
/// frames of the encoder, from the end of the sound up to its length in mel frames, stay visible to those that see to
/// the end of their chunk. What no frame of the sound sees is not computed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// The encoder's frames that hold sound.
    own: usize,
    /// The encoder's frames that they see.
    computed: usize,
    /// Mel frames that these are computed from, silence included.
    mel_frames: usize,
}

impl Span {
    fn new(frames: usize, padded_frames: usize, mask: AudioMask) -> Self {
        let own = frames.div_ceil(2);
        if padded_frames <= frames {
            return Self {
                own,
                computed: own,
                mel_frames: frames,
            };
        }
        let chunk_end = match mask {
            AudioMask::Full => usize::MAX,
            AudioMask::Chunks(size) => own.div_ceil(size) * size,
        };
        let computed = padded_frames.div_ceil(2).min(chunk_end).min(frames);
        Self {
            own,
            computed,
            mel_frames: padded_frames.min(2 * computed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_padding_only_the_sound_is_computed() {
        let span = Span::new(203, 203, AudioMask::Chunks(50));
        assert_eq!(
            span,
            Span {
                own: 102,
                computed: 102,
                mel_frames: 203
            }
        );
    }

    #[test]
    fn padding_is_seen_up_to_the_end_of_the_last_chunk() {
        let chunks = |frames, padded| {
            let span = Span::new(frames, padded, AudioMask::Chunks(50));
            (span.own, span.computed, span.mel_frames)
        };
        assert_eq!(chunks(203, 3000), (102, 150, 300));
        assert_eq!(
            chunks(200, 3000),
            (100, 100, 200),
            "a full last chunk sees none"
        );
        assert_eq!(chunks(203, 221), (102, 111, 221), "no more than there is");
        assert_eq!(
            chunks(9, 3000),
            (5, 9, 18),
            "no more than the mask lets through"
        );
        let full = Span::new(203, 3000, AudioMask::Full);
        assert_eq!((full.own, full.computed, full.mel_frames), (102, 203, 406));
    }
}
