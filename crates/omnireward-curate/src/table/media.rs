//! Where the media of a written pair go.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use omnireward_core::{MediaRef, MediaSource};
use omnireward_media::Limits;
use sha2::{Digest, Sha256};

use crate::Error;

/// How a written table has its media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaMode {
    /// As files beside the table, in `media/`: linked where the file system can do so, else copied. The name of a file
    /// that does not exist is kept.
    #[default]
    Beside,
    /// In the table itself.
    Embedded,
    /// Where they are, by absolute paths: for a table that is only read by who wrote it.
    InPlace,
}

/// A medium as a row of the column `media` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredMedium {
    pub(crate) path: Option<String>,
    pub(crate) sha256: Option<String>,
    pub(crate) bytes: Option<Arc<[u8]>>,
}

/// Puts media where a table's mode wants them.
#[derive(Debug)]
pub(crate) struct MediaStore {
    folder: PathBuf,
    mode: MediaMode,
    /// What each file is called beside the table.
    placed: HashMap<PathBuf, String>,
    taken: HashSet<String>,
    /// The number of the folder to try next for another file of a name.
    next: HashMap<String, u64>,
    /// Files that were named and do not exist.
    pub(crate) missing: u64,
}

impl MediaStore {
    pub(crate) fn new(folder: &Path, mode: MediaMode) -> Self {
        Self {
            folder: folder.to_owned(),
            mode,
            placed: HashMap::new(),
            taken: HashSet::new(),
            next: HashMap::new(),
            missing: 0,
        }
    }

    pub(crate) fn store(
        &mut self,
        pair_id: &str,
        medium: &MediaRef,
    ) -> Result<StoredMedium, Error> {
        match (&medium.source, self.mode) {
            (MediaSource::Url(_) | MediaSource::Absent { .. }, _) => Ok(StoredMedium::default()),
            (_, MediaMode::Embedded) => embedded(pair_id, medium),
            (MediaSource::Bytes { bytes, name }, _) => self.written(bytes, name.as_deref()),
            (MediaSource::File { path, .. }, MediaMode::InPlace) => {
                let path = std::path::absolute(path).map_err(Error::reading(path))?;
                Ok(named(path.to_string_lossy().into_owned()))
            }
            (MediaSource::File { path, name }, MediaMode::Beside) => self.linked(path, name),
        }
    }

    fn linked(&mut self, path: &Path, name: &str) -> Result<StoredMedium, Error> {
        if let Some(placed) = self.placed.get(path) {
            return Ok(named(placed.clone()));
        }
        if !path.exists() {
            self.missing += 1;
            return Ok(StoredMedium::default());
        }
        let own =
            plain(name).unwrap_or_else(|| PathBuf::from(path.file_name().unwrap_or_default()));
        let place = self.free(&own.to_string_lossy());
        let target = self.folder.join(&place);
        make_parent(&target)?;
        // A link costs nothing; other file systems, and some kinds of files, need a copy.
        let real = path.canonicalize().map_err(Error::reading(path))?;
        if fs::hard_link(&real, &target).is_err() {
            fs::copy(&real, &target).map_err(Error::writing(&target))?;
        }
        self.placed.insert(path.to_owned(), place.clone());
        Ok(named(place))
    }

    fn written(&mut self, bytes: &[u8], name: Option<&str>) -> Result<StoredMedium, Error> {
        let sha256 = hex(&Sha256::digest(bytes));
        let extension = name
            .and_then(|name| Path::new(name).extension())
            .map(|extension| extension.to_string_lossy().into_owned())
            .filter(|extension| extension.len() < 8 && extension.chars().all(char::is_alphanumeric))
            .map_or_else(String::new, |extension| format!(".{extension}"));
        let place = format!("media/{}/{sha256}{extension}", &sha256[..2]);
        let target = self.folder.join(&place);
        if !target.exists() {
            make_parent(&target)?;
            fs::write(&target, bytes).map_err(Error::writing(&target))?;
        }
        let path = match self.mode {
            MediaMode::InPlace => std::path::absolute(&target)
                .map_err(Error::reading(&target))?
                .to_string_lossy()
                .into_owned(),
            MediaMode::Beside | MediaMode::Embedded => place,
        };
        Ok(StoredMedium {
            path: Some(path),
            sha256: Some(sha256),
            bytes: None,
        })
    }

    /// A name below `media/` that no other file has: the own one, else in a numbered folder.
    fn free(&mut self, own: &str) -> String {
        let mut place = format!("media/{own}");
        if self.taken.contains(&place) {
            let next = self.next.entry(own.to_owned()).or_insert(2);
            // A file may be called as if it were in a numbered folder.
            while self.taken.contains(&place) {
                place = format!("media/{next}/{own}");
                *next += 1;
            }
        }
        self.taken.insert(place.clone());
        place
    }
}

fn named(path: String) -> StoredMedium {
    StoredMedium {
        path: Some(path),
        ..StoredMedium::default()
    }
}

fn embedded(pair_id: &str, medium: &MediaRef) -> Result<StoredMedium, Error> {
    let bytes =
        omnireward_media::read(medium, &Limits::default()).map_err(|source| Error::Media {
            pair_id: pair_id.to_owned(),
            source,
        })?;
    Ok(StoredMedium {
        path: None,
        sha256: Some(hex(&Sha256::digest(&bytes))),
        bytes: Some(bytes),
    })
}

/// A relative name without detours; `None` for any other.
fn plain(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    (is_plain && !name.is_empty()).then(|| path.strip_prefix("media").unwrap_or(path).to_owned())
}

fn make_parent(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(Error::writing(parent)),
        None => Ok(()),
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use omnireward_core::Modality;

    use super::*;

    fn file(path: &Path, name: &str) -> MediaRef {
        MediaRef {
            modality: Modality::Image,
            source: MediaSource::File {
                path: path.to_owned(),
                name: name.to_owned(),
            },
        }
    }

    #[test]
    fn files_of_the_same_name_get_places_of_their_own() {
        let source = tempfile::tempdir().unwrap();
        let target = tempfile::tempdir().unwrap();
        let mut store = MediaStore::new(target.path(), MediaMode::Beside);
        let mut places = Vec::new();
        for (folder, name) in [
            ("a", "x.png"),
            ("b", "x.png"),
            ("a", "x.png"),
            ("c", "../x.png"),
        ] {
            let path = source.path().join(folder).join("x.png");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, folder).unwrap();
            let stored = store.store("1", &file(&path, name)).unwrap();
            let place = stored.path.unwrap();
            assert_eq!(
                fs::read_to_string(target.path().join(&place)).unwrap(),
                folder
            );
            places.push(place);
        }
        assert_eq!(
            places,
            [
                "media/x.png",
                "media/2/x.png",
                "media/x.png",
                "media/3/x.png"
            ]
        );
    }

    #[test]
    fn a_file_called_as_in_a_numbered_folder_keeps_it() {
        let mut store = MediaStore::new(Path::new("out"), MediaMode::Beside);
        let places = ["2/x.png", "x.png", "x.png", "2/x.png"].map(|own| store.free(own));
        assert_eq!(
            places,
            [
                "media/2/x.png",
                "media/x.png",
                "media/3/x.png",
                "media/2/2/x.png"
            ]
        );
    }

    /// With a search from the beginning for each, this would take minutes.
    #[test]
    fn many_files_of_one_name_are_placed_at_once() {
        let mut store = MediaStore::new(Path::new("out"), MediaMode::Beside);
        let last = (0..100_000).map(|_| store.free("x.png")).last();
        assert_eq!(last.as_deref(), Some("media/100000/x.png"));
    }

    #[test]
    fn what_does_not_exist_is_counted_beside_and_refused_inside() {
        let target = tempfile::tempdir().unwrap();
        let gone = file(&target.path().join("gone.png"), "gone.png");
        let mut beside = MediaStore::new(target.path(), MediaMode::Beside);
        assert_eq!(beside.store("1", &gone).unwrap(), StoredMedium::default());
        assert_eq!(beside.missing, 1);
        let mut inside = MediaStore::new(target.path(), MediaMode::Embedded);
        let error = inside.store("pair-1", &gone).unwrap_err();
        assert!(error.to_string().contains("pair-1"), "{error}");
    }
}
