//! Whole networks: every tensor of a checkpoint gets a gradient, it is right, and a step is felt.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use candle_core::{DType, Device, Result, Tensor, Var};
use omnireward_core::NoProgress;
use omnireward_models::{
    Feature, Forest, Head, Row, TokenTree,
    checkpoint::{Family, RandomCheckpoint, Size},
    decoder::{Decoder, DecoderConfig},
    lora::{Lora, LoraConfig},
    minicpm_o::{self, AudioInput, ImageInput, MelPiece, Tile, Towers, weights as parts},
    ops::rows,
    weights::{Placement, StoredType, Weights},
};
use serde_json::Value;

use super::differences::{Loss, numbers, random};

/// A checkpoint of random numbers, of which every tensor that a reward depends on can be moved.
struct Trained {
    folder: tempfile::TempDir,
    config: Value,
    variables: Vec<(String, Var)>,
    weights: Weights,
}

/// Not part of a reward.
fn is_unused(name: &str) -> bool {
    name.contains("lm_head.") || name.starts_with("tts.")
}

impl Trained {
    fn new(family: Family) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoint = RandomCheckpoint::new(family, Size::Tiny);
        checkpoint.dtype = StoredType::F32;
        checkpoint.write(folder.path(), &NoProgress).unwrap();
        let config = std::fs::read(folder.path().join("config.json")).unwrap();
        let stored = Weights::open(folder.path()).unwrap();
        let names: Vec<String> = stored.names().map(ToOwned::to_owned).collect();
        let variables: Vec<(String, Var)> = names
            .into_iter()
            .filter(|name| !is_unused(name))
            .map(|name| {
                let shape = stored.info(&name).unwrap().shape;
                let tensor = stored.scope("", &placement()).tensor(&name, &shape);
                let variable = Var::from_tensor(&tensor.unwrap()).unwrap();
                (name, variable)
            })
            .collect();
        let tensors = variables
            .iter()
            .map(|(name, variable)| (name.clone(), variable.as_tensor().clone()));
        Self {
            config: serde_json::from_slice(&config).unwrap(),
            weights: stored.with_tensors(tensors.collect()),
            folder,
            variables,
        }
    }

    fn head(&self, hidden: usize) -> Head {
        Head::load(&self.weights, self.folder.path(), hidden, &placement()).unwrap()
    }

    /// Compares every gradient with differences: along itself, and along a direction that it knows nothing of.
    fn check(&self, forward: impl Fn() -> Result<Tensor>) {
        let loss = Loss::new(forward);
        let noise = 10.0 * loss.noise() / f64::from(STEP);
        let gradients = loss.gradients(&self.variables);
        let wrong: Vec<String> = self
            .variables
            .iter()
            .zip(gradients)
            .filter_map(|((name, variable), gradient)| {
                let found = match gradient {
                    None => "no gradient".to_owned(),
                    Some(gradient) if is_felt_by_nothing(name) => {
                        let length = norm(&gradient);
                        (length > noise).then(|| format!("a gradient of {length:.1e}"))?
                    }
                    Some(gradient) => wrong(&loss, variable, &gradient, noise)?,
                };
                Some(format!("`{name}`: {found}"))
            })
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// What is wrong with a gradient.
fn wrong<F: Fn() -> Result<Tensor>>(
    loss: &Loss<F>,
    variable: &Var,
    gradient: &[f32],
    noise: f64,
) -> Option<String> {
    /// Of the gradient's length, besides noise; a factor that is wrong by one percent is more than both.
    const ALLOWED: f64 = 3e-3;
    const NOISE: f64 = 5e-3;
    let length = norm(gradient);
    if noise > NOISE * length {
        return Some(format!("{length:.1e}, lost in noise of {noise:.1e}"));
    }
    let other = numbers(&random(gradient.len(), 5));
    [("itself", gradient), ("another", &other)]
        .into_iter()
        .find_map(|(what, direction)| {
            let scale = norm(direction).recip() as f32;
            let direction: Vec<f32> = direction.iter().map(|by| by * scale).collect();
            let expected: f64 = gradient
                .iter()
                .zip(&direction)
                .map(|(gradient, by)| f64::from(*gradient) * f64::from(*by))
                .sum();
            let error = (loss.slope(variable, &direction, STEP) - expected).abs();
            (error > ALLOWED * length + noise)
                .then(|| format!("along {what} off by {error:.1e} of {length:.1e}"))
        })
}

/// Far enough that rounding does not matter.
const STEP: f32 = 1.0 / 16.0;

/// The audio projection's rectifier has no slope where its input changes sign, so no input is to be near that: every
/// other one is far above it, and the rest far below.
fn keep_away_from_the_edge(trained: &Trained) {
    let name = "audio_projection_layer.linear1.bias";
    let (_, bias) = trained
        .variables
        .iter()
        .find(|(found, _)| found == name)
        .unwrap();
    let far = (0..bias.elem_count()).map(|index| if index % 2 == 0 { 6.0_f32 } else { -6.0 });
    bias.set(&Tensor::from_iter(far, &Device::Cpu).unwrap())
        .unwrap();
}

/// What is added to all keys alike changes no softmax.
fn is_felt_by_nothing(name: &str) -> bool {
    name.starts_with("vpm.") && name.ends_with("k_proj.bias")
}

fn norm(numbers: &[f32]) -> f64 {
    let squares = numbers.iter().map(|number| f64::from(*number).powi(2));
    squares.sum::<f64>().sqrt()
}

fn placement() -> Placement {
    Placement {
        device: Device::Cpu,
        dtype: DType::F32,
    }
}

/// The rewards of sequences as one tree.
fn rewards(
    decoder: &Decoder,
    head: &Head,
    sequences: &[Vec<Row>],
    features: &[Tensor],
) -> omnireward_models::Result<Tensor> {
    let tree = TokenTree::new(sequences);
    let forest = Forest::new(&[(&tree, 0)]);
    let tokens: Vec<u32> = forest.rows.iter().map(|row| row.token).collect();
    let mut all = vec![decoder.embed(&tokens)?];
    all.extend_from_slice(features);
    let mut starts = vec![0];
    for part in &all {
        starts.push(starts[starts.len() - 1] + part.dim(0)?);
    }
    let places: Vec<u32> = forest
        .rows
        .iter()
        .enumerate()
        .map(|(index, row)| match row.feature {
            None => index as u32,
            Some(feature) => (starts[feature.medium + 1] + feature.row) as u32,
        })
        .collect();
    let inputs = rows(&Tensor::cat(&all, 0)?, &places)?;
    let hidden = decoder.forward(&inputs, &forest.positions, &forest.layout, &forest.reads[0])?;
    head.forward(&hidden)
}

/// A trunk that is shared, and three answers.
fn sequences(before: &[Row]) -> Vec<Vec<Row>> {
    let answers: [&[u32]; 3] = [&[7, 9, 9, 30], &[7, 41], &[12, 13, 14, 15, 16]];
    answers
        .iter()
        .map(|answer| {
            let tokens = answer.iter().copied().map(Row::token);
            before.iter().copied().chain(tokens).collect()
        })
        .collect()
}

fn candle<T>(result: omnireward_models::Result<T>) -> Result<T> {
    result.map_err(candle_core::Error::wrap)
}

#[test]
fn decoders() {
    for family in [Family::Qwen2, Family::Qwen3, Family::Llama] {
        let trained = Trained::new(family);
        let config = DecoderConfig::from_json(&trained.config, Path::new("config.json")).unwrap();
        let scope = trained.weights.scope("model", &placement());
        let decoder = Decoder::load(&config, &scope).unwrap();
        let head = trained.head(config.hidden);
        let trunk: Vec<Row> = [3, 4, 5, 6, 3].map(Row::token).into();
        let sequences = sequences(&trunk);
        trained.check(|| candle(rewards(&decoder, &head, &sequences, &[])));
    }
}

#[test]
fn minicpm_o_with_its_towers() {
    let trained = Trained::new(Family::MiniCpmO);
    keep_away_from_the_edge(&trained);
    let config_path = Path::new("config.json");
    let config = minicpm_o::Config::from_json(&trained.config, config_path).unwrap();
    let towers = Towers::load(&config, &trained.weights, &placement()).unwrap();
    let scope = parts::decoder(&trained.weights, &placement());
    let decoder = Decoder::load(&config.text, &scope).unwrap();
    let head = trained.head(config.text.hidden);
    let images = [image(&config, &[(3, 4), (2, 2)]), image(&config, &[(1, 5)])];
    let audio = audio(&config, &[33, 20]);
    let forward = || -> omnireward_models::Result<Tensor> {
        let mut features = towers.encode_images(&images)?;
        features.push(towers.encode_audio(&audio)?);
        let place = |medium: usize, row: usize| Row {
            token: 1,
            feature: Some(Feature { medium, row }),
        };
        let mut trunk = vec![Row::token(3)];
        for (medium, features) in features.iter().enumerate() {
            trunk.extend((0..features.dim(0)?).map(|row| place(medium, row)));
            trunk.push(Row::token(4));
        }
        rewards(&decoder, &head, &sequences(&trunk), &features)
    };
    trained.check(|| candle(forward()));
}

fn image(config: &minicpm_o::Config, sizes: &[(usize, usize)]) -> ImageInput {
    let tiles = sizes.iter().map(|(rows, columns)| {
        let patches = random(
            (rows * columns, config.vision.patch_len()),
            9 + *columns as u64,
        );
        Tile {
            rows: *rows,
            columns: *columns,
            patches: numbers(&patches),
        }
    });
    ImageInput {
        grid: None,
        tiles: tiles.collect(),
    }
}

fn audio(config: &minicpm_o::Config, lengths: &[usize]) -> AudioInput {
    let pieces = lengths.iter().map(|frames| MelPiece {
        frames: *frames,
        padded_frames: *frames,
        mels: numbers(&random(
            (config.audio.num_mel_bins, *frames),
            20 + *frames as u64,
        )),
    });
    AudioInput {
        pieces: pieces.collect(),
    }
}

/// Only the adapter is trained: the decoder's matrices stay where they are in their file.
#[test]
fn adapters() {
    let folder = tempfile::tempdir().unwrap();
    let mut checkpoint = RandomCheckpoint::new(Family::Qwen3, Size::Tiny);
    checkpoint.dtype = StoredType::F32;
    checkpoint.write(folder.path(), &NoProgress).unwrap();
    let stored = Weights::open(folder.path()).unwrap();
    let lora = LoraConfig {
        rank: 3,
        alpha: 6.0,
        targets: [
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ]
        .map(Into::into)
        .into(),
        rank_stabilised: false,
    };
    let fresh = Lora::initialise(lora.clone(), &stored, 4).unwrap();
    let variables: Vec<(String, Var)> = fresh
        .tensors()
        .iter()
        .zip(30..)
        .map(|((name, tensor), seed)| {
            // As they begin, second factors are zero, and nothing would come back to the first.
            let numbers = (random(tensor.shape(), seed) * 0.2).unwrap();
            (name.clone(), Var::from_tensor(&numbers).unwrap())
        })
        .collect();
    let tensors = variables
        .iter()
        .map(|(name, variable)| (name.clone(), variable.as_tensor().clone()));
    let lora = Lora::new(lora, tensors.collect()).unwrap();
    let config = std::fs::read(folder.path().join("config.json")).unwrap();
    let trained = Trained {
        config: serde_json::from_slice(&config).unwrap(),
        weights: lora.over(&stored).unwrap(),
        folder,
        variables,
    };
    assert_eq!(trained.variables.len(), 2 * 7 * 2);
    let config = DecoderConfig::from_json(&trained.config, Path::new("config.json")).unwrap();
    let scope = trained.weights.scope("model", &placement());
    let decoder = Decoder::load(&config, &scope).unwrap();
    let head = trained.head(config.hidden);
    let sequences = sequences(&[3, 4, 5, 6, 3].map(Row::token));
    trained.check(|| candle(rewards(&decoder, &head, &sequences, &[])));
}

/// Stage by stage, with nothing kept but what enters each, the gradients are the same to the bit.
#[test]
fn stages_computed_again_give_the_same_gradients() {
    use omnireward_models::ops::pull_back;

    let trained = Trained::new(Family::Qwen2);
    let config = DecoderConfig::from_json(&trained.config, Path::new("config.json")).unwrap();
    let scope = trained.weights.scope("model", &placement());
    let decoder = Decoder::load(&config, &scope).unwrap();
    let tree = TokenTree::new(&sequences(&[3, 4, 5].map(Row::token)));
    let forest = Forest::new(&[(&tree, 0)]);
    let tokens: Vec<u32> = forest.rows.iter().map(|row| row.token).collect();
    let reads = &forest.reads[0];
    let by_hidden = random((reads.len(), config.hidden), 8);

    let inputs = decoder.embed(&tokens).unwrap();
    let whole = decoder.forward(&inputs, &forest.positions, &forest.layout, reads);
    let expected = pull_back(&whole.unwrap(), &by_hidden).unwrap();

    let pass = decoder
        .pass(&forest.positions, &forest.layout, reads, &Device::Cpu)
        .unwrap();
    let mut entering = vec![decoder.embed(&tokens).unwrap().detach()];
    for stage in 0..decoder.stages() {
        let hidden = decoder
            .stage(stage, entering[stage].clone(), &pass)
            .unwrap();
        entering.push(hidden.detach());
    }
    let mut found: BTreeMap<String, Tensor> = BTreeMap::new();
    let mut keep = |store: &candle_core::backprop::GradStore| {
        for (name, variable) in &trained.variables {
            if let Some(gradient) = store.get(variable) {
                assert!(found.insert(name.clone(), gradient.clone()).is_none());
            }
        }
    };
    let entered = |index: usize| Var::from_tensor(&entering[index]).unwrap();
    let last = entered(decoder.stages());
    let out = decoder.finish(&last, &pass).unwrap();
    let store = pull_back(&out, &by_hidden).unwrap();
    keep(&store);
    let mut gradient = store.get(&last).unwrap().clone();
    for stage in (0..decoder.stages()).rev() {
        let input = entered(stage);
        let out = decoder
            .stage(stage, input.as_tensor().clone(), &pass)
            .unwrap();
        let store = pull_back(&out, &gradient).unwrap();
        keep(&store);
        gradient = store.get(&input).unwrap().clone();
    }
    keep(&pull_back(&decoder.embed(&tokens).unwrap(), &gradient).unwrap());

    let expected: HashMap<&str, Vec<f32>> = trained
        .variables
        .iter()
        .filter_map(|(name, variable)| Some((name.as_str(), numbers(expected.get(variable)?))))
        .collect();
    assert_eq!(found.len(), expected.len());
    for (name, gradient) in &found {
        let (found, expected) = (numbers(gradient), &expected[name.as_str()]);
        let same = found
            .iter()
            .zip(expected)
            .all(|(l, r)| l.to_bits() == r.to_bits());
        assert!(same, "{name}");
    }
}

/// A model keeps what it loads: a step of the optimiser must reach it all the same.
#[test]
fn steps_reach_a_model_that_is_loaded() {
    let trained = Trained::new(Family::MiniCpmO);
    let config = minicpm_o::Config::from_json(&trained.config, Path::new("config.json")).unwrap();
    let encode = || {
        let towers = Towers::load(&config, &trained.weights, &placement()).unwrap();
        let images = [image(&config, &[(3, 4)])];
        let audio = audio(&config, &[33]);
        move || {
            let image = towers.encode_images(&images).unwrap().remove(0);
            let audio = towers.encode_audio(&audio).unwrap();
            [numbers(&image), numbers(&audio)].concat()
        }
    };
    let kept = encode();
    let mut before = kept();
    let towers = |name: &str| !name.starts_with("llm.") && !name.starts_with("v_head.");
    for (name, variable) in trained.variables.iter().filter(|(name, _)| towers(name)) {
        let moved = (variable.as_tensor() * 1.25).unwrap();
        variable.set(&(moved + 0.1).unwrap()).unwrap();
        let after = kept();
        assert_eq!(after, encode()(), "{name}");
        assert!(after != before || is_felt_by_nothing(name), "{name}");
        before = after;
    }
}

#[test]
fn what_would_be_a_copy_cannot_be_trained() {
    let tensors = ["norm", "layers.0.self_attn.q_proj"].map(|name| {
        let shape: &[usize] = if name == "norm" { &[4] } else { &[4, 4] };
        let narrow = random(shape, 1).to_dtype(DType::BF16).unwrap();
        let variable = Var::from_tensor(&narrow).unwrap();
        (format!("{name}.weight"), variable.as_tensor().clone())
    });
    let weights = Weights::in_memory(HashMap::new()).with_tensors(tensors.into());
    let scope = weights.scope("", &placement());
    let error = scope.tensor("norm.weight", &[4]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tensor `norm.weight` is trained as `bf16` in a model that takes it as `f32`, on the model's device"
    );
    // A product takes any type as it is.
    let weight = scope.weight("layers.0.self_attn.q_proj.weight", 4, 4);
    assert_eq!(weight.unwrap().dims(), (4, 4));
}
