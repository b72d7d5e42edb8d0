//! Vicuna questions answered by four models, each question under its own criterion.
//!
//! `<name>.pair_labels.jsonl` names two models and which is better by mean score; the answers
//! themselves stand in `<name>.points.jsonl` beside it, one line for each question and model, with
//! `instruction`, `response`, `reference_answer`, `criterion` and five `levels`. The two are
//! joined by question and model. A pair's id is `<question>/<model_1>_vs_<model_2>`, pairs of one
//! question share a group, and `extra` keeps the reference answer, the levels and the means.
//!
//! The labels come from a model (three GPT-4 scores an answer), not from people.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use omnireward_core::{PreferencePair, Response, Task};
use serde_json::Value;

use super::{
    Entry, entries,
    entries::RawRow,
    labels,
    sketch::{Sketch, label_files},
    source::Source,
};
use crate::{Error, Format, OpenOptions, Part, RowError, Rows, error::Fault, record::Record};

pub(super) const ENTRY: Entry = Entry {
    format: Format::VicunaRubric,
    looked_for: "`<name>.pair_labels.jsonl` beside `<name>.points.jsonl`",
    matches: |path| !pair_files(path).is_empty(),
    open,
};

/// Files with labels that have their answers beside them.
fn pair_files(path: &Path) -> Vec<(PathBuf, PathBuf)> {
    label_files(path)
        .into_iter()
        .filter(|file| Sketch::of(file).as_ref().is_some_and(recognises))
        .filter_map(|file| points_of(&file).map(|points| (file, points)))
        .collect()
}

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["id", "criterion", "model_1", "model_2", "label"])
        && sketch.lacks(&["response_1", "responses"])
}

fn points_of(file: &Path) -> Option<PathBuf> {
    let name = file
        .file_name()?
        .to_str()?
        .strip_suffix(".pair_labels.jsonl")?;
    let points = file.with_file_name(format!("{name}.points.jsonl"));
    points.is_file().then_some(points)
}

fn open(path: &Path, options: &OpenOptions) -> Result<Vec<Part>, Error> {
    let files = pair_files(path);
    let several = files.len() > 1;
    files
        .into_iter()
        .map(|(file, points)| {
            let rows = entries::quick_count(&file)?;
            let source = Source {
                file: file.clone(),
                several,
                options: options.clone(),
            };
            let side = points.clone();
            Ok(
                Part::new(Some(Task::T2T), file, rows, move || read(&source, &points))
                    .with_side_files([side]),
            )
        })
        .collect()
}

/// One model's answer to one question.
#[derive(Clone, Debug)]
struct Answer {
    instruction: String,
    response: Response,
    kept: Vec<(String, Value)>,
}

fn read(source: &Source, points: &Path) -> Result<Rows, Error> {
    let mut answers = HashMap::new();
    for row in entries::entries(points)? {
        let RawRow { line, record, .. } = row?;
        let (key, answer) = answer(record).map_err(|fault| fault.at(points, line))?;
        answers.insert(key, answer);
    }
    let source = source.clone();
    entries::rows(&source.file.clone(), move |row| {
        Ok(vec![pair(&source, &answers, row)?])
    })
}

fn answer(mut record: Record) -> Result<((String, String), Answer), Fault> {
    let key = (record.text("id")?, record.text("model")?);
    let response = Response::text(record.text("response")?).by(key.1.as_str());
    let instruction = record.text("instruction")?;
    let kept = ["category", "reference_answer", "levels"]
        .into_iter()
        .filter_map(|field| Some((field.to_owned(), record.take(field)?)))
        .collect();
    Ok((
        key,
        Answer {
            instruction,
            response,
            kept,
        },
    ))
}

fn pair(
    source: &Source,
    answers: &HashMap<(String, String), Answer>,
    RawRow { mut record, .. }: RawRow,
) -> Result<PreferencePair, Fault> {
    let question = record.text("id")?;
    let mut answer_of = |field: &str| {
        let model = record.text(field)?;
        answers
            .get(&(question.clone(), model.clone()))
            .ok_or_else(|| {
                let reason = format!("no answer by `{model}` to `{question}` among the points");
                RowError::Inconsistent(reason).in_field(field)
            })
    };
    let (first, second) = (answer_of("model_1")?, answer_of("model_2")?);
    let names = [&first.response, &second.response]
        .map(|response| response.model.as_deref().unwrap_or_default())
        .join("_vs_");
    let responses = [first.response.clone(), second.response.clone()];
    let id = source.id(format!("{question}/{names}"));
    let mut pair = PreferencePair::new(id, Task::T2T, first.instruction.as_str(), responses)
        .with_criterion(record.text("criterion")?)
        .with_label(labels::one_two_or_tie(&mut record, "label")?);
    pair.source = question.split(':').next().map(str::to_owned);
    pair.group = Some(question);
    pair.extra = record.into_extra();
    pair.extra.extend(first.kept.iter().cloned());
    Ok(pair)
}
