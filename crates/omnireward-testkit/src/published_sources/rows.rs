//! The records of each source.

use std::{iter, path::Path};

use arrow_schema::{DataType, Field, Schema};
use base64::{Engine, engine::general_purpose::STANDARD};
use omnireward_core::Modality;
use serde_json::{Value, json};

use super::{table, words::Random};

/// A source of pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Skywork,
    RlaifV,
    OmniAlign,
    Hpdv2,
    EvalMuse,
    VideoDpo,
    VisionReward,
    UltraFeedback,
    VlFeedback,
    OpenImagePreferences,
    /// A subset with criteria: its folder, and where its media are named.
    Rewritten {
        folder: &'static str,
        media: &'static str,
        task: Rewritten,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rewritten {
    T2T,
    TI2T,
    T2I,
}

impl Source {
    pub(super) fn named(name: &str) -> Self {
        let rewritten = |folder, media, task| Self::Rewritten {
            folder,
            media,
            task,
        };
        match name {
            "skywork_reward" => Self::Skywork,
            "rlaifv" => Self::RlaifV,
            "omnialign" => Self::OmniAlign,
            "hpdv2" => Self::Hpdv2,
            "evalmuse" => Self::EvalMuse,
            "videodpo" => Self::VideoDpo,
            "visionreward" => Self::VisionReward,
            "ultrafeedback" => Self::UltraFeedback,
            "vlfeedback" => Self::VlFeedback,
            "open_image_preferences" => Self::OpenImagePreferences,
            "omni_t2t_skywork" => rewritten("Omni-Skywork-Reward-Preference", "", Rewritten::T2T),
            "omni_t2t_ultrafeedback" => rewritten("Omni-UltraFeedback", "", Rewritten::T2T),
            "omni_ti2t_rlaifv" => rewritten("Omni-RLAIF-V", "omni_ti2t", Rewritten::TI2T),
            "omni_ti2t_vlfeedback" => rewritten("Omni-VLFeedback", "omni_ti2t", Rewritten::TI2T),
            "omni_t2i_hpd" => rewritten("Omni-HPDv2", "omni_t2i_hpd", Rewritten::T2I),
            "omni_t2i_oip" => rewritten("Omni-Open-Image-Preferences", "omni_t2i", Rewritten::T2I),
            _ => panic!("no source is called `{name}`"),
        }
    }

    /// The files that the pair at a position names, or the record there where several pairs share one; below the
    /// source's folder.
    pub(super) fn media(self, index: u64) -> Vec<(String, Modality)> {
        let image = |name: String| (name, Modality::Image);
        let video = |name: String| (name, Modality::Video);
        let sides = |folder: &str| ["a", "b"].map(|side| format!("{folder}/{index:08}_{side}"));
        match self {
            Self::OmniAlign => vec![image(format!("OmniAlign_V_DPO/images/{index:08}.jpg"))],
            Self::Hpdv2 => sides("train").map(|name| image(name + ".jpg")).to_vec(),
            Self::EvalMuse => sides("images").map(|name| image(name + ".png")).to_vec(),
            Self::VideoDpo => ["winvideos", "losevideos"]
                .map(|folder| video(format!("{folder}/{index:06}.mp4")))
                .to_vec(),
            Self::VisionReward => sides("videos").map(|name| video(name + ".mp4")).to_vec(),
            Self::VlFeedback => vec![image(format!("merged_images/{}.jpg", vl_id(index)))],
            Self::Rewritten {
                media,
                task: Rewritten::TI2T,
                ..
            } => {
                vec![image(format!("{media}/{:08}.jpg", index / 2))]
            }
            Self::Rewritten {
                media,
                task: Rewritten::T2I,
                ..
            } => {
                let scene = index / 2;
                ["a", "b"]
                    .map(|side| image(format!("{media}/{scene:08}_{side}.jpg")))
                    .to_vec()
            }
            _ => Vec::new(),
        }
    }
}

fn vl_id(record: u64) -> String {
    format!("svit-detail_description-{record}")
}

pub(super) fn write(folder: &Path, source: Source, pairs: u64, seed: u64) {
    let each = |record: fn(Source, u64, u64) -> Value| {
        (0..pairs).map(move |index| record(source, seed, index))
    };
    match source {
        Source::Skywork => {
            let columns = [
                message_list("chosen"),
                message_list("rejected"),
                text("source"),
            ];
            table::parquet(
                &folder.join("data/train-00000-of-00001.parquet"),
                Schema::new(columns.to_vec()),
                each(skywork),
            );
        }
        Source::RlaifV => rlaif_v(folder, pairs, seed),
        Source::OmniAlign => omni_align(folder, pairs, seed),
        Source::Hpdv2 => table::json_array(&folder.join("train.json"), each(hpdv2)),
        Source::EvalMuse => {
            table::json_array(
                &folder.join("train_list.json"),
                (0..pairs).flat_map(|index| eval_muse(source, seed, index)),
            );
        }
        Source::VideoDpo => {
            table::json_array(&folder.join("pair.json"), each(video_pair));
            table::json_array(
                &folder.join("metadata.json"),
                (0..pairs).flat_map(|index| video_clips(source, index)),
            );
        }
        Source::VisionReward => {
            let columns = [
                "internal_id",
                "prompt",
                "standard_answer",
                "video1_path",
                "video2_path",
            ]
            .map(text);
            let file = folder.join("regression/train-00000-of-00001.parquet");
            table::parquet(&file, Schema::new(columns.to_vec()), each(vision_reward));
        }
        Source::UltraFeedback => ultra_feedback(folder, pairs, seed),
        Source::VlFeedback => table::json_lines(
            &folder.join("vlfeedback_80k.jsonl"),
            vl_feedback(pairs, seed),
        ),
        Source::OpenImagePreferences => open_image_preferences(folder, pairs, seed),
        Source::Rewritten {
            folder: subset,
            task,
            ..
        } => {
            let file = folder.join(subset).join("train-00000-of-00001.parquet");
            let mut columns = vec![
                Field::new("conversations", list(turn()), false),
                Field::new("chosen", turn(), false),
                Field::new("rejected", turn(), false),
            ];
            if task != Rewritten::T2T {
                columns.push(Field::new("images", list(DataType::Utf8), false));
            }
            table::parquet(&file, Schema::new(columns), each(rewritten));
        }
    }
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn list(item: DataType) -> DataType {
    DataType::List(Field::new("item", item, true).into())
}

fn message_list(name: &str) -> Field {
    Field::new(
        name,
        list(DataType::Struct(vec![text("content"), text("role")].into())),
        false,
    )
}

fn turn() -> DataType {
    DataType::Struct(vec![text("from"), text("value")].into())
}

/// How hubs keep a picture in a column.
fn picture(name: &str) -> Field {
    let fields = vec![Field::new("bytes", DataType::Binary, true), text("path")];
    Field::new(name, DataType::Struct(fields.into()), true)
}

/// A few small pictures.
pub(super) fn pictures() -> Vec<Vec<u8>> {
    (0..16)
        .map(|seed| {
            omnireward_media::image::encode_png(&crate::pairs::picture(8 + 4 * (seed % 4), seed))
        })
        .collect()
}

fn question(seed: u64, index: u64) -> String {
    Random::of(seed, index, 1).sentence(14)
}

fn answers(seed: u64, index: u64) -> [String; 2] {
    [2, 3].map(|purpose| Random::of(seed, index, purpose).sentence(40))
}

fn skywork(_: Source, seed: u64, index: u64) -> Value {
    let side = |answer: String| json!([{"content": question(seed, index), "role": "user"}, {"content": answer, "role": "assistant"}]);
    let [chosen, rejected] = answers(seed, index);
    let origins = [
        "magpie_pro_llama3.1",
        "offset_bias",
        "helpsteer2",
        "wildguard",
    ];
    let origin = origins[Random::of(seed, index, 4).below(4) as usize];
    json!({"chosen": side(chosen), "rejected": side(rejected), "source": origin})
}

/// Rows of each of the numbered files that the set is published in.
const RLAIF_V_FILE_ROWS: u64 = 6000;

fn rlaif_v(folder: &Path, pairs: u64, seed: u64) {
    let pictures: Vec<String> = pictures()
        .iter()
        .map(|bytes| STANDARD.encode(bytes))
        .collect();
    let mut columns = vec![text("ds_name"), picture("image")];
    columns.extend(
        [
            "question",
            "chosen",
            "rejected",
            "origin_dataset",
            "origin_split",
            "idx",
            "image_path",
        ]
        .map(text),
    );
    for (number, first) in (0..pairs).step_by(RLAIF_V_FILE_ROWS as usize).enumerate() {
        let rows = (first..pairs.min(first + RLAIF_V_FILE_ROWS)).map(|index| {
            let [chosen, rejected] = answers(seed, index);
            let path = format!("llava1.5_raw_images/{index:08}.png");
            json!({
                "ds_name": "RLAIF-V",
                "image": {"bytes": pictures[index as usize % pictures.len()], "path": path},
                "question": question(seed, index), "chosen": chosen, "rejected": rejected,
                "origin_dataset": "LCS-558K",
                "origin_split": "{\"model\": \"OmniLMM-12B\", \"type\": \"question_answering\"}",
                "idx": index.to_string(), "image_path": path,
            })
        });
        let file = folder.join(format!("RLAIF-V-Dataset_{number:03}.parquet"));
        table::parquet(&file, Schema::new(columns.clone()), rows);
    }
}

/// The files that the set is published in.
const OMNI_ALIGN_FILES: [&str; 6] = [
    "chart",
    "creation",
    "diagram",
    "ins_follow",
    "knowledge",
    "poster",
];

fn omni_align(folder: &Path, pairs: u64, seed: u64) {
    for (number, name) in OMNI_ALIGN_FILES.into_iter().enumerate() {
        let rows = (0..pairs).filter(|index| index % OMNI_ALIGN_FILES.len() as u64 == number as u64).map(|index| {
            let [chosen, rejected] = answers(seed, index);
            let (image, _) = Source::OmniAlign.media(index).remove(0);
            json!({
                "id": format!("{name}_{index}"), "image": image, "prompt": question(seed, index),
                "chosen": chosen, "rejected": rejected,
            })
        });
        let mut rows = rows.peekable();
        if rows.peek().is_some() {
            table::json_lines(&folder.join(format!("{name}.jsonl")), rows);
        }
    }
}

fn hpdv2(source: Source, seed: u64, index: u64) -> Value {
    let preference = match Random::of(seed, index, 4).below(2) {
        0 => [1, 0],
        _ => [0, 1],
    };
    // Images are named without the folder that their split has for them.
    let files: Vec<String> = source
        .media(index)
        .iter()
        .map(|(name, _)| name.trim_start_matches("train/").to_owned())
        .collect();
    json!({"human_preference": preference, "prompt": question(seed, index), "file_path": files})
}

fn eval_muse(source: Source, seed: u64, index: u64) -> Vec<Value> {
    let better = Random::of(seed, index, 4).below(2) as usize;
    let images = source.media(index);
    let rated = images.into_iter().enumerate().map(|(place, (image, _))| {
        let low = if place == better { 3 } else { 1 };
        let mut random = Random::of(seed, index, 5 + place as u64);
        let scores: Vec<u64> = (0..3).map(|_| low + random.below(2)).collect();
        json!({
            "prompt_id": format!("{index:05}"), "prompt": question(seed, index), "type": "real",
            "img_path": image, "total_score": scores, "element_score": {"boat (object)": [1, 0, 1]},
            "promt_meaningless": [0, 0, 0], "split_confidence": [0, 0, 0], "attribute_confidence": [1, 1, 1],
            "fidelity_label": ["", "", ""],
        })
    });
    rated.collect()
}

fn video_pair(_: Source, seed: u64, index: u64) -> Value {
    let score = 0.5 + Random::of(seed, index, 4).below(400) as f64 / 1000.0;
    json!({
        "video1": 2 * index, "video2": 2 * index + 1, "label": 0,
        "frame_caption": [question(seed, index)], "score": score,
    })
}

fn video_clips(source: Source, index: u64) -> impl Iterator<Item = Value> {
    source
        .media(index)
        .into_iter()
        .map(|(path, _)| json!({"basic": {"clip_duration": 2.0, "clip_path": path}}))
}

fn vision_reward(source: Source, seed: u64, index: u64) -> Value {
    let [one, two] = [0, 1].map(|place| source.media(index)[place].0.clone());
    let answer = ["video1", "video2"][Random::of(seed, index, 4).below(2) as usize];
    json!({
        "internal_id": format!("vr-{index}"), "prompt": question(seed, index), "standard_answer": answer,
        "video1_path": one, "video2_path": two,
    })
}

/// How many answers each record rates, so that comparing each with each gives exactly so many pairs.
fn rated_answers(pairs: u64) -> impl Iterator<Item = usize> {
    let (full, rest) = (pairs / 6, pairs % 6);
    iter::repeat_n(4, full as usize).chain(iter::repeat_n(2, rest as usize))
}

/// The files that the set is published in.
const ULTRA_FEEDBACK_FILES: [&str; 6] = [
    "evol_instruct",
    "false_qa",
    "flan",
    "sharegpt",
    "truthful_qa",
    "ultrachat",
];

fn ultra_feedback(folder: &Path, pairs: u64, seed: u64) {
    let files = ULTRA_FEEDBACK_FILES.len();
    for (number, name) in ULTRA_FEEDBACK_FILES.into_iter().enumerate() {
        let records = rated_answers(pairs)
            .enumerate()
            .filter(|(record, _)| record % files == number);
        let rows = records.map(|(record, answers)| {
            let completions: Vec<Value> = (0..answers as u64).map(|place| completion(seed, record as u64, place)).collect();
            let models: Vec<&Value> = completions.iter().map(|completion| &completion["model"]).collect();
            json!({
                "source": name, "instruction": question(seed, record as u64), "models": models,
                "completions": completions, "correct_answers": ["None"], "incorrect_answers": ["None"],
            })
        });
        let mut rows = rows.peekable();
        if rows.peek().is_some() {
            table::json_lines(&folder.join(format!("{name}.jsonl")), rows);
        }
    }
}

const MODELS: [&str; 4] = ["falcon-40b-instruct", "gpt-4", "starchat", "wizardlm-7b"];

fn completion(seed: u64, record: u64, place: u64) -> Value {
    let mut random = Random::of(seed, record, 10 + place);
    let response = random.sentence(30);
    let mut ratings = [0; 4];
    for rating in &mut ratings {
        *rating = 1 + random.below(5);
    }
    let aspect = |rating: u64| json!({"Rating": rating.to_string(), "Rationale": "As asked."});
    let [following, honesty, truthfulness, helpfulness] = ratings.map(aspect);
    let mean = ratings.iter().sum::<u64>() as f64 / 4.0;
    json!({
        "model": MODELS[place as usize], "principle": "helpfulness", "custom_system_prompt": "Help the user.",
        "response": response, "critique": "Fair.", "overall_score": random.below(10) as f64,
        "fine-grained_score": mean,
        "annotations": {
            "instruction_following": following, "honesty": honesty,
            "truthfulness": truthfulness, "helpfulness": helpfulness,
        },
    })
}

const VISION_MODELS: [&str; 4] = [
    "gpt4v",
    "llava-v1.5-13b",
    "qwen-vl-chat",
    "idefics-9b-instruct",
];

fn vl_feedback(pairs: u64, seed: u64) -> impl Iterator<Item = Value> {
    rated_answers(pairs).enumerate().map(move |(record, answers)| {
        let completions: Vec<Value> = (0..answers as u64)
            .map(|place| {
                let mut random = Random::of(seed, record as u64, 20 + place);
                let response = random.sentence(30);
                let mut aspect = || json!({"Rating": (1 + random.below(5)).to_string(), "Rationale": "As seen."});
                json!({
                    "annotations": {
                        "Helpfulness": aspect(), "Ethical Considerations": aspect(), "Visual Faithfulness": aspect(),
                    },
                    "model": VISION_MODELS[place as usize], "response": response,
                })
            })
            .collect();
        json!({
            "id": vl_id(record as u64), "prompt": question(seed, record as u64),
            "models": &VISION_MODELS[..answers], "completions": completions,
        })
    })
}

fn open_image_preferences(folder: &Path, pairs: u64, seed: u64) {
    let pictures: Vec<String> = pictures()
        .iter()
        .map(|bytes| STANDARD.encode(bytes))
        .collect();
    let columns = vec![text("prompt"), picture("chosen"), picture("rejected")];
    let rows = (0..pairs).map(|index| {
        let medium =
            |place: u64| json!({"bytes": pictures[((index + place) % 16) as usize], "path": null});
        json!({"prompt": question(seed, index), "chosen": medium(0), "rejected": medium(5)})
    });
    table::parquet(
        &folder.join("data/train-00000-of-00001.parquet"),
        Schema::new(columns),
        rows,
    );
}

/// Two neighbours are one scene under two criteria that prefer different sides.
fn rewritten(source: Source, seed: u64, index: u64) -> Value {
    let Source::Rewritten { task, .. } = source else {
        unreachable!("the other sources have records of their own");
    };
    let (scene, flipped) = (index / 2, index % 2 == 1);
    let criterion = format!(
        "Prefer the one that is more {}",
        Random::of(seed, index, 6).sentence(3)
    );
    let words = question(seed, scene);
    let media: Vec<String> = source
        .media(index)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let ordered = |mut sides: [String; 2]| {
        if flipped {
            sides.swap(0, 1);
        }
        sides
    };
    let (human, [chosen, rejected], media) = match task {
        Rewritten::T2T => (words, ordered(answers(seed, scene)), media),
        Rewritten::TI2T => (
            format!("<image>{words}"),
            ordered(answers(seed, scene)),
            media,
        ),
        Rewritten::T2I => {
            let sides = ordered([media[0].clone(), media[1].clone()]);
            ("<image>".to_owned(), [words.clone(), words], sides.to_vec())
        }
    };
    json!({
        "conversations": [{"from": "system", "value": criterion}, {"from": "human", "value": human}],
        "chosen": {"from": "gpt", "value": chosen}, "rejected": {"from": "gpt", "value": rejected}, "images": media,
    })
}
