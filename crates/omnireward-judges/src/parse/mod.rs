//! Reads a preference out of a reply.

mod answers;
mod parity;
mod strict;
mod thinking;

use std::{fmt, ops::Range, str::FromStr};

use omnireward_core::{Preference, Setting, UnknownName};
use serde_json::{Value, json};

pub use answers::Answers;
pub use parity::ParityParser;
pub use strict::StrictParser;
pub(crate) use thinking::without_thinking;

/// How a reply is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Parser {
    /// The final verdict among the answers offered.
    Strict(StrictParser),
    /// As the reference evaluation reads.
    Parity(ParityParser),
}

impl Parser {
    /// Reads `reply`, given the answers that `setting` offers.
    ///
    /// # Errors
    ///
    /// [`Unread`] says why no single offered answer could be read.
    pub fn read(&self, reply: &str, setting: Setting) -> Result<Reading, Unread> {
        match self {
            Self::Strict(parser) => parser.read(reply, setting),
            Self::Parity(parser) => parser.read(reply),
        }
    }

    /// Everything that influences a reading, for an identity.
    pub fn identity(&self) -> Value {
        match self {
            Self::Strict(parser) => json!({ "strict": parser.answers().name() }),
            Self::Parity(_) => json!("parity"),
        }
    }
}

impl Default for Parser {
    fn default() -> Self {
        Self::Strict(StrictParser::default())
    }
}

impl FromStr for Parser {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "strict" => Ok(Self::default()),
            "parity" => Ok(Self::Parity(ParityParser)),
            _ => Err(UnknownName::new("parser", name, &["strict", "parity"])),
        }
    }
}

/// An answer, and where in the reply it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The answer.
    pub preference: Preference,
    /// The bytes of the token that gave it.
    pub token: Range<usize>,
}

/// Why no answer could be read from a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unread {
    /// There is no reply.
    Empty,
    /// The reply ends inside its thinking.
    UnclosedThinking,
    /// It names no answer.
    NoVerdict,
    /// It names several.
    Contradictory(Vec<String>),
    /// It names an answer that was not offered.
    NotOffered(String),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the reply is empty"),
            Self::UnclosedThinking => f.write_str("the reply ends inside its thinking"),
            Self::NoVerdict => f.write_str("the reply names no answer"),
            Self::Contradictory(tokens) => {
                write!(f, "the reply contradicts itself: `{}`", tokens.join("`, `"))
            }
            Self::NotOffered(token) => {
                write!(f, "the reply answers `{token}`, which was not offered")
            }
        }
    }
}
