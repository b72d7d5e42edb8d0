//! What is wrong with a value, in words that name its key and what was expected.

use serde_path_to_error::{Path, Segment};

/// Serde's names of what it expects, and words for people.
const EXPECTATIONS: [(&str, &str); 12] = [
    ("f64", "a number"),
    ("usize", "a whole number of at least 0"),
    ("u64", "a whole number of at least 0"),
    ("u32", "a whole number of at least 0"),
    ("a boolean", "true or false"),
    ("a sequence", "a list"),
    ("a string", "a string"),
    ("map", "a table"),
    ("struct", "a table"),
    ("tuple of size 2", "a list of two"),
    ("a tuple of size 2", "a list of two"),
    ("fewer elements in array", "fewer"),
];

/// What serde calls what it found, and words for people.
const FINDINGS: [(&str, &str); 7] = [
    ("string ", "the string "),
    ("integer ", "the whole number "),
    ("floating point ", "the number "),
    ("boolean ", ""),
    ("sequence", "a list"),
    ("map", "a table"),
    ("unit variant", "a word"),
];

/// What is wrong with a value of a recipe.
#[derive(Debug)]
pub(super) struct Fault {
    /// Its key, dotted.
    pub(super) field: String,
    /// What is wrong, and what was expected.
    pub(super) reason: String,
}

impl Fault {
    pub(super) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// What serde says of the value at `path`.
    pub(super) fn reading(path: &Path, message: &str) -> Self {
        let field = dotted(path);
        if message.starts_with("unknown field ") {
            return Self::unknown(field, message);
        }
        if let Some(missing) = message.strip_prefix("missing field ") {
            return Self::new(join(&field, missing.trim_matches('`')), "is missing");
        }
        if let Some(message) = message
            .strip_prefix("invalid type: ")
            .or_else(|| message.strip_prefix("invalid value: "))
            && let Some((found, expected)) = message.rsplit_once(", expected ")
        {
            let (found, expected) = (found_words(found), expected_words(expected));
            return Self::new(field, format!("is {found}, expected {expected}"));
        }
        if let Some(message) = message.strip_prefix("invalid length ")
            && let Some((length, expected)) = message.rsplit_once(", expected ")
        {
            let expected = expected_words(expected);
            return Self::new(field, format!("has {length} entries, expected {expected}"));
        }
        if let Some(message) = message.strip_prefix("unknown variant ") {
            return Self::new(field, format!("is {message}"));
        }
        Self::new(field, format!("cannot be read: {message}"))
    }

    /// A key that is not known, with those that it may have been meant to be.
    fn unknown(field: String, message: &str) -> Self {
        let mut names = message.split('`').skip(1).step_by(2);
        let wrong = names.next().unwrap_or_default();
        let known: Vec<_> = names.collect();
        let near: Vec<_> = known
            .iter()
            .copied()
            .filter(|name| is_near(wrong, name))
            .collect();
        let reason = if near.is_empty() {
            format!("is not known, expected one of {}", listed(&known))
        } else {
            format!("is not known; did you mean {}?", listed(&near))
        };
        Self::new(field, reason)
    }
}

/// A path with its places joined by points, as overrides write it.
fn dotted(path: &Path) -> String {
    path.iter()
        .fold(String::new(), |field, segment| match segment {
            Segment::Seq { index } => join(&field, &index.to_string()),
            Segment::Map { key } => join(&field, key),
            Segment::Enum { .. } | Segment::Unknown => field,
        })
}

/// A key below another.
pub(super) fn join(field: &str, key: &str) -> String {
    if field.is_empty() {
        key.to_owned()
    } else {
        format!("{field}.{key}")
    }
}

fn listed(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

fn expected_words(expected: &str) -> &str {
    EXPECTATIONS
        .iter()
        .find(|(name, _)| {
            expected == *name || (*name == "struct" && expected.starts_with("struct "))
        })
        .map_or(expected, |(_, words)| words)
}

/// `string "fast"` is `the string "fast"`.
fn found_words(found: &str) -> String {
    FINDINGS
        .iter()
        .find_map(|(name, words)| {
            found
                .strip_prefix(name)
                .map(|rest| format!("{words}{rest}"))
        })
        .unwrap_or_else(|| found.to_owned())
}

/// Whether somebody who writes `wrong` may have meant `name`: few of their letters differ, or one is the beginning or
/// the end of the other.
fn is_near(wrong: &str, name: &str) -> bool {
    let contains = |long: &str, short: &str| {
        short.len() >= 3 && (long.starts_with(short) || long.ends_with(short))
    };
    contains(name, wrong) || contains(wrong, name) || edits(wrong, name) <= few(wrong, name)
}

/// Half of the shorter word at most, and a third of the longer one where that is more than two.
fn few(one: &str, other: &str) -> usize {
    let (one, other) = (one.chars().count(), other.chars().count());
    (one.min(other) / 2).min((one.max(other) / 3).max(2))
}

/// The fewest letters to insert, delete or replace to come from one word to the other (Levenshtein 1966).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (from, to, count) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("epoch", "epochs", 1),
            ("seed", "speed", 1),
            ("lr", "learning_rate", 11),
        ] {
            assert_eq!(edits(from, to), count, "{from} {to}");
            assert_eq!(edits(to, from), count, "{to} {from}");
        }
    }

    #[test]
    fn near_names_are_few() {
        assert!(is_near("learning_rte", "learning_rate"));
        assert!(is_near("rate", "learning_rate"));
        assert!(is_near("warmup", "warmup_ratio"));
        assert!(!is_near("warmup", "weight_decay"));
        assert!(is_near("paht", "path"));
        assert!(!is_near("lr", "lora"));
    }
}
