//! TIFA: people's ratings of how faithfully pictures show their text, five generators a text.
//!
//! One JSON object keyed by picture, each with `text_id`, `text`, `image_path`, `human_scores`,
//! `human_avg` and automatic metrics. Every two pictures of one text make a pair by `human_avg`;
//! see [`ratings`](super::ratings). A pair's id is `<text_id>/<model>_vs_<model>`, where the model
//! is the key without the text's id; pairs of one text share a group. The pictures are usually
//! not included.

use omnireward_core::{Modality, Part as ContentPart, PreferencePair, Response, Task};
use serde_json::{Map, Value};

use super::{
    Entry,
    entries::RawRow,
    ratings::{self, Item, Rated, Rating, TieRule},
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Format, error::Fault, record::Record};

pub(super) const ENTRY: Entry = Entry {
    format: Format::Tifa,
    looked_for: "a JSON object of objects with `text_id`, `text`, `image_path` and `human_avg`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T2I),
            Pairs::Varying,
            |source| source::rows(source, pairs),
        ))
    },
};

const CRITERION: &str = "How faithfully the image shows everything that the text says.";

fn recognises(sketch: &Sketch) -> bool {
    sketch.first_has(&["text_id", "text", "image_path", "human_avg"])
}

struct Picture {
    text_id: String,
    text: String,
    rated: Rated,
}

fn pairs(
    source: &Source,
    RawRow { record, .. }: RawRow,
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    let mut pictures = Vec::new();
    for (key, value) in record.into_extra() {
        pictures.push(picture(source, &key, value).map_err(|mut fault| {
            fault.field = Some(match fault.field {
                Some(field) => format!("{key}.{field}"),
                None => key.clone(),
            });
            fault
        })?);
    }
    let mut pairs = Vec::new();
    for group in source::grouped_by(pictures, |picture| picture.text_id.clone()) {
        pairs.push(of_one_text(source, group)?);
    }
    Ok(pairs.into_iter().flatten())
}

fn picture(source: &Source, key: &str, value: Value) -> Result<Picture, Fault> {
    let mut record = Record::new(value)?;
    let text_id = source::id_of(&mut record, "text_id")?;
    let name = record.text("image_path")?;
    let image = source
        .media_or_absent(&name, Modality::Image)
        .map_err(|error| error.in_field("image_path"))?;
    let model = key
        .strip_prefix(&format!("{text_id}_"))
        .unwrap_or(key)
        .to_owned();
    Ok(Picture {
        text: record.text("text")?,
        rated: Rated {
            response: Response::media(image).by(model.as_str()),
            key: model,
            rating: Rating::of(record.number("human_avg")?),
            details: record.into_extra(),
        },
        text_id,
    })
}

fn of_one_text(
    source: &Source,
    pictures: Vec<Picture>,
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    let Picture { text_id, text, .. } = &pictures[0];
    let item = Item {
        id: source.id(text_id),
        task: Task::T2I,
        prompt: vec![ContentPart::Text(text.clone())],
        criterion: CRITERION.to_owned(),
        source: text_id.split('_').next().unwrap_or("tifa").to_owned(),
        group: text_id.clone(),
        extra: Map::new(),
    };
    let text_id = text_id.clone();
    let rated = pictures.into_iter().map(|picture| picture.rated).collect();
    ratings::pairs(item, rated, TieRule::EqualMeans).map_err(|error| error.in_field(text_id))
}
