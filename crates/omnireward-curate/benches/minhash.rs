//! Near-duplicate removal over generated text pairs of about 1 KB, beside `datatrove` where a Python that has it is named:
//!
//! ```sh
//! python3 -m venv /tmp/peer && /tmp/peer/bin/pip install 'datatrove[processing,io]' spacy
//! OMNIREWARD_PYTHON=/tmp/peer/bin/python cargo bench -p omnireward-curate --features engine \
//!     --bench minhash -- 1000000
//! ```
//!
//! One pair in ten is a copy of another with 2% of its words changed, one in fifty an exact copy. Both read the same JSONL
//! file and write what stays, with datatrove's parameters (runs of 5 words, 14 bands of 8 hashes); ours compares every
//! candidate besides. Ours is a process of its own, whose largest resident memory counts.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has to stop"
)]

mod alone;

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    process::Command,
    time::Instant,
};

use omnireward_core::NoProgress;
use omnireward_curate::{
    dedup::{DedupSettings, dedup},
    engine::EngineConfig,
    signature::text::TextSettings,
    table::{Input, MediaMode},
};
use serde_json::json;

use self::alone::told;

const OURS: &str = "ours-alone";

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    if let [mode, source, out] = &words[..] {
        assert_eq!(mode, OURS, "give a number of pairs");
        return ours(Path::new(source), Path::new(out));
    }
    let pairs: u64 = words
        .first()
        .map_or(20_000, |word| word.parse().expect("give a number of pairs"));
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("pairs.jsonl");
    let copies = generate(&source, pairs);
    let size = fs::metadata(&source).unwrap().len();
    println!(
        "{pairs} pairs, {} bytes each, {copies} of them copies",
        size / pairs
    );

    let this = std::env::current_exe().unwrap();
    let found = told(
        Command::new(this)
            .arg(OURS)
            .arg(&source)
            .arg(folder.path().join("ours")),
    );
    println!(
        "ours       {:8.1} s  {:6.0} MB  keeps {}",
        found["seconds"].as_f64().unwrap(),
        found["megabytes"].as_f64().unwrap_or(f64::NAN),
        found["kept"],
    );
    let Some(python) = std::env::var_os("OMNIREWARD_PYTHON") else {
        println!("set OMNIREWARD_PYTHON to a Python that has datatrove to compare");
        return;
    };
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/benches/peer/datatrove_minhash.py"
    );
    let peer = told(
        Command::new(python)
            .arg(script)
            .arg(&source)
            .arg(folder.path().join("peer")),
    );
    println!(
        "datatrove  {:8.1} s  keeps {}",
        peer["seconds"].as_f64().unwrap(),
        peer["kept"]
    );
    let [ours, theirs] = [&found, &peer].map(|side| side["seconds"].as_f64().unwrap());
    println!("datatrove takes {:.1} times as long", theirs / ours);
}

fn ours(source: &Path, out: &Path) {
    let settings = DedupSettings {
        text: TextSettings::datatrove(),
        ..DedupSettings::default()
    };
    let config = EngineConfig {
        memory_bytes: 512 << 20,
        ..EngineConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let started = Instant::now();
    let inputs = [Input::new(source)];
    let work = dedup(
        &inputs,
        out,
        &settings,
        MediaMode::Beside,
        &config,
        &NoProgress,
    );
    let report = runtime.block_on(work).unwrap();
    let found = json!({
        "seconds": started.elapsed().as_secs_f64(),
        "kept": report.kept,
        "megabytes": alone::megabytes(),
    });
    println!("{found}");
}

/// Writes pairs, and returns how many are copies of others.
fn generate(file: &Path, pairs: u64) -> u64 {
    let vocabulary: Vec<String> = (0..20_000).map(word).collect();
    let mut out = BufWriter::new(File::create(file).unwrap());
    let mut dice = Dice(1);
    let mut recent: Vec<[Vec<usize>; 3]> = Vec::new();
    let mut copies = 0;
    for id in 0..pairs {
        let kind = dice.roll(50);
        let texts = match recent.len() {
            1.. if kind < 6 => {
                copies += 1;
                let mut texts = recent[dice.roll(recent.len())].clone();
                if kind > 0 {
                    for text in &mut texts {
                        change(text, &mut dice);
                    }
                }
                texts
            }
            _ => {
                [30, 55, 55].map(|count| (0..count).map(|_| dice.roll(vocabulary.len())).collect())
            }
        };
        if kind >= 6 {
            let place = if recent.len() < 10_000 {
                recent.len()
            } else {
                dice.roll(recent.len())
            };
            recent.resize(recent.len().max(place + 1), Default::default());
            recent[place].clone_from(&texts);
        }
        let [prompt, first, second] = texts.map(|text| {
            let words: Vec<&str> = text.iter().map(|&word| vocabulary[word].as_str()).collect();
            words.join(" ")
        });
        let record = json!({"id": id.to_string(), "task": "T2T", "prompt": prompt, "responses": [first, second], "label": "first"});
        writeln!(out, "{record}").unwrap();
    }
    out.flush().unwrap();
    copies
}

/// Another word in one place of fifty.
fn change(text: &mut [usize], dice: &mut Dice) {
    for _ in 0..text.len().div_ceil(50) {
        let place = dice.roll(text.len());
        text[place] = dice.roll(20_000);
    }
}

/// A word of letters alone: datatrove takes all digits for one.
fn word(mut number: usize) -> String {
    let mut word = String::new();
    for syllable in 0..3 {
        word.push(char::from(b"bcdfghjklmnprstvz"[number % 17]));
        number /= 17;
        word.push(char::from(b"aeiou"[(number + syllable) % 5]));
        number /= 5;
    }
    word
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}
