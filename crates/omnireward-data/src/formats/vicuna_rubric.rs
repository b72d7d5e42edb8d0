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
    collections::{HashMap, hash_map},
    path::{Path, PathBuf},
};

use omnireward_core::{PreferencePair, Response, Task};
use serde_json::Value;

use super::{
    Entry, entries,
    entries::RawRow,
    labels,
    sketch::Sketch,
    source::{self, Source},
};
use crate::{Error, Format, OpenOptions, Part, RowError, Rows, error::Fault, record::Record};

pub(super) const ENTRY: Entry = Entry {
    format: Format::VicunaRubric,
    looked_for: "`<name>.pair_labels.jsonl` beside `<name>.points.jsonl`",
    matches: |path| !pair_files(path, &OpenOptions::default()).is_empty(),
    open: |path, options| Ok(open(path, options)),
};

/// Files with labels that have their answers beside them.
fn pair_files(path: &Path, options: &OpenOptions) -> Vec<(PathBuf, PathBuf)> {
    source::files(path, options, recognises)
        .into_iter()
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

fn open(path: &Path, options: &OpenOptions) -> Vec<Part> {
    let files = pair_files(path, options);
    let several = files.len() > 1;
    let part = |(file, points): (PathBuf, PathBuf)| {
        let rows = entries::quick_count(&file);
        let source = Source::new(file.clone(), several, options);
        let side = points.clone();
        Part::new(Some(Task::T2T), file, rows, move || read(&source, &points))
            .with_side_files([side])
    };
    files.into_iter().map(part).collect()
}

/// One model's answer to one question.
#[derive(Clone, Debug)]
struct Answer {
    instruction: String,
    response: Response,
    kept: Vec<(String, Value)>,
}

/// The pairs, after what is wrong with single answers: each loses only the pairs it stands in.
fn read(source: &Source, points: &Path) -> Result<Rows, Error> {
    let mut answers = HashMap::new();
    let mut bad = Vec::new();
    for row in entries::entries(points)? {
        let added = row.and_then(|RawRow { line, record, .. }| {
            add(&mut answers, record).map_err(|fault| fault.at(points, line))
        });
        match added {
            Err(error) if error.is_row() => bad.push(Err(error)),
            other => other?,
        }
    }
    let pairs = source::rows(source, move |source, row| {
        pair(source, &answers, row).map(Some)
    })?;
    Ok(Box::new(bad.into_iter().chain(pairs)))
}

/// Answers by question and model.
type Answers = HashMap<(String, String), Answer>;

fn add(answers: &mut Answers, record: Record) -> Result<(), Fault> {
    let (key, answer) = answer(record)?;
    match answers.entry(key) {
        hash_map::Entry::Vacant(free) => {
            free.insert(answer);
            Ok(())
        }
        hash_map::Entry::Occupied(taken) => {
            let (question, model) = taken.key();
            let reason = format!("a second answer by `{model}` to `{question}`");
            Err(RowError::Inconsistent(reason).in_field("model"))
        }
    }
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
    answers: &Answers,
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
    pair.extra = source::extra(record);
    pair.extra.extend(first.kept.iter().cloned());
    Ok(pair)
}
