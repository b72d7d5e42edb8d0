//! What a judge is told and asked, for each of the nine tasks.

mod blocks;

use omnireward_core::{Choices, Criterion, MediaRef, PreferencePair, Setting, Task};

use crate::{hash::sha256_hex, media::AudioForm, order::two_responses};

pub(crate) use blocks::user_pieces;

/// Counts up when the wording or layout of the prompts changes in a way worth talking about. The
/// hash beside it in an identity changes with every letter.
pub const VERSION: u32 = 1;

/// One element of a message that is still to be encoded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece<'a> {
    /// Words.
    Text(String),
    /// A medium of the prompt.
    Prompt(&'a MediaRef),
    /// A medium of a response.
    Response(&'a MediaRef),
    /// The sounds of both responses, with silence between them, as one recording.
    Joined(Vec<&'a MediaRef>),
}

/// The system message for a task: who the judge is, the criterion on a paragraph of its own, the
/// rules, and the answers offered.
pub fn system_message(task: Task, setting: Setting, criterion: Option<&Criterion>) -> String {
    let criterion = criterion.map_or(NO_CRITERION, |criterion| criterion);
    let answers = if setting.offers_tie() {
        WITH_TIES
    } else {
        WITHOUT_TIES
    };
    format!(
        "{}\n\n{}\n\n{}\n{}",
        persona(task).trim_end(),
        criterion.trim(),
        RULES.trim_end(),
        answers.trim_end()
    )
}

/// The words of the question about a pair: those of the system message, then those that stand around the media of the
/// user's. `None` when the pair has not two responses.
pub fn question_words(pair: &PreferencePair, setting: Setting) -> Option<Vec<String>> {
    let responses = two_responses(pair).ok()?;
    let system = system_message(pair.task, setting, pair.criterion.as_ref());
    let pieces = user_pieces(pair, responses, AudioForm::default()).into_iter();
    let words = pieces.filter_map(|piece| match piece {
        Piece::Text(words) => Some(words),
        _ => None,
    });
    Some([system].into_iter().chain(words).collect())
}

/// The verdicts that are offered, as the system message asks for them: of the first response, the second, and a tie.
pub(crate) fn verdicts(setting: Setting) -> Choices {
    let letters: &[_] = if setting.offers_tie() {
        &["A", "B", "C"]
    } else {
        &["A", "B"]
    };
    Choices {
        lead: "[[".to_owned(),
        of: letters.iter().map(|letter| format!("{letter}]]")).collect(),
    }
}

/// SHA-256 of everything that the prompts of all tasks and settings are made of, in hexadecimal.
pub fn fingerprint() -> String {
    let messages = Task::ALL.into_iter().flat_map(|task| {
        let systems = Setting::ALL.map(|setting| system_message(task, setting, None));
        [blocks::layout(task)].into_iter().chain(systems)
    });
    sha256_hex(messages)
}

const NO_CRITERION: &str = include_str!("text/no_criterion.txt");
const RULES: &str = include_str!("text/rules.txt");
const WITH_TIES: &str = include_str!("text/with_ties.txt");
const WITHOUT_TIES: &str = include_str!("text/without_ties.txt");

const fn persona(task: Task) -> &'static str {
    match task {
        Task::T2T => include_str!("text/t2t.txt"),
        Task::TI2T => include_str!("text/ti2t.txt"),
        Task::TV2T => include_str!("text/tv2t.txt"),
        Task::TA2T => include_str!("text/ta2t.txt"),
        Task::T2I => include_str!("text/t2i.txt"),
        Task::T2V => include_str!("text/t2v.txt"),
        Task::T2A => include_str!("text/t2a.txt"),
        Task::T23D => include_str!("text/t23d.txt"),
        Task::TI2I => include_str!("text/ti2i.txt"),
    }
}

#[cfg(test)]
mod tests;
