//! How a writer is asked for criteria.

use omnireward_core::{
    BoxFuture, ChatMessage, ChatPart, ChatRequest, ModelError, ModelErrorKind, Part,
    PreferencePair, Role, Sampling, Task,
};

use super::digest::sha256_hex;

/// Puts a pair before a model: the request and both responses as the parts of one message, in
/// which the first response is called A and the second B.
///
/// Whoever sends media to a model knows how it takes them, so this is left to the caller.
pub trait Show: Send + Sync {
    /// The parts of the message.
    ///
    /// # Errors
    ///
    /// [`ModelErrorKind::Media`] when a medium cannot be read.
    fn show<'a>(
        &'a self,
        pair: &'a PreferencePair,
    ) -> BoxFuture<'a, Result<Vec<ChatPart>, ModelError>>;
}

/// Shows pairs that are words alone, and refuses others.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShowWords;

impl Show for ShowWords {
    fn show<'a>(
        &'a self,
        pair: &'a PreferencePair,
    ) -> BoxFuture<'a, Result<Vec<ChatPart>, ModelError>> {
        let shown = words_of(pair).map(|text| vec![ChatPart::Text(text)]);
        Box::pin(std::future::ready(shown))
    }
}

fn words_of(pair: &PreferencePair) -> Result<String, ModelError> {
    let mut blocks = vec![block(&pair.id, "PROMPT", &pair.prompt)?];
    for (name, response) in ["RESPONSE A", "RESPONSE B"].iter().zip(&pair.responses) {
        blocks.push(block(&pair.id, name, &response.parts)?);
    }
    Ok(blocks.join("\n"))
}

fn block(pair_id: &str, name: &str, parts: &[Part]) -> Result<String, ModelError> {
    let words: Option<Vec<&str>> = parts.iter().map(Part::as_text).collect();
    let words = words.ok_or_else(|| {
        let message = format!("pair `{pair_id}` holds media, and only words can be shown");
        ModelError::new(ModelErrorKind::Unsupported, message)
    })?;
    Ok(format!(
        "[[{name}]]\n{}\n[[END OF {name}]]\n",
        words.join("\n")
    ))
}

/// The conversation that asks for criteria, given the pair's message.
pub(super) fn request(
    task: Task,
    shown: Vec<ChatPart>,
    sampling: &Sampling,
    sample: u32,
) -> ChatRequest {
    let system = ChatPart::Text(system_message(task));
    ChatRequest {
        messages: vec![
            ChatMessage {
                role: Role::System,
                parts: vec![system],
            },
            ChatMessage {
                role: Role::User,
                parts: shown,
            },
        ],
        sampling: sampling.clone(),
        sample,
        choices: None,
    }
}

/// The system message for a task.
pub fn system_message(task: Task) -> String {
    PROMPT.trim_end().replace("{material}", material(task))
}

/// SHA-256 of the writer's system messages for all tasks, in hexadecimal.
pub fn prompt_fingerprint() -> String {
    sha256_hex(Task::ALL.map(system_message))
}

const PROMPT: &str = include_str!("writer_prompt.txt");

const fn material(task: Task) -> &'static str {
    match task {
        Task::T2T => "two written answers",
        Task::TI2T => "two written answers to a question about an image",
        Task::TV2T => "two written answers to a question about a video",
        Task::TA2T => "two written answers to a question about a recording",
        Task::T2I => "two images made from a description",
        Task::T2V => "two videos made from a description",
        Task::T2A => "two recordings made from a description",
        Task::T23D => "two 3D objects made from a description, each shown from several sides",
        Task::TI2I => "two edited versions of an image",
    }
}

#[cfg(test)]
mod tests {
    use omnireward_core::Response;

    use super::*;

    #[test]
    fn every_task_says_what_is_compared() {
        for task in Task::ALL {
            let message = system_message(task);
            assert!(message.contains(material(task)) && !message.contains("{material}"));
        }
    }

    #[test]
    fn words_are_shown_and_media_refused() {
        let pair = PreferencePair::new(
            "1",
            Task::T2T,
            "Say hi.",
            ["Hi.", "Ho."].map(Response::text),
        );
        let text = words_of(&pair).unwrap();
        assert!(text.starts_with("[[PROMPT]]\nSay hi.\n[[END OF PROMPT]]\n"));
        assert!(text.contains("[[RESPONSE B]]\nHo.\n"));
        let medium = omnireward_testkit::pairs::pair(Task::T2I, 1);
        let error = words_of(&medium).unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::Unsupported);
    }
}
