//! One module a format: how it is recognised, and how its records become pairs.

mod aes_pam;
mod agiqa3k;
mod audiojudge;
mod carried;
mod completions;
mod demos;
mod entries;
mod evalmuse;
mod fetv;
mod genai_bench;
mod hhh_rubric;
mod hpdv2;
mod imagereward;
mod judgebench;
mod labels;
pub(crate) mod laid;
mod llama_factory;
mod llmbar;
mod mjbench;
mod ms_swift;
mod multimodal_rewardbench;
mod omni;
mod omni_json;
mod omni_parquet;
mod omni_parquet_writer;
mod omni_reward_data;
mod open_image_preferences;
mod pairs_jsonl;
mod pairs_parquet;
mod pandalm;
pub(crate) mod parquet_rows;
mod ratings;
mod rewardbench;
mod rewardbench2;
mod rlaif_v;
mod rm_bench;
mod sketch;
mod source;
mod speech;
mod stanford_t23d;
mod tifa;
mod trl;
mod turns;
mod ultrafeedback;
mod vicuna_reviews;
mod vicuna_rubric;
mod videoalign;
mod videodpo;
mod videophy;
mod visionreward;
mod vl_rewardbench;
mod vlfeedback;

use std::path::{Path, PathBuf};

use crate::{Error, Format, OpenOptions, Part};

pub(crate) use llama_factory::{declare, laid_out_whole as llama_factory_record, note_columns};
pub(crate) use ms_swift::laid_out_whole as ms_swift_record;
pub(crate) use sketch::label_files;
pub(crate) use trl::{
    TrlTables, laid_out_conversations as conversations_record, laid_out_whole as trl_record,
};

pub use llama_factory::llama_factory_ranking;
pub use omni_json::omni_json;
pub use omni_parquet_writer::omni_parquet;
pub use pairs_jsonl::{pair_of_record, pair_record, pairs_jsonl};
pub use rewardbench::reward_bench;
pub use trl::trl_preference;

/// What the program knows about a format.
pub(crate) struct Entry {
    pub(crate) format: Format,
    /// What the format consists of, for messages: "looked for …".
    pub(crate) looked_for: &'static str,
    /// Whether a file or folder is in the format. Reads as little as possible.
    pub(crate) matches: fn(&Path) -> bool,
    /// The parts of a dataset in the format. Empty when its files are not there.
    pub(crate) open: fn(&Path, &OpenOptions) -> Result<Vec<Part>, Error>,
}

/// All formats. Each is recognised by something that the others lack, so the order means nothing.
pub(crate) const TABLE: &[Entry] = &[
    Entry {
        format: Format::OmniJson,
        looked_for: "a folder with `text_to_text_preferences.json` or another task's, or such a file",
        matches: omni_json::matches,
        open: |path, options| Ok(omni_json::open(path, options)),
    },
    Entry {
        format: Format::OmniParquet,
        looked_for: "a folder with `text_to_text/test*.parquet` or another task's",
        matches: omni_parquet::matches,
        open: |path, options| Ok(omni_parquet::open(path, options)),
    },
    Entry {
        format: Format::Pairs,
        looked_for: "a `.jsonl` file, or one in a folder, of objects with `id`, `prompt` and `responses`",
        matches: pairs_jsonl::matches,
        open: |path, options| Ok(pairs_jsonl::open(path, options)),
    },
    pairs_parquet::ENTRY,
    vl_rewardbench::ENTRY,
    multimodal_rewardbench::ENTRY,
    rewardbench::ENTRY,
    rewardbench2::ENTRY,
    rm_bench::ENTRY,
    llmbar::ENTRY,
    judgebench::ENTRY,
    pandalm::ENTRY,
    llama_factory::ENTRY,
    trl::ENTRY,
    vicuna_rubric::ENTRY,
    hhh_rubric::ENTRY,
    mjbench::ENTRY,
    imagereward::DEMO,
    imagereward::RANKINGS,
    agiqa3k::ENTRY,
    demos::EDIT,
    demos::QUESTION,
    videoalign::ENTRY,
    fetv::ENTRY,
    videophy::FIRST,
    videophy::SECOND,
    speech::SPEAK_BENCH,
    speech::SPEED,
    aes_pam::ENTRY,
    stanford_t23d::ENTRY,
    genai_bench::ENTRY,
    audiojudge::ENTRY,
    vicuna_reviews::ENTRY,
    tifa::ENTRY,
    ultrafeedback::ENTRY,
    rlaif_v::ENTRY,
    vlfeedback::ENTRY,
    hpdv2::ENTRY,
    evalmuse::ENTRY,
    open_image_preferences::ENTRY,
    videodpo::ENTRY,
    visionreward::ENTRY,
    omni_reward_data::ENTRY,
    ms_swift::ENTRY,
];

/// What a label file looks like; `None` when it holds no record.
pub(crate) fn sketch_of(file: &Path) -> Result<Option<sketch::Sketch>, Error> {
    sketch::Sketch::of(file)
}

/// `path` itself when it is a file with the extension, else such files directly in the folder,
/// in the order of their names.
pub(crate) fn files_with_extension(path: &Path, extension: &str) -> Vec<PathBuf> {
    let has_extension =
        |file: &Path| file.is_file() && file.extension().is_some_and(|found| found == extension);
    if has_extension(path) {
        return vec![path.to_owned()];
    }
    let Ok(entries) = path.read_dir() else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| has_extension(file))
        .collect();
    files.sort_unstable();
    files
}

/// As [`files_with_extension`], for files with one JSON object a line.
pub(crate) fn jsonl_files(path: &Path) -> Vec<PathBuf> {
    files_with_extension(path, "jsonl")
}
