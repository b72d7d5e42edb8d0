//! LLaMA-Factory ranking data, with the dialect of Omni-Reward for generated media.
//!
//! `dataset_info.json` declares sets; those with `ranking: true` whose file is there are read. A
//! single file, or a folder without a declaration, is read with the usual column names. In the
//! `sharegpt` form a record has `conversations`, `chosen` and `rejected`, and lists of file names
//! in `images`, `videos` or `audios`; in the `alpaca` form `instruction`, `input`, and `chosen` and
//! `rejected` as strings.
//!
//! * A set whose name tells the task holds pairs of that task; a record without the media that a
//!   generation task needs is refused.
//! * Media are named from the folder of `dataset_info.json`; what is not there is looked for beside
//!   the file of the set.
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

pub(super) use self::{
    convert::{Said, generated},
    dispatch::{Column, Media, Placement, place},
};
pub use write::llama_factory_ranking;
pub(crate) use write::{declare, laid_out_whole, note_columns};

use self::declared::{DECLARATION, Declared, Form};
use super::{
    Entry, entries, omni_reward_data,
    sketch::{Kind, Sketch},
    source::{self, Source},
};
use crate::{Error, Format, OpenOptions, Part};

pub(super) const ENTRY: Entry = Entry {
    format: Format::LlamaFactoryRanking,
    looked_for: "`dataset_info.json` that declares a ranking set, or JSON with `conversations`, \
                 `chosen` and `rejected`",
    matches: |path| {
        !omni_reward_data::is_subset(path)
            && sets(path, &OpenOptions::default()).is_ok_and(|sets| !sets.is_empty())
    },
    open,
};

/// A set and the file it is in.
struct Set {
    declared: Declared,
    file: PathBuf,
    /// The file that declares it.
    declaration: Option<PathBuf>,
}

fn open(path: &Path, options: &OpenOptions) -> Result<Vec<Part>, Error> {
    let sets = sets(path, options)?;
    Ok(sets.into_iter().map(|set| part(set, options)).collect())
}

fn part(set: Set, options: &OpenOptions) -> Part {
    let Set {
        declared,
        file,
        declaration,
    } = set;
    let mut source = Source::new(file, false, options);
    if let Some(folder) = declaration.as_deref().and_then(Path::parent) {
        source.media_folders.insert(0, folder.to_owned());
        source.media_folders.dedup();
    }
    part_of(source, declared).with_side_files(declaration)
}

fn part_of(source: Source, declared: Declared) -> Part {
    let file = source.file.clone();
    let rows = entries::quick_count(&file);
    Part::new(declared.task, file, rows, move || {
        let declared = declared.clone();
        source::rows(&source, move |source, row| {
            convert::pair(source, &declared, row).map(Some)
        })
    })
}

/// Whether a folder holds files in one of the two forms.
pub(super) fn is_ranking_folder(folder: &Path) -> bool {
    !undeclared(folder, &OpenOptions::default()).is_empty()
}

/// The parts of a folder without a declaration whose set is known by name, with the folders that names of media start from.
pub(super) fn named_parts(
    folder: &Path,
    name: &str,
    media_folders: &[PathBuf],
    options: &OpenOptions,
) -> Vec<Part> {
    undeclared(folder, options)
        .into_iter()
        .map(|set| {
            let form = set.declared.form;
            let declared = Declared::usual(name.to_owned(), form);
            let mut source = Source::new(set.file, false, options);
            source.media_folders = media_folders.to_vec();
            part_of(source, declared)
        })
        .collect()
}

/// The sets at a path: those declared there, else files that look like one.
fn sets(path: &Path, options: &OpenOptions) -> Result<Vec<Set>, Error> {
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
    Ok(undeclared(path, options))
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// The files that look like a set in one of the two forms. One whose first record is broken has the
/// form of the others.
fn undeclared(path: &Path, options: &OpenOptions) -> Vec<Set> {
    let files = source::files(path, options, |sketch| form_of(sketch).is_some());
    let forms: Vec<Option<Form>> = files
        .iter()
        .map(|file| form_of(&Sketch::of(file).ok()??))
        .collect();
    let usual = forms.iter().flatten().next().copied().unwrap_or_default();
    let set = |(file, form): (PathBuf, Option<Form>)| Set {
        declared: Declared::usual(source::stem_of(&file), form.unwrap_or(usual)),
        file,
        declaration: None,
    };
    files.into_iter().zip(forms).map(set).collect()
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
