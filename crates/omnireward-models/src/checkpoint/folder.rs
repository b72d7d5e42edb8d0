use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{Error, Result};

/// A folder that is written beside where it will be, and moved there when it is complete.
#[derive(Debug)]
pub(super) struct Folder {
    target: PathBuf,
    partial: PathBuf,
    replaces: bool,
}

impl Folder {
    pub(super) fn begin(target: &Path, replace: bool) -> Result<Self> {
        let target = std::path::absolute(target).map_err(io(target))?;
        restore(&target)?;
        let replaces = check(&target, replace)?;
        let partial = beside(&target, "partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(io(&partial))?;
        }
        fs::create_dir_all(&partial).map_err(io(&partial))?;
        Ok(Self {
            target,
            partial,
            replaces,
        })
    }

    /// Where files are written.
    pub(super) fn path(&self) -> &Path {
        &self.partial
    }

    pub(super) fn json(&self, name: &str, value: &Value) -> Result<()> {
        let path = self.partial.join(name);
        let text = serde_json::to_string_pretty(value).expect("a JSON value can be written");
        fs::write(&path, text + "\n").map_err(io(&path))
    }

    /// Fails when the disk is known to be too full.
    pub(super) fn has_room_for(&self, bytes: u64) -> Result<()> {
        match free_bytes(&self.partial) {
            Some(free) if free < bytes => Err(Error::NoRoom {
                path: self.target.clone(),
                needed: bytes,
                free,
            }),
            _ => Ok(()),
        }
    }

    /// Moves the folder to where it should be.
    pub(super) fn finish(self) -> Result<()> {
        let old = beside(&self.target, "replaced");
        if self.replaces {
            fs::rename(&self.target, &old).map_err(io(&self.target))?;
        } else if self.target.exists() {
            fs::remove_dir(&self.target).map_err(io(&self.target))?;
        }
        fs::rename(&self.partial, &self.target).map_err(io(&self.target))?;
        if self.replaces {
            fs::remove_dir_all(&old).map_err(io(&old))?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // There is nothing left of it after a success, and nobody to tell after a failure.
        let _ = fs::remove_dir_all(&self.partial);
    }
}

/// Ends a replacement that was interrupted: what was to be replaced comes back where nothing has taken its place yet, and
/// goes where something has.
fn restore(target: &Path) -> Result<()> {
    let old = beside(target, "replaced");
    if !old.exists() {
        return Ok(());
    }
    if target.exists() {
        fs::remove_dir_all(&old).map_err(io(&old))
    } else {
        fs::rename(&old, target).map_err(io(target))
    }
}

/// Whether there is something to replace. Only what is a checkpoint is ever replaced, and only when that was asked for.
fn check(target: &Path, replace: bool) -> Result<bool> {
    let is_free = match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(io(target)(error)),
    };
    if is_free {
        return Ok(false);
    }
    let is_checkpoint = target.join("config.json").is_file();
    if replace && is_checkpoint {
        return Ok(true);
    }
    Err(Error::InTheWay {
        path: target.to_owned(),
        is_checkpoint,
    })
}

fn beside(target: &Path, what: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{what}"))
}

/// Bytes that may be written to the disk of a folder, where that can be known.
#[cfg(unix)]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Bytes that may be written to the disk of a folder: not known here.
#[cfg(not(unix))]
pub fn free_bytes(_path: &Path) -> Option<u64> {
    None
}

pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(folder: &Path, says: &str) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("config.json"), says).unwrap();
    }

    fn replace(target: &Path, says: &str) {
        let folder = Folder::begin(target, true).unwrap();
        fs::write(folder.path().join("config.json"), says).unwrap();
        folder.finish().unwrap();
        assert_eq!(
            fs::read_to_string(target.join("config.json")).unwrap(),
            says
        );
        assert!(!beside(target, "replaced").exists());
    }

    #[test]
    fn a_replacement_that_was_interrupted_is_ended_first() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("best");
        // Before the new one was in place: the old one is what there is.
        checkpoint(&beside(&target, "replaced"), "first");
        drop(Folder::begin(&target, true).unwrap());
        assert_eq!(
            fs::read_to_string(target.join("config.json")).unwrap(),
            "first"
        );
        // While the old one was removed.
        checkpoint(&beside(&target, "replaced"), "zeroth");
        replace(&target, "second");
        checkpoint(&beside(&target, "replaced"), "first");
        replace(&target, "third");
    }
}
