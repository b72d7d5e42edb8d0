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
    Entry, entries,
    entries::RawRow,
    ratings::{self, Item, Rated, Rating, TieRule},
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Error, Format, Rows, error::Fault, record::Record};

pub(super) const ENTRY: Entry = Entry {
    format: Format::Tifa,
    looked_for: "a JSON object of objects with `text_id`, `text`, `image_path` and `human_avg`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        source::parts(
            path,
            options,
            recognises,
            Some(Task::T2I),
            Pairs::Varying,
            read,
        )
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

fn read(source: &Source) -> Result<Rows, Error> {
    let source = source.clone();
    entries::rows(&source.file.clone(), move |RawRow { record, .. }| {
        let mut pictures = Vec::new();
        for (key, value) in record.into_extra() {
            pictures.push(picture(&source, &key, value).map_err(|mut fault| {
                fault.field = Some(match fault.field {
                    Some(field) => format!("{key}.{field}"),
                    None => key.clone(),
                });
                fault
            })?);
        }
        Ok(pairs(&source, &pictures))
    })
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
        },
        text_id,
    })
}

fn pairs(source: &Source, pictures: &[Picture]) -> Vec<PreferencePair> {
    let mut pairs = Vec::new();
    for group in source::grouped_by(pictures, |picture| &picture.text_id) {
        let item = Item {
            id: source.id(&group[0].text_id),
            task: Task::T2I,
            prompt: vec![ContentPart::Text(group[0].text.clone())],
            criterion: CRITERION.to_owned(),
            source: group[0]
                .text_id
                .split('_')
                .next()
                .unwrap_or("tifa")
                .to_owned(),
            group: group[0].text_id.clone(),
            extra: Map::new(),
        };
        let rated: Vec<Rated> = group.iter().map(|picture| picture.rated.clone()).collect();
        pairs.extend(ratings::pairs(&item, &rated, TieRule::EqualMeans));
    }
    pairs
}
