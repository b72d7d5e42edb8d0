use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{
    Recording,
    detect::{Asked, Source},
    index::{Content, Index, Recorded, matrix_place},
    json::{for_each_line, parse},
    own::finite,
};
use crate::{Answers, Error, error::RecordError};

/// Three scores of chosen and three of rejected answers, in plain, detailed and markdown style.
#[derive(Deserialize)]
struct Matrix {
    score_chosen: [f64; 3],
    score_rejected: [f64; 3],
}

/// Reads RM-Bench scores, an item after the other in the benchmark's order: they are found by an
/// item's row in the benchmark's whole file, since its id is something else. The chosen answer is
/// the first response of its nine pairs.
pub(super) fn read_rm_bench(files: &[Source], asked: Asked<'_>) -> Result<Recording, Error> {
    asked.choose_nothing()?;
    let mut index = Index::default();
    for file in files {
        let items: Vec<Matrix> = parse(file)?;
        for (row, item) in items.iter().enumerate() {
            for (chosen_style, chosen) in item.score_chosen.iter().enumerate() {
                for (rejected_style, rejected) in item.score_rejected.iter().enumerate() {
                    let scores = finite([*chosen, *rejected])
                        .map_err(|error| error.at(&file.path, row as u64 + 1))?;
                    let place = matrix_place(row, chosen_style, rejected_style);
                    index.add(Some(place), Recorded::new(Content::Scores(scores)));
                }
            }
        }
    }
    Ok(recording("rm-bench", index))
}

/// Scores of two images by several metrics.
#[derive(Deserialize)]
struct Images {
    id: Value,
    scores: BTreeMap<String, [f64; 2]>,
}

/// Reads MJ-Bench scores, one metric of them.
pub(super) fn read_mj_bench(files: &[Source], asked: Asked<'_>) -> Result<Recording, Error> {
    let mut metrics = Vec::new();
    for_each(files, |row: Images| {
        metrics.extend(row.scores.into_keys());
        Ok(())
    })?;
    let metric = asked.choose(metrics)?;
    let mut index = Index::default();
    for_each(files, |row: Images| {
        if let Some(scores) = row.scores.get(&metric) {
            let recorded = Recorded::new(Content::Scores(finite(*scores)?));
            index.add(Some(plain(&row.id)), recorded);
        }
        Ok(())
    })?;
    Ok(recording("mj-bench", index))
}

/// A review of two answers.
#[derive(Deserialize)]
struct Review {
    question_id: Value,
    #[serde(rename = "review")]
    text: Option<String>,
    scores: [f64; 2],
}

/// Reads reviews that score two answers, in one order. They are a judge's answer to the order it
/// saw, so unlike a reward model's scores they say nothing about the other order.
pub(super) fn read_reviews(files: &[Source], asked: Asked<'_>) -> Result<Recording, Error> {
    asked.choose_nothing()?;
    let mut index = Index::default();
    for file in files {
        let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
        for_each_line(file, |row: Review| {
            let mut recorded = Recorded::new(Content::Scores(finite(row.scores)?))
                .with_rationale(row.text.clone())
                .with_raw(row.text);
            recorded.any_order = false;
            index.add(
                Some(format!("{stem}/{}", plain(&row.question_id))),
                recorded,
            );
            Ok(())
        })?;
    }
    Ok(recording("reviews", index))
}

/// Reads TIFA scores, one metric of them: a number for each image, whatever it is compared with.
pub(super) fn read_tifa(files: &[Source], asked: Asked<'_>) -> Result<Recording, Error> {
    let mut images: Vec<(String, BTreeMap<String, Value>)> = Vec::new();
    for file in files {
        images.extend(parse::<BTreeMap<String, _>>(file)?);
    }
    let is_metric = |(_, value): &(&String, &Value)| value.is_number();
    let metrics = images
        .iter()
        .flat_map(|(_, image)| image.iter().filter(is_metric));
    let metric = asked.choose(metrics.map(|(name, _)| name.clone()).collect())?;
    let mut index = Index::default();
    for (stem, image) in images {
        if let Some(score) = image.get(&metric).and_then(Value::as_f64) {
            index.add_medium(stem, score);
        }
    }
    Ok(recording("tifa", index))
}

fn recording(kind: &'static str, index: Index) -> Recording {
    Recording {
        kind,
        index,
        answers: Answers::letters(),
    }
}

/// Calls `each` with every line of every file.
fn for_each<T: for<'de> Deserialize<'de>>(
    files: &[Source],
    mut each: impl FnMut(T) -> Result<(), RecordError>,
) -> Result<(), Error> {
    files
        .iter()
        .try_for_each(|file| for_each_line(file, &mut each))
}

/// An id without quotes, whether it was written as a text or a number.
fn plain(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
