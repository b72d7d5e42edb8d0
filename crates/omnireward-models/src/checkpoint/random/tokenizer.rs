use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Map, Value, json};

use crate::{
    Error, Result,
    checkpoint::{
        architecture::Family,
        folder::io,
        published::{
            FIRST_ADDED_ID, MINICPM_TOKENS, PLACEHOLDER, PLACEHOLDER_ID, QWEN_SPLIT, QWEN_TOKENS,
        },
    },
};

/// A tokenizer and the ids of its tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// `tokenizer.json`.
    pub(super) json: Value,
    ids: BTreeMap<String, u32>,
}

/// A token that text is searched for before it is encoded.
struct Added {
    id: u32,
    content: &'static str,
    is_special: bool,
}

impl Tokens {
    /// A byte-level tokenizer that merges nothing: 256 bytes and the family's added tokens, whose ids are the published
    /// ones or follow the bytes.
    ///
    /// The added tokens are entries of the vocabulary too, since readers give ids of their own to those that are not.
    pub(crate) fn of_bytes(family: Family, is_compact: bool) -> Self {
        let added = added(family, is_compact);
        let bytes = (0_u32..)
            .zip(byte_letters())
            .map(|(id, letter)| (letter.to_string(), id));
        let all = bytes.chain(
            added
                .iter()
                .map(|token| (token.content.to_owned(), token.id)),
        );
        let vocabulary: Map<String, Value> = all.map(|(text, id)| (text, json!(id))).collect();
        Self::new(tokenizer_json(family, vocabulary, &added))
    }

    /// A user's tokenizer, with the family's tokens that it lacks added after its last.
    pub(super) fn read(path: &Path, family: Family) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(io(path))?;
        let json: Value = serde_json::from_str(&text).map_err(|source| Error::Json {
            path: path.to_owned(),
            source,
        })?;
        if !json["model"]["vocab"].is_object() || !json["added_tokens"].is_array() {
            return Err(Error::Tokenizer {
                path: path.to_owned(),
                reason: "is not a byte-pair tokenizer with a list of added tokens".to_owned(),
            });
        }
        let mut tokens = Self::new(json);
        tokens.complete(family);
        Ok(tokens)
    }

    fn new(json: Value) -> Self {
        let id = |id: &Value| id.as_u64().map(|id| id as u32);
        let vocabulary = json["model"]["vocab"].as_object().into_iter().flatten();
        let entries = vocabulary.filter_map(|(text, value)| Some((text.clone(), id(value)?)));
        let added = json["added_tokens"].as_array().into_iter().flatten();
        let added = added
            .filter_map(|token| Some((token["content"].as_str()?.to_owned(), id(&token["id"])?)));
        let ids = entries.chain(added).collect();
        Self { json, ids }
    }

    /// Adds what is missing, and marks as added what is only an entry.
    fn complete(&mut self, family: Family) {
        let mut list = self.json["added_tokens"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for token in added(family, false) {
            if list.iter().any(|known| known["content"] == token.content) {
                continue;
            }
            let next = self.rows() as u32;
            let id = *self.ids.entry(token.content.to_owned()).or_insert(next);
            list.push(added_json(&Added { id, ..token }));
        }
        list.sort_by_key(|token| token["id"].as_u64());
        self.json["added_tokens"] = Value::Array(list);
    }

    /// The id of a token.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// Rows that an embedding table needs.
    pub(crate) fn rows(&self) -> u64 {
        self.ids.values().max().map_or(0, |&id| u64::from(id) + 1)
    }

    /// `tokenizer_config.json`.
    pub(super) fn config(&self, family: Family) -> Value {
        let named = special_names(family);
        let decoder: Map<String, Value> = self
            .added()
            .map(|token| {
                let mut token = token.clone();
                let id = token
                    .as_object_mut()
                    .and_then(|token| token.shift_remove("id"));
                (id.unwrap_or_default().to_string(), token)
            })
            .collect();
        let mut config = json!({
            "add_bos_token": false,
            "add_prefix_space": false,
            "added_tokens_decoder": decoder,
            "bos_token": named.bos,
            "chat_template": chat_template(family),
            "clean_up_tokenization_spaces": false,
            "eos_token": named.eos,
            "errors": "replace",
            "model_max_length": 131_072,
            "pad_token": named.pad,
            "split_special_tokens": false,
            "tokenizer_class": named.class,
            "unk_token": named.unk,
        });
        if family == Family::MiniCpmO {
            config["additional_special_tokens"] = json!(MINICPM_TOKENS.as_slice());
            config["auto_map"] = json!({
                "AutoTokenizer": ["tokenization_qwen2.Qwen2Tokenizer", "tokenization_minicpmo_fast.MiniCPMOTokenizerFast"]
            });
        }
        config
    }

    /// `special_tokens_map.json`.
    pub(super) fn special_tokens_map(family: Family) -> Value {
        let named = special_names(family);
        let token = |content: &str| {
            json!({
                "content": content,
                "lstrip": false,
                "normalized": false,
                "rstrip": false,
                "single_word": false
            })
        };
        let mut map = Map::new();
        if family == Family::MiniCpmO {
            let tokens: Vec<Value> = MINICPM_TOKENS
                .iter()
                .map(|content| token(content))
                .collect();
            map.insert("additional_special_tokens".to_owned(), json!(tokens));
        }
        for (name, content) in [
            ("bos_token", named.bos),
            ("eos_token", named.eos),
            ("pad_token", named.pad),
            ("unk_token", named.unk),
        ] {
            if let Some(content) = content {
                map.insert(name.to_owned(), token(content));
            }
        }
        Value::Object(map)
    }

    fn added(&self) -> impl Iterator<Item = &Value> {
        self.json["added_tokens"].as_array().into_iter().flatten()
    }
}

/// Which tokens a tokenizer's configuration names, and the class it is for.
struct SpecialNames {
    bos: Option<&'static str>,
    eos: Option<&'static str>,
    pad: Option<&'static str>,
    unk: Option<&'static str>,
    class: &'static str,
}

const fn special_names(family: Family) -> SpecialNames {
    match family {
        Family::MiniCpmO => SpecialNames {
            bos: Some("<|im_start|>"),
            eos: Some("<|im_end|>"),
            pad: Some("<|endoftext|>"),
            unk: Some(PLACEHOLDER),
            class: "MiniCPMOTokenizerFast",
        },
        Family::Qwen2_5Vl | Family::Qwen2_5Omni | Family::Qwen2 | Family::Qwen3 => SpecialNames {
            bos: None,
            eos: Some("<|im_end|>"),
            pad: Some("<|endoftext|>"),
            unk: None,
            class: "Qwen2Tokenizer",
        },
        Family::Llama => SpecialNames {
            bos: Some("<|begin_of_text|>"),
            eos: Some("<|eot_id|>"),
            pad: Some("<|finetune_right_pad_id|>"),
            unk: None,
            class: "PreTrainedTokenizerFast",
        },
    }
}

/// The tokens that Qwen3's tokenizer adds to Qwen2.5's.
const QWEN3_TOKENS: [&str; 4] = ["<tool_response>", "</tool_response>", "<think>", "</think>"];

/// What Qwen2.5-Omni calls tokens of Qwen2.5's tokenizer.
const OMNI_TOKENS: [(&str, &str); 7] = [
    ("<|object_ref_start|>", "<|AUDIO|>"),
    ("<|object_ref_end|>", "<|audio_bos|>"),
    ("<|box_start|>", "<|audio_eos|>"),
    ("<|vision_start|>", "<|vision_bos|>"),
    ("<|vision_end|>", "<|vision_eos|>"),
    ("<|image_pad|>", "<|IMAGE|>"),
    ("<|video_pad|>", "<|VIDEO|>"),
];

fn renamed(token: &'static str) -> &'static str {
    OMNI_TOKENS
        .iter()
        .find(|(own, _)| *own == token)
        .map_or(token, |(_, other)| *other)
}

/// The tokens of Llama 3's tokenizer that a conversation uses, with their published ids.
const LLAMA_TOKENS: [(u32, &str); 7] = [
    (128_000, "<|begin_of_text|>"),
    (128_001, "<|end_of_text|>"),
    (128_004, "<|finetune_right_pad_id|>"),
    (128_006, "<|start_header_id|>"),
    (128_007, "<|end_header_id|>"),
    (128_008, "<|eom_id|>"),
    (128_009, "<|eot_id|>"),
];

/// The family's added tokens by id.
fn added(family: Family, is_compact: bool) -> Vec<Added> {
    let qwen = (FIRST_ADDED_ID..)
        .zip(QWEN_TOKENS)
        .map(|(id, (content, is_special))| Added {
            id,
            content,
            is_special,
        });
    let after_qwen = FIRST_ADDED_ID + QWEN_TOKENS.len() as u32;
    let mut tokens: Vec<Added> = match family {
        Family::MiniCpmO => {
            let placeholder = Added {
                id: PLACEHOLDER_ID,
                content: PLACEHOLDER,
                is_special: true,
            };
            let own = (after_qwen..).zip(MINICPM_TOKENS);
            std::iter::once(placeholder)
                .chain(qwen)
                .chain(own.map(|(id, content)| Added {
                    id,
                    content,
                    is_special: true,
                }))
                .collect()
        }
        Family::Qwen2_5Vl | Family::Qwen2 => qwen.collect(),
        Family::Qwen2_5Omni => qwen
            .map(|token| Added {
                content: renamed(token.content),
                ..token
            })
            .collect(),
        Family::Qwen3 => {
            let own = (after_qwen..).zip(QWEN3_TOKENS);
            qwen.chain(own.map(|(id, content)| Added {
                id,
                content,
                is_special: false,
            }))
            .collect()
        }
        Family::Llama => LLAMA_TOKENS
            .into_iter()
            .map(|(id, content)| Added {
                id,
                content,
                is_special: true,
            })
            .collect(),
    };
    if is_compact {
        for (id, token) in (BYTES..).zip(&mut tokens) {
            token.id = id;
        }
    }
    tokens
}

/// Entries for bytes come first.
const BYTES: u32 = 256;

/// The letter that stands for each byte in a byte-level vocabulary, in the order of GPT-2's ids: printable bytes stand
/// for themselves, the others for letters from U+0100 on.
fn byte_letters() -> Vec<char> {
    let printable = (b'!'..=b'~').chain(0xA1..=0xAC).chain(0xAE..=0xFF);
    let others = BYTES - printable.clone().count() as u32;
    let others = (0..others).filter_map(|index| char::from_u32(0x100 + index));
    printable.map(char::from).chain(others).collect()
}

fn added_json(token: &Added) -> Value {
    json!({
        "id": token.id,
        "content": token.content,
        "single_word": false,
        "lstrip": false,
        "rstrip": false,
        "normalized": false,
        "special": token.is_special
    })
}

fn tokenizer_json(family: Family, vocabulary: Map<String, Value>, added: &[Added]) -> Value {
    let byte_level = json!({
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": false,
        "use_regex": false
    });
    let split = match family {
        // Llama 3 differs from Qwen2.5 only in keeping up to three digits together.
        Family::Llama => QWEN_SPLIT.replacen(r"|\p{N}|", r"|\p{N}{1,3}|", 1),
        _ => QWEN_SPLIT.to_owned(),
    };
    let normalizer = (family != Family::Llama).then(|| json!({ "type": "NFC" }));
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added.iter().map(added_json).collect::<Vec<_>>(),
        "normalizer": normalizer,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": { "Regex": split },
                    "behavior": "Isolated",
                    "invert": false
                },
                byte_level
            ]
        },
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": false,
            "byte_fallback": false,
            "vocab": vocabulary,
            "merges": []
        }
    })
}

/// A conversation between `<|im_start|>` and `<|im_end|>`, with a system message where none is given.
const CHATML: &str = "\
{%- if messages[0].role != 'system' -%}
{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
{%- endif -%}
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- endif -%}
";

/// The same with places for media, where the content of a message is a list of parts.
const CHATML_WITH_MEDIA: &str = "\
{%- if messages[0].role != 'system' -%}
{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
{%- endif -%}
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' }}
{%- if message.content is string -%}
{{ message.content }}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}
{{ '<|vision_start|><|image_pad|><|vision_end|>' }}
{%- elif part.type == 'video' -%}
{{ '<|vision_start|><|video_pad|><|vision_end|>' }}
{%- else -%}
{{ part.text }}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{ '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- endif -%}
";

/// A conversation with the role of each message in a header.
const LLAMA3: &str = "\
{{- bos_token -}}
{%- for message in messages -%}
{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif -%}
";

fn chat_template(family: Family) -> String {
    match family {
        Family::Llama => LLAMA3.to_owned(),
        Family::Qwen2_5Vl => CHATML_WITH_MEDIA.to_owned(),
        Family::Qwen2_5Omni => omni_template(),
        Family::MiniCpmO | Family::Qwen2 | Family::Qwen3 => CHATML.to_owned(),
    }
}

/// Qwen2.5-VL's template with a place for sounds, and the tokens as Qwen2.5-Omni calls them.
fn omni_template() -> String {
    const TEXT: &str = "{%- else -%}\n{{ part.text }}";
    const SOUND: &str = "\
{%- elif part.type == 'audio' -%}
{{ '<|audio_bos|><|AUDIO|><|audio_eos|>' }}
";
    let template = CHATML_WITH_MEDIA.replacen(TEXT, &format!("{SOUND}{TEXT}"), 1);
    OMNI_TOKENS.iter().fold(template, |template, (own, other)| {
        template.replace(own, other)
    })
}
