//! The files of a checkpoint's folder, read as far as they can be: what is wrong with one does not hide the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{Error, Result};

/// The file that says which shard holds which tensor.
pub(super) const INDEX: &str = "model.safetensors.index.json";

/// The file of a checkpoint that is not cut into shards.
pub(super) const WHOLE: &str = "model.safetensors";

/// The file of a value head.
pub(super) const VALUE_HEAD: &str = "value_head.safetensors";

/// The weight files of a folder.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Those that are there, in the order of their names.
    pub(super) files: Vec<WeightFile>,
    /// What the index says: the file of each tensor.
    pub(super) index: Option<BTreeMap<String, String>>,
    /// Why the index cannot be read.
    pub(super) index_problem: Option<String>,
    /// Files that are not read, because reading a pickle can run code.
    pub(super) pickles: Vec<String>,
}

/// A safetensors file.
#[derive(Debug)]
pub(super) struct WeightFile {
    /// Its name in the folder.
    pub(super) name: String,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its size.
    pub(super) bytes: u64,
    /// The tensors that its header lists, by name.
    pub(super) tensors: BTreeMap<String, StoredTensor>,
    /// What is wrong with it as a file.
    pub(super) problem: Option<String>,
}

/// A tensor as a header lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredTensor {
    /// Its shape.
    pub(super) shape: Vec<usize>,
    /// Its type, as safetensors names it.
    pub(super) stored: String,
    /// Where its bytes begin in the file.
    pub(super) start: u64,
    /// How many there are.
    pub(super) bytes: u64,
    /// Whether all of them are in the file.
    pub(super) is_whole: bool,
}

impl StoredTensor {
    pub(super) fn elements(&self) -> u64 {
        self.shape.iter().map(|&size| size as u64).product()
    }
}

impl Survey {
    /// Looks at every weight file in a folder.
    pub(super) fn of(dir: &Path) -> Result<Self> {
        let mut survey = Self::default();
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(dir).map_err(io(dir))? {
            let name = entry.map_err(io(dir))?.file_name();
            names.insert(name.to_string_lossy().into_owned());
        }
        for name in names {
            let path = dir.join(&name);
            let extension = path.extension().unwrap_or_default();
            if extension == "safetensors" {
                survey.files.push(WeightFile::read(name, path)?);
            } else if is_pickle(&name) {
                survey.pickles.push(name);
            }
        }
        let index = dir.join(INDEX);
        if index.is_file() {
            match read_index(&index) {
                Ok(index) => survey.index = Some(index),
                Err(problem) => survey.index_problem = Some(problem),
            }
        }
        survey.leave_out_unread();
        Ok(survey)
    }

    /// Leaves out files that are not read: with an index those that it does not name, and without one everything
    /// beside `model.safetensors`. The value head's file always counts.
    fn leave_out_unread(&mut self) {
        let listed: BTreeSet<String> = match &self.index {
            Some(index) => index.values().cloned().collect(),
            None if self.files.iter().any(|file| file.name == WHOLE) => [WHOLE.to_owned()].into(),
            None => return,
        };
        self.files
            .retain(|file| listed.contains(&file.name) || file.name == VALUE_HEAD);
    }

    /// Whether there are weights, a value head aside.
    pub(super) fn has_body(&self) -> bool {
        self.files.iter().any(|file| file.name != VALUE_HEAD)
    }

    /// Every tensor of every file.
    pub(super) fn all(&self) -> impl Iterator<Item = (&WeightFile, &str, &StoredTensor)> {
        self.files.iter().flat_map(|file| {
            let tensors = file.tensors.iter();
            tensors.map(move |(name, tensor)| (file, name.as_str(), tensor))
        })
    }
}

/// A name without what a wrapper put before it: checkpoints of a value-head model that was saved whole have it.
pub(super) fn unwrapped(name: &str) -> &str {
    name.strip_prefix("pretrained_model.").unwrap_or(name)
}

/// Only `PyTorch`'s own files; a `training_args.bin` is nobody's business here.
fn is_pickle(name: &str) -> bool {
    ["pytorch_model", "value_head", "model", "adapter_model"]
        .iter()
        .any(|stem| name.starts_with(stem))
        && [".bin", ".pt", ".pth"]
            .iter()
            .any(|end| name.ends_with(end))
}

fn read_index(path: &Path) -> Result<BTreeMap<String, String>, String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let index: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let map = index["weight_map"]
        .as_object()
        .ok_or("it has no `weight_map`")?;
    let entry = |(tensor, file): (&String, &Value)| {
        let file = file.as_str().filter(|file| is_plain(file));
        let file =
            file.ok_or_else(|| format!("the file of `{tensor}` is not a name of one beside it"))?;
        Ok((tensor.clone(), file.to_owned()))
    };
    map.iter().map(entry).collect()
}

/// Whether a name stays in the folder.
fn is_plain(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|file| file == name)
}

/// No header of a real checkpoint comes near this.
const LARGEST_HEADER: u64 = 100 << 20;

impl WeightFile {
    fn read(name: String, path: PathBuf) -> Result<Self> {
        let bytes = fs::metadata(&path).map_err(io(&path))?.len();
        let mut file = Self {
            name,
            path,
            bytes,
            tensors: BTreeMap::new(),
            problem: None,
        };
        match file.header()? {
            Ok((header, data)) => file.list(&header, data),
            Err(problem) => file.problem = Some(problem),
        }
        Ok(file)
    }

    /// The header, and where the numbers begin.
    fn header(&self) -> Result<Result<(Value, u64), String>> {
        let mut file = File::open(&self.path).map_err(io(&self.path))?;
        let mut length = [0; 8];
        if self.bytes < 8 {
            return Ok(Err(format!("it has only {} bytes", self.bytes)));
        }
        file.read_exact(&mut length).map_err(io(&self.path))?;
        let length = u64::from_le_bytes(length);
        if length > LARGEST_HEADER || length > self.bytes - 8 {
            let problem = match length {
                0..=LARGEST_HEADER => "it ends within its header",
                _ => "it is not a safetensors file",
            };
            return Ok(Err(problem.to_owned()));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(io(&self.path))?;
        Ok(serde_json::from_slice(&header)
            .map(|header| (header, 8 + length))
            .map_err(|error| format!("its header cannot be read: {error}")))
    }

    fn list(&mut self, header: &Value, data: u64) {
        let entries = header.as_object().into_iter().flatten();
        let mut end = data;
        let mut cut = Vec::new();
        for (name, entry) in entries.filter(|(name, _)| *name != "__metadata__") {
            let Some(mut tensor) = entry_of(entry, data) else {
                self.problem = Some(format!("its header lists `{name}` in no way that is known"));
                continue;
            };
            let tensor_end = tensor.start + tensor.bytes;
            end = end.max(tensor_end);
            tensor.is_whole = tensor_end <= self.bytes;
            if !tensor.is_whole {
                cut.push(name.clone());
            }
            self.tensors.insert(name.clone(), tensor);
        }
        if self.bytes < end {
            self.problem = Some(format!(
                "it has {} bytes and its header promises {end}: `{}`{} cut off",
                self.bytes,
                cut[0],
                match cut.len() {
                    1 => " is".to_owned(),
                    more => format!(" and {} more are", more - 1),
                }
            ));
        } else if self.bytes > end && self.problem.is_none() {
            self.problem = Some(format!(
                "it has {} bytes and its header accounts for {end}",
                self.bytes
            ));
        }
    }
}

fn entry_of(entry: &Value, data: u64) -> Option<StoredTensor> {
    let shape = entry["shape"].as_array()?.iter();
    let shape: Vec<usize> = shape
        .map(|size| size.as_u64().map(|size| size as usize))
        .collect::<Option<_>>()?;
    let (start, end) = (
        entry["data_offsets"][0].as_u64()?,
        entry["data_offsets"][1].as_u64()?,
    );
    let tensor = StoredTensor {
        stored: entry["dtype"].as_str()?.to_owned(),
        start: data.checked_add(start)?,
        bytes: end.checked_sub(start)?,
        is_whole: true,
        shape,
    };
    tensor.start.checked_add(tensor.bytes)?;
    let elements = tensor
        .shape
        .iter()
        .try_fold(1_u64, |product, &size| product.checked_mul(size as u64))?;
    let bits = bits(&tensor.stored)?;
    (elements.checked_mul(bits)? == tensor.bytes.checked_mul(8)?).then_some(tensor)
}

/// Bits of a number of a stored type.
fn bits(stored: &str) -> Option<u64> {
    Some(match stored {
        "F64" | "I64" | "U64" | "C64" => 64,
        "F32" | "I32" | "U32" => 32,
        "F16" | "BF16" | "I16" | "U16" => 16,
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ"
        | "F8_E5M2FNUZ" => 8,
        "F6_E2M3" | "F6_E3M2" => 6,
        "F4" => 4,
        _ => return None,
    })
}

/// A JSON file of a folder; `None` when it is not there.
pub(super) fn json(dir: &Path, name: &str) -> Option<Result<Value, String>> {
    let path = dir.join(name);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => return Some(Err(error.to_string())),
    };
    Some(serde_json::from_slice(&text).map_err(|error| error.to_string()))
}

pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}
