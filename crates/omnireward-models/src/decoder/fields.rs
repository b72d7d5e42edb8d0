use std::path::Path;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// An object of a JSON file, read field by field. A `null` is a field that is not there.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    path: &'a Path,
    prefix: String,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The whole file.
    pub(super) fn root(json: &'a Value, path: &'a Path) -> Result<Self> {
        let object = json.as_object().ok_or_else(|| Error::Config {
            path: path.to_owned(),
            field: "(all)".to_owned(),
            reason: "the file is not a JSON object".to_owned(),
        })?;
        Ok(Self {
            path,
            prefix: String::new(),
            object,
        })
    }

    /// An object inside.
    pub(super) fn object(&self, name: &str) -> Result<Option<Fields<'a>>> {
        self.optional(name, "an object", |value| {
            value.as_object().map(|object| Fields {
                path: self.path,
                prefix: format!("{}{name}.", self.prefix),
                object,
            })
        })
    }

    /// A count of at least one.
    pub(super) fn count(&self, name: &str) -> Result<Option<usize>> {
        self.optional(name, "a whole number above 0", |value| {
            value
                .as_u64()
                .filter(|count| *count > 0)
                .and_then(|count| usize::try_from(count).ok())
        })
    }

    /// A finite number above zero.
    pub(super) fn positive(&self, name: &str) -> Result<Option<f64>> {
        self.optional(name, "a number above 0", |value| {
            value
                .as_f64()
                .filter(|number| number.is_finite() && *number > 0.0)
        })
    }

    /// A yes or no.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.optional(name, "true or false", Value::as_bool)
    }

    /// A word.
    pub(super) fn word(&self, name: &str) -> Result<Option<&'a str>> {
        self.optional(name, "a string", Value::as_str)
    }

    /// A list of words.
    pub(super) fn words(&self, name: &str) -> Result<Option<Vec<&'a str>>> {
        self.optional(name, "a list of strings", |value| {
            value.as_array()?.iter().map(Value::as_str).collect()
        })
    }

    /// A list of counts of at least one.
    pub(super) fn counts(&self, name: &str) -> Result<Option<Vec<usize>>> {
        let count = |value: &Value| {
            usize::try_from(value.as_u64()?)
                .ok()
                .filter(|count| *count > 0)
        };
        self.optional(name, "a list of whole numbers above 0", |value| {
            value.as_array()?.iter().map(count).collect()
        })
    }

    /// `value`, or the error that the field is missing.
    pub(super) fn required<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.error(name, "it is missing"))
    }

    /// What is wrong with a field.
    pub(super) fn error(&self, name: &str, reason: impl Into<String>) -> Error {
        Error::Config {
            path: self.path.to_owned(),
            field: format!("{}{name}", self.prefix),
            reason: reason.into(),
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    fn optional<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value)
                .map(Some)
                .ok_or_else(|| self.error(name, format!("it is `{value}`, expected {expected}"))),
        }
    }
}
