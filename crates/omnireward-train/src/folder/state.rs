//! What a training that was stopped goes on from.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use omnireward_models::weights::{Weights, write_tensors};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, Result, optimiser::AdamW, variables::Variables};

/// An evaluation that was better than all before it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// After which step.
    pub step: u64,
    /// The share of held-out pairs that came out right, ties left out.
    pub accuracy: f64,
}

const MOMENT: &str = "moment.json";
const VALUES: &str = "values.safetensors";
const OPTIMISER: &str = "optimiser.safetensors";

/// The folder of a moment, whole or not there.
fn folder(out: &Path, step: u64) -> PathBuf {
    out.join(format!("state-{step:08}"))
}

/// Writes the moment after `step`, with its numbers that are no tensors, and removes the one before when that is done.
pub(crate) fn save<M: Serialize>(
    variables: &Variables,
    optimiser: &AdamW,
    step: u64,
    moment: &M,
    out: &Path,
) -> Result<()> {
    let target = folder(out, step);
    if target.exists() {
        // A run that was finished before is started again.
        return Ok(());
    }
    let partial = out.join(".state.partial");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).map_err(|source| Error::io(&partial, source))?;
    let values: BTreeMap<String, _> = variables.values().into_iter().collect();
    write_tensors(&partial.join(VALUES), &values, &BTreeMap::new())?;
    optimiser.save(&partial.join(OPTIMISER))?;
    let text = serde_json::to_string_pretty(moment).expect("numbers can be written");
    let path = partial.join(MOMENT);
    fs::write(&path, text).map_err(|source| Error::io(&path, source))?;
    fs::rename(&partial, &target).map_err(|source| Error::io(&target, source))?;
    for (other, path) in moments(out)? {
        if other != step {
            fs::remove_dir_all(&path).map_err(|source| Error::io(&path, source))?;
        }
    }
    Ok(())
}

/// Takes up the newest moment of a run, if it has one.
pub(crate) fn resume<M: DeserializeOwned>(
    variables: &mut Variables,
    optimiser: &mut AdamW,
    out: &Path,
) -> Result<Option<M>> {
    let Some((_, path)) = moments(out)?.pop_last() else {
        return Ok(None);
    };
    let file = path.join(MOMENT);
    let text = fs::read_to_string(&file).map_err(|source| Error::io(&file, source))?;
    let moment: M = serde_json::from_str(&text).map_err(|error| Error::Damaged {
        path: file,
        reason: format!("is not the state of a training: {error}"),
    })?;
    let values = path.join(VALUES);
    variables.set_values(&Weights::open(&values)?, &values)?;
    optimiser.load(&path.join(OPTIMISER))?;
    Ok(Some(moment))
}

/// Whether there is something in `out` that would be lost, were another run begun there.
pub(crate) fn holds_something(out: &Path) -> Result<bool> {
    Ok(!moments(out)?.is_empty() || out.join("best").exists() || out.join("last").exists())
}

/// The moments of a run, by step.
fn moments(out: &Path) -> Result<BTreeMap<u64, PathBuf>> {
    let mut found = BTreeMap::new();
    let entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(Error::io(out, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|source| Error::io(out, source))?;
        let name = entry.file_name();
        let step = name
            .to_string_lossy()
            .strip_prefix("state-")
            .and_then(|step| step.parse().ok());
        if let Some(step) = step {
            found.insert(step, entry.path());
        }
    }
    Ok(found)
}
