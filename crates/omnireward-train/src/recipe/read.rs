//! Reading a recipe and writing it down again.

use std::{fs, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

use super::{
    GrpoRecipe, Recipe, SftRecipe, check,
    fault::{Fault, join},
    overrides::Override,
};
use crate::{Error, Result};

/// What every kind of recipe can do.
macro_rules! recipe {
    ($recipe:ty, $check:path) => {
        impl $recipe {
            /// Reads a recipe, lets each of `overrides` (`KEY=VALUE`, see [`parse`](Self::parse)) replace a value of it,
            /// and checks what comes out.
            ///
            /// # Errors
            ///
            /// When the file cannot be read, and as [`parse`](Self::parse).
            pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
                let text = fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
                Self::parse(&text, path, overrides)
            }

            /// As [`read`](Self::read), of a text that is already here; `path` is only for messages.
            ///
            /// The key of an override is dotted, with the places in a list counted from 0 (`data.0.max_pairs`), and its
            /// value is one of TOML or else a string as it stands. An override of `train.steps` replaces `train.epochs`
            /// as well and the other way round, and so do those of `train.warmup_steps` and `train.warmup_ratio`.
            ///
            /// # Errors
            ///
            /// When the text is not TOML, has an unknown key or lacks a needed one, when a value has another type or is
            /// not possible, and when two values contradict each other.
            pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self> {
                parse(text, path, overrides, $check)
            }

            /// The whole recipe, with the values that it left to defaults: reading it gives the same recipe.
            ///
            /// # Panics
            ///
            /// Never: a recipe has only string keys and no nulls.
            pub fn to_toml(&self) -> String {
                toml::to_string_pretty(self).expect("a recipe has only string keys and no nulls")
            }

            /// Every setting by its dotted key, as an override would write it, with the values that were left to
            /// defaults.
            ///
            /// # Panics
            ///
            /// Never: a recipe has only string keys and no nulls.
            pub fn settings(&self) -> Vec<(String, String)> {
                settings(self)
            }
        }
    };
}

recipe!(Recipe, check::check);
recipe!(SftRecipe, check::sft);
recipe!(GrpoRecipe, check::grpo);

fn parse<R: DeserializeOwned>(
    text: &str,
    path: &Path,
    overrides: &[String],
    check: fn(&R) -> Result<(), Fault>,
) -> Result<R> {
    let table: Table = toml::from_str(text).map_err(|source| Error::RecipeSyntax {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    let mut value = Value::Table(table);
    for text in overrides {
        Override::parse(text)
            .and_then(|change| change.apply(&mut value))
            .map_err(|reason| Error::Override {
                text: text.clone(),
                reason,
            })?;
    }
    recipe(value, check).map_err(|fault| Error::Recipe {
        path: path.to_owned(),
        field: fault.field,
        reason: fault.reason,
    })
}

fn recipe<R: DeserializeOwned>(
    value: Value,
    check: fn(&R) -> Result<(), Fault>,
) -> Result<R, Fault> {
    let recipe = serde_path_to_error::deserialize(value)
        .map_err(|error| Fault::reading(error.path(), error.inner().message()))?;
    check(&recipe).map(|()| recipe)
}

fn settings(recipe: &impl Serialize) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    let value = Value::try_from(recipe).expect("a recipe has only string keys and no nulls");
    flatten(String::new(), &value, &mut settings);
    settings
}

fn flatten(key: String, value: &Value, settings: &mut Vec<(String, String)>) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                flatten(join(&key, name), value, settings);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_table) => {
            for (place, value) in list.iter().enumerate() {
                flatten(join(&key, &place.to_string()), value, settings);
            }
        }
        Value::String(text) => settings.push((key, text.clone())),
        other => settings.push((key, other.to_string())),
    }
}
