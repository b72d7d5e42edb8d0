use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{BoxFuture, Identity, ModelError, PreferencePair, Setting, Task, UnknownName};

/// Which of two responses is preferred. Labels and predictions use the same type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preference {
    /// The first response.
    First,
    /// The second response.
    Second,
    /// Neither.
    Tie,
}

impl Preference {
    /// All three.
    pub const ALL: [Self; 3] = [Self::First, Self::Second, Self::Tie];

    /// The preference between the same responses in the other order.
    #[must_use]
    pub const fn swapped(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
            Self::Tie => Self::Tie,
        }
    }

    /// Prefers the side with the lower value, as for ranks.
    pub fn from_lower<T: PartialOrd>(first: T, second: T) -> Self {
        if first < second {
            Self::First
        } else if second < first {
            Self::Second
        } else {
            Self::Tie
        }
    }

    /// Prefers the side with the higher value, as for ratings and rewards.
    pub fn from_higher<T: PartialOrd>(first: T, second: T) -> Self {
        Self::from_lower(second, first)
    }

    /// `first`, `second` or `tie`, as in our pair files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
            Self::Tie => "tie",
        }
    }
}

impl fmt::Display for Preference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Preference {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|preference| preference.name() == name)
            .ok_or_else(|| UnknownName::new("preference", name, &Self::ALL.map(Self::name)))
    }
}

/// How asking for a verdict ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// A preference was given.
    Readable,
    /// A whole reply came, but no single offered answer could be read from it.
    Unreadable,
    /// The model or its provider declined.
    Refused,
    /// The reply was cut at the token limit before a verdict.
    Truncated,
    /// A medium of the pair was missing or could not be decoded.
    MediaError,
    /// No usable reply came from the service, after retries.
    TransportError,
    /// The service says that the request itself is wrong.
    Rejected,
    /// A recording holds nothing on this pair.
    NotRecorded,
}

impl Status {
    /// All eight.
    pub const ALL: [Self; 8] = [
        Self::Readable,
        Self::Unreadable,
        Self::Refused,
        Self::Truncated,
        Self::MediaError,
        Self::TransportError,
        Self::Rejected,
        Self::NotRecorded,
    ];

    /// The name used in records and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Readable => "readable",
            Self::Unreadable => "unreadable",
            Self::Refused => "refused",
            Self::Truncated => "truncated",
            Self::MediaError => "media-error",
            Self::TransportError => "transport-error",
            Self::Rejected => "rejected",
            Self::NotRecorded => "not-recorded",
        }
    }

    /// Whether the judge answered, readably or not. An unanswered pair is asked again when a run
    /// is resumed.
    pub const fn is_answered(self) -> bool {
        match self {
            Self::Readable | Self::Unreadable | Self::Refused | Self::Truncated => true,
            Self::MediaError | Self::TransportError | Self::Rejected | Self::NotRecorded => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Status {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|status| status.name() == name)
            .ok_or_else(|| UnknownName::new("status", name, &Self::ALL.map(Self::name)))
    }
}

/// What was spent to obtain a reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Replies received, without retries that brought none.
    pub requests: u32,
    /// Tokens read by the model, as it reported them.
    pub prompt_tokens: u64,
    /// Tokens written by the model, as it reported them.
    pub completion_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
    }
}

/// What a judge says about a pair.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// How asking ended. [`preference`](Self::preference) is `Some` exactly when this is
    /// [`Status::Readable`].
    pub status: Status,
    /// The preferred response.
    pub preference: Option<Preference>,
    /// One number for each response, higher is better, from judges that have numbers.
    pub scores: Option<Vec<f64>>,
    /// The reasons given.
    pub rationale: Option<String>,
    /// The reply as it was received.
    pub raw: Option<String>,
    /// What it cost.
    pub usage: Usage,
    /// A sentence for people: why there is no preference, what a vote looked like, or what of a pair the judge did not
    /// see.
    pub detail: Option<String>,
}

impl Verdict {
    /// A readable verdict with nothing else known.
    pub fn preferring(preference: Preference) -> Self {
        Self {
            preference: Some(preference),
            ..Self::without_preference(Status::Readable, None)
        }
    }

    /// A verdict from one score for each of two responses: the higher is preferred, equality is a
    /// tie.
    pub fn from_scores(scores: [f64; 2]) -> Self {
        Self {
            scores: Some(scores.to_vec()),
            ..Self::preferring(Preference::from_higher(scores[0], scores[1]))
        }
    }

    /// A verdict without a preference, and why.
    pub fn without_preference(status: Status, detail: Option<String>) -> Self {
        Self {
            status,
            preference: None,
            scores: None,
            rationale: None,
            raw: None,
            usage: Usage::default(),
            detail,
        }
    }

    /// The verdict on the same responses in the other order.
    #[must_use]
    pub fn swapped(mut self) -> Self {
        self.preference = self.preference.map(Preference::swapped);
        if let Some(scores) = &mut self.scores {
            scores.reverse();
        }
        self
    }
}

/// Gives a pair of two responses a verdict.
pub trait Judge: Send + Sync {
    /// Everything that influences this judge's verdicts.
    fn identity(&self) -> Identity;

    /// Whether the judge can be asked about a task at all; others are left out of a run and listed
    /// as not supported.
    fn supports(&self, task: Task) -> bool {
        let _ = task;
        true
    }

    /// Whether the verdict could depend on the order of the responses. Scoring judges say no, so
    /// that nothing is computed twice.
    fn is_order_sensitive(&self) -> bool {
        true
    }

    /// The same for one task, for judges that are sensitive in some tasks alone.
    fn is_order_sensitive_in(&self, task: Task) -> bool {
        let _ = task;
        self.is_order_sensitive()
    }

    /// Judges `pair`, with or without a tie among the answers offered.
    ///
    /// An unreadable reply is a verdict; an `Err` means that no reply was had. Fails with
    /// [`ModelErrorKind::Unsupported`](crate::ModelErrorKind::Unsupported) when the pair does not
    /// have exactly two responses.
    fn judge<'a>(
        &'a self,
        pair: &'a PreferencePair,
        setting: Setting,
    ) -> BoxFuture<'a, Result<Verdict, ModelError>>;
}

/// Gives every response of a pair a number; higher is better.
pub trait RewardModel: Send + Sync {
    /// Everything that influences this model's rewards.
    fn identity(&self) -> Identity;

    /// Whether the model can score a task's responses at all.
    fn supports(&self, task: Task) -> bool {
        let _ = task;
        true
    }

    /// Whether a response's reward could depend on which of the others come before it. It should
    /// not; a model that repeats a mistake of its original says so.
    fn is_order_sensitive(&self, task: Task) -> bool {
        let _ = task;
        false
    }

    /// Scores a batch: for each pair, one reward for each response in order. A pair's rewards do
    /// not depend on what else is in the batch.
    ///
    /// # Errors
    ///
    /// When a medium cannot be read, the task is not supported, or the model fails; the whole
    /// batch fails with the first.
    fn score(&self, pairs: &[PreferencePair]) -> Result<Vec<Rewards>, ModelError>;
}

/// What a model says about a pair's responses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rewards {
    /// One number for each response, higher is better.
    pub values: Vec<f64>,
    /// A sentence for people, where the model did not see all of the pair.
    pub detail: Option<String>,
}

impl From<Vec<f64>> for Rewards {
    fn from(values: Vec<f64>) -> Self {
        Self {
            values,
            detail: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapping_a_verdict_turns_preference_and_scores() {
        let verdict = Verdict::from_scores([1.0, 3.0]);
        assert_eq!(verdict.preference, Some(Preference::Second));
        let swapped = verdict.clone().swapped();
        assert_eq!(swapped.preference, Some(Preference::First));
        assert_eq!(swapped.scores, Some(vec![3.0, 1.0]));
        assert_eq!(swapped.swapped(), verdict);
    }

    #[test]
    fn equal_values_are_a_tie() {
        assert_eq!(Preference::from_higher(2, 2), Preference::Tie);
        assert_eq!(Preference::from_lower(1, 2), Preference::First);
        assert_eq!(Preference::from_higher(1, 2), Preference::Second);
    }
}
