use std::path::Path;

use serde_json::Value;

use crate::{
    Error, Result,
    decoder::{Rope, RopeScaling, fields::Fields},
};

/// Dimensions and switches of a decoder.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// Width of the stream.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads of a layer.
    pub heads: usize,
    /// Key and value heads of a layer; `heads` is a multiple.
    pub kv_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// Width of the gated network.
    pub intermediate: usize,
    /// Rows of the embedding table.
    pub vocabulary: usize,
    /// Positions the model was made for.
    pub max_positions: usize,
    /// What is added to the mean square in norms.
    pub norm_eps: f64,
    /// Rotary positions.
    pub rope: Rope,
    /// Which projections have a bias.
    pub biases: Biases,
    /// Whether each query and key head is normalised (Qwen3).
    pub qk_norm: bool,
    /// Whether the embedding table is the language-model head too.
    pub tied_embeddings: bool,
}

/// Which projections of a layer have a bias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys and values.
    pub qkv: bool,
    /// Attention's output.
    pub output: bool,
    /// The gated network's three.
    pub mlp: bool,
}

impl DecoderConfig {
    /// Reads a model's published `config.json`: the fields of a Qwen2, Qwen3, Llama or MiniCPM-o model, at the top or
    /// under `text_config`.
    ///
    /// A value that Hugging Face transformers fills in when it is absent is filled in only where every release
    /// agrees on it.
    ///
    /// # Errors
    ///
    /// Names the file and the field that is missing, wrong, or asks for something that the decoder does not do.
    pub fn from_json(json: &Value, path: &Path) -> Result<Self> {
        let root = Fields::root(json, path)?;
        let text = root.object("text_config")?.unwrap_or_else(|| root.clone());
        let family = Family::read(&root, &text)?;
        let count = |name| text.required(name, text.count(name)?);
        let config = Self {
            hidden: count("hidden_size")?,
            layers: count("num_hidden_layers")?,
            heads: count("num_attention_heads")?,
            kv_heads: family.kv_heads(&text)?,
            head_dim: family.head_dim(&text)?,
            intermediate: count("intermediate_size")?,
            vocabulary: count("vocab_size")?,
            max_positions: count("max_position_embeddings")?,
            norm_eps: text.required("rms_norm_eps", text.positive("rms_norm_eps")?)?,
            rope: rope(&text, family)?,
            biases: family.biases(&text)?,
            qk_norm: family == Family::Qwen3,
            tied_embeddings: tied_embeddings(&root, &text)?,
        };
        check_heads(&config, &text)?;
        check_activation(&text)?;
        check_window(&config, &text)?;
        Ok(config)
    }
}

/// What the fields leave unsaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Qwen2,
    Qwen3,
    Llama,
}

impl Family {
    const KNOWN: [(&str, Self); 4] = [
        ("qwen2", Self::Qwen2),
        ("qwen3", Self::Qwen3),
        ("llama", Self::Llama),
        ("minicpmo", Self::Qwen2),
    ];

    fn read(root: &Fields, text: &Fields) -> Result<Self> {
        let name = match text.word("model_type")? {
            Some(name) => name,
            None => root.required("model_type", root.word("model_type")?)?,
        };
        Self::KNOWN
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, family)| *family)
            .ok_or_else(|| Error::UnknownArchitecture {
                path: root.path().to_owned(),
                found: name.to_owned(),
                known: Self::KNOWN.map(|(known, _)| known).join(", "),
            })
    }

    fn kv_heads(self, text: &Fields) -> Result<usize> {
        let name = "num_key_value_heads";
        match (text.count(name)?, self) {
            // Llama before grouped heads did not have the field.
            (None, Self::Llama) => {
                text.required("num_attention_heads", text.count("num_attention_heads")?)
            }
            (found, _) => text.required(name, found),
        }
    }

    fn head_dim(self, text: &Fields) -> Result<usize> {
        let name = "head_dim";
        match (text.count(name)?, self) {
            (None, Self::Qwen2 | Self::Llama) => {
                let hidden = text.required("hidden_size", text.count("hidden_size")?)?;
                let heads =
                    text.required("num_attention_heads", text.count("num_attention_heads")?)?;
                if hidden % heads == 0 {
                    Ok(hidden / heads)
                } else {
                    Err(text.error(
                        "hidden_size",
                        format!("`{hidden}` does not divide among `{heads}` heads"),
                    ))
                }
            }
            (found, _) => text.required(name, found),
        }
    }

    fn biases(self, text: &Fields) -> Result<Biases> {
        let attention = text.flag("attention_bias")?.unwrap_or(false);
        Ok(match self {
            Self::Qwen2 => Biases {
                qkv: true,
                ..Biases::default()
            },
            Self::Qwen3 => Biases {
                qkv: attention,
                output: attention,
                mlp: false,
            },
            Self::Llama => Biases {
                qkv: attention,
                output: attention,
                mlp: text.flag("mlp_bias")?.unwrap_or(false),
            },
        })
    }

    /// The base of Llama's first releases, which did not have the field.
    fn theta(self) -> Option<f64> {
        (self == Self::Llama).then_some(10_000.0)
    }
}

/// Rotary positions in either spelling: `rope_theta` beside `rope_scaling`, or both inside `rope_parameters`.
fn rope(text: &Fields, family: Family) -> Result<Rope> {
    let (theta, scaling) = match text.object("rope_parameters")? {
        Some(parameters) => {
            let theta = parameters.positive("rope_theta")?;
            let theta = parameters.required("rope_theta", theta)?;
            (theta, rope_scaling(&parameters, text)?)
        }
        None => {
            let theta = text.positive("rope_theta")?.or(family.theta());
            let scaling = match text.object("rope_scaling")? {
                Some(scaling) => rope_scaling(&scaling, text)?,
                None => RopeScaling::None,
            };
            (text.required("rope_theta", theta)?, scaling)
        }
    };
    if let Some(part) = text.positive("partial_rotary_factor")?
        && (part - 1.0).abs() > f64::EPSILON
    {
        return Err(text.error(
            "partial_rotary_factor",
            format!("it is `{part}`, and heads that are turned in part are not supported"),
        ));
    }
    Ok(Rope { theta, scaling })
}

fn rope_scaling(fields: &Fields, text: &Fields) -> Result<RopeScaling> {
    let name = if fields.word("rope_type")?.is_some() {
        "rope_type"
    } else {
        "type"
    };
    let factor = || fields.required("factor", fields.positive("factor")?);
    match fields.required(name, fields.word(name)?)? {
        "default" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: factor()? }),
        "llama3" => {
            let positive = |name| fields.required(name, fields.positive(name)?);
            let low_frequency = positive("low_freq_factor")?;
            let high_frequency = positive("high_freq_factor")?;
            if low_frequency >= high_frequency {
                return Err(fields.error(
                    "low_freq_factor",
                    format!(
                        "`{low_frequency}` is not below `high_freq_factor`, `{high_frequency}`"
                    ),
                ));
            }
            let original = "original_max_position_embeddings";
            Ok(RopeScaling::Llama3 {
                factor: factor()?,
                low_frequency,
                high_frequency,
                original_positions: match fields.count(original)? {
                    Some(positions) => positions,
                    None => fields.required(original, text.count(original)?)?,
                },
            })
        }
        other => Err(fields.error(
            name,
            format!("scaling `{other}` is not supported; default, linear and llama3 are"),
        )),
    }
}

fn tied_embeddings(root: &Fields, text: &Fields) -> Result<bool> {
    let name = "tie_word_embeddings";
    Ok(match text.flag(name)? {
        Some(tied) => tied,
        None => root.flag(name)?.unwrap_or(false),
    })
}

fn check_heads(config: &DecoderConfig, text: &Fields) -> Result<()> {
    let DecoderConfig {
        heads,
        kv_heads,
        head_dim,
        ..
    } = *config;
    if heads % kv_heads != 0 {
        return Err(text.error(
            "num_key_value_heads",
            format!("`{heads}` query heads do not divide among `{kv_heads}`"),
        ));
    }
    if head_dim % 2 != 0 {
        return Err(text.error(
            "head_dim",
            format!("`{head_dim}` is odd, and rotary positions turn pairs"),
        ));
    }
    Ok(())
}

fn check_activation(text: &Fields) -> Result<()> {
    match text.required("hidden_act", text.word("hidden_act")?)? {
        "silu" | "swish" => Ok(()),
        other => Err(text.error("hidden_act", format!("`{other}` is not supported, silu is"))),
    }
}

/// Attention here sees the whole path. A window is fine as long as no sequence can be longer than it.
fn check_window(config: &DecoderConfig, text: &Fields) -> Result<()> {
    let name = "sliding_window";
    if !text.flag("use_sliding_window")?.unwrap_or(false) {
        return Ok(());
    }
    let Some(window) = text.count(name)? else {
        return Ok(());
    };
    let windowed = match text.words("layer_types")? {
        Some(kinds) => kinds.contains(&"sliding_attention"),
        None => text
            .count("max_window_layers")?
            .is_none_or(|full| full < config.layers),
    };
    if windowed && window < config.max_positions {
        return Err(text.error(
            name,
            format!(
                "attention within a window of `{window}` is not supported, and sequences may have `{}` positions",
                config.max_positions
            ),
        ));
    }
    Ok(())
}
