//! The files beside a mesh.

use std::{
    collections::HashMap,
    path::{Component, Path},
    sync::Arc,
};

use super::MeshSource;
use crate::{Error, Limits, RgbaImage, source::read_file};

/// Reads a file that a mesh names, from the mesh's folder or one below it.
///
/// # Errors
///
/// [`Error::SideFileRefused`] when the name leads out of the folder or the mesh has none,
/// [`Error::MissingSideFile`] when there is no such file.
pub(super) fn fetch(
    folder: Option<&Path>,
    mesh: &str,
    name: &str,
    limits: &Limits,
) -> Result<Vec<u8>, Error> {
    let refused = |reason| Error::SideFileRefused {
        mesh: mesh.to_owned(),
        name: name.to_owned(),
        reason,
    };
    let missing = |source| Error::MissingSideFile {
        mesh: mesh.to_owned(),
        name: name.to_owned(),
        source: Some(source),
    };
    let folder = folder.ok_or_else(|| refused("the mesh is not a file and has no folder"))?;
    // Windows programs write backslashes.
    let relative = name.replace('\\', "/");
    let stays_below = Path::new(&relative)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let has_drive = relative.as_bytes().get(1) == Some(&b':');
    if relative.is_empty() || has_drive || !stays_below {
        return Err(refused("it is not inside the folder of the mesh"));
    }
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let folder = folder.canonicalize().map_err(missing)?;
    let path = folder.join(relative).canonicalize().map_err(missing)?;
    if !path.starts_with(&folder) {
        return Err(refused(
            "it is a link that leads out of the folder of the mesh",
        ));
    }
    read_file(&path, name, limits)
}

/// How many missing files are noted. More say nothing new, and a hostile file can name a million.
const MOST_MISSING: usize = 64;

/// Fetches what a mesh names, within the limits for all of it together, each picture once.
pub(super) struct SideFiles<'a> {
    source: &'a MeshSource<'a>,
    limits: Limits,
    images: HashMap<String, Option<Arc<RgbaImage>>>,
    /// What could not be had, in the order it was asked for, up to [`MOST_MISSING`] names.
    pub(super) missing: Vec<String>,
}

impl<'a> SideFiles<'a> {
    pub(super) fn new(source: &'a MeshSource<'a>, limits: &Limits) -> Self {
        Self {
            source,
            limits: *limits,
            images: HashMap::new(),
            missing: Vec::new(),
        }
    }

    /// A file that the mesh cannot do without.
    pub(super) fn bytes(&mut self, name: &str) -> Result<Vec<u8>, Error> {
        let bytes = (self.source.side)(name)?;
        self.limits.check_bytes(bytes.len() as u64)?;
        self.limits.bytes -= bytes.len() as u64;
        Ok(bytes)
    }

    /// A file that only adds colour. Being over a limit is still an error.
    pub(super) fn optional_bytes(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.bytes(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_limit() => Err(error),
            Err(error) => {
                tracing::debug!(mesh = self.source.name, file = name, %error, "not had");
                self.note_missing(name);
                Ok(None)
            }
        }
    }

    /// A texture in a file of its own.
    pub(super) fn image_file(&mut self, name: &str) -> Result<Option<Arc<RgbaImage>>, Error> {
        if let Some(image) = self.images.get(name) {
            return Ok(image.clone());
        }
        let image = match self.optional_bytes(name)? {
            Some(bytes) => self.image(&bytes, name)?,
            None => None,
        };
        self.images.insert(name.to_owned(), image.clone());
        Ok(image)
    }

    /// A texture. One that cannot be decoded is noted under `name` as missing.
    pub(super) fn image(
        &mut self,
        bytes: &[u8],
        name: &str,
    ) -> Result<Option<Arc<RgbaImage>>, Error> {
        match crate::image::decode(bytes, &self.limits) {
            Ok(image) => {
                self.limits.pixels -= u64::from(image.width()) * u64::from(image.height());
                Ok(Some(Arc::new(image)))
            }
            Err(error) if error.is_limit() => Err(error),
            Err(error) => {
                tracing::debug!(mesh = self.source.name, file = name, %error, "not decoded");
                self.note_missing(name);
                Ok(None)
            }
        }
    }

    fn note_missing(&mut self, name: &str) {
        if self.missing.len() < MOST_MISSING && !self.missing.iter().any(|noted| noted == name) {
            self.missing.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_beside_and_below_are_read_and_others_refused() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("mesh");
        fs::create_dir_all(folder.join("textures")).unwrap();
        fs::write(folder.join("a.mtl"), b"beside").unwrap();
        fs::write(folder.join("textures/a.png"), b"below").unwrap();
        fs::write(root.path().join("secret"), b"above").unwrap();
        let fetch = |name| fetch(Some(&folder), "m.obj", name, &Limits::default());

        assert_eq!(fetch("a.mtl").unwrap(), b"beside");
        assert_eq!(fetch("./textures\\a.png").unwrap(), b"below");
        for name in [
            "../secret",
            "textures/../../secret",
            "/etc/hostname",
            "",
            "C:\\a.png",
            "..",
        ] {
            let error = fetch(name).unwrap_err();
            assert!(
                matches!(error, Error::SideFileRefused { .. }),
                "{name}: {error}"
            );
        }
        let error = fetch("b.mtl").unwrap_err();
        assert!(matches!(error, Error::MissingSideFile { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "mesh `m.obj` needs the file `b.mtl`, which is missing"
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_out_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("mesh");
        fs::create_dir(&folder).unwrap();
        fs::write(root.path().join("secret"), b"above").unwrap();
        std::os::unix::fs::symlink(root.path().join("secret"), folder.join("link")).unwrap();
        let error = fetch(Some(&folder), "m.obj", "link", &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::SideFileRefused { .. }), "{error}");
    }

    #[test]
    fn a_mesh_without_a_folder_has_no_side_files() {
        let error = fetch(None, "embedded medium", "a.mtl", &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::SideFileRefused { .. }), "{error}");
    }
}
