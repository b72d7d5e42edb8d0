use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use omnireward_core::Task;
use omnireward_data::{Format, OpenOptions};
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    table::{Input, MediaMode, TableConfig},
};

/// What a mixture is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixRecipe {
    /// Which rows are sampled, and their order, follow from this number.
    #[serde(default)]
    pub seed: u64,
    /// The order of the rows.
    #[serde(default)]
    pub order: MixOrder,
    /// Whether media are put into the table itself; else they are files beside it.
    #[serde(default)]
    pub embed_media: bool,
    /// Rows in a file.
    #[serde(default = "default_rows")]
    pub rows_per_file: usize,
    /// At most this many rows of any subset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_samples: Option<u64>,
    /// Whether a record that cannot be read ends the work.
    #[serde(default)]
    pub strict: bool,
    /// The sets, in their order.
    #[serde(rename = "subset")]
    pub subsets: Vec<Subset>,
}

fn default_rows() -> usize {
    TableConfig::default().rows
}

/// The order of a mixture's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixOrder {
    /// Drawn from the seed, over all subsets.
    #[default]
    Shuffled,
    /// Subset after subset, each in the order of its rows.
    AsListed,
}

/// One set of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subset {
    /// Its name, which no other has.
    pub name: String,
    /// A file or folder in a known format.
    pub path: PathBuf,
    /// The format; recognised when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The task that all its rows are of.
    pub task: Task,
    /// Whether its rows have criteria.
    pub kind: Kind,
    /// How many rows it is meant to give: a sample of those that are there. All when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<u64>,
    /// How often each row is taken: 0.5 takes a half, 2 takes everything twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// At most this many rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u64>,
}

/// What kind of preference a subset holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Preference in general, without a criterion.
    General,
    /// Preference under a criterion in words.
    Instruction,
}

impl Kind {
    /// `general` or `instruction`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Instruction => "instruction",
        }
    }
}

impl MixRecipe {
    /// Reads a recipe.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] and [`Error::Recipe`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(Error::reading(path))?;
        let wrong = |reason: String| Error::Recipe {
            path: path.to_owned(),
            reason,
        };
        let recipe: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        recipe.check().map_err(wrong)?;
        Ok(recipe)
    }

    fn check(&self) -> Result<(), String> {
        if self.subsets.is_empty() {
            return Err("there is no `[[subset]]`".to_owned());
        }
        if self.rows_per_file == 0 {
            return Err("`rows_per_file` is 0".to_owned());
        }
        if self.max_samples == Some(0) {
            return Err("`max_samples` is 0".to_owned());
        }
        let mut names = BTreeSet::new();
        for subset in &self.subsets {
            if !names.insert(&subset.name) {
                return Err(format!("two subsets are called `{}`", subset.name));
            }
            if subset
                .weight
                .is_some_and(|weight| !weight.is_finite() || weight <= 0.0)
            {
                return Err(format!("the weight of `{}` is not positive", subset.name));
            }
            for (field, value) in [("pairs", subset.pairs), ("cap", subset.cap)] {
                if value == Some(0) {
                    return Err(format!("`{field}` of `{}` is 0", subset.name));
                }
            }
            subset.format()?;
        }
        Ok(())
    }

    /// The sets to read.
    pub(crate) fn inputs(&self, root: &Path) -> Result<Vec<Input>, Error> {
        self.subsets
            .iter()
            .map(|subset| subset.input(root))
            .collect()
    }

    pub(crate) fn table(&self) -> TableConfig {
        TableConfig {
            rows: self.rows_per_file,
            media: if self.embed_media {
                MediaMode::Embedded
            } else {
                MediaMode::Beside
            },
        }
    }
}

impl Subset {
    fn format(&self) -> Result<Option<Format>, String> {
        let parsed = self.format.as_ref().map(|name| name.parse::<Format>());
        parsed.transpose().map_err(|error| error.to_string())
    }

    pub(crate) fn input(&self, root: &Path) -> Result<Input, Error> {
        let path = root.join(&self.path);
        let format = self.format().map_err(|reason| Error::Recipe {
            path: path.clone(),
            reason,
        })?;
        Ok(Input {
            name: self.name.clone(),
            path,
            options: OpenOptions {
                format,
                ..OpenOptions::default()
            },
        })
    }

    /// How many rows are taken of so many.
    pub(crate) fn taken(&self, available: u64, max_samples: Option<u64>) -> u64 {
        let meant = self.pairs.map_or(available, |pairs| pairs.min(available));
        self.limited(meant, max_samples)
    }

    /// How many rows the recipe expects, where it says so.
    pub fn expected(&self, max_samples: Option<u64>) -> Option<u64> {
        self.pairs.map(|pairs| self.limited(pairs, max_samples))
    }

    fn limited(&self, pairs: u64, max_samples: Option<u64>) -> u64 {
        let weighted = self
            .weight
            .map_or(pairs, |weight| (pairs as f64 * weight).round() as u64);
        [self.cap, max_samples]
            .into_iter()
            .flatten()
            .fold(weighted, u64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MixRecipe, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        MixRecipe::read(file.path()).map_err(|error| error.to_string())
    }

    const ONE: &str = "[[subset]]\nname = 'a'\npath = 'a'\ntask = 'T2T'\nkind = 'general'\n";

    #[test]
    fn what_is_wrong_with_a_recipe_is_said() {
        assert_eq!(read(ONE).unwrap().subsets.len(), 1);
        let cases = [
            ("seed = 1\n".to_owned(), "subset"),
            (format!("{ONE}{ONE}"), "two subsets are called `a`"),
            (format!("{ONE}weight = 0\n"), "not positive"),
            (format!("{ONE}format = 'word'\n"), "word"),
            (format!("{ONE}shoe = 1\n"), "shoe"),
            (format!("rows_per_file = 0\n{ONE}"), "rows_per_file"),
            (format!("max_samples = 0\n{ONE}"), "`max_samples` is 0"),
            (format!("{ONE}pairs = 0\n"), "`pairs` of `a` is 0"),
            (format!("{ONE}cap = 0\n"), "`cap` of `a` is 0"),
        ];
        for (text, expected) in cases {
            let message = read(&text).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn counts_are_limited_in_order() {
        let mut subset = read(ONE).unwrap().subsets.remove(0);
        assert_eq!(
            (
                subset.taken(10, None),
                subset.taken(10, Some(4)),
                subset.expected(None)
            ),
            (10, 4, None)
        );
        subset.pairs = Some(8);
        assert_eq!(
            (
                subset.taken(10, None),
                subset.taken(5, None),
                subset.expected(Some(4))
            ),
            (8, 5, Some(4))
        );
        subset.weight = Some(2.5);
        assert_eq!((subset.taken(10, None), subset.taken(10, Some(9))), (20, 9));
        subset.cap = Some(3);
        assert_eq!(subset.taken(10, None), 3);
    }
}
