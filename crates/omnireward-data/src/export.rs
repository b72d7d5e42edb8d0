//! Writing pairs in the forms that trainers read, and nothing that does not fit in silence.
//!
//! Every form has a column for the two answers and their order; what it has no column for (task, source, group, models,
//! fields of the set) travels in one column of its own, `omnireward`, which trainers ignore and [`open`](crate::open)
//! reads back. What a form cannot express at all is an error before anything is written, or dropped and counted:
//!
//! | | LLaMA-Factory | TRL | ms-swift | OpenRLHF | pairs |
//! |---|---|---|---|---|---|
//! | text answers to text | yes | yes | yes | yes | yes |
//! | … to images | yes | yes | yes | – | yes |
//! | … to video, sound | yes | – | yes | – | yes |
//! | generated images, video, sound | yes, in Omni-Reward's dialect | – | yes, likewise | – | yes |
//! | meshes | – | – | – | – | yes |
//! | ties | yes (`label` 0) | – | – | – | yes |
//! | criteria | system turn | system message | system message | system message | yes |
//! | unlabelled pairs, more than two responses | – | – | – | – | yes |

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use omnireward_core::{PreferencePair, Progress, UnknownName};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    Dataset, Error,
    formats::{
        self, TrlTables,
        laid::{Laid, Unfit},
    },
    place::{MediaFolder, is_there},
};

/// A form that pairs can be exported in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// LLaMA-Factory's ranking form in Omni-Reward's dialect: `<name>.json` and `dataset_info.json`.
    LlamaFactory,
    /// TRL's conversational preference form: `text.parquet`, and `images.parquet` with the pictures in it.
    Trl,
    /// ms-swift's standard form: `<name>.jsonl`.
    MsSwift,
    /// OpenRLHF's conversations: `<name>.jsonl`.
    OpenRlhf,
    /// Our own pairs: `<name>.jsonl`.
    Pairs,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::LlamaFactory,
        Self::Trl,
        Self::MsSwift,
        Self::OpenRlhf,
        Self::Pairs,
    ];

    /// The name used on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LlamaFactory => "llama-factory",
            Self::Trl => "trl",
            Self::MsSwift => "ms-swift",
            Self::OpenRlhf => "openrlhf",
            Self::Pairs => "pairs",
        }
    }

    /// The record of a pair, if the form has a place for it; `None` for our own pairs, which hold anything.
    fn laid_out(self, pair: &PreferencePair) -> Result<Option<Laid>, Unfit> {
        match self {
            Self::LlamaFactory => formats::llama_factory_record(pair).map(Some),
            Self::Trl => formats::trl_record(pair).map(Some),
            Self::MsSwift => formats::ms_swift_record(pair).map(Some),
            Self::OpenRlhf => formats::conversations_record(pair).map(Some),
            Self::Pairs => Ok(None),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Target {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|target| target.name() == name)
            .ok_or_else(|| UnknownName::new("form", name, &Self::ALL.map(Self::name)))
    }
}

/// How pairs are exported.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// The name of the set, and of its file.
    pub name: String,
    /// Whether pairs that do not fit are left out and counted, rather than an error.
    pub drop_unfit: bool,
    /// Whether the first bad row of the input is an error.
    pub strict: bool,
    /// Whether media are copied beside the records; otherwise they get a second name there.
    pub copy_media: bool,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            name: "preferences".to_owned(),
            drop_unfit: false,
            strict: false,
            copy_media: false,
        }
    }
}

/// What an export wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Pairs written.
    pub pairs: u64,
    /// Pairs left out because they do not fit.
    pub dropped: Vec<Dropped>,
    /// Rows of the input that could not be read, with the first of them.
    pub rows_refused: u64,
    /// The first row that could not be read.
    pub first_refused: Option<String>,
    /// Media of the written pairs that the input names and does not carry. They keep their names, and TRL's tables have
    /// rows without their bytes.
    pub missing_media: u64,
    /// The first of them, by the pair's id and its own name.
    pub first_missing: Option<String>,
    /// The files.
    pub files: Vec<PathBuf>,
}

/// Pairs that were left out for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The field of the pair.
    pub field: &'static str,
    /// What it holds.
    pub reason: &'static str,
    /// How many.
    pub pairs: u64,
    /// The first of them.
    pub first: String,
}

impl Exported {
    /// The pairs that were left out for any reason.
    pub fn pairs_dropped(&self) -> u64 {
        self.dropped.iter().map(|dropped| dropped.pairs).sum()
    }

    fn note_missing(&mut self, pair: &PreferencePair) {
        for medium in pair.media().filter(|medium| !is_there(medium)) {
            self.missing_media += 1;
            self.first_missing
                .get_or_insert_with(|| format!("`{}` of pair `{}`", medium.name(), pair.id));
        }
    }
}

/// Writes the pairs of datasets to `out` in a form. Media are put below `media/` there, except by TRL's, which holds
/// pictures in its rows. Progress counts pairs, once as they are looked at and once as they are written.
///
/// All pairs are looked at before anything is written. Files appear under their names when they are whole; started again,
/// an export begins anew. Those of an earlier export into the same folder are replaced, a table of TRL's that has no rows
/// any more included.
///
/// # Errors
///
/// [`Error::Unfit`] for the first pair that does not fit, unless such pairs are dropped; the first bad row, when strict;
/// [`Error::Empty`] when no pair is left; [`Error::Link`] and [`Error::Write`] when media or records cannot be written.
pub fn export(
    datasets: &[Dataset],
    target: Target,
    out: &Path,
    options: &ExportOptions,
    progress: &dyn Progress,
) -> Result<Exported, Error> {
    let mut exported = looked_at(datasets, target, options, progress)?;
    if exported.pairs == 0 {
        return Err(Error::Empty {
            path: datasets
                .first()
                .map_or_else(PathBuf::new, |dataset| dataset.root().to_owned()),
            reason: format!(
                "{} do not fit {target}, {} could not be read",
                exported.pairs_dropped(),
                exported.rows_refused
            ),
        });
    }
    fs::create_dir_all(out).map_err(Error::writing(out))?;
    let mut writer = Writer::new(target, out, options)?;
    progress.begin("write", Some(exported.pairs));
    for pair in datasets.iter().flat_map(Dataset::pairs).flatten() {
        if let Ok(laid) = target.laid_out(&pair) {
            writer.push(&pair, laid)?;
            exported.note_missing(&pair);
            progress.advance(1, "");
        }
    }
    exported.files = writer.finish()?;
    progress.end();
    Ok(exported)
}

/// Counts the pairs that fit, those that do not, and the rows that are broken.
fn looked_at(
    datasets: &[Dataset],
    target: Target,
    options: &ExportOptions,
    progress: &dyn Progress,
) -> Result<Exported, Error> {
    let mut exported = Exported::default();
    let mut dropped: BTreeMap<Unfit, (u64, String)> = BTreeMap::new();
    let total: Option<u64> = datasets.iter().map(Dataset::rows).sum();
    progress.begin("look", total);
    let rows = datasets.iter().flat_map(Dataset::pairs);
    for (number, row) in (1..).zip(rows) {
        progress.advance(1, "");
        let pair = match row {
            Ok(pair) => pair,
            Err(error) if options.strict => return Err(error),
            Err(error) => {
                exported.rows_refused += 1;
                let source = std::error::Error::source(&error);
                let cause = source.map_or_else(String::new, |source| format!(": {source}"));
                exported
                    .first_refused
                    .get_or_insert_with(|| format!("{error}{cause}"));
                continue;
            }
        };
        match target.laid_out(&pair) {
            Ok(_) => exported.pairs += 1,
            Err(unfit) if options.drop_unfit => {
                dropped
                    .entry(unfit)
                    .or_insert_with(|| (0, pair.id.clone()))
                    .0 += 1;
            }
            Err(Unfit { field, reason }) => {
                return Err(Error::Unfit {
                    id: pair.id,
                    number,
                    field,
                    reason,
                    target,
                });
            }
        }
    }
    progress.end();
    exported.dropped = dropped
        .into_iter()
        .map(|(Unfit { field, reason }, (pairs, first))| Dropped {
            field,
            reason,
            pairs,
            first,
        })
        .collect();
    Ok(exported)
}

/// The extension of a file that is not whole.
const UNFINISHED: &str = ".part";

/// Where records go.
enum Writer {
    /// TRL's tables.
    Tables(Box<TrlTables>),
    /// A file of JSON.
    Json(Json),
}

struct Json {
    target: Target,
    folder: PathBuf,
    name: String,
    file: PathBuf,
    out: BufWriter<File>,
    media: MediaFolder,
    columns: Vec<&'static str>,
    written: u64,
}

impl Writer {
    fn new(target: Target, folder: &Path, options: &ExportOptions) -> Result<Self, Error> {
        if target == Target::Trl {
            return Ok(Self::Tables(Box::new(TrlTables::new(folder, UNFINISHED))));
        }
        let extension = match target {
            Target::LlamaFactory => "json",
            _ => "jsonl",
        };
        let file = folder.join(format!("{}.{extension}", options.name));
        let unfinished = unfinished(&file);
        let out = File::create(&unfinished).map_err(Error::writing(&unfinished))?;
        let media = MediaFolder::beside(folder, "media").by_content();
        Ok(Self::Json(Json {
            target,
            folder: folder.to_owned(),
            name: options.name.clone(),
            file,
            out: BufWriter::new(out),
            media: if options.copy_media {
                media
            } else {
                media.linking()
            },
            columns: Vec::new(),
            written: 0,
        }))
    }

    fn push(&mut self, pair: &PreferencePair, laid: Option<Laid>) -> Result<(), Error> {
        match (self, laid) {
            (Self::Tables(tables), Some(laid)) => tables.push(laid),
            (Self::Tables(_), None) => Ok(()),
            (Self::Json(json), Some(laid)) => {
                formats::note_columns(&mut json.columns, &laid);
                let record = laid.placed(&json.media)?;
                json.push(&record)
            }
            (Self::Json(json), None) => {
                let media = &json.media;
                let record =
                    formats::pair_record(pair, &mut |medium| media.place(medium).map(Some))?;
                json.push(&record)
            }
        }
    }

    fn finish(self) -> Result<Vec<PathBuf>, Error> {
        match self {
            Self::Tables(tables) => tables.finish()?.iter().map(|file| named(file)).collect(),
            Self::Json(json) => json.finish(),
        }
    }
}

impl Json {
    fn is_array(&self) -> bool {
        self.target == Target::LlamaFactory
    }

    fn push(&mut self, record: &Map<String, Value>) -> Result<(), Error> {
        let before: &[u8] = match (self.is_array(), self.written) {
            (true, 0) => b"[\n",
            (true, _) => b",\n",
            (false, _) => b"",
        };
        let after: &[u8] = if self.is_array() { b"" } else { b"\n" };
        self.written += 1;
        self.out
            .write_all(before)
            .and_then(|()| Ok(serde_json::to_writer(&mut self.out, record)?))
            .and_then(|()| self.out.write_all(after))
            .map_err(Error::writing(&self.file))
    }

    fn finish(mut self) -> Result<Vec<PathBuf>, Error> {
        let closing: &[u8] = if self.is_array() { b"\n]\n" } else { b"" };
        self.out
            .write_all(closing)
            .and_then(|()| self.out.flush())
            .map_err(Error::writing(&self.file))?;
        let mut files = vec![named(&unfinished(&self.file))?];
        if self.target == Target::LlamaFactory {
            formats::declare(&self.folder, &self.name, &self.columns)?;
            files.push(self.folder.join("dataset_info.json"));
        }
        Ok(files)
    }
}

fn unfinished(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}

/// Gives a whole file its name.
fn named(unfinished: &Path) -> Result<PathBuf, Error> {
    let file = unfinished.with_extension("");
    fs::rename(unfinished, &file).map_err(Error::writing(&file))?;
    Ok(file)
}
