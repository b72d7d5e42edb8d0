//! What a policy is asked, and what it answers.

use omnireward_core::{
    ChatMessage, Finish, Order, Preference, PreferencePair, Response, Setting, Task,
};

/// A pair as a policy is asked about it, in one order of its responses.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The pair.
    pub pair: String,
    /// What several pairs share; see [`PreferencePair::cluster`].
    pub cluster: String,
    /// What kind of pair it is.
    pub task: Task,
    /// The order in which its responses are shown.
    pub order: Order,
    /// Its responses, in the order shown.
    pub responses: Vec<Response>,
    /// Which answers are offered.
    pub setting: Setting,
    /// The conversation that asks.
    pub messages: Vec<ChatMessage>,
    /// The right answer, in the order shown.
    pub label: Preference,
}

impl Question {
    /// About `pair`, which is as it is shown, by `messages`. Nothing when its label is none of the answers offered.
    pub fn new(
        pair: &PreferencePair,
        setting: Setting,
        messages: Vec<ChatMessage>,
    ) -> Option<Self> {
        let label = pair.label?;
        if label == Preference::Tie && !setting.offers_tie() {
            return None;
        }
        Some(Self {
            pair: pair.id.clone(),
            cluster: pair.cluster().to_owned(),
            task: pair.task,
            order: pair.shown_order(),
            responses: pair.responses.clone(),
            setting,
            messages,
            label,
        })
    }

    /// Whether `other` is the same pair in the other order.
    pub(crate) fn is_turned(&self, other: &Self) -> bool {
        self.pair == other.pair
            && self.order != other.order
            && self.responses.iter().eq(other.responses.iter().rev())
    }

    /// Whether `other` shows the same responses in the same order, under a criterion that prefers the other one.
    pub(crate) fn is_opposed(&self, other: &Self) -> bool {
        self.cluster == other.cluster
            && self.responses == other.responses
            && self.label != Preference::Tie
            && other.label == self.label.swapped()
    }
}

/// A reply that a policy has written.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// Its tokens, with the one that ends it, unless it was cut.
    pub tokens: Vec<u32>,
    /// Its text, without the token that ends it.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
}

/// A reply, and what was read from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The reply.
    pub rollout: Rollout,
    /// The verdict that can be read from it, in the order shown.
    pub verdict: Option<Preference>,
}
