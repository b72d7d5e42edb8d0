use std::{fs, path::PathBuf};

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use serde_json::json;

use super::{CPU, directory, numbers};
use crate::{
    Error,
    ops::linear,
    weights::{GgufWeights, OpenOptions, Placement, Weight, Weights},
};

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/parity/gguf", name]
        .iter()
        .collect()
}

fn tiny() -> Weights {
    Weights::open(&fixture("tiny.gguf")).unwrap()
}

fn expected() -> Weights {
    Weights::open(&fixture("expected.safetensors")).unwrap()
}

/// Names of the matrices, with their dimensions.
fn matrices(weights: &Weights) -> Vec<(String, usize, usize)> {
    weights
        .names()
        .filter_map(|name| match weights.info(name)?.shape[..] {
            [out, inner] => Some((name.to_owned(), out, inner)),
            _ => None,
        })
        .collect()
}

/// Every kind of block expands to what the `gguf` package makes of it; both compute in single precision, but not
/// always in the same order, hence one unit in the last place of the largest number.
#[test]
fn blocks_expand_to_the_numbers_of_the_reference() {
    let (tiny, expected) = (tiny(), expected());
    assert_eq!(matrices(&tiny), matrices(&expected));
    for (name, out, inner) in matrices(&tiny) {
        let read = |weights: &Weights| weights.scope("", &CPU).weight(&name, out, inner).unwrap();
        let (found, wanted) = (read(&tiny), read(&expected));
        let whole = numbers(&found.tensor(&Device::Cpu, DType::F32).unwrap());
        let wanted = numbers(&wanted.tensor(&Device::Cpu, DType::F32).unwrap());
        let largest = wanted
            .iter()
            .fold(0.0_f32, |most, number| most.max(number.abs()));
        let stored = tiny.info(&name).unwrap().stored;
        for (found, wanted) in whole.iter().zip(&wanted) {
            assert!(
                (found - wanted).abs() <= largest * f32::EPSILON,
                "{stored} {name}: {found} {wanted}"
            );
        }
        let last = out as u32 - 1;
        let rows = numbers(&found.rows(&[last, 0], &Device::Cpu, DType::F32).unwrap());
        assert_eq!(rows[..inner], whole[whole.len() - inner..], "{name}");
        assert_eq!(rows[inner..], whole[..inner], "{name}");
        let part = found
            .part(1..out)
            .unwrap()
            .tensor(&Device::Cpu, DType::F32)
            .unwrap();
        assert_eq!(numbers(&part), whole[inner..], "{name}");
    }
}

#[test]
fn plain_numbers_stay_mapped_and_blocks_stay_blocks() {
    let scope = tiny().scope("model.layers", &CPU);
    let kind = |layer: usize| match scope
        .under(layer)
        .weight("mlp.up_proj.weight", 3, 256)
        .unwrap()
    {
        Weight::Mapped(_) => "mapped",
        Weight::Quantised(quantised) => quantised.kind(),
        Weight::Tensor(_) => "tensor",
    };
    let kinds: Vec<&str> = (0..13).map(kind).collect();
    assert_eq!(
        kinds,
        [
            "mapped", "mapped", "mapped", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K",
            "Q4_K", "Q5_K", "Q6_K"
        ]
    );
    let norm = tiny()
        .scope("model.norm", &CPU)
        .tensor("weight", &[256])
        .unwrap();
    let wanted = expected()
        .scope("model.norm", &CPU)
        .tensor("weight", &[256])
        .unwrap();
    assert_eq!(numbers(&norm), numbers(&wanted));
}

/// The rows of queries and keys are turned in pairs; in another order they would be paired wrongly.
#[test]
fn the_order_of_rows_is_mended_and_matters() {
    let found = tiny();
    let stored = found.scope("model.layers.0.self_attn", &CPU);
    let weight = stored.weight("q_proj.weight", 8, 256).unwrap();
    let whole = numbers(&weight.tensor(&Device::Cpu, DType::F32).unwrap());
    let wanted = expected().scope("model.layers.0.self_attn", &CPU);
    let wanted = numbers(&wanted.tensor("q_proj.weight", &[8, 256]).unwrap());
    let row = |numbers: &[f32], row: usize| numbers[row * 256..(row + 1) * 256].to_vec();
    assert_eq!(row(&whole, 6), row(&wanted, 6));
    assert_ne!(row(&whole, 6), row(&wanted, 5));
}

#[test]
fn kept_and_expanded_weights_compute_the_same_bits() {
    let expand = OpenOptions {
        gguf: GgufWeights::Expand,
    };
    let kept = tiny();
    let expanded = Weights::open_with(&fixture("tiny.gguf"), expand).unwrap();
    for dtype in [DType::F32, DType::BF16] {
        let placement = Placement {
            device: Device::Cpu,
            dtype,
        };
        for rows in [1, 7] {
            let x = Tensor::randn(0.0_f32, 1.0, (rows, 256), &Device::Cpu).unwrap();
            let x = x.to_dtype(dtype).unwrap();
            for (name, out, inner) in matrices(&kept) {
                let bias = Tensor::randn(0.0_f32, 1.0, out, &Device::Cpu).unwrap();
                let bias = bias.to_dtype(dtype).unwrap();
                let product = |weights: &Weights| {
                    let scope = weights.scope("", &placement);
                    match scope.weight(&name, out, inner).unwrap() {
                        Weight::Quantised(quantised) => quantised.linear(&x, Some(&bias)).unwrap(),
                        other => linear(&x, &other, Some(&bias)).unwrap(),
                    }
                };
                let (kept, expanded) = (product(&kept), product(&expanded));
                assert_eq!(kept.dtype(), dtype);
                assert_eq!(
                    numbers(&kept),
                    numbers(&expanded),
                    "{name} {dtype:?} {rows}"
                );
            }
        }
    }
}

#[test]
fn metadata_becomes_a_configuration() {
    let weights = tiny();
    let gguf = weights.gguf().unwrap();
    assert_eq!(
        gguf.config().unwrap(),
        json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "hidden_size": 256,
            "intermediate_size": 3,
            "num_hidden_layers": 13,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 4,
            "max_position_embeddings": 128,
            "rms_norm_eps": 1e-5,
            "rope_theta": 100_000.0,
            "vocab_size": 8,
            "tie_word_embeddings": true,
            "attention_bias": false,
            "eos_token_id": 0,
        })
    );
    assert_eq!(gguf.chat_template(), Some("{{ messages }}"));
}

#[test]
fn the_tokenizer_merges_splits_and_knows_its_special_tokens() {
    let tokenizer = tiny().gguf().unwrap().tokenizer().unwrap();
    let ids = |text: &str| tokenizer.encode(text, false).unwrap().get_ids().to_vec();
    assert_eq!(ids("ab ab11<|im_end|>a b"), [5, 6, 3, 3, 0, 1, 4, 2]);
    assert_eq!(tokenizer.get_vocab_size(true), 7);
    assert_eq!(tokenizer.decode(&[5, 6, 0], true).unwrap(), "ab ab");
}

/// Puts other bytes in the place of `from`, which is there once.
fn changed(from: &[u8], to: &[u8]) -> Vec<u8> {
    let bytes = fs::read(fixture("tiny.gguf")).unwrap();
    let at: Vec<usize> = (0..bytes.len() - from.len())
        .filter(|&at| bytes[at..].starts_with(from))
        .collect();
    assert_eq!(at.len(), 1, "{from:?}");
    [&bytes[..at[0]], to, &bytes[at[0] + from.len()..]].concat()
}

fn opened(bytes: &[u8]) -> Result<Weights, Error> {
    let directory = directory();
    let path = directory.path().join("model.gguf");
    fs::write(&path, bytes).unwrap();
    Weights::open(&path)
}

fn reason(bytes: &[u8]) -> String {
    match opened(bytes).unwrap_err() {
        Error::Damaged { path, reason } => {
            assert!(path.ends_with("model.gguf"));
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_truncated_file_is_named_with_a_tensor() {
    let bytes = fs::read(fixture("tiny.gguf")).unwrap();
    assert!(
        reason(&bytes[..bytes.len() - 200]).contains("tensor `blk.12.ffn_up.weight` is cut short")
    );
    assert!(reason(&bytes[..100]).contains("header is cut short"));
    assert!(reason(b"GGUF").contains("header is cut short"));
}

#[test]
fn a_header_that_asks_too_much_is_refused() {
    let bytes = fs::read(fixture("tiny.gguf")).unwrap();
    let with = |at: usize, value: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        reason(&bytes)
    };
    assert!(with(4, &9_u32.to_le_bytes()).contains("version is 9"));
    assert!(with(8, &u64::MAX.to_le_bytes()).contains("tensors"));
    assert!(with(16, &u64::MAX.to_le_bytes()).contains("metadata entries"));
    assert!(with(24, &u64::MAX.to_le_bytes()).contains("cut short"));
}

#[test]
fn an_alignment_of_zero_is_refused() {
    let key = b"tokenizer.ggml.eos_token_id";
    let name = b"general.alignment";
    let mut from = (key.len() as u64).to_le_bytes().to_vec();
    from.extend(key);
    let mut to = (name.len() as u64).to_le_bytes().to_vec();
    to.extend(name);
    assert!(reason(&changed(&from, &to)).contains("`general.alignment` is 0"));
}

#[test]
fn an_unknown_kind_of_block_is_named_when_it_is_asked_for() {
    let mut tensor = b"blk.12.ffn_up.weight".to_vec();
    tensor.extend(2_u32.to_le_bytes());
    tensor.extend(256_u64.to_le_bytes());
    tensor.extend(3_u64.to_le_bytes());
    let mut unknown = tensor.clone();
    tensor.extend(14_u32.to_le_bytes());
    unknown.extend(23_u32.to_le_bytes());
    let weights = opened(&changed(&tensor, &unknown)).unwrap();
    let scope = weights.scope("model.layers.12.mlp.up_proj", &CPU);
    let Error::Type { tensor, found, .. } = scope.weight("weight", 3, 256).unwrap_err() else {
        panic!("another error")
    };
    assert_eq!(tensor, "model.layers.12.mlp.up_proj.weight");
    assert_eq!(found, "GGUF type 23");
}

#[test]
fn rows_that_are_not_whole_blocks_are_refused() {
    let mut tensor = b"blk.12.ffn_up.weight".to_vec();
    tensor.extend(2_u32.to_le_bytes());
    let mut other = tensor.clone();
    tensor.extend(256_u64.to_le_bytes());
    other.extend(255_u64.to_le_bytes());
    let reason = reason(&changed(&tensor, &other));
    assert!(
        reason.contains("`blk.12.ffn_up.weight` has rows of 255"),
        "{reason}"
    );
}

#[test]
fn what_cannot_be_said_in_a_configuration_is_an_error() {
    let other = opened(&changed(
        b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama",
        b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0mamba",
    ))
    .unwrap();
    let error = other.gguf().unwrap().config().unwrap_err();
    assert!(matches!(error, Error::UnknownArchitecture { found, .. } if found == "mamba"));
    let missing = opened(&changed(
        b"llama.embedding_length",
        b"llama.embedding_lengtx",
    ))
    .unwrap();
    let error = missing.gguf().unwrap().config().unwrap_err();
    assert!(matches!(error, Error::Config { field, .. } if field == "llama.embedding_length"));
}

#[test]
fn a_tokenizer_of_another_kind_is_named() {
    for (from, to, wanted) in [
        (
            &b"\x06\0\0\0\0\0\0\0smollm"[..],
            &b"\x06\0\0\0\0\0\0\0falcon"[..],
            "`falcon`",
        ),
        (
            b"\x04\0\0\0\0\0\0\0gpt2",
            b"\x04\0\0\0\0\0\0\0bert",
            "`bert`",
        ),
        (
            b"tokenizer.ggml.merges",
            b"tokenizer.ggml.mergex",
            "`tokenizer.ggml.merges` is missing",
        ),
        (b"\xc4\xa0 ab", b"\xc4\xa0_ab", "one side"),
    ] {
        let weights = opened(&changed(from, to)).unwrap();
        let Error::Tokenizer { reason, .. } = weights.gguf().unwrap().tokenizer().unwrap_err()
        else {
            panic!("another error")
        };
        assert!(reason.contains(wanted), "{reason}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is changed in a file's header, opening and reading it ends with numbers or an error.
    #[test]
    fn changed_bytes_never_stop_the_process(at in 0_usize..2500, byte in any::<u8>(), wide in any::<bool>()) {
        let mut bytes = fs::read(fixture("tiny.gguf")).unwrap();
        let end = if wide { at + 8 } else { at + 1 };
        bytes[at..end].fill(byte);
        if let Ok(weights) = opened(&bytes) {
            let gguf = weights.gguf().unwrap();
            let _ = (gguf.config(), gguf.tokenizer(), gguf.chat_template());
            let scope = weights.scope("", &CPU);
            for (name, out, inner) in matrices(&weights) {
                if let Ok(weight) = scope.weight(&name, out, inner) {
                    weight.tensor(&Device::Cpu, DType::F32).unwrap();
                }
            }
        }
    }
}
