//! Turning published sets into our own pairs.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions as FileOptions},
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use omnireward_core::{Preference, PreferencePair, Progress};
use serde::{Deserialize, Serialize};

use super::Source;
use crate::{
    Dataset, Error, OpenOptions,
    dataset::UniqueIds,
    formats::pair_record,
    open,
    place::{MediaFolder, is_there, write_whole},
};

/// The pairs, when all are written; until then the same with `.part` behind.
const PAIRS: &str = "pairs.jsonl";
const PART: &str = "pairs.jsonl.part";

/// What is imported, and when it is done what came of it.
const RECORD: &str = "import.json";

/// Pairs that a stop can lose, so that they are written again.
const FLUSH_EVERY: u64 = 256;

/// How sources are imported.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions {
    /// At most this many pairs.
    pub limit: Option<u64>,
    /// Whether the first bad row ends the import.
    pub strict: bool,
    /// Whether media are copied beside the pairs. Otherwise they get a second name there, which needs no room but the same
    /// file system.
    pub copy_media: bool,
}

/// What an import made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Records read from label files, broken ones among them.
    pub rows_read: u64,
    /// Pairs written.
    pub pairs: u64,
    /// Pairs by label: the first preferred, the second, a tie, none.
    pub first: u64,
    /// See [`first`](Self::first).
    pub second: u64,
    /// See [`first`](Self::first).
    pub ties: u64,
    /// See [`first`](Self::first).
    pub unlabelled: u64,
    /// Rows that were refused, by reason, in the order of reasons.
    pub refused: BTreeMap<String, Refusals>,
    /// Files that broke off, and why. What stood after that place is not among the pairs.
    pub lost: Vec<String>,
    /// Media named by the pairs whose files are there, or which came with the rows.
    pub media: u64,
    /// Media named by the pairs whose files are not there. They keep the names that the source has for them.
    pub missing_media: u64,
}

/// Rows that were refused for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusals {
    /// How many.
    pub rows: u64,
    /// The first of them, in full.
    pub first: String,
}

impl Imported {
    /// The rows that were refused for any reason.
    pub fn rows_refused(&self) -> u64 {
        self.refused.values().map(|refusals| refusals.rows).sum()
    }

    fn note(&mut self, pair: &PreferencePair) {
        self.pairs += 1;
        *match pair.label {
            Some(Preference::First) => &mut self.first,
            Some(Preference::Second) => &mut self.second,
            Some(Preference::Tie) => &mut self.ties,
            None => &mut self.unlabelled,
        } += 1;
        for medium in pair.media() {
            if is_there(medium) {
                self.media += 1;
            } else {
                self.missing_media += 1;
            }
        }
    }

    fn refuse(&mut self, error: &Error) {
        let reason = match error {
            Error::Row { field, source, .. } => match field {
                Some(field) => format!("`{}`: {}", without_positions(field), source.kind()),
                None => source.kind().to_owned(),
            },
            other => other.to_string(),
        };
        let refusals = self.refused.entry(reason).or_default();
        if refusals.rows == 0 {
            refusals.first = in_full(error);
        }
        refusals.rows += 1;
    }
}

/// A field's name without the positions in it, so that the same fault counts once wherever it stands.
fn without_positions(field: &str) -> String {
    let mut name = String::with_capacity(field.len());
    let mut inside = false;
    for character in field.chars() {
        inside = (inside || character == '[') && character != ']';
        if !character.is_ascii_digit() || !inside {
            name.push(character);
        }
    }
    name
}

fn in_full(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// What decides the bytes of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    source: Option<String>,
    inputs: Vec<Input>,
    limit: Option<u64>,
    copy_media: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Input {
    path: PathBuf,
    format: String,
    fingerprint: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    order: Order,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    imported: Option<Imported>,
}

/// Reads copies of one source (or of whatever the inputs are recognised as) and writes their pairs to `pairs.jsonl` in
/// `out`, media below `media/` there. Progress counts pairs.
///
/// An import that was stopped is started again with the same arguments, and ends in the same bytes: what it had written
/// stays. Media that are found keep their names, those that rows embed are called by their content, and those that are
/// not there keep the names that the source has for them.
///
/// # Errors
///
/// Errors of the inputs (see [`Source::open`]); the first bad row, when strict; [`Error::OtherImport`] when `out` holds
/// another import; [`Error::Link`] when media cannot be given a second name; [`Error::Write`] when `out` cannot be written.
pub fn import(
    source: Option<&Source>,
    inputs: &[PathBuf],
    out: &Path,
    options: &ImportOptions,
    progress: &dyn Progress,
) -> Result<Imported, Error> {
    let reading = OpenOptions::default();
    let datasets = opened(source, inputs, &reading)?;
    let order = Order {
        source: source.map(|source| source.name.to_owned()),
        inputs: described(&datasets)?,
        limit: options.limit,
        copy_media: options.copy_media,
    };
    fs::create_dir_all(out).map_err(Error::writing(out))?;
    if let Some(done) = begun(out, &order)? {
        return Ok(done);
    }
    let mut output = Output::at(out, options)?;
    let mut imported = Imported::default();
    let mut ids = UniqueIds::default();
    progress.begin("import", options.limit.or_else(|| total(&datasets)));
    for dataset in &datasets {
        let source = source.or_else(|| Source::of(dataset.format()));
        for row in dataset.pairs() {
            if options.limit.is_some_and(|limit| imported.pairs >= limit) {
                break;
            }
            match row {
                Ok(pair) => {
                    let mut pair = match source {
                        Some(source) => source.attributed(pair),
                        None => pair,
                    };
                    // Ids of one input are unique already.
                    if datasets.len() > 1 {
                        pair.id = ids.claim(pair.id);
                    }
                    imported.note(&pair);
                    output.write(&pair)?;
                    progress.advance(1, "");
                }
                Err(error) if options.strict => return Err(error),
                Err(error) if error.is_row() => imported.refuse(&error),
                Err(error) => imported.lost.push(in_full(&error)),
            }
        }
    }
    progress.end();
    imported.rows_read = reading.rows_read.get();
    output.finish()?;
    keep(
        out,
        &Record {
            order,
            imported: Some(imported.clone()),
        },
    )?;
    Ok(imported)
}

fn opened(
    source: Option<&Source>,
    inputs: &[PathBuf],
    options: &OpenOptions,
) -> Result<Vec<Dataset>, Error> {
    inputs
        .iter()
        .map(|path| match source {
            Some(source) => source.open(path, options),
            None => open(path, options),
        })
        .collect()
}

fn described(datasets: &[Dataset]) -> Result<Vec<Input>, Error> {
    datasets
        .iter()
        .map(|dataset| {
            let root = dataset.root();
            Ok(Input {
                path: root.canonicalize().map_err(Error::reading(root))?,
                format: dataset.format().to_string(),
                fingerprint: dataset.fingerprint()?,
            })
        })
        .collect()
}

/// The pairs of all datasets, where that is known without reading them.
fn total(datasets: &[Dataset]) -> Option<u64> {
    datasets.iter().map(Dataset::rows).sum()
}

/// What the import in a folder made, when it is done; `None` when it is to be begun or gone on with.
fn begun(out: &Path, order: &Order) -> Result<Option<Imported>, Error> {
    let file = out.join(RECORD);
    if !file.exists() {
        if out.join(PAIRS).exists() {
            return Err(Error::Occupied {
                path: out.to_owned(),
            });
        }
        let record = Record {
            order: order.clone(),
            imported: None,
        };
        return keep(out, &record).map(|()| None);
    }
    let text = fs::read_to_string(&file).map_err(Error::reading(&file))?;
    let record: Record = serde_json::from_str(&text).map_err(|error| Error::Json {
        file: file.clone(),
        line: error.line() as u64,
        reason: error.to_string(),
    })?;
    let what = if record.order.source != order.source {
        Some("source")
    } else if record.order.inputs != order.inputs {
        Some("input")
    } else if record.order.limit != order.limit {
        Some("limit")
    } else if record.order.copy_media != order.copy_media {
        Some("way with media")
    } else {
        None
    };
    match what {
        Some(what) => Err(Error::OtherImport {
            path: out.to_owned(),
            what,
        }),
        None => Ok(record.imported.filter(|_| out.join(PAIRS).exists())),
    }
}

fn keep(out: &Path, record: &Record) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(record).expect("a record can be written as JSON");
    write_whole(&out.join(RECORD), (text + "\n").as_bytes())
}

/// The file of pairs, which goes on behind what it has.
struct Output {
    part: PathBuf,
    whole: PathBuf,
    file: BufWriter<File>,
    media: MediaFolder,
    /// Pairs that are in the file already and only have to be passed by.
    there: u64,
    seen: u64,
}

impl Output {
    fn at(out: &Path, options: &ImportOptions) -> Result<Self, Error> {
        let (part, whole) = (out.join(PART), out.join(PAIRS));
        let there = whole_lines(&part)?;
        let file = FileOptions::new()
            .create(true)
            .append(true)
            .open(&part)
            .map_err(Error::writing(&part))?;
        let media = MediaFolder::beside(out, "media").by_content();
        Ok(Self {
            part,
            whole,
            file: BufWriter::new(file),
            media: if options.copy_media {
                media
            } else {
                media.linking()
            },
            there,
            seen: 0,
        })
    }

    fn write(&mut self, pair: &PreferencePair) -> Result<(), Error> {
        self.seen += 1;
        if self.seen <= self.there {
            return Ok(());
        }
        let media = &self.media;
        let record = pair_record(pair, &mut |medium| media.place(medium).map(Some))?;
        serde_json::to_writer(&mut self.file, &record)
            .map_err(std::io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"))
            .and_then(|()| match self.seen % FLUSH_EVERY {
                0 => self.file.flush(),
                _ => Ok(()),
            })
            .map_err(Error::writing(&self.part))
    }

    fn finish(mut self) -> Result<(), Error> {
        self.file.flush().map_err(Error::writing(&self.part))?;
        fs::rename(&self.part, &self.whole).map_err(Error::writing(&self.whole))
    }
}

/// The number of whole lines in a file, which loses what stands behind the last of them.
fn whole_lines(file: &Path) -> Result<u64, Error> {
    if !file.exists() {
        return Ok(0);
    }
    let mut reader = BufReader::new(File::open(file).map_err(Error::reading(file))?);
    let (mut lines, mut length, mut line) = (0, 0, Vec::new());
    loop {
        line.clear();
        let read = reader
            .read_until(b'\n', &mut line)
            .map_err(Error::reading(file))?;
        if line.last() != Some(&b'\n') {
            break;
        }
        length += read as u64;
        lines += 1;
    }
    FileOptions::new()
        .write(true)
        .open(file)
        .and_then(|opened| opened.set_len(length))
        .map_err(Error::writing(file))?;
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_do_not_tell_faults_apart() {
        assert_eq!(
            without_positions("completions[12].annotations"),
            "completions[].annotations"
        );
        assert_eq!(without_positions("video1"), "video1");
    }

    #[test]
    fn a_torn_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        assert_eq!(whole_lines(&file).unwrap(), 0);
        fs::write(&file, "{\"a\": 1}\n{\"b\": 2}\n{\"c\"").unwrap();
        assert_eq!(whole_lines(&file).unwrap(), 2);
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            "{\"a\": 1}\n{\"b\": 2}\n"
        );
    }
}
