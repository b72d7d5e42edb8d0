//! A start from which a small model can be trained from nothing.
//!
//! # Copying
//!
//! Text that follows what was read before is continued by an induction head: a head of the first layer looks at the token
//! before, and heads of the second find the place after an earlier occurrence of the token at hand and hand on what stands
//! there (Olsson et al. 2022, "In-context learning and induction heads"). A small decoder that is trained from nothing
//! comes to it late. Weights that begin in the pattern that training would end in
//! (Trockman and Kolter 2023, "Mimetic initialization of self-attention layers") have it from the first step.
//!
//! With `W` and `U` matrices of orthonormal columns, a head's width `d` and a deviation `σ` of embeddings:
//!
//! * first layer: the biases of queries and keys turn by one position against each other, so the first head looks at the
//!   token before, by the frequencies that tell neighbours apart; it writes `σ·√(n/d)·U·Wᵀ` of it, as much as an embedding is.
//! * second layer: queries read `Wᵀ` and keys `Uᵀ` into the slowest frequencies, which tell far from near the least; values
//!   hand on a part of the embedding found.
//! * the output matrix is the embedding table, scaled.
//!
//! Everything else in the decoder is small: normal numbers of the deviation `σ` that published decoders begin with, no
//! biases, norms of 1.
//!
//! # Looking
//!
//! A decoder comes to what stands in a picture only when the vision tower hands on more than its gist from the first step,
//! so the tower's matrices double the variance of what they multiply instead of keeping it. That of patches is larger still:
//! most of a patch is its brightness, and what tells shapes apart is a fiftieth of that. This was measured with the tower of
//! Qwen2.5-VL; that of MiniCPM-o begins alike, untried.

use std::{collections::HashMap, ops::Range, path::PathBuf};

use serde_json::Value;

use super::numbers::{Source, keeping};
use crate::{
    Error, Result,
    checkpoint::{
        architecture::Text,
        layout::{Part, Role, TensorSpec},
    },
};

/// `σ`: the deviation of small numbers (`initializer_range` of published decoders).
const SMALL: f32 = 0.02;

/// Of the biases that find the token before.
const BEFORE: f64 = 5.5;

/// Of the matrices that compare the token at hand with those before others.
const MATCH: f32 = 2.6;

/// How much of what is found is handed on, as a multiple of an embedding.
const FOUND: f32 = 12.0;

/// What the embedding table is multiplied by for an output matrix.
const READOUT: f32 = 4.0;

/// What is left of what the second head of the first layer writes: it shares its values with the first.
const QUIET: f32 = 0.05;

/// The deviation of the matrix from a patch's numbers to a row.
const PATCHES: f32 = 0.25;

/// The deviation of the vision tower's other matrices, as a multiple of what keeps the variance of what they multiply.
const LOUDER: f32 = std::f32::consts::SQRT_2;

/// Frequencies, in radians for each position, that tell a token's neighbours apart.
const FAST: f64 = 0.01;

/// The weights of such a model.
#[derive(Debug)]
pub(super) struct TrainingStart {
    /// What the decoder's tensors begin with, its output matrix among them.
    prefix: String,
    /// The tensors that are not drawn.
    made: HashMap<String, Vec<f32>>,
}

impl TrainingStart {
    /// # Errors
    ///
    /// Fails for a decoder whose queries have no bias, that has a single layer, or whose heads are as wide as itself.
    pub(super) fn new(
        source: &Source,
        text: &Text,
        config: &Value,
        tensors: &[TensorSpec],
    ) -> Result<Self> {
        let groups = text.kv_heads.min(2).min(text.hidden / text.head_dim.max(1));
        if !text.has_qkv_bias || text.has_qk_norm || text.layers < 2 || groups == 0 {
            return Err(Error::Config {
                path: PathBuf::from("config.json"),
                field: "num_hidden_layers".to_owned(),
                reason: "a start for training has a decoder of two layers or more, and biases of queries, as Qwen2's"
                    .to_owned(),
            });
        }
        let table = "model.embed_tokens.weight";
        let mut names = tensors.iter();
        let prefix = names.find_map(|spec| spec.name.strip_suffix(table));
        let prefix = prefix.unwrap_or_default().to_owned();
        let mut start = Self {
            made: HashMap::new(),
            prefix,
        };
        let drawing = Drawing {
            source,
            text,
            theta: theta(config).unwrap_or(1e6),
        };
        for (name, numbers) in drawing
            .first_layer()
            .into_iter()
            .chain(drawing.second_layer(groups))
        {
            start
                .made
                .insert(format!("{}{name}", start.prefix), numbers);
        }
        Ok(start)
    }

    /// A tensor that is not drawn.
    pub(super) fn made(&self, name: &str) -> Option<&[f32]> {
        self.made.get(name).map(Vec::as_slice)
    }

    /// The name whose numbers a tensor has: its own, but for the output matrix, which has those of the table.
    pub(super) fn drawn_as(&self, name: &str) -> String {
        match name.strip_prefix(&self.prefix) {
            Some("lm_head.weight") => format!("{}model.embed_tokens.weight", self.prefix),
            _ => name.to_owned(),
        }
    }
}

/// Mean and deviation of a tensor of the vision tower or of the decoder that is drawn; others have their own.
pub(super) fn distribution(spec: &TensorSpec) -> Option<(f32, f32)> {
    let language = matches!(spec.part, Part::Language | Part::Output);
    let deviation = match spec.role {
        Role::Scale if language || spec.part == Part::Vision => return Some((1.0, 0.0)),
        Role::Bias if language || spec.part == Part::Vision => return Some((0.0, 0.0)),
        _ if spec.part == Part::Output => SMALL * READOUT,
        Role::Matrix | Role::Table if language => SMALL,
        Role::Matrix if spec.name.contains("patch_embed") => PATCHES,
        Role::Matrix if spec.part == Part::Vision => LOUDER * keeping(spec),
        _ => return None,
    };
    Some((0.0, deviation))
}

struct Drawing<'a> {
    source: &'a Source,
    text: &'a Text,
    theta: f64,
}

type Named = Vec<(String, Vec<f32>)>;

impl Drawing<'_> {
    /// Writes into the residual stream, at each token, what the one before it is.
    fn first_layer(&self) -> Named {
        let Text {
            hidden, head_dim, ..
        } = *self.text;
        let half = head_dim / 2;
        let mut queries = vec![0.0; self.text.heads * head_dim];
        let mut keys = vec![0.0; self.text.kv_heads * head_dim];
        for pair in 0..half {
            let angle = self.theta.powf(-(pair as f64) / half as f64);
            if angle < FAST {
                break;
            }
            queries[pair] = BEFORE as f32;
            keys[pair] = (BEFORE * angle.cos()) as f32;
            keys[pair + half] = (BEFORE * angle.sin()) as f32;
        }
        let mut values = self.small(
            "model.layers.0.self_attn.v_proj.weight",
            self.text.kv_heads * head_dim * hidden,
        );
        let (read, written) = (self.read(), self.written());
        values[..head_dim * hidden].copy_from_slice(&read.concat());
        let columns = self.text.heads * head_dim;
        let mut output = self.small("model.layers.0.self_attn.o_proj.weight", hidden * columns);
        let size = SMALL * (hidden as f32 / head_dim as f32).sqrt();
        let shares_values = 1..self.text.heads / self.text.kv_heads;
        for (row, output) in output.chunks_exact_mut(columns).enumerate() {
            for (slot, direction) in written.iter().enumerate() {
                output[slot] = size * direction[row];
            }
            for head in shares_values.clone() {
                for quiet in &mut output[head * head_dim..][..head_dim] {
                    *quiet *= QUIET;
                }
            }
        }
        named(
            0,
            [
                ("q_proj.bias", queries),
                ("k_proj.bias", keys),
                ("v_proj.weight", values),
                ("o_proj.weight", output),
            ],
        )
    }

    /// Finds what stood after the token at hand before, and hands it on.
    fn second_layer(&self, groups: usize) -> Named {
        let Text {
            hidden, head_dim, ..
        } = *self.text;
        let (heads, kv_heads) = (self.text.heads, self.text.kv_heads);
        let weight = |name: &str| format!("model.layers.1.self_attn.{name}.weight");
        let mut queries = self.small(&weight("q_proj"), heads * head_dim * hidden);
        let mut keys = self.small(&weight("k_proj"), kv_heads * head_dim * hidden);
        let mut values = self.small(&weight("v_proj"), kv_heads * head_dim * hidden);
        let columns = heads * head_dim;
        let mut output = self.small(&weight("o_proj"), hidden * columns);
        let (read, written) = (self.read(), self.written());
        let found = self.orthonormal("found", groups * head_dim);
        let slots = slots(head_dim);
        for group in 0..groups {
            let head = group * (heads / kv_heads);
            for (place, &slot) in slots.iter().enumerate() {
                // Each group compares by directions of its own.
                let direction = (place + group * slots.len()) % head_dim;
                scaled(
                    &mut queries,
                    head * head_dim + slot,
                    &read[direction],
                    MATCH,
                );
                scaled(
                    &mut keys,
                    group * head_dim + slot,
                    &written[direction],
                    MATCH,
                );
            }
            let part = &found[group * head_dim..][..head_dim];
            for (slot, direction) in part.iter().enumerate() {
                scaled(&mut values, group * head_dim + slot, direction, 1.0);
                for (row, value) in direction.iter().enumerate() {
                    output[row * columns + head * head_dim + slot] = FOUND * SMALL * value;
                }
            }
        }
        named(
            1,
            [
                ("q_proj.weight", queries),
                ("k_proj.weight", keys),
                ("v_proj.weight", values),
                ("o_proj.weight", output),
            ],
        )
    }

    /// The directions by which the token before is read.
    fn read(&self) -> Vec<Vec<f32>> {
        self.orthonormal("read", self.text.head_dim)
    }

    /// Those in which it is written down.
    fn written(&self) -> Vec<Vec<f32>> {
        self.orthonormal("written", self.text.head_dim)
    }

    fn small(&self, name: &str, count: usize) -> Vec<f32> {
        let mut numbers = self.source.normal(name, count);
        for number in &mut numbers {
            *number *= SMALL;
        }
        numbers
    }

    /// Some directions that are at right angles to one another, by Gram and Schmidt.
    fn orthonormal(&self, name: &str, count: usize) -> Vec<Vec<f32>> {
        let hidden = self.text.hidden;
        let drawn = self
            .source
            .normal(&format!("copying.{name}"), count * hidden);
        let mut directions: Vec<Vec<f32>> = Vec::with_capacity(count);
        for direction in drawn.chunks_exact(hidden) {
            let mut direction = direction.to_vec();
            for before in &directions {
                let shared: f32 = direction.iter().zip(before).map(|(a, b)| a * b).sum();
                for (a, b) in direction.iter_mut().zip(before) {
                    *a -= shared * b;
                }
            }
            let length = direction.iter().map(|a| a * a).sum::<f32>().sqrt();
            for value in &mut direction {
                *value /= length;
            }
            directions.push(direction);
        }
        directions
    }
}

/// The places in a head of the slower half of its frequencies.
fn slots(head_dim: usize) -> Vec<usize> {
    let half = head_dim / 2;
    let slow: Range<usize> = half / 2..half;
    slow.clone().chain(slow.map(|slot| slot + half)).collect()
}

fn scaled(matrix: &mut [f32], row: usize, direction: &[f32], factor: f32) {
    for (number, value) in matrix[row * direction.len()..].iter_mut().zip(direction) {
        *number = factor * value;
    }
}

fn named<const N: usize>(layer: usize, tensors: [(&str, Vec<f32>); N]) -> Named {
    let name = |name: &str| format!("model.layers.{layer}.self_attn.{name}");
    tensors
        .into_iter()
        .map(|(tensor, numbers)| (name(tensor), numbers))
        .collect()
}

/// The base of the rotary positions, wherever the configuration has it.
fn theta(config: &Value) -> Option<f64> {
    let fields = config.as_object()?;
    let here = fields.get("rope_theta").and_then(Value::as_f64);
    here.or_else(|| fields.values().find_map(theta))
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use omnireward_core::NoProgress;

    use super::PATCHES;
    use crate::{
        Forest, Row, TokenTree,
        checkpoint::{Family, RandomCheckpoint, Size},
        decoder::{Decoder, DecoderConfig},
        weights::{Placement, Weights},
    };

    /// The mean of −log p of the tokens of a text without sense when it comes for the second time.
    fn loss_of_a_repeat(for_training: bool) -> f32 {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = RandomCheckpoint {
            for_training,
            ..RandomCheckpoint::new(Family::Qwen2_5Vl, Size::Mini)
        };
        checkpoint.write(folder.path(), &NoProgress).unwrap();
        let path = folder.path().join("config.json");
        let config = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let config = DecoderConfig::from_json(&config, &path).unwrap();
        let weights = Weights::open(folder.path()).unwrap();
        let placement = Placement {
            device: Device::Cpu,
            dtype: DType::F32,
        };
        let decoder = Decoder::load(&config, &weights.scope("model", &placement))
            .unwrap()
            .with_lm_head(&weights.scope("", &placement))
            .unwrap();

        let text: Vec<u32> = (0..60).map(|at| (at * at * 31 + at * 7) % 251).collect();
        let tokens = [text.as_slice(), &[252, 253, 254], &text].concat();
        let rows: Vec<Row> = tokens.iter().copied().map(Row::token).collect();
        let forest = Forest::new(&[(&TokenTree::new(&[rows]), 0)]);
        let positions: Vec<u32> = (0..tokens.len() as u32).collect();
        // The first token of the repeat cannot be known.
        let reads: Vec<usize> = (text.len() + 3..tokens.len() - 1).collect();
        let inputs = decoder.embed(&tokens).unwrap();
        let hidden = decoder
            .forward(&inputs, &positions, &forest.layout, &reads)
            .unwrap();
        let logits = decoder.logits(&hidden).unwrap().to_vec2::<f32>().unwrap();
        let losses = logits.iter().zip(&text[1..]).map(|(scores, token)| {
            let most = scores.iter().copied().fold(f32::MIN, f32::max);
            let sum: f32 = scores.iter().map(|score| (score - most).exp()).sum();
            most + sum.ln() - scores[*token as usize]
        });
        losses.sum::<f32>() / (text.len() - 1) as f32
    }

    #[test]
    fn a_decoder_that_copies_expects_a_text_to_go_on_as_before() {
        let (plain, copying) = (loss_of_a_repeat(false), loss_of_a_repeat(true));
        assert!(plain > 5.0, "chance is ln 275: {plain}");
        assert!(copying < plain - 1.5, "{copying} of {plain}");
    }

    #[test]
    fn a_vision_tower_for_training_is_loud_and_nothing_else_of_it_is_drawn() {
        for (family, tower, patches) in [
            (Family::Qwen2_5Vl, "visual.", "patch_embed.proj.weight"),
            (
                Family::MiniCpmO,
                "vpm.",
                "embeddings.patch_embedding.weight",
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let checkpoint = RandomCheckpoint {
                for_training: true,
                ..RandomCheckpoint::new(family, Size::Mini)
            };
            checkpoint.write(folder.path(), &NoProgress).unwrap();
            let weights = Weights::open(folder.path()).unwrap();
            let placement = Placement {
                device: Device::Cpu,
                dtype: DType::F32,
            };
            let scope = weights.scope("", &placement);
            let mut matrices = 0;
            for name in weights.names().filter(|name| name.starts_with(tower)) {
                let shape = scope.shape(name).unwrap();
                let tensor = scope.tensor(name, shape).unwrap().flatten_all().unwrap();
                let mean = tensor.mean_all().unwrap().to_scalar::<f32>().unwrap();
                let square = tensor.sqr().unwrap().mean_all().unwrap();
                let square = square.to_scalar::<f32>().unwrap();
                let summed: usize = shape[1..].iter().product();
                let expected = match shape.len() {
                    1 if name.contains("bias") => 0.0,
                    1 => 1.0,
                    _ if name.ends_with(patches) => PATCHES.powi(2),
                    _ if name.contains("position_embedding") => 1.0,
                    _ => 2.0 / summed as f32,
                };
                assert!(
                    (square - expected).abs() <= 0.05 * expected,
                    "{name}: {square} of {expected}"
                );
                if shape.len() == 1 {
                    assert!((square - mean * mean).abs() < 1e-6, "{name} is drawn");
                } else {
                    matrices += 1;
                }
            }
            assert!(matrices > 8, "{matrices}");
        }
    }

    #[test]
    fn a_decoder_without_biases_of_queries_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = RandomCheckpoint {
            for_training: true,
            ..RandomCheckpoint::new(Family::Llama, Size::Tiny)
        };
        let error = checkpoint
            .write(&folder.path().join("made"), &NoProgress)
            .unwrap_err();
        assert!(error.to_string().contains("biases of queries"), "{error}");
        assert!(!folder.path().join("made").exists());
    }
}
