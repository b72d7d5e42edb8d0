//! Keys on disk, spread over files so that each can be grouped on its own.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::arrow::{
    array::{RecordBatch, UInt64Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
};

use crate::{
    Error,
    table::{ParquetFile, files_in, whole_file},
};

/// Files that keys are spread over.
const FILES: usize = 32;

/// Keys of a file that wait to be written.
const WAITING: usize = 65_536;

/// A part of a row, as one number: 16 bits for which part, one for whether it is a medium, the rest for the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Unit(pub(crate) u64);

/// The most texts, and the most media, that a row can have.
pub(crate) const MOST_PARTS: usize = PART as usize;

const PART_BITS: u32 = 16;
const PART: u64 = (1 << PART_BITS) - 1;
const MEDIUM: u64 = 1 << PART_BITS;

impl Unit {
    /// The text at a place: 0 is the prompt, 1 the first response.
    pub(crate) const fn text(row: u64, place: usize) -> Self {
        Self(row << (PART_BITS + 1) | place as u64)
    }

    /// The medium that is the `index`-th of its row.
    pub(crate) const fn medium(row: u64, index: usize) -> Self {
        Self(row << (PART_BITS + 1) | MEDIUM | index as u64)
    }

    pub(crate) const fn row(self) -> u64 {
        self.0 >> (PART_BITS + 1)
    }

    /// The place of a text; `None` for a medium.
    pub(crate) fn place(self) -> Option<usize> {
        (self.0 & MEDIUM == 0).then(|| self.index())
    }

    /// Which of its row's media, or texts, it is.
    pub(crate) const fn index(self) -> usize {
        (self.0 & PART) as usize
    }
}

/// Writes keys, each with the unit that it belongs to; equal keys come to one file.
pub(crate) struct KeyFiles {
    folder: PathBuf,
    files: Vec<(Option<ParquetFile>, Vec<u64>, Vec<u64>)>,
}

impl KeyFiles {
    /// The files of `folder` if they were all written before.
    pub(crate) fn finished(folder: &Path) -> Result<Option<Vec<PathBuf>>, Error> {
        if !folder.join("whole").exists() {
            return Ok(None);
        }
        files_in(folder).map(Some)
    }

    /// Begins anew in `folder`.
    pub(crate) fn create(folder: &Path) -> Result<Self, Error> {
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(Error::writing(folder))?;
        }
        fs::create_dir_all(folder).map_err(Error::writing(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            files: (0..FILES).map(|_| (None, Vec::new(), Vec::new())).collect(),
        })
    }

    pub(crate) fn push(&mut self, key: u64, unit: Unit) -> Result<(), Error> {
        let index = (key >> 32) as usize % FILES;
        let (_, keys, units) = &mut self.files[index];
        keys.push(key);
        units.push(unit.0);
        if keys.len() >= WAITING {
            self.flush(index)?;
        }
        Ok(())
    }

    fn flush(&mut self, index: usize) -> Result<(), Error> {
        let (file, keys, units) = &mut self.files[index];
        if keys.is_empty() {
            return Ok(());
        }
        let file = match file {
            Some(file) => file,
            none => {
                let path = self.folder.join(format!("keys-{index:02}.parquet"));
                none.insert(ParquetFile::create(&path, schema())?)
            }
        };
        let [keys, units] =
            [keys, units].map(|column| Arc::new(UInt64Array::from(std::mem::take(column))));
        let batch =
            RecordBatch::try_new(schema(), vec![keys, units]).expect("every key has a unit");
        file.write(&batch)
    }

    /// Writes what waits, and says that all is there.
    pub(crate) fn finish(mut self) -> Result<Vec<PathBuf>, Error> {
        for index in 0..FILES {
            self.flush(index)?;
        }
        for (file, ..) in self.files {
            if let Some(file) = file {
                file.finish()?;
            }
        }
        whole_file(&self.folder.join("whole"), b"")?;
        files_in(&self.folder)
    }
}

fn schema() -> SchemaRef {
    let fields = ["key", "unit"].map(|name| Field::new(name, DataType::UInt64, false));
    Arc::new(Schema::new(fields.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_keeps_what_it_is_of() {
        for place in [0, 128, 256, 511, MOST_PARTS] {
            let text = Unit::text(1 << 40, place);
            assert_eq!((text.row(), text.place()), (1 << 40, Some(place)));
            let medium = Unit::medium(7, place);
            assert_eq!(
                (medium.row(), medium.place(), medium.index()),
                (7, None, place)
            );
        }
    }
}
