//! What a run is made from, beside what it makes.

use std::{fs, io::ErrorKind, path::Path};

use serde_json::Value;

use super::state;
use crate::{Error, Result};

/// The files of a record with their texts.
pub(crate) struct Record([(&'static str, String); 2]);

impl Record {
    /// Of a recipe as it is written down, and of what the caller knows of the data.
    pub(crate) fn new(recipe: String, data: &Value) -> Self {
        Self([
            ("record.json", format!("{data:#}\n")),
            ("recipe.toml", recipe),
        ])
    }

    /// # Errors
    ///
    /// Fails when `out` holds something of a run that was made from something else, or a recipe that no run has put there.
    pub(crate) fn check(&self, out: &Path) -> Result<()> {
        let holds_something = state::holds_something(out)?;
        if !holds_something && out.join("record.json").exists() {
            return Ok(());
        }
        for (name, text) in &self.0 {
            let path = out.join(name);
            match fs::read_to_string(&path) {
                Ok(found) if found == *text => {}
                Err(error) if error.kind() == ErrorKind::NotFound && !holds_something => {}
                Ok(_) => return Err(Error::AnotherRun { path }),
                Err(error) => return Err(Error::io(&path, error)),
            }
        }
        Ok(())
    }

    /// Writes the record into `out`.
    pub(crate) fn write(&self, out: &Path) -> Result<()> {
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
