//! The table of sources.

use omnireward_core::Task;

use super::Source;
use crate::Format;

/// Every two rated responses make a pair.
const RATED: &str =
    "every two rated responses of a prompt: the higher mean is preferred, equal means are a tie";

/// What all sets have that Omni-Reward's authors rewrote.
const REWRITTEN: Source = Source {
    name: "",
    title: "",
    published: "Hugging Face: HongbangYuan/OmniRewardData",
    task: Task::T2T,
    format: Format::OmniRewardData,
    reads: "",
    rule: "chosen against rejected under the criterion in the system turn",
    confirmed: "folders, files and columns from public code that loads the set and counts its rows; where the media lie \
                below the set's folder is not confirmed",
    required: &["conversations", "chosen", "rejected"],
};

/// All sources: first those whose pairs are general, then those that criteria were written for, then the raw sets of the
/// latter.
pub const SOURCES: [Source; 16] = [
    Source {
        name: "skywork_reward",
        title: "Skywork-Reward-Preference-80K",
        published: "Hugging Face: Skywork/Skywork-Reward-Preference-80K-v0.2",
        task: Task::T2T,
        format: Format::TrlPreference,
        reads: "`data/train-*.parquet`: `chosen` and `rejected`, conversations that repeat the prompt; `source`",
        rule: "chosen against rejected",
        confirmed: "file names from the hub's file page; `chosen` and `rejected` as conversations from public training \
                    scripts; `source` is kept where it is there",
        required: &["chosen", "rejected"],
    },
    Source {
        name: "rlaifv",
        title: "RLAIF-V",
        published: "Hugging Face: openbmb/RLAIF-V-Dataset",
        task: Task::TI2T,
        format: Format::RlaifV,
        reads: "`RLAIF-V-Dataset_NNN.parquet`: `question`, `chosen`, `rejected`, `image` (embedded); `ds_name`, \
                `origin_dataset`, `origin_split`, `idx`, `image_path` are kept",
        rule: "chosen against rejected",
        confirmed: "the dataset card's table of fields, the hub's file page, and the owners' loader \
                    (RLHF-V/RLAIF-V:muffin/data/datasets.py)",
        required: &["image", "question", "chosen", "rejected"],
    },
    Source {
        name: "omnialign",
        title: "OmniAlign-V-DPO",
        published: "Hugging Face: PhoenixZ/OmniAlign-V-DPO",
        task: Task::TI2T,
        format: Format::TrlPreference,
        reads: "`chart.jsonl`, `creation.jsonl` and four more: `prompt`, `chosen`, `rejected`, `image` (a name); other \
                fields are kept",
        rule: "chosen against rejected; `<image>` in the prompt is the picture's place",
        confirmed: "file names from the hub's file page; columns from the owners' training code \
                    (PhoenixZ810/OmniAlign-V:llava/train/train_dpo.py); from which folder pictures are named is not \
                    confirmed, they are looked for beside the file",
        required: &["prompt", "chosen", "rejected", "image"],
    },
    Source {
        name: "hpdv2",
        title: "HPDv2",
        published: "Hugging Face: ymhao/HPDv2",
        task: Task::T2I,
        format: Format::Hpdv2,
        reads: "`train.json`: `prompt`, `file_path` (two names), `human_preference`; pictures in `train/`. `test.json` \
                only when it is named itself",
        rule: "the picture with the higher `human_preference`; in `test.json` that with the lower mean `rank`; equal is a \
               tie",
        confirmed: "the owners' README and loader (tgxs002/HPSv2:README.md, hpsv2/src/training/data.py)",
        required: &["prompt", "file_path", "human_preference"],
    },
    Source {
        name: "evalmuse",
        title: "EvalMuse",
        published: "Hugging Face: DY-Evalab/EvalMuse",
        task: Task::T2I,
        format: Format::EvalMuse,
        reads: "`train_list.json`: `prompt_id`, `prompt`, `img_path`, `total_score`; `element_score` and others are kept",
        rule: "every two pictures of a `prompt_id`: the higher mean of `total_score` is preferred, equal means are a tie",
        confirmed: "the dataset card's list of features and the owners' code (DYEvaLab/EvalMuse:process/process_train.py); \
                    which 2,944 pairs Omni-Reward chose is not published",
        required: &["prompt_id", "prompt", "img_path", "total_score"],
    },
    Source {
        name: "videodpo",
        title: "VideoDPO",
        published: "OneDrive, linked from CIntellifusion/VideoDPO:readme.md",
        task: Task::T2V,
        format: Format::VideoDpo,
        reads: "`pair.json`: `video1`, `video2`, `frame_caption`, `score`; `metadata.json`: `basic.clip_path` of each clip",
        rule: "`video1` against `video2`, the first preferred",
        confirmed: "the owners' loader (CIntellifusion/VideoDPO:data/video_data.py) and another one \
                    (opendilab/LightRFT:lightrft/datasets/videodpo.py)",
        required: &["video1", "video2", "frame_caption"],
    },
    Source {
        name: "visionreward",
        title: "VisionRewardDB-Video",
        published: "Hugging Face: zai-org/VisionRewardDB-Video",
        task: Task::T2V,
        format: Format::VisionRewardDbVideo,
        reads: "`regression/*.parquet`: `internal_id`, `prompt`, `standard_answer`, `video1_path`, `video2_path`",
        rule: "`standard_answer`: `video1`, `video2` or `tie`",
        confirmed: "the dataset card's list of configurations (1,795 rows in `regression`) and features; the answers' \
                    spelling from public evaluation code; from which folder clips are named is not confirmed, they are \
                    looked for in the set's folder and beside the file",
        required: &["prompt", "standard_answer", "video1_path", "video2_path"],
    },
    Source {
        name: "omni_t2t_skywork",
        title: "Omni-Skywork-Reward-Preference",
        reads: "`Omni-Skywork-Reward-Preference/train-*.parquet` in LLaMA-Factory's ranking form",
        ..REWRITTEN
    },
    Source {
        name: "omni_t2t_ultrafeedback",
        title: "Omni-UltraFeedback",
        reads: "`Omni-UltraFeedback/train-*.parquet` in LLaMA-Factory's ranking form",
        ..REWRITTEN
    },
    Source {
        name: "omni_ti2t_rlaifv",
        title: "Omni-RLAIF-V",
        task: Task::TI2T,
        reads: "`Omni-RLAIF-V/train-*.parquet` in LLaMA-Factory's ranking form; `images` are names",
        ..REWRITTEN
    },
    Source {
        name: "omni_ti2t_vlfeedback",
        title: "Omni-VLFeedback",
        task: Task::TI2T,
        reads: "`Omni-VLFeedback/train-*.parquet` in LLaMA-Factory's ranking form; `images` are names",
        ..REWRITTEN
    },
    Source {
        name: "omni_t2i_hpd",
        title: "Omni-HPDv2",
        task: Task::T2I,
        reads: "`Omni-HPDv2/train-*.parquet` in LLaMA-Factory's ranking form; `images` are names, chosen first",
        ..REWRITTEN
    },
    Source {
        name: "omni_t2i_oip",
        title: "Omni-Open-Image-Preferences",
        task: Task::T2I,
        reads: "`Omni-Open-Image-Preferences/train-*.parquet` in LLaMA-Factory's ranking form; `images` are names, chosen \
                first",
        ..REWRITTEN
    },
    Source {
        name: "ultrafeedback",
        title: "UltraFeedback",
        published: "Hugging Face: openbmb/UltraFeedback",
        task: Task::T2T,
        format: Format::UltraFeedback,
        reads: "`evol_instruct.jsonl` and five more: `instruction`, `completions` (`response`, `model`, \
                `annotations.*.Rating`); all else is kept",
        rule: RATED,
        confirmed: "the owners' README (OpenBMB/UltraFeedback:README.md); the mean over four aspects is the set's own \
                    `fine-grained_score`",
        required: &["instruction", "completions"],
    },
    Source {
        name: "vlfeedback",
        title: "VLFeedback",
        published: "Hugging Face: MMInstruction/VLFeedback",
        task: Task::TI2T,
        format: Format::VlFeedback,
        reads: "`vlfeedback_80k.jsonl`: `id`, `prompt`, `models`, `completions`; the picture is `merged_images/<id>.jpg`, or \
                `img_path` in tables",
        rule: RATED,
        confirmed: "the dataset card's list of features, the hub's loading script (VLFeedback.py), and the owners' rule for \
                    pairs (vlf-silkie/VLFeedback:run_dpo.py)",
        required: &["id", "prompt", "models", "completions"],
    },
    Source {
        name: "open_image_preferences",
        title: "Open Image Preferences, binarized",
        published: "Hugging Face: data-is-better-together/open-image-preferences-v1-binarized",
        task: Task::T2I,
        format: Format::OpenImagePreferences,
        reads: "`data/train-*.parquet`: `prompt`, and `chosen` and `rejected`, pictures in the row; all else is kept",
        rule: "chosen against rejected",
        confirmed: "file names from the hub's file page; the three columns from public training scripts",
        required: &["prompt", "chosen", "rejected"],
    },
];
