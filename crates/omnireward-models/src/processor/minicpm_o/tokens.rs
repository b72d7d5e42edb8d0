use std::path::{Path, PathBuf};

use tokenizers::Tokenizer;

use crate::{
    Error, Result,
    processor::{SpecialText, vocabulary},
};

/// The tokenizer, and the tokens that mark turns and media.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    path: PathBuf,
    tokenizer: Tokenizer,
    /// The same, taking texts that read like special tokens for characters.
    plain: Tokenizer,
    pub(super) turn: Markers,
    pub(super) image: Markers,
    pub(super) slice: Markers,
    pub(super) image_number: Markers,
    pub(super) audio: Markers,
    /// Stands where a feature does.
    pub(super) placeholder: u32,
}

/// A token that begins something and the one that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Markers {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Tokens {
    /// Opens `tokenizer.json` and finds the tokens by their text.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let refused = |reason: String| Error::Tokenizer {
            path: path.to_owned(),
            reason,
        };
        let tokenizer = Tokenizer::from_file(path).map_err(|cause| refused(cause.to_string()))?;
        let mut plain = tokenizer.clone();
        plain.set_encode_special_tokens(true);
        let find = |text: &str| special(&tokenizer, text).map_err(refused);
        let markers = |start: &str, end: &str| {
            Ok::<_, Error>(Markers {
                start: find(start)?,
                end: find(end)?,
            })
        };
        Ok(Self {
            turn: markers("<|im_start|>", "<|im_end|>")?,
            image: markers("<image>", "</image>")?,
            slice: markers("<slice>", "</slice>")?,
            image_number: markers("<image_id>", "</image_id>")?,
            audio: markers("<|audio_start|>", "<|audio_end|>")?,
            placeholder: find("<unk>")?,
            path: path.to_owned(),
            tokenizer,
            plain,
        })
    }

    /// Refuses a tokenizer that has more tokens than the model has embeddings.
    pub(super) fn check_vocabulary(&self, size: usize) -> Result<()> {
        vocabulary::check(&self.tokenizer, size).map_err(|reason| Error::Tokenizer {
            path: self.path.clone(),
            reason,
        })
    }

    /// The tokens of a text that stands between special tokens.
    pub(super) fn of(&self, text: &str, special_text: SpecialText) -> Result<Vec<u32>> {
        let tokenizer = match special_text {
            SpecialText::AsTokens => &self.tokenizer,
            SpecialText::AsText => &self.plain,
        };
        tokenizer
            .encode_fast(text, false)
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|cause| Error::Tokenizer {
                path: self.path.clone(),
                reason: format!("it cannot take `{text}`: {cause}"),
            })
    }
}

/// The token whose text this is, if the tokenizer takes the text for it.
fn special(tokenizer: &Tokenizer, text: &str) -> Result<u32, String> {
    let id = tokenizer
        .token_to_id(text)
        .ok_or_else(|| format!("it has no token `{text}`, which MiniCPM-o needs"))?;
    let encoding = tokenizer
        .encode_fast(text, false)
        .map_err(|cause| cause.to_string())?;
    if encoding.get_ids() == [id] {
        Ok(id)
    } else {
        Err(format!(
            "its token `{text}` is not a special one: the text gives {:?}, not {id}",
            encoding.get_ids()
        ))
    }
}
