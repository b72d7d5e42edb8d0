//! Identifying a dataset by the content of its label files.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use parquet::file::metadata::ParquetMetaData;
use sha2::{Digest, Sha256};

use crate::{Error, formats::parquet_rows};

/// A SHA-256 in hexadecimal over name (relative to `root`), size and content of the files, in the
/// order of their names. Of parquet files, columns called `bytes` are left out: they hold media.
/// So are the footer's places and sizes, which shift with them.
pub(crate) fn of_files<'a>(
    root: &Path,
    files: impl Iterator<Item = &'a Path>,
) -> Result<String, Error> {
    let folder = if root.is_dir() {
        root
    } else {
        root.parent().unwrap_or(Path::new(""))
    };
    let mut files: Vec<&Path> = files.collect();
    files.sort_unstable();
    files.dedup();
    let mut hasher = Sha256::new();
    for file in files {
        let name = file.strip_prefix(folder).unwrap_or(file);
        hasher.update(name.to_string_lossy().as_bytes());
        hasher.update([0]);
        let is_parquet = file
            .extension()
            .is_some_and(|extension| extension == "parquet");
        let metadata = is_parquet.then(|| parquet_rows::metadata(file));
        match metadata {
            Some(Ok(metadata)) => add_labels(file, &metadata, &mut hasher),
            // A damaged parquet file is told apart by all its bytes.
            Some(Err(_)) | None => add_whole(file, &mut hasher),
        }
        .map_err(Error::reading(file))?;
    }
    Ok(hex(&hasher.finalize()))
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

/// Feeds everything that `reader` holds to `hasher`.
pub(crate) fn add_all(mut reader: impl Read, hasher: &mut Sha256) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        hasher.update(&buffer[..read]);
    }
}

fn add_whole(file: &Path, hasher: &mut Sha256) -> io::Result<()> {
    let opened = File::open(file)?;
    hasher.update(opened.metadata()?.len().to_le_bytes());
    add_all(opened, hasher)
}

fn add_labels(file: &Path, metadata: &ParquetMetaData, hasher: &mut Sha256) -> io::Result<()> {
    for entry in metadata
        .file_metadata()
        .key_value_metadata()
        .into_iter()
        .flatten()
    {
        for text in [Some(&entry.key), entry.value.as_ref()] {
            hasher.update(text.map_or("", String::as_str));
            hasher.update([0]);
        }
    }
    let mut opened = File::open(file)?;
    for group in metadata.row_groups() {
        hasher.update(group.num_rows().to_le_bytes());
        for column in group.columns() {
            let path = column.column_path();
            hasher.update(path.string());
            hasher.update([0]);
            if path.parts().last().is_some_and(|name| name == "bytes") {
                continue;
            }
            let (start, length) = column.byte_range();
            hasher.update(length.to_le_bytes());
            opened.seek(SeekFrom::Start(start))?;
            add_all((&opened).take(length), hasher)?;
        }
    }
    Ok(())
}
