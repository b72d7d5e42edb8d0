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
//! When no two videos share a prompt, opening the file says that it holds no pairs, and why.

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

pub(super) const FIRST: Entry = Entry {
    format: Format::VideoPhy,
    looked_for: "a table with `video`, `caption`, `human_semantic_adherence` and \
                 `human_physical_commonsense`",
    matches: |path| source::any(path, is_first),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            is_first,
            Some(Task::T2V),
            Pairs::Varying,
            read_first,
        ))
    },
};

pub(super) const SECOND: Entry = Entry {
    format: Format::VideoPhy2,
    looked_for: "a table with `video`, `physical_rule` and the automatic rater's score",
    matches: |path| source::any(path, is_second),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            is_second,
            Some(Task::T2V),
            Pairs::Varying,
            read_second,
        ))
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
    /// The prompt and the wording of the criterion, which videos have to share.
    shared: (String, String),
    criterion: String,
    rated: Rated,
}

fn read_first(source: &Source) -> Result<Rows, Error> {
    compared(source, labels, "no two videos have the same `caption`")
}

fn read_second(source: &Source) -> Result<Rows, Error> {
    let reason =
        "no two videos have the same `caption` and `physical_rule` and a verdict of 0 or 1";
    compared(source, verdict, reason)
}

/// The pairs of videos that share what they have to, or why there are none.
fn compared(
    source: &Source,
    read: fn(&Source, RawRow) -> Result<Vec<Labelled>, Fault>,
    reason: &str,
) -> Result<Rows, Error> {
    let owned = source.clone();
    let mut rows = entries::gathered(
        &source.file,
        &source.options.rows_read,
        |row| read(source, row),
        |one| one.shared.clone(),
        move |labelled| pairs(&owned, labelled),
    )?
    .peekable();
    if rows.peek().is_none() {
        return Err(Error::Empty {
            path: source.file.clone(),
            reason: reason.to_owned(),
        });
    }
    Ok(Box::new(rows))
}

fn labels(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<Vec<Labelled>, Fault> {
    let name = record.text("video")?;
    let caption = record.text("caption")?;
    let mut means = [0.0; CRITERIA.len()];
    for (mean, (field, ..)) in means.iter_mut().zip(CRITERIA) {
        *mean = source::decimal(&mut record, field)?;
    }
    let details = record.into_extra();
    CRITERIA
        .into_iter()
        .zip(means)
        .map(|((_, criterion, wording), mean)| {
            Ok(Labelled {
                shared: (caption.clone(), wording.to_owned()),
                criterion: criterion.to_owned(),
                rated: video(source, &name, mean, details.clone())?,
            })
        })
        .collect()
}

/// The label of a video, when it can be compared.
fn verdict(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<Vec<Labelled>, Fault> {
    let name = record.text("video")?;
    let rule = record.text("physical_rule")?;
    let mean = source::decimal(&mut record, VERDICT)?;
    let caption = record.optional_text("caption")?;
    let rated = video(source, &name, mean, record.into_extra())?;
    let told = caption.filter(|_| mean < NOT_GROUNDABLE);
    Ok(told
        .map(|caption| Labelled {
            shared: (caption, rule),
            criterion: "physical_rule".to_owned(),
            rated,
        })
        .into_iter()
        .collect())
}

fn video(
    source: &Source,
    name: &str,
    mean: f64,
    details: Map<String, Value>,
) -> Result<Rated, Fault> {
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
        details,
    })
}

/// The pairs of the videos that share a caption and a criterion.
fn pairs(
    source: &Source,
    labelled: Vec<Labelled>,
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    let (caption, wording) = labelled[0].shared.clone();
    let prompt = vec![ContentPart::Text(caption)];
    let item = Item {
        id: source.id(&labelled[0].criterion),
        task: Task::T2V,
        group: source::prompt_group(&prompt),
        prompt,
        criterion: wording,
        source: "videophy".to_owned(),
        extra: Map::new(),
    };
    let rated = labelled.into_iter().map(|one| one.rated).collect();
    ratings::pairs(item, rated, TieRule::EqualMeans).map_err(|error| error.in_field("caption"))
}
