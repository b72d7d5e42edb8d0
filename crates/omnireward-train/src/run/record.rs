//! What a run is made from, beside what it makes.

use std::{fs, path::Path};

use serde_json::Value;

use super::state;
use crate::{Error, Recipe, Result};

/// The files of a record with their texts.
pub(super) struct Record([(&'static str, String); 2]);

impl Record {
    /// Of a recipe, and of what the caller knows of the data.
    pub(super) fn new(recipe: &Recipe, data: &Value) -> Self {
        Self([
            ("record.json", format!("{data:#}\n")),
            ("recipe.toml", recipe.to_toml()),
        ])
    }

    /// # Errors
    ///
    /// Fails when `out` holds something of a run that was made from something else, or a recipe that no run has put there.
    pub(super) fn check(&self, out: &Path) -> Result<()> {
        let recipe = out.join("recipe.toml");
        let is_begun = out.join("record.json").exists();
        if !state::holds_something(out)? && (is_begun || !recipe.exists()) {
            return Ok(());
        }
        for (name, text) in &self.0 {
            let path = out.join(name);
            let found = fs::read_to_string(&path).map_err(|source| Error::io(&path, source))?;
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
            if fs::read_to_string(&path).is_ok_and(|found| found == *text) {
                continue;
            }
            let partial = out.join(format!(".{name}.partial"));
            fs::write(&partial, text)
                .and_then(|()| fs::rename(&partial, &path))
                .map_err(|source| Error::io(&path, source))?;
        }
        Ok(())
    }
}
