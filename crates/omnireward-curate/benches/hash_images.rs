//! Time for the perceptual hash of a JPEG on one core, beside `imagehash` where a Python that has it is named:
//!
//! ```sh
//! python3 -m venv /tmp/peer && /tmp/peer/bin/pip install pillow imagehash
//! OMNIREWARD_PYTHON=/tmp/peer/bin/python cargo bench -p omnireward-curate --bench hash_images -- FOLDER
//! ```
//!
//! Both read every JPEG of the folder into memory, then hash all of them in turns, round after round, one program
//! after the other; the least time of a round counts.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has to stop"
)]

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use omnireward_core::Modality;
use omnireward_curate::signature::of_modality;
use omnireward_media::Limits;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 9;

fn main() {
    let folder = std::env::args()
        .skip(1)
        .find(|word| !word.starts_with("--"));
    let Some(folder) = folder.map(PathBuf::from) else {
        println!("name a folder of JPEG files");
        return;
    };
    let files = jpegs(&folder);
    let mut peer = std::env::var_os("OMNIREWARD_PYTHON").map(|python| Peer::start(&python, &files));
    let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
    let bytes: Vec<Vec<u8>> = files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    for _ in 0..ROUNDS {
        ours = ours.min(round(&bytes));
        if let Some(peer) = &mut peer {
            theirs = theirs.min(peer.round());
        }
    }
    let each = |seconds: f64| 1e3 * seconds / files.len() as f64;
    println!("{} JPEG files: {:.2} ms each", files.len(), each(ours));
    if theirs.is_finite() {
        let ratio = theirs / ours;
        println!(
            "imagehash.phash: {:.2} ms each, {ratio:.2} times as long",
            each(theirs)
        );
    }
}

fn jpegs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|end| end == "jpg" || end == "jpeg")
        })
        .collect();
    files.sort();
    assert!(
        !files.is_empty(),
        "there is no JPEG file in {}",
        folder.display()
    );
    files
}

fn round(files: &[Vec<u8>]) -> f64 {
    let signature = of_modality(Modality::Image).unwrap();
    let started = Instant::now();
    for bytes in files {
        std::hint::black_box(signature.words(bytes, &Limits::default()).unwrap());
    }
    started.elapsed().as_secs_f64()
}

/// The other program, which takes one round for each line it reads and answers with the seconds.
struct Peer {
    process: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Peer {
    fn start(python: &std::ffi::OsStr, files: &[PathBuf]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peer/imagehash_phash.py");
        let mut process = Command::new(python)
            .arg(script)
            .args(files)
            .env("OMP_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        Self { process, answers }
    }

    fn round(&mut self) -> f64 {
        self.process
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"go\n")
            .unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
