use omnireward_core::{Part, PreferencePair, joined_text};

use crate::processor::turns::{Content, Opening, Turn, contents, media};

/// The system turn when there is no criterion.
pub(super) const DEFAULT_SYSTEM: &str =
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";

/// A pair as conversations that begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conversation {
    pub(super) system: String,
    pub(super) shared: Vec<Turn>,
    /// For each response, the turns that follow.
    pub(super) own: Vec<Vec<Turn>>,
}

impl Conversation {
    pub(super) fn new(pair: &PreferencePair) -> Self {
        let opening = Opening::of(pair);
        let mut medium = media(&pair.prompt);
        let mut own = Vec::with_capacity(pair.responses.len());
        for response in &pair.responses {
            own.push(if pair.task.is_generation() {
                generated(&pair.prompt, &response.parts, medium)
            } else {
                vec![Turn::assistant(contents(&response.parts, medium))]
            });
            medium += media(&response.parts);
        }
        Self {
            system: opening.system.unwrap_or_else(|| DEFAULT_SYSTEM.to_owned()),
            shared: if pair.task.is_generation() {
                Vec::new()
            } else {
                opening.turns
            },
            own,
        }
    }
}

/// The two turns of a generated response: what was generated, with what it was made from, and then the
/// words that asked for it.
fn generated(prompt: &[Part], response: &[Part], medium: usize) -> Vec<Turn> {
    let mut shown: Vec<Content> = (0..media(prompt)).map(Content::Medium).collect();
    shown.extend(contents(response, medium));
    vec![
        Turn::user(shown),
        Turn::assistant(vec![Content::Text(joined_text(prompt))]),
    ]
}
