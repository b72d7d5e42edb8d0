use omnireward_core::{MediaRef, Modality, Part, PreferencePair, Response, Task};

use super::Piece;
use crate::media::AudioForm;

/// The user message: the blocks of the pair's task, each between `[[NAME]]` and `[[END OF NAME]]`,
/// with media in the place where the pair has them.
///
/// Words are never searched for placeholders, so a prompt may say `<image>` and mean just that.
pub(crate) fn user_pieces<'a>(
    pair: &'a PreferencePair,
    responses: [&'a Response; 2],
    audio: AudioForm,
) -> Vec<Piece<'a>> {
    let mut message = Message::default();
    let joined = joined_responses(pair.task, responses, audio);
    if let Some(joined) = &joined {
        message.push(Piece::Joined(joined.clone()));
    }
    let own_block = pair.task.prompt_modality();
    let in_own_block = |part: &&Part| {
        let modality = part.as_media().map(|media| media.modality);
        own_block.is_some() && modality == own_block
    };
    message.block(
        "PROMPT",
        pair.prompt.iter().filter(|part| !in_own_block(part)),
        Piece::Prompt,
    );
    if let Some(name) = medium_block(pair.task) {
        let mut media = pair.prompt.iter().filter(in_own_block).peekable();
        if media.peek().is_some() {
            message.block(name, media, Piece::Prompt);
        }
    }
    for (index, response) in responses.into_iter().enumerate() {
        let name = RESPONSES[index];
        match joined {
            Some(_) => message.note(name, JOINED_PLACES[index]),
            None => message.block(name, response.parts.iter(), Piece::Response),
        }
    }
    message.pieces
}

/// The order of a task's blocks, in words, for the prompts' fingerprint.
pub(super) fn layout(task: Task) -> String {
    let mut names = vec!["PROMPT"];
    names.extend(medium_block(task));
    names.extend(RESPONSES);
    names.extend(JOINED_PLACES);
    names.join("/")
}

const RESPONSES: [&str; 2] = ["RESPONSE A", "RESPONSE B"];

const JOINED_PLACES: [&str; 2] = [
    "The part of the recording before the silence.",
    "The part of the recording after the silence.",
];

/// The block that holds a task's input medium.
const fn medium_block(task: Task) -> Option<&'static str> {
    match task {
        Task::TI2T => Some("IMAGE"),
        Task::TV2T => Some("VIDEO"),
        Task::TA2T => Some("AUDIO"),
        Task::TI2I => Some("ORIGINAL_IMAGE"),
        Task::T2T | Task::T2I | Task::T2V | Task::T2A | Task::T23D => None,
    }
}

/// The sounds to be joined into one recording, if that is how they are sent and each response is
/// exactly one sound.
fn joined_responses<'a>(
    task: Task,
    responses: [&'a Response; 2],
    audio: AudioForm,
) -> Option<Vec<&'a MediaRef>> {
    if audio != AudioForm::Joined || task != Task::T2A {
        return None;
    }
    let sound = |response: &'a Response| match response.parts.as_slice() {
        [Part::Media(media)] if media.modality == Modality::Audio => Some(media),
        _ => None,
    };
    responses.into_iter().map(sound).collect()
}

/// A message under construction; neighbouring words become one piece.
#[derive(Default)]
struct Message<'a> {
    pieces: Vec<Piece<'a>>,
}

impl<'a> Message<'a> {
    fn block(
        &mut self,
        name: &str,
        parts: impl Iterator<Item = &'a Part>,
        medium: fn(&'a MediaRef) -> Piece<'a>,
    ) {
        self.open(name);
        for part in parts {
            match part {
                Part::Text(text) => {
                    self.words(text);
                    self.words("\n");
                }
                Part::Media(media) => self.push(medium(media)),
            }
        }
        self.close(name);
    }

    fn note(&mut self, name: &str, note: &str) {
        self.open(name);
        self.words(note);
        self.words("\n");
        self.close(name);
    }

    fn open(&mut self, name: &str) {
        let gap = if self.pieces.is_empty() { "" } else { "\n" };
        self.words(&format!("{gap}[[{name}]]\n"));
    }

    fn close(&mut self, name: &str) {
        self.words(&format!("[[END OF {name}]]\n"));
    }

    fn words(&mut self, words: &str) {
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push_str(words),
            _ => self.push(Piece::Text(words.to_owned())),
        }
    }

    fn push(&mut self, piece: Piece<'a>) {
        self.pieces.push(piece);
    }
}
