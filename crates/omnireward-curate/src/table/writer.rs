//! Writing tables: sharded, compressed, in row groups that a reader can hold.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef},
    parquet::{
        arrow::ArrowWriter,
        basic::{Compression, ZstdLevel},
        file::properties::WriterProperties,
    },
};
use omnireward_core::PreferencePair;

use super::{
    columns::Rows,
    media::{MediaMode, MediaStore, StoredMedium},
};
use crate::Error;

/// A row group is closed when its rows hold about this many bytes, or this many rows.
const GROUP_BYTES: usize = 16 << 20;
const GROUP_ROWS: usize = 8192;

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// Rows in a file.
    pub rows: usize,
    /// How media are kept.
    pub media: MediaMode,
}

impl Default for TableConfig {
    fn default() -> Self {
        Self {
            rows: 65_536,
            media: MediaMode::Beside,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The files, in the order of their rows.
    pub files: Vec<PathBuf>,
    /// All rows.
    pub rows: u64,
    /// Media that were named, and whose files do not exist.
    pub missing_media: u64,
}

/// Writes pairs as a folder of parquet files, `pairs-00000.parquet` and so on.
pub struct TableWriter {
    folder: PathBuf,
    config: TableConfig,
    store: MediaStore,
    waiting: Rows,
    file: Option<ParquetFile>,
    written: Written,
}

impl std::fmt::Debug for TableWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableWriter")
            .field("folder", &self.folder)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

impl TableWriter {
    /// A writer into a folder, which is made.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] when the folder cannot be made.
    pub fn create(folder: &Path, config: TableConfig) -> Result<Self, Error> {
        Self::with_place(folder, config, false)
    }

    /// As [`create`](Self::create), with columns for where each row stood.
    pub(crate) fn with_place(
        folder: &Path,
        config: TableConfig,
        with_place: bool,
    ) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(Error::writing(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            config,
            store: MediaStore::new(folder, config.media),
            waiting: Rows::new(with_place),
            file: None,
            written: Written::default(),
        })
    }

    /// Adds a pair.
    ///
    /// # Errors
    ///
    /// [`Error::Media`] when a medium that is to be embedded cannot be read; else when something cannot be written.
    pub fn push(&mut self, pair: &PreferencePair) -> Result<(), Error> {
        self.push_placed(pair, (0, 0)).map(|_| ())
    }

    pub(crate) fn push_placed(
        &mut self,
        pair: &PreferencePair,
        place: (u64, u32),
    ) -> Result<Vec<StoredMedium>, Error> {
        let media = self.waiting.push(pair, place, &mut self.store)?;
        self.written.rows += 1;
        if self.is_full() {
            self.flush()?;
        }
        Ok(media)
    }

    /// Adds rows without media, which are in the columns of a table already.
    pub(crate) fn push_batch(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.flush()?;
        let mut start = 0;
        while start < batch.num_rows() {
            let file = self.open_file()?;
            let length = (file.rows_left).min(batch.num_rows() - start);
            file.write(&batch.slice(start, length))?;
            start += length;
            self.written.rows += length as u64;
            self.close_full_file()?;
        }
        Ok(())
    }

    /// Whether the waiting rows fill a row group, or the file.
    fn is_full(&self) -> bool {
        let left = self
            .file
            .as_ref()
            .map_or(self.config.rows, |file| file.rows_left);
        self.waiting.bytes() >= GROUP_BYTES || self.waiting.len() >= GROUP_ROWS.min(left)
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.waiting.len() == 0 {
            return Ok(());
        }
        let batch = self.waiting.take();
        self.open_file()?.write_group(&batch)?;
        self.close_full_file()
    }

    fn open_file(&mut self) -> Result<&mut ParquetFile, Error> {
        if self.file.is_none() {
            let name = format!("pairs-{:05}.parquet", self.written.files.len());
            let mut file =
                ParquetFile::create(&self.folder.join(name), self.waiting.schema().clone())?;
            file.rows_left = self.config.rows.max(1);
            self.file = Some(file);
        }
        Ok(self.file.as_mut().expect("a file was just opened"))
    }

    fn close_full_file(&mut self) -> Result<(), Error> {
        let is_full = self.file.as_ref().is_some_and(|file| file.rows_left == 0);
        if is_full { self.close_file() } else { Ok(()) }
    }

    fn close_file(&mut self) -> Result<(), Error> {
        if let Some(file) = self.file.take() {
            self.written.files.push(file.finish()?);
        }
        Ok(())
    }

    /// Writes what is left. A table without rows is one empty file, so that it can be read.
    ///
    /// # Errors
    ///
    /// When something cannot be written.
    pub fn finish(mut self) -> Result<Written, Error> {
        self.flush()?;
        self.close_file()?;
        if self.written.files.is_empty() {
            let path = self.folder.join("pairs-00000.parquet");
            let file = ParquetFile::create(&path, self.waiting.schema().clone())?;
            self.written.files.push(file.finish()?);
        }
        self.written.missing_media = self.store.missing;
        Ok(self.written)
    }
}

/// A parquet file that appears under its name when it is whole.
pub(crate) struct ParquetFile {
    path: PathBuf,
    begun: PathBuf,
    writer: ArrowWriter<File>,
    /// How many rows more belong in the file, where that is limited.
    rows_left: usize,
}

impl ParquetFile {
    pub(crate) fn create(path: &Path, schema: SchemaRef) -> Result<Self, Error> {
        let begun = path.with_extension("begun");
        let file = File::create(&begun).map_err(Error::writing(&begun))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            // Versions of the writer are not part of the content.
            .set_created_by("omnireward".to_owned())
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(file, schema, Some(properties)).map_err(parquet(path))?;
        Ok(Self {
            path: path.to_owned(),
            begun,
            writer,
            rows_left: usize::MAX,
        })
    }

    /// Adds rows to the current row group.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.rows_left -= batch.num_rows();
        self.writer.write(batch).map_err(parquet(&self.path))
    }

    /// Adds rows as a row group of their own.
    pub(crate) fn write_group(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.write(batch)?;
        self.writer.flush().map_err(parquet(&self.path))
    }

    pub(crate) fn finish(self) -> Result<PathBuf, Error> {
        self.writer.close().map_err(parquet(&self.path))?;
        fs::rename(&self.begun, &self.path).map_err(Error::writing(&self.path))?;
        Ok(self.path)
    }
}

pub(crate) fn parquet(
    path: &Path,
) -> impl FnOnce(datafusion::parquet::errors::ParquetError) -> Error {
    let path = path.to_owned();
    move |source| Error::Parquet { path, source }
}

/// The parquet files directly in a folder, in the order of their names.
pub(crate) fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in folder.read_dir().map_err(Error::reading(folder))? {
        let path = entry.map_err(Error::reading(folder))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "parquet")
        {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Writes a file that appears when it is whole.
pub(crate) fn whole_file(path: &Path, content: &[u8]) -> Result<(), Error> {
    let begun = path.with_extension("begun");
    fs::write(&begun, content).map_err(Error::writing(&begun))?;
    fs::rename(&begun, path).map_err(Error::writing(path))
}
