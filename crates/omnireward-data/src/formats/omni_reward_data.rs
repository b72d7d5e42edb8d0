//! Omni-RewardData as it is published: a folder a subset, each with parquet (or JSON) in the columns of
//! [LLaMA-Factory's ranking form](super::llama_factory).
//!
//! A subset is known by its folder's name, which gives the name of the set and with it the task. Names of media are
//! looked for below the folder of the whole set, below `train_data/` there, and below the subset's own folder.

use std::path::{Path, PathBuf};

use super::{Entry, llama_factory};
use crate::{Format, OpenOptions, Part};

pub(super) const ENTRY: Entry = Entry {
    format: Format::OmniRewardData,
    looked_for: "folders called `Skywork-Reward-Preference`, `Omni-RLAIF-V` and so on with ranking data",
    matches: |path| is_subset(path) || !subsets(path).is_empty(),
    open: |path, options| Ok(open(path, options)),
};

/// The subsets: their folders, and the names that the original's configuration has for them.
const SUBSETS: [(&str, &str); 13] = [
    ("Skywork-Reward-Preference", "skywork_reward"),
    ("Omni-Skywork-Reward-Preference", "omni_t2t_skywork"),
    ("Omni-UltraFeedback", "omni_t2t_ultrafeedback"),
    ("RLAIF-V", "rlaifv"),
    ("OmniAlign-V-DPO", "omnialign"),
    ("Omni-RLAIF-V", "omni_ti2t_rlaifv"),
    ("Omni-VLFeedback", "omni_ti2t_vlfeedback"),
    ("HPDv2", "hpdv2"),
    ("EvalMuse", "evalmuse"),
    ("Omni-HPDv2", "omni_t2i_hpd"),
    ("Omni-Open-Image-Preferences", "omni_t2i_oip"),
    ("VideoDPO", "videodpo"),
    ("VisionRewardDB-Video", "visionreward"),
];

/// The subsets whose folders are in `path` and hold ranking data.
fn subsets(path: &Path) -> Vec<(PathBuf, &'static str)> {
    SUBSETS
        .into_iter()
        .map(|(folder, name)| (path.join(folder), name))
        .filter(|(folder, _)| folder.is_dir() && llama_factory::is_ranking_folder(folder))
        .collect()
}

/// Whether a folder is one of the subsets.
pub(super) fn is_subset(path: &Path) -> bool {
    path.is_dir() && named(path).is_some() && llama_factory::is_ranking_folder(path)
}

/// The set of that name at `path`, which is the whole set or the subset's own folder.
fn named(path: &Path) -> Option<&'static str> {
    let folder = path.file_name()?.to_str()?;
    let (_, name) = SUBSETS.into_iter().find(|(known, _)| *known == folder)?;
    Some(name)
}

fn open(path: &Path, options: &OpenOptions) -> Vec<Part> {
    let below = subsets(path);
    if below.is_empty() {
        let Some(name) = named(path).filter(|_| llama_factory::is_ranking_folder(path)) else {
            return Vec::new();
        };
        let whole = path.parent().unwrap_or(Path::new("")).to_owned();
        let folders = [whole.clone(), whole.join("train_data"), path.to_owned()];
        return llama_factory::named_parts(path, name, &folders, options);
    }
    below
        .into_iter()
        .flat_map(|(folder, name)| {
            let folders = [path.to_owned(), path.join("train_data"), folder.clone()];
            llama_factory::named_parts(&folder, name, &folders, options)
        })
        .collect()
}
