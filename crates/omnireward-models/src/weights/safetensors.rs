//! Checkpoints in the safetensors format: one file, or shards with an index.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use safetensors::{Dtype, SafeTensors, tensor::Metadata};
use serde::Deserialize;

use super::{
    StoredType,
    file_map::FileMap,
    names,
    store::{Entry, Format, Store, Stored},
};
use crate::{Error, Result};

/// The file that says which shard holds which tensor.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// The file of a checkpoint without shards.
pub(super) const WHOLE: &str = "model.safetensors";
const VALUE_HEAD: &str = "value_head.safetensors";
/// The bytes before the header that give its length.
const LENGTH: usize = 8;

pub(super) fn open_directory(directory: &Path) -> Result<Store> {
    let mut store = Store::new(directory);
    let index = directory.join(INDEX);
    let whole = directory.join(WHOLE);
    if index.is_file() {
        add_shards(&mut store, directory, &index)?;
    } else if whole.is_file() {
        add_file(&mut store, &whole)?;
    } else {
        return Err(Error::Damaged {
            path: directory.to_owned(),
            reason: format!("it holds neither `{INDEX}` nor `{WHOLE}`"),
        });
    }
    let head = directory.join(VALUE_HEAD);
    // An index may count it among the shards.
    let is_open = store.entries.values().any(|entry| entry.file() == head);
    if head.is_file() && !is_open {
        add_file(&mut store, &head)?;
    }
    names::normalise(&mut store)?;
    Ok(store)
}

pub(super) fn open_file(map: Arc<FileMap>) -> Result<Store> {
    let mut store = Store::new(map.path());
    add_map(&mut store, &map)?;
    names::normalise(&mut store)?;
    Ok(store)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn add_shards(store: &mut Store, directory: &Path, path: &Path) -> Result<()> {
    let text = fs::read(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    let index: Index = serde_json::from_slice(&text).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })?;
    for (shard, tensor) in shards(&index, directory, path)? {
        if !shard.is_file() {
            return Err(Error::MissingShard {
                path: shard,
                tensor: tensor.to_owned(),
            });
        }
        add_file(store, &shard)?;
    }
    for (tensor, shard) in &index.weight_map {
        let shard = directory.join(shard);
        let found = store.entries.get(tensor).map(Entry::file);
        if found != Some(shard.as_path()) {
            return Err(Error::MissingTensor {
                tensor: tensor.clone(),
                path: shard,
            });
        }
    }
    Ok(())
}

/// The files that the index names, each with the first of its tensors.
fn shards<'a>(
    index: &'a Index,
    directory: &Path,
    path: &Path,
) -> Result<BTreeMap<PathBuf, &'a str>> {
    let mut shards = BTreeMap::new();
    for (tensor, shard) in &index.weight_map {
        let name = Path::new(shard);
        let mut components = name.components();
        let plain = matches!(components.next(), Some(Component::Normal(_)));
        if !plain || components.next().is_some() {
            return Err(Error::Config {
                path: path.to_owned(),
                field: format!("weight_map.{tensor}"),
                reason: format!("`{shard}` is not the name of a file beside the index"),
            });
        }
        shards
            .entry(directory.join(name))
            .or_insert(tensor.as_str());
    }
    Ok(shards)
}

fn add_file(store: &mut Store, path: &Path) -> Result<()> {
    add_map(store, &FileMap::open(path)?)
}

fn add_map(store: &mut Store, map: &Arc<FileMap>) -> Result<()> {
    let damaged = |reason: String| Error::Damaged {
        path: map.path().to_owned(),
        reason,
    };
    let bytes = map.bytes();
    if let Some(other) = other_format(bytes) {
        return Err(damaged(format!("it is {other}, not safetensors")));
    }
    let (header, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|error| damaged(cut_short(bytes).unwrap_or_else(|| error.to_string())))?;
    let data = LENGTH + header;
    for (name, info) in metadata.tensors() {
        let (start, end) = info.data_offsets;
        let stored = Stored {
            map: Arc::clone(map),
            bytes: data + start..data + end,
            format: format(info.dtype),
        };
        store.insert(name, Entry::in_file(info.shape.clone(), stored))?;
    }
    Ok(())
}

fn format(dtype: Dtype) -> Format {
    match dtype {
        Dtype::F32 => Format::Plain(StoredType::F32),
        Dtype::F16 => Format::Plain(StoredType::F16),
        Dtype::BF16 => Format::Plain(StoredType::Bf16),
        other => Format::Foreign(other.to_string()),
    }
}

/// What a file is that people try to open as safetensors.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\x80\x02") {
        Some("a pickled checkpoint, which can run code when it is opened; convert it")
    } else if bytes.starts_with(b"version https://git-lfs") {
        Some("a pointer to a file that was not downloaded")
    } else {
        None
    }
}

/// Which tensor a file that is shorter than its header says ends in.
fn cut_short(bytes: &[u8]) -> Option<String> {
    let length = bytes
        .first_chunk::<LENGTH>()
        .map(|n| u64::from_le_bytes(*n))?;
    let data = usize::try_from(length).ok()?.checked_add(LENGTH)?;
    let Some(header) = bytes.get(LENGTH..data) else {
        return Some(format!(
            "it ends after {} bytes, within a header of {length} bytes",
            bytes.len()
        ));
    };
    let metadata: Metadata = serde_json::from_slice(header).ok()?;
    let held = bytes.len() - data;
    let names = metadata.offset_keys();
    let (name, end) = names.iter().find_map(|name| {
        let end = metadata.info(name)?.data_offsets.1;
        (end > held).then_some((name, end))
    })?;
    Some(format!(
        "it is cut short: tensor `{name}` ends at byte {end} of the data, of which there are {held}"
    ))
}
