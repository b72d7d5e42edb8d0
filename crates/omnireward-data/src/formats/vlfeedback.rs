//! VLFeedback: a question about a picture, and the answers of several models with GPT-4V's ratings of three aspects.
//!
//! `vlfeedback_80k.jsonl` (or a table made of it): `id`, `prompt`, `models`, `completions` as UltraFeedback has them, and
//! in tables `img_path`. In the JSON lines the picture is `merged_images/<id>.jpg`, as the owners' loading script says.
//!
//! An answer's rating is the mean over its aspects, as in the owners' training script; every two rated answers make a
//! pair, see [`ratings`](super::ratings) and [`completions`](super::completions). A pair's id is `<id>/<i>_vs_<j>`; pairs
//! with one question about one picture share a group.

use omnireward_core::{MediaRef, Modality, Part as ContentPart, PreferencePair, Task};
use serde_json::Value;

use super::{
    Entry, completions,
    entries::RawRow,
    ratings::{Item, TieRule},
    sketch::{Kind, Sketch},
    source::{self, Pairs, Source},
};
use crate::{
    Format, RowError,
    error::Fault,
    record::{Record, text_of},
};

pub(super) const ENTRY: Entry = Entry {
    format: Format::VlFeedback,
    looked_for: "JSON lines or parquet with `prompt`, `models` and `completions`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::TI2T),
            Pairs::Varying,
            |source| source::rows(source, pairs),
        ))
    },
};

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["id", "prompt", "models"])
        && sketch.holds("completions", &[Kind::Objects, Kind::Object])
}

fn pairs(
    source: &Source,
    RawRow { mut record, .. }: RawRow,
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    let id = source::id_of(&mut record, "id")?;
    let picture = picture(source, &mut record, &id)?;
    let prompt = vec![
        ContentPart::Media(picture),
        ContentPart::Text(record.text("prompt")?),
    ];
    let rated = completions::rated(&mut record)?;
    let mut extra = source::extra(record);
    if !rated.unrated.is_empty() {
        extra.insert("unrated".to_owned(), Value::from(rated.unrated));
    }
    let item = Item {
        id: source.id(id),
        task: Task::TI2T,
        group: source::prompt_group(&prompt),
        prompt,
        criterion: String::new(),
        source: "vlfeedback".to_owned(),
        extra,
    };
    super::ratings::pairs(item, rated.responses, TieRule::EqualMeans)
        .map_err(|error| error.in_field("completions"))
}

fn picture(source: &Source, record: &mut Record, id: &str) -> Result<MediaRef, Fault> {
    let (name, field) = match record.take("img_path") {
        Some(path) => (text_of(path), "img_path"),
        None => (Ok(format!("merged_images/{id}.jpg")), "id"),
    };
    name.and_then(|name| source.media(&name, Modality::Image))
        .map_err(|error: RowError| error.in_field(field))
}
