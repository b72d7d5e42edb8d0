use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    Activation, Error, Result,
    audio::{AudioConfig, ChunkedAudioConfig},
    decoder::DecoderConfig,
};

/// The published `config.json` of a Qwen2.5-VL, with the decoder's fields at the top or under `text_config`; or of a
/// Qwen2.5-Omni, whose thinker is such a model that also hears.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The decoder.
    pub text: DecoderConfig,
    /// `vision_config`: the vision tower.
    pub vision: VisionConfig,
    /// `audio_config`: the audio tower, where there is one.
    pub audio: Option<ChunkedAudioConfig>,
    /// Tokens that stand for media and mark them.
    pub tokens: MediaTokens,
}

/// Tokens that stand for media and mark them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaTokens {
    /// Stands where a row of a picture does.
    pub image: u32,
    /// Stands where a row of a video does.
    pub video: u32,
    /// Stands where a row of a sound does; `None` in a model that does not hear.
    pub audio: Option<u32>,
    /// Begins a picture or a video.
    pub start: u32,
    /// Ends a picture or a video.
    pub end: u32,
}

/// The vision tower's sizes.
///
/// Only the published sizes of patches have a default: the library's class has those of the largest model, with which a
/// smaller one would be built without a word.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Blocks.
    pub depth: usize,
    /// Width of the stream.
    pub hidden: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of the gated networks.
    pub intermediate: usize,
    /// Width of the rows that a medium becomes: the decoder's.
    pub out_hidden: usize,
    /// Side of a patch, in pixels.
    pub patch: usize,
    /// Frames that a patch spans.
    pub temporal_patch: usize,
    /// Patches along the side of a cell, which becomes a row of the decoder.
    pub merge: usize,
    /// Side of a window, in pixels.
    pub window: usize,
    /// Blocks that see a whole frame rather than windows of it, sorted.
    pub full_attention: Vec<usize>,
    /// Positions in a second of video.
    pub positions_per_second: f64,
}

impl Config {
    /// Reads `config.json` in the directory `dir`.
    ///
    /// # Errors
    ///
    /// Names the file, and the field that is missing or wrong.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Io {
            path: path.clone(),
            source,
        })?;
        let json = serde_json::from_str(&text).map_err(|source| Error::Json {
            path: path.clone(),
            source,
        })?;
        Self::from_json(&json, &path)
    }

    /// Reads a published configuration; `path` is for messages.
    ///
    /// # Errors
    ///
    /// Names the field that is missing or wrong.
    pub fn from_json(json: &Value, path: &Path) -> Result<Self> {
        let (json, place) = match json.get("thinker_config") {
            Some(thinker) if thinker.is_object() => (thinker, "thinker_config."),
            _ => (json, ""),
        };
        let wrong = |field: String, reason: String| Error::Config {
            path: path.to_owned(),
            field: format!("{place}{field}"),
            reason,
        };
        let published: Published = serde_path_to_error::deserialize(json)
            .map_err(|error| wrong(error.path().to_string(), error.inner().to_string()))?;
        let text = DecoderConfig::from_json(json, path)?;
        let vision = &published.vision_config;
        vision
            .check(&text)
            .map_err(|(field, reason)| wrong(format!("vision_config.{field}"), reason))?;
        // Qwen2.5-Omni says it beside its towers.
        let per_second = published
            .position_id_per_seconds
            .or(vision.tokens_per_second);
        let Some(per_second) = per_second else {
            let field = "vision_config.tokens_per_second".to_owned();
            return Err(wrong(field, "it is missing".to_owned()));
        };
        let audio = published
            .audio_config
            .map(|audio| audio.checked(&text))
            .transpose()
            .map_err(|(field, reason)| wrong(format!("audio_config.{field}"), reason))?;
        if audio.is_some() && published.audio_token_index.is_none() {
            let field = "audio_token_index".to_owned();
            return Err(wrong(field, "it is missing".to_owned()));
        }
        let config = Self {
            text,
            vision: published.vision_config.with(per_second),
            tokens: MediaTokens {
                image: published.image_token_id,
                video: published.video_token_id,
                audio: published.audio_token_index.filter(|_| audio.is_some()),
                start: published.vision_start_token_id,
                end: published.vision_end_token_id,
            },
            audio,
        };
        config.check_tokens(path)?;
        Ok(config)
    }

    fn check_tokens(&self, path: &Path) -> Result<()> {
        let MediaTokens {
            image,
            video,
            audio,
            start,
            end,
        } = self.tokens;
        let tokens = [
            ("image_token_id", image),
            ("video_token_id", video),
            ("audio_token_index", audio.unwrap_or(image)),
            ("vision_start_token_id", start),
            ("vision_end_token_id", end),
        ];
        let vocabulary = self.text.vocabulary;
        match tokens
            .into_iter()
            .find(|(_, token)| *token as usize >= vocabulary)
        {
            None => Ok(()),
            Some((field, token)) => Err(Error::Config {
                path: path.to_owned(),
                field: field.to_owned(),
                reason: format!("it is `{token}`, and there are `{vocabulary}` tokens"),
            }),
        }
    }
}

impl VisionConfig {
    /// Numbers in a patch.
    pub const fn patch_len(&self) -> usize {
        CHANNELS * self.temporal_patch * self.patch * self.patch
    }

    /// Patches that become one row of the decoder.
    pub const fn cell_len(&self) -> usize {
        self.merge * self.merge
    }

    /// Width of an attention head.
    pub const fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }

    /// Cells along the side of a window.
    pub const fn window_cells(&self) -> usize {
        self.window / self.patch / self.merge
    }
}

/// Red, green and blue.
pub(super) const CHANNELS: usize = 3;

/// `config.json`, as far as the vision tower and the places of media go.
#[derive(Deserialize)]
struct Published {
    vision_config: PublishedVision,
    audio_config: Option<PublishedAudio>,
    #[serde(alias = "image_token_index")]
    image_token_id: u32,
    #[serde(alias = "video_token_index")]
    video_token_id: u32,
    audio_token_index: Option<u32>,
    vision_start_token_id: u32,
    vision_end_token_id: u32,
    position_id_per_seconds: Option<f64>,
}

#[derive(Deserialize)]
struct PublishedAudio {
    d_model: usize,
    encoder_layers: usize,
    encoder_attention_heads: usize,
    encoder_ffn_dim: usize,
    num_mel_bins: usize,
    max_source_positions: usize,
    /// Frames of the layers in a chunk.
    n_window: usize,
    output_dim: usize,
    #[serde(default = "gelu")]
    activation_function: Activation,
    #[serde(default)]
    scale_embedding: bool,
}

const fn gelu() -> Activation {
    Activation::Gelu
}

impl PublishedAudio {
    fn checked(self, text: &DecoderConfig) -> Result<ChunkedAudioConfig, (&'static str, String)> {
        let counts = [
            ("d_model", self.d_model),
            ("encoder_layers", self.encoder_layers),
            ("encoder_attention_heads", self.encoder_attention_heads),
            ("encoder_ffn_dim", self.encoder_ffn_dim),
            ("num_mel_bins", self.num_mel_bins),
            ("n_window", self.n_window),
        ];
        for (field, count) in counts {
            if count == 0 || count > MOST {
                return Err((field, format!("it is `{count}`, expected 1 to {MOST}")));
            }
        }
        if !self
            .d_model
            .is_multiple_of(2 * self.encoder_attention_heads)
        {
            let part = 2 * self.encoder_attention_heads;
            let reason = format!("it is `{}`, expected a multiple of `{part}`", self.d_model);
            return Err(("d_model", reason));
        }
        if self.output_dim != text.hidden {
            let reason = format!(
                "it is `{}`, and the decoder's `hidden_size` is `{}`",
                self.output_dim, text.hidden
            );
            return Err(("output_dim", reason));
        }
        if self.n_window > self.max_source_positions {
            let reason = format!(
                "it is `{}`, and there are `{}` positions",
                self.n_window, self.max_source_positions
            );
            return Err(("n_window", reason));
        }
        if self.scale_embedding {
            return Err(("scale_embedding", "it is not supported".to_owned()));
        }
        Ok(ChunkedAudioConfig {
            layers: AudioConfig {
                d_model: self.d_model,
                encoder_layers: self.encoder_layers,
                encoder_attention_heads: self.encoder_attention_heads,
                encoder_ffn_dim: self.encoder_ffn_dim,
                num_mel_bins: self.num_mel_bins,
                max_source_positions: self.max_source_positions,
                activation_function: self.activation_function,
            },
            chunk: 2 * self.n_window,
            out: self.output_dim,
        })
    }
}

#[derive(Deserialize)]
struct PublishedVision {
    depth: usize,
    hidden_size: usize,
    num_heads: usize,
    intermediate_size: usize,
    out_hidden_size: usize,
    #[serde(default = "fourteen")]
    patch_size: usize,
    #[serde(default = "two")]
    temporal_patch_size: usize,
    #[serde(default = "two")]
    spatial_merge_size: usize,
    window_size: usize,
    fullatt_block_indexes: Vec<usize>,
    tokens_per_second: Option<f64>,
    /// Published files say `in_chans`, later saves `in_channels`, and some both.
    in_chans: Option<usize>,
    in_channels: Option<usize>,
    hidden_act: Option<String>,
}

const fn fourteen() -> usize {
    14
}

const fn two() -> usize {
    2
}

impl PublishedVision {
    fn check(&self, text: &DecoderConfig) -> Result<(), (&'static str, String)> {
        let counts = [
            ("depth", self.depth),
            ("hidden_size", self.hidden_size),
            ("num_heads", self.num_heads),
            ("intermediate_size", self.intermediate_size),
            ("patch_size", self.patch_size),
            ("temporal_patch_size", self.temporal_patch_size),
            ("spatial_merge_size", self.spatial_merge_size),
            ("window_size", self.window_size),
        ];
        for (field, count) in counts {
            if count == 0 || count > MOST {
                return Err((field, format!("it is `{count}`, expected 1 to {MOST}")));
            }
        }
        // Half of a head's pairs turn by the row of a patch, half by its column.
        let multiples = [
            ("hidden_size", self.hidden_size, 4 * self.num_heads),
            (
                "window_size",
                self.window_size,
                self.patch_size * self.spatial_merge_size,
            ),
        ];
        for (field, whole, part) in multiples {
            if whole % part != 0 {
                let reason = format!("it is `{whole}`, expected a multiple of `{part}`");
                return Err((field, reason));
            }
        }
        if self.out_hidden_size != text.hidden {
            let reason = format!(
                "it is `{}`, and the decoder's `hidden_size` is `{}`",
                self.out_hidden_size, text.hidden
            );
            return Err(("out_hidden_size", reason));
        }
        let beyond = |block: &&usize| **block >= self.depth;
        if let Some(block) = self.fullatt_block_indexes.iter().find(beyond) {
            let reason = format!("it names block `{block}`, and there are `{}`", self.depth);
            return Err(("fullatt_block_indexes", reason));
        }
        if let Some(rate) = self.tokens_per_second
            && (!rate.is_finite() || rate < 0.0)
        {
            let reason = format!("it is `{rate}`, expected a number from 0 on");
            return Err(("tokens_per_second", reason));
        }
        for (field, channels) in [
            ("in_chans", self.in_chans),
            ("in_channels", self.in_channels),
        ] {
            if let Some(channels) = channels.filter(|channels| *channels != CHANNELS) {
                let reason = format!("it is `{channels}`, and pictures have `{CHANNELS}`");
                return Err((field, reason));
            }
        }
        match self.hidden_act.as_deref() {
            None | Some("silu" | "swish") => Ok(()),
            Some(other) => Err(("hidden_act", format!("`{other}` is not supported, silu is"))),
        }
    }
}

/// No size of a tower is above this.
const MOST: usize = 1 << 20;

impl PublishedVision {
    fn with(self, positions_per_second: f64) -> VisionConfig {
        let mut full_attention = self.fullatt_block_indexes;
        full_attention.sort_unstable();
        full_attention.dedup();
        VisionConfig {
            depth: self.depth,
            hidden: self.hidden_size,
            heads: self.num_heads,
            intermediate: self.intermediate_size,
            out_hidden: self.out_hidden_size,
            patch: self.patch_size,
            temporal_patch: self.temporal_patch_size,
            merge: self.spatial_merge_size,
            window: self.window_size,
            full_attention,
            positions_per_second,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The fields of the published Qwen2.5-VL-7B-Instruct, but for the number of positions.
    fn published() -> Value {
        json!({
            "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl",
            "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
            "num_key_value_heads": 4, "intermediate_size": 18944, "hidden_act": "silu",
            "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 128_000,
            "vocab_size": 152_064, "tie_word_embeddings": false, "use_sliding_window": false,
            "rope_scaling": { "type": "mrope", "mrope_section": [16, 24, 24] },
            "image_token_id": 151_655, "video_token_id": 151_656,
            "vision_start_token_id": 151_652, "vision_end_token_id": 151_653,
            "vision_config": {
                "depth": 32, "hidden_act": "silu", "hidden_size": 1280, "in_chans": 3,
                "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 3584,
                "patch_size": 14, "spatial_merge_size": 2, "spatial_patch_size": 14,
                "temporal_patch_size": 2, "tokens_per_second": 2, "window_size": 112,
                "fullatt_block_indexes": [7, 15, 23, 31],
            },
        })
    }

    fn read(json: &Value) -> Result<Config> {
        Config::from_json(json, Path::new("config.json"))
    }

    #[test]
    fn the_published_model_is_read() {
        let config = read(&published()).unwrap();
        let vision = &config.vision;
        assert_eq!((vision.depth, vision.hidden, vision.heads), (32, 1280, 16));
        assert_eq!(vision.full_attention, [7, 15, 23, 31]);
        assert_eq!((vision.patch_len(), vision.cell_len()), (1176, 4));
        assert_eq!((vision.head_dim(), vision.window_cells()), (80, 4));
        assert_eq!((config.tokens.video, config.tokens.audio), (151_656, None));
        assert!(config.audio.is_none());
        assert_eq!(config.text.rope.sections, Some([16, 24, 24]));
    }

    #[test]
    fn nested_text_fields_are_read() {
        let mut nested = json!({ "text_config": {} });
        for (name, value) in published().as_object().unwrap() {
            let is_text = DECODER_FIELDS.contains(&name.as_str());
            let place = if is_text {
                &mut nested["text_config"][name]
            } else {
                &mut nested[name]
            };
            *place = value.clone();
        }
        nested["text_config"]["model_type"] = "qwen2_5_vl_text".into();
        assert_eq!(read(&nested).unwrap(), read(&published()).unwrap());
    }

    #[test]
    fn a_thinker_hears() {
        let mut thinker = published();
        for (other, name) in [
            ("image_token_id", "image_token_index"),
            ("video_token_id", "video_token_index"),
        ] {
            let token = thinker[other].take();
            thinker.as_object_mut().unwrap().remove(other);
            thinker[name] = token;
        }
        thinker["audio_token_index"] = 151_646.into();
        thinker["position_id_per_seconds"] = 25.into();
        thinker["audio_config"] = json!({
            "d_model": 1280, "encoder_layers": 32, "encoder_attention_heads": 20,
            "encoder_ffn_dim": 5120, "num_mel_bins": 128, "max_source_positions": 1500,
            "n_window": 100, "output_dim": 3584, "activation_function": "gelu",
        });
        let omni = json!({ "model_type": "qwen2_5_omni", "thinker_config": thinker });
        let config = read(&omni).unwrap();
        let audio = config.audio.unwrap();
        assert_eq!((audio.chunk, audio.layers.num_mel_bins), (200, 128));
        assert_eq!(config.tokens.audio, Some(151_646));
        assert_eq!(
            config.vision.positions_per_second.to_bits(),
            25.0_f64.to_bits()
        );

        let mut wrong = omni;
        wrong["thinker_config"]["audio_config"]["output_dim"] = 1.into();
        let error = read(&wrong).unwrap_err().to_string();
        assert!(
            error.starts_with("`thinker_config.audio_config.output_dim`"),
            "{error}"
        );
    }

    const DECODER_FIELDS: [&str; 12] = [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
        "hidden_act",
        "rms_norm_eps",
        "rope_theta",
        "max_position_embeddings",
        "vocab_size",
        "use_sliding_window",
        "rope_scaling",
    ];

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        let cases = [
            ("vision_config.depth", json!(0), "1 to"),
            ("vision_config.hidden_size", json!(1290), "multiple of `64`"),
            ("vision_config.window_size", json!(100), "multiple of `28`"),
            ("vision_config.out_hidden_size", json!(8192), "`3584`"),
            (
                "vision_config.fullatt_block_indexes",
                json!([7, 32]),
                "`32`",
            ),
            ("vision_config.in_chans", json!(4), "`3`"),
            ("vision_config.hidden_act", json!("gelu"), "gelu"),
            ("vision_config.tokens_per_second", json!(-1), "`-1`"),
            ("image_token_id", json!(152_064), "`152064` tokens"),
        ];
        for (field, value, reason) in cases {
            let mut json = published();
            let pointer = format!("/{}", field.replace('.', "/"));
            *json.pointer_mut(&pointer).unwrap() = value;
            let error = read(&json).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{field}` in `config.json`: "))
                    && error.contains(reason),
                "{error}"
            );
        }
        let mut json = published();
        json["vision_config"]["depth"] = Value::Null;
        let error = read(&json).unwrap_err().to_string();
        assert!(error.contains("vision_config.depth"), "{error}");
    }
}
