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
    /// Reads a model's published `config.json`: the fields of a Qwen2, Qwen3, Llama, MiniCPM-o or Qwen2.5-VL model, at
    /// the top or under `text_config`.
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
        check_sections(&config, &text)?;
        check_activation(&text)?;
        check_window(&config, &text)?;
        Ok(config)
    }
}

/// What the fields leave unsaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Qwen2,
    Qwen2_5Vl,
    Qwen3,
    Llama,
}

impl Family {
    const KNOWN: [(&str, Self); 7] = [
        ("qwen2", Self::Qwen2),
        ("qwen3", Self::Qwen3),
        ("llama", Self::Llama),
        ("minicpmo", Self::Qwen2),
        ("qwen2_5_vl", Self::Qwen2_5Vl),
        ("qwen2_5_vl_text", Self::Qwen2_5Vl),
        ("qwen2_5_omni_text", Self::Qwen2_5Vl),
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
            (None, Self::Qwen2 | Self::Qwen2_5Vl | Self::Llama) => {
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
            Self::Qwen2 | Self::Qwen2_5Vl => Biases {
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

    /// How frequencies are divided among time, height and width, where rows stand at all three.
    fn sections(self, scaling: Option<&Fields>, text: &Fields) -> Result<Option<[usize; 3]>> {
        if self != Self::Qwen2_5Vl {
            return Ok(None);
        }
        let name = "mrope_section";
        let sections = match scaling {
            Some(scaling) => scaling.counts(name)?,
            None => None,
        };
        let blamed = scaling.unwrap_or(text);
        let sections = blamed.required(name, sections)?;
        let sections = <[usize; 3]>::try_from(sections).map_err(|found| {
            let reason =
                format!("it is `{found:?}`, expected the frequencies of time, height and width");
            blamed.error(name, reason)
        })?;
        Ok(Some(sections))
    }
}

/// Rotary positions in either spelling: `rope_theta` beside `rope_scaling`, or both inside `rope_parameters`.
fn rope(text: &Fields, family: Family) -> Result<Rope> {
    let (theta, scaling) = if let Some(parameters) = text.object("rope_parameters")? {
        let theta = parameters.positive("rope_theta")?;
        (parameters.required("rope_theta", theta)?, Some(parameters))
    } else {
        let theta = text.positive("rope_theta")?.or(family.theta());
        (
            text.required("rope_theta", theta)?,
            text.object("rope_scaling")?,
        )
    };
    let sections = family.sections(scaling.as_ref(), text)?;
    let scaling = match &scaling {
        Some(scaling) => rope_scaling(scaling, text, family)?,
        None => RopeScaling::None,
    };
    if let Some(part) = text.positive("partial_rotary_factor")?
        && (part - 1.0).abs() > f64::EPSILON
    {
        return Err(text.error(
            "partial_rotary_factor",
            format!("it is `{part}`, and heads that are turned in part are not supported"),
        ));
    }
    Ok(Rope {
        theta,
        scaling,
        sections,
    })
}

fn rope_scaling(fields: &Fields, text: &Fields, family: Family) -> Result<RopeScaling> {
    let name = if fields.word("rope_type")?.is_some() {
        "rope_type"
    } else {
        "type"
    };
    let factor = || fields.required("factor", fields.positive("factor")?);
    match fields.required(name, fields.word(name)?)? {
        "default" => Ok(RopeScaling::None),
        // Says that rows stand at three positions, not that frequencies are stretched.
        "mrope" if family == Family::Qwen2_5Vl => Ok(RopeScaling::None),
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

fn check_sections(config: &DecoderConfig, text: &Fields) -> Result<()> {
    let pairs = config.head_dim / 2;
    match config.rope.sections {
        Some(sections) if sections.iter().sum::<usize>() != pairs => Err(text.error(
            "rope_scaling.mrope_section",
            format!("`{sections:?}` are not the `{pairs}` frequencies of a head"),
        )),
        _ => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The text fields of the published MiniCPM-o-2.6.
    fn minicpm_o() -> Value {
        json!({
            "architectures": ["MiniCPMO"],
            "model_type": "minicpmo",
            "hidden_size": 3584,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "intermediate_size": 18944,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "rope_theta": 1_000_000.0,
            "max_position_embeddings": 32768,
            "vocab_size": 151_700,
            "tie_word_embeddings": false,
            "use_sliding_window": false,
            "sliding_window": 131_072,
            "max_window_layers": 28,
        })
    }

    fn with(mut config: Value, fields: &Value) -> Value {
        for (name, value) in fields.as_object().expect("fields") {
            config[name] = value.clone();
        }
        config
    }

    fn read(config: &Value) -> Result<DecoderConfig> {
        DecoderConfig::from_json(config, Path::new("config.json"))
    }

    #[test]
    fn the_published_model_is_read_field_by_field() {
        assert_eq!(
            read(&minicpm_o()).expect("it is complete"),
            DecoderConfig {
                hidden: 3584,
                layers: 28,
                heads: 28,
                kv_heads: 4,
                head_dim: 128,
                intermediate: 18944,
                vocabulary: 151_700,
                max_positions: 32768,
                norm_eps: 1e-6,
                rope: Rope {
                    theta: 1e6,
                    scaling: RopeScaling::None,
                    sections: None,
                },
                biases: Biases {
                    qkv: true,
                    output: false,
                    mlp: false,
                },
                qk_norm: false,
                tied_embeddings: false,
            }
        );
    }

    #[test]
    fn families_differ_in_their_switches() {
        let qwen3 = with(
            minicpm_o(),
            &json!({ "model_type": "qwen3", "head_dim": 64, "attention_bias": false }),
        );
        let qwen3 = read(&qwen3).expect("it is complete");
        assert_eq!((qwen3.head_dim, qwen3.qk_norm), (64, true));
        assert_eq!(qwen3.biases, Biases::default());

        let llama = with(
            minicpm_o(),
            &json!({
                "model_type": "llama", "num_key_value_heads": null, "rope_theta": null,
                "attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true,
            }),
        );
        let llama = read(&llama).expect("old releases lack these fields");
        assert_eq!((llama.kv_heads, llama.tied_embeddings), (28, true));
        assert!((llama.rope.theta - 10_000.0).abs() < f64::EPSILON);
        let all = Biases {
            qkv: true,
            output: true,
            mlp: true,
        };
        assert_eq!(llama.biases, all);
    }

    #[test]
    fn fields_may_stand_under_text_config() {
        let mut text = with(minicpm_o(), &json!({ "model_type": "qwen2" }));
        text.as_object_mut()
            .expect("an object")
            .remove("tie_word_embeddings");
        let nested =
            json!({ "model_type": "some_vlm", "tie_word_embeddings": true, "text_config": text });
        let config = read(&nested).expect("it is complete");
        assert_eq!((config.hidden, config.tied_embeddings), (3584, true));
        let broken = json!({ "model_type": "some_vlm", "text_config": { "model_type": "qwen2" } });
        let error = read(&broken).expect_err("all is missing").to_string();
        assert_eq!(
            error,
            "`text_config.hidden_size` in `config.json`: it is missing"
        );
    }

    #[test]
    fn both_spellings_of_rope_are_read() {
        let llama3 = json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        });
        let old = with(minicpm_o(), &json!({ "rope_scaling": llama3 }));
        let inside = with(llama3, &json!({ "rope_theta": 1e6 }));
        let new = with(
            minicpm_o(),
            &json!({ "rope_theta": null, "rope_parameters": inside }),
        );
        let rope = read(&old).expect("the old spelling").rope;
        assert_eq!(read(&new).expect("the new spelling").rope, rope);
        assert!(matches!(
            rope.scaling,
            RopeScaling::Llama3 {
                original_positions: 8192,
                ..
            }
        ));
        let oldest = json!({ "rope_scaling": { "type": "linear", "factor": 2.0 } });
        assert_eq!(
            read(&with(minicpm_o(), &oldest))
                .expect("linear")
                .rope
                .scaling,
            RopeScaling::Linear { factor: 2.0 }
        );
    }

    #[test]
    fn frequencies_of_qwen2_5_vl_are_divided() {
        let published = json!({ "type": "mrope", "mrope_section": [16, 24, 24] });
        let flat = with(
            minicpm_o(),
            &json!({ "model_type": "qwen2_5_vl", "rope_scaling": published }),
        );
        let found = read(&flat).expect("the published file");
        assert_eq!(found.rope.sections, Some([16, 24, 24]));
        assert_eq!(found.rope.scaling, RopeScaling::None);
        assert!(found.biases.qkv && !found.biases.output);

        let saved =
            json!({ "type": "default", "rope_type": "default", "mrope_section": [16, 24, 24] });
        let text = with(
            minicpm_o(),
            &json!({ "model_type": "qwen2_5_vl_text", "rope_scaling": saved }),
        );
        let nested = json!({ "model_type": "qwen2_5_vl", "text_config": text });
        assert_eq!(read(&nested).expect("a later save").rope, found.rope);

        let wrong = [
            (Value::Null, "`mrope_section` in", "missing"),
            (
                json!({ "type": "mrope" }),
                "`rope_scaling.mrope_section`",
                "missing",
            ),
            (
                json!({ "type": "mrope", "mrope_section": [16, 48] }),
                "`rope_scaling.mrope_section`",
                "[16, 48]",
            ),
            (
                json!({ "type": "mrope", "mrope_section": [16, 24, 20] }),
                "`rope_scaling.mrope_section`",
                "`64` frequencies",
            ),
        ];
        for (scaling, field, reason) in wrong {
            let config = with(flat.clone(), &json!({ "rope_scaling": scaling }));
            let error = read(&config).expect_err("a mistake").to_string();
            assert!(
                error.starts_with(field) && error.contains(reason),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        let cases = [
            (json!({ "hidden_size": null }), "`hidden_size`", "missing"),
            (
                json!({ "vocab_size": "many" }),
                "`vocab_size`",
                "whole number",
            ),
            (
                json!({ "num_hidden_layers": 0 }),
                "`num_hidden_layers`",
                "above 0",
            ),
            (
                json!({ "rms_norm_eps": -1e-6 }),
                "`rms_norm_eps`",
                "above 0",
            ),
            (
                json!({ "num_key_value_heads": 5 }),
                "`num_key_value_heads`",
                "28",
            ),
            (json!({ "num_attention_heads": 27 }), "`hidden_size`", "27"),
            (json!({ "head_dim": 127 }), "`head_dim`", "odd"),
            (json!({ "hidden_act": "gelu" }), "`hidden_act`", "gelu"),
            (json!({ "rope_theta": null }), "`rope_theta`", "missing"),
            (
                json!({ "partial_rotary_factor": 0.5 }),
                "`partial_rotary_factor`",
                "0.5",
            ),
            (
                json!({ "rope_scaling": { "rope_type": "yarn", "factor": 4.0 } }),
                "`rope_scaling.rope_type`",
                "`yarn` is not supported",
            ),
            (
                json!({ "rope_scaling": { "type": "mrope", "mrope_section": [16, 24, 24] } }),
                "`rope_scaling.type`",
                "`mrope` is not supported",
            ),
            (
                json!({ "rope_scaling": { "rope_type": "linear" } }),
                "`rope_scaling.factor`",
                "missing",
            ),
            (
                json!({ "use_sliding_window": true, "sliding_window": 4096, "max_window_layers": 21 }),
                "`sliding_window`",
                "`4096`",
            ),
            (
                json!({ "use_sliding_window": true, "sliding_window": 4096,
                        "layer_types": ["full_attention", "sliding_attention"] }),
                "`sliding_window`",
                "`4096`",
            ),
        ];
        for (fields, field, reason) in cases {
            let error = read(&with(minicpm_o(), &fields))
                .expect_err("a mistake")
                .to_string();
            assert!(
                error.starts_with(&format!("{field} in `config.json`: ")) && error.contains(reason),
                "{fields}: {error}"
            );
        }
        let unused = [
            json!({ "use_sliding_window": true }),
            json!({ "use_sliding_window": true, "sliding_window": 4096, "max_window_layers": 28 }),
            json!({ "use_sliding_window": true, "sliding_window": 4096, "layer_types": ["full_attention"] }),
        ];
        for window in unused {
            read(&with(minicpm_o(), &window)).expect("no sequence can be longer");
        }
        let error =
            read(&with(minicpm_o(), &json!({ "model_type": "mamba" }))).expect_err("unknown");
        assert!(
            matches!(error, Error::UnknownArchitecture { .. }),
            "{error}"
        );
    }
}
