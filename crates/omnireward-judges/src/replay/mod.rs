//! Judges that were recorded: replies, verdicts or scores that somebody already has.

mod audiojudge;
mod detect;
mod genai_bench;
mod index;
mod json;
mod llmbar;
mod own;
mod reference;
mod scores;
mod table;

use std::path::{Path, PathBuf};

use omnireward_core::{
    BoxFuture, Identity, Judge, ModelError, ModelErrorKind, Order, Preference, PreferencePair,
    Setting, Status, Verdict,
};
use serde_json::json;

use crate::{
    Answers, Error, Parser, StrictParser, Unread, chat_judge::rationale, order::two_responses,
};
use detect::Asked;
use index::{Content, Index, Recorded};

/// Answers from a recording.
///
/// These are understood, told apart by their content:
///
/// | recording | judge (`#…`) | pair ids |
/// |---|---|---|
/// | JSON lines of `{"id", "order"?, "setting"?, "reply"}`, or with `"preference"` or `"scores"` | – | as recorded |
/// | result arrays of the reference evaluation (`<model>_preferences.json`) | the model, where there are several | as recorded, or by prompt, criterion and responses |
/// | `LLMBar` `*.verdicts.csv` | the evaluator | `<subset>/<row>` |
/// | GenAI-Bench `*.votes.csv` | the model | `<subset>/<idx>` |
/// | `AudioJudge` pair CSV | – | `<file>/<item>/<transcript_given>` |
/// | `AudioJudge` chat CSV | – | `<file>/<index>` |
/// | RM-Bench scores, three and three | – | any; by `row` of the whole benchmark's file, `chosen_style` and `rejected_style` in `extra` |
/// | MJ-Bench scores | the metric | `<id>` |
/// | reviews with two scores (Vicuna) | – | `<file>/<question_id>` |
/// | TIFA scores | the metric | by the images of the responses |
///
/// A folder stands for all recordings of one kind in it. A recorded reply goes through the parser;
/// a recorded verdict was read by whoever recorded it.
///
/// What was recorded in one order only is not invented for the other: asked for it, the judge fails
/// with [`ModelErrorKind::NotRecorded`]. Scores hold in both orders. In which order a pair is shown
/// is read from [`PreferencePair::shown_order`].
#[derive(Clone, Debug)]
pub struct Replay {
    path: PathBuf,
    selector: Option<String>,
    kind: &'static str,
    sha256: String,
    index: Index,
    parser: Parser,
}

/// What a recording holds, as it is read.
struct Recording {
    kind: &'static str,
    index: Index,
    /// The tokens of recorded replies.
    answers: Answers,
}

impl Replay {
    /// Reads the recording at `path`, a file or a folder.
    ///
    /// `selector` chooses among several judges in one recording.
    ///
    /// # Errors
    ///
    /// [`Error::Read`], [`Error::NotARecording`] or [`Error::Record`] when it cannot be read;
    /// [`Error::SelectorNeeded`], [`Error::UnknownSelector`] or [`Error::SelectorUnused`] when the
    /// choice of a judge does not fit.
    pub fn open(path: &Path, selector: Option<&str>) -> Result<Self, Error> {
        let files = detect::files(path)?;
        let sha256 = detect::fingerprint(&files);
        let recording = detect::read(files, Asked { path, selector })?;
        Ok(Self {
            path: path.to_owned(),
            selector: selector.map(str::to_owned),
            kind: recording.kind,
            sha256,
            index: recording.index,
            parser: Parser::Strict(StrictParser::new(recording.answers)),
        })
    }

    /// Reads recorded replies with `parser` instead of the strict one for the recording's tokens.
    #[must_use]
    pub fn with_parser(mut self, parser: Parser) -> Self {
        self.parser = parser;
        self
    }

    /// How many verdicts are recorded.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn verdict(&self, pair: &PreferencePair, setting: Setting) -> Result<Verdict, ModelError> {
        two_responses(pair)?;
        let shown = pair.shown_order();
        let recorded = self
            .index
            .find(pair, shown, setting)
            .ok_or_else(|| self.missing(pair, shown))?;
        let verdict = self.recall(&recorded, setting);
        Ok(if recorded.order == shown {
            verdict
        } else {
            verdict.swapped()
        })
    }

    /// The verdict in the order in which it was recorded.
    fn recall(&self, recorded: &Recorded, setting: Setting) -> Verdict {
        let verdict = match &recorded.content {
            Content::Scores(scores) => Verdict::from_scores(*scores),
            Content::Preference(Some(preference)) => self.offered(*preference, setting),
            Content::Preference(None) => {
                let detail = "recorded as not readable".to_owned();
                Verdict::without_preference(Status::Unreadable, Some(detail))
            }
            Content::Reply(reply) => self.read(reply, setting),
        };
        Verdict {
            raw: recorded.raw().map(str::to_owned),
            rationale: recorded.rationale.clone().or(verdict.rationale),
            ..verdict
        }
    }

    /// A recorded preference, held against the answers offered as a reply would be.
    fn offered(&self, preference: Preference, setting: Setting) -> Verdict {
        let strict = matches!(self.parser, Parser::Strict(_));
        if preference == Preference::Tie && strict && !setting.offers_tie() {
            let unread = Unread::NotOffered(preference.name().to_owned());
            return Verdict::without_preference(Status::Unreadable, Some(unread.to_string()));
        }
        Verdict::preferring(preference)
    }

    fn read(&self, reply: &str, setting: Setting) -> Verdict {
        match self.parser.read(reply, setting) {
            Ok(reading) => Verdict {
                rationale: rationale(reply, &reading),
                ..Verdict::preferring(reading.preference)
            },
            Err(unread) => {
                let status = match unread {
                    Unread::UnclosedThinking => Status::Truncated,
                    _ => Status::Unreadable,
                };
                Verdict::without_preference(status, Some(unread.to_string()))
            }
        }
    }

    fn missing(&self, pair: &PreferencePair, shown: Order) -> ModelError {
        ModelError::new(
            ModelErrorKind::NotRecorded,
            format!(
                "`{}` holds nothing for pair `{}` in order `{shown}`",
                self.path.display(),
                pair.id
            ),
        )
    }
}

impl Judge for Replay {
    fn identity(&self) -> Identity {
        let file = self
            .path
            .file_name()
            .unwrap_or(self.path.as_os_str())
            .to_string_lossy();
        let name = match &self.selector {
            Some(selector) => selector.clone(),
            None => format!("replay:{file}"),
        };
        let settings = json!({
            "replay": file,
            "kind": self.kind,
            "judge": self.selector,
            "sha256": self.sha256,
            "parser": self.parser.identity(),
        });
        Identity::new(name, settings)
    }

    fn is_order_sensitive(&self) -> bool {
        self.index.holds_both_orders()
    }

    fn judge<'a>(
        &'a self,
        pair: &'a PreferencePair,
        setting: Setting,
    ) -> BoxFuture<'a, Result<Verdict, ModelError>> {
        Box::pin(async move { self.verdict(pair, setting) })
    }
}

#[cfg(test)]
mod tests;
