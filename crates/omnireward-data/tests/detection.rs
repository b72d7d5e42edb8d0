//! Every file of the real data is recognised as exactly one format, or as none where it holds no
//! pairs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use omnireward_data::{Format, matching_formats};
use omnireward_testkit::real_data;

/// What each label file is. Every other table in the data is none.
const LABELS: [(&str, Format); 37] = [
    ("text/llmbar/natural.json", Format::LlmBar),
    ("text/llmbar/adversarial_neighbor.json", Format::LlmBar),
    ("text/llmbar/adversarial_gptinst.json", Format::LlmBar),
    ("text/pandalm/testset.jsonl", Format::PandaLm),
    ("text/judgebench/claude_pairs.jsonl", Format::JudgeBench),
    (
        "text/rubric/vicuna_eval.pair_labels.jsonl",
        Format::VicunaRubric,
    ),
    ("text/rubric/hhh_pairs.jsonl", Format::HhhRubric),
    ("text/rm_bench/chat.jsonl", Format::RmBench),
    ("text/rm_bench/code.jsonl", Format::RmBench),
    ("image/mjbench_objects/pairs.jsonl", Format::MjBench),
    (
        "image/imagereward_demo/published.json",
        Format::ImageRewardDemo,
    ),
    (
        "image/imagereward_test/rankings.jsonl",
        Format::ImageRewardRankings,
    ),
    ("image/agiqa3k/ratings.csv", Format::Agiqa3k),
    ("image/edit_demo/prompt.json", Format::EditDemo),
    ("image/ti2t_demo/pairs.jsonl", Format::Ti2tDemo),
    ("video/videoalign/pairs.csv", Format::VideoAlign),
    ("video/fetv/ratings.jsonl", Format::Fetv),
    ("video/videophy/labels.csv", Format::VideoPhy),
    ("video/videophy2/rules.csv", Format::VideoPhy2),
    ("audio/speakbench/pairs.jsonl", Format::SpeakBench),
    ("audio/speed/pairs.jsonl", Format::AudioSpeed),
    ("audio/aes_pam/ratings.jsonl", Format::AesPam),
    ("mesh/stanford_t23d/ratings.jsonl", Format::StanfordT23d),
    (
        "judge_outputs/genai_bench/image_edition.prompts.jsonl",
        Format::GenAiBench,
    ),
    (
        "judge_outputs/genai_bench/image_generation.prompts.jsonl",
        Format::GenAiBench,
    ),
    ("judge_outputs/audiojudge/speed.csv", Format::AudioJudge),
    ("judge_outputs/audiojudge/tmhintq.csv", Format::AudioJudge),
    (
        "judge_outputs/audiojudge/chatbotarena_gemini25flash.csv",
        Format::AudioJudge,
    ),
    (
        "judge_outputs/audiojudge/chatbotarena_gpt4o_audio.csv",
        Format::AudioJudge,
    ),
    (
        "judge_outputs/mjbench/objects_indoor_scores.jsonl",
        Format::MjBench,
    ),
    (
        "judge_outputs/vicuna_gpt4_reviews/alpaca-13b_vs_vicuna-13b.jsonl",
        Format::VicunaReviews,
    ),
    (
        "judge_outputs/vicuna_gpt4_reviews/llama-13b_vs_vicuna-13b.jsonl",
        Format::VicunaReviews,
    ),
    (
        "judge_outputs/tifa/human_annotations_with_scores.json",
        Format::Tifa,
    ),
    // Folders, by the label file in them.
    ("text/llmbar", Format::LlmBar),
    ("image/edit_demo", Format::EditDemo),
    ("judge_outputs/genai_bench", Format::GenAiBench),
    ("judge_outputs/audiojudge", Format::AudioJudge),
];

#[test]
fn every_file_is_recognised_as_one_format_or_none() {
    let Some(root) = real_data(".") else {
        return;
    };
    for file in tables(&root) {
        let name = file
            .strip_prefix(&root)
            .unwrap()
            .to_string_lossy()
            .replace('\\', "/");
        let expected: Vec<Format> = LABELS
            .iter()
            .filter(|(path, _)| *path == name)
            .map(|(_, format)| *format)
            .collect();
        assert_eq!(matching_formats(&file), expected, "{name}");
    }
}

#[test]
fn every_label_file_and_folder_is_recognised() {
    for (path, format) in LABELS {
        let Some(path) = real_data(path) else {
            return;
        };
        assert_eq!(matching_formats(&path), [format], "{}", path.display());
    }
}

/// Verdicts, published figures, rubrics and facts hold no pairs; a few of them by name, so that
/// the list above cannot quietly grow.
#[test]
fn files_without_pairs_are_not_claimed() {
    for path in [
        "MANIFEST.csv",
        "EXPECTED.json",
        "media_facts.jsonl",
        "text/rubric/biggen_rubrics.jsonl",
        "text/rubric/vicuna_eval.points.jsonl",
        "judge_outputs/llmbar/natural.verdicts.csv",
        "judge_outputs/llmbar/natural.published.json",
        "judge_outputs/llmbar/natural.cot_completions.jsonl",
        "judge_outputs/genai_bench/image_edition.votes.csv",
        "judge_outputs/genai_bench/image_edition.responses.jsonl",
        "judge_outputs/ixc_reward/rm_bench_scores.json",
        "judge_outputs/rewardbench_sections/beaver_cost.json",
    ] {
        let Some(path) = real_data(path) else {
            return;
        };
        assert_eq!(matching_formats(&path), [], "{}", path.display());
    }
}

/// All files below `root` that could hold labels.
fn tables(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() {
                folders.push(path);
            } else if matches!(extension, Some("json" | "jsonl" | "csv" | "parquet")) {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    files
}
