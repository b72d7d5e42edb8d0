//! Writing: replies of a language model to many prompts at once.
//!
//! [`Generator`] holds the keys and values of all prompts and replies in one store. A prompt's rows are computed once for
//! all replies to it, and what prompts begin alike with is computed once for all of them; then each step of decoding is one
//! stream of rows, the newest of every reply, whatever prompts they belong to. As everywhere in this crate, a row's
//! result does not depend on what else is in its stream, so a reply is the same, token by token, as if it were written
//! alone.

mod cache;
mod constraint;
mod generator;
mod prompt;
mod reply;
mod sampling;
mod stop;
#[cfg(test)]
mod tests;

pub use constraint::{Choice, Constraint, Watched};
pub use generator::{Finished, Generator, GeneratorOptions, Request, RequestId};
pub use prompt::{Positions, Prompt};
pub use reply::{End, Reply};
pub use sampling::Sampling;
pub use stop::{Stop, Words};
