//! Ratings of sound and music by ten people on four axes, for clips of several systems.
//!
//! One JSON object a clip: `kind` (`audio` or `music`), `system`, `item`, and four lists of
//! ratings. Clips with the same `kind` and `item` answer the same prompt, as far as the names
//! tell; the prompt's words are not published, so the prompt is empty. Every two such clips make
//! a pair under each axis; see [`ratings`](super::ratings). A pair's id is
//! `<kind>/<item>/<axis>/<system>_vs_<system>`, and pairs of one item share a group. The clips
//! are not included.

use omnireward_core::{Modality, Part as ContentPart, PreferencePair, Response, Task};
use serde_json::{Map, Value};

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
        source::parts(
            path,
            options,
            recognises,
            Some(Task::T2A),
            Pairs::Varying,
            read,
        )
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
    ratings: [Rating; 4],
}

fn read(source: &Source) -> Result<Rows, Error> {
    entries::gathered(&source.file, clip, |clips| pairs(source, &clips))
}

fn clip(RawRow { mut record, .. }: RawRow) -> Result<Clip, Fault> {
    let mut rating = |axis: &str| {
        let ratings = source::numbers(&mut record, axis)?;
        Rating::mean_of(&ratings)
            .ok_or_else(|| RowError::Inconsistent("no ratings".to_owned()).in_field(axis))
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
    })
}

fn pairs(source: &Source, clips: &[Clip]) -> Vec<PreferencePair> {
    let mut pairs = Vec::new();
    for group in source::grouped_by(clips, |clip| &clip.item) {
        let (kind, name) = &group[0].item;
        let key = source.id(format!("{kind}/{name}"));
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
            let rated: Vec<Rated> = group
                .iter()
                .map(|clip| Rated {
                    key: clip.system.clone(),
                    response: absent_clip(kind, &clip.system, name),
                    rating: clip.ratings[index],
                })
                .collect();
            pairs.extend(ratings::pairs(&item, &rated, TieRule::EqualMeans));
        }
    }
    pairs
}

fn absent_clip(kind: &str, system: &str, name: &str) -> Response {
    Response::media(source::absent(
        format!("{kind}/{system}/{name}"),
        Modality::Audio,
    ))
    .by(system)
}
