//! The decoder's configuration, from a GGUF file's metadata.

use serde_json::{Map, Value as Json, json};

use super::{Gguf, format::Value};
use crate::{Error, Result};

const KNOWN: [(&str, &str); 3] = [
    ("llama", "LlamaForCausalLM"),
    ("qwen2", "Qwen2ForCausalLM"),
    ("qwen3", "Qwen3ForCausalLM"),
];
/// Per-frequency factors, which `config.json` states as a rule and not as numbers.
const ROPE_FACTORS: &str = "rope_freqs.weight";

pub(super) fn read(gguf: &Gguf) -> Result<Json> {
    let found = gguf.architecture().unwrap_or_default();
    let Some((family, class)) = KNOWN.iter().find(|(family, _)| *family == found) else {
        return Err(Error::UnknownArchitecture {
            path: gguf.path().to_owned(),
            found: found.to_owned(),
            known: KNOWN.map(|(family, _)| family).join(", "),
        });
    };
    let fields = Fields { gguf, family };
    if gguf.tensor(ROPE_FACTORS).is_some() {
        return Err(gguf.wrong(
            ROPE_FACTORS,
            "rotary frequencies with factors of their own are not supported",
        ));
    }
    let heads = fields.count("attention.head_count")?;
    let hidden = fields.count("embedding_length")?;
    let mut config = json!({
        "architectures": [class],
        "model_type": family,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": fields.count("feed_forward_length")?,
        "num_hidden_layers": fields.count("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": fields.count_or("attention.head_count_kv", heads)?,
        "head_dim": fields.head_dim(hidden, heads)?,
        "max_position_embeddings": fields.count("context_length")?,
        "rms_norm_eps": fields.number("attention.layer_norm_rms_epsilon")?,
        "rope_theta": fields.number_or("rope.freq_base", 10_000.0)?,
        "vocab_size": fields.vocabulary()?,
        "tie_word_embeddings": gguf.tensor("output.weight").is_none(),
    });
    let config_fields = config.as_object_mut().expect("it was made as an object");
    if let Some(scaling) = fields.rope_scaling()? {
        config_fields.insert("rope_scaling".to_owned(), scaling);
    }
    if *family != "qwen2" {
        let biased = gguf.tensor("blk.0.attn_q.bias").is_some();
        config_fields.insert("attention_bias".to_owned(), biased.into());
    }
    for (key, field) in [
        ("bos_token_id", "tokenizer.ggml.bos_token_id"),
        ("eos_token_id", "tokenizer.ggml.eos_token_id"),
        ("pad_token_id", "tokenizer.ggml.padding_token_id"),
    ] {
        if let Some(id) = gguf.value(field).and_then(Value::as_u64) {
            config_fields.insert(key.to_owned(), id.into());
        }
    }
    Ok(config)
}

/// The fields of one architecture.
struct Fields<'a> {
    gguf: &'a Gguf,
    family: &'a str,
}

impl Fields<'_> {
    fn name(&self, field: &str) -> String {
        format!("{}.{field}", self.family)
    }

    fn get(&self, field: &str) -> Option<&Value> {
        self.gguf.value(&self.name(field))
    }

    fn count(&self, field: &str) -> Result<usize> {
        self.gguf.count(&self.name(field))
    }

    fn count_or(&self, field: &str, default: usize) -> Result<usize> {
        match self.get(field) {
            Some(_) => self.count(field),
            None => Ok(default),
        }
    }

    fn number(&self, field: &str) -> Result<f64> {
        self.get(field)
            .and_then(Value::as_f64)
            .ok_or_else(|| self.wrong(field, "it is missing, or not a number"))
    }

    fn number_or(&self, field: &str, default: f64) -> Result<f64> {
        match self.get(field) {
            Some(_) => self.number(field),
            None => Ok(default),
        }
    }

    fn wrong(&self, field: &str, reason: impl Into<String>) -> Error {
        self.gguf.wrong(&self.name(field), reason)
    }

    /// Rows of the embedding table, which is padded beyond the tokenizer's tokens in some files.
    fn vocabulary(&self) -> Result<usize> {
        self.gguf
            .tensor("token_embd.weight")
            .and_then(|tensor| tensor.shape.first().copied())
            .ok_or_else(|| Error::MissingTensor {
                tensor: "token_embd.weight".to_owned(),
                path: self.gguf.path().to_owned(),
            })
    }

    fn head_dim(&self, hidden: usize, heads: usize) -> Result<usize> {
        let dim = self.count_or("attention.key_length", hidden / heads.max(1))?;
        for (field, same) in [
            ("attention.value_length", "values"),
            ("rope.dimension_count", "rotary positions"),
        ] {
            let found = self.count_or(field, dim)?;
            if found != dim {
                return Err(self.wrong(
                    field,
                    format!("{same} of {found} numbers beside keys of {dim} are not supported"),
                ));
            }
        }
        Ok(dim)
    }

    fn rope_scaling(&self) -> Result<Option<Json>> {
        let field = "rope.scaling.type";
        let kind = match self.get(field) {
            None => return Ok(None),
            Some(kind) => kind.as_str().unwrap_or_default(),
        };
        let mut scaling = Map::new();
        match kind {
            "none" => return Ok(None),
            "linear" | "yarn" => {
                scaling.insert("rope_type".to_owned(), kind.into());
                let factor = self.number("rope.scaling.factor")?;
                scaling.insert("factor".to_owned(), factor.into());
            }
            other => {
                return Err(self.wrong(field, format!("`{other}` is not supported")));
            }
        }
        if let Some(original) = self.get("rope.scaling.original_context_length") {
            scaling.insert(
                "original_max_position_embeddings".to_owned(),
                original.as_u64().into(),
            );
        }
        Ok(Some(Json::Object(scaling)))
    }
}
