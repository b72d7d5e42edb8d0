//! What `dataset_info.json` says about a set.

use std::{collections::BTreeMap, fs::File, io::BufReader, path::Path};

use omnireward_core::{Modality, Task};
use serde::Deserialize;

use super::Set;
use crate::{Error, confine};

/// The file that declares the sets of a folder.
pub(super) const DECLARATION: &str = "dataset_info.json";

/// How the records of a set are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Form {
    /// One instruction with an input.
    #[default]
    Alpaca,
    /// A conversation.
    ShareGpt,
}

/// A set, and what its columns and roles are called.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) name: String,
    /// The task, where the name is one that Omni-Reward uses.
    pub(super) task: Option<Task>,
    pub(super) form: Form,
    pub(super) columns: Columns,
    pub(super) tags: Tags,
}

impl Declared {
    /// A set with the usual columns and roles.
    pub(super) fn usual(name: String, form: Form) -> Self {
        Self {
            task: task_of(&name),
            name,
            form,
            columns: Columns::default(),
            tags: Tags::default(),
        }
    }
}

/// What a set calls its columns.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(super) struct Columns {
    pub(super) messages: String,
    pub(super) prompt: String,
    pub(super) query: String,
    pub(super) history: String,
    pub(super) system: String,
    pub(super) chosen: String,
    pub(super) rejected: String,
    pub(super) images: String,
    pub(super) videos: String,
    pub(super) audios: String,
}

impl Columns {
    /// The column of such media. Meshes are given as pictures of them.
    pub(super) fn of(&self, modality: Modality) -> &str {
        match modality {
            Modality::Video => &self.videos,
            Modality::Audio => &self.audios,
            Modality::Image | Modality::Mesh | Modality::Text => &self.images,
        }
    }
}

impl Default for Columns {
    fn default() -> Self {
        let named = str::to_owned;
        Self {
            messages: named("conversations"),
            prompt: named("instruction"),
            query: named("input"),
            history: named("history"),
            system: named("system"),
            chosen: named("chosen"),
            rejected: named("rejected"),
            images: named("images"),
            videos: named("videos"),
            audios: named("audios"),
        }
    }
}

/// What a set calls the fields of a turn and the speakers.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(super) struct Tags {
    #[serde(rename = "role_tag")]
    pub(super) role: String,
    #[serde(rename = "content_tag")]
    pub(super) content: String,
    #[serde(rename = "user_tag")]
    pub(super) user: String,
    #[serde(rename = "assistant_tag")]
    pub(super) assistant: String,
    #[serde(rename = "observation_tag")]
    pub(super) observation: String,
    #[serde(rename = "function_tag")]
    pub(super) function: String,
    #[serde(rename = "system_tag")]
    pub(super) system: String,
}

impl Default for Tags {
    fn default() -> Self {
        let named = str::to_owned;
        Self {
            role: named("from"),
            content: named("value"),
            user: named("human"),
            assistant: named("gpt"),
            observation: named("observation"),
            function: named("function_call"),
            system: named("system"),
        }
    }
}

/// One entry of the declaration. Entries that name a hub repository have no file.
#[derive(Debug, Deserialize)]
struct Wire {
    file_name: Option<String>,
    #[serde(default)]
    ranking: bool,
    #[serde(default)]
    formatting: Form,
    #[serde(default)]
    columns: Columns,
    #[serde(default)]
    tags: Tags,
}

/// The ranking sets declared in a folder whose files are there, sorted by name; none when the
/// folder declares nothing.
pub(super) fn in_folder(folder: &Path) -> Result<Vec<Set>, Error> {
    let file = folder.join(DECLARATION);
    if !file.is_file() {
        return Ok(Vec::new());
    }
    let opened = File::open(&file).map_err(Error::reading(&file))?;
    let wires: BTreeMap<String, Wire> =
        serde_json::from_reader(BufReader::new(opened)).map_err(|error| Error::Json {
            line: error.line() as u64,
            reason: error.to_string(),
            file,
        })?;
    let mut sets = Vec::new();
    for (name, wire) in wires {
        if let Some(set) = set(folder, name, wire)? {
            sets.push(set);
        }
    }
    Ok(sets)
}

fn set(folder: &Path, name: String, wire: Wire) -> Result<Option<Set>, Error> {
    let Some(file_name) = wire.file_name.filter(|_| wire.ranking) else {
        return Ok(None);
    };
    let file = confine::inside(folder, &file_name).map_err(|source| Error::Path {
        name: file_name,
        source,
    })?;
    let declared = Declared {
        task: task_of(&name),
        name,
        form: wire.formatting,
        columns: wire.columns,
        tags: wire.tags,
    };
    let declaration = Some(folder.join(DECLARATION));
    Ok(file.is_file().then_some(Set {
        declared,
        file,
        declaration,
    }))
}

/// The task of a set that Omni-Reward declares. Earlier revisions put `filter_` before some names
/// and called frame sets `<name>_image`.
pub(super) fn task_of(name: &str) -> Option<Task> {
    let name = name.strip_prefix("filter_").unwrap_or(name);
    let name = name.strip_suffix("_image").unwrap_or(name);
    match name {
        "skywork_reward" => Some(Task::T2T),
        "rlaifv" | "omnialign" | "vl_rewardbench" | "multimodal_rewardbench" => Some(Task::TI2T),
        "hpdv2" | "evalmuse" => Some(Task::T2I),
        "videodpo" | "visionreward" => Some(Task::T2V),
        _ => name.strip_prefix("omni_")?.split('_').next()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_names_tell_the_task() {
        for (name, task) in [
            ("omni_t2t", Task::T2T),
            ("omni_t23d", Task::T23D),
            ("omni_ti2i", Task::TI2I),
            ("omni_ta2t", Task::TA2T),
            ("omni_ti2t_rlaifv", Task::TI2T),
            ("omni_t2i_oip", Task::T2I),
            ("filter_omni_t2i_hpd", Task::T2I),
            ("videodpo_image", Task::T2V),
            ("skywork_reward", Task::T2T),
        ] {
            assert_eq!(task_of(name), Some(task), "{name}");
        }
        assert_eq!(task_of("dpo_en_demo"), None);
        assert_eq!(task_of("omni_unknown"), None);
    }
}
