//! FETV: videos by four generators for one prompt, each with the mean of three people's ratings.
//!
//! `prompt`, `section`, `aspect`, `videos` (file names by model) and `human_ratings` (by model:
//! `SQ` static quality and `TQ` temporal quality, or `Alignment`, 1 to 5). Every two models make a
//! pair under each criterion that the row rates; see [`ratings`](super::ratings). A pair's id is
//! `<row>/<criterion>/<model>_vs_<model>`, rows from 0. A prompt may stand in several rows with
//! different aspects; its pairs share a group.

use omnireward_core::{Modality, Part as ContentPart, PreferencePair, Response, Task};
use serde_json::{Map, Value};

use super::{
    Entry,
    entries::RawRow,
    ratings::{self, Item, Rated, Rating, TieRule},
    sketch::{Kind, Sketch},
    source::{self, Pairs, Source},
};
use crate::{
    Format, RowError,
    error::Fault,
    record::{text_of, wrong_type},
};

pub(super) const ENTRY: Entry = Entry {
    format: Format::Fetv,
    looked_for: "JSON lines with `prompt`, `videos` and `human_ratings`, both by model",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T2V),
            Pairs::Varying,
            |source| source::rows(source, pairs),
        ))
    },
};

const CRITERIA: [(&str, &str); 3] = [
    ("SQ", "Static quality: how good the single frames look."),
    (
        "TQ",
        "Temporal quality: how smooth and consistent the video is over time.",
    ),
    (
        "Alignment",
        "How well the video shows what the prompt asks for.",
    ),
];

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["prompt"])
        && sketch.holds("videos", &[Kind::Object])
        && sketch.holds("human_ratings", &[Kind::Object])
}

fn pairs(
    source: &Source,
    RawRow {
        index, mut record, ..
    }: RawRow,
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    let prompt = vec![ContentPart::Text(record.text("prompt")?)];
    let videos = source::object(&mut record, "videos")?;
    let opinions = source::object(&mut record, "human_ratings")?;
    let group = source::prompt_group(&prompt);
    let extra = source::extra(record);
    let mut pairs = Vec::with_capacity(CRITERIA.len());
    for (criterion, wording) in CRITERIA {
        let mut rated = Vec::new();
        for (model, name) in &videos {
            if let Some(one) = rated_video(source, model, name, opinions.get(model), criterion)? {
                rated.push(one);
            }
        }
        let item = Item {
            id: source.id(format!("{index}/{criterion}")),
            task: Task::T2V,
            prompt: prompt.clone(),
            criterion: wording.to_owned(),
            source: "fetv".to_owned(),
            group: group.clone(),
            extra: extra.clone(),
        };
        let rated = ratings::pairs(item, rated, TieRule::EqualMeans)
            .map_err(|error| error.in_field("videos"))?;
        pairs.push(rated);
    }
    Ok(pairs.into_iter().flatten())
}

/// One model's video, when it is rated under the criterion.
fn rated_video(
    source: &Source,
    model: &str,
    name: &Value,
    opinion: Option<&Value>,
    criterion: &str,
) -> Result<Option<Rated>, Fault> {
    let opinion = opinion.ok_or_else(|| {
        let reason = format!("no ratings for `{model}`");
        RowError::Inconsistent(reason).in_field("human_ratings")
    })?;
    let Some(mean) = opinion.get(criterion) else {
        return Ok(None);
    };
    let mean = mean
        .as_f64()
        .ok_or_else(|| wrong_type("a number", mean).in_field("human_ratings"))?;
    let video = text_of(name.clone())
        .and_then(|name| source.media_or_absent(&name, Modality::Video))
        .map_err(|error| error.in_field("videos"))?;
    Ok(Some(Rated {
        key: model.to_owned(),
        response: Response::media(video).by(model),
        rating: Rating::of(mean),
        details: Map::new(),
    }))
}
