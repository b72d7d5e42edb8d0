//! Values that the command line puts in the place of a recipe's.

use toml::{Table, Value};

/// Keys that say the same thing in two ways: setting one takes the other away.
const ALTERNATIVES: [[&str; 2]; 2] = [["steps", "epochs"], ["warmup_steps", "warmup_ratio"]];

/// `KEY=VALUE`.
#[derive(Debug)]
pub(super) struct Override<'a> {
    keys: Vec<&'a str>,
    value: Value,
}

impl<'a> Override<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or("is not a setting, expected KEY=VALUE")?;
        let keys: Vec<_> = key.trim().split('.').collect();
        if keys.iter().any(|key| key.is_empty()) {
            return Err("has an empty key, expected one such as `train.steps`".to_owned());
        }
        Ok(Self {
            keys,
            value: value_of(value.trim()),
        })
    }

    /// Puts the value in its place; what lies on the way there is made.
    pub(super) fn apply(self, recipe: &mut Value) -> Result<(), String> {
        if let ["train", key] = self.keys[..] {
            remove_alternative(recipe, key);
        }
        set(recipe, &self.keys, self.value)
    }
}

/// A value of TOML; what is none is a string, and so is a date, since no setting is one.
fn value_of(text: &str) -> Value {
    match text.parse() {
        Ok(Value::Datetime(_)) | Err(_) => Value::String(text.to_owned()),
        Ok(value) => value,
    }
}

fn remove_alternative(recipe: &mut Value, key: &str) {
    let other = ALTERNATIVES.iter().find_map(|&[one, other]| {
        if key == one {
            Some(other)
        } else {
            (key == other).then_some(one)
        }
    });
    let train = recipe.get_mut("train").and_then(Value::as_table_mut);
    if let (Some(other), Some(train)) = (other, train) {
        train.remove(other);
    }
}

fn set(place: &mut Value, keys: &[&str], value: Value) -> Result<(), String> {
    let Some((key, rest)) = keys.split_first() else {
        *place = value;
        return Ok(());
    };
    match place {
        Value::Table(table) => {
            let entry = table
                .entry(*key)
                .or_insert_with(|| Value::Table(Table::new()));
            set(entry, rest, value)
        }
        Value::Array(list) => set(entry_of(list, key)?, rest, value),
        _ => Err(format!("reaches for `{key}` inside of a single value")),
    }
}

/// An entry of a list; the place after the last is a new one.
fn entry_of<'v>(list: &'v mut Vec<Value>, key: &str) -> Result<&'v mut Value, String> {
    let count = list.len();
    let index: usize = key
        .parse()
        .ok()
        .filter(|index| *index <= count)
        .ok_or_else(|| format!("has `{key}` where a list has its places 0 to {count}"))?;
    if index == count {
        list.push(Value::Table(Table::new()));
    }
    Ok(&mut list[index])
}
