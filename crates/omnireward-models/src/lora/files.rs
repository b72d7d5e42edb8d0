//! PEFT's files, and what it calls tensors: their names in the model below [`PREFIX`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use super::{A, B, DECODER, Lora, LoraConfig, adapter, layer_of_factor};
use crate::{
    Error, Result,
    weights::{Placement, Weights, write_tensors},
};

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
const PICKLE: &str = "adapter_model.bin";
const VALUE_HEAD: &str = "value_head.safetensors";

/// What PEFT puts before every name.
pub(super) const PREFIX: &str = "base_model.model.";
/// What a value head's tensors begin with. They are in a file of their own, as LLaMA-Factory has it.
const VALUE: &str = "v_head.";
/// What PEFT puts after the name of a module that it keeps whole. Its own files leave it out.
const SAVED: &str = "modules_to_save.default.";

pub(super) fn read(dir: &Path) -> Result<(LoraConfig, BTreeMap<String, Tensor>)> {
    let config = read_config(&dir.join(CONFIG))?;
    let path = dir.join(TENSORS);
    if !path.is_file() && dir.join(PICKLE).is_file() {
        return Err(adapter(
            dir,
            format!("`{PICKLE}` is a pickle, which can run code and is not read"),
        ));
    }
    let mut tensors = BTreeMap::new();
    for (name, tensor) in load(&path)? {
        let known = name
            .strip_prefix(PREFIX)
            .map(|name| name.replacen(SAVED, "", 1))
            .filter(|name| layer_of_factor(name).is_some() || !name.contains(".lora_"));
        let Some(known) = known else {
            return Err(adapter(
                &path,
                format!("`{name}` is neither a plain factor nor a tensor of the model"),
            ));
        };
        tensors.insert(known, tensor);
    }
    let head = dir.join(VALUE_HEAD);
    if head.is_file() {
        tensors.extend(load(&head)?);
    }
    Ok((config, tensors))
}

pub(super) fn write(lora: &Lora, dir: &Path, base: &str) -> Result<()> {
    let (head, body): (BTreeMap<_, _>, BTreeMap<_, _>) = lora
        .tensors()
        .clone()
        .into_iter()
        .partition(|(name, _)| name.starts_with(VALUE));
    let saved: BTreeSet<&str> = body
        .keys()
        .filter(|name| layer_of_factor(name).is_none())
        .filter_map(|name| name.rsplit_once('.').map(|(module, _)| module))
        .collect();
    let decoder = lora
        .layers()
        .any(|layer| layer.starts_with(DECODER))
        .then_some(DECODER);
    let json = lora.config().to_json(base, &saved, decoder);
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let named = body
        .into_iter()
        .map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor))
        .collect();
    write_tensors(&dir.join(TENSORS), &named, &metadata)?;
    if !head.is_empty() {
        write_tensors(&dir.join(VALUE_HEAD), &head, &metadata)?;
    }
    let path = dir.join(CONFIG);
    let text = serde_json::to_vec_pretty(&json).map_err(|source| Error::Json {
        path: path.clone(),
        source,
    })?;
    fs::write(&path, text).map_err(|source| Error::Io { path, source })
}

fn read_config(path: &Path) -> Result<LoraConfig> {
    let text = fs::read(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    let json: Value = serde_json::from_slice(&text).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })?;
    LoraConfig::from_json(&json).map_err(|(field, reason)| Error::Config {
        path: path.to_owned(),
        field: field.to_owned(),
        reason,
    })
}

/// All tensors of a file, as they are stored. Factors are `f32` from here on, as PEFT makes them.
fn load(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let weights = Weights::open(path)?;
    let names: Vec<String> = weights.names().map(ToOwned::to_owned).collect();
    names
        .into_iter()
        .map(|name| {
            let info = weights.info(&name).expect("its name was just listed");
            let is_factor = name.ends_with(A) || name.ends_with(B);
            let dtype = match info.stored.as_str() {
                "BF16" if !is_factor => DType::BF16,
                _ => DType::F32,
            };
            let placement = Placement {
                device: Device::Cpu,
                dtype,
            };
            let tensor = weights.scope("", &placement).tensor(&name, &info.shape)?;
            Ok((name, tensor))
        })
        .collect()
}
