//! Pairs as parquet tables: whole, and beside each pair the columns that queries need.
//!
//! | column | type | holds |
//! |---|---|---|
//! | `id`, `task` | string | the pair's id; the task's code |
//! | `source`, `group`, `criterion`, `label` | string or null | as in the pair |
//! | `prompt` | string | the prompt's texts, joined by newlines |
//! | `responses` | list of strings | each response's texts, joined by newlines |
//! | `images`, `videos`, `audios`, `meshes` | uint32 | how many media of the kind the pair has |
//! | `pair` | string | the pair itself, as one line of our JSON format |
//! | `media` | list of `{path, sha256, bytes}`, each or null | its media, in the order prompt, first response, second response, … |
//!
//! A medium has `bytes` where it is embedded; else `path`, below the table's folder; else neither, and its name in `pair`
//! says where it is. Files hold up to [`TableConfig::rows`] rows, in row groups that a reader can hold in memory, and are
//! compressed with zstandard. `omnireward_data::open` reads such a folder as `pairs-parquet`, and nothing of a pair is lost.

mod columns;
mod copy;
mod ingest;
mod media;
mod writer;

pub use ingest::{Ingested, Input, InputSummary};
pub use media::MediaMode;
pub use writer::{TableConfig, TableWriter, Written};

pub(crate) use columns::List;
pub(crate) use copy::{Fate, RowName};
pub(crate) use ingest::{UseRow, WorkTable, batches, size_of};
pub(crate) use media::hex;
pub(crate) use writer::{ParquetFile, files_in, whole_file};
