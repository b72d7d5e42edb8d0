use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use crate::{Error, Result};

const TEMPLATE: &str = "chat_template.jinja";
const TEMPLATE_JSON: &str = "chat_template.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const CONFIG: &str = "config.json";
/// Special tokens that templates know by name.
const NAMES: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// What a checkpoint says about its conversations.
#[derive(Debug)]
pub(crate) struct Files {
    /// The chat template.
    pub(crate) template: String,
    /// The file that holds it.
    pub(crate) template_path: PathBuf,
    /// Special tokens by name.
    pub(crate) special_tokens: Map<String, Value>,
    /// The token that is not read.
    pub(crate) pad: Option<u32>,
    /// Tokens that the model has.
    pub(crate) vocabulary: Option<usize>,
}

impl Files {
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let tokenizer = Json::read(dir.join(TOKENIZER_CONFIG))?;
        let config = Json::read(dir.join(CONFIG))?;
        let (template, template_path) = template(dir, &tokenizer)?;
        Ok(Self {
            template,
            template_path,
            special_tokens: special_tokens(&tokenizer, &Json::read(dir.join(SPECIAL_TOKENS))?),
            pad: pad(&config)?,
            vocabulary: vocabulary(&config),
        })
    }
}

/// A file's bytes.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })
}

/// A JSON file; `null` when it does not exist.
struct Json {
    path: PathBuf,
    value: Value,
}

impl Json {
    fn read(path: PathBuf) -> Result<Self> {
        let value = if path.is_file() {
            serde_json::from_slice(&bytes(&path)?).map_err(|source| Error::Json {
                path: path.clone(),
                source,
            })?
        } else {
            Value::Null
        };
        Ok(Self { path, value })
    }
}

/// The template, from the place that Hugging Face transformers prefers.
fn template(dir: &Path, tokenizer: &Json) -> Result<(String, PathBuf)> {
    let file = dir.join(TEMPLATE);
    if file.is_file() {
        let text = String::from_utf8(bytes(&file)?).map_err(|error| Error::Template {
            path: file.clone(),
            reason: error.to_string(),
        })?;
        return Ok((text, file));
    }
    for json in [tokenizer, &Json::read(dir.join(TEMPLATE_JSON))?] {
        match &json.value["chat_template"] {
            Value::Null => {}
            value => return Ok((named_template(value, &json.path)?, json.path.clone())),
        }
    }
    Err(Error::Template {
        path: dir.to_owned(),
        reason: format!(
            "there is none; looked for `{TEMPLATE}`, and `chat_template` in `{TOKENIZER_CONFIG}` and `{TEMPLATE_JSON}`"
        ),
    })
}

/// A template, or the one named `default` in a list of them.
fn named_template(value: &Value, path: &Path) -> Result<String> {
    let found = match value {
        Value::String(template) => Some(template.as_str()),
        Value::Array(templates) => templates
            .iter()
            .find(|template| template["name"] == "default")
            .and_then(|template| template["template"].as_str()),
        _ => None,
    };
    found.map(ToOwned::to_owned).ok_or_else(|| Error::Template {
        path: path.to_owned(),
        reason: "`chat_template` is neither a string nor a list with one named `default`"
            .to_owned(),
    })
}

fn special_tokens(tokenizer: &Json, fallback: &Json) -> Map<String, Value> {
    NAMES
        .iter()
        .filter_map(|name| {
            let token = [tokenizer, fallback]
                .into_iter()
                .find_map(|json| token_text(&json.value[*name]))?;
            Some(((*name).to_owned(), Value::from(token)))
        })
        .collect()
}

/// A token is written as a string, or as an object that holds it.
fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}

/// A negative `pad_token_id` is no token.
fn pad(config: &Json) -> Result<Option<u32>> {
    let field = "pad_token_id";
    let value = &config.value[field];
    if value.is_null() || value.as_i64().is_some_and(|id| id < 0) {
        return Ok(None);
    }
    value
        .as_u64()
        .and_then(|id| u32::try_from(id).ok())
        .map(Some)
        .ok_or_else(|| Error::Config {
            path: config.path.clone(),
            field: field.to_owned(),
            reason: format!("it is `{value}`, expected a token's number"),
        })
}

fn vocabulary(config: &Json) -> Option<usize> {
    let field = "vocab_size";
    [&config.value["text_config"][field], &config.value[field]]
        .into_iter()
        .find_map(Value::as_u64)
        .and_then(|size| usize::try_from(size).ok())
}
