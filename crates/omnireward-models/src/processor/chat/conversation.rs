use std::ops::Range;

use omnireward_core::{ChatMessage, ChatPart, Role};

use super::{
    template::{Content, ContentPart, Message, Template},
    words::Words,
};

/// A conversation as the chat template lays it out, with the places of what was said that reads like a special token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Conversation {
    pub(crate) text: String,
    pub(crate) said: Vec<Range<usize>>,
}

/// What may follow a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing.
    Finished,
    /// The turn that the model writes.
    Reply,
}

impl Conversation {
    /// Lays messages out. What reads like a special token goes through the template as a mark, and is put back after
    /// it.
    ///
    /// # Errors
    ///
    /// Says why the template refuses them.
    pub(crate) fn new(
        messages: &[ChatMessage],
        ending: Ending,
        template: &Template,
        words: &Words,
    ) -> Result<Self, String> {
        let mut marked = Vec::new();
        let messages: Vec<Message> = messages
            .iter()
            .map(|message| turn(message, words, &mut marked))
            .collect();
        let rendered = match ending {
            Ending::Finished => template.render(&messages),
            Ending::Reply => template.render_prompt(&messages),
        };
        let rendered =
            rendered.map_err(|reason| format!("the chat template refuses it: {reason}"))?;
        Self::restored(&rendered, &marked)
    }

    /// The text with each mark replaced by what it stands for.
    fn restored(rendered: &str, marked: &[String]) -> Result<Self, String> {
        let mut conversation = Self {
            text: String::with_capacity(rendered.len()),
            said: Vec::with_capacity(marked.len()),
        };
        let mut rest = rendered;
        for (index, said) in marked.iter().enumerate() {
            let Some((before, after)) = rest.split_once(&mark(index)) else {
                return Err("the chat template leaves out what is said in it".to_owned());
            };
            conversation.text.push_str(before);
            let start = conversation.text.len();
            conversation.text.push_str(said);
            conversation.said.push(start..conversation.text.len());
            rest = after;
        }
        conversation.text.push_str(rest);
        Ok(conversation)
    }
}

fn turn(message: &ChatMessage, words: &Words, marked: &mut Vec<String>) -> Message {
    let content: Content = match &message.parts[..] {
        [ChatPart::Text(text)] => safe(text, words, marked).into(),
        parts => {
            let parts = parts.iter().map(|part| match part {
                ChatPart::Text(text) => ContentPart::Text {
                    text: safe(text, words, marked),
                },
                ChatPart::Image { .. } => ContentPart::Image,
                ChatPart::Video { .. } => ContentPart::Video,
                ChatPart::Audio { .. } => ContentPart::Audio,
            });
            parts.collect::<Vec<ContentPart>>().into()
        }
    };
    match message.role {
        Role::System => Message::system(content),
        Role::User => Message::user(content),
        Role::Assistant => Message::assistant(content),
    }
}

/// The text, or a mark for it.
fn safe(text: &str, words: &Words, marked: &mut Vec<String>) -> String {
    // Text that holds a mark's own letters could be taken for one.
    if words.is_ambiguous(text) || text.contains(MARK) {
        marked.push(text.to_owned());
        mark(marked.len() - 1)
    } else {
        text.to_owned()
    }
}

/// A letter that Unicode leaves to private use.
const MARK: char = '\u{F8FE}';

fn mark(index: usize) -> String {
    format!("{MARK}{index}{MARK}")
}
