use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a mixture could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// A set of pairs could not be read.
    #[error(transparent)]
    Data(#[from] omnireward_data::Error),
    /// The query engine gave up.
    #[cfg(feature = "engine")]
    #[error("the query engine could not finish")]
    Engine(#[source] Box<datafusion::error::DataFusionError>),
    /// A parquet file could not be read or written.
    #[cfg(feature = "engine")]
    #[error("cannot read or write parquet file `{}`", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader or writer said.
        source: datafusion::parquet::errors::ParquetError,
    },
    /// A file of a folder that was begun before is damaged, or is not what this version writes.
    #[error("`{}` is not as it was written: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A folder holds the beginning of other work.
    #[error("`{}` holds the beginning of other work; choose another folder, or remove it", path.display())]
    OtherWork {
        /// The folder.
        path: PathBuf,
    },
    /// A recipe cannot be followed.
    #[error("recipe `{}`: {reason}", path.display())]
    Recipe {
        /// The recipe.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The verifiers of a build do not fit together, or not to its rule.
    #[error("these verifiers cannot verify anything: {reason}")]
    Verifiers {
        /// What does not fit.
        reason: String,
    },
    /// A writer or verifier failed in a way that has nothing to do with one pair.
    #[error("cannot build criteria for pair `{pair_id}`")]
    Build {
        /// The pair that was being asked about.
        pair_id: String,
        /// What the writer or verifier said.
        source: omnireward_core::ModelError,
    },
    /// A pair has more responses, or more media, than can be told apart.
    #[error("pair `{pair_id}` has {parts} responses or media, and the most is {most}")]
    TooManyParts {
        /// The pair.
        pair_id: String,
        /// Its responses or its media, whichever are more.
        parts: usize,
        /// The most that it can have.
        most: usize,
    },
    /// An executor was to listen on the last port there is.
    #[error("an executor at `{address}` needs the port after it as well, and there is none")]
    NoPortAfter {
        /// Where it was to listen.
        address: std::net::SocketAddr,
    },
    /// A medium of a pair could not be read.
    #[error("a medium of pair `{pair_id}` cannot be read")]
    Media {
        /// The pair.
        pair_id: String,
        /// Why.
        source: omnireward_media::Error,
    },
    /// The writer or a verifier of a build goes on failing, and never answered.
    #[error(
        "nothing is answered by `{who}`: its first {pairs} pairs failed, beginning with {first}"
    )]
    NothingAnswered {
        /// The writer's or the verifier's name.
        who: String,
        /// How many pairs.
        pairs: u32,
        /// What the first said.
        first: String,
    },
    /// A line of a build's trail is damaged.
    #[error("`{}`, line {line}, is not a line of a build's trail: {reason}", path.display())]
    Trail {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder holds a build of another plan.
    #[error("`{}` holds another build: `{field}` was {recorded} and is now {requested}", path.display())]
    OtherBuild {
        /// The folder.
        path: PathBuf,
        /// The setting that differs.
        field: String,
        /// Its recorded value.
        recorded: String,
        /// The value asked for now.
        requested: String,
    },
    /// Another process is writing to the same build.
    #[error("`{}` is in use by another build", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

impl Error {
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
