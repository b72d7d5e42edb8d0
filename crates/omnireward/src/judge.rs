//! Makes a judge from its name and the chat settings.

use std::{env, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use omnireward_core::{ChatModel, ChatPart, ChatRequest, Judge, PreferencePair, Sampling, Setting};
use omnireward_judges::{
    AudioForm, ChatJudge, ChatJudgeConfig, Concurrency, ImageForm, JudgeSpec, MediaConfig,
    OpenAiClient, OpenAiConfig, ParityParser, Parser, Replay, RewardJudge, Secret, VideoForm,
    Voting, WithFallback,
};

use crate::{
    args::{ChatArgs, ClipsArg, ImagesArg, ModelArgs, ParserArg, VideoArg},
    local_model::{self, Checkpoint, LocalModel},
    writing::{self, LocalWriter},
};

/// How many questions wait beside those that the service admits, so that a place never stays
/// empty while a pair's media are encoded.
const WAITING: usize = 8;

/// Questions at once for judges that ask no service. A model on this machine answers those that wait together.
const LOCAL_CONCURRENCY: usize = 64;

/// A judge that is ready but for the memory in front of its chat model.
pub(crate) enum Prepared {
    Chat(Arc<OpenAiClient>),
    Writing(LocalWriter),
    Local(Arc<dyn Judge>),
    Reward(LocalModel, Arc<dyn Judge>),
}

impl Prepared {
    /// Checks that the judge can be had: its key, its recording, its weights.
    pub(crate) async fn new(
        spec: &JudgeSpec,
        chat: &ChatArgs,
        model: &ModelArgs,
        quiet: bool,
    ) -> Result<Self> {
        match spec {
            JudgeSpec::OpenAi { model } => Ok(Self::Chat(Arc::new(client(model, chat)?))),
            JudgeSpec::Embedded | JudgeSpec::Checkpoint(_) | JudgeSpec::Hub { .. } => {
                let checkpoint = Checkpoint::find(spec, quiet).await?;
                if writing::is_one(&checkpoint) {
                    return Ok(Self::Writing(writing::open(spec, checkpoint, model)?));
                }
                let local = local_model::open(spec, checkpoint, model, chat.cache.as_deref())?;
                let margin = model.tie_threshold.or(local.scorer.tie_margin());
                let judge = RewardJudge::new(local.scorer.clone())
                    .with_tie_threshold(margin.unwrap_or(0.0));
                Ok(Self::Reward(local, Arc::new(judge)))
            }
            other => Ok(Self::Local(local(other, chat)?)),
        }
    }

    /// Whether replies are asked of a chat model, and can be kept.
    pub(crate) fn is_chat(&self) -> bool {
        matches!(self, Self::Chat(_) | Self::Writing(_))
    }

    /// What is worth saying at the end of a run, besides its results.
    pub(crate) fn tell(&self) {
        if let Self::Reward(local, _) = self {
            local_model::tell(&local.scorer);
        }
    }

    /// The judge, with `remember` put in front of its chat model if it has one.
    pub(crate) fn judge(
        &self,
        chat: &ChatArgs,
        remember: impl FnOnce(Arc<dyn ChatModel>) -> Arc<dyn ChatModel>,
    ) -> Result<Arc<dyn Judge>> {
        let judge: Arc<dyn Judge> = match self {
            Self::Chat(client) => voting(
                ChatJudge::new(remember(client.clone()), chat_config(chat)),
                chat,
            ),
            Self::Writing(local) => {
                let config = ChatJudgeConfig {
                    tasks: Some(local.tasks()),
                    asks_probabilities: true,
                    ..chat_config(chat)
                };
                voting(ChatJudge::new(remember(local.model.clone()), config), chat)
            }
            Self::Local(judge) | Self::Reward(_, judge) => judge.clone(),
        };
        match &chat.fallback {
            None => Ok(judge),
            Some(spec) => Ok(Arc::new(WithFallback::new(judge, local(spec, chat)?))),
        }
    }

    /// What a chat model would be sent about `pair`, for people: media as their type and size.
    pub(crate) async fn show_request(
        &self,
        chat: &ChatArgs,
        pair: &PreferencePair,
        setting: Setting,
    ) -> Result<String> {
        let Some((_, judge)) = self.chat_model(chat) else {
            return Ok("this judge is sent no request\n".to_owned());
        };
        Ok(as_text(&judge.request(pair, setting, 0).await?))
    }

    /// The chat model and its way of being shown pairs; `None` for a judge that is no chat model.
    pub(crate) fn chat_model(&self, chat: &ChatArgs) -> Option<(Arc<dyn ChatModel>, ChatJudge)> {
        let model: Arc<dyn ChatModel> = match self {
            Self::Chat(client) => client.clone(),
            Self::Writing(local) => local.model.clone(),
            Self::Local(_) | Self::Reward(..) => return None,
        };
        let judge = ChatJudge::new(model.clone(), chat_config(chat));
        Some((model, judge))
    }

    /// How many questions may be under way, asked anew before each.
    pub(crate) fn concurrency(&self, votes: u32) -> Box<dyn Fn() -> usize + Send + Sync> {
        match self {
            Self::Chat(client) => {
                let client = client.clone();
                Box::new(move || client.stats().limit.div_ceil(votes as usize) + WAITING)
            }
            Self::Writing(_) | Self::Local(_) | Self::Reward(..) => Box::new(|| LOCAL_CONCURRENCY),
        }
    }
}

fn client(model: &str, chat: &ChatArgs) -> Result<OpenAiClient> {
    let mut config = OpenAiConfig::new(&chat.base_url, model);
    config.api_key = env::var(&chat.api_key_env)
        .ok()
        .filter(|key| !key.is_empty())
        .map(Secret::new);
    config.max_attempts = chat.max_retries.saturating_add(1);
    config.timeout = Duration::from_secs(chat.timeout.get().into());
    config.concurrency = Concurrency::Adaptive {
        max: chat.concurrency.get() as usize,
    };
    // The URL itself may hold a secret and is left to the client's own error.
    OpenAiClient::new(config).context("cannot ask a model at this `--base-url`")
}

fn voting(judge: ChatJudge, chat: &ChatArgs) -> Arc<dyn Judge> {
    let judge = Arc::new(judge);
    if chat.votes.get() > 1 {
        Arc::new(Voting::new(judge, chat.votes))
    } else {
        judge
    }
}

fn chat_config(chat: &ChatArgs) -> ChatJudgeConfig {
    ChatJudgeConfig {
        parser: parser(chat),
        media: media(chat),
        sampling: sampling(chat),
        attempts: chat.attempts,
        ..ChatJudgeConfig::default()
    }
}

/// How replies are drawn.
pub(crate) fn sampling(chat: &ChatArgs) -> Sampling {
    Sampling {
        temperature: chat.temperature.0,
        top_p: chat.top_p.0,
        max_tokens: chat.max_tokens.0,
        seed: chat.sampling_seed.0,
    }
}

fn as_text(request: &ChatRequest) -> String {
    let mut lines = Vec::new();
    for message in &request.messages {
        lines.push(format!("── {:?}", message.role));
        lines.extend(message.parts.iter().map(|part| match part {
            ChatPart::Text(words) => words.trim_end().to_owned(),
            ChatPart::Image { media_type, bytes }
            | ChatPart::Audio { media_type, bytes }
            | ChatPart::Video { media_type, bytes } => {
                format!("‹{media_type}, {} bytes›", bytes.len())
            }
        }));
    }
    lines.join("\n") + "\n"
}

pub(crate) fn parser(chat: &ChatArgs) -> Parser {
    match chat.parser {
        ParserArg::Strict => Parser::default(),
        ParserArg::Reference => Parser::Parity(ParityParser),
    }
}

fn media(chat: &ChatArgs) -> MediaConfig {
    let frames = |default: VideoForm| match (default, chat.frames) {
        (VideoForm::Frames { .. }, Some(frames)) => VideoForm::Frames {
            prompt: frames,
            response: frames,
        },
        (form, _) => form,
    };
    MediaConfig {
        images: match chat.images {
            ImagesArg::AsIs => ImageForm::Passthrough,
            ImagesArg::Jpeg => ImageForm::Jpeg,
        },
        video: match chat.video {
            VideoArg::Frames => frames(VideoForm::default()),
            VideoArg::Whole => VideoForm::File,
        },
        audio: match chat.clips {
            ClipsArg::Apart => AudioForm::Separate,
            ClipsArg::Joined => AudioForm::Joined,
        },
        ..MediaConfig::default()
    }
}

fn local(spec: &JudgeSpec, chat: &ChatArgs) -> Result<Arc<dyn Judge>> {
    match spec {
        JudgeSpec::Replay { file, selector } => {
            let replay = Replay::open(file, selector.as_deref())?;
            Ok(Arc::new(match chat.parser {
                ParserArg::Strict => replay,
                ParserArg::Reference => replay.with_parser(Parser::Parity(ParityParser)),
            }))
        }
        JudgeSpec::Baseline(baseline) => Ok(Arc::new(*baseline)),
        JudgeSpec::OpenAi { .. } => bail!("a chat model cannot be a fallback"),
        JudgeSpec::Embedded | JudgeSpec::Checkpoint(_) | JudgeSpec::Hub { .. } => {
            bail!("`{spec}` is a model on this machine, which cannot be a fallback")
        }
    }
}
