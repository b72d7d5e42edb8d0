use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{Error, Result, media_cache::hex};

/// Bytes of a file that are read at each place.
const SAMPLE: u64 = 1 << 16;
/// From one place to the next in a large file. A matrix of a large model is many times that.
const STEP: u64 = 4 << 20;
/// Files up to this size are read whole.
const WHOLE: u64 = 16 << 20;

/// Files that decide what a checkpoint computes.
fn decides(name: &str) -> bool {
    let extensions = [".safetensors", ".gguf", ".json", ".jinja"];
    extensions.iter().any(|extension| name.ends_with(extension)) && !name.starts_with("golden")
}

/// Tells checkpoints apart: a hash over the names, the lengths and samples of all files that decide what is computed.
/// Hashing all of a large one would take longer than many a run; two that differ in nothing but a few numbers between
/// the samples have the same fingerprint.
///
/// # Errors
///
/// [`Error::Io`] when a file cannot be read.
pub fn fingerprint(checkpoint: &Path) -> Result<String> {
    let mut files = files(checkpoint)?;
    files.sort();
    let mut hash = Sha256::new();
    for path in files {
        let failed = |source| Error::Io {
            path: path.clone(),
            source,
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        hash.update(name.as_bytes());
        sample(&path, &mut hash).map_err(failed)?;
    }
    Ok(hex(&hash.finalize()))
}

fn files(checkpoint: &Path) -> Result<Vec<PathBuf>> {
    if checkpoint.is_file() {
        return Ok(vec![checkpoint.to_owned()]);
    }
    let failed = |source| Error::Io {
        path: checkpoint.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(checkpoint).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_file() && decides(&name) {
            files.push(path);
        }
    }
    Ok(files)
}

fn sample(path: &Path, hash: &mut Sha256) -> io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    hash.update(length.to_le_bytes());
    let step = if length <= WHOLE { SAMPLE } else { STEP };
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < length {
        buffer.clear();
        file.seek(SeekFrom::Start(at))?;
        file.by_ref().take(SAMPLE).read_to_end(&mut buffer)?;
        hash.update(&buffer);
        at += step;
    }
    file.seek(SeekFrom::Start(length.saturating_sub(SAMPLE)))?;
    buffer.clear();
    file.read_to_end(&mut buffer)?;
    hash.update(&buffer);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_changes_the_fingerprint_and_a_note_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
        write("config.json", b"{}");
        write("model.safetensors", &vec![0; 10 << 20]);
        let first = fingerprint(dir.path()).unwrap();
        write("README.md", b"words");
        assert_eq!(fingerprint(dir.path()).unwrap(), first);
        let mut changed = vec![0; 10 << 20];
        changed[(10 << 19) + 12_345] = 1;
        write("model.safetensors", &changed);
        assert_ne!(fingerprint(dir.path()).unwrap(), first);
    }

    #[test]
    fn a_large_file_is_sampled_every_few_megabytes_and_at_its_end() {
        const LENGTH: usize = 41 << 20;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let of = |changed: Option<usize>| {
            let mut bytes = vec![0; LENGTH];
            if let Some(place) = changed {
                bytes[place] = 1;
            }
            fs::write(&path, bytes).unwrap();
            fingerprint(dir.path()).unwrap()
        };
        let first = of(None);
        for place in [100, (8 << 20) + 60_000, (36 << 20) + 1, LENGTH - 1] {
            assert_ne!(of(Some(place)), first, "{place}");
        }
    }
}
