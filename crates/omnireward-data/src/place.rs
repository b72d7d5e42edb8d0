//! Putting the media of written pairs beside them.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use omnireward_core::{MediaRef, MediaSource};
use sha2::{Digest, Sha256};

use crate::{Error, confine, fingerprint::hex};

/// Where a writer puts media, and what it calls them.
pub(crate) struct MediaFolder {
    /// Names are relative to this folder.
    root: PathBuf,
    /// New files go here, below the root; empty for the root itself.
    new: &'static str,
    /// Whether a file is linked rather than copied.
    links: bool,
    /// Whether bytes that came without a file are called by their content, whatever name came with them.
    by_content: bool,
}

impl MediaFolder {
    /// Names are relative to `root`; new files go to `root/new`.
    pub(crate) fn beside(root: &Path, new: &'static str) -> Self {
        Self {
            root: root.to_owned(),
            new,
            links: false,
            by_content: false,
        }
    }

    /// The same folder, where files get a second name instead of a copy.
    pub(crate) fn linking(mut self) -> Self {
        self.links = true;
        self
    }

    /// The same folder, where bytes are called by their content: the same bytes are written once, and nothing has to be
    /// compared.
    pub(crate) fn by_content(mut self) -> Self {
        self.by_content = true;
        self
    }

    /// Makes a medium available below the root and returns its name. Remote and absent media, and
    /// files that do not exist, keep their names.
    pub(crate) fn place(&self, media: &MediaRef) -> Result<String, Error> {
        match &media.source {
            MediaSource::Url(url) => Ok(url.clone()),
            MediaSource::Absent { name } => Ok(name.clone()),
            MediaSource::File { path, name } => self.place_file(path, name),
            MediaSource::Bytes { bytes, name } => self.place_bytes(bytes, name.as_deref()),
        }
    }

    fn place_file(&self, path: &Path, name: &str) -> Result<String, Error> {
        if let Some(name) = self.name_below_root(path) {
            return Ok(name);
        }
        if !path.exists() {
            return Ok(name.to_owned());
        }
        let Some(wanted) = self.own_name(name) else {
            let bytes = fs::read(path).map_err(Error::reading(path))?;
            return self.place_bytes(&bytes, None);
        };
        let target = self.root.join(&wanted);
        if !target.exists() {
            return self.bring(path, &target).map(|()| wanted);
        }
        if same_content(path, &target)? {
            return Ok(wanted);
        }
        let bytes = fs::read(path).map_err(Error::reading(path))?;
        self.place_bytes(&bytes, None)
    }

    fn bring(&self, from: &Path, to: &Path) -> Result<(), Error> {
        if !self.links {
            return copy_file(from, to);
        }
        make_parent(to)?;
        // A hub's snapshot is made of links, and a second name for a link would lead out of the folder.
        let file = from.canonicalize().map_err(Error::reading(from))?;
        fs::hard_link(&file, to).map_err(|source| Error::Link {
            from: file,
            to: to.to_owned(),
            source,
        })
    }

    /// The name that a medium gets when it is new.
    pub(crate) fn name_of(&self, media: &MediaRef) -> String {
        match &media.source {
            MediaSource::Bytes { bytes, name: None } => self.below_new(&name_by_content(bytes)),
            _ => self
                .own_name(media.name())
                .unwrap_or_else(|| media.name().to_owned()),
        }
    }

    fn place_bytes(&self, bytes: &[u8], name: Option<&str>) -> Result<String, Error> {
        let own = name
            .filter(|_| !self.by_content)
            .and_then(|name| self.own_name(name))
            .filter(|name| self.is_free(name, bytes));
        let wanted = own.unwrap_or_else(|| self.below_new(&name_by_content(bytes)));
        let target = self.root.join(&wanted);
        if !target.exists() {
            through_part(&target, |part| fs::write(part, bytes))?;
        }
        Ok(wanted)
    }

    /// Whether no other content has the name.
    fn is_free(&self, name: &str, bytes: &[u8]) -> bool {
        let target = self.root.join(name);
        !target.exists() || fs::read(&target).is_ok_and(|existing| existing == bytes)
    }

    /// The dataset's own name for a medium, where it can be that of a file below the root.
    fn own_name(&self, name: &str) -> Option<String> {
        let own = confine::spelled_inside(name).ok()?;
        Some(self.below_new(&own.to_string_lossy().replace('\\', "/")))
    }

    fn below_new(&self, name: &str) -> String {
        if self.new.is_empty() || name.starts_with(&format!("{}/", self.new)) {
            name.to_owned()
        } else {
            format!("{}/{name}", self.new)
        }
    }

    fn name_below_root(&self, path: &Path) -> Option<String> {
        let root = confine::or_here(&self.root).canonicalize().ok()?;
        let path = path.canonicalize().ok()?;
        let below = path.strip_prefix(root).ok()?;
        Some(below.to_string_lossy().replace('\\', "/"))
    }
}

/// Whether a medium can be had: its bytes are here, its file exists, or it is remote.
pub(crate) fn is_there(media: &MediaRef) -> bool {
    match &media.source {
        MediaSource::File { path, .. } => path.exists(),
        MediaSource::Bytes { .. } | MediaSource::Url(_) => true,
        MediaSource::Absent { .. } => false,
    }
}

fn copy_file(from: &Path, to: &Path) -> Result<(), Error> {
    through_part(to, |part| fs::copy(from, part).map(|_| ()))
}

/// Writes a medium under another name first, so that a file with its own name is whole, whenever the writing is stopped.
/// Who begins again writes the same medium again, so no such name stays behind.
fn through_part(to: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Error> {
    make_parent(to)?;
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    write(Path::new(&part))
        .and_then(|()| fs::rename(&part, to))
        .map_err(Error::writing(to))
}

/// Writes a file so that readers see the old content or the new, never a part.
pub(crate) fn write_whole(to: &Path, bytes: &[u8]) -> Result<(), Error> {
    make_parent(to)?;
    let folder = confine::or_here(to.parent().unwrap_or(Path::new("")));
    let write = || {
        let mut file = tempfile::Builder::new();
        #[cfg(unix)]
        {
            // As any other file: the system takes away what the user's mask forbids.
            use std::os::unix::fs::PermissionsExt;
            file.permissions(fs::Permissions::from_mode(0o666));
        }
        let mut file = file.tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.persist(to).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(Error::writing(to))
}

fn make_parent(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(Error::writing(parent)),
        None => Ok(()),
    }
}

fn same_content(a: &Path, b: &Path) -> Result<bool, Error> {
    if is_same_file(a, b) {
        return Ok(true);
    }
    let size = |path: &Path| {
        path.metadata()
            .map(|meta| meta.len())
            .map_err(Error::reading(path))
    };
    if size(a)? != size(b)? {
        return Ok(false);
    }
    let open = |path: &Path| fs::File::open(path).map_err(Error::reading(path));
    same_bytes(open(a)?, open(b)?).map_err(Error::reading(a))
}

/// Whether both names lead to one file, as far as the system tells.
fn is_same_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let (Ok(a), Ok(b)) = (a.metadata(), b.metadata()) {
            return (a.dev(), a.ino()) == (b.dev(), b.ino());
        }
    }
    a == b
}

fn same_bytes(a: fs::File, b: fs::File) -> io::Result<bool> {
    let mut a = io::BufReader::new(a).bytes();
    let mut b = io::BufReader::new(b).bytes();
    loop {
        match (a.next().transpose()?, b.next().transpose()?) {
            (None, None) => return Ok(true),
            (x, y) if x != y => return Ok(false),
            _ => {}
        }
    }
}

/// A name for bytes that came without one.
fn name_by_content(bytes: &[u8]) -> String {
    let digest = hex(&Sha256::digest(bytes));
    let extension =
        omnireward_media::sniff(bytes).map_or("bin", |format| extension_of(format.media_type()));
    format!("{}.{extension}", &digest[..24])
}

/// A usual file extension for a media type.
fn extension_of(media_type: &str) -> &str {
    match media_type {
        "image/jpeg" => "jpg",
        "video/x-msvideo" => "avi",
        "audio/mpeg" => "mp3",
        "audio/mp4" => "m4a",
        "model/gltf+json" => "gltf",
        "model/gltf-binary" => "glb",
        other => other.rsplit('/').next().unwrap_or("bin"),
    }
}
