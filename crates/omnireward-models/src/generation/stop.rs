use std::{fmt, sync::Arc};

/// What ends a reply before its longest length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    /// The reply ends with the first of these tokens, and keeps it.
    pub tokens: Vec<u32>,
    /// The reply ends with the token that completes the first of these strings. It takes a generator that
    /// [knows the words](Words) of tokens.
    pub strings: Vec<String>,
}

/// The words that tokens stand for.
#[derive(Clone)]
pub struct Words(Arc<Decode>);

type Decode = dyn Fn(&[u32]) -> String + Send + Sync;

impl Words {
    /// Words by a function, such as a tokenizer's.
    pub fn new(words: impl Fn(&[u32]) -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(words))
    }

    /// The words of some tokens.
    pub fn of(&self, tokens: &[u32]) -> String {
        (self.0)(tokens)
    }

    /// Whether one of `strings` is among the words at the end of `tokens`, as far back as one of them can reach from
    /// the last token.
    pub(super) fn end_with(&self, tokens: &[u32], strings: &[String]) -> bool {
        let Some(longest) = strings.iter().map(String::len).max() else {
            return false;
        };
        // A token has a byte at least, but for special ones; a character that is cut at the beginning is none of theirs.
        let reach = longest + MARGIN;
        let words = self.of(&tokens[tokens.len().saturating_sub(reach)..]);
        strings.iter().any(|string| words.contains(string.as_str()))
    }

    /// Whether the words of `tokens` end so.
    pub(super) fn are_last(&self, tokens: &[u32], ending: &str) -> bool {
        let reach = ending.len() + MARGIN;
        let words = self.of(&tokens[tokens.len().saturating_sub(reach)..]);
        words.ends_with(ending)
    }

    /// Whether one of `strings` is among the words of `tokens`.
    pub(super) fn contain(&self, tokens: &[u32], strings: &[String]) -> bool {
        if strings.is_empty() {
            return false;
        }
        let words = self.of(tokens);
        strings.iter().any(|string| words.contains(string.as_str()))
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").finish_non_exhaustive()
    }
}

/// Tokens that are looked at beyond the longest string.
const MARGIN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_found_where_it_ends_and_not_long_after() {
        let words = Words::new(|tokens| tokens.iter().map(|token| *token as u8 as char).collect());
        let tokens: Vec<u32> = "so [[A]]. And more".bytes().map(u32::from).collect();
        let strings = ["[[A]]".to_owned(), "##".to_owned()];
        assert!(!words.end_with(&tokens[..7], &strings));
        assert!(words.end_with(&tokens[..8], &strings));
        assert!(!words.end_with(&tokens, &strings));
        assert!(words.contain(&tokens, &strings));
        assert!(!words.end_with(&tokens, &[]) && !words.contain(&tokens, &[]));
    }
}
