//! How published sets spell which response is preferred.

use omnireward_core::Preference;
use serde_json::Value;

use crate::{
    RowError,
    error::Fault,
    record::{Record, unknown_value},
};

/// Takes `1` or `2`, a number or a string.
pub(crate) fn one_or_two(record: &mut Record, field: &str) -> Result<Preference, Fault> {
    spelled(
        record,
        field,
        &[("1", Preference::First), ("2", Preference::Second)],
    )
}

/// Takes `1`, `2` or `tie`.
pub(crate) fn one_two_or_tie(record: &mut Record, field: &str) -> Result<Preference, Fault> {
    spelled(
        record,
        field,
        &[
            ("1", Preference::First),
            ("2", Preference::Second),
            ("tie", Preference::Tie),
        ],
    )
}

/// Takes `a`, `b` or `tie`, in any case.
pub(crate) fn a_b_or_tie(record: &mut Record, field: &str) -> Result<Preference, Fault> {
    spelled(
        record,
        field,
        &[
            ("a", Preference::First),
            ("b", Preference::Second),
            ("tie", Preference::Tie),
        ],
    )
}

/// Takes a value that is spelled in one of the ways given, in any case.
pub(crate) fn spelled(
    record: &mut Record,
    field: &str,
    spellings: &[(&str, Preference)],
) -> Result<Preference, Fault> {
    let value = record.value(field)?;
    read_as(&value, spellings).map_err(|error| error.in_field(field))
}

/// The meaning of a value that is spelled in one of the ways given, in any case.
pub(crate) fn read_as(
    value: &Value,
    spellings: &[(&str, Preference)],
) -> Result<Preference, RowError> {
    let text = text(value);
    spellings
        .iter()
        .find(|(spelling, _)| spelling.eq_ignore_ascii_case(text.trim()))
        .map(|(_, preference)| *preference)
        .ok_or_else(|| {
            let known: Vec<&str> = spellings.iter().map(|(spelling, _)| *spelling).collect();
            unknown_value(&text, known.join(", "))
        })
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(value: Value) -> Record {
        Record::new(json!({ "label": value })).unwrap()
    }

    #[test]
    fn numbers_and_strings_are_read_alike() {
        for value in [json!(2), json!("2"), json!(" 2 ")] {
            assert_eq!(
                one_or_two(&mut record(value), "label").unwrap(),
                Preference::Second
            );
        }
        assert_eq!(
            a_b_or_tie(&mut record(json!("TIE")), "label").unwrap(),
            Preference::Tie
        );
    }

    #[test]
    fn an_unknown_label_names_itself_and_what_was_expected() {
        let fault = one_or_two(&mut record(json!(3)), "label").unwrap_err();
        assert_eq!(fault.field.as_deref(), Some("label"));
        assert_eq!(fault.source.to_string(), "unknown value `3`, expected 1, 2");
        let fault = one_two_or_tie(&mut record(Value::Null), "label").unwrap_err();
        assert_eq!(fault.source.to_string(), "the field is missing");
    }
}
