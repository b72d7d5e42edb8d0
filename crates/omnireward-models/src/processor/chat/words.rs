use std::ops::Range;

use tokenizers::Tokenizer;

/// A tokenizer that takes special tokens only where the chat template wrote them.
///
/// Elsewhere it gives what the tokenizer itself gives of the whole text. What somebody said is never taken for a token:
/// it could end its own turn, or make a place for a medium that is not there.
#[derive(Debug)]
pub(crate) struct Words {
    /// Takes texts that read like special tokens for characters.
    plain: Tokenizer,
    /// Longer ones first.
    special: Vec<(String, u32)>,
}

impl Words {
    pub(crate) fn new(tokenizer: &Tokenizer) -> Self {
        let mut plain = tokenizer.clone();
        plain.set_encode_special_tokens(true);
        let added = tokenizer.get_added_tokens_decoder().into_iter();
        let mut special: Vec<(String, u32)> = added
            .filter(|(_, token)| token.special)
            .map(|(id, token)| (token.content, id))
            .collect();
        special.sort_unstable_by(|(left, _), (right, _)| {
            right.len().cmp(&left.len()).then_with(|| left.cmp(right))
        });
        Self { plain, special }
    }

    /// Whether a text reads like a special token somewhere, or ends like the beginning of one.
    pub(crate) fn is_ambiguous(&self, text: &str) -> bool {
        let begins = |content: &str| {
            let mut beginnings = content
                .char_indices()
                .skip(1)
                .map(|(end, _)| &content[..end]);
            beginnings.any(|beginning| text.ends_with(beginning))
        };
        self.special
            .iter()
            .any(|(content, _)| text.contains(content) || begins(content))
    }

    /// The tokens of a text, in which `said` are the places of what somebody said, in their order.
    ///
    /// # Errors
    ///
    /// Says what the tokenizer refuses.
    pub(crate) fn tokens(&self, text: &str, said: &[Range<usize>]) -> Result<Vec<u32>, String> {
        let mut tokens = Vec::new();
        let mut done = 0;
        let mut at = 0;
        while at < text.len() {
            match self.special_at(text, at, said) {
                Some((length, id)) => {
                    self.add(&mut tokens, &text[done..at])?;
                    tokens.push(id);
                    at += length;
                    done = at;
                }
                None => at += text[at..].chars().next().map_or(1, char::len_utf8),
            }
        }
        self.add(&mut tokens, &text[done..])?;
        Ok(tokens)
    }

    /// The special token that begins at a place of the text, and its length.
    fn special_at(&self, text: &str, at: usize, said: &[Range<usize>]) -> Option<(usize, u32)> {
        let (content, id) = self
            .special
            .iter()
            .find(|(content, _)| text[at..].starts_with(content))?;
        let end = at + content.len();
        let is_said = said.iter().any(|said| at < said.end && said.start < end);
        (!is_said).then_some((content.len(), *id))
    }

    fn add(&self, tokens: &mut Vec<u32>, text: &str) -> Result<(), String> {
        if !text.is_empty() {
            let encoding = self
                .plain
                .encode_fast(text, false)
                .map_err(|error| format!("the tokenizer refuses it: {error}"))?;
            tokens.extend_from_slice(encoding.get_ids());
        }
        Ok(())
    }
}
