//! The published preference sets that Omni-RewardData is made of: where each is, what is read of it, and how its rows
//! become pairs.
//!
//! A source is one of the formats that [`open`] knows, with a name and, where several sets have one format
//! (Skywork-Reward-Preference and OmniAlign-V-DPO are TRL preference data), the columns that it must have. [`import()`]
//! turns a source into our own pairs.
//!
//! What each source's layout was confirmed from stands in [`Source::confirmed`]. Nothing that could not be confirmed is
//! taken for granted: a file without a column that is needed is an error that names the column and those that are there.

mod import;
mod table;

use std::path::Path;

use omnireward_core::{PreferencePair, Task, UnknownName};
use serde_json::Value;

pub use self::{
    import::{ImportOptions, Imported, Refusals, import},
    table::SOURCES,
};
use crate::{
    Dataset, Error, Format, OpenOptions,
    formats::{label_files, sketch_of},
    open,
};

/// A published preference set.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Its name here, and the [`source`](PreferencePair::source) of its pairs: what the original's configuration calls the
    /// set, where it does.
    pub name: &'static str,
    /// What its owners call it.
    pub title: &'static str,
    /// Where its owners publish it.
    pub published: &'static str,
    /// The mapping of its pairs.
    pub task: Task,
    /// The format it is read as.
    pub format: Format,
    /// What is read: files, columns, media.
    pub reads: &'static str,
    /// How rows become pairs.
    pub rule: &'static str,
    /// What the layout was confirmed from, and what was not confirmed.
    pub confirmed: &'static str,
    /// The columns without which its files cannot be read.
    required: &'static [&'static str],
}

impl Source {
    /// The source of that name.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn named(name: &str) -> Result<&'static Self, UnknownName> {
        SOURCES
            .iter()
            .find(|source| source.name == name)
            .ok_or_else(|| UnknownName::new("source", name, &SOURCES.map(|source| source.name)))
    }

    /// The only source that is read as a format; `None` when several are, or none.
    pub fn of(format: Format) -> Option<&'static Self> {
        let mut sources = SOURCES.iter().filter(|source| source.format == format);
        let only = sources.next()?;
        sources.next().is_none().then_some(only)
    }

    /// Opens a copy of the source. `options.format` is not looked at.
    ///
    /// # Errors
    ///
    /// [`Error::MissingColumn`] when the label files at `path` lack a column of the source, and otherwise as
    /// [`open`].
    pub fn open(&self, path: &Path, options: &OpenOptions) -> Result<Dataset, Error> {
        let options = OpenOptions {
            format: Some(self.format),
            ..options.clone()
        };
        let subset = path.join(self.title);
        let path = if self.format == Format::OmniRewardData && subset.is_dir() {
            &subset
        } else {
            path
        };
        let dataset = open(path, &options).map_err(|error| match error {
            Error::NotThisFormat { .. } => self.lacking(path).unwrap_or(error),
            other => other,
        })?;
        // TRL's form may lack what the source has.
        if self.format == Format::TrlPreference {
            for part in dataset.parts() {
                self.check(&part.file)?;
            }
        }
        Ok(dataset)
    }

    /// A pair of this source, which says so: its id begins with the source's name, and a source that the row itself names
    /// is its `origin`.
    #[must_use]
    pub fn attributed(&self, mut pair: PreferencePair) -> PreferencePair {
        let own = pair.source.replace(self.name.to_owned());
        if let Some(own) = own.filter(|own| own != self.name) {
            pair.extra
                .entry("origin")
                .or_insert_with(|| Value::from(own));
        }
        let prefixed = pair
            .id
            .strip_prefix(self.name)
            .is_some_and(|rest| rest.starts_with('/'));
        if !prefixed {
            pair.id = format!("{}/{}", self.name, pair.id);
        }
        pair
    }

    /// What the first label file at a path lacks.
    fn lacking(&self, path: &Path) -> Option<Error> {
        label_files(path)
            .iter()
            .find_map(|file| self.check(file).err())
    }

    fn check(&self, file: &Path) -> Result<(), Error> {
        // A file that holds nothing, or whose first record is broken, says so when it is read.
        let Ok(Some(sketch)) = sketch_of(file) else {
            return Ok(());
        };
        match sketch.missing(self.required) {
            None => Ok(()),
            Some(column) => Err(Error::MissingColumn {
                file: file.to_owned(),
                column: column.to_owned(),
                found: sketch.names(),
            }),
        }
    }
}
