use omnireward_core::Finish;
use serde::{Deserialize, Serialize};

use super::{Candidate, RewardFunction};

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// 1 for a whole reply of the form that is asked for, else 0: thoughts between tags, where they are asked for, and then
/// exactly one answer.
///
/// A template may open the thinking in the prompt; the reply then begins with the thoughts, and opening them a second
/// time is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Whether the reply thinks between `<think>` and `</think>` first.
    pub thinking: bool,
    /// How the answer is written.
    pub answer: AnswerForm,
}

/// How a reply writes its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerForm {
    /// `[[…]]`.
    #[default]
    Brackets,
    /// `\boxed{…}`.
    Boxed,
}

impl RewardFunction for Format {
    fn name(&self) -> &'static str {
        "format"
    }

    fn value(&self, candidate: &Candidate<'_>) -> Option<f64> {
        let rollout = &candidate.answer.rollout;
        let holds =
            rollout.finish == Finish::Stop && self.holds(&rollout.text, candidate.thinking_is_open);
        Some(f64::from(u8::from(holds)))
    }
}

impl Format {
    fn holds(self, reply: &str, thinking_is_open: bool) -> bool {
        let spoken = if self.thinking {
            after_thinking(reply, thinking_is_open)
        } else {
            Some(reply).filter(|reply| !reply.contains(OPEN) && !reply.contains(CLOSE))
        };
        spoken.is_some_and(|spoken| self.answer.count(spoken) == 1)
    }
}

/// What is said after the thoughts, which there are, once.
fn after_thinking(reply: &str, is_open: bool) -> Option<&str> {
    let reply = reply.trim_start();
    let inside = if is_open {
        reply
    } else {
        reply.strip_prefix(OPEN)?
    };
    let (thoughts, spoken) = inside.split_once(CLOSE)?;
    let is_once = !inside.contains(OPEN) && !spoken.contains(CLOSE);
    (is_once && !thoughts.trim().is_empty()).then_some(spoken)
}

impl AnswerForm {
    /// Answers in a text, none of them empty.
    fn count(self, text: &str) -> usize {
        let (open, close) = match self {
            Self::Boxed => ("\\boxed{", "}"),
            Self::Brackets => ("[[", "]]"),
        };
        text.match_indices(open)
            .filter(|(start, _)| {
                let inside = text[start + open.len()..].split_once(close);
                inside.is_some_and(|(inside, _)| !inside.trim().is_empty())
            })
            .count()
    }
}
