use std::{fs, path::PathBuf, sync::Arc};

use omnireward_core::NoProgress;
use serde_json::{Value, json};

use super::{files::PREFIX, *};
use crate::{
    checkpoint::{Family, RandomCheckpoint, Size},
    decoder::{Decoder, DecoderConfig},
    ops::AttentionLayout,
    weights::StoredType,
};

/// A small random model.
struct Model {
    folder: tempfile::TempDir,
    config: DecoderConfig,
    prefix: &'static str,
    weights: Weights,
}

impl Model {
    fn new(family: Family, dtype: StoredType) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoint = RandomCheckpoint::new(family, Size::Tiny);
        checkpoint.dtype = dtype;
        checkpoint.write(folder.path(), &NoProgress).unwrap();
        let path = folder.path().join("config.json");
        let json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        Self {
            config: DecoderConfig::from_json(&json, &path).unwrap(),
            prefix: DECODERS[usize::from(family == Family::MiniCpmO)],
            weights: Weights::open(folder.path()).unwrap(),
            folder,
        }
    }

    /// The hidden states of a few tokens, computed in a type with these weights.
    fn run(&self, weights: &Weights, dtype: DType) -> Vec<f32> {
        let placement = Placement {
            device: Device::Cpu,
            dtype,
        };
        let decoder = Decoder::load(&self.config, &weights.scope(self.prefix, &placement)).unwrap();
        let inputs = decoder.embed(&[3, 9, 4, 30, 9]).unwrap();
        let layout = Arc::new(AttentionLayout::blocks(&[5]));
        let hidden = decoder
            .forward(&inputs, &[0, 1, 2, 3, 4], &layout, &[1, 4])
            .unwrap();
        numbers(&hidden)
    }

    fn merged(&self, lora: &Lora) -> Weights {
        let names: Vec<&str> = self.weights.names().collect();
        let merged = names.into_iter().filter_map(|name| {
            let tensor = lora.merged(&self.weights, name).unwrap()?;
            Some((name.to_owned(), tensor))
        });
        self.weights.with_tensors(merged.collect())
    }
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    let wide = wide(tensor).unwrap();
    wide.flatten_all().unwrap().to_vec1().unwrap()
}

fn distance(left: &[f32], right: &[f32]) -> f32 {
    assert_eq!(left.len(), right.len());
    left.iter()
        .zip(right)
        .map(|(left, right)| (left - right).abs())
        .fold(0.0, f32::max)
}

fn config() -> LoraConfig {
    LoraConfig {
        rank: 3,
        alpha: 4.0,
        targets: ["q_proj", "v_proj", "down_proj"].map(Into::into).into(),
        rank_stabilised: false,
    }
}

/// An adapter whose second factors are not zero either.
fn trained(model: &Model) -> Lora {
    let fresh = Lora::initialise(config(), &model.weights, 5).unwrap();
    let tensors = fresh.tensors().iter().map(|(name, tensor)| {
        let (rows, columns) = tensor.dims2().unwrap();
        let tensor = if name.ends_with(B) {
            uniform((rows, columns), 8, name).unwrap()
        } else {
            tensor.clone()
        };
        (name.clone(), tensor)
    });
    Lora::new(config(), tensors.collect()).unwrap()
}

#[test]
fn a_fresh_adapter_changes_nothing() {
    for family in [Family::Qwen2, Family::MiniCpmO] {
        let model = Model::new(family, StoredType::Bf16);
        let lora = Lora::initialise(config(), &model.weights, 5).unwrap();
        assert_eq!(lora.layers().collect::<BTreeSet<_>>().len(), 3 * 2);
        let adapted = lora.over(&model.weights).unwrap();
        for dtype in [DType::F32, DType::BF16] {
            assert_eq!(model.run(&adapted, dtype), model.run(&model.weights, dtype));
        }
    }
}

#[test]
fn fresh_factors_depend_on_seed_and_name_alone() {
    let model = Model::new(Family::Qwen2, StoredType::F32);
    let make = |targets: &[&str], seed| {
        let targets = targets.iter().map(|&target| target.to_owned()).collect();
        let config = LoraConfig {
            targets,
            ..config()
        };
        Lora::initialise(config, &model.weights, seed).unwrap()
    };
    let name = format!("model.layers.1.mlp.down_proj.{A}");
    let of = |lora: &Lora| numbers(&lora.tensors()[&name]);
    let alone = of(&make(&["down_proj"], 5));
    assert_eq!(alone, of(&make(&["q_proj", "mlp.down_proj"], 5)));
    assert_ne!(alone, of(&make(&["down_proj"], 6)));
    let inner = model.config.intermediate;
    let bound = (inner as f32).sqrt().recip();
    let mean_square = alone.iter().map(|number| number * number).sum::<f32>() / alone.len() as f32;
    assert!(alone.iter().all(|number| number.abs() <= bound));
    // The variance of a uniform number within ±bound is bound²/3.
    let ratio = mean_square / (bound * bound / 3.0);
    assert!((ratio - 1.0).abs() < 0.2, "{ratio}");
    let lora = make(&["q_proj"], 5);
    let second = &lora.tensors()[&format!("model.layers.0.self_attn.q_proj.{B}")];
    assert!(numbers(second).iter().all(|number| *number == 0.0));
}

#[test]
fn merging_computes_the_same() {
    for family in [Family::Llama, Family::MiniCpmO] {
        let model = Model::new(family, StoredType::F32);
        let lora = trained(&model);
        let beside = model.run(&lora.over(&model.weights).unwrap(), DType::F32);
        let merged = model.run(&model.merged(&lora), DType::F32);
        let plain = model.run(&model.weights, DType::F32);
        let (error, change) = (distance(&merged, &beside), distance(&beside, &plain));
        assert!(error < 2e-5 && change > 1e-2, "{error} {change}");
        let other = LoraConfig {
            rank_stabilised: true,
            ..config()
        };
        let other = Lora::new(other, lora.tensors().clone()).unwrap();
        let other = model.run(&other.over(&model.weights).unwrap(), DType::F32);
        assert!(distance(&other, &beside) > 100.0 * error, "the scale");
    }
}

#[test]
fn merged_matrices_keep_their_type() {
    let model = Model::new(Family::Qwen2, StoredType::Bf16);
    let lora = trained(&model);
    let merged = |name| lora.merged(&model.weights, name).unwrap();
    let matrix = merged("model.layers.0.self_attn.v_proj.weight").unwrap();
    assert_eq!(matrix.dtype(), DType::BF16);
    assert!(merged("model.layers.0.self_attn.k_proj.weight").is_none());
    assert!(merged("model.norm.weight").is_none());
}

#[test]
fn what_is_written_is_read() {
    for family in [Family::Qwen2, Family::MiniCpmO] {
        let model = Model::new(family, StoredType::Bf16);
        let lora = trained(&model);
        let mut tensors = lora.tensors().clone();
        let head = uniform((1, model.config.hidden), 1, "head").unwrap();
        let is_value = family == Family::MiniCpmO;
        let name = if is_value {
            "v_head.summary.weight"
        } else {
            "score.weight"
        };
        tensors.insert(name.to_owned(), head);
        let lora = Lora::new(config(), tensors).unwrap();
        let dir = tempfile::tempdir().unwrap();
        lora.write(dir.path(), "some/base").unwrap();
        assert_eq!(
            dir.path().join("value_head.safetensors").is_file(),
            is_value
        );

        let json = fs::read(dir.path().join("adapter_config.json")).unwrap();
        let json: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(
            (&json["r"], &json["lora_alpha"], &json["peft_type"]),
            (&json!(3), &json!(4), &json!("LORA"))
        );
        if is_value {
            let pattern = r"llm\.model\.layers\.\d+\..*(q_proj|v_proj|down_proj)";
            assert_eq!(json["target_modules"], pattern);
            assert_eq!(json["modules_to_save"], Value::Null);
        } else {
            assert_eq!(json["target_modules"], json!(config().targets));
            assert_eq!(json["modules_to_save"], json!(["score"]));
        }

        let read = Lora::read(dir.path()).unwrap();
        assert_eq!((read.config.rank, read.config.scale()), (3, 4.0 / 3.0));
        assert_eq!(read.tensors.len(), lora.tensors.len());
        for (name, tensor) in &lora.tensors {
            assert_eq!(numbers(&read.tensors[name]), numbers(tensor), "{name}");
        }
    }
}

/// Reads an adapter after a change to its files.
fn damaged(change: impl FnOnce(&mut Value, &mut BTreeMap<String, Tensor>)) -> String {
    let model = Model::new(Family::Qwen2, StoredType::F32);
    let dir = tempfile::tempdir().unwrap();
    trained(&model).write(dir.path(), "base").unwrap();
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    let config = fs::read(path("adapter_config.json")).unwrap();
    let mut config = serde_json::from_slice(&config).unwrap();
    let file = path("adapter_model.safetensors");
    let mut tensors = candle_core::safetensors::load(&file, &Device::Cpu)
        .unwrap()
        .into_iter()
        .collect();
    change(&mut config, &mut tensors);
    fs::write(path("adapter_config.json"), config.to_string()).unwrap();
    let tensors = tensors.into_iter().collect();
    candle_core::safetensors::save(&tensors, &file).unwrap();
    let read = Lora::read(dir.path()).and_then(|lora| lora.over(&model.weights));
    let error = read
        .err()
        .map_or_else(|| "it was read".to_owned(), |error| error.to_string());
    let error = error.replace(&dir.path().display().to_string(), "…");
    error.replace(&model.folder.path().display().to_string(), "base")
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    assert_eq!(damaged(|_, _| {}), "it was read");
    for (field, value) in [
        ("use_dora", json!(true)),
        ("bias", json!("all")),
        ("peft_type", json!("LOHA")),
        ("rank_pattern", json!({ "q_proj": 8 })),
    ] {
        assert_eq!(
            damaged(|config, _| config[field] = value.clone()),
            format!(
                "`{field}` in `…/adapter_config.json`: it is `{value}`, and only plain adapters are supported"
            )
        );
    }
    assert_eq!(
        damaged(|config, _| config["r"] = json!(0)),
        "`r` in `…/adapter_config.json`: it is `0`, expected 1 at least"
    );
    assert_eq!(
        damaged(|config, _| config["lora_alpha"] = json!("much")),
        "`lora_alpha` in `…/adapter_config.json`: it is `\"much\"`, expected a number"
    );
    let q = "model.layers.0.self_attn.q_proj";
    assert_eq!(
        damaged(|_, tensors| drop(tensors.remove(&format!("{PREFIX}{q}.{B}")))),
        format!("adapter `…`: `{q}.{B}` is missing")
    );
    assert_eq!(
        damaged(|config, _| config["r"] = json!(4)),
        format!(
            "adapter `…`: `model.layers.0.mlp.down_proj.{A}` has shape [3, 128], and the rank is 4"
        )
    );
    let moved = |to: &'static str| {
        move |_: &mut Value, tensors: &mut BTreeMap<String, Tensor>| {
            for factor in [A, B] {
                let tensor = tensors.remove(&format!("{PREFIX}{q}.{factor}")).unwrap();
                tensors.insert(format!("{PREFIX}{to}.{factor}"), tensor);
            }
        }
    };
    assert_eq!(
        damaged(moved("vpm.encoder.layers.0.self_attn.q_proj")),
        "adapter `…`: it changes `vpm.encoder.layers.0.self_attn.q_proj`, and only a decoder's layers can be"
    );
    assert_eq!(
        damaged(moved("model.layers.7.self_attn.q_proj")),
        "tensor `model.layers.7.self_attn.q_proj.weight` is missing from `base`"
    );
    let magnitude = format!("{PREFIX}{q}.lora_magnitude_vector");
    assert_eq!(
        damaged(|_, tensors| {
            let tensor = Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap();
            tensors.insert(magnitude.clone(), tensor);
        }),
        format!(
            "adapter `…/adapter_model.safetensors`: `{magnitude}` is neither a plain factor nor a tensor of the model"
        )
    );
    assert_eq!(
        damaged(|_, tensors| {
            let name = format!("{PREFIX}{q}.{A}");
            let tensor = tensors[&name]
                .narrow(1, 0, 5)
                .unwrap()
                .contiguous()
                .unwrap();
            tensors.insert(name, tensor);
        }),
        format!("tensor `{q}.{A}` in `base` has shape [3, 5], expected [3, 64]")
    );
}

#[test]
fn a_target_that_no_layer_has_is_refused() {
    let model = Model::new(Family::Qwen2, StoredType::F32);
    let with = |targets: &[&str]| {
        let config = LoraConfig {
            targets: targets.iter().map(|&target| target.to_owned()).collect(),
            ..config()
        };
        let error = Lora::initialise(config, &model.weights, 1).unwrap_err();
        error.to_string()
    };
    assert!(with(&["q_proj", "c_attn"]).contains("no layer is called `c_attn`"));
    assert!(with(&[]).contains("no target is named"));
    // Not the end of a word.
    assert!(with(&["proj"]).contains("no layer is called `proj`"));
}
