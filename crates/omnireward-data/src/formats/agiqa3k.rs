//! AGIQA-3K: mean opinion scores of generated pictures, for quality and for alignment.
//!
//! A table with `name`, `prompt`, `adj1`, `adj2`, `style`, and mean and standard deviation of the
//! ratings under two criteria: `mos_quality`, `std_quality`, `mos_align`, `std_align`. Every two
//! pictures of one prompt make a pair under each criterion, and the two criteria often disagree.
//! The means are continuous and practically never equal, so the spread decides what a tie is: the
//! gap is below half the raters' pooled standard deviation (see [`ratings`](super::ratings)).
//!
//! A pair's id is `<name>_vs_<name>` after `quality/` or `alignment/`, names without extension;
//! pairs of one prompt share a group under both criteria. The model is the start of the name.

use omnireward_core::{Modality, Part as ContentPart, PreferencePair, Response, Task};
use serde_json::{Map, Value};

use super::{
    Entry, entries,
    entries::RawRow,
    ratings::{self, Item, Rated, Rating, TieRule},
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Error, Format, Rows, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::Agiqa3k,
    looked_for: "a table with `name`, `prompt`, `mos_quality` and `mos_align`",
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

/// Gaps below this share of the pooled standard deviation are ties.
const TIE_SHARE: f64 = 0.5;

const CRITERIA: [(&str, &str); 2] = [
    (
        "quality",
        "The perceptual quality of the image: sharp, natural and free of artefacts.",
    ),
    ("alignment", "How well the image matches the text prompt."),
];

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&[
        "name",
        "prompt",
        "mos_quality",
        "std_quality",
        "mos_align",
        "std_align",
    ])
}

struct Picture {
    key: String,
    prompt: String,
    response: Response,
    ratings: [Rating; 2],
    details: Map<String, Value>,
}

fn read(source: &Source) -> Result<Rows, Error> {
    let owned = source.clone();
    entries::gathered(
        &source.file,
        &source.options.rows_read,
        |row| Ok(vec![picture(source, row)?]),
        |picture| picture.prompt.clone(),
        move |pictures| pairs(&owned, &pictures),
    )
}

fn picture(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<Picture, Fault> {
    let name = record.text("name")?;
    let image = source
        .media_or_absent(&name, Modality::Image)
        .map_err(|error| error.in_field("name"))?;
    let key = name
        .rsplit_once('.')
        .map_or(name.as_str(), |(stem, _)| stem)
        .to_owned();
    let model = key.split('_').next().unwrap_or_default().to_owned();
    let mut rating = |mean: &str, spread: &str| {
        Ok::<_, Fault>(Rating {
            mean: source::decimal(&mut record, mean)?,
            spread: Some(source::decimal(&mut record, spread)?),
        })
    };
    Ok(Picture {
        ratings: [
            rating("mos_quality", "std_quality")?,
            rating("mos_align", "std_align")?,
        ],
        prompt: record.text("prompt")?,
        response: Response::media(image).by(model),
        key,
        details: record.into_extra(),
    })
}

/// The pairs of the pictures of one prompt.
fn pairs(
    source: &Source,
    pictures: &[Picture],
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    let prompt = vec![ContentPart::Text(pictures[0].prompt.clone())];
    let mut pairs = Vec::with_capacity(CRITERIA.len());
    for (index, (name, wording)) in CRITERIA.into_iter().enumerate() {
        let item = Item {
            id: source.id(name),
            task: Task::T2I,
            group: source::prompt_group(&prompt),
            prompt: prompt.clone(),
            criterion: wording.to_owned(),
            source: "agiqa-3k".to_owned(),
            extra: Map::new(),
        };
        let rated = pictures
            .iter()
            .map(|picture| Rated {
                key: picture.key.clone(),
                response: picture.response.clone(),
                rating: picture.ratings[index],
                details: picture.details.clone(),
            })
            .collect();
        let rated = ratings::pairs(item, rated, TieRule::EffectBelow(TIE_SHARE))
            .map_err(|error| error.in_field("prompt"))?;
        pairs.push(rated);
    }
    Ok(pairs.into_iter().flatten())
}
