use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::{Error, Result, decoder::DecoderConfig};

/// The published `config.json` of a Qwen2.5-VL, with the decoder's fields at the top or under `text_config`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The decoder.
    pub text: DecoderConfig,
    /// `vision_config`: the vision tower.
    pub vision: VisionConfig,
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
    /// Begins a medium.
    pub start: u32,
    /// Ends a medium.
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
        let published: Published =
            serde_path_to_error::deserialize(json).map_err(|error| Error::Config {
                path: path.to_owned(),
                field: error.path().to_string(),
                reason: error.inner().to_string(),
            })?;
        let text = DecoderConfig::from_json(json, path)?;
        published
            .vision_config
            .check(&text)
            .map_err(|(field, reason)| Error::Config {
                path: path.to_owned(),
                field: format!("vision_config.{field}"),
                reason,
            })?;
        let config = Self {
            text,
            vision: published.vision_config.into(),
            tokens: MediaTokens {
                image: published.image_token_id,
                video: published.video_token_id,
                start: published.vision_start_token_id,
                end: published.vision_end_token_id,
            },
        };
        config.check_tokens(path)?;
        Ok(config)
    }

    fn check_tokens(&self, path: &Path) -> Result<()> {
        let MediaTokens {
            image,
            video,
            start,
            end,
        } = self.tokens;
        let tokens = [
            ("image_token_id", image),
            ("video_token_id", video),
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
    image_token_id: u32,
    video_token_id: u32,
    vision_start_token_id: u32,
    vision_end_token_id: u32,
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
    tokens_per_second: f64,
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
        if !self.tokens_per_second.is_finite() || self.tokens_per_second < 0.0 {
            let reason = format!("it is `{}`, expected a number", self.tokens_per_second);
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

impl From<PublishedVision> for VisionConfig {
    fn from(published: PublishedVision) -> Self {
        let mut full_attention = published.fullatt_block_indexes;
        full_attention.sort_unstable();
        full_attention.dedup();
        Self {
            depth: published.depth,
            hidden: published.hidden_size,
            heads: published.num_heads,
            intermediate: published.intermediate_size,
            out_hidden: published.out_hidden_size,
            patch: published.patch_size,
            temporal_patch: published.temporal_patch_size,
            merge: published.spatial_merge_size,
            window: published.window_size,
            full_attention,
            positions_per_second: published.tokens_per_second,
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
        assert_eq!(config.tokens.video, 151_656);
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
