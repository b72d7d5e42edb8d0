//! A low-rank adapter as PEFT saves it, against the rewards that PEFT gives.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use omnireward_models::{
    Forest, Head, Row, TokenTree,
    decoder::{Decoder, DecoderConfig},
    lora::{Lora, LoraConfig},
    weights::Weights,
};

use super::reference::{Distance, EXACT, Expected, bump, folder, on_cpu};

const BASE: &str = "qwen2";
const ADAPTER: &str = "qwen2_lora";

/// The rewards of the first sequences.
fn rewards(weights: &Weights, dtype: DType) -> Tensor {
    let placement = on_cpu(dtype);
    let path = folder(BASE).join("config.json");
    let json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let config = DecoderConfig::from_json(&json, &path).unwrap();
    let decoder = Decoder::load(&config, &weights.scope("model", &placement)).unwrap();
    let head = Head::load(weights, &folder(BASE), config.hidden, &placement).unwrap();
    let base = Expected::open(BASE, "expected.safetensors");
    let trees: Vec<TokenTree> = (0..4)
        .map(|i| {
            let tokens = base.tensors()[&format!("tokens.{i}")].to_vec1::<i64>();
            let rows = tokens.unwrap().into_iter();
            TokenTree::new(&[rows.map(|token| Row::token(token as u32)).collect()])
        })
        .collect();
    let trees: Vec<(&TokenTree, usize)> = trees.iter().map(|tree| (tree, 0)).collect();
    let forest = Forest::new(&trees);
    let tokens: Vec<u32> = forest.rows.iter().map(|row| row.token).collect();
    let inputs = decoder.embed(&tokens).unwrap();
    let hidden = decoder.forward(
        &inputs,
        &forest.positions,
        &forest.layout,
        &forest.reads.concat(),
    );
    head.forward(&hidden.unwrap()).unwrap()
}

fn base() -> Weights {
    Weights::open(&folder(BASE)).unwrap()
}

fn expected() -> Expected {
    Expected::open(ADAPTER, "expected.safetensors")
}

fn error(lora: &Lora) -> f32 {
    let rewards = rewards(&lora.over(&base()).unwrap(), DType::F32);
    expected().error("rewards", &rewards).largest
}

#[test]
fn rewards_equal_those_of_peft() {
    let lora = Lora::read(&folder(ADAPTER)).unwrap();
    assert!(error(&lora) <= EXACT, "off by {}", error(&lora));
    let half = rewards(&lora.over(&base()).unwrap(), DType::BF16);
    let (ours, theirs) = (
        expected().error("rewards", &half),
        expected().spread("rewards"),
    );
    assert!(ours.is_like(theirs), "off by {ours}, PEFT by {theirs}");
    let without = Distance::between(&rewards(&base(), DType::F32), expected().exact("rewards"));
    assert!(without.largest > 100.0 * EXACT, "the adapter does little");
}

#[test]
fn merged_it_gives_the_same_rewards() {
    let (lora, base) = (Lora::read(&folder(ADAPTER)).unwrap(), base());
    // In memory as `f32`, so that the sums are not rounded to the base's `bf16`.
    let names: Vec<&str> = base.names().collect();
    let wide = names.into_iter().map(|name| {
        let shape = base.info(name).unwrap().shape;
        let tensor = base.scope("", &on_cpu(DType::F32)).tensor(name, &shape);
        (name.to_owned(), tensor.unwrap())
    });
    let wide = Weights::in_memory(wide.collect());
    let names: Vec<&str> = wide.names().collect();
    let merged = names.into_iter().filter_map(|name| {
        let tensor = lora.merged(&wide, name).unwrap()?;
        Some((name.to_owned(), tensor))
    });
    let merged = wide.with_tensors(merged.collect());
    let error = expected().error("rewards", &rewards(&merged, DType::F32));
    assert!(error.largest <= EXACT, "off by {error}");
}

#[test]
fn one_wrong_number_is_noticed() {
    let lora = Lora::read(&folder(ADAPTER)).unwrap();
    for name in [
        "model.layers.0.self_attn.q_proj.lora_A.weight",
        "model.layers.1.mlp.down_proj.lora_B.weight",
        "score.weight",
    ] {
        let mut tensors: BTreeMap<String, Tensor> = lora.tensors().clone();
        let changed = bump(&tensors[name], 7, 0.5);
        tensors.insert(name.to_owned(), changed);
        let changed = Lora::new(lora.config().clone(), tensors).unwrap();
        assert!(error(&changed) > EXACT, "{name}");
    }
    let stronger = LoraConfig {
        alpha: 5.1,
        ..lora.config().clone()
    };
    let stronger = Lora::new(stronger, lora.tensors().clone()).unwrap();
    assert!(error(&stronger) > EXACT, "the scale");
}
