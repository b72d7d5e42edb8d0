//! What works on whole tables: written, cleaned, mixed and counted through the query engine.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

mod decontaminate;
mod dedup;
#[cfg(feature = "distributed")]
mod distributed;
mod mix;
mod planted;
mod stats;
mod table;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use omnireward_core::{Preference, PreferencePair, Progress, Response, Task};
use omnireward_curate::{engine::EngineConfig, table::Input};
use omnireward_data::{OpenOptions, write};

/// An engine with little memory.
fn engine(partitions: usize) -> EngineConfig {
    EngineConfig {
        partitions,
        memory_bytes: 256 << 20,
        ..EngineConfig::default()
    }
}

/// Writes pairs as a file of our own format, to be read again.
fn input(folder: &Path, name: &str, pairs: &[PreferencePair]) -> Input {
    let file = folder.join(name).join("pairs.jsonl");
    write::pairs_jsonl(&file, pairs).unwrap();
    Input {
        name: name.to_owned(),
        ..Input::new(file)
    }
}

fn read(folder: &Path) -> Vec<PreferencePair> {
    let dataset = omnireward_data::open(folder, &OpenOptions::default()).unwrap();
    dataset.pairs().map(Result::unwrap).collect()
}

fn ids(pairs: &[PreferencePair]) -> Vec<&str> {
    pairs.iter().map(|pair| pair.id.as_str()).collect()
}

/// Every file below a folder, with its content.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn json_lines(file: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Panics at the beginning of a stage, as a process that is killed there would end.
struct DiesAt {
    stage: usize,
    begun: AtomicUsize,
}

impl DiesAt {
    fn stage(stage: usize) -> Self {
        Self {
            stage,
            begun: AtomicUsize::new(0),
        }
    }

    fn stages(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }
}

impl Progress for DiesAt {
    fn begin(&self, _stage: &str, _total: Option<u64>) {
        assert_ne!(
            self.begun.fetch_add(1, Ordering::Relaxed),
            self.stage,
            "killed"
        );
    }
    fn advance(&self, _steps: u64, _note: &str) {}
    fn end(&self) {}
}

/// A generator of numbers that need not be good, only the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn words(&mut self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| format!("w{}", self.roll(4000)))
            .collect()
    }
}

/// A text pair with a prompt of 20 words and responses of 60 and 90, all drawn.
fn text_pair(id: &str, dice: &mut Dice) -> PreferencePair {
    let [prompt, first, second] = [20, 60, 90].map(|count| dice.words(count).join(" "));
    PreferencePair::new(
        id,
        Task::T2T,
        prompt,
        [Response::text(first), Response::text(second)],
    )
    .with_label(Preference::First)
}

/// A text in which `edits` words are replaced, left out or doubled.
fn edited(text: &str, edits: usize, dice: &mut Dice) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    for _ in 0..edits {
        let place = dice.roll(words.len());
        match dice.roll(3) {
            0 => words[place] = format!("edit{}", dice.roll(9999)),
            1 if words.len() > 1 => drop(words.remove(place)),
            _ => words.insert(place, format!("more{}", dice.roll(9999))),
        }
    }
    words.join(" ")
}

/// A pair with `share` of the words of each text edited.
fn edited_pair(pair: &PreferencePair, id: &str, share: f64, dice: &mut Dice) -> PreferencePair {
    let mut copy = pair.clone();
    id.clone_into(&mut copy.id);
    let parts = copy
        .responses
        .iter_mut()
        .map(|response| &mut response.parts);
    for parts in std::iter::once(&mut copy.prompt).chain(parts) {
        for part in parts {
            if let omnireward_core::Part::Text(text) = part {
                let edits = (text.split(' ').count() as f64 * share).round() as usize;
                *text = edited(text, edits, dice);
            }
        }
    }
    copy
}
