//! The tokenizer that a GGUF file carries: byte-level byte-pair encoding.

use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PreTokenizerWrapper, Tokenizer,
    decoders::byte_level::ByteLevel,
    models::bpe::{BPE, Vocab},
    normalizers::unicode::NFC,
    pre_tokenizers::{
        digits::Digits,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
    processors::template::TemplateProcessing,
    tokenizer::SplitDelimiterBehavior,
};

use super::{
    Gguf,
    format::{self, Value},
};
use crate::{Error, Result};

const MODEL: &str = "tokenizer.ggml.model";
const SPLITTING: &str = "tokenizer.ggml.pre";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const ADD_BEGINNING: &str = "tokenizer.ggml.add_bos_token";
const BEGINNING: &str = "tokenizer.ggml.bos_token_id";

/// How Qwen2 and its successors cut a text before pairs are merged (their `tokenizer.json`).
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Kinds of token that are not found by merging.
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
/// A row of the embedding table without a token, there to make its size round.
const UNUSED: i32 = 5;

pub(super) fn read(gguf: &Gguf) -> Result<Tokenizer> {
    let reader = Reader { gguf };
    match reader.text(MODEL)? {
        "gpt2" => {}
        other => {
            return Err(reader.wrong(format!(
                "`{MODEL}` is `{other}`; only byte-level `gpt2` is read"
            )));
        }
    }
    let splitting = Splitting::read(&reader)?;
    let tokens = reader.array(TOKENS, format::strings)?;
    let types = reader.array(TYPES, format::integers)?;
    if types.len() != tokens.len() {
        return Err(reader.wrong(format!(
            "{} tokens have {} types",
            tokens.len(),
            types.len()
        )));
    }
    let model = BPE::builder()
        .vocab_and_merges(reader.vocabulary(&tokens, &types)?, reader.merges()?)
        .build()
        .map_err(|error| reader.wrong(error.to_string()))?;
    let mut tokenizer = Tokenizer::new(model);
    splitting.apply(&mut tokenizer, &reader)?;
    // All at once, since the search for them in a text is built anew each time.
    let added: Vec<AddedToken> = tokens
        .iter()
        .zip(&types)
        .filter(|(_, kind)| matches!(**kind, CONTROL | USER_DEFINED))
        .map(|(token, kind)| AddedToken::from(*token, *kind == CONTROL).normalized(false))
        .collect();
    tokenizer
        .add_tokens(added)
        .map_err(|error| reader.wrong(error.to_string()))?;
    if gguf.value(ADD_BEGINNING).and_then(Value::as_bool) == Some(true) {
        tokenizer.with_post_processor(Some(reader.beginning(&tokens)?));
    }
    Ok(tokenizer)
}

/// How a text is cut before pairs are merged.
#[derive(Clone, Copy)]
enum Splitting {
    /// Digits one by one, then GPT-2's pattern.
    SmolLm,
    /// [`QWEN2`], after Unicode normalisation.
    Qwen2,
}

impl Splitting {
    fn read(reader: &Reader<'_>) -> Result<Self> {
        match reader.text(SPLITTING)? {
            "smollm" => Ok(Self::SmolLm),
            "qwen2" => Ok(Self::Qwen2),
            other => Err(reader.wrong(format!(
                "`{SPLITTING}` is `{other}`, known are `smollm` and `qwen2`"
            ))),
        }
    }

    fn apply(self, tokenizer: &mut Tokenizer, reader: &Reader<'_>) -> Result<()> {
        let (normaliser, first, byte_level) = match self {
            Self::SmolLm => (
                None,
                PreTokenizerWrapper::from(Digits::new(true)),
                ByteLevel::new(false, true, true),
            ),
            Self::Qwen2 => {
                let split = Split::new(
                    SplitPattern::Regex(QWEN2.to_owned()),
                    SplitDelimiterBehavior::Isolated,
                    false,
                )
                .map_err(|error| reader.wrong(error.to_string()))?;
                (
                    Some(NormalizerWrapper::from(NFC)),
                    split.into(),
                    ByteLevel::new(false, false, false),
                )
            }
        };
        tokenizer
            .with_normalizer(normaliser)
            .map_err(|error| reader.wrong(error.to_string()))?;
        tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![first, byte_level.into()])));
        tokenizer.with_decoder(Some(DecoderWrapper::from(ByteLevel::default())));
        Ok(())
    }
}

struct Reader<'a> {
    gguf: &'a Gguf,
}

impl<'a> Reader<'a> {
    fn wrong(&self, reason: String) -> Error {
        Error::Tokenizer {
            path: self.gguf.path().to_owned(),
            reason,
        }
    }

    fn value(&self, key: &str) -> Result<&'a Value> {
        self.gguf
            .value(key)
            .ok_or_else(|| self.wrong(format!("`{key}` is missing")))
    }

    fn text(&self, key: &str) -> Result<&'a str> {
        self.value(key)?
            .as_str()
            .ok_or_else(|| self.wrong(format!("`{key}` is not a text")))
    }

    fn array<T>(
        &self,
        key: &str,
        read: impl Fn(&'a [u8], &'a Value) -> Result<Vec<T>, String>,
    ) -> Result<Vec<T>> {
        read(self.gguf.map.bytes(), self.value(key)?)
            .map_err(|reason| self.wrong(format!("`{key}`: {reason}")))
    }

    fn vocabulary(&self, tokens: &[&str], types: &[i32]) -> Result<Vocab> {
        let mut vocabulary = Vocab::with_capacity(tokens.len());
        for (id, (token, kind)) in tokens.iter().zip(types).enumerate() {
            if *kind == UNUSED {
                continue;
            }
            if vocabulary.insert((*token).to_owned(), id as u32).is_some() {
                return Err(self.wrong(format!("`{token}` is there twice")));
            }
        }
        Ok(vocabulary)
    }

    /// Puts the token that begins every text before it, where the caller asks for special tokens.
    fn beginning(&self, tokens: &[&str]) -> Result<TemplateProcessing> {
        let id = self
            .value(BEGINNING)?
            .as_u64()
            .and_then(|id| u32::try_from(id).ok());
        let token = id.and_then(|id| Some((id, *tokens.get(id as usize)?)));
        let Some((id, token)) = token else {
            return Err(self.wrong(format!("`{BEGINNING}` is not one of its tokens")));
        };
        TemplateProcessing::builder()
            .try_single(vec![format!("{token}:0"), "$A:0".to_owned()])
            .map(|builder| builder.special_tokens(vec![(token.to_owned(), id)]).build())
            .map_err(|error| self.wrong(error))?
            .map_err(|error| self.wrong(error.to_string()))
    }

    fn merges(&self) -> Result<Vec<(String, String)>> {
        self.array(MERGES, format::strings)?
            .into_iter()
            .map(|merge| {
                merge
                    .split_once(' ')
                    .map(|(left, right)| (left.to_owned(), right.to_owned()))
                    .ok_or_else(|| self.wrong(format!("the merge `{merge}` has one side")))
            })
            .collect()
    }
}
