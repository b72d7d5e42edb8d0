use std::path::{Path, PathBuf};

use omnireward_core::{NoProgress, Preference, PreferencePair, Progress, Response, Task};
use omnireward_models::{
    MediaCache,
    checkpoint::{Family, RandomCheckpoint, Size},
    weights::StoredType,
};
use omnireward_testkit::pairs::{criterion, nine_tasks};
use omnireward_train::{Error, HeldOut, Recipe, Trained, Training, TrainingSet};
use serde_json::json;
use tempfile::TempDir;

/// A tiny checkpoint.
pub(crate) fn base(family: Family, dtype: StoredType) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut random = RandomCheckpoint::new(family, Size::Tiny);
    random.dtype = dtype;
    random.write(folder.path(), &NoProgress).unwrap();
    folder
}

/// Questions whose better answer says "yes".
pub(crate) fn text_pairs(count: u64) -> Vec<PreferencePair> {
    (0..count)
        .map(|index| {
            let is_first = index % 2 == 0;
            let answers = if is_first {
                ["yes", "no"]
            } else {
                ["no", "yes"]
            };
            let responses = answers.map(|answer| Response::text(format!("{answer}, {index}")));
            PreferencePair::new(format!("t{index}"), Task::T2T, "Well?", responses)
                .with_criterion(format!("Criterion {}", index % 3))
                .with_label(if is_first {
                    Preference::First
                } else {
                    Preference::Second
                })
        })
        .collect()
}

/// A pair of each task under each of two criteria, which prefer different sides.
pub(crate) fn media_pairs() -> Vec<PreferencePair> {
    (0..2)
        .flat_map(|seed| {
            nine_tasks(0).into_iter().map(move |mut pair| {
                pair.group = Some(pair.id.clone());
                pair.id = format!("{}-{seed}", pair.id);
                pair.criterion = Some(criterion(seed));
                pair.with_label(if seed == 0 {
                    Preference::First
                } else {
                    Preference::Second
                })
            })
        })
        .collect()
}

/// A recipe for a base, with settings on top.
pub(crate) fn recipe(base: &Path, settings: &str) -> Recipe {
    let text = format!(
        "[model]\npath = {:?}\n{settings}\n[[data]]\npath = \"memory\"\n",
        base.display().to_string()
    );
    Recipe::parse(&text, Path::new("recipe.toml"), &[]).unwrap()
}

/// Runs a training to its end.
pub(crate) fn run(
    recipe: &Recipe,
    pairs: Vec<PreferencePair>,
    held_out: Vec<PreferencePair>,
    out: &Path,
) -> Result<Trained, Error> {
    run_with(recipe, pairs, held_out, out, &NoProgress)
}

pub(crate) fn run_with(
    recipe: &Recipe,
    pairs: Vec<PreferencePair>,
    held_out: Vec<PreferencePair>,
    out: &Path,
    progress: &dyn Progress,
) -> Result<Trained, Error> {
    let held_out = (!held_out.is_empty()).then(|| HeldOut {
        name: "held-out".to_owned(),
        pairs: held_out,
    });
    let training = Training {
        recipe,
        base: Path::new(&recipe.model.path),
        sets: vec![TrainingSet {
            name: "memory".to_owned(),
            pairs,
            weight: 1.0,
            language_modelling: None,
        }],
        held_out: held_out.into_iter().collect(),
        cache: &MediaCache::in_memory(64 << 20),
        out,
        host: "test",
        record: json!({"test": true}),
    };
    training.run(progress)
}

/// All files below a folder with their bytes, but for what says when and how fast it ran.
pub(crate) fn bytes(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    collect(folder, folder, &mut files);
    files.sort();
    files
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "safetensors")
        {
            let name = path.strip_prefix(root).unwrap().to_owned();
            files.push((name, std::fs::read(&path).unwrap()));
        }
    }
}
