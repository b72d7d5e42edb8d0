//! What a `config.json` says about a model's sizes.

use std::{fmt, path::Path};

use serde::Serialize;
use serde_json::Value;

use crate::{Error, Result};

/// The sizes of a model, as its `config.json` gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Which model it is.
    pub family: Family,
    /// How a reward is read from it.
    pub readout: Readout,
    /// The decoder.
    pub text: Text,
    /// The towers that see and hear, where it has them.
    pub towers: Option<Towers>,
}

/// A model that can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// MiniCPM-o-2.6: a Qwen2 decoder with a `SigLIP` tower, a resampler and a Whisper encoder.
    MiniCpmO,
    /// Qwen2.5-VL: a Qwen2 decoder with a vision tower of windows. It writes.
    Qwen2_5Vl,
    /// Qwen2.5-Omni's thinker: Qwen2.5-VL with an audio tower. It writes.
    Qwen2_5Omni,
    /// Qwen2 and Qwen2.5: bias on queries, keys and values.
    Qwen2,
    /// Qwen3: norms on queries and keys.
    Qwen3,
    /// Llama.
    Llama,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 6] = [
        Self::MiniCpmO,
        Self::Qwen2_5Vl,
        Self::Qwen2_5Omni,
        Self::Qwen2,
        Self::Qwen3,
        Self::Llama,
    ];

    /// Those of which reward models are made.
    pub const SCORING: [Self; 4] = [Self::MiniCpmO, Self::Qwen2, Self::Qwen3, Self::Llama];

    /// Whether it is for writing alone.
    pub const fn is_writing(self) -> bool {
        matches!(self, Self::Qwen2_5Vl | Self::Qwen2_5Omni)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::MiniCpmO => "MiniCPM-o-2.6",
            Self::Qwen2_5Vl => "Qwen2.5-VL",
            Self::Qwen2_5Omni => "Qwen2.5-Omni",
            Self::Qwen2 => "Qwen2",
            Self::Qwen3 => "Qwen3",
            Self::Llama => "Llama",
        })
    }
}

/// How the class named in a `config.json` turns a hidden state into numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Readout {
    /// A language model, with a matrix over the vocabulary. A value head lies in a file beside it.
    Language,
    /// `score.weight`.
    Classes(usize),
    /// `score.0`, `ReLU`, `score.2`.
    TwoLayers(usize),
}

/// The sizes of a decoder.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, as in the configuration"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width of the feed-forward layer.
    pub intermediate: usize,
    /// Rows of the embedding table.
    pub vocabulary: usize,
    /// The most positions it was made for.
    pub context: usize,
    /// Whether queries, keys and values have a bias.
    pub has_qkv_bias: bool,
    /// Whether the attention's output has a bias.
    pub has_output_bias: bool,
    /// Whether the feed-forward layers have biases.
    pub has_mlp_bias: bool,
    /// Whether queries and keys are normalised.
    pub has_qk_norm: bool,
    /// Whether the output matrix is the embedding table.
    pub is_tied: bool,
}

/// The sizes of what sees and hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towers {
    /// MiniCPM-o's.
    MiniCpmO(MiniCpmOTowers),
    /// Qwen2.5-VL's, which only sees.
    Qwen2_5Vl(WindowedVision),
    /// Qwen2.5-Omni's.
    Qwen2_5Omni(ThinkerTowers),
}

impl Towers {
    /// Layers, and widths of the residual stream and of the feed-forward layer, of the vision tower.
    pub const fn vision(&self) -> [usize; 3] {
        match self {
            Self::MiniCpmO(towers) => {
                let vision = &towers.vision;
                [vision.layers, vision.hidden, vision.intermediate]
            }
            Self::Qwen2_5Vl(vision) | Self::Qwen2_5Omni(ThinkerTowers { vision, .. }) => {
                [vision.layers, vision.hidden, vision.intermediate]
            }
        }
    }

    /// The audio tower, where there is one.
    pub const fn audio(&self) -> Option<&Audio> {
        match self {
            Self::MiniCpmO(towers) => Some(&towers.audio),
            Self::Qwen2_5Omni(towers) => Some(&towers.audio),
            Self::Qwen2_5Vl(_) => None,
        }
    }
}

/// The sizes of MiniCPM-o's towers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MiniCpmOTowers {
    /// The vision tower.
    pub vision: Vision,
    /// Rows that each picture becomes.
    pub queries: usize,
    /// The audio tower.
    pub audio: Audio,
}

/// The sizes of the towers of Qwen2.5-Omni's thinker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThinkerTowers {
    /// The vision tower.
    pub vision: WindowedVision,
    /// The audio tower, whose positions are not stored.
    pub audio: Audio,
    /// Whether the tensors lie below `thinker.`, beside those of what speaks.
    pub is_part: bool,
}

/// The sizes of Qwen2.5-VL's vision tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowedVision {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Heads.
    pub heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate: usize,
    /// Side of a patch, in pixels.
    pub patch: usize,
    /// Frames that a patch spans.
    pub temporal_patch: usize,
    /// Patches along the side of a cell, which becomes a row of the decoder.
    pub merge: usize,
    /// Colour channels.
    pub channels: usize,
    /// Whether queries, keys and values are one matrix: in Qwen2.5-Omni they are three.
    pub is_stacked: bool,
}

/// The sizes of a `SigLIP` tower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vision {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Heads.
    pub heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate: usize,
    /// Side of the picture that the position table covers, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch: usize,
    /// Colour channels.
    pub channels: usize,
}

/// The sizes of a Whisper encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audio {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Heads.
    pub heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate: usize,
    /// Mel bins.
    pub mels: usize,
    /// Rows of the position table.
    pub positions: usize,
}

/// A field of a configuration that cannot be what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The field, dotted.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Names of classes that [`Architecture::read`] knows.
pub const KNOWN_CLASSES: &str = "MiniCPMO, Qwen2_5_VLForConditionalGeneration, Qwen2_5OmniModel, Qwen2_5OmniThinkerForConditionalGeneration, and Qwen2, Qwen3 and Llama with ForCausalLM, ForSequenceClassification or ForRewardModel";

impl Architecture {
    /// Reads the sizes and checks them against one another.
    pub fn from_json(config: &Value, path: &Path) -> Result<Self> {
        let (architecture, contradictions) = Self::read(config, path)?;
        match (architecture, contradictions.into_iter().next()) {
            (Some(architecture), None) => Ok(architecture),
            (_, Some(Contradiction { field, reason })) => Err(Error::Config {
                path: path.to_owned(),
                field,
                reason,
            }),
            (None, None) => unreachable!("a field that cannot be read is reported"),
        }
    }

    /// Reads the sizes as far as they are there, with everything that contradicts itself. The sizes are `None` when
    /// a field that they need is missing. Fails only when the class is not known.
    pub fn read(config: &Value, path: &Path) -> Result<(Option<Self>, Vec<Contradiction>)> {
        let class = class(config);
        let (family, readout) =
            known(&class, config).ok_or_else(|| Error::UnknownArchitecture {
                path: path.to_owned(),
                found: class.clone(),
                known: KNOWN_CLASSES.to_owned(),
            })?;
        let mut fields = Fields::new(config, family);
        let text = text(family, &mut fields);
        let towers = match family {
            Family::MiniCpmO => Some(towers(&mut fields).map(Towers::MiniCpmO)),
            Family::Qwen2_5Vl => Some(windowed_vision(&mut fields, true).map(Towers::Qwen2_5Vl)),
            Family::Qwen2_5Omni => Some(thinker(&mut fields).map(Towers::Qwen2_5Omni)),
            Family::Qwen2 | Family::Qwen3 | Family::Llama => None,
        };
        let architecture = match (text, towers) {
            (Some(text), None) => Some((text, None)),
            (Some(text), Some(Some(towers))) => Some((text, Some(towers))),
            _ => None,
        };
        let architecture = architecture.map(|(text, towers)| Self {
            family,
            readout,
            text,
            towers,
        });
        if let Some(architecture) = &architecture {
            architecture.check(&mut fields);
        }
        Ok((architecture, fields.wrong))
    }

    fn check(&self, fields: &mut Fields<'_>) {
        let text = self.text;
        let (hidden, heads) = (
            fields.of_text("hidden_size"),
            fields.of_text("num_attention_heads"),
        );
        if fields.get(&fields.of_text("head_dim")).is_none() {
            fields.divides(&heads, text.heads, &hidden, text.hidden);
        }
        let kv_heads = fields.of_text("num_key_value_heads");
        fields.divides(&kv_heads, text.kv_heads, &heads, text.heads);
        if !text.head_dim.is_multiple_of(2) {
            let reason = format!(
                "rotary positions need an even width of heads, not `{}`",
                text.head_dim
            );
            fields.blame(&heads, reason);
        }
        match &self.towers {
            None => {}
            Some(Towers::MiniCpmO(towers)) => check_towers(towers, text.hidden, fields),
            Some(Towers::Qwen2_5Vl(vision)) => check_windowed(vision, fields),
            Some(Towers::Qwen2_5Omni(towers)) => {
                check_windowed(&towers.vision, fields);
                let field = fields.of_model("audio_config.encoder_attention_heads");
                let hidden = fields.of_model("audio_config.d_model");
                fields.divides(&field, towers.audio.heads, &hidden, towers.audio.hidden);
            }
        }
    }
}

fn check_windowed(vision: &WindowedVision, fields: &mut Fields<'_>) {
    let heads = fields.of_model("vision_config.num_heads");
    let hidden = fields.of_model("vision_config.hidden_size");
    fields.divides(&heads, vision.heads, &hidden, vision.hidden);
}

fn check_towers(towers: &MiniCpmOTowers, hidden: usize, fields: &mut Fields<'_>) {
    if hidden < RESAMPLER_HEAD || !hidden.is_multiple_of(RESAMPLER_HEAD) {
        let reason = format!(
            "the resampler's heads are {RESAMPLER_HEAD} wide, which does not divide `{hidden}`"
        );
        fields.blame("hidden_size", reason);
    }
    let (vision, audio) = (towers.vision, towers.audio);
    fields.divides(
        "vision_config.num_attention_heads",
        vision.heads,
        "vision_config.hidden_size",
        vision.hidden,
    );
    fields.divides(
        "vision_config.patch_size",
        vision.patch,
        "vision_config.image_size",
        vision.image_size,
    );
    fields.divides(
        "audio_config.encoder_attention_heads",
        audio.heads,
        "audio_config.d_model",
        audio.hidden,
    );
}

/// Width of the resampler's attention heads; the published code derives their number from it.
pub const RESAMPLER_HEAD: usize = 128;

/// The first name in `architectures`, or the model type where there is none.
pub(super) fn class(config: &Value) -> String {
    config["architectures"][0]
        .as_str()
        .or_else(|| config["model_type"].as_str())
        .unwrap_or("none")
        .to_owned()
}

fn known(class: &str, config: &Value) -> Option<(Family, Readout)> {
    if matches!(class, "MiniCPMO" | "minicpmo") {
        return Some((Family::MiniCpmO, Readout::Language));
    }
    if matches!(class, "Qwen2_5_VLForConditionalGeneration" | "qwen2_5_vl") {
        return Some((Family::Qwen2_5Vl, Readout::Language));
    }
    if class.starts_with("Qwen2_5Omni") || class.starts_with("qwen2_5_omni") {
        return Some((Family::Qwen2_5Omni, Readout::Language));
    }
    let families = [
        ("Qwen2", Family::Qwen2),
        ("Qwen3", Family::Qwen3),
        ("Llama", Family::Llama),
    ];
    families.into_iter().find_map(|(name, family)| {
        let readout = match class.strip_prefix(name)? {
            "ForCausalLM" => Readout::Language,
            "ForSequenceClassification" => Readout::Classes(labels(config)),
            "ForRewardModel" => Readout::TwoLayers(labels(config)),
            _ => return None,
        };
        Some((family, readout))
    })
}

/// Outputs of the head. A configuration that names its labels need not count them.
fn labels(config: &Value) -> usize {
    let counted = config["num_labels"].as_u64().map(|labels| labels as usize);
    let named = config["id2label"].as_object().map(serde_json::Map::len);
    counted.or(named).unwrap_or(1)
}

fn text(family: Family, fields: &mut Fields<'_>) -> Option<Text> {
    let mut size = |name: &str| {
        let field = fields.of_text(name);
        fields.size(&field)
    };
    let hidden = size("hidden_size");
    let heads = size("num_attention_heads");
    let intermediate = size("intermediate_size");
    let vocabulary = size("vocab_size");
    let context = size("max_position_embeddings");
    let layers = fields.layers(&fields.of_text("num_hidden_layers"));
    let kv_heads = fields.of_text("num_key_value_heads");
    let kv_heads = match family {
        Family::Llama => fields.size_or(&kv_heads, heads),
        _ => fields.size(&kv_heads),
    };
    fields.positive(&fields.of_text("rms_norm_eps"));
    if fields
        .get(&fields.of_text("rope_parameters.rope_theta"))
        .is_none()
    {
        fields.positive(&fields.of_text("rope_theta"));
    }
    let (hidden, heads) = (hidden?, heads?);
    let has_attention_bias = fields.flag(&fields.of_text("attention_bias"));
    let own_tie = fields.of_text("tie_word_embeddings");
    let tie = if fields.get(&own_tie).is_some() {
        own_tie
    } else {
        fields.of_model("tie_word_embeddings")
    };
    Some(Text {
        hidden,
        layers: layers?,
        heads,
        kv_heads: kv_heads?,
        head_dim: fields.size_or(&fields.of_text("head_dim"), Some(hidden / heads))?,
        intermediate: intermediate?,
        vocabulary: vocabulary?,
        context: context?,
        has_qkv_bias: has_attention_bias
            || matches!(family, Family::MiniCpmO | Family::Qwen2)
            || family.is_writing(),
        has_output_bias: matches!(family, Family::Qwen3 | Family::Llama) && has_attention_bias,
        has_mlp_bias: family == Family::Llama && fields.flag("mlp_bias"),
        has_qk_norm: family == Family::Qwen3,
        is_tied: fields.flag(&tie),
    })
}

fn towers(fields: &mut Fields<'_>) -> Option<MiniCpmOTowers> {
    let queries = fields.size("query_num");
    let vision = vision(fields);
    let audio = audio(fields);
    Some(MiniCpmOTowers {
        vision: vision?,
        queries: queries?,
        audio: audio?,
    })
}

fn vision(fields: &mut Fields<'_>) -> Option<Vision> {
    let layers = fields.layers("vision_config.num_hidden_layers");
    let mut size = |name: &str| fields.size(&format!("vision_config.{name}"));
    let hidden = size("hidden_size");
    let (heads, intermediate) = (size("num_attention_heads"), size("intermediate_size"));
    let (image_size, patch) = (size("image_size"), size("patch_size"));
    Some(Vision {
        hidden: hidden?,
        layers: layers?,
        heads: heads?,
        intermediate: intermediate?,
        image_size: image_size?,
        patch: patch?,
        channels: fields.size_or("vision_config.num_channels", Some(3))?,
    })
}

fn thinker(fields: &mut Fields<'_>) -> Option<ThinkerTowers> {
    let vision = windowed_vision(fields, false);
    let audio = audio(fields);
    Some(ThinkerTowers {
        vision: vision?,
        audio: audio?,
        is_part: !fields.model.is_empty(),
    })
}

fn windowed_vision(fields: &mut Fields<'_>, is_stacked: bool) -> Option<WindowedVision> {
    let place = fields.of_model("vision_config");
    let layers = fields.layers(&format!("{place}.depth"));
    let mut size = |name: &str| fields.size(&format!("{place}.{name}"));
    let hidden = size("hidden_size");
    let (heads, intermediate) = (size("num_heads"), size("intermediate_size"));
    let mut size_or =
        |name: &str, usual: usize| fields.size_or(&format!("{place}.{name}"), Some(usual));
    Some(WindowedVision {
        hidden: hidden?,
        layers: layers?,
        heads: heads?,
        intermediate: intermediate?,
        patch: size_or("patch_size", 14)?,
        temporal_patch: size_or("temporal_patch_size", 2)?,
        merge: size_or("spatial_merge_size", 2)?,
        channels: size_or("in_chans", 3)?,
        is_stacked,
    })
}

fn audio(fields: &mut Fields<'_>) -> Option<Audio> {
    let place = fields.of_model("audio_config");
    let layers = fields.layers(&format!("{place}.encoder_layers"));
    let mut size = |name: &str| fields.size(&format!("{place}.{name}"));
    let hidden = size("d_model");
    let (heads, intermediate) = (size("encoder_attention_heads"), size("encoder_ffn_dim"));
    let mut size_or =
        |name: &str, usual: usize| fields.size_or(&format!("{place}.{name}"), Some(usual));
    Some(Audio {
        hidden: hidden?,
        layers: layers?,
        heads: heads?,
        intermediate: intermediate?,
        mels: size_or("num_mel_bins", 80)?,
        positions: size_or("max_source_positions", 1500)?,
    })
}

/// Reads fields and remembers what is wrong with them.
struct Fields<'a> {
    config: &'a Value,
    /// Where the model's fields stand.
    model: &'static str,
    /// Where those of its decoder do, from there.
    text: &'static str,
    wrong: Vec<Contradiction>,
}

impl<'a> Fields<'a> {
    fn new(config: &'a Value, family: Family) -> Self {
        let (mut own, mut model) = (config, "");
        if family == Family::Qwen2_5Omni && config["thinker_config"].is_object() {
            (own, model) = (&config["thinker_config"], "thinker_config.");
        }
        let is_nested = family.is_writing() && own["text_config"].is_object();
        Self {
            config,
            model,
            text: if is_nested { "text_config." } else { "" },
            wrong: Vec::new(),
        }
    }

    /// The full name of a field of the model.
    fn of_model(&self, name: &str) -> String {
        format!("{}{name}", self.model)
    }

    /// The full name of a field of the decoder.
    fn of_text(&self, name: &str) -> String {
        format!("{}{}{name}", self.model, self.text)
    }

    fn get(&self, field: &str) -> Option<&'a Value> {
        let pointer = format!("/{}", field.replace('.', "/"));
        self.config
            .pointer(&pointer)
            .filter(|value| !value.is_null())
    }

    /// A count of at least one that has to be there.
    fn size(&mut self, field: &str) -> Option<usize> {
        if self.get(field).is_none() {
            self.blame(field, "is missing".to_owned());
            return None;
        }
        self.size_or(field, None)
    }

    /// A count of at least one, or what the published code takes when it is not given.
    fn size_or(&mut self, field: &str, default: Option<usize>) -> Option<usize> {
        match self.get(field) {
            None => default,
            Some(value) => self.up_to(field, value, MOST),
        }
    }

    /// A count of layers that has to be there. Each has tensors with names of their own, so it is bounded by what a
    /// list of them may cost.
    fn layers(&mut self, field: &str) -> Option<usize> {
        match self.get(field) {
            None => self.size(field),
            Some(value) => self.up_to(field, value, MOST_LAYERS),
        }
    }

    fn up_to(&mut self, field: &str, value: &Value, most: u64) -> Option<usize> {
        let size = value.as_u64().filter(|size| (1..=most).contains(size));
        if size.is_none() {
            self.blame(
                field,
                format!("expected a whole number from 1 to {most}, found `{value}`"),
            );
        }
        size.map(|size| size as usize)
    }

    fn positive(&mut self, field: &str) {
        match self.get(field) {
            None => self.blame(field, "is missing".to_owned()),
            Some(value) if value.as_f64().is_some_and(|number| number > 0.0) => {}
            Some(value) => {
                self.blame(
                    field,
                    format!("expected a number above zero, found `{value}`"),
                );
            }
        }
    }

    fn flag(&self, field: &str) -> bool {
        self.get(field).and_then(Value::as_bool).unwrap_or(false)
    }

    fn divides(&mut self, part: &str, parts: usize, whole: &str, size: usize) {
        if !size.is_multiple_of(parts) {
            self.blame(
                part,
                format!("`{parts}` does not divide `{whole}`, which is `{size}`"),
            );
        }
    }

    fn blame(&mut self, field: &str, reason: String) {
        self.wrong.push(Contradiction {
            field: field.to_owned(),
            reason,
        });
    }
}

/// No size of a model is above this; products of a few of them stay within 64 bits.
const MOST: u64 = 1 << 24;

/// No model has nearly as many layers.
const MOST_LAYERS: u64 = 1 << 12;
