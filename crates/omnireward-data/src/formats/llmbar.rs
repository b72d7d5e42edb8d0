//! `LLMBar`: instruction-following pairs of which one answer is objectively better.
//!
//! Each file is a JSON array of `input`, `output_1`, `output_2` and `label` (1 or 2). A pair's id
//! is `<set>/<row>`, rows counted from 0, where the set is the file's name without extension;
//! verdict files refer to rows of these files. In the published folders every file is called
//! `dataset.json` (`Natural/dataset.json`, `Adversarial/GPTInst/dataset.json`); the set is then
//! named after its folders, `natural` or `adversarial_gptinst`, so that ids are the same.

use std::{ffi::OsStr, path::Path};

use omnireward_core::{PreferencePair, Response, Task};

use super::{
    Entry,
    entries::RawRow,
    labels,
    sketch::Sketch,
    source::{self, Pairs, Source},
};
use crate::{Format, error::Fault};

pub(super) const ENTRY: Entry = Entry {
    format: Format::LlmBar,
    looked_for: "JSON arrays of objects with `input`, `output_1`, `output_2` and `label`",
    matches: |path| source::any(path, recognises),
    open: |path, options| {
        Ok(source::parts(
            path,
            options,
            recognises,
            Some(Task::T2T),
            Pairs::Each(1),
            |source| source::each_row(source, pair),
        ))
    },
};

fn recognises(sketch: &Sketch) -> bool {
    sketch.has(&["input", "output_1", "output_2", "label"])
}

fn set_of(file: &Path) -> String {
    let lower = |name: Option<&OsStr>| name.unwrap_or_default().to_string_lossy().to_lowercase();
    let stem = file
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let folder = file.parent().unwrap_or(Path::new(""));
    match (
        lower(folder.parent().and_then(Path::file_name)),
        lower(folder.file_name()),
    ) {
        (above, folder) if stem == "dataset" && above == "adversarial" => {
            format!("adversarial_{folder}")
        }
        (_, folder) if stem == "dataset" && !folder.is_empty() => folder,
        _ => stem,
    }
}

fn pair(
    source: &Source,
    RawRow {
        index, mut record, ..
    }: RawRow,
) -> Result<PreferencePair, Fault> {
    let responses = [
        Response::text(record.text("output_1")?),
        Response::text(record.text("output_2")?),
    ];
    let set = set_of(&source.file);
    let id = format!("{set}/{index}");
    let mut pair = PreferencePair::new(id, Task::T2T, record.text("input")?, responses)
        .with_label(labels::one_or_two(&mut record, "label")?);
    pair.source = Some(set);
    pair.group = Some(source::prompt_group(&pair.prompt));
    pair.extra = source::extra(record);
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_folders_give_the_names_that_recordings_use() {
        for (file, set) in [
            ("x/natural.json", "natural"),
            ("LLMBar/Natural/dataset.json", "natural"),
            (
                "LLMBar/Adversarial/GPTInst/dataset.json",
                "adversarial_gptinst",
            ),
            ("dataset.json", "dataset"),
        ] {
            assert_eq!(set_of(Path::new(file)), set, "{file}");
        }
    }
}
