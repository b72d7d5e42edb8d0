use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{MediaSource, Part, PreferencePair, Response, UnknownName};

/// In which order two responses are shown to a judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// As the dataset has them.
    AsIs,
    /// Exchanged; the verdict is turned back before it is recorded.
    Swapped,
}

impl Order {
    /// `as-is` or `swapped`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsIs => "as-is",
            Self::Swapped => "swapped",
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The field of [`PreferencePair::extra`] that marks a pair shown in the other order.
const SHOWN_ORDER: &str = "shown_order";

impl PreferencePair {
    /// The pair as it is shown in the other order, marked as such: a recording has to know which
    /// order a reply belongs to. Turned twice, it is shown as the dataset has it again.
    #[must_use]
    pub fn shown_swapped(&self) -> Self {
        let order = match self.shown_order() {
            Order::AsIs => Order::Swapped,
            Order::Swapped => Order::AsIs,
        };
        let mut shown = self.swapped();
        shown
            .extra
            .insert(SHOWN_ORDER.to_owned(), order.name().into());
        shown
    }

    /// The order in which this pair is shown, as [`shown_swapped`](Self::shown_swapped) marked it.
    pub fn shown_order(&self) -> Order {
        match self.extra.get(SHOWN_ORDER) {
            Some(mark) if mark == Order::Swapped.name() => Order::Swapped,
            _ => Order::AsIs,
        }
    }
}

/// Which orders a run asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderPolicy {
    /// Only the dataset's order, as the reference evaluation does.
    AsIs,
    /// Each pair in both orders, so that position bias can be measured.
    #[default]
    Both,
    /// One order for each pair, chosen by a hash of prompt and responses (media by their bytes, or
    /// by name where they are files): it does not depend on which side the dataset put first, and
    /// is balanced over a dataset.
    Seeded,
}

impl OrderPolicy {
    /// The orders in which to ask about `pair`.
    pub fn orders(self, pair: &PreferencePair, seed: u64) -> Vec<Order> {
        match self {
            Self::AsIs => vec![Order::AsIs],
            Self::Both => vec![Order::AsIs, Order::Swapped],
            Self::Seeded => vec![seeded(pair, seed)],
        }
    }
}

impl fmt::Display for OrderPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AsIs => "as-is",
            Self::Both => "both",
            Self::Seeded => "seeded",
        })
    }
}

impl FromStr for OrderPolicy {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "as-is" => Ok(Self::AsIs),
            "both" => Ok(Self::Both),
            "seeded" => Ok(Self::Seeded),
            _ => Err(UnknownName::new(
                "order",
                name,
                &["as-is", "both", "seeded"],
            )),
        }
    }
}

/// Shows the response with the smaller seeded hash first.
fn seeded(pair: &PreferencePair, seed: u64) -> Order {
    let key = |response: &Response| {
        let mut hash = Sha256::new();
        hash.update(seed.to_le_bytes());
        for part in pair.prompt.iter().chain(&response.parts) {
            match part {
                Part::Text(text) => hash.update(text.as_bytes()),
                Part::Media(media) => match &media.source {
                    MediaSource::Bytes { bytes, .. } => hash.update(bytes),
                    _ => hash.update(media.name().as_bytes()),
                },
            }
            hash.update([0]);
        }
        hash.finalize()
    };
    match pair.responses.as_slice() {
        [first, second] if key(second) < key(first) => Order::Swapped,
        _ => Order::AsIs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Task;

    fn pair(first: &str, second: &str) -> PreferencePair {
        PreferencePair::new(
            "x",
            Task::T2T,
            "p",
            [Response::text(first), Response::text(second)],
        )
    }

    #[test]
    fn seeded_order_ignores_the_datasets_order() {
        for i in 0..50 {
            let pair = pair(&format!("a{i}"), &format!("b{i}"));
            assert_ne!(seeded(&pair, 1), seeded(&pair.swapped(), 1));
        }
    }

    #[test]
    fn nameless_media_are_told_apart_by_their_bytes() {
        let image = |content: &[u8]| {
            Response::media(crate::MediaRef {
                modality: crate::Modality::Image,
                source: MediaSource::Bytes {
                    bytes: content.into(),
                    name: None,
                },
            })
        };
        for i in 0..20 {
            let pair = PreferencePair::new("x", Task::T2I, "p", [image(&[i]), image(&[i, i])]);
            assert_ne!(seeded(&pair, 1), seeded(&pair.swapped(), 1));
        }
    }

    #[test]
    fn a_shown_pair_knows_its_order() {
        let pair = pair("x", "y");
        let shown = pair.shown_swapped();
        assert_eq!(
            (pair.shown_order(), shown.shown_order()),
            (Order::AsIs, Order::Swapped)
        );
        assert_eq!(shown.responses, pair.swapped().responses);
        let back = shown.shown_swapped();
        assert_eq!(
            (back.shown_order(), back.responses),
            (Order::AsIs, pair.responses)
        );
    }

    #[test]
    fn seeded_order_is_balanced() {
        let swapped = (0..1000)
            .filter(|i| seeded(&pair(&format!("a{i}"), &format!("b{i}")), 3) == Order::Swapped)
            .count();
        assert!((430..570).contains(&swapped), "{swapped}");
    }
}
