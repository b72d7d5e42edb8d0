//! Which tensors a checkpoint has, by the sizes of its model.

use std::fmt;

use serde::Serialize;

use super::architecture::{
    Architecture, Audio, Family, MiniCpmOTowers, Readout, Text, Towers, Vision, WindowedVision,
};

/// A tensor that a checkpoint should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in the file.
    pub name: String,
    /// Its shape; a matrix is `[out, in]`.
    pub shape: Vec<usize>,
    /// What it belongs to.
    pub part: Part,
    /// What it is used for.
    pub role: Role,
}

impl TensorSpec {
    /// Numbers in it, as far as they can be counted.
    pub fn elements(&self) -> u64 {
        let sizes = self.shape.iter().map(|&size| size as u64);
        sizes.fold(1, u64::saturating_mul)
    }
}

/// A part of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The decoder, with its embedding table.
    Language,
    /// The matrix from hidden states to the vocabulary, which a reward does not need.
    Output,
    /// The vision tower.
    Vision,
    /// What makes a picture's patches a fixed number of rows.
    Resampler,
    /// The audio tower.
    Audio,
    /// From the audio tower to the decoder.
    AudioProjection,
    /// What speaks, which a reward does not need.
    Speech,
    /// What makes a hidden state a reward.
    Head,
}

impl Part {
    /// Every part, in the order in which they are listed.
    pub const ALL: [Self; 8] = [
        Self::Language,
        Self::Output,
        Self::Vision,
        Self::Resampler,
        Self::Audio,
        Self::AudioProjection,
        Self::Speech,
        Self::Head,
    ];

    /// The part that a tensor belongs to, known or not, by its name.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.strip_prefix(THINKER).unwrap_or(name);
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        Some(if starts(&["v_head.", "score."]) {
            Self::Head
        } else if starts(&["llm.lm_head.", "lm_head."]) {
            Self::Output
        } else if starts(&["vpm.", "visual.", "model.visual."]) {
            Self::Vision
        } else if starts(&["llm.", "model."]) {
            Self::Language
        } else if starts(&["resampler."]) {
            Self::Resampler
        } else if starts(&["apm.", "audio_tower."]) {
            Self::Audio
        } else if starts(&["audio_projection_layer."]) {
            Self::AudioProjection
        } else if starts(&["tts.", "talker.", "token2wav."]) {
            Self::Speech
        } else {
            return None;
        })
    }
}

/// Below this lies the thinker of a whole Qwen2.5-Omni.
const THINKER: &str = "thinker.";

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Language => "language model",
            Self::Output => "output matrix",
            Self::Vision => "vision tower",
            Self::Resampler => "resampler",
            Self::Audio => "audio tower",
            Self::AudioProjection => "audio projection",
            Self::Speech => "speech",
            Self::Head => "reward head",
        })
    }
}

/// What a tensor is used for, which says how large its numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Multiplies: everything but its first dimension is summed over.
    Matrix,
    /// Rows that are looked up.
    Table,
    /// The factor of a norm.
    Scale,
    /// Added.
    Bias,
}

/// Whether a model does what it is for without a part: a reward is read without the output matrix, and a model that
/// writes has no reward head.
pub fn is_optional(family: Family, part: Part) -> bool {
    match part {
        Part::Speech => true,
        Part::Output => !family.is_writing(),
        _ => false,
    }
}

/// The tensors of a checkpoint's own files, in the order in which they are written. A value head, which lies in a file
/// of its own, is [`value_head`]. Speech, which a reward does not need, is left out.
pub fn tensors(architecture: &Architecture) -> Vec<TensorSpec> {
    let mut list = List::default();
    match &architecture.towers {
        None => {
            list.under("", Part::Language, |list| decoder(list, &architecture.text));
            readout(&mut list, architecture);
        }
        Some(Towers::MiniCpmO(towers)) => minicpm_o(&mut list, &architecture.text, towers),
        Some(Towers::Qwen2_5Vl(vision)) => qwen2_5_vl(&mut list, architecture, vision),
        Some(Towers::Qwen2_5Omni(towers)) => {
            let prefix = if towers.is_part { THINKER } else { "" };
            list.inside(prefix, |list| {
                list.under("audio_tower.", Part::Audio, |list| {
                    chunked_audio(list, &towers.audio, architecture.text.hidden);
                });
                qwen2_5_vl(list, architecture, &towers.vision);
            });
        }
    }
    list.tensors
}

/// The tensors of `value_head.safetensors`.
pub fn value_head(hidden: usize) -> Vec<TensorSpec> {
    let mut list = List::default();
    list.under("v_head.", Part::Head, |list| {
        list.linear("summary", 1, hidden);
    });
    list.tensors
}

fn qwen2_5_vl(list: &mut List, architecture: &Architecture, vision: &WindowedVision) {
    list.under("visual.", Part::Vision, |list| {
        windowed_vision(list, vision, architecture.text.hidden);
    });
    list.under("", Part::Language, |list| decoder(list, &architecture.text));
    readout(list, architecture);
}

fn minicpm_o(list: &mut List, text: &Text, towers: &MiniCpmOTowers) {
    list.under("llm.", Part::Language, |list| decoder(list, text));
    list.part = Part::Output;
    list.output_matrix("llm.lm_head.weight", text);
    let hidden = text.hidden;
    list.under("vpm.", Part::Vision, |list| vision(list, &towers.vision));
    list.under("resampler.", Part::Resampler, |list| {
        resampler(list, towers, hidden);
    });
    list.under("apm.", Part::Audio, |list| audio(list, &towers.audio));
    list.under("audio_projection_layer.", Part::AudioProjection, |list| {
        list.linear("linear1", hidden, towers.audio.hidden);
        list.linear("linear2", hidden, hidden);
    });
}

fn readout(list: &mut List, architecture: &Architecture) {
    let text = &architecture.text;
    match architecture.readout {
        Readout::Language => {
            list.part = Part::Output;
            list.output_matrix("lm_head.weight", text);
        }
        Readout::Classes(labels) => {
            list.part = Part::Head;
            list.matrix("score", labels, text.hidden);
        }
        Readout::TwoLayers(labels) => {
            list.part = Part::Head;
            list.linear("score.0", text.hidden, text.hidden);
            list.linear("score.2", labels, text.hidden);
        }
    }
}

fn decoder(list: &mut List, text: &Text) {
    let (queries, keys) = (text.heads * text.head_dim, text.kv_heads * text.head_dim);
    list.add(
        "model.embed_tokens.weight",
        &[text.vocabulary, text.hidden],
        Role::Table,
    );
    for layer in 0..text.layers {
        list.inside(&format!("model.layers.{layer}."), |list| {
            for (name, out) in [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)] {
                list.matrix(&format!("self_attn.{name}"), out, text.hidden);
                if text.has_qkv_bias {
                    list.bias(&format!("self_attn.{name}"), out);
                }
            }
            list.matrix("self_attn.o_proj", text.hidden, queries);
            if text.has_output_bias {
                list.bias("self_attn.o_proj", text.hidden);
            }
            if text.has_qk_norm {
                list.scale("self_attn.q_norm", text.head_dim);
                list.scale("self_attn.k_norm", text.head_dim);
            }
            for (name, out, inner) in [
                ("mlp.gate_proj", text.intermediate, text.hidden),
                ("mlp.up_proj", text.intermediate, text.hidden),
                ("mlp.down_proj", text.hidden, text.intermediate),
            ] {
                list.matrix(name, out, inner);
                if text.has_mlp_bias {
                    list.bias(name, out);
                }
            }
            list.scale("input_layernorm", text.hidden);
            list.scale("post_attention_layernorm", text.hidden);
        });
    }
    list.scale("model.norm", text.hidden);
}

fn vision(list: &mut List, vision: &Vision) {
    let side = vision.image_size / vision.patch;
    let patch = [vision.hidden, vision.channels, vision.patch, vision.patch];
    list.add("embeddings.patch_embedding.weight", &patch, Role::Matrix);
    list.bias("embeddings.patch_embedding", vision.hidden);
    list.add(
        "embeddings.position_embedding.weight",
        &[side * side, vision.hidden],
        Role::Table,
    );
    for layer in 0..vision.layers {
        list.inside(&format!("encoder.layers.{layer}."), |list| {
            for name in ["k_proj", "v_proj", "q_proj", "out_proj"] {
                list.linear(&format!("self_attn.{name}"), vision.hidden, vision.hidden);
            }
            list.norm("layer_norm1", vision.hidden);
            list.linear("mlp.fc1", vision.intermediate, vision.hidden);
            list.linear("mlp.fc2", vision.hidden, vision.intermediate);
            list.norm("layer_norm2", vision.hidden);
        });
    }
    list.norm("post_layernorm", vision.hidden);
}

fn windowed_vision(list: &mut List, vision: &WindowedVision, out: usize) {
    let WindowedVision {
        hidden,
        intermediate,
        patch,
        ..
    } = *vision;
    let kernel = [hidden, vision.channels, vision.temporal_patch, patch, patch];
    list.add("patch_embed.proj.weight", &kernel, Role::Matrix);
    for layer in 0..vision.layers {
        list.inside(&format!("blocks.{layer}."), |list| {
            list.scale("norm1", hidden);
            list.scale("norm2", hidden);
            if vision.is_stacked {
                list.linear("attn.qkv", 3 * hidden, hidden);
            } else {
                for name in ["q", "k", "v"] {
                    list.linear(&format!("attn.{name}"), hidden, hidden);
                }
            }
            list.linear("attn.proj", hidden, hidden);
            list.linear("mlp.gate_proj", intermediate, hidden);
            list.linear("mlp.up_proj", intermediate, hidden);
            list.linear("mlp.down_proj", hidden, intermediate);
        });
    }
    let cell = vision.merge * vision.merge * hidden;
    list.scale("merger.ln_q", hidden);
    list.linear("merger.mlp.0", cell, cell);
    list.linear("merger.mlp.2", out, cell);
}

fn resampler(list: &mut List, towers: &MiniCpmOTowers, hidden: usize) {
    list.add("query", &[towers.queries, hidden], Role::Table);
    list.add("proj", &[hidden, hidden], Role::Matrix);
    list.matrix("kv_proj", hidden, towers.vision.hidden);
    list.add("attn.in_proj_weight", &[3 * hidden, hidden], Role::Matrix);
    list.add("attn.in_proj_bias", &[3 * hidden], Role::Bias);
    list.linear("attn.out_proj", hidden, hidden);
    for name in ["ln_q", "ln_kv", "ln_post"] {
        list.norm(name, hidden);
    }
}

fn audio(list: &mut List, audio: &Audio) {
    convolutions(list, audio);
    list.add(
        "embed_positions.weight",
        &[audio.positions, audio.hidden],
        Role::Table,
    );
    audio_layers(list, audio);
    list.norm("layer_norm", audio.hidden);
}

fn chunked_audio(list: &mut List, audio: &Audio, out: usize) {
    convolutions(list, audio);
    // Marks of a medium's ends, which no pass reads.
    list.add("audio_bos_eos_token.weight", &[2, out], Role::Table);
    audio_layers(list, audio);
    list.norm("ln_post", audio.hidden);
    list.linear("proj", out, audio.hidden);
}

fn convolutions(list: &mut List, audio: &Audio) {
    list.add("conv1.weight", &[audio.hidden, audio.mels, 3], Role::Matrix);
    list.bias("conv1", audio.hidden);
    list.add(
        "conv2.weight",
        &[audio.hidden, audio.hidden, 3],
        Role::Matrix,
    );
    list.bias("conv2", audio.hidden);
}

fn audio_layers(list: &mut List, audio: &Audio) {
    for layer in 0..audio.layers {
        list.inside(&format!("layers.{layer}."), |list| {
            list.matrix("self_attn.k_proj", audio.hidden, audio.hidden);
            for name in ["v_proj", "q_proj", "out_proj"] {
                list.linear(&format!("self_attn.{name}"), audio.hidden, audio.hidden);
            }
            list.norm("self_attn_layer_norm", audio.hidden);
            list.linear("fc1", audio.intermediate, audio.hidden);
            list.linear("fc2", audio.hidden, audio.intermediate);
            list.norm("final_layer_norm", audio.hidden);
        });
    }
}

/// Tensors, collected under a prefix.
struct List {
    tensors: Vec<TensorSpec>,
    prefix: String,
    part: Part,
}

impl Default for List {
    fn default() -> Self {
        Self {
            tensors: Vec::new(),
            prefix: String::new(),
            part: Part::Language,
        }
    }
}

impl List {
    fn under(&mut self, prefix: &str, part: Part, fill: impl FnOnce(&mut Self)) {
        self.part = part;
        self.inside(prefix, fill);
    }

    fn inside(&mut self, prefix: &str, fill: impl FnOnce(&mut Self)) {
        let length = self.prefix.len();
        self.prefix.push_str(prefix);
        fill(self);
        self.prefix.truncate(length);
    }

    fn add(&mut self, name: &str, shape: &[usize], role: Role) {
        self.tensors.push(TensorSpec {
            name: format!("{}{name}", self.prefix),
            shape: shape.to_vec(),
            part: self.part,
            role,
        });
    }

    fn matrix(&mut self, name: &str, out: usize, inner: usize) {
        self.add(&format!("{name}.weight"), &[out, inner], Role::Matrix);
    }

    fn bias(&mut self, name: &str, size: usize) {
        self.add(&format!("{name}.bias"), &[size], Role::Bias);
    }

    fn scale(&mut self, name: &str, size: usize) {
        self.add(&format!("{name}.weight"), &[size], Role::Scale);
    }

    fn linear(&mut self, name: &str, out: usize, inner: usize) {
        self.matrix(name, out, inner);
        self.bias(name, out);
    }

    fn norm(&mut self, name: &str, size: usize) {
        self.scale(name, size);
        self.bias(name, size);
    }

    fn output_matrix(&mut self, name: &str, text: &Text) {
        if !text.is_tied {
            self.add(name, &[text.vocabulary, text.hidden], Role::Matrix);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::checkpoint::{
        architecture::Family,
        random::{Size, presets, tokenizer::Tokens},
    };

    fn of(family: Family, size: Size) -> Vec<TensorSpec> {
        let tokens = Tokens::of_bytes(family, presets::is_compact(family, size));
        let config = presets::config(family, size, &tokens);
        tensors(&Architecture::from_json(&config, Path::new("config.json")).unwrap())
    }

    fn counts(family: Family, size: Size) -> Vec<(Part, u64)> {
        let tensors = of(family, size);
        let sum = |part| {
            let of_part = tensors.iter().filter(|tensor| tensor.part == part);
            of_part.map(TensorSpec::elements).sum()
        };
        Part::ALL.map(|part| (part, sum(part))).to_vec()
    }

    #[test]
    fn the_full_size_has_the_published_numbers_of_parameters() {
        let count = |family, wanted| {
            let counts = counts(family, Size::Full);
            counts
                .into_iter()
                .find(|(part, _)| *part == wanted)
                .unwrap()
                .1
        };
        let minicpm = |wanted| count(Family::MiniCpmO, wanted);
        assert_eq!(
            minicpm(Part::Language) + minicpm(Part::Output),
            7_613_007_360
        );
        assert_eq!(minicpm(Part::Vision), 417_792_240);
        assert_eq!(minicpm(Part::Resampler), 68_619_264);
        assert_eq!(minicpm(Part::Audio), 307_216_384);
        assert_eq!(minicpm(Part::AudioProjection), 16_522_240);
        let vl = |wanted| count(Family::Qwen2_5Vl, wanted);
        assert_eq!(vl(Part::Vision), 676_550_144);
        let words = vl(Part::Language) + vl(Part::Output);
        assert_eq!(words + vl(Part::Vision), 8_292_166_656);
    }

    #[test]
    fn every_tensor_is_recognised_by_its_name() {
        for family in Family::ALL {
            for tensor in of(family, Size::Tiny) {
                assert_eq!(Part::of(&tensor.name), Some(tensor.part), "{}", tensor.name);
            }
        }
    }
}
