//! How a model that writes is asked while it is trained: as the chat judge asks.

use std::sync::Arc;

use omnireward_core::{
    BoxFuture, ChatMessage, ChatModel, ChatPart, ChatReply, ChatRequest, Identity, Judge,
    ModelError, ModelErrorKind, Preference, PreferencePair, Role, Setting,
};
use omnireward_judges::{ChatJudge, ChatJudgeConfig, Parser};
use omnireward_train::{
    grpo::{Protocol, reward::AnswerForm},
    recipe::QuestionRecipe,
};
use serde_json::Value;
use tokio::runtime::Handle;

/// The questions of the chat judge and its parser.
pub(crate) struct ChatProtocol {
    judge: ChatJudge,
    parser: Parser,
    question: QuestionRecipe,
    /// Media are decoded on its threads.
    runtime: Handle,
}

impl ChatProtocol {
    /// Asks as a recipe says. Call it inside of the runtime.
    pub(crate) fn new(question: QuestionRecipe) -> Self {
        let config = ChatJudgeConfig::default();
        Self {
            parser: config.parser.clone(),
            judge: ChatJudge::new(Arc::new(Nobody), config),
            question,
            runtime: Handle::current(),
        }
    }

    /// What questions and readings depend on, for the record.
    pub(crate) fn identity(&self) -> Value {
        self.judge.identity().settings
    }
}

impl Protocol for ChatProtocol {
    fn messages(
        &self,
        pair: &PreferencePair,
        setting: Setting,
    ) -> Result<Vec<ChatMessage>, ModelError> {
        let request = self.judge.request(pair, setting, 0);
        let mut messages = self.runtime.block_on(request)?.messages;
        for message in &mut messages {
            if message.role == Role::System {
                for part in &mut message.parts {
                    if let ChatPart::Text(text) = part {
                        *text = worded(text, self.question);
                    }
                }
            }
        }
        Ok(messages)
    }

    fn verdict(&self, reply: &str, setting: Setting) -> Option<Preference> {
        let reading = self.parser.read(reply, setting).ok()?;
        Some(reading.preference)
    }
}

const THINKING: &str =
    "\n\nThink first, between <think> and </think>. Your answer stands after that, once.";

/// What the judge is told, with answers in the form that is wanted.
fn worded(told: &str, question: QuestionRecipe) -> String {
    let mut text = match question.answer {
        AnswerForm::Brackets => told.to_owned(),
        AnswerForm::Boxed => ["A", "B", "C"]
            .iter()
            .fold(told.to_owned(), |text, letter| {
                text.replace(&format!("[[{letter}]]"), &format!("\\boxed{{{letter}}}"))
            }),
    };
    if question.thinking {
        text.push_str(THINKING);
    }
    text
}

/// Stands where a model is asked. The one that is trained is asked by its trainer.
struct Nobody;

impl ChatModel for Nobody {
    fn identity(&self) -> Identity {
        Identity::new("the model that is trained", Value::Null)
    }

    fn complete<'a>(&'a self, _: &'a ChatRequest) -> BoxFuture<'a, Result<ChatReply, ModelError>> {
        let error = ModelError::new(
            ModelErrorKind::Internal,
            "the model is asked by its trainer",
        );
        Box::pin(async { Err(error) })
    }
}

#[cfg(test)]
mod tests {
    use omnireward_core::Task;
    use omnireward_judges::system_message;

    use super::*;

    #[test]
    fn answers_are_asked_for_in_the_form_that_is_wanted() {
        let told = system_message(Task::T2I, Setting::WithTies, None);
        let plain = QuestionRecipe::default();
        assert_eq!(worded(&told, plain), told);
        let boxed = QuestionRecipe {
            answer: AnswerForm::Boxed,
            thinking: true,
            ..plain
        };
        let text = worded(&told, boxed);
        for expected in ["\\boxed{A}", "\\boxed{B}", "\\boxed{C}", "</think>"] {
            assert!(text.contains(expected), "{text}");
        }
        assert!(!text.contains("[[A]]"), "{text}");
    }
}
