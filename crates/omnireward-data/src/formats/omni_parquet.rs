//! Omni-RewardBench as published on the hub: parquet files `<task>/test*.parquet`, images and
//! sounds embedded and named as well, videos named only, and media below `media_data/`.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use omnireward_core::Task;
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

use crate::{
    Error, OpenOptions, Part, RowCounter, Rows,
    formats::{
        omni::{RESPONSES, Reader, media_fields, not_empty},
        parquet_rows::{self, builder},
    },
    record::validated,
};

/// Rows decoded at once. A row may hold three pictures.
const BATCH_ROWS: usize = 4;

pub(crate) fn matches(path: &Path) -> bool {
    !files(path).is_empty()
}

pub(crate) fn open(path: &Path, options: &OpenOptions) -> Vec<Part> {
    files(path)
        .into_iter()
        .map(|found| part(found, options))
        .collect()
}

/// A parquet file of a task, in a dataset.
struct Found {
    task: Task,
    file: PathBuf,
    root: PathBuf,
}

/// The tasks' files when `path` is the dataset, one task's folder, or one file.
fn files(path: &Path) -> Vec<Found> {
    if path.is_file() {
        let folder = path.parent().unwrap_or(Path::new(""));
        return in_folder(folder)
            .into_iter()
            .filter(|found| found.file == path)
            .collect();
    }
    let of_path = in_folder(path);
    if !of_path.is_empty() {
        return of_path;
    }
    Task::ALL
        .into_iter()
        .flat_map(|task| in_folder(&path.join(task.key())))
        .collect()
}

fn in_folder(folder: &Path) -> Vec<Found> {
    let real = folder.canonicalize().ok();
    let name = real.as_deref().and_then(Path::file_name);
    let task = Task::ALL
        .into_iter()
        .find(|task| name.is_some_and(|name| *name == *task.key()));
    let (Some(task), Ok(entries)) = (task, folder.read_dir()) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| is_test_split(file))
        .collect();
    files.sort_unstable();
    let root = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => folder.join(".."),
    };
    files
        .into_iter()
        .map(|file| Found {
            task,
            file,
            root: root.clone(),
        })
        .collect()
}

fn is_test_split(file: &Path) -> bool {
    let name = file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    file.extension()
        .is_some_and(|extension| extension == "parquet")
        && name.is_some_and(|name| name.starts_with("test"))
}

fn part(Found { task, file, root }: Found, options: &OpenOptions) -> Part {
    // A file that cannot be counted says why when it is read.
    let rows = parquet_rows::count(&file).ok();
    let options = options.clone();
    Part::new(Some(task), file.clone(), rows, move || {
        let reader = Reader::new(task, &root, &options);
        Ok(not_empty(
            &file,
            read(&file, task, reader, options.rows_read.clone())?,
        ))
    })
}

fn read(file: &Path, task: Task, reader: Reader, counter: RowCounter) -> Result<Rows, Error> {
    check_columns(file, task)?;
    let mut builder = builder(file)?.with_batch_size(BATCH_ROWS);
    if media_are_files(file, task, &reader)? {
        let labels = all_but_embedded(&builder, task);
        builder = builder.with_projection(labels);
    }
    let batches = parquet_rows::batches(file, builder)?;
    let path = file.to_owned();
    let rows = parquet_rows::rows(file, batches).map(move |row| {
        let row = row?;
        counter.add();
        reader
            .pair(row.record, row.media)
            .and_then(validated)
            .map_err(|fault| fault.at(&path, row.line))
    });
    Ok(Box::new(rows))
}

/// Every column that a row cannot do without, by its possible names.
fn check_columns(file: &Path, task: Task) -> Result<(), Error> {
    let builder = builder(file)?;
    let fields = builder.schema().fields();
    let has = |name: &str| fields.find(name).is_some();
    let media = media_fields(task).find(|field| !has(field) && !has(&format!("{field}_path")));
    let plain = ["prompt", "criteria", "criteria_preference", "id"].into_iter();
    let texts = RESPONSES.into_iter().filter(|_| !task.is_generation());
    match media.or_else(|| plain.chain(texts).find(|column| !has(column))) {
        None => Ok(()),
        Some(column) => Err(Error::MissingColumn {
            file: file.to_owned(),
            column: column.to_owned(),
            found: fields
                .iter()
                .map(|field| format!("`{}`", field.name()))
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

/// Whether each medium of each row is a file of its own, so that none of the embedded bytes need
/// to be read. Costs a look at the columns with the names.
fn media_are_files(file: &Path, task: Task, reader: &Reader) -> Result<bool, Error> {
    let names: Vec<String> = media_fields(task)
        .map(|field| format!("{field}_path"))
        .collect();
    let builder = builder(file)?;
    if names
        .iter()
        .any(|name| builder.schema().fields().find(name).is_none())
    {
        return Ok(false);
    }
    let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().map(String::as_str));
    let batches = parquet_rows::batches(file, builder.with_projection(mask))?;
    for row in parquet_rows::rows(file, batches) {
        let mut record = row?.record;
        let found = |name: &String| {
            let path = record.optional_text(name).ok().flatten();
            path.is_some_and(|path| reader.finds(&path))
        };
        if !names.iter().all(found) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// All columns, without those that hold the task's media themselves.
fn all_but_embedded(builder: &ParquetRecordBatchReaderBuilder<File>, task: Task) -> ProjectionMask {
    let schema = builder.parquet_schema();
    let kept = schema
        .columns()
        .iter()
        .enumerate()
        .filter_map(|(leaf, column)| {
            let parts = column.path().parts();
            let embedded = parts.len() > 1 && media_fields(task).any(|field| field == parts[0]);
            (!embedded).then_some(leaf)
        });
    ProjectionMask::leaves(schema, kept)
}
