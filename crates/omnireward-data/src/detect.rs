//! Recognising a format by what is at a path.

use std::path::Path;

use crate::{
    Error, Format,
    formats::{Entry, TABLE},
};

/// The table entry for `path`: the one of `wanted`, or the only one that matches.
pub(crate) fn entry(path: &Path, wanted: Option<Format>) -> Result<&'static Entry, Error> {
    path.metadata().map_err(Error::reading(path))?;
    match wanted {
        Some(format) => Ok(named(format)),
        None => recognised(path),
    }
}

fn named(format: Format) -> &'static Entry {
    TABLE
        .iter()
        .find(|entry| entry.format == format)
        .expect("a test holds the table to every format")
}

fn recognised(path: &Path) -> Result<&'static Entry, Error> {
    let matching: Vec<&Entry> = TABLE.iter().filter(|entry| (entry.matches)(path)).collect();
    match matching[..] {
        [only] => Ok(only),
        [] => Err(Error::Unrecognised {
            path: path.to_owned(),
            looked_for: listed(
                TABLE
                    .iter()
                    .map(|entry| format!("{} ({})", entry.format, entry.looked_for)),
            ),
        }),
        _ => Err(Error::Ambiguous {
            path: path.to_owned(),
            formats: listed(matching.iter().map(|entry| entry.format.to_string())),
        }),
    }
}

fn listed(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
