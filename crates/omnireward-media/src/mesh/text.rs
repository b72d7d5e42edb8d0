//! What the text formats share: words and numbers on numbered lines.

use std::str::{FromStr, SplitAsciiWhitespace};

use crate::Error;

/// A line of a text file, read word by word.
pub(super) struct Line<'a> {
    format: &'static str,
    number: u64,
    words: SplitAsciiWhitespace<'a>,
}

impl<'a> Line<'a> {
    /// `number` counts from one.
    pub(super) fn new(format: &'static str, number: u64, text: &'a str) -> Self {
        Self {
            format,
            number,
            words: text.split_ascii_whitespace(),
        }
    }

    /// The next word, if any.
    pub(super) fn word(&mut self) -> Option<&'a str> {
        self.words.next()
    }

    /// The next word as a number. `what` is what stands there.
    pub(super) fn number<T: FromStr>(&mut self, what: &str) -> Result<T, Error> {
        let word = self
            .word()
            .ok_or_else(|| self.error(format!("the line ends before {what}")))?;
        self.parsed(word, what)
    }

    /// A word as a number.
    pub(super) fn parsed<T: FromStr>(&self, word: &str, what: &str) -> Result<T, Error> {
        word.parse()
            .map_err(|_| self.error(format!("expected {what}, found `{}`", shortened(word))))
    }

    /// Three coordinates.
    pub(super) fn position(&mut self) -> Result<[f32; 3], Error> {
        let mut coordinate = || self.number("a coordinate");
        Ok([coordinate()?, coordinate()?, coordinate()?])
    }

    /// The words that are left, as numbers, up to the first that is none.
    pub(super) fn numbers_left(&mut self) -> Vec<f32> {
        self.words
            .by_ref()
            .map_while(|word| word.parse().ok())
            .collect()
    }

    /// Where this line is, for messages.
    pub(super) fn place(&self) -> String {
        format!("line {}", self.number)
    }

    /// What is wrong with this line.
    pub(super) fn error(&self, reason: impl std::fmt::Display) -> Error {
        Error::mesh(self.format, format!("line {}: {reason}", self.number))
    }
}

/// Enough of a word to find it by.
pub(super) fn shortened(word: &str) -> String {
    const MOST: usize = 40;
    if word.chars().count() <= MOST {
        return word.to_owned();
    }
    word.chars().take(MOST).chain(['…']).collect()
}
