//! `VideoPhy` and `VideoPhy-2`: single videos with labels, which make pairs only when they share a
//! prompt.
//!
//! * `VideoPhy`: a table with `video`, `caption`, and 0 or 1 for `human_semantic_adherence` and
//!   `human_physical_commonsense`. Every two videos of one caption make a pair under each of the
//!   two criteria, ids `<criterion>/<video>_vs_<video>` without extensions; see
//!   [`ratings`](super::ratings).
//! * `VideoPhy-2`: `video`, `physical_rule` and an automatic verdict, 0 for violated, 1 for followed
//!   and 2 for "cannot be told". Two videos of one `caption` make a pair under a rule they share,
//!   unless a verdict is 2. The published examples name no caption, so they hold no pairs.
//!
//! When no two videos share a prompt, opening the file says that it holds no pairs.

use omnireward_core::{Modality, Part as ContentPart, PreferencePair, Response, Task};
use serde_json::Map;

use super::{
    Entry, entries,
    entries::RawRow,
    ratings::{self, Item, Rated, Rating, TieRule},
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Error, Format, Rows, error::Fault};

pub(super) const FIRST: Entry = Entry {
    format: Format::VideoPhy,
    looked_for: "a table with `video`, `caption`, `human_semantic_adherence` and \
                 `human_physical_commonsense`",
    matches: |path| source::any(path, is_first),
    open: |path, options| {
        source::parts(
            path,
            options,
            is_first,
            Some(Task::T2V),
            Pairs::Varying,
            read_first,
        )
    },
};

pub(super) const SECOND: Entry = Entry {
    format: Format::VideoPhy2,
    looked_for: "a table with `video`, `physical_rule` and the automatic rater's score",
    matches: |path| source::any(path, is_second),
    open: |path, options| {
        source::parts(
            path,
            options,
            is_second,
            Some(Task::T2V),
            Pairs::Varying,
            read_second,
        )
    },
};

const CRITERIA: [(&str, &str, &str); 2] = [
    (
        "human_semantic_adherence",
        "semantic_adherence",
        "Whether the video shows what the caption says.",
    ),
    (
        "human_physical_commonsense",
        "physical_commonsense",
        "Whether what happens in the video obeys the laws of physics.",
    ),
];

const VERDICT: &str = "autorater_score_0violated_1followed_2notgroundable";

/// The verdict of `VideoPhy-2` that says nothing about the rule.
const NOT_GROUNDABLE: f64 = 2.0;

fn is_first(sketch: &Sketch) -> bool {
    sketch.has(&["video", "caption", CRITERIA[0].0, CRITERIA[1].0])
}

fn is_second(sketch: &Sketch) -> bool {
    sketch.has(&["video", "physical_rule", VERDICT])
}

/// A video with one label under one criterion.
struct Labelled {
    /// The prompt and the criterion, which videos have to share.
    shared: (Option<String>, String),
    criterion: String,
    rated: Rated,
}

fn read_first(source: &Source) -> Result<Rows, Error> {
    let rows = entries::gathered(
        &source.file,
        |row| labels(source, row),
        |labelled| pairs(source, &labelled.into_iter().flatten().collect::<Vec<_>>()),
    )?;
    some(source, rows)
}

fn labels(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<Vec<Labelled>, Fault> {
    let name = record.text("video")?;
    let caption = record.text("caption")?;
    let mut labelled = Vec::with_capacity(CRITERIA.len());
    for (field, criterion, wording) in CRITERIA {
        let mean = source::decimal(&mut record, field)?;
        labelled.push(Labelled {
            shared: (Some(caption.clone()), wording.to_owned()),
            criterion: criterion.to_owned(),
            rated: video(source, &name, mean)?,
        });
    }
    Ok(labelled)
}

fn read_second(source: &Source) -> Result<Rows, Error> {
    let rows = entries::gathered(
        &source.file,
        |row| verdict(source, row),
        |verdicts| {
            let told: Vec<Labelled> = verdicts
                .into_iter()
                .filter(|one| one.rated.rating.mean < NOT_GROUNDABLE && one.shared.0.is_some())
                .collect();
            pairs(source, &told)
        },
    )?;
    some(source, rows)
}

fn verdict(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<Labelled, Fault> {
    let name = record.text("video")?;
    let rule = record.text("physical_rule")?;
    let mean = source::decimal(&mut record, VERDICT)?;
    Ok(Labelled {
        shared: (record.optional_text("caption")?, rule),
        criterion: "physical_rule".to_owned(),
        rated: video(source, &name, mean)?,
    })
}

fn video(source: &Source, name: &str, mean: f64) -> Result<Rated, Fault> {
    let video = source
        .media_or_absent(name, Modality::Video)
        .map_err(|error| error.in_field("video"))?;
    Ok(Rated {
        key: name
            .rsplit_once('.')
            .map_or(name, |(stem, _)| stem)
            .to_owned(),
        response: Response::media(video),
        rating: Rating::of(mean),
    })
}

fn pairs(source: &Source, labelled: &[Labelled]) -> Vec<PreferencePair> {
    let mut pairs = Vec::new();
    for group in source::grouped_by(labelled, |one| &one.shared) {
        let (caption, wording) = &group[0].shared;
        let prompt = vec![ContentPart::Text(caption.clone().unwrap_or_default())];
        let item = Item {
            id: source.id(&group[0].criterion),
            task: Task::T2V,
            group: source::prompt_group(&prompt),
            prompt,
            criterion: wording.clone(),
            source: "videophy".to_owned(),
            extra: Map::new(),
        };
        let rated: Vec<Rated> = group.iter().map(|one| one.rated.clone()).collect();
        pairs.extend(ratings::pairs(&item, &rated, TieRule::EqualMeans));
    }
    pairs
}

/// The rows, if there are any.
fn some(source: &Source, rows: Rows) -> Result<Rows, Error> {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Err(Error::Empty {
            path: source.file.clone(),
        });
    }
    Ok(Box::new(rows))
}
