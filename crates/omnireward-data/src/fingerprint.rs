//! Identifying a dataset by the content of its label files.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use parquet::file::reader::{FileReader, SerializedFileReader};
use sha2::{Digest, Sha256};

use crate::Error;

/// A SHA-256 in hexadecimal over name (relative to `root`), size and content of the files, in the
/// order of their names. Of parquet files, columns called `bytes` are left out: they hold media.
pub(crate) fn of_files<'a>(
    root: &Path,
    files: impl Iterator<Item = &'a Path>,
) -> Result<String, Error> {
    let mut files: Vec<&Path> = files.collect();
    files.sort_unstable();
    files.dedup();
    let mut hasher = Sha256::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(file);
        let name = if name.as_os_str().is_empty() {
            Path::new(file.file_name().unwrap_or_default())
        } else {
            name
        };
        let size = file.metadata().map_err(Error::reading(file))?.len();
        hasher.update(name.to_string_lossy().as_bytes());
        hasher.update([0]);
        hasher.update(size.to_le_bytes());
        if file
            .extension()
            .is_some_and(|extension| extension == "parquet")
        {
            add_parquet(file, size, &mut hasher)?;
        } else {
            let opened = File::open(file).map_err(Error::reading(file))?;
            add_all(opened, &mut hasher).map_err(Error::reading(file))?;
        }
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

fn add_parquet(file: &Path, size: u64, hasher: &mut Sha256) -> Result<(), Error> {
    let open = || File::open(file).map_err(Error::reading(file));
    let parquet = SerializedFileReader::new(open()?).map_err(|source| Error::Parquet {
        file: file.to_owned(),
        source,
    })?;
    let mut data_end = 0;
    let mut ranges = Vec::new();
    for group in parquet.metadata().row_groups() {
        for column in group.columns() {
            let (start, length) = column.byte_range();
            data_end = data_end.max(start + length);
            if column
                .column_path()
                .parts()
                .last()
                .is_none_or(|name| name != "bytes")
            {
                ranges.push((start, length));
            }
        }
    }
    // The footer holds the schema, the statistics and every column's size.
    ranges.push((data_end, size.saturating_sub(data_end)));
    let mut opened = open()?;
    for (start, length) in ranges {
        opened
            .seek(SeekFrom::Start(start))
            .map_err(Error::reading(file))?;
        add_all((&opened).take(length), hasher).map_err(Error::reading(file))?;
    }
    Ok(())
}
