use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    Error, Result,
    audio::{AudioConfig, AudioMask},
    decoder::DecoderConfig,
    vision::{ResamplerConfig, VisionConfig},
};

/// The published `config.json` of a MiniCPM-o-2.6. How pictures are sliced and numbered is not read from it but, as the
/// original's processor does, from `preprocessor_config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The decoder.
    pub text: DecoderConfig,
    /// `vision_config`: the vision tower.
    pub vision: VisionConfig,
    /// `audio_config`: the audio tower.
    pub audio: AudioConfig,
    /// Rows that a tile becomes.
    pub query_num: usize,
    /// Whether the vision tower ends one layer early. The published model does not.
    pub drop_vision_last_layer: bool,
    /// Tiles that are encoded at a time, at most. Without influence on the numbers.
    pub vision_batch_size: usize,
    /// Frames that become a row, of 20 ms each.
    pub audio_pool_step: usize,
    /// Seconds of sound that see each other, besides what came before; without limit when it is not above zero.
    pub audio_chunk_length: f64,
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
        check_architecture(json, path)?;
        let published: Published =
            serde_path_to_error::deserialize(json).map_err(|error| wrong(&error, path))?;
        let config = Self {
            text: DecoderConfig::from_json(json, path)?,
            vision: published.vision_config,
            audio: published.audio_config,
            query_num: published.query_num,
            drop_vision_last_layer: published.drop_vision_last_layer,
            vision_batch_size: published.vision_batch_size,
            audio_pool_step: published.audio_pool_step,
            audio_chunk_length: published.audio_chunk_length,
        };
        config
            .check(published.patch_size)
            .map_err(|(field, reason)| Error::Config {
                path: path.to_owned(),
                field: field.to_owned(),
                reason,
            })?;
        Ok(config)
    }

    /// The vision tower as it is run.
    pub fn encoder(&self) -> VisionConfig {
        VisionConfig {
            num_hidden_layers: self.vision.num_hidden_layers
                - usize::from(self.drop_vision_last_layer),
            ..self.vision.clone()
        }
    }

    /// The resampler.
    pub fn resampler(&self) -> ResamplerConfig {
        ResamplerConfig {
            queries: self.query_num,
            hidden: self.text.hidden,
            vision_hidden: self.vision.hidden_size,
        }
    }

    /// Which frames see each other in the audio tower.
    pub fn audio_mask(&self) -> AudioMask {
        if self.audio_chunk_length > 0.0 {
            AudioMask::Chunks(self.frames_per_chunk())
        } else {
            AudioMask::Full
        }
    }

    fn frames_per_chunk(&self) -> usize {
        const FRAMES_PER_SECOND: f64 = 50.0;
        (self.audio_chunk_length * FRAMES_PER_SECOND) as usize
    }

    fn check(&self, patch_size: usize) -> Result<(), (&'static str, String)> {
        let Self { vision, audio, .. } = self;
        let counts = [
            ("query_num", self.query_num),
            ("vision_batch_size", self.vision_batch_size),
            ("audio_pool_step", self.audio_pool_step),
            ("vision_config.hidden_size", vision.hidden_size),
            ("vision_config.intermediate_size", vision.intermediate_size),
            ("vision_config.num_hidden_layers", vision.num_hidden_layers),
            (
                "vision_config.num_attention_heads",
                vision.num_attention_heads,
            ),
            ("vision_config.patch_size", vision.patch_size),
            ("audio_config.d_model", audio.d_model),
            ("audio_config.encoder_layers", audio.encoder_layers),
            (
                "audio_config.encoder_attention_heads",
                audio.encoder_attention_heads,
            ),
            ("audio_config.encoder_ffn_dim", audio.encoder_ffn_dim),
            ("audio_config.num_mel_bins", audio.num_mel_bins),
            (
                "audio_config.max_source_positions",
                audio.max_source_positions,
            ),
        ];
        if let Some((field, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err((
                field,
                "it is `0`, expected a whole number above 0".to_owned(),
            ));
        }
        let multiples = [
            ("hidden_size", self.text.hidden, ResamplerConfig::HEAD_DIM),
            (
                "vision_config.hidden_size",
                vision.hidden_size,
                vision.num_attention_heads,
            ),
            (
                "audio_config.d_model",
                audio.d_model,
                audio.encoder_attention_heads,
            ),
            (
                "vision_config.image_size",
                vision.image_size,
                vision.patch_size,
            ),
        ];
        for (field, whole, part) in multiples {
            if whole == 0 || whole % part != 0 {
                return Err((
                    field,
                    format!("it is `{whole}`, expected a multiple of `{part}`"),
                ));
            }
        }
        if vision.num_channels != 3 {
            let reason = format!("it is `{}`, and pictures have `3`", vision.num_channels);
            return Err(("vision_config.num_channels", reason));
        }
        if vision.patch_size != patch_size {
            let reason = format!(
                "it is `{patch_size}`, and `vision_config.patch_size` is `{}`",
                vision.patch_size
            );
            return Err(("patch_size", reason));
        }
        if !self.audio_chunk_length.is_finite()
            || self.audio_chunk_length > 0.0 && self.frames_per_chunk() == 0
        {
            let reason = format!(
                "it is `{}` seconds, expected a frame of 20 ms at least",
                self.audio_chunk_length
            );
            return Err(("audio_chunk_length", reason));
        }
        Ok(())
    }
}

/// `config.json`, as far as the towers go. What a file leaves out has the value of the original's class, except
/// where that class and the published model differ.
#[derive(Deserialize)]
struct Published {
    #[serde(default = "vision_config")]
    vision_config: VisionConfig,
    #[serde(default)]
    audio_config: AudioConfig,
    #[serde(default = "query_num")]
    query_num: usize,
    #[serde(default = "patch_size")]
    patch_size: usize,
    drop_vision_last_layer: bool,
    #[serde(default = "vision_batch_size")]
    vision_batch_size: usize,
    audio_pool_step: usize,
    #[serde(default = "audio_chunk_length")]
    audio_chunk_length: f64,
}

/// The vision tower that the original's class builds when it is told of none.
fn vision_config() -> VisionConfig {
    VisionConfig {
        hidden_size: 1152,
        intermediate_size: 4304,
        num_hidden_layers: 27,
        num_attention_heads: 16,
        image_size: 980,
        patch_size: 14,
        ..VisionConfig::default()
    }
}

fn query_num() -> usize {
    64
}

fn patch_size() -> usize {
    14
}

fn vision_batch_size() -> usize {
    16
}

fn audio_chunk_length() -> f64 {
    1.0
}

fn check_architecture(json: &Value, path: &Path) -> Result<()> {
    const KNOWN: &str = "minicpmo";
    let found = json.get("model_type").and_then(Value::as_str);
    if found == Some(KNOWN) {
        return Ok(());
    }
    Err(Error::UnknownArchitecture {
        path: path.to_owned(),
        found: found.unwrap_or("(none)").to_owned(),
        known: KNOWN.to_owned(),
    })
}

/// A field whose value cannot be read, with its place.
fn wrong(error: &serde_path_to_error::Error<serde_json::Error>, path: &Path) -> Error {
    Error::Config {
        path: path.to_owned(),
        field: error.path().to_string(),
        reason: error.inner().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn published() -> Value {
        json!({
            "architectures": ["MiniCPMO"], "model_type": "minicpmo", "version": "2.6",
            "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
            "num_key_value_heads": 4, "intermediate_size": 18944, "hidden_act": "silu",
            "rms_norm_eps": 1e-6, "rope_theta": 1e6, "max_position_embeddings": 32768,
            "vocab_size": 151_700, "tie_word_embeddings": false, "query_num": 64, "image_size": 448, "patch_size": 14,
            "batch_vision_input": true, "drop_vision_last_layer": false, "vision_batch_size": 16,
            "slice_mode": true, "use_image_id": true,
            "slice_config": {"max_slice_nums": 9, "model_type": "minicpmv"},
            "audio_pool_step": 2, "audio_chunk_length": 1.0, "chunk_input": true,
            "vision_config": {
                "hidden_size": 1152, "image_size": 980, "intermediate_size": 4304,
                "model_type": "siglip_vision_model", "num_attention_heads": 16,
                "num_hidden_layers": 27, "patch_size": 14
            },
            "audio_config": {
                "d_model": 1024, "encoder_layers": 24, "encoder_attention_heads": 16,
                "encoder_ffn_dim": 4096, "model_type": "whisper", "torch_dtype": "bfloat16"
            },
            "tts_config": {"model_type": "conditional_chattts", "llm_dim": 3584}
        })
    }

    fn read(json: &Value) -> Result<Config> {
        Config::from_json(json, Path::new("m/config.json"))
    }

    #[test]
    fn the_published_file() {
        let config = read(&published()).unwrap();
        assert_eq!(config.vision.side(), 70);
        assert_eq!(config.vision, vision_config());
        assert!((config.vision.layer_norm_eps - 1e-6).abs() < f64::EPSILON);
        assert_eq!(config.audio.num_mel_bins, 80);
        assert_eq!(config.audio.max_source_positions, 1500);
        assert_eq!(config.audio_mask(), AudioMask::Chunks(50));
        assert_eq!(config.encoder().num_hidden_layers, 27);
        assert_eq!(config.resampler().hidden, 3584);
    }

    #[test]
    fn the_last_vision_layer_can_be_dropped() {
        let mut json = published();
        json["drop_vision_last_layer"] = json!(true);
        assert_eq!(read(&json).unwrap().encoder().num_hidden_layers, 26);
    }

    /// A field, a value it cannot have, the field that the message names, and what it says of it.
    const WRONG: [(&str, &str, &str, &str); 11] = [
        ("/query_num", "\"64\"", "query_num", "invalid type: string"),
        ("/query_num", "0", "query_num", "above 0"),
        ("/hidden_size", "3528", "hidden_size", "a multiple of `128`"),
        (
            "/vision_config/num_hidden_layers",
            "-1",
            "vision_config.num_hidden_layers",
            "invalid value",
        ),
        (
            "/vision_config/num_attention_heads",
            "7",
            "vision_config.hidden_size",
            "a multiple of `7`",
        ),
        (
            "/vision_config/hidden_act",
            "\"relu\"",
            "vision_config.hidden_act",
            "unknown variant `relu`",
        ),
        (
            "/audio_config/activation_function",
            "\"silu\"",
            "audio_config.activation_function",
            "unknown variant `silu`",
        ),
        (
            "/audio_config/d_model",
            "1000.5",
            "audio_config.d_model",
            "invalid type",
        ),
        (
            "/audio_pool_step",
            "null",
            "audio_pool_step",
            "invalid type: null",
        ),
        (
            "/audio_chunk_length",
            "0.01",
            "audio_chunk_length",
            "a frame of 20 ms",
        ),
        (
            "/patch_size",
            "16",
            "patch_size",
            "`vision_config.patch_size` is `14`",
        ),
    ];

    #[test]
    fn every_wrong_field_is_named() {
        for (place, value, named, said) in WRONG {
            let mut json = published();
            json["vision_config"]["hidden_act"] = json!("gelu_pytorch_tanh");
            json["audio_config"]["activation_function"] = json!("gelu");
            *json.pointer_mut(place).unwrap() = serde_json::from_str(value).unwrap();
            match read(&json).unwrap_err() {
                Error::Config { field, reason, .. } => {
                    assert_eq!(field, named);
                    assert!(reason.contains(said), "{field}: {reason}");
                }
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn another_model_is_refused_by_name() {
        let mut json = published();
        json["model_type"] = json!("minicpmv");
        let message = read(&json).unwrap_err().to_string();
        assert_eq!(
            message,
            "`m/config.json` holds a model of architecture `minicpmv`, known are minicpmo"
        );
    }
}
