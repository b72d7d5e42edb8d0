//! VisionRewardDB-Video: two generated clips for one prompt, compared by people.
//!
//! Parquet files of the configurations `regression` (the pairs for training), `test` and `monetbench`: `internal_id`,
//! `prompt`, `standard_answer` (`video1`, `video2` or `tie`), `video1_path`, `video2_path`. The configuration `train`
//! rates single clips and holds no pairs.
//!
//! Of a folder with these configurations as subfolders, `regression` is read; name another folder or file to read that.
//! Clips are named from the folder of the set. A pair's id is its `internal_id`, or its row; pairs with one prompt share
//! a group.

use std::path::Path;

use omnireward_core::{Modality, Preference, PreferencePair, Response, Task};

use super::{
    Entry,
    entries::RawRow,
    labels,
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Error, Format, OpenOptions, Part, Rows, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::VisionRewardDbVideo,
    looked_for: "parquet with `standard_answer`, `video1_path` and `video2_path`, in the folder or in `regression/`",
    matches: |path| source::any(path, recognises) || source::any(&path.join(TRAINING), recognises),
    open: |path, options| Ok(open(path, options)),
};

/// The configuration with the pairs for training.
const TRAINING: &str = "regression";

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["prompt", "standard_answer", "video1_path", "video2_path"])
}

fn open(path: &Path, options: &OpenOptions) -> Vec<Part> {
    let mut files = source::files(&path.join(TRAINING), options, recognises);
    if files.is_empty() {
        files = source::files(path, options, recognises);
    }
    source::parts_of(files, options, Some(Task::T2V), Pairs::Each(1), read)
}

fn read(source: &Source) -> Result<Rows, Error> {
    let mut source = source.clone();
    let folder = source.media_folders[0].clone();
    if let Some(set) = folder.parent().filter(|_| folder.ends_with(TRAINING)) {
        source.media_folders.insert(0, set.to_owned());
    }
    source::each_row(&source, pair)
}

fn pair(
    source: &Source,
    RawRow {
        index, mut record, ..
    }: RawRow,
) -> Result<PreferencePair, Fault> {
    let id = record
        .optional_id("internal_id")?
        .unwrap_or_else(|| index.to_string());
    let prompt = record.text("prompt")?;
    let answer = [
        ("video1", Preference::First),
        ("video2", Preference::Second),
        ("tie", Preference::Tie),
    ];
    let label = labels::spelled(&mut record, "standard_answer", &answer)?;
    let mut sides = Vec::with_capacity(2);
    for field in ["video1_path", "video2_path"] {
        let clip = source
            .media(&record.text(field)?, Modality::Video)
            .map_err(|error| error.in_field(field))?;
        sides.push(Response::media(clip));
    }
    let mut pair = PreferencePair::new(source.id(id), Task::T2V, prompt, sides).with_label(label);
    pair.source = Some("visionreward".to_owned());
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra = source::extra(record);
    Ok(pair)
}
