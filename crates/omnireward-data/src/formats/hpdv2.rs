//! HPDv2: pictures generated for one prompt, compared by people.
//!
//! * `train.json`: `prompt`, `file_path` (names of pictures in `train/`) and `human_preference` (1 for the preferred,
//!   0 for the others; equal numbers are a tie).
//! * `test.json`: `prompt`, `image_path` (names of pictures in `test/`), `rank` (the mean rank, lower is better) and
//!   `raw_annotations`.
//!
//! Every two pictures of a record make a pair, see [`ratings`](super::ratings). A pair's id is `<row>/<i>_vs_<j>` with
//! positions from 0; pairs with one prompt share a group.
//!
//! A folder is read without its test split, which feeds benchmarks; name `test.json` itself to read that.

use std::path::Path;

use omnireward_core::{Modality, Part as ContentPart, PreferencePair, Response, Task};
use serde_json::Map;

use super::{
    Entry,
    entries::RawRow,
    ratings::{self, Item, Rated, Rating, TieRule},
    sketch::{Kind, Sketch},
    source::{self, Pairs, Source},
};
use crate::{Error, Format, OpenOptions, Part, RowError, Rows, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::Hpdv2,
    looked_for: "JSON with `prompt`, `file_path` and `human_preference`, or `image_path`, `rank` and `raw_annotations`",
    matches: |path| source::any(path, recognises),
    open: |path, options| Ok(open(path, options)),
};

fn recognises(sketch: &Sketch) -> bool {
    is_train(sketch) || is_test(sketch)
}

fn is_train(sketch: &Sketch) -> bool {
    sketch.has(&["prompt", "human_preference"])
        && sketch.holds("file_path", &[Kind::Texts, Kind::List])
}

fn is_test(sketch: &Sketch) -> bool {
    sketch.has(&["prompt", "rank", "raw_annotations"])
        && sketch.holds("image_path", &[Kind::Texts, Kind::List])
}

fn open(path: &Path, options: &OpenOptions) -> Vec<Part> {
    let mut files = source::files(path, options, is_train);
    if files.is_empty() {
        files = source::files(path, options, is_test);
    }
    source::parts_of(files, options, Some(Task::T2I), Pairs::Varying, read)
}

fn read(source: &Source) -> Result<Rows, Error> {
    let mut source = source.clone();
    // A name that both splits have means the picture of its own.
    let splits = if source.stem() == "test" {
        ["test", "train"]
    } else {
        ["train", "test"]
    };
    let root = source.media_folders[0].clone();
    source.media_folders = splits.map(|split| root.join(split)).to_vec();
    source.media_folders.push(root);
    source::rows(&source, pairs)
}

fn pairs(
    source: &Source,
    RawRow {
        index, mut record, ..
    }: RawRow,
) -> Result<impl Iterator<Item = PreferencePair> + Send + use<>, Fault> {
    let prompt = vec![ContentPart::Text(record.text("prompt")?)];
    let (names, field, ratings) = if record.has("human_preference") {
        let names = source::texts(&mut record, "file_path")?;
        let preferred = source::numbers(&mut record, "human_preference")?;
        (names, "file_path", preferred)
    } else {
        let names = source::texts(&mut record, "image_path")?;
        let ranks = source::numbers(&mut record, "rank")?;
        let ratings = ranks.into_iter().map(|rank| -rank).collect();
        (names, "image_path", ratings)
    };
    if names.len() != ratings.len() {
        let reason = format!("{} pictures, but {} ratings", names.len(), ratings.len());
        return Err(RowError::Inconsistent(reason).in_field(field));
    }
    if names.len() < 2 {
        let reason = format!("{} pictures, at least two are compared", names.len());
        return Err(RowError::Inconsistent(reason).in_field(field));
    }
    let mut rated = Vec::with_capacity(names.len());
    for (position, (name, rating)) in names.iter().zip(ratings).enumerate() {
        let picture = source
            .media(name, Modality::Image)
            .map_err(|error| error.in_field(field))?;
        rated.push(Rated {
            key: position.to_string(),
            response: Response::media(picture),
            rating: Rating::of(rating),
            details: Map::new(),
        });
    }
    let item = Item {
        id: source.id(index),
        task: Task::T2I,
        group: source::prompt_group(&prompt),
        prompt,
        criterion: String::new(),
        source: "hpdv2".to_owned(),
        extra: source::extra(record),
    };
    ratings::pairs(item, rated, TieRule::EqualMeans).map_err(|error| error.in_field(field))
}
