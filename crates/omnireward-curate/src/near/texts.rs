//! Comparing the texts of candidates, by joining them with the table.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, RecordBatch, UInt64Array},
        datatypes::{DataType, Field, Float64Type, Schema},
    },
    common::JoinType,
    dataframe::DataFrame,
    prelude::{Expr, col, lit},
};
use futures::TryStreamExt;
use omnireward_core::Progress;

use super::Unit;
use crate::{
    Error,
    engine::Engine,
    table::{ParquetFile, size_of},
};

/// Candidates that are compared at once, at most; their texts are in memory.
const CHUNK: usize = 65_536;

/// Memory for texts that are compared at once, in bytes, if all rows were as long as the mean.
const CHUNK_BYTES: u64 = 96 << 20;

/// How alike the texts of two rows are, for each pair of rows, in their order.
pub(crate) async fn rows_alike(
    engine: &Engine,
    rows: &[PathBuf],
    candidates: &[(u64, u64)],
    shingle_words: usize,
    scratch: &Path,
    progress: &dyn Progress,
) -> Result<Vec<f64>, Error> {
    let parts: Vec<Parts> = candidates
        .iter()
        .map(|&(first, second)| Parts::of_rows(first, second))
        .collect();
    let call = |engine: &Engine| {
        let arguments = [
            "first_prompt",
            "first_responses",
            "second_prompt",
            "second_responses",
        ];
        let arguments = arguments
            .map(col)
            .into_iter()
            .chain([lit(shingle_words as u64)]);
        engine.function("row_similarity").call(arguments.collect())
    };
    alike(engine, rows, &parts, call, scratch, progress).await
}

/// How alike two texts are, for each pair of texts, in their order.
pub(crate) async fn parts_alike(
    engine: &Engine,
    rows: &[PathBuf],
    candidates: &[(Unit, Unit)],
    shingle_words: usize,
    scratch: &Path,
    progress: &dyn Progress,
) -> Result<Vec<f64>, Error> {
    let parts: Vec<Parts> = candidates
        .iter()
        .map(|&(first, second)| Parts {
            rows: [first.row(), second.row()],
            places: [first, second].map(|unit| unit.place().unwrap_or_default() as u64),
        })
        .collect();
    let call = |engine: &Engine| {
        let arguments = [
            "first_prompt",
            "first_responses",
            "first_place",
            "second_prompt",
            "second_responses",
            "second_place",
        ];
        let arguments = arguments
            .map(col)
            .into_iter()
            .chain([lit(shingle_words as u64)]);
        engine.function("part_similarity").call(arguments.collect())
    };
    alike(engine, rows, &parts, call, scratch, progress).await
}

/// Two texts to compare.
#[derive(Clone, Copy, Debug)]
struct Parts {
    rows: [u64; 2],
    places: [u64; 2],
}

impl Parts {
    const fn of_rows(first: u64, second: u64) -> Self {
        Self {
            rows: [first, second],
            places: [0, 0],
        }
    }
}

async fn alike(
    engine: &Engine,
    rows: &[PathBuf],
    candidates: &[Parts],
    call: impl Fn(&Engine) -> Expr,
    scratch: &Path,
    progress: &dyn Progress,
) -> Result<Vec<f64>, Error> {
    progress.begin("comparing texts", Some(candidates.len() as u64));
    let mut found = Vec::with_capacity(candidates.len());
    let chunk_rows = if candidates.is_empty() {
        CHUNK
    } else {
        chunk_rows(rows)?
    };
    for (index, chunk) in candidates.chunks(chunk_rows).enumerate() {
        // The engine remembers files by their names.
        let file = scratch.join(format!("candidates-{index}.parquet"));
        write(&file, chunk)?;
        let plan = joined(engine, rows, &file)
            .await?
            .select(vec![col("candidate"), call(engine).alias("similarity")])?
            .sort(vec![col("candidate").sort(true, false)])?;
        let mut stream = engine.stream(plan).await?;
        let before = found.len();
        while let Some(batch) = stream.try_next().await? {
            found.extend(batch.column(1).as_primitive::<Float64Type>().values());
        }
        // What comes back is told apart by its place alone.
        let compared = found.len() - before;
        if compared != chunk.len() {
            return Err(Error::Damaged {
                path: file,
                reason: format!("of {} candidates, {compared} were compared", chunk.len()),
            });
        }
        fs::remove_file(&file).map_err(Error::writing(&file))?;
        progress.advance(chunk.len() as u64, "");
    }
    progress.end();
    Ok(found)
}

fn chunk_rows(files: &[PathBuf]) -> Result<usize, Error> {
    let (mut rows, mut bytes) = (0, 0);
    for file in files {
        let (file_rows, file_bytes) = size_of(file, &["prompt", "responses"])?;
        rows += file_rows;
        bytes += file_bytes;
    }
    let pair = 2 * bytes / rows.max(1);
    Ok(((CHUNK_BYTES / pair.max(1)) as usize).clamp(256, CHUNK))
}

/// The candidates with both texts.
async fn joined(engine: &Engine, rows: &[PathBuf], candidates: &Path) -> Result<DataFrame, Error> {
    let table = engine.table(rows).await?;
    let side = |name: &str| {
        table.clone().select(vec![
            col("row").alias(format!("{name}_row")),
            col("prompt").alias(format!("{name}_prompt")),
            col("responses").alias(format!("{name}_responses")),
        ])
    };
    Ok(engine
        .table(&[candidates.to_owned()])
        .await?
        .join(
            side("first")?,
            JoinType::Inner,
            &["first"],
            &["first_row"],
            None,
        )?
        .join(
            side("second")?,
            JoinType::Inner,
            &["second"],
            &["second_row"],
            None,
        )?)
}

fn write(path: &Path, candidates: &[Parts]) -> Result<(), Error> {
    let names = [
        "candidate",
        "first",
        "first_place",
        "second",
        "second_place",
    ];
    let fields: Vec<Field> = names
        .into_iter()
        .map(|name| Field::new(name, DataType::UInt64, false))
        .collect();
    let column = |value: &dyn Fn(&Parts) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(candidates.iter().map(value)))
    };
    let columns = vec![
        Arc::new(UInt64Array::from_iter_values(0..candidates.len() as u64)) as ArrayRef,
        column(&|parts| parts.rows[0]),
        column(&|parts| parts.places[0]),
        column(&|parts| parts.rows[1]),
        column(&|parts| parts.places[1]),
    ];
    let schema = Arc::new(Schema::new(fields));
    let batch =
        RecordBatch::try_new(schema.clone(), columns).expect("every candidate fills every column");
    let mut file = ParquetFile::create(path, schema)?;
    file.write(&batch)?;
    file.finish().map(|_| ())
}

#[cfg(test)]
mod tests {
    use omnireward_core::{NoProgress, PreferencePair, Response, Task};

    use super::*;
    use crate::{
        engine::EngineConfig,
        table::{TableConfig, TableWriter},
    };

    fn compared(candidates: &[(u64, u64)]) -> Result<Vec<f64>, Error> {
        let folder = tempfile::tempdir().unwrap();
        let mut writer =
            TableWriter::with_place(&folder.path().join("rows"), TableConfig::default(), true)?;
        for (row, prompt) in ["a red house by the sea", "a blue car on a hill"]
            .into_iter()
            .enumerate()
        {
            let responses = ["yes", "no"].map(Response::text);
            let pair = PreferencePair::new(row.to_string(), Task::T2T, prompt, responses);
            writer.push_placed(&pair, (row as u64, 0))?;
        }
        let files = writer.finish()?.files;
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let engine = Engine::open(&EngineConfig::default()).await?;
            rows_alike(&engine, &files, candidates, 3, folder.path(), &NoProgress).await
        })
    }

    #[test]
    fn similarities_come_in_the_order_of_the_candidates() {
        assert_eq!(
            compared(&[(0, 0), (0, 1), (1, 1)]).unwrap(),
            [1.0, 0.0, 1.0]
        );
    }

    #[test]
    fn a_candidate_that_is_not_in_the_table_is_an_error() {
        let error = compared(&[(0, 7), (1, 1)]).unwrap_err();
        assert!(error.to_string().contains("of 2 candidates, 1"), "{error}");
    }
}
