//! Generated pairs on disk.

use std::{fs, path::Path};

use omnireward_core::{PreferencePair, Progress, Task};
use serde::Serialize;

use super::{SynthConfig, scene};
use crate::{
    Error, confine,
    formats::{omni_json, pairs_jsonl},
    place::write_whole,
};

/// The file that records how a folder was made.
const RECORD: &str = "synth.json";

/// How pairs are laid out in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As Omni-RewardBench: `<task>_preferences.json` beside `media_data/`. It has no place for
    /// lists of more than two responses.
    Bench,
    /// As our own pairs: `pairs.jsonl` beside `media/`.
    Pairs,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Scenes of all tasks together.
    pub scenes: u64,
    /// Their pairs or lists, one for each criterion.
    pub pairs: u64,
}

/// Writes the pairs and their media into the folder `dir`, with the configuration in `synth.json`.
///
/// The folder appears as a whole or not at all. One that was generated before is replaced.
///
/// # Errors
///
/// [`Error::Occupied`] for a folder that holds something else; [`Error::Unwritable`] for lists in
/// the layout of the benchmark; [`Error::Write`] when the system refuses.
pub fn write(
    config: &SynthConfig,
    dir: &Path,
    layout: Layout,
    progress: &dyn Progress,
) -> Result<Written, Error> {
    check_free(dir)?;
    let parent = confine::or_here(dir.parent().unwrap_or(Path::new("")));
    fs::create_dir_all(parent).map_err(Error::writing(parent))?;
    let work = tempfile::Builder::new()
        .prefix(".synth-")
        .tempdir_in(parent)
        .map_err(Error::writing(parent))?;
    let made = work.path().join("made");
    fs::create_dir(&made).map_err(Error::writing(&made))?;

    let scenes = config.scenes as u64 * config.tasks.len() as u64;
    progress.begin("scenes", Some(scenes));
    let pairs = reported(config, progress);
    let written = match layout {
        Layout::Bench => omni_json(&made, pairs),
        Layout::Pairs => pairs_jsonl(&made.join("pairs.jsonl"), pairs),
    };
    progress.end();
    let written = Written {
        scenes,
        pairs: written?,
    };
    write_record(config, &made.join(RECORD))?;
    put_in_place(&made, dir, &work.path().join("before"))?;
    Ok(written)
}

fn reported<'a>(
    config: &'a SynthConfig,
    progress: &'a dyn Progress,
) -> impl Iterator<Item = PreferencePair> + 'a {
    let tasks = config.tasks.iter().copied();
    tasks
        .flat_map(|task: Task| (0..config.scenes).map(move |index| (task, index)))
        .flat_map(move |(task, index)| {
            let pairs = scene(config, task, index);
            progress.advance(1, task.code());
            pairs
        })
}

/// A folder is free when it is not there, empty, or was generated.
fn check_free(dir: &Path) -> Result<(), Error> {
    if !dir.exists() || dir.join(RECORD).is_file() {
        return Ok(());
    }
    let mut entries = fs::read_dir(dir).map_err(Error::reading(dir))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Error::Occupied {
            path: dir.to_owned(),
        }),
    }
}

/// The configuration as it is kept beside the pairs.
#[derive(Serialize)]
struct Record<'a> {
    generator: &'static str,
    version: &'static str,
    #[serde(flatten)]
    config: &'a SynthConfig,
}

fn write_record(config: &SynthConfig, path: &Path) -> Result<(), Error> {
    let record = Record {
        generator: "omnireward data synth",
        version: env!("CARGO_PKG_VERSION"),
        config,
    };
    let text = serde_json::to_string_pretty(&record).expect("numbers and names are JSON");
    write_whole(path, format!("{text}\n").as_bytes())
}

/// Moves what was made to its place, and what was there before out of the way.
fn put_in_place(made: &Path, dir: &Path, before: &Path) -> Result<(), Error> {
    if dir.exists() {
        fs::rename(dir, before).map_err(Error::writing(dir))?;
    }
    fs::rename(made, dir).map_err(Error::writing(dir))
}
