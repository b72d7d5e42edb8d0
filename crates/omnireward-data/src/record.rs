//! A JSON object whose fields are taken one by one; what is left over is kept.

use omnireward_core::{PreferencePair, UnknownName};
use serde_json::{Map, Value};

use crate::{RowError, error::Fault};

/// A record of a dataset. Taking a field removes it, so that what remains at the end is exactly
/// what nobody understood; see [`into_extra`](Self::into_extra).
#[derive(Debug)]
pub(crate) struct Record(Map<String, Value>);

impl Record {
    /// The record in a JSON value.
    pub(crate) fn new(value: Value) -> Result<Self, Fault> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            other => Err(wrong_type("an object", &other).into()),
        }
    }

    /// Whether a field is there and not null.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.0.get(field).is_some_and(|value| !value.is_null())
    }

    /// A field that stays where it is.
    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    /// Takes a field as it is; `None` when it is absent or null.
    pub(crate) fn take(&mut self, field: &str) -> Option<Value> {
        self.0.shift_remove(field).filter(|value| !value.is_null())
    }

    /// Adds a field, or replaces it.
    pub(crate) fn put(&mut self, field: &str, value: Value) {
        self.0.insert(field.to_owned(), value);
    }

    /// Takes a field that must be there, as it is.
    pub(crate) fn value(&mut self, field: &str) -> Result<Value, Fault> {
        self.take(field)
            .ok_or_else(|| RowError::Missing.in_field(field))
    }

    /// Takes a string that must be there.
    pub(crate) fn text(&mut self, field: &str) -> Result<String, Fault> {
        text_of(self.value(field)?).map_err(|error| error.in_field(field))
    }

    /// Takes a string; `None` when it is absent or null.
    pub(crate) fn optional_text(&mut self, field: &str) -> Result<Option<String>, Fault> {
        self.take(field)
            .map(text_of)
            .transpose()
            .map_err(|error| error.in_field(field))
    }

    /// Takes an identifier, which may be a string or a whole number.
    pub(crate) fn optional_id(&mut self, field: &str) -> Result<Option<String>, Fault> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(id)) => Ok(Some(id)),
            Some(Value::Number(id)) if id.is_i64() || id.is_u64() => Ok(Some(id.to_string())),
            Some(other) => Err(wrong_type("a string or a whole number", &other).in_field(field)),
        }
    }

    /// Takes a list that must be there.
    pub(crate) fn list(&mut self, field: &str) -> Result<Vec<Value>, Fault> {
        match self.value(field)? {
            Value::Array(items) => Ok(items),
            other => Err(wrong_type("a list", &other).in_field(field)),
        }
    }

    /// Takes a number that must be there.
    pub(crate) fn number(&mut self, field: &str) -> Result<f64, Fault> {
        let value = self.value(field)?;
        value
            .as_f64()
            .ok_or_else(|| wrong_type("a number", &value).in_field(field))
    }

    /// The fields that nobody took, in their order.
    pub(crate) fn into_extra(self) -> Map<String, Value> {
        self.0
    }
}

/// The string in a value.
pub(crate) fn text_of(value: Value) -> Result<String, RowError> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong_type("a string", &other)),
    }
}

/// Says that a value is not of the expected kind.
pub(crate) fn wrong_type(expected: &'static str, found: &Value) -> RowError {
    let found = match found {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the string `{}`", shortened(text)),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
    };
    RowError::WrongType { expected, found }
}

/// Says that a field holds a value that is not among those defined.
pub(crate) fn unknown_value(value: &str, expected: impl Into<String>) -> RowError {
    RowError::UnknownValue {
        value: shortened(value),
        expected: expected.into(),
    }
}

impl From<UnknownName> for RowError {
    fn from(unknown: UnknownName) -> Self {
        Self::Inconsistent(unknown.to_string())
    }
}

/// At most 60 characters of a value, for messages.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The pair, when it keeps the rules of its type.
pub(crate) fn validated(pair: PreferencePair) -> Result<PreferencePair, Fault> {
    pair.validate()?;
    Ok(pair)
}
