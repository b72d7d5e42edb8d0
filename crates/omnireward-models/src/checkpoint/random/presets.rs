use serde_json::{Value, json};

use super::{Size, tokenizer::Tokens};
use crate::checkpoint::architecture::Family;

/// Whether ids of tokens follow one another without gaps, rather than being the published ones.
pub(crate) fn is_compact(family: Family, size: Size) -> bool {
    match size {
        Size::Tiny | Size::Mini => true,
        Size::Small => family == Family::MiniCpmO,
        Size::Full => false,
    }
}

/// The `config.json` of a size, without the type of its weights.
pub(crate) fn config(family: Family, size: Size, tokens: &Tokens) -> Value {
    match family {
        Family::MiniCpmO => minicpm_o(&MiniCpmO::of(size), tokens),
        Family::Qwen2_5Vl => qwen2_5_vl(&Qwen2_5Vl::of(size), tokens),
        Family::Qwen2_5Omni => qwen2_5_omni(size, tokens),
        Family::Qwen2 => qwen2(&Text::qwen2(size), tokens),
        Family::Qwen3 => qwen3(&Text::qwen3(size), tokens),
        Family::Llama => llama(&Text::llama(size), tokens),
    }
}

/// `generation_config.json`.
pub(crate) fn generation_config(config: &Value) -> Value {
    json!({
        "_from_model_config": true,
        "bos_token_id": config["bos_token_id"],
        "eos_token_id": config["eos_token_id"],
        "pad_token_id": config["pad_token_id"],
        "transformers_version": config["transformers_version"],
    })
}

/// A decoder's sizes.
struct Text {
    hidden: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    intermediate: usize,
    /// Rows of the published embedding table; the tokenizer's when `None`.
    vocabulary: Option<u64>,
    is_tied: bool,
}

impl Text {
    const fn tiny(head_dim: usize) -> Self {
        Self {
            hidden: 64,
            layers: 2,
            heads: 4,
            kv_heads: 2,
            head_dim,
            intermediate: 128,
            vocabulary: None,
            is_tied: true,
        }
    }

    /// Qwen2-0.5B and Qwen2.5-7B.
    const fn qwen2(size: Size) -> Self {
        match size {
            Size::Tiny | Size::Mini => Self::tiny(16),
            Size::Small => Self {
                hidden: 896,
                layers: 24,
                heads: 14,
                kv_heads: 2,
                head_dim: 64,
                intermediate: 4864,
                vocabulary: Some(151_936),
                is_tied: true,
            },
            Size::Full => Self {
                hidden: 3584,
                layers: 28,
                heads: 28,
                kv_heads: 4,
                head_dim: 128,
                intermediate: 18944,
                vocabulary: Some(152_064),
                is_tied: false,
            },
        }
    }

    /// Qwen3-0.6B and Qwen3-8B. Heads are wider than the residual stream divided among them, in the tiny size too.
    const fn qwen3(size: Size) -> Self {
        match size {
            Size::Tiny | Size::Mini => Self::tiny(32),
            Size::Small => Self {
                hidden: 1024,
                layers: 28,
                heads: 16,
                kv_heads: 8,
                head_dim: 128,
                intermediate: 3072,
                vocabulary: Some(151_936),
                is_tied: true,
            },
            Size::Full => Self {
                hidden: 4096,
                layers: 36,
                heads: 32,
                kv_heads: 8,
                head_dim: 128,
                intermediate: 12288,
                vocabulary: Some(151_936),
                is_tied: false,
            },
        }
    }

    /// Llama-3.2-1B and Llama-3.1-8B.
    const fn llama(size: Size) -> Self {
        match size {
            Size::Tiny | Size::Mini => Self::tiny(16),
            Size::Small => Self {
                hidden: 2048,
                layers: 16,
                heads: 32,
                kv_heads: 8,
                head_dim: 64,
                intermediate: 8192,
                vocabulary: Some(128_256),
                is_tied: true,
            },
            Size::Full => Self {
                hidden: 4096,
                layers: 32,
                heads: 32,
                kv_heads: 8,
                head_dim: 128,
                intermediate: 14336,
                vocabulary: Some(128_256),
                is_tied: false,
            },
        }
    }

    fn rows(&self, tokens: &Tokens) -> u64 {
        self.vocabulary.unwrap_or_else(|| tokens.rows())
    }
}

fn qwen2(text: &Text, tokens: &Tokens) -> Value {
    json!({
        "architectures": ["Qwen2ForSequenceClassification"],
        "attention_dropout": 0.0,
        "bos_token_id": tokens.id("<|endoftext|>"),
        "eos_token_id": tokens.id("<|im_end|>"),
        "hidden_act": "silu",
        "hidden_size": text.hidden,
        "id2label": { "0": "LABEL_0" },
        "initializer_range": 0.02,
        "intermediate_size": text.intermediate,
        "label2id": { "LABEL_0": 0 },
        "max_position_embeddings": 32768,
        "max_window_layers": text.layers,
        "model_type": "qwen2",
        "num_attention_heads": text.heads,
        "num_hidden_layers": text.layers,
        "num_key_value_heads": text.kv_heads,
        "pad_token_id": tokens.id("<|endoftext|>"),
        "rms_norm_eps": 1e-6,
        "rope_scaling": null,
        "rope_theta": 1_000_000.0,
        "sliding_window": null,
        "tie_word_embeddings": text.is_tied,
        "torch_dtype": null,
        "transformers_version": "4.51.3",
        "use_cache": true,
        "use_sliding_window": false,
        "vocab_size": text.rows(tokens),
    })
}

fn qwen3(text: &Text, tokens: &Tokens) -> Value {
    json!({
        "architectures": ["Qwen3ForSequenceClassification"],
        "attention_bias": false,
        "attention_dropout": 0.0,
        "bos_token_id": tokens.id("<|endoftext|>"),
        "eos_token_id": tokens.id("<|im_end|>"),
        "head_dim": text.head_dim,
        "hidden_act": "silu",
        "hidden_size": text.hidden,
        "id2label": { "0": "LABEL_0" },
        "initializer_range": 0.02,
        "intermediate_size": text.intermediate,
        "label2id": { "LABEL_0": 0 },
        "max_position_embeddings": 40960,
        "max_window_layers": text.layers,
        "model_type": "qwen3",
        "num_attention_heads": text.heads,
        "num_hidden_layers": text.layers,
        "num_key_value_heads": text.kv_heads,
        "pad_token_id": tokens.id("<|endoftext|>"),
        "rms_norm_eps": 1e-6,
        "rope_scaling": null,
        "rope_theta": 1_000_000,
        "sliding_window": null,
        "tie_word_embeddings": text.is_tied,
        "torch_dtype": null,
        "transformers_version": "4.51.3",
        "use_cache": true,
        "use_sliding_window": false,
        "vocab_size": text.rows(tokens),
    })
}

fn llama(text: &Text, tokens: &Tokens) -> Value {
    json!({
        "architectures": ["LlamaForSequenceClassification"],
        "attention_bias": false,
        "attention_dropout": 0.0,
        "bos_token_id": tokens.id("<|begin_of_text|>"),
        "eos_token_id": tokens.id("<|eot_id|>"),
        "head_dim": text.head_dim,
        "hidden_act": "silu",
        "hidden_size": text.hidden,
        "id2label": { "0": "LABEL_0" },
        "initializer_range": 0.02,
        "intermediate_size": text.intermediate,
        "label2id": { "LABEL_0": 0 },
        "max_position_embeddings": 131_072,
        "mlp_bias": false,
        "model_type": "llama",
        "num_attention_heads": text.heads,
        "num_hidden_layers": text.layers,
        "num_key_value_heads": text.kv_heads,
        "pad_token_id": tokens.id("<|finetune_right_pad_id|>"),
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-5,
        "rope_scaling": {
            "factor": if text.is_tied { 32.0 } else { 8.0 },
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3"
        },
        "rope_theta": 500_000.0,
        "tie_word_embeddings": text.is_tied,
        "torch_dtype": null,
        "transformers_version": "4.51.3",
        "use_cache": true,
        "vocab_size": text.rows(tokens),
    })
}

/// MiniCPM-o's sizes.
struct MiniCpmO {
    text: Text,
    vision: Tower,
    /// The side of the largest picture that has positions of its own, in pixels.
    positions: usize,
    /// The side of a tile, in pixels.
    tile: usize,
    /// Rows that a tile becomes.
    queries: usize,
    audio: Tower,
    /// Frames of 20 milliseconds that have positions.
    audio_positions: usize,
}

/// What all but the smallest models have.
const TILE: usize = 448;
const QUERIES: usize = 64;
const AUDIO_POSITIONS: usize = 1500;

/// A tower's sizes.
struct Tower {
    hidden: usize,
    layers: usize,
    heads: usize,
    intermediate: usize,
}

impl MiniCpmO {
    const fn of(size: Size) -> Self {
        match size {
            Size::Tiny => Self {
                // The resampler's heads are 128 wide, so this cannot be smaller.
                text: Text {
                    hidden: 128,
                    layers: 2,
                    heads: 4,
                    kv_heads: 2,
                    head_dim: 32,
                    intermediate: 256,
                    vocabulary: None,
                    is_tied: false,
                },
                vision: Tower {
                    hidden: 32,
                    layers: 2,
                    heads: 2,
                    intermediate: 64,
                },
                positions: 448,
                tile: TILE,
                queries: QUERIES,
                audio_positions: AUDIO_POSITIONS,
                audio: Tower {
                    hidden: 32,
                    layers: 2,
                    heads: 2,
                    intermediate: 64,
                },
            },
            Size::Mini => Self {
                text: Text {
                    hidden: 128,
                    layers: 4,
                    heads: 4,
                    kv_heads: 2,
                    head_dim: 32,
                    intermediate: 384,
                    vocabulary: None,
                    is_tied: true,
                },
                vision: Tower {
                    hidden: 128,
                    layers: 3,
                    heads: 4,
                    intermediate: 384,
                },
                positions: 112,
                tile: 112,
                queries: 16,
                audio: Tower {
                    hidden: 128,
                    layers: 3,
                    heads: 4,
                    intermediate: 384,
                },
                audio_positions: 200,
            },
            Size::Small => Self {
                text: Text {
                    hidden: 512,
                    layers: 4,
                    heads: 8,
                    kv_heads: 2,
                    head_dim: 64,
                    intermediate: 1408,
                    vocabulary: None,
                    is_tied: false,
                },
                vision: Tower {
                    hidden: 288,
                    layers: 4,
                    heads: 4,
                    intermediate: 1024,
                },
                positions: 980,
                tile: TILE,
                queries: QUERIES,
                audio_positions: AUDIO_POSITIONS,
                audio: Tower {
                    hidden: 256,
                    layers: 4,
                    heads: 4,
                    intermediate: 1024,
                },
            },
            Size::Full => Self {
                text: Text {
                    vocabulary: Some(151_700),
                    ..Text::qwen2(Size::Full)
                },
                vision: Tower {
                    hidden: 1152,
                    layers: 27,
                    heads: 16,
                    intermediate: 4304,
                },
                positions: 980,
                tile: TILE,
                queries: QUERIES,
                audio_positions: AUDIO_POSITIONS,
                audio: Tower {
                    hidden: 1024,
                    layers: 24,
                    heads: 16,
                    intermediate: 4096,
                },
            },
        }
    }
}

fn minicpm_o(sizes: &MiniCpmO, tokens: &Tokens) -> Value {
    let text = &sizes.text;
    let mut config = json!({
        "_name_or_path": "openbmb/MiniCPM-o-2_6",
        "architectures": ["MiniCPMO"],
        "attention_dropout": 0.0,
        "bos_token_id": tokens.id("<|endoftext|>"),
        "eos_token_id": tokens.id("<|im_end|>"),
        "hidden_act": "silu",
        "hidden_size": text.hidden,
        "initializer_range": 0.02,
        "intermediate_size": text.intermediate,
        "max_position_embeddings": 32768,
        "max_window_layers": text.layers,
        "model_type": "minicpmo",
        "num_attention_heads": text.heads,
        "num_hidden_layers": text.layers,
        "num_key_value_heads": text.kv_heads,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1_000_000.0,
        "sliding_window": 131_072,
        "tie_word_embeddings": text.is_tied,
        "torch_dtype": null,
        "transformers_version": "4.44.2",
        "use_cache": true,
        "use_sliding_window": false,
        "version": "2.6",
        "vocab_size": text.rows(tokens),
    });
    let media = media(sizes);
    let (config_fields, media) = (config.as_object_mut(), media.as_object());
    if let (Some(fields), Some(media)) = (config_fields, media) {
        fields.extend(media.clone());
    }
    config
}

/// The fields that concern pictures and sound.
fn media(sizes: &MiniCpmO) -> Value {
    let (vision, audio) = (&sizes.vision, &sizes.audio);
    json!({
        "audio_chunk_length": 1.0,
        "audio_config": {
            "_name_or_path": "openai/whisper-medium",
            "architectures": ["MiniCPMWhisperEncoder"],
            "d_model": audio.hidden,
            "encoder_attention_heads": audio.heads,
            "encoder_ffn_dim": audio.intermediate,
            "encoder_layers": audio.layers,
            "max_source_positions": sizes.audio_positions,
            "model_type": "whisper",
            "num_hidden_layers": audio.layers,
            "torch_dtype": "float32"
        },
        "audio_pool_step": 2,
        "auto_map": {
            "AutoConfig": "configuration_minicpm.MiniCPMOConfig",
            "AutoModel": "modeling_minicpmo.MiniCPMO",
            "AutoModelForCausalLM": "modeling_minicpmo.MiniCPMO"
        },
        "batch_vision_input": true,
        "chunk_input": true,
        "drop_vision_last_layer": false,
        "image_size": sizes.tile,
        "init_audio": true,
        "init_tts": false,
        "listen_speak_type": "asr",
        "patch_size": 14,
        "query_num": sizes.queries,
        "slice_config": { "max_slice_nums": 9, "model_type": "minicpmv" },
        "slice_mode": true,
        "tts_config": { "llm_dim": sizes.text.hidden, "model_type": "conditional_chattts" },
        "use_image_id": true,
        "vision_batch_size": 16,
        "vision_config": {
            "hidden_size": vision.hidden,
            "image_size": sizes.positions,
            "intermediate_size": vision.intermediate,
            "model_type": "siglip_vision_model",
            "num_attention_heads": vision.heads,
            "num_hidden_layers": vision.layers,
            "patch_size": 14
        },
    })
}

/// Qwen2.5-VL's sizes.
struct Qwen2_5Vl {
    text: Text,
    vision: Tower,
    /// Side of a window, in pixels.
    window: usize,
    /// Every so many layers, one sees whole frames.
    whole: usize,
}

/// The least and the most pixels of pictures and frames, where a model is for small ones.
pub(crate) const fn pixels(size: Size) -> Option<[u64; 2]> {
    match size {
        Size::Tiny | Size::Mini => Some([28 * 28, 112 * 112]),
        Size::Small | Size::Full => None,
    }
}

/// Frames of a video, at most, where a model is for small ones.
pub(crate) const FRAMES: u64 = 8;

impl Qwen2_5Vl {
    const fn of(size: Size) -> Self {
        match size {
            Size::Tiny => Self {
                text: Text {
                    is_tied: false,
                    ..Text::tiny(16)
                },
                vision: Tower {
                    hidden: 32,
                    layers: 2,
                    heads: 2,
                    intermediate: 64,
                },
                window: 56,
                whole: 2,
            },
            Size::Mini => Self {
                text: Text {
                    hidden: 128,
                    layers: 4,
                    heads: 4,
                    kv_heads: 2,
                    head_dim: 32,
                    intermediate: 384,
                    vocabulary: None,
                    is_tied: false,
                },
                vision: Tower {
                    hidden: 128,
                    layers: 4,
                    heads: 4,
                    intermediate: 384,
                },
                window: 56,
                whole: 2,
            },
            Size::Small => Self {
                text: Text::qwen2(Size::Small),
                vision: Tower {
                    hidden: 640,
                    layers: 8,
                    heads: 8,
                    intermediate: 1710,
                },
                window: 112,
                whole: 4,
            },
            Size::Full => Self {
                text: Text::qwen2(Size::Full),
                vision: Tower {
                    hidden: 1280,
                    layers: 32,
                    heads: 16,
                    intermediate: 3420,
                },
                window: 112,
                whole: 8,
            },
        }
    }

    /// The published quarter of a head's frequencies for time, and the rest in two for height and width.
    const fn sections(&self) -> [usize; 3] {
        let pairs = self.text.head_dim / 2;
        let time = pairs / 4;
        let height = (pairs - time) / 2;
        [time, height, pairs - time - height]
    }
}

fn qwen2_5_vl(sizes: &Qwen2_5Vl, tokens: &Tokens) -> Value {
    let text = &sizes.text;
    json!({
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "attention_dropout": 0.0,
        "bos_token_id": tokens.id("<|endoftext|>"),
        "eos_token_id": tokens.id("<|im_end|>"),
        "hidden_act": "silu",
        "hidden_size": text.hidden,
        "image_token_id": tokens.id("<|image_pad|>"),
        "initializer_range": 0.02,
        "intermediate_size": text.intermediate,
        "max_position_embeddings": 128_000,
        "max_window_layers": text.layers,
        "model_type": "qwen2_5_vl",
        "num_attention_heads": text.heads,
        "num_hidden_layers": text.layers,
        "num_key_value_heads": text.kv_heads,
        "pad_token_id": tokens.id("<|endoftext|>"),
        "rms_norm_eps": 1e-6,
        "rope_scaling": { "mrope_section": sizes.sections(), "type": "mrope" },
        "rope_theta": 1_000_000.0,
        "sliding_window": 32768,
        "tie_word_embeddings": text.is_tied,
        "torch_dtype": null,
        "transformers_version": "4.41.2",
        "use_cache": true,
        "use_sliding_window": false,
        "video_token_id": tokens.id("<|video_pad|>"),
        "vision_config": windowed_vision(sizes),
        "vision_end_token_id": tokens.id("<|vision_end|>"),
        "vision_start_token_id": tokens.id("<|vision_start|>"),
        "vision_token_id": tokens.id("<|vision_pad|>"),
        "vocab_size": text.rows(tokens),
    })
}

fn windowed_vision(sizes: &Qwen2_5Vl) -> Value {
    let vision = &sizes.vision;
    let whole: Vec<usize> = (0..vision.layers)
        .filter(|layer| (layer + 1) % sizes.whole == 0)
        .collect();
    json!({
        "depth": vision.layers,
        "fullatt_block_indexes": whole,
        "hidden_act": "silu",
        "hidden_size": vision.hidden,
        "in_chans": 3,
        "intermediate_size": vision.intermediate,
        "model_type": "qwen2_5_vl",
        "num_heads": vision.heads,
        "out_hidden_size": sizes.text.hidden,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
        "window_size": sizes.window
    })
}

/// The audio tower of Qwen2.5-Omni.
const fn thinker_audio(size: Size) -> Tower {
    match size {
        Size::Tiny => Tower {
            hidden: 32,
            layers: 2,
            heads: 2,
            intermediate: 64,
        },
        Size::Mini => Tower {
            hidden: 128,
            layers: 3,
            heads: 4,
            intermediate: 384,
        },
        Size::Small => Tower {
            hidden: 512,
            layers: 6,
            heads: 8,
            intermediate: 2048,
        },
        Size::Full => Tower {
            hidden: 1280,
            layers: 32,
            heads: 20,
            intermediate: 5120,
        },
    }
}

/// The thinker alone, as Hugging Face transformers saves it.
fn qwen2_5_omni(size: Size, tokens: &Tokens) -> Value {
    let sizes = Qwen2_5Vl {
        text: Text {
            is_tied: false,
            ..Qwen2_5Vl::of(size).text
        },
        ..Qwen2_5Vl::of(size)
    };
    json!({
        "architectures": ["Qwen2_5OmniThinkerForConditionalGeneration"],
        "audio_config": heard(&thinker_audio(size), &sizes.text),
        "audio_end_token_id": tokens.id("<|audio_eos|>"),
        "audio_start_token_id": tokens.id("<|audio_bos|>"),
        "audio_token_index": tokens.id("<|AUDIO|>"),
        "bos_token_id": tokens.id("<|endoftext|>"),
        "eos_token_id": tokens.id("<|im_end|>"),
        "image_token_index": tokens.id("<|IMAGE|>"),
        "initializer_range": 0.02,
        "model_type": "qwen2_5_omni_thinker",
        "pad_token_id": tokens.id("<|endoftext|>"),
        "position_id_per_seconds": 25,
        "seconds_per_chunk": 2,
        "text_config": thinker_text(&sizes, tokens),
        "tie_word_embeddings": false,
        "torch_dtype": null,
        "transformers_version": "4.52.0",
        "video_token_index": tokens.id("<|VIDEO|>"),
        "vision_config": windowed_vision(&sizes),
        "vision_end_token_id": tokens.id("<|vision_eos|>"),
        "vision_start_token_id": tokens.id("<|vision_bos|>"),
    })
}

fn thinker_text(sizes: &Qwen2_5Vl, tokens: &Tokens) -> Value {
    let text = &sizes.text;
    json!({
        "hidden_act": "silu",
        "hidden_size": text.hidden,
        "intermediate_size": text.intermediate,
        "max_position_embeddings": 32768,
        "max_window_layers": text.layers,
        "model_type": "qwen2_5_omni_text",
        "num_attention_heads": text.heads,
        "num_hidden_layers": text.layers,
        "num_key_value_heads": text.kv_heads,
        "rms_norm_eps": 1e-6,
        "rope_scaling": { "mrope_section": sizes.sections(), "rope_type": "default", "type": "default" },
        "rope_theta": 1_000_000.0,
        "sliding_window": 32768,
        "use_cache": true,
        "use_sliding_window": false,
        "vocab_size": text.rows(tokens),
    })
}

fn heard(audio: &Tower, text: &Text) -> Value {
    json!({
        "activation_function": "gelu",
        "d_model": audio.hidden,
        "encoder_attention_heads": audio.heads,
        "encoder_ffn_dim": audio.intermediate,
        "encoder_layers": audio.layers,
        "max_source_positions": AUDIO_POSITIONS,
        "model_type": "qwen2_5_omni_audio_encoder",
        "n_window": 100,
        "num_mel_bins": 128,
        "output_dim": text.hidden,
        "scale_embedding": false
    })
}
