use std::{fmt, ops::Deref};

use serde::{Deserialize, Serialize};

use crate::{InvalidPair, MediaRef, Modality, Preference, Task};

/// One element of a prompt or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Words.
    Text(String),
    /// A medium.
    Media(MediaRef),
}

impl Part {
    /// The words, if this part is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Media(_) => None,
        }
    }

    /// The medium, if this part is one.
    pub fn as_media(&self) -> Option<&MediaRef> {
        match self {
            Self::Text(_) => None,
            Self::Media(media) => Some(media),
        }
    }
}

impl From<&str> for Part {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<MediaRef> for Part {
    fn from(media: MediaRef) -> Self {
        Self::Media(media)
    }
}

/// The text of a list of parts, joined by newlines; media are left out.
pub fn joined_text(parts: &[Part]) -> String {
    let texts: Vec<&str> = parts.iter().filter_map(Part::as_text).collect();
    texts.join("\n")
}

/// What "better" means for one pair, in words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Criterion(String);

impl Criterion {
    /// A criterion from its wording; `None` when the wording is blank.
    pub fn new(wording: impl Into<String>) -> Option<Self> {
        let wording = wording.into();
        (!wording.trim().is_empty()).then_some(Self(wording))
    }
}

impl Deref for Criterion {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One answer to a prompt, and the model it came from where that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// What the response is made of.
    pub parts: Vec<Part>,
    /// The model that wrote or generated it.
    pub model: Option<String>,
}

impl Response {
    /// A response of words alone.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            parts: vec![Part::Text(text.into())],
            model: None,
        }
    }

    /// A response that is one medium.
    pub fn media(media: MediaRef) -> Self {
        Self {
            parts: vec![Part::Media(media)],
            model: None,
        }
    }

    /// The same response, naming the model that made it.
    #[must_use]
    pub fn by(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }
}

/// A prompt, two or more responses, a criterion and a label: the unit of judging and training.
///
/// The label holds only under the criterion: the same prompt and responses may stand in a dataset
/// several times, with criteria that prefer different sides. Such pairs share a [`group`].
///
/// [`group`]: PreferencePair::group
#[derive(Clone, Debug, PartialEq)]
pub struct PreferencePair {
    /// Identifies the pair within its dataset.
    pub id: String,
    /// Which of the nine mappings the pair belongs to.
    pub task: Task,
    /// The instruction, with its media.
    pub prompt: Vec<Part>,
    /// What "better" means here; `None` for general preference.
    pub criterion: Option<Criterion>,
    /// The candidates, at least two.
    pub responses: Vec<Response>,
    /// Which of two responses is preferred. `None` when unlabelled or when there are more than
    /// two; see [`ranking`](Self::ranking).
    pub label: Option<Preference>,
    /// The rank of each of more than two responses: 1 is best, equal ranks are ties.
    pub ranking: Option<Vec<u32>>,
    /// The dataset or subset the pair came from.
    pub source: Option<String>,
    /// The underlying item that several pairs share. Intervals are clustered by it.
    pub group: Option<String>,
    /// Every other field of the record it was read from, kept as it was.
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl PreferencePair {
    /// An unlabelled pair without a criterion, from a text prompt.
    pub fn new(
        id: impl Into<String>,
        task: Task,
        prompt: impl Into<String>,
        responses: impl IntoIterator<Item = Response>,
    ) -> Self {
        Self {
            id: id.into(),
            task,
            prompt: vec![Part::Text(prompt.into())],
            criterion: None,
            responses: responses.into_iter().collect(),
            label: None,
            ranking: None,
            source: None,
            group: None,
            extra: serde_json::Map::new(),
        }
    }

    /// The same pair under a criterion; a blank wording leaves it without one.
    #[must_use]
    pub fn with_criterion(mut self, wording: impl Into<String>) -> Self {
        self.criterion = Criterion::new(wording);
        self
    }

    /// The same pair with a label.
    #[must_use]
    pub fn with_label(mut self, label: Preference) -> Self {
        self.label = Some(label);
        self
    }

    /// The media of the prompt and then of the responses, in their order.
    pub fn media(&self) -> impl Iterator<Item = &MediaRef> {
        let responses = self.responses.iter().flat_map(|response| &response.parts);
        self.prompt
            .iter()
            .chain(responses)
            .filter_map(Part::as_media)
    }

    /// The key that intervals are clustered by: the group, or the pair's own id.
    pub fn cluster(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.id)
    }

    /// The pair with its two responses exchanged and the label turned to match.
    ///
    /// Longer lists are reversed, with their ranking.
    #[must_use]
    pub fn swapped(&self) -> Self {
        let mut pair = self.clone();
        pair.responses.reverse();
        pair.label = pair.label.map(Preference::swapped);
        if let Some(ranking) = &mut pair.ranking {
            ranking.reverse();
        }
        pair
    }

    /// Splits a list of more than two responses into its two-response comparisons, in the order
    /// (0,1), (0,2), …, (1,2), …. A lower rank is preferred and equal ranks are a tie. All share
    /// the list's group, and the ids are `<id>#<i>-<j>`. A pair of two is returned as it is.
    pub fn comparisons(&self) -> Vec<Self> {
        if self.responses.len() <= 2 {
            return vec![self.clone()];
        }
        let indices = 0..self.responses.len();
        indices
            .clone()
            .flat_map(|i| indices.clone().skip(i + 1).map(move |j| (i, j)))
            .map(|(i, j)| Self {
                id: format!("{}#{i}-{j}", self.id),
                responses: vec![self.responses[i].clone(), self.responses[j].clone()],
                label: self
                    .ranking
                    .as_ref()
                    .map(|ranks| Preference::from_lower(ranks[i], ranks[j])),
                ranking: None,
                group: Some(self.cluster().to_owned()),
                ..self.clone()
            })
            .collect()
    }

    /// Checks what the type alone does not enforce.
    ///
    /// # Errors
    ///
    /// [`InvalidPair`] when there are fewer than two responses, when a response or the prompt is
    /// empty, when a label or ranking does not fit the number of responses, or when a part has a
    /// modality that the task does not allow in that place.
    pub fn validate(&self) -> Result<(), InvalidPair> {
        let invalid = |reason: String| {
            Err(InvalidPair {
                id: self.id.clone(),
                reason,
            })
        };
        if self.responses.len() < 2 {
            return invalid(format!(
                "needs at least two responses, has {}",
                self.responses.len()
            ));
        }
        if self.prompt.is_empty() {
            return invalid("the prompt has no parts".to_owned());
        }
        for (index, response) in self.responses.iter().enumerate() {
            if response.parts.is_empty() {
                return invalid(format!("response {} has no parts", index + 1));
            }
            let expected = self.task.response_modality();
            let found = |modality| {
                response
                    .parts
                    .iter()
                    .filter_map(Part::as_media)
                    .any(|media| media.modality == modality)
            };
            let suitable = match expected {
                Modality::Text => response.parts.iter().any(|part| part.as_text().is_some()),
                Modality::Mesh => found(Modality::Mesh) || found(Modality::Image),
                // A video may also be given as the frames taken from it.
                Modality::Video => found(Modality::Video) || found(Modality::Image),
                other => found(other),
            };
            if !suitable {
                return invalid(format!(
                    "response {} holds no {expected}, which {} needs",
                    index + 1,
                    self.task
                ));
            }
        }
        match (&self.label, &self.ranking) {
            (Some(_), _) if self.responses.len() > 2 => {
                invalid("a label needs exactly two responses; use `ranking`".to_owned())
            }
            (_, Some(ranks)) if ranks.len() != self.responses.len() => invalid(format!(
                "`ranking` has {} entries for {} responses",
                ranks.len(),
                self.responses.len()
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listwise(ranks: &[u32]) -> PreferencePair {
        let responses = ranks.iter().map(|rank| Response::text(format!("r{rank}")));
        let mut pair = PreferencePair::new("list", Task::T2T, "p", responses);
        pair.ranking = Some(ranks.to_vec());
        pair
    }

    #[test]
    fn comparisons_cover_each_pair_once_with_ties() {
        let pairs = listwise(&[2, 1, 2]).comparisons();
        let labels: Vec<_> = pairs.iter().map(|p| (p.id.as_str(), p.label)).collect();
        assert_eq!(
            labels,
            [
                ("list#0-1", Some(Preference::Second)),
                ("list#0-2", Some(Preference::Tie)),
                ("list#1-2", Some(Preference::First)),
            ]
        );
        assert!(
            pairs
                .iter()
                .all(|p| p.cluster() == "list" && p.ranking.is_none())
        );
    }

    #[test]
    fn swapping_twice_is_the_identity() {
        let pair = PreferencePair::new(
            "a",
            Task::T2T,
            "p",
            [Response::text("x"), Response::text("y")],
        )
        .with_label(Preference::First);
        assert_eq!(pair.swapped().label, Some(Preference::Second));
        assert_eq!(pair.swapped().swapped(), pair);
        let list = listwise(&[3, 1, 2]);
        assert_eq!(list.swapped().ranking, Some(vec![2, 1, 3]));
        assert_eq!(list.swapped().swapped(), list);
    }

    #[test]
    fn validation_names_what_is_wrong() {
        let one = PreferencePair::new("a", Task::T2T, "p", [Response::text("x")]);
        assert!(
            one.validate()
                .unwrap_err()
                .to_string()
                .contains("two responses")
        );
        let wrong = PreferencePair::new(
            "a",
            Task::T2I,
            "p",
            [Response::text("x"), Response::text("y")],
        );
        let message = wrong.validate().unwrap_err().to_string();
        assert!(message.contains("response 1 holds no image"), "{message}");
        let mut list = listwise(&[1, 2, 3]);
        list.ranking = Some(vec![1]);
        assert!(list.validate().is_err());
    }
}
