//! What a label file looks like, from its first record or its schema: enough to recognise a
//! format, and never the whole file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{entries, parquet_rows};
use crate::Error;

/// What a field of the first record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Null,
    /// A string.
    Text,
    /// A number or a truth value.
    Scalar,
    /// A list of strings.
    Texts,
    /// A list of objects.
    Objects,
    /// Another list, or an empty one.
    List,
    /// An object.
    Object,
    /// Bytes of a medium, or a list of them.
    Media,
}

impl Kind {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) | Value::Number(_) => Self::Scalar,
            Value::String(_) => Self::Text,
            Value::Object(_) => Self::Object,
            Value::Array(items) => match items.first() {
                Some(Value::String(_)) => Self::Texts,
                Some(Value::Object(_)) => Self::Objects,
                _ => Self::List,
            },
        }
    }
}

/// The fields of a file's records, judging by the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sketch {
    fields: BTreeMap<String, Kind>,
    nested: Option<BTreeMap<String, Kind>>,
}

impl Sketch {
    /// The sketch of a file; `None` when it holds no record.
    ///
    /// # Errors
    ///
    /// When its first record or its schema cannot be read.
    pub(crate) fn of(file: &Path) -> Result<Option<Self>, Error> {
        let of_table = |fields| Self {
            fields,
            nested: None,
        };
        if entries::is_parquet(file) {
            return parquet_rows::kinds(file).map(of_table).map(Some);
        }
        if entries::is_csv(file) {
            let headings = entries::csv_headings(file)?;
            let kinds = headings.into_iter().map(|name| (name, Kind::Text));
            return Ok(Some(of_table(kinds.collect())));
        }
        let first = entries::first_record(file)?;
        Ok(first.as_ref().map(Self::of_record))
    }

    pub(crate) fn of_record(record: &Map<String, Value>) -> Self {
        let kinds = |fields: &Map<String, Value>| {
            fields
                .iter()
                .map(|(name, value)| (name.clone(), Kind::of(value)))
                .collect()
        };
        let nested = match record.values().next() {
            Some(Value::Object(first)) => Some(kinds(first)),
            _ => None,
        };
        Self {
            fields: kinds(record),
            nested,
        }
    }

    /// Whether all these fields are there.
    pub(crate) fn has(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.fields.contains_key(*name))
    }

    /// The first of these fields that is not there.
    pub(crate) fn missing(&self, names: &[&'static str]) -> Option<&'static str> {
        names
            .iter()
            .copied()
            .find(|name| !self.fields.contains_key(*name))
    }

    /// The names of the fields, for messages.
    pub(crate) fn names(&self) -> String {
        let names: Vec<String> = self.fields.keys().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    }

    /// Whether none of these fields is there.
    pub(crate) fn lacks(&self, names: &[&str]) -> bool {
        !names.iter().any(|name| self.fields.contains_key(*name))
    }

    /// Whether a field is there and holds one of these.
    pub(crate) fn holds(&self, name: &str, kinds: &[Kind]) -> bool {
        self.fields
            .get(name)
            .is_some_and(|kind| kinds.contains(kind))
    }

    /// Whether the first field is an object that has all these fields: a table keyed by id.
    pub(crate) fn first_has(&self, names: &[&str]) -> bool {
        self.nested
            .as_ref()
            .is_some_and(|fields| names.iter().all(|name| fields.contains_key(*name)))
    }
}

/// The label files at a path: the file itself, or the tables in a folder and in its `data` folder,
/// sorted by name.
pub(crate) fn label_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut files: Vec<PathBuf> = [path.to_owned(), path.join("data")]
        .iter()
        .filter_map(|folder| folder.read_dir().ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.is_file() && is_table(file))
        .collect();
    files.sort_unstable();
    files
}

fn is_table(file: &Path) -> bool {
    file.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| ["json", "jsonl", "csv", "parquet"].contains(&extension))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        let record = json!({
            "a": "x", "b": 1, "c": ["x"], "d": [{"e": 1}], "f": [], "g": null, "h": {}
        });
        let sketch = Sketch::of_record(record.as_object().unwrap());
        assert!(sketch.has(&["a", "g"]) && !sketch.has(&["a", "z"]));
        assert!(sketch.lacks(&["y", "z"]) && !sketch.lacks(&["a", "z"]));
        for (name, kind) in [
            ("a", Kind::Text),
            ("b", Kind::Scalar),
            ("c", Kind::Texts),
            ("d", Kind::Objects),
            ("f", Kind::List),
            ("g", Kind::Null),
            ("h", Kind::Object),
        ] {
            assert!(sketch.holds(name, &[kind]), "{name} is {kind:?}");
        }
    }
}
