//! Multimodal RewardBench: a picture, a text and two answers, one of them better.
//!
//! The repository's script makes `data/all_data.json`, a JSON array of `ID`, `Text`, `Image` (a
//! path that starts at `data`, such as `images/nocaps/13062.jpg`), `Output1`, `Output2`, `Better`
//! (`Output1` or `Output2`) and `Category`. Beside it lie `all_data_release.json`, which has the
//! same records with some texts still to be filled in, and `original_data`; when both files are
//! there only `all_data.json` is read. A pair's id is its `ID`; `extra.subset` is the name scores
//! are reported by, which splits `safety` into bias and toxicity and `reasoning` into math and
//! coding by the ID.

use std::path::Path;

use omnireward_core::{Modality, Part as ContentPart, Preference, PreferencePair, Response, Task};
use serde_json::Value;

use super::{
    Entry,
    entries::RawRow,
    labels,
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Format, OpenOptions, Part, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::MultimodalRewardBench,
    looked_for: "`all_data.json`, with `Text`, `Image`, `Output1`, `Output2` and `Better`",
    matches: |path| source::any(path, recognises),
    open: |path, options| Ok(open(path, options)),
};

const LABELS: [(&str, Preference); 2] = [
    ("Output1", Preference::First),
    ("Output2", Preference::Second),
];

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["Text", "Image", "Output1", "Output2", "Better"])
}

fn open(path: &Path, options: &OpenOptions) -> Vec<Part> {
    let mut files = source::files(path, options, recognises);
    if files.iter().any(|file| file.ends_with("all_data.json")) {
        files.retain(|file| !file.ends_with("all_data_release.json"));
    }
    source::parts_of(files, options, Some(Task::TI2T), Pairs::Each(1), |source| {
        source::each_row(source, pair)
    })
}

fn pair(source: &Source, RawRow { mut record, .. }: RawRow) -> Result<PreferencePair, Fault> {
    let id = source::id_of(&mut record, "ID")?;
    let picture = source
        .media(&record.text("Image")?, Modality::Image)
        .map_err(|error| error.in_field("Image"))?;
    let text = record.text("Text")?;
    let responses = [
        Response::text(record.text("Output1")?),
        Response::text(record.text("Output2")?),
    ];
    let label = labels::spelled(&mut record, "Better", &LABELS)?;
    let category = record.optional_text("Category")?;
    let mut pair =
        PreferencePair::new(source.id(&id), Task::TI2T, text, responses).with_label(label);
    pair.prompt.insert(0, ContentPart::Media(picture));
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra = source::extra(record);
    if let Some(category) = &category {
        pair.extra
            .insert("subset".to_owned(), Value::from(subset(category, &id)));
    }
    pair.source = category;
    Ok(pair)
}

fn subset(category: &str, id: &str) -> String {
    let starts = |prefix: &str| id.to_lowercase().starts_with(prefix);
    match category {
        "safety" if starts("pairs") => "safety/bias".to_owned(),
        "safety" => "safety/toxicity".to_owned(),
        "reasoning" if starts("math") => "reasoning/math".to_owned(),
        "reasoning" => "reasoning/coding".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safety_and_reasoning_are_split_by_id() {
        assert_eq!(subset("safety", "PAIRS_3"), "safety/bias");
        assert_eq!(subset("safety", "memes_3"), "safety/toxicity");
        assert_eq!(subset("reasoning", "mathvista_3"), "reasoning/math");
        assert_eq!(subset("reasoning", "EMMA-Coding_3"), "reasoning/coding");
        assert_eq!(subset("vqa", "pairs_1"), "vqa");
    }
}
