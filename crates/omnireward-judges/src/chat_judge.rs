use std::{fmt, num::NonZeroU32, sync::Arc};

use omnireward_core::{
    BoxFuture, ChatMessage, ChatModel, ChatPart, ChatReply, ChatRequest, Finish, Identity, Judge,
    ModelError, PreferencePair, Role, Sampling, Setting, Status, Task, Usage, Verdict,
};
use omnireward_media::Limits;
use serde_json::json;

use crate::{
    MediaConfig, Parser, Reading, Unread,
    media::MediaEncoder,
    order::two_responses,
    parse::without_thinking,
    prompt::{self, system_message, user_pieces},
};

/// How a chat model is asked for verdicts.
#[derive(Clone, Debug)]
pub struct ChatJudgeConfig {
    /// How replies are read.
    pub parser: Parser,
    /// How media are sent.
    pub media: MediaConfig,
    /// How large media may be.
    pub limits: Limits,
    /// How replies are drawn.
    pub sampling: Sampling,
    /// How often a pair is asked about, at most, until a verdict can be read. The default of 1
    /// asks once: asking until something can be read favours pairs on which the model is sure. The
    /// reference evaluation asks up to 5 times.
    pub attempts: NonZeroU32,
    /// Whether the model is asked how probable each verdict was, for [scores](Verdict::scores) beside the preference.
    /// Models that do not tell bring none. Default: no.
    pub asks_probabilities: bool,
    /// The tasks that the model can be asked about, such as those without sound; `None` for all.
    pub tasks: Option<Vec<Task>>,
}

impl Default for ChatJudgeConfig {
    /// One attempt, the strict parser, and sampling at temperature 0 with seed 0 and room for 4096
    /// tokens, so that runs repeat as far as the service allows.
    fn default() -> Self {
        Self {
            parser: Parser::default(),
            media: MediaConfig::default(),
            limits: Limits::default(),
            sampling: Sampling {
                temperature: Some(0.0),
                top_p: None,
                max_tokens: Some(4096),
                seed: Some(0),
            },
            attempts: NonZeroU32::MIN,
            asks_probabilities: false,
            tasks: None,
        }
    }
}

/// Asks a chat model which of two responses is better, and reads its reply.
///
/// Media are decoded on tokio's blocking threads, so judging needs a tokio runtime.
pub struct ChatJudge {
    model: Arc<dyn ChatModel>,
    media: MediaEncoder,
    parser: Parser,
    sampling: Sampling,
    attempts: NonZeroU32,
    asks_probabilities: bool,
    tasks: Option<Vec<Task>>,
}

impl ChatJudge {
    /// A judge that asks `model`.
    pub fn new(model: Arc<dyn ChatModel>, config: ChatJudgeConfig) -> Self {
        Self {
            model,
            media: MediaEncoder::new(config.media, config.limits),
            parser: config.parser,
            sampling: config.sampling,
            attempts: config.attempts,
            asks_probabilities: config.asks_probabilities,
            tasks: config.tasks,
        }
    }

    /// The conversation that asks about `pair`, with its media encoded.
    ///
    /// `sample` tells repeats of the same conversation apart.
    ///
    /// # Errors
    ///
    /// Fails when the pair does not have two responses
    /// ([`ModelErrorKind::Unsupported`](omnireward_core::ModelErrorKind::Unsupported)) and when a
    /// medium cannot be read ([`ModelErrorKind::Media`](omnireward_core::ModelErrorKind::Media)).
    pub async fn request(
        &self,
        pair: &PreferencePair,
        setting: Setting,
        sample: u32,
    ) -> Result<ChatRequest, ModelError> {
        let responses = two_responses(pair)?;
        let system = system_message(pair.task, setting, pair.criterion.as_ref());
        let pieces = user_pieces(pair, responses, self.media.config().audio);
        let messages = vec![
            ChatMessage {
                role: Role::System,
                parts: vec![ChatPart::Text(system)],
            },
            ChatMessage {
                role: Role::User,
                parts: self.media.parts(&pair.id, pieces).await?,
            },
        ];
        Ok(ChatRequest {
            messages,
            sampling: self.sampling.clone(),
            sample,
            choices: self.asks_probabilities.then(|| prompt::verdicts(setting)),
        })
    }

    /// Asks about `pair` for the `vote`-th time, counted from 0, with as many attempts as are
    /// configured.
    pub(crate) async fn judge_once(
        &self,
        pair: &PreferencePair,
        setting: Setting,
        vote: u32,
    ) -> Result<Verdict, ModelError> {
        let attempts = self.attempts.get();
        let mut request = self.request(pair, setting, vote * attempts).await?;
        let mut usage = Usage::default();
        for attempt in 1..=attempts {
            let reply = self.model.complete(&request).await?;
            usage += reply.usage;
            let verdict = self.verdict(reply, setting);
            if verdict.preference.is_some() || attempt == attempts {
                return Ok(Verdict { usage, ..verdict });
            }
            tracing::debug!(pair_id = pair.id, attempt, status = %verdict.status, "asking again");
            request.sample += 1;
        }
        unreachable!("there is at least one attempt, and the last one returns")
    }

    fn verdict(&self, reply: ChatReply, setting: Setting) -> Verdict {
        let scores = |reply: &ChatReply| {
            let [first, second, ..] = *reply.probabilities.as_deref()? else {
                return None;
            };
            Some(vec![first, second])
        };
        let verdict = match reply.finish {
            Finish::Refusal => {
                let detail = "the model or its provider declined".to_owned();
                Verdict::without_preference(Status::Refused, Some(detail))
            }
            finish => match self.parser.read(&reply.text, setting) {
                Ok(reading) => Verdict {
                    rationale: rationale(&reply.text, &reading),
                    scores: scores(&reply),
                    ..Verdict::preferring(reading.preference)
                },
                Err(unread) => {
                    let status = unread_status(finish, &unread);
                    Verdict::without_preference(status, Some(unread.to_string()))
                }
            },
        };
        Verdict {
            raw: Some(reply.text),
            ..verdict
        }
    }
}

impl Judge for ChatJudge {
    fn identity(&self) -> Identity {
        let model = self.model.identity();
        let settings = json!({
            "model": model.settings,
            "prompts": { "version": prompt::VERSION, "sha256": prompt::fingerprint() },
            "media": self.media.config(),
            "parser": self.parser.identity(),
            "sampling": self.sampling,
            "attempts": self.attempts,
        });
        Identity::new(model.name, settings)
    }

    fn supports(&self, task: Task) -> bool {
        self.tasks
            .as_ref()
            .is_none_or(|tasks| tasks.contains(&task))
    }

    fn judge<'a>(
        &'a self,
        pair: &'a PreferencePair,
        setting: Setting,
    ) -> BoxFuture<'a, Result<Verdict, ModelError>> {
        Box::pin(self.judge_once(pair, setting, 0))
    }
}

impl fmt::Debug for ChatJudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatJudge")
            .field("model", &self.model.identity().name)
            .field("media", &self.media)
            .field("parser", &self.parser)
            .field("sampling", &self.sampling)
            .field("attempts", &self.attempts)
            .field("asks_probabilities", &self.asks_probabilities)
            .field("tasks", &self.tasks)
            .finish()
    }
}

/// What a reply without a readable verdict is.
fn unread_status(finish: Finish, unread: &Unread) -> Status {
    match (finish, unread) {
        (Finish::Length, _) | (_, Unread::UnclosedThinking) => Status::Truncated,
        _ => Status::Unreadable,
    }
}

/// The reply without its verdict token, and without its thinking where it has more than that.
pub(crate) fn rationale(reply: &str, reading: &Reading) -> Option<String> {
    let spoken = without_thinking(reply).map_or_else(|_| reply.to_owned(), Into::into);
    [spoken.as_str(), reply].into_iter().find_map(|text| {
        let before = text.get(..reading.token.start)?;
        let after = text.get(reading.token.end..)?;
        let reasons = format!("{}{after}", before.trim_start());
        let reasons = reasons.trim();
        reasons
            .contains(char::is_alphanumeric)
            .then(|| reasons.to_owned())
    })
}

#[cfg(test)]
mod tests;
