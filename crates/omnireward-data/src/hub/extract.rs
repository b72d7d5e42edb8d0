//! Extracting the media archive of a snapshot, once and whole.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use zip::ZipArchive;

use super::HubError;
use crate::{Error, confine};

/// The most that an archive may unfold to, in bytes: ten times the published one.
const MAX_BYTES: u64 = 40 << 30;

/// Extracts `archive` to the folder `target`, unless that was done before. The folder appears when
/// everything is in it, so that a stopped extraction leaves nothing that looks complete.
pub(super) fn once(archive: &Path, target: &Path) -> Result<(), Error> {
    if target.is_dir() {
        return Ok(());
    }
    let parent = target.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(parent).map_err(Error::writing(parent))?;
    let folder = tempfile::Builder::new()
        .prefix(".extracting-")
        .tempdir_in(parent)
        .map_err(Error::writing(parent))?;
    extract(archive, folder.path(), MAX_BYTES)?;
    let folder = folder.keep();
    match fs::rename(&folder, target) {
        Ok(()) => Ok(()),
        // Somebody else was faster.
        Err(_) if target.is_dir() => fs::remove_dir_all(&folder).map_err(Error::writing(&folder)),
        Err(error) => Err(Error::writing(target)(error)),
    }
}

fn extract(archive: &Path, folder: &Path, max_bytes: u64) -> Result<(), Error> {
    let broken = |source| HubError::Archive {
        archive: archive.to_owned(),
        source,
    };
    let opened = File::open(archive).map_err(Error::reading(archive))?;
    let mut zip = ZipArchive::new(io::BufReader::new(opened)).map_err(broken)?;
    let strip = is_wrapped(&zip);
    let mut left = max_bytes;
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let refused = |reason: String| HubError::ArchiveEntry {
            archive: archive.to_owned(),
            entry: name.clone(),
            reason,
        };
        if entry.is_symlink() {
            return Err(refused("is a symbolic link".to_owned()).into());
        }
        let inside = confine::spelled_inside(&name).map_err(|rule| refused(rule.to_string()))?;
        let Some(inside) = unwrapped(&inside, strip) else {
            continue;
        };
        let path = folder.join(inside);
        if entry.is_dir() {
            fs::create_dir_all(&path).map_err(Error::writing(&path))?;
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::writing(parent))?;
        }
        let mut out = File::create_new(&path).map_err(Error::writing(&path))?;
        let written = io::copy(&mut (&mut entry).take(left + 1), &mut out)
            .map_err(|error| broken(error.into()))?;
        left = left
            .checked_sub(written)
            .ok_or_else(|| refused(format!("unfolds to more than {max_bytes} bytes in all")))?;
    }
    Ok(())
}

/// Whether everything in the archive is in one folder `media_data/`.
fn is_wrapped<R: Read + io::Seek>(zip: &ZipArchive<R>) -> bool {
    zip.file_names()
        .all(|name| name.is_ok_and(|name| name.starts_with("media_data/")))
}

/// The path without its first folder when that wraps everything; `None` for the folder itself.
fn unwrapped(path: &Path, strip: bool) -> Option<PathBuf> {
    let skipped = usize::from(strip);
    let rest: PathBuf = path.components().skip(skipped).collect();
    (!rest.as_os_str().is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn archive(folder: &Path, entries: &[(&str, &[u8])]) -> PathBuf {
        let path = folder.join("a.zip");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        for (name, content) in entries {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap();
        path
    }

    #[test]
    fn a_wrapping_folder_is_removed_and_a_second_call_does_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let zip = archive(
            dir.path(),
            &[("media_data/a/x.png", b"1"), ("media_data/y.wav", b"22")],
        );
        let target = dir.path().join("out/media_data");
        once(&zip, &target).unwrap();
        assert_eq!(fs::read(target.join("a/x.png")).unwrap(), b"1");
        assert_eq!(fs::read(target.join("y.wav")).unwrap(), b"22");
        fs::remove_file(&zip).unwrap();
        once(&zip, &target).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("out")).unwrap().count(), 1);
    }

    #[test]
    fn entries_that_climb_out_are_refused_and_nothing_is_left() {
        for name in [
            "../evil",
            "a/../../evil",
            "/etc/evil",
            "C:\\evil",
            "..\\evil",
        ] {
            let dir = tempfile::tempdir().unwrap();
            let zip = archive(dir.path(), &[("good", b"1"), (name, b"2")]);
            let target = dir.path().join("out/media_data");
            let error = once(&zip, &target).unwrap_err().to_string();
            assert!(error.contains("refused"), "{name}: {error}");
            assert!(!target.exists());
            assert_eq!(
                fs::read_dir(dir.path().join("out")).unwrap().count(),
                0,
                "{name}"
            );
            assert!(!dir.path().join("evil").exists());
        }
    }

    #[test]
    fn links_and_too_much_content_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("link.zip");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        zip.add_symlink("link", "/etc", SimpleFileOptions::default())
            .unwrap();
        zip.finish().unwrap();
        let error = once(&path, &dir.path().join("m")).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");
        let zip = archive(dir.path(), &[("zeros", &[0; 1000])]);
        fs::create_dir(dir.path().join("small")).unwrap();
        let error = extract(&zip, &dir.path().join("small"), 999)
            .unwrap_err()
            .to_string();
        assert!(error.contains("999 bytes"), "{error}");
    }

    #[test]
    fn what_is_not_an_archive_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.zip");
        fs::write(&path, "no").unwrap();
        let error = once(&path, &dir.path().join("m")).unwrap_err().to_string();
        assert!(error.contains("a.zip"), "{error}");
    }
}
