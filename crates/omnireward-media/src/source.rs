use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use omnireward_core::{MediaRef, MediaSource};

use crate::{Error, Limits};

/// Reads the encoded bytes of a medium.
///
/// # Errors
///
/// [`Error::Read`] names a file that is missing or unreadable, [`Error::Remote`] a URL,
/// [`Error::Absent`] a medium that its dataset does not carry, and [`Error::LimitExceeded`] one
/// with too many bytes. A path that is not a regular file is refused, because reading a pipe or a
/// device may never end.
pub fn read(media: &MediaRef, limits: &Limits) -> Result<Arc<[u8]>, Error> {
    match &media.source {
        MediaSource::Bytes { bytes, .. } => {
            limits.check_bytes(bytes.len() as u64)?;
            Ok(Arc::clone(bytes))
        }
        MediaSource::File { path, name } => read_file(path, name, limits).map(Into::into),
        MediaSource::Url(url) => Err(Error::Remote { url: url.clone() }),
        MediaSource::Absent { name } => Err(Error::Absent { name: name.clone() }),
    }
}

/// Reads a regular file within the byte limit; `name` is what messages call it.
pub(crate) fn read_file(path: &Path, name: &str, limits: &Limits) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read {
        name: name.to_owned(),
        path: path.to_owned(),
        source,
    };
    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    limits.check_bytes(metadata.len())?;
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    // The file may grow while it is read.
    File::open(path)
        .and_then(|file| {
            file.take(limits.bytes.saturating_add(1))
                .read_to_end(&mut bytes)
        })
        .map_err(failed)?;
    limits.check_bytes(bytes.len() as u64)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, path::PathBuf};

    use omnireward_core::Modality;

    use super::*;

    fn media(source: MediaSource) -> MediaRef {
        MediaRef {
            modality: Modality::Image,
            source,
        }
    }

    fn file(path: PathBuf) -> MediaRef {
        media(MediaSource::File {
            path,
            name: "cat.png".to_owned(),
        })
    }

    #[test]
    fn files_and_bytes_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cat.png");
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(&*read(&file(path), &Limits::default()).unwrap(), b"abc");

        let embedded = media(MediaSource::Bytes {
            bytes: b"xyz"[..].into(),
            name: None,
        });
        assert_eq!(&*read(&embedded, &Limits::default()).unwrap(), b"xyz");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(&file("/nowhere/cat.png".into()), &Limits::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "could not read medium `cat.png` from `/nowhere/cat.png`"
        );
        assert!(error.source().is_some());
    }

    #[test]
    fn too_many_bytes_are_refused_before_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cat.png");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = read(&file(path), &Limits::default()).unwrap_err();
        assert!(error.is_limit(), "{error}");
    }

    #[test]
    fn folders_urls_and_absent_media_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(&file(folder.path().into()), &Limits::default()).is_err());
        let url = media(MediaSource::Url("https://example.org/a.png".to_owned()));
        assert!(matches!(
            read(&url, &Limits::default()),
            Err(Error::Remote { .. })
        ));
        let absent = media(MediaSource::Absent {
            name: "a.png".to_owned(),
        });
        assert!(matches!(
            read(&absent, &Limits::default()),
            Err(Error::Absent { name }) if name == "a.png"
        ));
    }
}
