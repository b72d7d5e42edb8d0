#![doc = include_str!("../README.md")]

mod adaptors;
mod baseline;
mod chat_judge;
mod client;
mod error;
mod hash;
mod media;
mod order;
mod parse;
mod prompt;
mod replay;
mod spec;
#[cfg(test)]
mod testing;

pub use adaptors::{BothOrders, RewardJudge, Voting, WithFallback};
pub use baseline::Baseline;
pub use chat_judge::{ChatJudge, ChatJudgeConfig};
pub use client::{
    Answer, Backoff, ClientError, ClientStats, Concurrency, Failure, OpenAiClient, OpenAiConfig,
    Secret, TokenLimitField,
};
pub use error::{Error, RecordError};
pub use media::{AudioForm, ImageForm, MediaConfig, VideoForm};
pub use parse::{Answers, ParityParser, Parser, Reading, StrictParser, Unread};
pub use prompt::{
    VERSION as PROMPT_VERSION, fingerprint as prompt_fingerprint, question_words, system_message,
};
pub use replay::Replay;
pub use spec::JudgeSpec;
