//! Reads a writer's reply, strictly.

use omnireward_core::{Order, Preference};
use serde::Deserialize;

/// The most criteria that are asked for: one for each side.
const MOST: usize = 2;

/// Why a writer's reply holds no criteria that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unread {
    /// It does not end with a block of JSON.
    #[error("the reply does not end with a block of JSON")]
    NoBlock,
    /// The block is not of the form that was asked for.
    #[error("the block is not of the form asked for: {0}")]
    Form(String),
    /// The block holds more criteria than were asked for.
    #[error("the block holds {0} criteria, at most {MOST} were asked for")]
    TooMany(usize),
}

/// A criterion as it was written, with the label that follows from it in the dataset's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) criterion: String,
    pub(super) label: Preference,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    criteria: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    criterion: String,
    better: Side,
}

#[derive(Clone, Copy, Deserialize)]
enum Side {
    A,
    B,
}

/// The criteria in a reply, none or more. `shown` is the order in which the writer saw the pair.
///
/// What comes before the block is the writer's thinking and is not read. The block is the reply's
/// last fenced one, or the whole reply where that is an object.
pub(super) fn read(reply: &str, shown: Order) -> Result<Vec<Written>, Unread> {
    let block = block(reply).ok_or(Unread::NoBlock)?;
    let block: Block =
        serde_json::from_str(block).map_err(|error| Unread::Form(error.to_string()))?;
    if block.criteria.len() > MOST {
        return Err(Unread::TooMany(block.criteria.len()));
    }
    let written = block.criteria.into_iter().map(|entry| Written {
        criterion: entry.criterion.trim().to_owned(),
        label: label(entry.better, shown),
    });
    Ok(written.collect())
}

const fn label(better: Side, shown: Order) -> Preference {
    match (better, shown) {
        (Side::A, Order::AsIs) | (Side::B, Order::Swapped) => Preference::First,
        (Side::B, Order::AsIs) | (Side::A, Order::Swapped) => Preference::Second,
    }
}

fn block(reply: &str) -> Option<&str> {
    let reply = reply.trim();
    if reply.starts_with('{') {
        return Some(reply);
    }
    let inside = reply.strip_suffix("```")?;
    let opening = inside.rfind("```")?;
    let content = &inside[opening + 3..];
    Some(content.strip_prefix("json").unwrap_or(content).trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Preference::{First, Second};

    const TWO: &str = r#"{"criteria": [{"criterion": "Short.", "better": "A"}, {"criterion": " Warm. ", "better": "B"}]}"#;

    fn written(criterion: &str, label: Preference) -> Written {
        Written {
            criterion: criterion.to_owned(),
            label,
        }
    }

    #[test]
    fn the_last_block_counts_and_thinking_does_not() {
        let fenced = format!("Say ```json\n{{}}\n``` or:\n```json\n{TWO}\n```\n");
        for reply in [TWO, &fenced, &format!("<think>{{</think>\n```\n{TWO}```")] {
            let expected = vec![written("Short.", First), written("Warm.", Second)];
            assert_eq!(read(reply, Order::AsIs), Ok(expected), "{reply}");
        }
    }

    #[test]
    fn labels_are_turned_back_into_the_datasets_order() {
        let expected = vec![written("Short.", Second), written("Warm.", First)];
        assert_eq!(read(TWO, Order::Swapped), Ok(expected));
    }

    #[test]
    fn no_criterion_is_an_answer() {
        assert_eq!(read(r#"{"criteria": []}"#, Order::AsIs), Ok(vec![]));
    }

    #[test]
    fn anything_else_is_not_guessed_at() {
        let three = TWO.replace("[{", r#"[{"criterion": "x", "better": "A"}, {"#);
        assert_eq!(read(&three, Order::AsIs), Err(Unread::TooMany(3)));
        for reply in ["", "A is better.", "```json\n{}\n``` and more"] {
            assert_eq!(read(reply, Order::AsIs), Err(Unread::NoBlock), "{reply}");
        }
        for reply in [
            "{}",
            r#"{"criteria": [{"criterion": "x", "better": "C"}]}"#,
            r#"{"criteria": [{"criterion": "x"}]}"#,
            r#"{"criteria": [], "note": "none"}"#,
            r#"{"criteria": [{"criterion": "x", "better": "A", "sure": true}]}"#,
        ] {
            let form = matches!(read(reply, Order::AsIs), Err(Unread::Form(_)));
            assert!(form, "{reply}");
        }
    }
}
