//! LLaMA-Factory ranking data, with the dialect of Omni-Reward for generated media.
//!
//! `dataset_info.json` declares sets; those with `ranking: true` whose file is there are read. A
//! single file, or a folder without a declaration, is read with the usual column names. In the
//! `sharegpt` form a record has `conversations`, `chosen` and `rejected`, and lists of file names
//! in `images`, `videos` or `audios`; in the `alpaca` form `instruction`, `input`, and `chosen` and
//! `rejected` as strings.
//!
//! * A leading system turn (or the `system` column) is the criterion, unless it is the default
//!   system text of the chat template.
//! * `label` is 1 (chosen is better), 0 (tie) or −1; without it, chosen is better.
//! * Which medium belongs to which side is decided in [`dispatch`].
//! * A pair's id is `<set>/<id>`, or `<set>/<row>` with rows from 0; pairs with one prompt share a
//!   group.

mod convert;
mod declared;
mod dispatch;
mod write;

use std::path::{Path, PathBuf};

pub use write::llama_factory_ranking;

use self::declared::{DECLARATION, Declared, Form};
use super::{
    Entry, entries,
    sketch::{Kind, Sketch, label_files},
    source::Source,
};
use crate::{Error, Format, OpenOptions, Part};

pub(super) const ENTRY: Entry = Entry {
    format: Format::LlamaFactoryRanking,
    looked_for: "`dataset_info.json` that declares a ranking set, or JSON with `conversations`, \
                 `chosen` and `rejected`",
    matches: |path| sets(path).is_ok_and(|sets| !sets.is_empty()),
    open,
};

/// A set and the file it is in.
struct Set {
    declared: Declared,
    file: PathBuf,
}

fn open(path: &Path, options: &OpenOptions) -> Result<Vec<Part>, Error> {
    sets(path)?
        .into_iter()
        .map(|set| {
            let rows = entries::quick_count(&set.file)?;
            let source = Source {
                file: set.file.clone(),
                several: false,
                options: options.clone(),
            };
            let task = set.declared.task;
            Ok(Part::new(task, set.file, rows, move || {
                let (source, declared) = (source.clone(), set.declared.clone());
                entries::rows(&source.file.clone(), move |row| {
                    Ok(vec![convert::pair(&source, &declared, row)?])
                })
            }))
        })
        .collect()
}

/// The sets at a path: those declared there, else files that look like one.
fn sets(path: &Path) -> Result<Vec<Set>, Error> {
    let folder = if path.is_dir() {
        path
    } else {
        path.parent().unwrap_or(Path::new(""))
    };
    let mut declared = declared::in_folder(folder)?;
    if path.is_dir() || path.ends_with(DECLARATION) {
        if !declared.is_empty() {
            return Ok(declared);
        }
    } else if let Some(place) = declared.iter().position(|set| same_file(&set.file, path)) {
        return Ok(vec![declared.swap_remove(place)]);
    }
    Ok(label_files(path)
        .into_iter()
        .filter_map(undeclared)
        .collect())
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// A file that looks like a set in one of the two forms.
fn undeclared(file: PathBuf) -> Option<Set> {
    let form = form_of(&Sketch::of(&file)?)?;
    let name = file.file_stem()?.to_string_lossy().into_owned();
    Some(Set {
        declared: Declared::usual(name, form),
        file,
    })
}

fn form_of(sketch: &Sketch) -> Option<Form> {
    let messages = sketch.holds("conversations", &[Kind::Objects]);
    if messages
        && sketch.holds("chosen", &[Kind::Object])
        && sketch.holds("rejected", &[Kind::Object])
    {
        return Some(Form::ShareGpt);
    }
    let strings = sketch.holds("chosen", &[Kind::Text]) && sketch.holds("rejected", &[Kind::Text]);
    (strings && sketch.has(&["instruction"]) && sketch.lacks(&["prompt"])).then_some(Form::Alpaca)
}
