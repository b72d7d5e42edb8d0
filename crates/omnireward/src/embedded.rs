//! What the program carries: a small reward model, and a small benchmark that it generates when asked for.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use omnireward_core::{NoProgress, Task};
use omnireward_data::synth::{self, Layout, Split, SynthConfig};
use tempfile::TempDir;

/// What both are called.
pub(crate) const NAME: &str = "embedded";

/// Decides which scenes the benchmark has.
const SEED: u64 = 20_260;

/// Scenes of each task.
const SCENES: usize = 14;

/// A temporary folder that is read as one of a user's would be, and goes away with this.
pub(crate) struct Unpacked {
    path: PathBuf,
    _parent: TempDir,
}

impl Unpacked {
    /// Where it is. The folder has the [name](NAME) of what it holds, since a checkpoint is called by its folder's.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn fill(fill: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let parent = tempfile::tempdir().context("cannot make a temporary folder")?;
        let path = parent.path().join(NAME);
        fill(&path)?;
        Ok(Self {
            path,
            _parent: parent,
        })
    }
}

/// The small reward model: a checkpoint.
pub(crate) fn model() -> Result<Unpacked> {
    Unpacked::fill(|folder| {
        fs::create_dir(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        for (name, bytes) in MODEL {
            let path = folder.join(name);
            fs::write(&path, bytes)
                .with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        Ok(())
    })
}

/// The small benchmark: generated pairs of all nine tasks, of scenes and wordings that training never sees.
pub(crate) fn benchmark() -> Result<Unpacked> {
    let config = SynthConfig {
        seed: SEED,
        split: Split::Test,
        tasks: Task::ALL.to_vec(),
        scenes: SCENES,
        criteria: 3,
        responses: 2,
        answers: None,
        scrambled: false,
    };
    Unpacked::fill(|folder| {
        synth::write(&config, folder, Layout::Pairs, &NoProgress)
            .context("cannot generate the embedded benchmark")?;
        Ok(())
    })
}

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
