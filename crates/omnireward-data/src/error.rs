use std::{
    io,
    path::{Path, PathBuf},
};

use omnireward_core::InvalidPair;

use crate::{Format, PathError, export::Target, hub::HubError};

/// Why a dataset could not be found, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// One record is broken. The rows after it can still be read.
    #[error("{}, row at line {line}{}", file.display(), in_field(field.as_ref()))]
    Row {
        /// The file that holds the record.
        file: PathBuf,
        /// The line the record starts on, or its 1-based row where the file has no lines.
        line: u64,
        /// The field at fault, where one can be named.
        field: Option<String>,
        /// What is wrong with it.
        source: RowError,
    },
    /// A file or folder could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be given a second name. It may be on another file system; a copy would do.
    #[error("cannot link `{}` to `{}`", to.display(), from.display())]
    Link {
        /// The file.
        from: PathBuf,
        /// The name that it was to get.
        to: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not JSON from some point on, so nothing after that point can be read.
    #[error("`{}` is not valid JSON near line {line}: {reason}", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// The line the broken value starts on.
        line: u64,
        /// What was expected or found.
        reason: String,
    },
    /// A parquet file is damaged.
    #[error("cannot read parquet file `{}`", file.display())]
    Parquet {
        /// The file.
        file: PathBuf,
        /// What the reader said.
        source: parquet::errors::ParquetError,
    },
    /// A table lacks a column, so none of its rows can be read.
    #[error("`{}` has no column `{column}`; it has {found}", file.display())]
    MissingColumn {
        /// The file.
        file: PathBuf,
        /// The column that was looked for.
        column: String,
        /// The columns that are there.
        found: String,
    },
    /// A column holds another type than the format says.
    #[error("column `{column}` of `{}` holds {found}, expected {expected}", file.display())]
    ColumnType {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A comma-separated file is damaged.
    #[error("cannot read `{}` as comma-separated values", file.display())]
    Csv {
        /// The file.
        file: PathBuf,
        /// What the reader said, with the line.
        source: csv::Error,
    },
    /// A dataset holds no pairs at all.
    #[error("`{}` holds no pairs: {reason}", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
        /// What pairs would be made of, and what is there instead.
        reason: String,
    },
    /// Nothing at the path looks like a known format.
    #[error(
        "`{}` is in no known format; looked for {looked_for}; name the format if you know it",
        path.display()
    )]
    Unrecognised {
        /// The file or folder.
        path: PathBuf,
        /// What would have been recognised.
        looked_for: String,
    },
    /// More than one format matches, so somebody has to choose.
    #[error("`{}` could be any of {formats}; name the format", path.display())]
    Ambiguous {
        /// The file or folder.
        path: PathBuf,
        /// The formats that match.
        formats: String,
    },
    /// The files of a format are not where they should be.
    #[error("`{}` does not hold {format} data; looked for {looked_for}", path.display())]
    NotThisFormat {
        /// The file or folder.
        path: PathBuf,
        /// The format that was asked for.
        format: Format,
        /// What the format consists of.
        looked_for: String,
    },
    /// A folder that was to be made holds something that is not to be lost.
    #[error("`{}` holds something else; choose another folder, or empty this one", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// A dataset names a medium in a way that is not allowed.
    #[error("media path `{name}` is refused")]
    Path {
        /// The name as the dataset wrote it.
        name: String,
        /// The rule it breaks.
        source: PathError,
    },
    /// A repository could not be had from a hub.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A pair cannot be expressed in the format it was to be written in.
    #[error("pair `{id}` cannot be written as {format}: {reason}")]
    Unwritable {
        /// The pair.
        id: String,
        /// The format.
        format: Format,
        /// What the format has no place for.
        reason: String,
    },
    /// A form has no place for a pair that was to be exported. Nothing was written.
    #[error(
        "pair `{id}`, number {number}, has {reason} in `{field}`, for which {target} has no place"
    )]
    Unfit {
        /// The pair.
        id: String,
        /// Its number among all that were read, from 1.
        number: u64,
        /// The field at fault.
        field: &'static str,
        /// What it holds.
        reason: &'static str,
        /// The form.
        target: Target,
    },
    /// An import into the folder was begun with other sources or options.
    #[error("`{}` holds another import: its {what} differs", path.display())]
    OtherImport {
        /// The folder.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
}

impl Error {
    /// Whether only one record is lost: reading goes on with the next one.
    ///
    /// While pairs are read, any other error loses the rest of one [`Part`](crate::Part), whose file
    /// it names; reading goes on with the next part.
    pub const fn is_row(&self) -> bool {
        matches!(self, Self::Row { .. })
    }

    /// For `map_err`: a file or folder that could not be read.
    pub(crate) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }

    /// For `map_err`: a file or folder that could not be written.
    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

fn in_field(field: Option<&String>) -> String {
    field.map_or_else(String::new, |field| format!(", field `{field}`"))
}

/// What is wrong with one record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// A field that must be there is not.
    #[error("the field is missing")]
    Missing,
    /// A field holds another type than the format says.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// What the field should hold.
        expected: &'static str,
        /// What it holds.
        found: String,
    },
    /// A field holds a value that the format does not define.
    #[error("unknown value `{value}`, expected {expected}")]
    UnknownValue {
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: String,
    },
    /// The line is not JSON.
    #[error("not valid JSON")]
    Json(#[source] serde_json::Error),
    /// A medium is named in a way that is not allowed.
    #[error("media path `{name}` is refused")]
    Path {
        /// The name as the dataset wrote it.
        name: String,
        /// The rule it breaks.
        source: PathError,
    },
    /// A record is too long to be held in memory.
    #[error("longer than the {limit} bytes that are read of one record")]
    TooLong {
        /// The longest record that is read, in bytes.
        limit: usize,
    },
    /// A record compares more responses than can sensibly be paired.
    #[error("{found} responses, at most {limit} are paired")]
    TooMany {
        /// How many there are.
        found: usize,
        /// The most that are paired.
        limit: usize,
    },
    /// The record is well formed, but the pair made of it breaks a rule.
    #[error(transparent)]
    Invalid(#[from] InvalidPair),
    /// The fields of the record contradict one another.
    #[error("{0}")]
    Inconsistent(String),
}

impl RowError {
    /// What is wrong, without the values: for counting errors of one kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::WrongType { .. } => "of another type",
            Self::UnknownValue { .. } => "an unknown value",
            Self::Json(_) => "not JSON",
            Self::Path { .. } => "a refused path",
            Self::TooLong { .. } => "too long",
            Self::TooMany { .. } => "too many responses",
            Self::Invalid(_) => "an invalid pair",
            Self::Inconsistent(_) => "inconsistent",
        }
    }

    /// The error, in a named field.
    pub(crate) fn in_field(self, field: impl Into<String>) -> Fault {
        Fault {
            field: Some(field.into()),
            source: self,
        }
    }
}

/// What is wrong with a record and in which field, before it is known where the record stands.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) field: Option<String>,
    pub(crate) source: RowError,
}

impl Fault {
    /// The fault, in the record at `line` of `file`.
    pub(crate) fn at(self, file: &Path, line: u64) -> Error {
        Error::Row {
            file: file.to_owned(),
            line,
            field: self.field,
            source: self.source,
        }
    }
}

impl From<RowError> for Fault {
    fn from(source: RowError) -> Self {
        Self {
            field: None,
            source,
        }
    }
}

impl From<InvalidPair> for Fault {
    fn from(invalid: InvalidPair) -> Self {
        RowError::from(invalid).into()
    }
}
