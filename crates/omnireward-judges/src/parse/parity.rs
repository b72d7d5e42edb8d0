use omnireward_core::Preference;

use super::{Reading, Unread};

/// Reads a reply as the reference evaluation does, for numbers that can be laid beside published
/// ones.
///
/// It searches the whole reply for exact strings. `[[A]]` and `[[B]]` together, or `\boxed{A}` and
/// `\boxed{B}` together, cannot be read; else the first of `[[A]]`, `[[B]]`, `\boxed{A}`,
/// `\boxed{B}`, `[[C]]`, `\boxed{C}` that occurs anywhere is the answer. A tie counts as read even
/// where none was offered, and thinking counts as part of the reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParityParser;

const PRIORITY: [(&str, Preference); 6] = [
    ("[[A]]", Preference::First),
    ("[[B]]", Preference::Second),
    ("\\boxed{A}", Preference::First),
    ("\\boxed{B}", Preference::Second),
    ("[[C]]", Preference::Tie),
    ("\\boxed{C}", Preference::Tie),
];

impl ParityParser {
    /// Reads `reply`.
    ///
    /// # Errors
    ///
    /// [`Unread::Contradictory`], [`Unread::NoVerdict`] or [`Unread::Empty`].
    pub fn read(self, reply: &str) -> Result<Reading, Unread> {
        for [a, b] in [["[[A]]", "[[B]]"], ["\\boxed{A}", "\\boxed{B}"]] {
            if reply.contains(a) && reply.contains(b) {
                return Err(Unread::Contradictory(vec![a.to_owned(), b.to_owned()]));
            }
        }
        let read = PRIORITY.iter().find_map(|(token, preference)| {
            let start = reply.find(token)?;
            Some(Reading {
                preference: *preference,
                token: start..start + token.len(),
            })
        });
        read.ok_or(if reply.trim().is_empty() {
            Unread::Empty
        } else {
            Unread::NoVerdict
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Preference::{First, Second, Tie};

    #[test]
    fn the_reference_rules_hold() {
        let cases = [
            ("[[A]]", Some(First)),
            ("I think [[B]].", Some(Second)),
            ("[[A]] … [[B]]", None),
            ("\\boxed{A} \\boxed{B}", None),
            ("[[A]] with \\boxed{B}", Some(First)),
            ("\\boxed{A} with [[B]]", Some(Second)),
            ("[[C]] and then [[A]]", Some(First)),
            ("[[C]]", Some(Tie)),
            ("\\boxed{C} \\boxed{B}", Some(Second)),
            ("[[RESPONSE A]]", None),
            ("[[a]]", None),
            ("\\boxed{A} \\boxed{B} [[A]]", None),
            ("<think>[[A]]</think> [[A]]", Some(First)),
            ("<think>[[B]]", Some(Second)),
            ("", None),
        ];
        for (reply, expected) in cases {
            assert_eq!(
                ParityParser.read(reply).ok().map(|r| r.preference),
                expected,
                "{reply}"
            );
        }
    }
}
