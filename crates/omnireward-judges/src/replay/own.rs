use omnireward_core::{Order, Preference, Setting};
use serde::{Deserialize, Deserializer};

use super::{
    Recording,
    detect::{Asked, Source},
    index::{Content, Index, Recorded},
    json::for_each_line,
};
use crate::{Answers, Error, error::RecordError};

/// The fields of which every line has one.
pub(super) const CONTENT: [&str; 3] = ["reply", "preference", "scores"];

/// One line of our own recordings. Everything is in the order in which it was shown.
#[derive(Deserialize)]
struct Line {
    id: String,
    order: Option<String>,
    setting: Option<Setting>,
    reply: Option<String>,
    #[serde(default)]
    preference: Given,
    scores: Option<[f64; 2]>,
    rationale: Option<String>,
}

/// A preference that is `null`, which could not be read, is not one that is not there.
#[derive(Default)]
enum Given {
    #[default]
    Absent,
    Present(Option<Preference>),
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::Present)
    }
}

/// Reads JSON lines.
pub(super) fn read(files: &[Source], asked: Asked<'_>) -> Result<Recording, Error> {
    asked.choose_nothing()?;
    let mut index = Index::default();
    for file in files {
        for_each_line(file, |line: Line| {
            let (id, recorded) = line.recorded()?;
            index.add(Some(id), recorded);
            Ok(())
        })?;
    }
    Ok(Recording {
        kind: "omnireward",
        index,
        answers: Answers::letters(),
    })
}

impl Line {
    fn recorded(self) -> Result<(String, Recorded), RecordError> {
        let content = match (self.scores, self.preference, &self.reply) {
            (Some(scores), ..) => Content::Scores(finite(scores)?),
            (None, Given::Present(preference), _) => Content::Preference(preference),
            (None, Given::Absent, Some(reply)) => Content::Reply(reply.clone()),
            (None, Given::Absent, None) => return Err(RecordError::Missing(CONTENT.join("`, `"))),
        };
        let mut recorded = Recorded::new(content)
            .with_rationale(self.rationale)
            .with_raw(self.reply);
        match self.order.as_deref() {
            None | Some("as-is") => {}
            Some("swapped") => recorded = recorded.in_order(Order::Swapped),
            Some("any") => recorded.any_order = true,
            Some(other) => {
                return Err(RecordError::field(
                    "order",
                    other,
                    "`as-is`, `swapped` or `any`",
                ));
            }
        }
        recorded.setting = self.setting;
        Ok((self.id, recorded))
    }
}

/// Refuses scores that cannot be compared.
pub(super) fn finite(scores: [f64; 2]) -> Result<[f64; 2], RecordError> {
    match scores.into_iter().find(|score| !score.is_finite()) {
        None => Ok(scores),
        Some(score) => Err(RecordError::field("scores", score, "finite numbers")),
    }
}
