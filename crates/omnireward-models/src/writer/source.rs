use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use crate::{
    Error, Result,
    processor::chat::{files::Files, open_tokenizer},
    weights::{Gguf, Weights},
};

/// What a checkpoint says besides its weights: a folder in Hugging Face layout, or one GGUF file.
#[derive(Debug)]
pub(super) struct Source {
    /// `config.json`.
    pub(super) config: Value,
    /// The file that it is in, for messages.
    pub(super) config_path: PathBuf,
    /// `generation_config.json`; null where there is none.
    pub(super) generation: Value,
    /// The file that it would be in, for messages.
    pub(super) generation_path: PathBuf,
    pub(super) tokenizer: Tokenizer,
    /// The chat template, with the special tokens that it knows by name.
    pub(super) chat: Files,
}

impl Source {
    pub(super) fn read(path: &Path, weights: &Weights) -> Result<Self> {
        match weights.gguf() {
            Some(gguf) => Self::of_gguf(gguf),
            None => Self::of_folder(path),
        }
    }

    fn of_folder(dir: &Path) -> Result<Self> {
        let config_path = dir.join("config.json");
        let generation_path = dir.join("generation_config.json");
        let chat = Files::read(dir)?;
        let (tokenizer, _) = open_tokenizer(dir, chat.vocabulary)?;
        Ok(Self {
            config: json(&config_path)?,
            generation: if generation_path.is_file() {
                json(&generation_path)?
            } else {
                Value::Null
            },
            config_path,
            generation_path,
            tokenizer,
            chat,
        })
    }

    fn of_gguf(gguf: &Gguf) -> Result<Self> {
        let path = gguf.path().to_owned();
        let config = gguf.config()?;
        let tokenizer = gguf.tokenizer()?;
        let Some(template) = gguf.chat_template() else {
            return Err(Error::Template {
                path,
                reason: "there is none; looked for `tokenizer.chat_template`".to_owned(),
            });
        };
        let chat = Files {
            template: template.to_owned(),
            template_path: path.clone(),
            special_tokens: special_tokens(&config, &tokenizer),
            pad: None,
            vocabulary: None,
        };
        Ok(Self {
            config,
            config_path: path.clone(),
            generation: Value::Null,
            generation_path: path,
            tokenizer,
            chat,
        })
    }
}

/// The special tokens whose numbers the configuration has, by the names that templates know.
fn special_tokens(config: &Value, tokenizer: &Tokenizer) -> Map<String, Value> {
    ["bos_token", "eos_token", "pad_token"]
        .into_iter()
        .filter_map(|name| {
            let id = config[format!("{name}_id")].as_u64()?;
            let token = tokenizer.id_to_token(u32::try_from(id).ok()?)?;
            Some((name.to_owned(), Value::from(token)))
        })
        .collect()
}

pub(super) fn json(path: &Path) -> Result<Value> {
    let text = fs::read(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })
}
