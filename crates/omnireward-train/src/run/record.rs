//! What a run is made from, beside what it makes.

use std::{fs, path::Path};

use serde_json::Value;

use super::state::{self, io};
use crate::{Error, Recipe, Result};

/// The files of a record with their texts.
pub(super) struct Record([(&'static str, String); 2]);

impl Record {
    /// Of a recipe, and of what the caller knows of the data.
    pub(super) fn new(recipe: &Recipe, data: &Value) -> Self {
        Self([
            ("recipe.toml", recipe.to_toml()),
            ("record.json", format!("{data:#}\n")),
        ])
    }

    /// # Errors
    ///
    /// Fails when `out` holds something of a run that was made from something else.
    pub(super) fn check(&self, out: &Path) -> Result<()> {
        if !state::holds_something(out)? {
            return Ok(());
        }
        for (name, text) in &self.0 {
            let path = out.join(name);
            let found = fs::read_to_string(&path).map_err(|source| io(&path, source))?;
            if found != *text {
                return Err(Error::AnotherRun { path });
            }
        }
        Ok(())
    }

    /// Writes the record into `out`.
    pub(super) fn write(&self, out: &Path) -> Result<()> {
        for (name, text) in &self.0 {
            let path = out.join(name);
            fs::write(&path, text).map_err(|source| io(&path, source))?;
        }
        Ok(())
    }
}
