use std::path::PathBuf;

use omnireward_core::ModelError;

/// What can go wrong in running, recording and counting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of a run directory could not be read or written.
    #[error("cannot {doing} `{}`", path.display())]
    File {
        /// `read`, `write` or `create`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database of a run failed.
    #[error("cannot use the records in `{}`", path.display())]
    Records {
        /// The database file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A file of a run directory does not hold what it should.
    #[error("`{}` is not a valid {what}", path.display())]
    Malformed {
        /// What it should be.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The directory holds a run with other settings.
    #[error(
        "`{}` holds another run: `{field}` was {recorded} and is now {requested}",
        path.display()
    )]
    OtherRun {
        /// The run directory.
        path: PathBuf,
        /// The setting that differs.
        field: String,
        /// Its recorded value.
        recorded: String,
        /// The value asked for now.
        requested: String,
    },
    /// Another process is writing to the same run directory.
    #[error("`{}` is in use by another run", path.display())]
    InUse {
        /// The run directory.
        path: PathBuf,
    },
    /// A row of the dataset is wrong and the run is strict.
    #[error("a row of the benchmark cannot be used")]
    Row(#[source] omnireward_data::Error),
    /// No pair was left to ask about.
    #[error("nothing to judge: {0}")]
    NothingToJudge(String),
    /// The service refuses the credentials, so no further request can succeed.
    #[error("the judge refuses the credentials: {0} requests in a row were turned away")]
    Unauthorized(u32, #[source] ModelError),
    /// Nothing has been answered since the run began, and requests go on failing.
    #[error("the judge answers nothing: the first {0} requests failed")]
    NoAnswer(u32, #[source] ModelError),
    /// Every question of a session failed.
    #[error("no question was answered; the first failed with: {0}")]
    NothingAnswered(String),
    /// The judge cannot do what was asked of it.
    #[error("the judge cannot judge pair `{pair_id}`")]
    Judge {
        /// The pair.
        pair_id: String,
        /// Why.
        source: ModelError,
    },
}
