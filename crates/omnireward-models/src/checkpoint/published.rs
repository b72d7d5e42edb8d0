//! What the published MiniCPM-o-2.6 and Qwen2.5-VL checkpoints say of themselves, beside their weights.

use serde_json::{Value, json};

/// The tokens that Qwen2.5's tokenizer adds to its vocabulary, in the order of their ids, and whether each is special:
/// never shown when text is decoded.
pub(super) const QWEN_TOKENS: [(&str, bool); 22] = [
    ("<|endoftext|>", true),
    ("<|im_start|>", true),
    ("<|im_end|>", true),
    ("<|object_ref_start|>", true),
    ("<|object_ref_end|>", true),
    ("<|box_start|>", true),
    ("<|box_end|>", true),
    ("<|quad_start|>", true),
    ("<|quad_end|>", true),
    ("<|vision_start|>", true),
    ("<|vision_end|>", true),
    ("<|vision_pad|>", true),
    ("<|image_pad|>", true),
    ("<|video_pad|>", true),
    ("<tool_call>", false),
    ("</tool_call>", false),
    ("<|fim_prefix|>", false),
    ("<|fim_middle|>", false),
    ("<|fim_suffix|>", false),
    ("<|fim_pad|>", false),
    ("<|repo_name|>", false),
    ("<|file_sep|>", false),
];

/// The tokens that MiniCPM-o-2.6 adds to those, in the order of their ids. All are special.
pub(super) const MINICPM_TOKENS: [&str; 35] = [
    "<image>",
    "</image>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
    "<quad>",
    "</quad>",
    "<point>",
    "</point>",
    "<slice>",
    "</slice>",
    "<image_id>",
    "</image_id>",
    "<unit>",
    "</unit>",
    "<asr>",
    "</asr>",
    "<query>",
    "</query>",
    "<|audio_start|>",
    "<|audio|>",
    "<|audio_end|>",
    "<|spk_bos|>",
    "<|spk|>",
    "<|spk_eos|>",
    "<|tts_bos|>",
    "<|tts_eos|>",
    "<|listen|>",
    "<|speak|>",
    "<|interrupt|>",
    "<|vad_start|>",
    "<|vad_end|>",
    "<reserved_43>",
    "<reserved_53>",
];

/// What fills the places of media features. The published tokenizer has it among its ordinary entries.
pub(super) const PLACEHOLDER: &str = "<unk>";

/// The first id after the ordinary entries of Qwen2.5's vocabulary.
pub(super) const FIRST_ADDED_ID: u32 = 151_643;

/// The id of the placeholder in the published tokenizer.
pub(super) const PLACEHOLDER_ID: u32 = 128_244;

/// How Qwen2.5 cuts text before it is encoded.
pub(super) const QWEN_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// `preprocessor_config.json`, which agrees with the `config.json` beside it; where that is silent, the published one.
pub(super) fn preprocessor(config: &Value) -> Value {
    let size = |field: &str, published: u64| config[field].as_u64().unwrap_or(published);
    json!({
        "image_processor_type": "MiniCPMVImageProcessor",
        "auto_map": {
            "AutoProcessor": "processing_minicpmo.MiniCPMOProcessor",
            "AutoImageProcessor": "image_processing_minicpmv.MiniCPMVImageProcessor"
        },
        "processor_class": "MiniCPMOProcessor",
        "max_slice_nums": 9,
        "scale_resolution": size("image_size", 448),
        "patch_size": size("patch_size", 14),
        "use_image_id": true,
        "image_feature_size": size("query_num", 64),
        "im_start": "<image>",
        "im_end": "</image>",
        "slice_start": "<slice>",
        "slice_end": "</slice>",
        "unk": PLACEHOLDER,
        "im_id_start": "<image_id>",
        "im_id_end": "</image_id>",
        "slice_mode": true,
        "norm_mean": [0.5, 0.5, 0.5],
        "norm_std": [0.5, 0.5, 0.5],
        "version": 2.6
    })
}

/// `preprocessor_config.json` of Qwen2.5-VL, with other limits on a picture's pixels where a model is for small ones.
pub(super) fn visual_preprocessor(config: &Value, pixels: Option<[u64; 2]>) -> Value {
    let [least, most] = pixels.unwrap_or([3136, 12_845_056]);
    let vision = &config["vision_config"];
    json!({
        "image_processor_type": "Qwen2VLImageProcessor",
        "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73],
        "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11],
        "max_pixels": most,
        "merge_size": vision["spatial_merge_size"],
        "min_pixels": least,
        "patch_size": vision["patch_size"],
        "processor_class": "Qwen2_5_VLProcessor",
        "temporal_patch_size": vision["temporal_patch_size"]
    })
}

/// What `preprocessor_config.json` of Qwen2.5-Omni says of sounds.
pub(super) fn sound_preprocessor(config: &Value) -> Value {
    json!({
        "chunk_length": 300,
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": config["audio_config"]["num_mel_bins"],
        "hop_length": 160,
        "n_fft": 400,
        "n_samples": 4_800_000,
        "nb_max_frames": 30_000,
        "padding_value": 0.0,
        "processor_class": "Qwen2_5OmniProcessor",
        "sampling_rate": 16_000
    })
}

/// `video_preprocessor_config.json` of a model that is for small videos.
pub(super) fn video_preprocessor([least, most]: [u64; 2], frames: u64) -> Value {
    json!({
        "video_processor_type": "Qwen2VLVideoProcessor",
        "do_sample_frames": true,
        "fps": 2.0,
        "max_frames": frames,
        "max_pixels": most,
        "min_frames": 2,
        "min_pixels": least
    })
}

/// `processor_config.json`.
pub(super) fn processor() -> Value {
    json!({
        "auto_map": { "AutoProcessor": "processing_minicpmo.MiniCPMOProcessor" },
        "processor_class": "MiniCPMOProcessor"
    })
}

/// Fields of `preprocessor_config.json` on which the numbers depend.
pub(super) const PREPROCESSING_FIELDS: [&str; 16] = [
    "max_slice_nums",
    "scale_resolution",
    "patch_size",
    "use_image_id",
    "image_feature_size",
    "im_start",
    "im_end",
    "slice_start",
    "slice_end",
    "unk",
    "im_id_start",
    "im_id_end",
    "slice_mode",
    "norm_mean",
    "norm_std",
    "version",
];
