//! One module a format: how it is recognised, and how its records become pairs.

// mod omni;
// mod omni_json;
// mod omni_parquet;
mod pairs_jsonl;

use std::path::{Path, PathBuf};

use crate::{Error, Format, OpenOptions, Part};

pub use pairs_jsonl::pairs_jsonl;

/// What the program knows about a format.
pub(crate) struct Entry {
    pub(crate) format: Format,
    /// What the format consists of, for messages: "looked for …".
    pub(crate) looked_for: &'static str,
    /// Whether a file or folder is in the format. Reads as little as possible.
    pub(crate) matches: fn(&Path) -> bool,
    /// The parts of a dataset in the format. Empty when its files are not there.
    pub(crate) open: fn(&Path, &OpenOptions) -> Result<Vec<Part>, Error>,
}

/// All formats. Each is recognised by something that the others lack, so the order means nothing.
pub(crate) const TABLE: &[Entry] = &[
    Entry {
        format: Format::Pairs,
        looked_for: "a `.jsonl` file, or one in a folder, of objects with `id`, `prompt` and `responses`",
        matches: pairs_jsonl::matches,
        open: pairs_jsonl::open,
    },
];

/// `path` itself when it is a file with the extension, else such files directly in the folder,
/// in the order of their names.
pub(crate) fn files_with_extension(path: &Path, extension: &str) -> Vec<PathBuf> {
    let has_extension =
        |file: &Path| file.is_file() && file.extension().is_some_and(|found| found == extension);
    if has_extension(path) {
        return vec![path.to_owned()];
    }
    let Ok(entries) = path.read_dir() else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| has_extension(file))
        .collect();
    files.sort_unstable();
    files
}

/// As [`files_with_extension`], for files with one JSON object a line.
pub(crate) fn jsonl_files(path: &Path) -> Vec<PathBuf> {
    files_with_extension(path, "jsonl")
}
