#![doc = include_str!("../README.md")]

mod chat;
mod error;
mod media;
mod order;
mod pair;
mod progress;
mod task;
mod verdict;

pub use chat::{
    ChatMessage, ChatModel, ChatPart, ChatReply, ChatRequest, Choices, Finish, Identity, Role,
    Sampling,
};
pub use error::{InvalidPair, ModelError, ModelErrorKind, UnknownName, error_chain};
pub use media::{MediaRef, MediaSource, Modality};
pub use order::{Order, OrderPolicy};
pub use pair::{Criterion, Part, PreferencePair, Response, joined_text};
pub use progress::{NoProgress, Progress};
pub use task::{Setting, Task};
pub use verdict::{Judge, Preference, RewardModel, Rewards, Status, Usage, Verdict};

/// A future that can be stored behind a trait object and moved between threads.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
