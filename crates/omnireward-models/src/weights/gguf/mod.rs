//! Decoders in llama.cpp's GGUF format: weights, configuration, tokenizer and chat template in one file.

mod config;
mod format;
mod names;
mod tokenizer;

use std::{fmt, path::Path, sync::Arc};

use candle_core::quantized::GgmlDType;
use serde_json::Value as Json;
use tokenizers::Tokenizer;

use super::{
    StoredType,
    file_map::FileMap,
    quantised::{Blocks, RowOrder},
    store::{Entry, Format, Store, Stored},
};
use crate::{Error, Result};
use format::{BlockType, Described, Header};

/// What a GGUF file says besides its tensors.
///
/// Its tensors are found in [`Weights`](super::Weights) under the names, and with the order of rows, that the same
/// decoder has in safetensors.
pub struct Gguf {
    map: Arc<FileMap>,
    header: Header,
}

impl Gguf {
    /// The architecture's name as llama.cpp has it: `llama`, `qwen2`, `qwen3`, …
    pub fn architecture(&self) -> Option<&str> {
        self.header
            .metadata
            .get("general.architecture")
            .and_then(format::Value::as_str)
    }

    /// The configuration in the form of Hugging Face's `config.json`.
    ///
    /// # Errors
    ///
    /// Fails when the architecture is not one that the decoder knows, and when a field is missing or asks for
    /// something that `config.json` cannot say.
    pub fn config(&self) -> Result<Json> {
        config::read(self)
    }

    /// The tokenizer.
    ///
    /// # Errors
    ///
    /// Fails when the file carries none, or one of a kind that is not known here.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        tokenizer::read(self)
    }

    /// The chat template, in Jinja.
    pub fn chat_template(&self) -> Option<&str> {
        self.header
            .metadata
            .get("tokenizer.chat_template")
            .and_then(format::Value::as_str)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.map.path()
    }

    fn value(&self, key: &str) -> Option<&format::Value> {
        self.header.metadata.get(key)
    }

    fn tensor(&self, name: &str) -> Option<&Described> {
        self.header
            .tensors
            .iter()
            .find(|tensor| tensor.name == name)
    }

    fn wrong(&self, field: &str, reason: impl Into<String>) -> Error {
        Error::Config {
            path: self.path().to_owned(),
            field: field.to_owned(),
            reason: reason.into(),
        }
    }

    fn count(&self, field: &str) -> Result<usize> {
        self.value(field)
            .and_then(format::Value::as_u64)
            .and_then(|count| usize::try_from(count).ok())
            .ok_or_else(|| self.wrong(field, "it is missing, or not a count"))
    }
}

impl fmt::Debug for Gguf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Gguf")
            .field("path", &self.path())
            .field("architecture", &self.architecture())
            .finish_non_exhaustive()
    }
}

pub(super) fn is_gguf(bytes: &[u8]) -> bool {
    bytes.starts_with(format::MAGIC)
}

pub(super) fn open(map: Arc<FileMap>) -> Result<Store> {
    let header = format::read(map.bytes()).map_err(|reason| Error::Damaged {
        path: map.path().to_owned(),
        reason,
    })?;
    let mut store = Store::new(map.path());
    let gguf = Gguf { map, header };
    for tensor in &gguf.header.tensors {
        let name = names::translate(&tensor.name).unwrap_or_else(|| tensor.name.clone());
        let stored = Stored {
            map: gguf.map.clone(),
            bytes: tensor.bytes.clone(),
            format: gguf.format(tensor)?,
        };
        store.insert(name, Entry::in_file(tensor.shape.clone(), stored))?;
    }
    store.gguf = Some(Arc::new(gguf));
    Ok(store)
}

impl Gguf {
    fn format(&self, tensor: &Described) -> Result<Format> {
        let BlockType::Known(dtype) = tensor.stored else {
            return Ok(Format::Foreign(match tensor.stored {
                BlockType::Unknown(code) => format!("GGUF type {code}"),
                BlockType::Known(dtype) => super::quantised::kind(dtype).to_owned(),
            }));
        };
        let order = self.order(tensor)?;
        let plain = match dtype {
            GgmlDType::F32 => Some(StoredType::F32),
            GgmlDType::F16 => Some(StoredType::F16),
            GgmlDType::BF16 => Some(StoredType::Bf16),
            _ => None,
        };
        Ok(match plain {
            Some(plain) if order == RowOrder::Same => Format::Plain(plain),
            _ => Format::Blocks(Blocks {
                map: self.map.clone(),
                bytes: tensor.bytes.clone(),
                dtype,
                order,
                first: 0,
            }),
        })
    }

    fn order(&self, tensor: &Described) -> Result<RowOrder> {
        if self.architecture() != Some("llama") {
            return Ok(RowOrder::Same);
        }
        let (all, grouped) = (
            "llama.attention.head_count",
            "llama.attention.head_count_kv",
        );
        let field = match tensor.name.rsplit('.').nth(1) {
            Some("attn_k") if self.value(grouped).is_some() => grouped,
            Some("attn_q" | "attn_k") => all,
            _ => return Ok(RowOrder::Same),
        };
        let heads = self.count(field)?;
        let rows = tensor.shape.first().copied().unwrap_or(0);
        if heads == 0 || rows == 0 || !rows.is_multiple_of(2 * heads) {
            return Err(self.wrong(
                field,
                format!(
                    "`{heads}` heads do not share the {rows} rows of `{}`",
                    tensor.name
                ),
            ));
        }
        Ok(RowOrder::Interleaved { head: rows / heads })
    }
}
