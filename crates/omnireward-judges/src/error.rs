use std::path::{Path, PathBuf};

/// What can go wrong while a judge is being set up.
///
/// Judging itself fails with [`omnireward_core::ModelError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A recording could not be opened or read.
    #[error("cannot read recording `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file is none of the kinds of recording that can be replayed.
    #[error("`{}` is not a recording: expected {expected}", path.display())]
    NotARecording {
        /// The file or folder.
        path: PathBuf,
        /// The kinds of recording that are known.
        expected: &'static str,
    },
    /// A row of a recording could not be read.
    #[error("recording `{}`, record {record}: {reason}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line of a file of lines, or the number of the record, from 1.
        record: u64,
        /// What is wrong with it.
        reason: RecordError,
    },
    /// Several judges were recorded in one file and none was chosen.
    #[error(
        "recording `{}` holds several judges; choose one with `replay:FILE#JUDGE`, one of: {}",
        path.display(), available.join(", ")
    )]
    SelectorNeeded {
        /// The file or folder.
        path: PathBuf,
        /// The judges recorded there.
        available: Vec<String>,
    },
    /// The chosen judge is not in the recording.
    #[error(
        "recording `{}` holds no judge `{selector}`, only: {}",
        path.display(), available.join(", ")
    )]
    UnknownSelector {
        /// The file or folder.
        path: PathBuf,
        /// What was asked for.
        selector: String,
        /// The judges recorded there.
        available: Vec<String>,
    },
    /// A judge was chosen in a recording that holds only one, without a name.
    #[error("recording `{}` holds a single judge, so `#{selector}` chooses nothing", path.display())]
    SelectorUnused {
        /// The file or folder.
        path: PathBuf,
        /// What was asked for.
        selector: String,
    },
    /// A judge's name has none of the known forms.
    #[error("`{name}` names no judge: {reason}; a judge is one of {forms}")]
    Spec {
        /// The name as it was written.
        name: String,
        /// What is wrong with it.
        reason: String,
        /// The known forms.
        forms: &'static str,
    },
}

/// What is wrong with one record of a recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is not the JSON that was expected.
    #[error("not as expected: {0}")]
    Json(#[from] serde_json::Error),
    /// It is not the CSV that was expected.
    #[error("not as expected: {0}")]
    Csv(#[from] csv::Error),
    /// A field is missing.
    #[error("field `{0}` is missing")]
    Missing(String),
    /// A field holds something else than it should.
    #[error("field `{field}` is `{value}`, expected {expected}")]
    Field {
        /// The field.
        field: String,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
}

impl RecordError {
    /// Says that `field` holds `value` where `expected` should be.
    pub(crate) fn field(field: &str, value: impl ToString, expected: &'static str) -> Self {
        Self::Field {
            field: field.to_owned(),
            value: value.to_string(),
            expected,
        }
    }

    /// Says where the record is.
    pub(crate) fn at(self, path: &Path, record: u64) -> Error {
        Error::Record {
            path: path.to_owned(),
            record,
            reason: self,
        }
    }
}
