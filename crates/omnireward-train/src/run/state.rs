//! What a training that was stopped goes on from.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use omnireward_models::weights::{Weights, write_tensors};
use serde::{Deserialize, Serialize};

use super::{Window, trainee::Trainee};
use crate::{Error, Result, metrics::EvaluationRecord, optimiser::ScalarAdam};

/// The numbers of a moment that are no tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Moment {
    /// Steps done.
    pub(super) step: u64,
    /// The parameter of ties.
    pub(super) tie: f64,
    /// Its optimiser.
    pub(super) tie_optimiser: ScalarAdam,
    /// The best evaluation so far.
    pub(super) best: Option<Best>,
    /// The newest ones.
    pub(super) evaluations: Vec<EvaluationRecord>,
    /// Rows, tokens and seconds so far, for the record.
    pub(super) rows: u64,
    pub(super) tokens: u64,
    pub(super) seconds: f64,
    /// What has not been written as a line of metrics yet.
    #[serde(default)]
    pub(super) window: Window,
}

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
pub(super) fn folder(out: &Path, step: u64) -> PathBuf {
    out.join(format!("state-{step:08}"))
}

/// Writes a moment, and removes the one before when that is done.
pub(super) fn save(trainee: &Trainee, moment: &Moment, out: &Path) -> Result<()> {
    let target = folder(out, moment.step);
    if target.exists() {
        // A run that was finished before is started again.
        return Ok(());
    }
    let partial = out.join(".state.partial");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial).map_err(|source| Error::io(&partial, source))?;
    let values: BTreeMap<String, _> = trainee.values().into_iter().collect();
    write_tensors(&partial.join(VALUES), &values, &BTreeMap::new())?;
    trainee.optimiser.save(&partial.join(OPTIMISER))?;
    let text = serde_json::to_string_pretty(moment).expect("numbers can be written");
    let path = partial.join(MOMENT);
    fs::write(&path, text).map_err(|source| Error::io(&path, source))?;
    fs::rename(&partial, &target).map_err(|source| Error::io(&target, source))?;
    for (step, path) in moments(out)? {
        if step != moment.step {
            fs::remove_dir_all(&path).map_err(|source| Error::io(&path, source))?;
        }
    }
    Ok(())
}

/// Takes up the newest moment of a run, if it has one.
pub(super) fn resume(trainee: &mut Trainee, out: &Path) -> Result<Option<Moment>> {
    let Some((_, path)) = moments(out)?.pop_last() else {
        return Ok(None);
    };
    let file = path.join(MOMENT);
    let text = fs::read_to_string(&file).map_err(|source| Error::io(&file, source))?;
    let moment: Moment = serde_json::from_str(&text).map_err(|error| Error::Damaged {
        path: file,
        reason: format!("is not the state of a training: {error}"),
    })?;
    let values = path.join(VALUES);
    trainee.set_values(&Weights::open(&values)?, &values)?;
    trainee.optimiser.load(&path.join(OPTIMISER))?;
    trainee.tie = moment.tie;
    trainee.tie_optimiser = moment.tie_optimiser.clone();
    trainee.step = moment.step;
    Ok(Some(moment))
}

/// Whether there is something in `out` that would be lost, were another run begun there.
pub(super) fn holds_something(out: &Path) -> Result<bool> {
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
