//! Reads every pair of a dataset and says how fast and in how much memory.
//!
//! ```text
//! cargo run --release -p omnireward-data --example read_all -- PATH
//! ```

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that reports"
)]

use std::{path::Path, process::ExitCode, time::Instant};

use omnireward_core::{MediaSource, Part, PreferencePair};
use omnireward_data::{Error, OpenOptions, open};

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: read_all PATH");
        return ExitCode::from(2);
    };
    match read(Path::new(&path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("read_all: {error}");
            ExitCode::from(2)
        }
    }
}

fn read(path: &Path) -> Result<(), Error> {
    let start = Instant::now();
    let dataset = open(path, &OpenOptions::default())?;
    let opened = start.elapsed();
    let mut first = None;
    let (mut pairs, mut errors, mut embedded) = (0_u64, 0_u64, 0_usize);
    for row in dataset.pairs() {
        first.get_or_insert_with(|| start.elapsed());
        match row {
            Ok(pair) => {
                pairs += 1;
                embedded += embedded_bytes(&pair);
            }
            Err(error) => {
                errors += 1;
                eprintln!("{error}");
            }
        }
    }
    println!(
        "format {}, {:?} rows announced",
        dataset.format(),
        dataset.rows()
    );
    println!(
        "{pairs} pairs, {errors} errors, {:.2} GB embedded",
        embedded as f64 / 1e9
    );
    println!(
        "opened after {opened:.2?}, first pair after {:.2?}, all after {:.2?}",
        first.unwrap_or_default(),
        start.elapsed()
    );
    let start = Instant::now();
    println!(
        "fingerprint {} in {:.2?}",
        dataset.fingerprint()?,
        start.elapsed()
    );
    if let Some(memory) = peak_memory() {
        println!("peak memory {memory}");
    }
    Ok(())
}

fn embedded_bytes(pair: &PreferencePair) -> usize {
    let responses = pair.responses.iter().flat_map(|response| &response.parts);
    pair.prompt
        .iter()
        .chain(responses)
        .filter_map(Part::as_media)
        .map(|media| match &media.source {
            MediaSource::Bytes { bytes, .. } => bytes.len(),
            _ => 0,
        })
        .sum()
}

/// The most memory the process ever had, where the system tells.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(
        line.split_whitespace()
            .skip(1)
            .collect::<Vec<_>>()
            .join(" "),
    )
}
