//! EvalMuse: generated pictures, rated by people for how well they show what the prompt asks for.
//!
//! `train_list.json`, one record a picture: `prompt_id`, `prompt`, `type`, `img_path`, `total_score` (a list of single
//! ratings, or their mean), `element_score`, `promt_meaningless` (so spelled), `split_confidence`,
//! `attribute_confidence`, `fidelity_label`.
//!
//! Every two pictures of one `prompt_id` make a pair: the one with the higher mean of `total_score` is preferred, see
//! [`ratings`](super::ratings). A pair's id is `<prompt_id>/<i>_vs_<j>`, positions from 0 among the pictures of the
//! prompt. All records are read before the first pair is made, since those of one prompt may stand anywhere.

use omnireward_core::{Modality, Part as ContentPart, PreferencePair, Response, Task};
use serde_json::{Map, Value};

use super::{
    Entry, entries,
    entries::RawRow,
    ratings::{self, Item, Rated, Rating, TieRule},
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Error, Format, RowError, Rows, error::Fault, record::wrong_type};

pub(super) const ENTRY: Entry = Entry {
    format: Format::EvalMuse,
    looked_for: "JSON with `prompt_id`, `prompt`, `img_path` and `total_score`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T2I),
            Pairs::Varying,
            read,
        ))
    },
};

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["prompt_id", "prompt", "img_path", "total_score"])
}

/// One rated picture.
struct Picture {
    prompt_id: String,
    prompt: String,
    response: Response,
    rating: Rating,
    details: Map<String, Value>,
}

fn read(source: &Source) -> Result<Rows, Error> {
    let reading = source.clone();
    let naming = source.clone();
    entries::gathered(
        &source.file,
        &source.options.rows_read,
        move |row| picture(&reading, row).map(|picture| vec![picture]),
        |picture| picture.prompt_id.clone(),
        move |pictures| pairs(&naming, pictures),
    )
}

fn picture(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<Picture, Fault> {
    let image = record.text("img_path")?;
    let image = source
        .media(&image, Modality::Image)
        .map_err(|error| error.in_field("img_path"))?;
    Ok(Picture {
        prompt_id: source::id_of(&mut record, "prompt_id")?,
        prompt: record.text("prompt")?,
        response: Response::media(image),
        rating: score(&record.value("total_score")?)
            .map_err(|error| error.in_field("total_score"))?,
        details: source::extra(record),
    })
}

fn score(value: &Value) -> Result<Rating, RowError> {
    match value {
        Value::Array(items) => Rating::mean_of(&source::numbers_in(items)?)
            .ok_or_else(|| RowError::Inconsistent("no ratings".to_owned())),
        other => other
            .as_f64()
            .map(Rating::of)
            .ok_or_else(|| wrong_type("a number or a list of numbers", other)),
    }
}

fn pairs(
    source: &Source,
    pictures: Vec<Picture>,
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    let first = &pictures[0];
    if pictures.len() < 2 {
        let reason = format!("one picture alone has prompt `{}`", first.prompt_id);
        return Err(RowError::Inconsistent(reason).in_field("prompt_id"));
    }
    let prompt = vec![ContentPart::Text(first.prompt.clone())];
    let item = Item {
        id: source.id(&first.prompt_id),
        task: Task::T2I,
        group: source::prompt_group(&prompt),
        prompt,
        criterion: String::new(),
        source: "evalmuse".to_owned(),
        extra: Map::new(),
    };
    let rated = pictures
        .into_iter()
        .enumerate()
        .map(|(position, picture)| Rated {
            key: position.to_string(),
            response: picture.response,
            rating: picture.rating,
            details: picture.details,
        });
    ratings::pairs(item, rated.collect(), TieRule::EqualMeans)
        .map_err(|error| error.in_field("prompt_id"))
}
