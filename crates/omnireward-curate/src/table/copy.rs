//! Writing the rows of a work table again: all, some, or with a field more.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use datafusion::arrow::{
    array::{AsArray, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::{UInt32Type, UInt64Type},
};
use omnireward_core::Progress;
use serde_json::Value;

use super::{
    columns::{List, schema},
    ingest::{WorkTable, batches_of},
    writer::{TableConfig, TableWriter, Written},
};
use crate::Error;

/// What becomes of a row.
pub(crate) enum Fate {
    Keep,
    Drop,
    /// It is kept, and says something more.
    KeepWith(&'static str, Value),
}

/// Which row of which input something is, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowName {
    pub(crate) input: usize,
    pub(crate) id: String,
}

impl WorkTable {
    /// Writes the rows up to `end` to a table in `folder`, as `decide` says of each, in their order.
    pub(crate) fn copy(
        &self,
        folder: &Path,
        config: TableConfig,
        end: u64,
        progress: &dyn Progress,
        mut decide: impl FnMut(u64, usize) -> Fate,
    ) -> Result<Written, Error> {
        let mut writer = TableWriter::create(folder, config)?;
        progress.begin("writing rows", Some(end));
        for (file, batch) in self.batches(None)? {
            let batch = batch?;
            let fates: Vec<Fate> = places(&batch)
                .map(|(row, input)| {
                    if row < end {
                        decide(row, input)
                    } else {
                        Fate::Drop
                    }
                })
                .collect();
            copy_batch(&mut writer, &file, &batch, &fates)?;
            progress.advance(batch.num_rows() as u64, "");
        }
        progress.end();
        writer.finish()
    }

    /// What some rows are called.
    pub(crate) fn names(&self, wanted: &BTreeSet<u64>) -> Result<HashMap<u64, RowName>, Error> {
        let mut names = HashMap::new();
        if wanted.is_empty() {
            return Ok(names);
        }
        for (_, batch) in self.batches(Some(&["id", "row", "input"]))? {
            let batch = batch?;
            let ids = batch.column(0).as_string::<i32>();
            for (index, (row, input)) in places(&batch).enumerate() {
                if wanted.contains(&row) {
                    let id = ids.value(index).to_owned();
                    names.insert(row, RowName { input, id });
                }
            }
        }
        Ok(names)
    }

    /// All batches, in the order of rows, with the files they are in; all columns, or some.
    pub(crate) fn batches(
        &self,
        columns: Option<&'static [&'static str]>,
    ) -> Result<impl Iterator<Item = (PathBuf, Result<RecordBatch, Error>)> + use<>, Error> {
        let files = self.files()?;
        Ok(files.into_iter().flat_map(move |file| {
            let rows = batches_of(&file, columns)
                .unwrap_or_else(|error| Box::new(std::iter::once(Err(error))));
            rows.map(move |batch| (file.clone(), batch))
        }))
    }
}

/// Row and input of each row of a batch.
fn places(batch: &RecordBatch) -> impl Iterator<Item = (u64, usize)> {
    let column = |name| {
        batch
            .column_by_name(name)
            .expect("a work table says where rows stood")
    };
    let rows = column("row").as_primitive::<UInt64Type>().values();
    let inputs = column("input").as_primitive::<UInt32Type>().values();
    rows.iter()
        .zip(inputs)
        .map(|(&row, &input)| (row, input as usize))
}

fn copy_batch(
    writer: &mut TableWriter,
    file: &Path,
    batch: &RecordBatch,
    fates: &[Fate],
) -> Result<(), Error> {
    let list = List { batch, file };
    let is_plain =
        !list.has_media() && fates.iter().all(|fate| !matches!(fate, Fate::KeepWith(..)));
    if is_plain {
        // Nothing in the rows changes.
        let kept: BooleanArray = fates
            .iter()
            .map(|fate| Some(matches!(fate, Fate::Keep)))
            .collect();
        let columns = batch.columns()[..schema(false).fields().len()].to_vec();
        let plain = RecordBatch::try_new(schema(false), columns)
            .expect("a work table begins with a table's columns");
        let filtered = filter_record_batch(&plain, &kept).expect("every row has a fate");
        return writer.push_batch(&filtered);
    }
    for (row, fate) in fates.iter().enumerate() {
        match fate {
            Fate::Drop => {}
            Fate::Keep => writer.push(&list.pair(row)?)?,
            Fate::KeepWith(field, value) => {
                let mut pair = list.pair(row)?;
                pair.extra.insert((*field).to_owned(), value.clone());
                writer.push(&pair)?;
            }
        }
    }
    Ok(())
}
