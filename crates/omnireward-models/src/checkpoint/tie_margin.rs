use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use super::folder::io;
use crate::{Error, Result};

/// How close two rewards of a checkpoint are when they are most likely a tie, where training has learned it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TieMargin {
    /// The largest difference that is a tie.
    pub tie_margin: f64,
}

impl TieMargin {
    /// The file, beside the weights.
    pub const FILE: &str = "tie_margin.json";

    /// The width that the checkpoint in `dir` states; `None` when it states none.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(Self::FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(&path)(error)),
        };
        let read: Self = serde_json::from_str(&text).map_err(|source| Error::Json {
            path: path.clone(),
            source,
        })?;
        if !read.tie_margin.is_finite() || read.tie_margin < 0.0 {
            return Err(Error::Config {
                path,
                field: "tie_margin".to_owned(),
                reason: format!("`{}` is not a width", read.tie_margin),
            });
        }
        Ok(Some(read))
    }

    /// The text of the file.
    ///
    /// # Panics
    ///
    /// Never: a number can be written.
    pub fn to_json(self) -> String {
        serde_json::to_string_pretty(&self).expect("a number can be written") + "\n"
    }
}
