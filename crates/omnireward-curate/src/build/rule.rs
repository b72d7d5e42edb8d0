//! When a criterion is kept.

use std::{fmt, str::FromStr};

use omnireward_core::{Preference, UnknownName};
use serde::{Deserialize, Serialize};

use super::Vote;

/// How many verifiers have to confirm a label, and what confirming it takes.
///
/// Written `all`, `majority` or `at-least-K`, and after it `,one-order` where a verifier need not
/// say the same in both orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Consensus {
    /// How many of the verifiers.
    pub quorum: Quorum,
    /// What a verifier's confirmation takes.
    pub orders: Orders,
}

/// How many verifiers have to confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quorum {
    /// Every one.
    All,
    /// More than half of those asked, those included that gave no answer.
    Majority,
    /// This many.
    AtLeast(u32),
}

/// What a verifier's confirmation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orders {
    /// The label's side in every order asked.
    Both,
    /// The label's side in one order, and the other side in none.
    One,
}

/// What one verifier says about a label, over all orders it was asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stance {
    /// It confirms the label.
    Confirms,
    /// It prefers the other side, in every order it was asked in.
    Contradicts,
    /// It says that neither is better, or one thing in one order and another in the other.
    Undecided,
    /// A reply is missing or could not be read, and what is there does not confirm the label.
    Unknown,
}

impl Default for Consensus {
    /// Every verifier, in both orders.
    fn default() -> Self {
        Self {
            quorum: Quorum::All,
            orders: Orders::Both,
        }
    }
}

impl Consensus {
    /// How many of `verifiers` have to confirm.
    pub const fn needed(self, verifiers: usize) -> usize {
        match self.quorum {
            Quorum::All => verifiers,
            Quorum::Majority => verifiers / 2 + 1,
            Quorum::AtLeast(count) => count as usize,
        }
    }

    /// Whether the stances of all verifiers keep a criterion.
    pub fn keeps(self, stances: &[Stance]) -> bool {
        let confirming = stances
            .iter()
            .filter(|stance| **stance == Stance::Confirms)
            .count();
        confirming >= self.needed(stances.len())
    }

    /// What a verifier's votes say about `label`.
    pub fn stance<'a>(self, label: Preference, votes: impl Iterator<Item = &'a Vote>) -> Stance {
        let said: Vec<Option<Preference>> = votes.map(|vote| vote.preference).collect();
        let (count, of) = (said.len(), |side| {
            said.iter().filter(|vote| **vote == Some(side)).count()
        });
        let (agreeing, opposing) = (of(label), of(label.swapped()));
        let confirms = match self.orders {
            Orders::Both => agreeing == count,
            Orders::One => opposing == 0,
        };
        if agreeing > 0 && confirms {
            Stance::Confirms
        } else if said.is_empty() || said.contains(&None) {
            Stance::Unknown
        } else if opposing == count {
            Stance::Contradicts
        } else {
            Stance::Undecided
        }
    }

    /// Whether a vote that was answered keeps its verifier from confirming `label`, whatever its
    /// other votes say.
    pub(super) fn rules_out(self, label: Preference, vote: &Vote) -> bool {
        vote.status.is_answered()
            && match self.orders {
                Orders::Both => vote.preference != Some(label),
                Orders::One => vote.preference == Some(label.swapped()),
            }
    }
}

impl fmt::Display for Consensus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quorum {
            Quorum::All => f.write_str("all")?,
            Quorum::Majority => f.write_str("majority")?,
            Quorum::AtLeast(count) => write!(f, "at-least-{count}")?,
        }
        match self.orders {
            Orders::Both => Ok(()),
            Orders::One => f.write_str(",one-order"),
        }
    }
}

impl FromStr for Consensus {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let (quorum, orders) = match name.split_once(',') {
            None | Some((_, "both-orders")) => (name.split(',').next(), Orders::Both),
            Some((quorum, "one-order")) => (Some(quorum), Orders::One),
            Some(_) => (None, Orders::Both),
        };
        let quorum = match quorum {
            Some("all") => Some(Quorum::All),
            Some("majority") => Some(Quorum::Majority),
            Some(other) => other
                .strip_prefix("at-least-")
                .and_then(|count| count.parse().ok())
                .filter(|count| *count > 0)
                .map(Quorum::AtLeast),
            None => None,
        };
        let known = &["all", "majority", "at-least-K", "each with `,one-order`"];
        quorum
            .map(|quorum| Self { quorum, orders })
            .ok_or_else(|| UnknownName::new("consensus rule", name, known))
    }
}

impl From<Consensus> for String {
    fn from(rule: Consensus) -> Self {
        rule.to_string()
    }
}

impl TryFrom<String> for Consensus {
    type Error = UnknownName;

    fn try_from(name: String) -> Result<Self, UnknownName> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Preference::{First, Second, Tie};
    use Stance::{Confirms, Contradicts, Undecided, Unknown};

    fn stance(rule: &str, said: &[Option<Preference>]) -> Stance {
        let votes: Vec<Vote> = said.iter().map(|vote| Vote::example(*vote)).collect();
        let rule: Consensus = rule.parse().unwrap();
        let stance = rule.stance(First, votes.iter());
        // Exchanging the responses must not change what a verifier is taken to say.
        let turned: Vec<Vote> = said
            .iter()
            .map(|vote| Vote::example(vote.map(Preference::swapped)))
            .collect();
        assert_eq!(rule.stance(Second, turned.iter()), stance);
        stance
    }

    #[test]
    fn a_stance_is_what_both_orders_say() {
        for (said, both, one) in [
            (&[Some(First), Some(First)][..], Confirms, Confirms),
            (&[Some(First)], Confirms, Confirms),
            (&[Some(First), Some(Tie)], Undecided, Confirms),
            (&[Some(First), None], Unknown, Confirms),
            (&[Some(First), Some(Second)], Undecided, Undecided),
            (&[Some(Second), Some(Second)], Contradicts, Contradicts),
            (&[Some(Second), None], Unknown, Unknown),
            (&[Some(Tie), Some(Tie)], Undecided, Undecided),
            (&[], Unknown, Unknown),
        ] {
            assert_eq!(stance("all", said), both, "{said:?}");
            assert_eq!(stance("all,one-order", said), one, "{said:?}");
        }
    }

    #[test]
    fn the_quorum_counts_verifiers_that_said_nothing() {
        let stances = [Confirms, Confirms, Unknown, Contradicts];
        for (rule, kept) in [
            ("all", false),
            ("majority", false),
            ("at-least-2", true),
            ("at-least-3", false),
            ("at-least-1,one-order", true),
        ] {
            let rule: Consensus = rule.parse().unwrap();
            assert_eq!(rule.keeps(&stances), kept, "{rule}");
            assert!(rule.keeps(&[Confirms; 4]), "{rule}");
        }
    }

    #[test]
    fn rules_survive_being_written() {
        for name in [
            "all",
            "majority,one-order",
            "at-least-2",
            "at-least-12,one-order",
        ] {
            assert_eq!(name.parse::<Consensus>().unwrap().to_string(), name);
        }
        for name in [
            "",
            "most",
            "at-least-0",
            "at-least-x",
            "all,none",
            ",one-order",
        ] {
            assert!(name.parse::<Consensus>().is_err(), "{name}");
        }
        assert_eq!("all,both-orders".parse(), Ok(Consensus::default()));
    }
}
