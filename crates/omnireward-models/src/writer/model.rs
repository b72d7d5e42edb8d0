use std::{fs, path::Path, sync::Arc};

use omnireward_core::{
    BoxFuture, ChatMessage, ChatModel, ChatReply, ChatRequest, Choices, Finish, Identity,
    ModelError, ModelErrorKind, Usage,
};
use serde_json::json;

use super::{
    Closing, WritingNetwork, WritingOptions,
    queue::{Question, Queue, model_error},
};
use crate::{
    Result,
    checkpoint::fingerprint,
    generation::{Choice, Constraint, End, Sampling, Watched},
    weights::{GgufWeights, OpenOptions, Weights},
};

/// A checkpoint that answers conversations, ready to run.
///
/// All questions that wait are answered together, on a thread of the model's own and on all processors; what they begin
/// alike with is read once. A reply depends on its conversation, the sampling and the number of the sample alone: the
/// same seed and sample bring the same reply, and another sample of the same seed another one.
///
/// What a request leaves open is as the checkpoint's `generation_config.json` has it, the seed 0, and the longest reply
/// 1024 tokens unless the file says otherwise. A reply that does not end by itself ends there.
///
/// | In a conversation | Error kind |
/// |---|---|
/// | a medium that cannot be decoded, or of a kind that the model does not read | `Media` |
/// | a conversation that the chat template refuses, or that leaves no room for a reply; a setting without meaning | `Rejected` |
/// | a failure of the device; scores that are not finite | `Internal` |
#[derive(Debug)]
pub struct WritingModel {
    network: Arc<WritingNetwork>,
    queue: Queue,
    closing: Option<Constraint>,
    identity: Identity,
}

/// A reply, with what the joining trait has no place for.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The reply.
    pub reply: ChatReply,
    /// The mean of its tokens' log-probabilities; `None` of an empty one.
    pub log_probability: Option<f64>,
    /// What was chosen, and how probable each choice was: at its end under a [`Closing`], or where it made one of the
    /// request's [choices](Choices).
    pub choice: Option<Choice>,
}

impl WritingModel {
    /// Opens the checkpoint at `path`: a folder in Hugging Face layout, or a GGUF file.
    ///
    /// # Errors
    ///
    /// As [`WritingNetwork::new`], and when the closing is not one.
    pub fn open(path: &Path, options: &WritingOptions) -> Result<Self> {
        // A matrix is read once for every token, so it is not to be unpacked each time.
        let gguf = GgufWeights::Expand;
        let weights = Weights::open_with(path, OpenOptions { gguf })?;
        let network = WritingNetwork::new(path, &weights, options)?;
        let closing = options.closing.as_ref();
        let closing = closing
            .map(|closing| network.constraint(closing))
            .transpose()?;
        if let Some(closing) = &closing {
            closing.check(network.decoder().config().vocabulary)?;
        }
        let identity = Identity::new(
            name(path),
            json!({
                "checkpoint": fingerprint(path)?,
                "architecture": network.architecture(),
                "compute": network.placement().dtype.as_str(),
                "device": network.placement().device_kind(),
                "preprocessing": network.preprocessing(),
                "template_variables": options.chat.variables,
                "sampling": network.defaults(),
                "closing": options.closing,
            }),
        );
        let network = Arc::new(network);
        Ok(Self {
            queue: Queue::new(Arc::clone(&network), options.generator),
            network,
            closing,
            identity,
        })
    }

    /// The model itself.
    pub fn network(&self) -> &WritingNetwork {
        &self.network
    }

    /// Answers a conversation.
    ///
    /// # Errors
    ///
    /// By the table at [`WritingModel`].
    pub async fn write(&self, request: &ChatRequest) -> Result<Written, ModelError> {
        let choices = request.choices.as_ref();
        let mut written = self
            .answer(Question {
                messages: request.messages.clone(),
                begun: String::new(),
                sampling: self.sampling(&request.sampling),
                sample: u64::from(request.sample),
                constraint: self.closing.clone(),
                watched: choices.and_then(|choices| self.watched(choices)),
            })
            .await?;
        // A closing has choices of its own.
        let probabilities = written.choice.as_ref().map(|choice| &choice.probabilities);
        written.reply.probabilities = probabilities
            .filter(|each| choices.is_some_and(|choices| choices.of.len() == each.len()))
            .cloned();
        Ok(written)
    }

    /// How probable each choice is as the next words of a reply to a conversation, of which `begun` is given: the
    /// probabilities of their first tokens among themselves, after the closing's lead. Nothing is drawn.
    ///
    /// # Errors
    ///
    /// By the table at [`WritingModel`], and when two choices begin with the same token.
    pub async fn probabilities(
        &self,
        messages: &[ChatMessage],
        begun: &str,
        closing: &Closing,
    ) -> Result<Vec<f64>, ModelError> {
        let constraint = Constraint {
            unless: Vec::new(),
            ..self.network.constraint(closing).map_err(model_error)?
        };
        let sampling = Sampling {
            max_tokens: 0,
            ..Sampling::default()
        };
        let written = self.answer(Question {
            messages: messages.to_vec(),
            begun: begun.to_owned(),
            sampling,
            sample: 0,
            constraint: Some(constraint),
            watched: None,
        });
        let missing = || ModelError::new(ModelErrorKind::Internal, "a reply without its choice");
        let choice = written.await?.choice.ok_or_else(missing)?;
        Ok(choice.probabilities)
    }

    async fn answer(&self, question: Question) -> Result<Written, ModelError> {
        let answered = self.queue.ask(question).await?;
        let (reply, read) = (answered.reply, answered.read);
        let tokens = reply.tokens.len();
        let sum: f64 = reply.log_probabilities.iter().sum();
        Ok(Written {
            reply: ChatReply {
                probabilities: None,
                text: self.network.text_of(&reply),
                finish: match reply.end {
                    End::Length => Finish::Length,
                    End::Token | End::String | End::Choice => Finish::Stop,
                },
                usage: Usage {
                    requests: 1,
                    prompt_tokens: read as u64,
                    completion_tokens: tokens as u64,
                },
                model: Some(self.identity.name.clone()),
            },
            log_probability: (tokens > 0).then(|| sum / tokens as f64),
            choice: reply.choice,
        })
    }

    /// Choices in tokens; `None` where they are not told apart by their first.
    fn watched(&self, choices: &Choices) -> Option<Watched> {
        let first = |choice: &String| self.network.tokens(choice).ok()?.first().copied();
        let first: Vec<u32> = choices.of.iter().map(first).collect::<Option<_>>()?;
        let watched = Watched {
            lead: choices.lead.clone(),
            first,
        };
        let vocabulary = self.network.decoder().config().vocabulary;
        watched.check(vocabulary).is_ok().then_some(watched)
    }

    fn sampling(&self, asked: &omnireward_core::Sampling) -> Sampling {
        let defaults = *self.network.defaults();
        Sampling {
            temperature: asked.temperature.unwrap_or(defaults.temperature),
            top_p: asked.top_p.unwrap_or(defaults.top_p),
            seed: asked.seed.unwrap_or(defaults.seed),
            max_tokens: asked
                .max_tokens
                .map_or(defaults.max_tokens, |tokens| tokens as usize),
            ..defaults
        }
    }
}

impl ChatModel for WritingModel {
    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn complete<'a>(
        &'a self,
        request: &'a ChatRequest,
    ) -> BoxFuture<'a, Result<ChatReply, ModelError>> {
        Box::pin(async move { Ok(self.write(request).await?.reply) })
    }
}

/// The checkpoint's name in tables: that of its folder or file.
fn name(path: &Path) -> String {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = if path.is_file() {
        path.file_stem()
    } else {
        path.file_name()
    };
    name.map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}
