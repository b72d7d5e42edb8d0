//! Checkpoints with random weights: the published layout, the same numbers every time.

use std::{collections::BTreeMap, fs, path::Path};

use omnireward_core::NoProgress;
use omnireward_models::{
    checkpoint::{Family, RandomCheckpoint, Size},
    weights::StoredType,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tokenizers::Tokenizer;

fn write(checkpoint: &RandomCheckpoint) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    checkpoint.write(folder.path(), &NoProgress).unwrap();
    folder
}

fn tiny(family: Family) -> RandomCheckpoint {
    RandomCheckpoint::new(family, Size::Tiny)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Every tensor of every weight file: type, shape and bytes.
fn tensors(folder: &Path) -> BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "safetensors")
        {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for (name, tensor) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            let entry = (
                tensor.dtype(),
                tensor.shape().to_vec(),
                tensor.data().to_vec(),
            );
            assert!(
                all.insert(name.clone(), entry).is_none(),
                "`{name}` is there twice"
            );
        }
    }
    all
}

#[test]
fn the_layout_is_the_published_one() {
    let folder = write(&tiny(Family::MiniCpmO));
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "processor_config.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "value_head.safetensors",
    ];
    assert_eq!(names, expected);
    let tensors = tensors(folder.path());
    for (name, shape) in [
        ("llm.model.embed_tokens.weight", &[314, 128][..]),
        ("llm.model.layers.1.self_attn.k_proj.bias", &[64]),
        ("llm.lm_head.weight", &[314, 128]),
        ("vpm.embeddings.patch_embedding.weight", &[32, 3, 14, 14]),
        ("vpm.embeddings.position_embedding.weight", &[1024, 32]),
        ("vpm.encoder.layers.1.self_attn.out_proj.weight", &[32, 32]),
        ("resampler.query", &[64, 128]),
        ("resampler.kv_proj.weight", &[128, 32]),
        ("resampler.attn.in_proj_weight", &[384, 128]),
        ("apm.conv1.weight", &[32, 80, 3]),
        ("apm.embed_positions.weight", &[1500, 32]),
        ("apm.layers.0.fc1.weight", &[64, 32]),
        ("audio_projection_layer.linear1.weight", &[128, 32]),
        ("v_head.summary.weight", &[1, 128]),
        ("v_head.summary.bias", &[1]),
    ] {
        assert_eq!(tensors[name].1, shape, "{name}");
    }
    assert!(!tensors.contains_key("apm.layers.0.self_attn.k_proj.bias"));
    assert!(!tensors.keys().any(|name| name.starts_with("tts.")));
    assert_eq!(
        fs::metadata(folder.path().join("processor_config.json"))
            .unwrap()
            .len(),
        127,
        "the published file has 127 bytes"
    );
}

#[test]
fn numbers_do_not_depend_on_threads_or_shards() {
    let whole = write(&tiny(Family::MiniCpmO));
    let sharded = RandomCheckpoint {
        max_shard_bytes: 100_000,
        ..tiny(Family::MiniCpmO)
    };
    let alone = rayon_pool(1, || write(&sharded));
    assert_eq!(tensors(whole.path()), tensors(alone.path()));
    let index = json(&alone.path().join("model.safetensors.index.json"));
    let places = index["weight_map"].as_object().unwrap();
    for (name, file) in places {
        assert!(
            alone.path().join(file.as_str().unwrap()).is_file(),
            "{name}"
        );
    }
    let bytes: usize = tensors(whole.path())
        .iter()
        .filter(|(name, _)| !name.starts_with("v_head."))
        .map(|(_, (_, _, bytes))| bytes.len())
        .sum();
    assert_eq!(index["metadata"]["total_size"], bytes);
    assert_eq!(places.len() + 2, tensors(whole.path()).len());
}

fn rayon_pool<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.unwrap().install(work)
}

#[test]
fn both_types_hold_the_same_numbers() {
    let bf16 = tensors(write(&tiny(Family::Qwen2)).path());
    let f32 = tensors(
        write(&RandomCheckpoint {
            dtype: StoredType::F32,
            ..tiny(Family::Qwen2)
        })
        .path(),
    );
    for (name, (dtype, _, bytes)) in &f32 {
        assert_eq!((*dtype, bf16[name].0), (Dtype::F32, Dtype::BF16));
        let exact = bytes
            .as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes));
        let short = bf16[name]
            .2
            .as_chunks()
            .0
            .iter()
            .map(|bytes| half::bf16::from_le_bytes(*bytes));
        assert!(exact.map(half::bf16::from_f32).eq(short), "{name}");
    }
    assert!(f32.contains_key("score.weight") && !f32.contains_key("lm_head.weight"));
}

#[test]
fn another_seed_gives_other_numbers() {
    let one = tensors(write(&tiny(Family::Qwen3)).path());
    let two = tensors(
        write(&RandomCheckpoint {
            seed: 1,
            ..tiny(Family::Qwen3)
        })
        .path(),
    );
    assert!(one.keys().eq(two.keys()));
    assert!(one.iter().all(|(name, tensor)| *tensor != two[name]));
    assert!(one.contains_key("model.layers.0.self_attn.q_norm.weight"));
    assert_eq!(one["model.layers.0.self_attn.q_proj.weight"].1, [128, 64]);
}

#[test]
fn the_tokenizer_knows_bytes_and_every_special_token() {
    let folder = write(&tiny(Family::MiniCpmO));
    let tokenizer = Tokenizer::from_file(folder.path().join("tokenizer.json")).unwrap();
    let text = "<|im_start|>é7\n<image><unk></image><|im_end|>";
    let encoding = tokenizer.encode(text, false).unwrap();
    let tokens = encoding.get_tokens();
    let expected = [
        "<|im_start|>",
        "Ã",
        "©",
        "7",
        "Ċ",
        "<image>",
        "<unk>",
        "</image>",
        "<|im_end|>",
    ];
    assert_eq!(tokens, expected);
    assert_eq!(encoding.get_ids()[4], 198, "a newline has the published id");
    assert_eq!(tokenizer.token_to_id("<reserved_53>"), Some(313));
    let config = json(&folder.path().join("config.json"));
    assert_eq!(config["vocab_size"], 314);
    assert_eq!(
        config["eos_token_id"],
        tokenizer.token_to_id("<|im_end|>").unwrap()
    );
    assert_eq!(tokenizer.decode(encoding.get_ids(), false).unwrap(), text);
}

#[test]
fn published_ids_are_kept_where_the_vocabulary_has_the_published_size() {
    // The full vocabulary with everything else tiny.
    let checkpoint = [
        ("hidden_size", 128),
        ("num_hidden_layers", 1),
        ("num_attention_heads", 2),
        ("num_key_value_heads", 1),
        ("intermediate_size", 64),
        ("vision_config.num_hidden_layers", 1),
        ("vision_config.hidden_size", 16),
        ("vision_config.num_attention_heads", 1),
        ("vision_config.intermediate_size", 16),
        ("audio_config.encoder_layers", 1),
        ("audio_config.d_model", 16),
        ("audio_config.encoder_attention_heads", 1),
        ("audio_config.encoder_ffn_dim", 16),
    ]
    .into_iter()
    .fold(
        RandomCheckpoint::new(Family::MiniCpmO, Size::Full),
        |checkpoint, (field, value)| checkpoint.with(field, value),
    );
    let folder = write(&checkpoint);
    let tokenizer = Tokenizer::from_file(folder.path().join("tokenizer.json")).unwrap();
    for (token, id) in [
        ("<unk>", 128_244),
        ("<|endoftext|>", 151_643),
        ("<|im_end|>", 151_645),
        ("<image>", 151_665),
        ("<|audio_start|>", 151_685),
        ("<reserved_53>", 151_699),
    ] {
        assert_eq!(tokenizer.token_to_id(token), Some(id), "{token}");
        assert_eq!(
            tokenizer.encode(token, false).unwrap().get_ids(),
            [id],
            "{token}"
        );
    }
}

#[test]
fn what_is_there_is_not_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model");
    let checkpoint = tiny(Family::Llama);
    checkpoint.write(&target, &NoProgress).unwrap();
    let error = checkpoint
        .write(&target, &NoProgress)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("is there already and holds a checkpoint"),
        "{error}"
    );
    let replacing = RandomCheckpoint {
        replace: true,
        seed: 5,
        ..checkpoint
    };
    let before = tensors(&target);
    replacing.write(&target, &NoProgress).unwrap();
    assert_ne!(before, tensors(&target));
    let other = folder.path().join("letters");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("dear.txt"), "keep me").unwrap();
    let error = replacing
        .write(&other, &NoProgress)
        .unwrap_err()
        .to_string();
    assert!(error.contains("holds no checkpoint"), "{error}");
    assert!(other.join("dear.txt").is_file());
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "nothing half-written is left: {left:?}");
}

#[test]
fn sizes_that_contradict_themselves_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let odd = tiny(Family::Qwen2).with("num_attention_heads", 3);
    let error = odd
        .write(&folder.path().join("a"), &NoProgress)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("num_attention_heads") && error.contains("does not divide"),
        "{error}"
    );
    let small = tiny(Family::Qwen2).with("vocab_size", 100);
    let error = small
        .write(&folder.path().join("b"), &NoProgress)
        .unwrap_err()
        .to_string();
    assert!(error.contains("100") && error.contains("277"), "{error}");
}

#[test]
fn a_tokenizer_of_ones_own_gets_the_tokens_it_lacks() {
    let folder = write(&tiny(Family::Qwen2));
    let own = folder.path().join("tokenizer.json");
    let checkpoint = RandomCheckpoint {
        tokenizer: Some(own),
        ..tiny(Family::MiniCpmO)
    };
    let written = write(&checkpoint);
    let tokenizer = Tokenizer::from_file(written.path().join("tokenizer.json")).unwrap();
    for token in ["<|im_start|>", "<image>", "<unk>", "<reserved_53>"] {
        assert_eq!(tokenizer.encode(token, false).unwrap().len(), 1, "{token}");
    }
    let config = json(&written.path().join("config.json"));
    assert_eq!(config["vocab_size"], 256 + 22 + 36);
}
