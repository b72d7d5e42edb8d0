//! Names of media in datasets, kept inside the dataset's root.
//!
//! Datasets come from people we do not know. A name may be any string, so before it becomes a path
//! it is checked by its spelling, and what exists of it on disk is checked after following links.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use omnireward_core::{MediaRef, MediaSource, Modality};

use crate::{Error, OpenOptions, RowError, hub};

/// The rule that a dataset's name for a medium breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The name is empty.
    #[error("it is empty")]
    Empty,
    /// The name contains a NUL character.
    #[error("it contains a NUL character")]
    Nul,
    /// The name starts at the root of the file system or names a drive.
    #[error("it is absolute")]
    Absolute,
    /// The name climbs out of the dataset's root.
    #[error("it climbs out of the dataset")]
    Climbs,
    /// A symbolic link on the way leaves the dataset's root.
    #[error("a symbolic link on the way leaves the dataset")]
    LeavesByLink,
    /// The name is a remote address, and those were not allowed.
    #[error("it is remote, and remote media were not allowed")]
    Remote,
    /// What exists of the path could not be examined.
    #[error("the path cannot be examined ({0})")]
    Unexamined(io::ErrorKind),
}

/// A reference to the medium that a dataset calls `name`.
///
/// A relative path stays inside `root`; a file that does not exist still gives a reference, and is
/// found missing when it is opened. An `http` or `https` address gives a remote reference when
/// [`OpenOptions::allow_urls`] is set.
///
/// # Errors
///
/// [`Error::Path`] when the name is empty, absolute, names a drive, contains NUL, climbs out of
/// the root by `..` or by a symbolic link, or is remote without leave.
pub fn resolve(
    root: &Path,
    name: &str,
    modality: Modality,
    options: &OpenOptions,
) -> Result<MediaRef, Error> {
    checked(root, name, modality, options).map_err(|source| Error::Path {
        name: name.to_owned(),
        source,
    })
}

/// As [`resolve`], for use while a record is converted.
pub(crate) fn media(
    root: &Path,
    name: &str,
    modality: Modality,
    options: &OpenOptions,
) -> Result<MediaRef, RowError> {
    checked(root, name, modality, options).map_err(|source| RowError::Path {
        name: name.to_owned(),
        source,
    })
}

/// As [`media`], for media that may be in any of several folders: the file in the first folder that
/// has it, or where it should have been in the first folder of all.
pub(crate) fn media_in(
    folders: &[PathBuf],
    name: &str,
    modality: Modality,
    options: &OpenOptions,
) -> Result<MediaRef, RowError> {
    let mut expected = None;
    for folder in folders {
        let medium = media(folder, name, modality, options)?;
        match &medium.source {
            MediaSource::File { path, .. } if !path.is_file() => {
                expected.get_or_insert(medium);
            }
            _ => return Ok(medium),
        }
    }
    Ok(expected.expect("a dataset has at least its own folder"))
}

fn checked(
    root: &Path,
    name: &str,
    modality: Modality,
    options: &OpenOptions,
) -> Result<MediaRef, PathError> {
    let source = if is_remote(name) {
        if !options.allow_urls {
            return Err(PathError::Remote);
        }
        MediaSource::Url(name.to_owned())
    } else {
        MediaSource::File {
            path: inside(root, name)?,
            name: name.to_owned(),
        }
    };
    Ok(MediaRef { modality, source })
}

/// Whether a name is an address with a scheme, `https://…` and the like.
pub(crate) fn is_remote(name: &str) -> bool {
    name.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

/// The path of `name` under `root`, when both its spelling and what exists of it stay inside.
pub(crate) fn inside(root: &Path, name: &str) -> Result<PathBuf, PathError> {
    let path = root.join(spelled_inside(name)?);
    follow_inside(root, &path)?;
    Ok(path)
}

/// `name` as a relative path without `.` and `..`.
///
/// Backslashes separate as well: a dataset made on Windows may use them, and on Windows they would
/// be separators whatever was meant.
pub(crate) fn spelled_inside(name: &str) -> Result<PathBuf, PathError> {
    if name.is_empty() {
        return Err(PathError::Empty);
    }
    if name.contains('\0') {
        return Err(PathError::Nul);
    }
    let name = name.replace('\\', "/");
    if name.starts_with('/') || has_drive(&name) {
        return Err(PathError::Absolute);
    }
    let mut path = PathBuf::new();
    for component in Path::new(&name).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            Component::ParentDir => return Err(PathError::Climbs),
            Component::RootDir | Component::Prefix(_) => return Err(PathError::Absolute),
        }
    }
    if path.as_os_str().is_empty() {
        return Err(PathError::Empty);
    }
    Ok(path)
}

fn has_drive(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':'
}

/// Checks the longest part of `path` that exists, after following links. What does not exist
/// cannot lead anywhere.
fn follow_inside(root: &Path, path: &Path) -> Result<(), PathError> {
    let unexamined = |error: io::Error| PathError::Unexamined(error.kind());
    let real_root = match or_here(root).canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unexamined(error)),
    };
    // The files of a hub snapshot are links into the same repository's blobs.
    let blobs = hub::shared_blobs(&real_root);
    let stays_inside = |real: &Path| {
        real.starts_with(&real_root) || blobs.as_ref().is_some_and(|blobs| real.starts_with(blobs))
    };
    for ancestor in path.ancestors().take_while(|ancestor| *ancestor != root) {
        match ancestor.canonicalize() {
            Ok(real) if stays_inside(&real) => return Ok(()),
            Ok(_) => return Err(PathError::LeavesByLink),
            // A link to nowhere "does not exist", but somebody may create what it names.
            Err(_) if ancestor.is_symlink() => return Err(PathError::LeavesByLink),
            Err(error) if is_absence(&error) => {}
            Err(error) => return Err(unexamined(error)),
        }
    }
    Ok(())
}

/// The folder itself; the current one for the empty path, which is the parent of a bare file name
/// and which the system does not know.
pub(crate) fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    }
}

/// `NotADirectory`: a file stands where the name has a folder. `InvalidFilename`: a component is
/// longer than the system allows, so no such file can exist.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn resolved(root: &Path, name: &str) -> Result<PathBuf, PathError> {
        match checked(root, name, Modality::Image, &OpenOptions::default())?.source {
            MediaSource::File { path, name: kept } => {
                assert_eq!(kept, name);
                Ok(path)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_that_leave_the_root_are_refused() {
        let root = tempfile::tempdir().unwrap();
        for (name, error) in [
            ("", PathError::Empty),
            (".", PathError::Empty),
            ("a/..", PathError::Empty),
            ("a\0b", PathError::Nul),
            ("/etc/passwd", PathError::Absolute),
            ("\\\\server\\share", PathError::Absolute),
            ("C:\\x", PathError::Absolute),
            ("c:x", PathError::Absolute),
            ("..", PathError::Climbs),
            ("a/../../x", PathError::Climbs),
            ("..\\x", PathError::Climbs),
            ("https://example.org/x.png", PathError::Remote),
            ("file:///etc/passwd", PathError::Remote),
        ] {
            assert_eq!(resolved(root.path(), name), Err(error), "{name:?}");
        }
    }

    #[test]
    fn names_that_stay_inside_are_kept_whether_or_not_the_file_exists() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        for (name, path) in [
            ("a.png", "a.png"),
            ("./a/b.png", "a/b.png"),
            ("a/../b.png", "b.png"),
            ("a\\b.png", "a/b.png"),
            ("...", "..."),
            ("file/below.png", "file/below.png"),
            ("ünï/☃.png", "ünï/☃.png"),
        ] {
            assert_eq!(
                resolved(root.path(), name),
                Ok(root.path().join(path)),
                "{name:?}"
            );
        }
        let long = "x".repeat(5000);
        assert_eq!(resolved(root.path(), &long), Ok(root.path().join(&long)));
    }

    #[cfg(unix)]
    #[test]
    fn links_may_point_inside_but_not_outside() {
        use std::os::unix::fs::symlink;
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "").unwrap();
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir(at("folder")).unwrap();
        fs::write(at("folder/file"), "").unwrap();
        symlink("folder", at("inside")).unwrap();
        symlink(outside.path(), at("outside")).unwrap();
        symlink(outside.path().join("secret"), at("folder/secret")).unwrap();
        symlink(outside.path().join("nothing"), at("dangling")).unwrap();
        assert!(resolved(root.path(), "inside/file").is_ok());
        assert!(resolved(root.path(), "inside/new").is_ok());
        for name in [
            "outside",
            "outside/secret",
            "outside/new/file",
            "folder/secret",
            "inside/secret",
            "dangling",
        ] {
            assert_eq!(
                resolved(root.path(), name),
                Err(PathError::LeavesByLink),
                "{name}"
            );
        }
        // The root itself may be reached through a link.
        let link = outside.path().join("root");
        symlink(root.path(), &link).unwrap();
        assert!(resolved(&link, "folder/file").is_ok());
        assert_eq!(
            resolved(&link, "outside/secret"),
            Err(PathError::LeavesByLink)
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_below_a_relative_root_too() {
        let outside = tempfile::tempdir().unwrap();
        let here = tempfile::tempdir_in(".").unwrap();
        let folder = here.path().file_name().unwrap().to_str().unwrap();
        std::os::unix::fs::symlink(outside.path(), here.path().join("out")).unwrap();
        fs::write(here.path().join("in"), "").unwrap();
        // A dataset that is named by a bare file name has the empty path for its root.
        for (root, before) in [("", format!("{folder}/")), (folder, String::new())] {
            let resolved = |name: &str| resolved(Path::new(root), &format!("{before}{name}"));
            assert_eq!(
                resolved("out/secret"),
                Err(PathError::LeavesByLink),
                "{root:?}"
            );
            assert_eq!(resolved("in"), Ok(Path::new(folder).join("in")));
        }
    }

    #[test]
    fn remote_media_need_leave() {
        let allowed = OpenOptions {
            allow_urls: true,
            ..OpenOptions::default()
        };
        let url = "https://example.org/a.png";
        let media = resolve(Path::new("x"), url, Modality::Image, &allowed).unwrap();
        assert_eq!(media.source, MediaSource::Url(url.to_owned()));
        let refused = resolve(
            Path::new("x"),
            url,
            Modality::Image,
            &OpenOptions::default(),
        );
        assert!(refused.unwrap_err().to_string().contains(url));
    }

    fn hostile_name() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("..".to_owned()),
            Just(".".to_owned()),
            Just(String::new()),
            Just("out".to_owned()),
            Just("C:".to_owned()),
            "[a-z.]{1,4}",
            any::<String>(),
        ];
        let separator = prop_oneof![Just("/"), Just("\\"), Just("//")];
        prop::collection::vec((piece, separator), 1..6).prop_map(|parts| {
            parts
                .into_iter()
                .flat_map(|(piece, separator)| [piece, separator.to_owned()])
                .collect()
        })
    }

    proptest! {
        #[test]
        fn whatever_the_name_an_accepted_path_stays_inside(name in hostile_name()) {
            let root = Path::new("/nowhere/root");
            if let Ok(path) = spelled_inside(&name) {
                prop_assert!(root.join(&path).starts_with(root));
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert!(!path.as_os_str().is_empty());
            }
        }

        #[cfg(unix)]
        #[test]
        fn whatever_the_name_what_exists_of_it_is_inside(name in hostile_name()) {
            let outside = tempfile::tempdir().unwrap();
            let root = tempfile::tempdir().unwrap();
            std::os::unix::fs::symlink(outside.path(), root.path().join("out")).unwrap();
            fs::create_dir(root.path().join("a")).unwrap();
            if let Ok(path) = inside(root.path(), &name) {
                let existing = path.ancestors().find_map(|part| part.canonicalize().ok()).unwrap();
                prop_assert!(existing.starts_with(root.path().canonicalize().unwrap()));
            }
        }
    }
}
