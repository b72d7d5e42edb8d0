//! The folder of a training: what it is made from, what it goes on from, and what it leaves.

mod record;
pub(crate) mod state;

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

pub(crate) use record::Record;
pub use state::Best;

use crate::{Error, Result};

/// Makes the folder, and keeps other processes from training in it for as long as what is returned is kept.
pub(crate) fn lock(out: &Path) -> Result<File> {
    fs::create_dir_all(out).map_err(|source| Error::io(out, source))?;
    let path = out.join(".lock");
    let file = File::create(&path).map_err(|source| Error::io(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse {
            path: out.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(Error::io(&path, source)),
    }
}

/// The checkpoint after a step.
pub(crate) fn checkpoint(out: &Path, step: u64) -> PathBuf {
    out.join("checkpoints").join(format!("step-{step:08}"))
}

/// Removes checkpoints beyond those that are to be kept.
pub(crate) fn forget_old(out: &Path, keep: usize) -> Result<()> {
    let folder = out.join("checkpoints");
    let mut kept = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|source| Error::io(&folder, source))? {
        let entry = entry.map_err(|source| Error::io(&folder, source))?;
        if entry.file_name().to_string_lossy().starts_with("step-") {
            kept.push(entry.path());
        }
    }
    kept.sort();
    for old in &kept[..kept.len().saturating_sub(keep.max(1))] {
        fs::remove_dir_all(old).map_err(|source| Error::io(old, source))?;
    }
    Ok(())
}

/// Fails before hours are spent when the disk cannot take the bytes that a training will have written in the end.
pub(crate) fn check_room(out: &Path, bytes: u64) -> Result<()> {
    // What an earlier sitting has written will be kept or replaced.
    let needed = bytes.saturating_sub(bytes_in(out));
    match omnireward_models::checkpoint::free_bytes(out) {
        Some(free) if free < needed => Err(Error::NoRoom {
            path: out.to_owned(),
            needed,
            free,
        }),
        _ => Ok(()),
    }
}

/// Bytes of all files below a folder, as far as they can be counted.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_in(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    };
    entries.filter_map(|entry| entry.ok().map(bytes)).sum()
}
