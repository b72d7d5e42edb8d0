//! Ratings of sound and music by ten people on four axes, for clips of several systems.
//!
//! One JSON object a clip: `kind` (`audio` or `music`), `system`, `item`, and four lists of
//! ratings. Clips with the same `kind` and `item` answer the same prompt, as far as the names
//! tell; the prompt's words are not published, so the prompt is empty. Every two such clips make
//! a pair under each axis; see [`ratings`](super::ratings). A pair's id is
//! `<kind>/<item>/<axis>/<system>_vs_<system>`, and pairs of one item share a group. The clips
//! are not included.

use omnireward_core::{Modality, Part as ContentPart, PreferencePair, Response, Task};
use serde_json::{Map, Value, json};

use super::{
    Entry, entries,
    entries::RawRow,
    ratings::{self, Item, Rated, Rating, TieRule},
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Error, Format, RowError, Rows, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::AesPam,
    looked_for: "JSON lines with `kind`, `system`, `item` and `Production_Quality`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T2A),
            Pairs::Varying,
            read,
        ))
    },
};

const AXES: [(&str, &str); 4] = [
    (
        "Production_Quality",
        "Technical quality of the recording: clear, faithful and balanced.",
    ),
    (
        "Production_Complexity",
        "Complexity of the sound: how many parts play together.",
    ),
    (
        "Content_Enjoyment",
        "How enjoyable the audio is to listen to.",
    ),
    (
        "Content_Usefulness",
        "How useful the audio would be as material for making something.",
    ),
];

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["kind", "system", "item", AXES[0].0, AXES[3].0])
}

struct Clip {
    item: (String, String),
    system: String,
    /// The mean rating on each axis, and the single ones.
    ratings: [(Rating, Vec<f64>); 4],
    details: Map<String, Value>,
}

fn read(source: &Source) -> Result<Rows, Error> {
    let owned = source.clone();
    entries::gathered(
        &source.file,
        &source.options.rows_read,
        |row| Ok(vec![clip(row)?]),
        |clip| clip.item.clone(),
        move |clips| pairs(&owned, &clips),
    )
}

fn clip(RawRow { mut record, .. }: RawRow) -> Result<Clip, Fault> {
    let mut rating = |axis: &str| {
        let ratings = source::numbers(&mut record, axis)?;
        let mean = Rating::mean_of(&ratings)
            .ok_or_else(|| RowError::Inconsistent("no ratings".to_owned()).in_field(axis))?;
        Ok::<_, Fault>((mean, ratings))
    };
    Ok(Clip {
        ratings: [
            rating(AXES[0].0)?,
            rating(AXES[1].0)?,
            rating(AXES[2].0)?,
            rating(AXES[3].0)?,
        ],
        item: (record.text("kind")?, record.text("item")?),
        system: record.text("system")?,
        details: record.into_extra(),
    })
}

/// The pairs of the clips of one item.
fn pairs(
    source: &Source,
    clips: &[Clip],
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    let (kind, name) = &clips[0].item;
    let key = source.id(format!("{kind}/{name}"));
    let mut pairs = Vec::with_capacity(AXES.len());
    for (index, (axis, wording)) in AXES.into_iter().enumerate() {
        let item = Item {
            id: format!("{key}/{axis}"),
            task: Task::T2A,
            prompt: vec![ContentPart::Text(String::new())],
            criterion: wording.to_owned(),
            source: format!("pam/{kind}"),
            group: key.clone(),
            extra: Map::from_iter([("axis".to_owned(), Value::from(axis))]),
        };
        let rated = clips
            .iter()
            .map(|clip| {
                let (rating, single) = &clip.ratings[index];
                let mut details = clip.details.clone();
                details.insert("ratings".to_owned(), json!(single));
                Rated {
                    key: clip.system.clone(),
                    response: absent_clip(kind, &clip.system, name),
                    rating: *rating,
                    details,
                }
            })
            .collect();
        let rated = ratings::pairs(item, rated, TieRule::EqualMeans)
            .map_err(|error| error.in_field("item"))?;
        pairs.push(rated);
    }
    Ok(pairs.into_iter().flatten())
}

fn absent_clip(kind: &str, system: &str, name: &str) -> Response {
    Response::media(source::absent(
        format!("{kind}/{system}/{name}"),
        Modality::Audio,
    ))
    .by(system)
}
