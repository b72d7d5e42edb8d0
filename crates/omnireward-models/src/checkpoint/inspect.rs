//! What a checkpoint is, without loading it.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::Value;
use tokenizers::Tokenizer;

use super::{
    architecture::{Architecture, Family, Text, Towers},
    files::{self, Survey, unwrapped},
    heads, layout,
    layout::Part,
};
use crate::{Error, HeadKind, Result, weights::Weights};

/// What a checkpoint is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Where it is.
    pub path: PathBuf,
    /// How its weights are written.
    pub format: Format,
    /// The class that its configuration names.
    pub class: String,
    /// The model, where it is one that can be opened here.
    pub family: Option<Family>,
    /// Its reward heads; more than one only in a checkpoint that is not right.
    pub heads: Vec<HeadKind>,
    /// Its sizes, where they are known.
    pub sizes: Option<Sizes>,
    /// Its parts.
    pub parts: Vec<PartSummary>,
    /// The types that its numbers are stored in, most bytes first.
    pub types: Vec<TypeSummary>,
    /// Its weight files.
    pub files: Vec<FileSummary>,
    /// Its tokenizer.
    pub tokenizer: Option<TokenizerSummary>,
    /// Its chat template.
    pub template: Option<TemplateSummary>,
    /// What scoring with it takes, where its sizes are known.
    pub memory: Option<Memory>,
    /// What is odd about it, in sentences.
    pub notes: Vec<String>,
}

impl Inspection {
    /// Numbers in all parts.
    pub fn parameters(&self) -> u64 {
        sum(self.parts.iter().map(|part| part.parameters))
    }

    /// Bytes of all parts.
    pub fn bytes(&self) -> u64 {
        sum(self.parts.iter().map(|part| part.bytes))
    }
}

/// How weights are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Safetensors files.
    Safetensors,
    /// One file with everything.
    Gguf,
}

/// A model's sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// The decoder's layers.
    pub layers: usize,
    /// Width of its residual stream.
    pub hidden: usize,
    /// Its query heads.
    pub heads: usize,
    /// Its key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width of its feed-forward layers.
    pub intermediate: usize,
    /// Positions that it was made for.
    pub context: usize,
    /// Rows of its embedding table.
    pub vocabulary: usize,
    /// Whether the embedding table is the output matrix as well.
    pub is_tied: bool,
    /// Layers and width of the vision tower.
    pub vision: Option<(usize, usize)>,
    /// Layers and width of the audio tower.
    pub audio: Option<(usize, usize)>,
}

/// A part of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartSummary {
    /// The part; `None` for tensors that belong to none.
    pub part: Option<Part>,
    /// Its tensors.
    pub tensors: usize,
    /// Its numbers.
    pub parameters: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A type that numbers are stored in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TypeSummary {
    /// As the file's format calls it.
    pub stored: String,
    /// Tensors of it.
    pub tensors: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// A weight file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileSummary {
    /// Its name.
    pub name: String,
    /// Its size; `None` when it should be there and is not.
    pub bytes: Option<u64>,
    /// Its tensors.
    pub tensors: usize,
}

/// A tokenizer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenizerSummary {
    /// Its tokens, added ones included.
    pub tokens: usize,
    /// Those that text is searched for before it is cut.
    pub added: usize,
    /// The largest id.
    pub last_id: u32,
    /// The tokens that its configuration gives a role, with their ids where it knows them.
    pub roles: Vec<(String, String, Option<u32>)>,
}

/// A chat template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TemplateSummary {
    /// The file that holds it.
    pub file: String,
    /// Its length.
    pub characters: usize,
    /// Whether it asks for today's date.
    pub asks_for_date: bool,
}

/// What scoring takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Bytes of weights that are read again and again: everything but the output matrix, speech, and the embedding
    /// table, of which only the rows of tokens that occur are read. They are mapped, so that the system can take them
    /// back.
    pub weights: u64,
    /// Bytes of weights that are never read, or only in small part.
    pub unread: u64,
    /// Rows that go through the decoder at once.
    pub rows: usize,
    /// Bytes of activations for that many rows in `bf16`, about.
    pub activations_bf16: u64,
    /// The same in `f32`.
    pub activations_f32: u64,
}

/// Rows that a scorer computes at once when nothing else is said.
const ROWS: usize = 4096;

/// Tiles that the vision tower takes at once, and patches of each.
const TILES: usize = 16;
const PATCHES: usize = 1024;

/// Looks at a checkpoint: a folder in Hugging Face layout, or one `.safetensors` or `.gguf` file.
///
/// # Errors
///
/// Fails when there is nothing to look at. What is wrong with a checkpoint in a folder is noted, not an error; the
/// [doctor](super::doctor()) says more.
pub fn inspect(path: &Path) -> Result<Inspection> {
    if path.is_dir() {
        inspect_folder(path)
    } else {
        inspect_file(path)
    }
}

/// A tensor, wherever it is described.
struct Item<'a> {
    name: &'a str,
    stored: &'a str,
    elements: u64,
    bytes: u64,
}

fn inspect_folder(dir: &Path) -> Result<Inspection> {
    let survey = Survey::of(dir)?;
    let items: Vec<Item<'_>> = survey
        .all()
        .map(|(_, name, tensor)| Item {
            name: unwrapped(name),
            stored: &tensor.stored,
            elements: tensor.elements(),
            bytes: tensor.bytes,
        })
        .collect();
    let config = match files::json(dir, "config.json") {
        Some(Ok(config)) => Some(config),
        _ if items.is_empty() => {
            return Err(Error::Damaged {
                path: dir.to_owned(),
                reason: "it holds neither weights nor a `config.json`".to_owned(),
            });
        }
        _ => None,
    };
    let tokenizer = Tokenizer::from_file(dir.join("tokenizer.json")).ok();
    let tokenizer_config = files::json(dir, "tokenizer_config.json").and_then(Result::ok);
    let tokenizer_config = tokenizer_config.unwrap_or_default();
    let mut inspection = of_items(dir, Format::Safetensors, config.as_ref(), &items);
    inspection.files = file_summaries(&survey);
    inspection.tokenizer = tokenizer.map(|tokenizer| summarise(&tokenizer, &tokenizer_config));
    inspection.template = template(dir).map(|(file, text)| TemplateSummary {
        characters: text.chars().count(),
        asks_for_date: asks_for_date(&text),
        file,
    });
    let missing = inspection
        .files
        .iter()
        .filter(|file| file.bytes.is_none())
        .count();
    let damaged = survey
        .files
        .iter()
        .filter(|file| file.problem.is_some())
        .count();
    for (count, what) in [(missing, "missing"), (damaged, "damaged")] {
        match count {
            0 => {}
            1 => inspection.notes.push(format!("1 weight file is {what}")),
            more => inspection
                .notes
                .push(format!("{more} weight files are {what}")),
        }
    }
    if let Some(pickle) = survey.pickles.first() {
        let note = format!("`{pickle}` is a pickle and is not read");
        inspection.notes.push(note);
    }
    Ok(inspection)
}

fn inspect_file(path: &Path) -> Result<Inspection> {
    let weights = Weights::open(path)?;
    let infos: Vec<_> = weights
        .names()
        .filter_map(|name| Some((name, weights.info(name)?)))
        .collect();
    let items: Vec<Item<'_>> = infos
        .iter()
        .map(|(name, info)| Item {
            name,
            stored: &info.stored,
            elements: product(&info.shape),
            bytes: info.bytes as u64,
        })
        .collect();
    let (format, config) = if let Some(gguf) = weights.gguf() {
        (Format::Gguf, gguf.config())
    } else {
        let beside = path
            .parent()
            .and_then(|dir| files::json(dir, "config.json"));
        let config = beside.and_then(Result::ok).ok_or_else(|| Error::Damaged {
            path: path.to_owned(),
            reason: "there is no `config.json` beside it".to_owned(),
        });
        (Format::Safetensors, config)
    };
    let mut inspection = of_items(path, format, config.as_ref().ok(), &items);
    if let Err(error) = &config {
        inspection.notes.push(omnireward_core::error_chain(error));
    }
    inspection.files = vec![FileSummary {
        name: path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        bytes: std::fs::metadata(path).ok().map(|file| file.len()),
        tensors: items.len(),
    }];
    if let Some(gguf) = weights.gguf() {
        match gguf.tokenizer() {
            Ok(tokenizer) => inspection.tokenizer = Some(summarise(&tokenizer, &Value::Null)),
            Err(error) => inspection.notes.push(omnireward_core::error_chain(&error)),
        }
        inspection.template = gguf.chat_template().map(|text| TemplateSummary {
            file: "tokenizer.chat_template".to_owned(),
            characters: text.chars().count(),
            asks_for_date: asks_for_date(text),
        });
    }
    Ok(inspection)
}

fn of_items(path: &Path, format: Format, config: Option<&Value>, items: &[Item<'_>]) -> Inspection {
    let mut notes = Vec::new();
    let read = config.map(|config| Architecture::read(config, path));
    let architecture = match read {
        None => {
            notes.push("there is no configuration".to_owned());
            None
        }
        Some(Err(error)) => {
            notes.push(omnireward_core::error_chain(&error));
            None
        }
        Some(Ok((architecture, contradictions))) => {
            let sentences = contradictions
                .iter()
                .map(|wrong| format!("`{}` {}", wrong.field, wrong.reason));
            notes.extend(sentences);
            architecture
        }
    };
    if let Some(architecture) = &architecture {
        notes.extend(missing(architecture, items));
    }
    Inspection {
        path: path.to_owned(),
        format,
        class: config.map_or_else(|| "unknown".to_owned(), super::architecture::class),
        family: architecture
            .as_ref()
            .map(|architecture| architecture.family),
        heads: heads::kinds(items.iter().map(|item| item.name)),
        sizes: architecture.as_ref().map(sizes),
        parts: parts(items),
        types: types(items),
        files: Vec::new(),
        tokenizer: None,
        template: None,
        memory: architecture
            .as_ref()
            .map(|architecture| memory(architecture, items)),
        notes,
    }
}

fn missing(architecture: &Architecture, items: &[Item<'_>]) -> Option<String> {
    let names: HashSet<&str> = items.iter().map(|item| item.name).collect();
    let bare = names.contains("embed_tokens.weight");
    let count = layout::tensors(architecture)
        .iter()
        .filter(|spec| !layout::is_optional(architecture.family, spec.part))
        .filter(|spec| {
            let short = spec.name.strip_prefix("model.").filter(|_| bare);
            !names.contains(short.unwrap_or(&spec.name))
        })
        .count();
    (count > 0).then(|| format!("{count} tensors that the model needs are not there"))
}

fn sizes(architecture: &Architecture) -> Sizes {
    let Text {
        hidden,
        layers,
        heads,
        kv_heads,
        head_dim,
        intermediate,
        vocabulary,
        context,
        is_tied,
        ..
    } = architecture.text;
    let towers = architecture.towers.as_ref();
    Sizes {
        layers,
        hidden,
        heads,
        kv_heads,
        head_dim,
        intermediate,
        context,
        vocabulary,
        is_tied,
        vision: towers.map(|towers| {
            let [layers, hidden, _] = towers.vision();
            (layers, hidden)
        }),
        audio: towers
            .and_then(Towers::audio)
            .map(|audio| (audio.layers, audio.hidden)),
    }
}

fn parts(items: &[Item<'_>]) -> Vec<PartSummary> {
    let all = Part::ALL.into_iter().map(Some).chain([None]);
    let summaries = all.map(|part| {
        let of_part = items.iter().filter(|item| Part::of(item.name) == part);
        of_part.fold(
            PartSummary {
                part,
                tensors: 0,
                parameters: 0,
                bytes: 0,
            },
            |sum, item| PartSummary {
                part,
                tensors: sum.tensors + 1,
                parameters: sum.parameters.saturating_add(item.elements),
                bytes: sum.bytes.saturating_add(item.bytes),
            },
        )
    });
    summaries.filter(|summary| summary.tensors > 0).collect()
}

fn types(items: &[Item<'_>]) -> Vec<TypeSummary> {
    let mut types: BTreeMap<&str, TypeSummary> = BTreeMap::new();
    for item in items {
        let summary = types.entry(item.stored).or_insert_with(|| TypeSummary {
            stored: item.stored.to_owned(),
            tensors: 0,
            bytes: 0,
        });
        summary.tensors += 1;
        summary.bytes = summary.bytes.saturating_add(item.bytes);
    }
    let mut types: Vec<TypeSummary> = types.into_values().collect();
    types.sort_by_key(|summary| std::cmp::Reverse(summary.bytes));
    types
}

fn file_summaries(survey: &Survey) -> Vec<FileSummary> {
    let mut files: BTreeMap<String, FileSummary> = BTreeMap::new();
    for file in survey.index.iter().flat_map(BTreeMap::values) {
        let summary = files.entry(file.clone()).or_insert_with(|| FileSummary {
            name: file.clone(),
            bytes: None,
            tensors: 0,
        });
        summary.tensors += 1;
    }
    for file in &survey.files {
        let summary = FileSummary {
            name: file.name.clone(),
            bytes: Some(file.bytes),
            tensors: file.tensors.len(),
        };
        files.insert(file.name.clone(), summary);
    }
    files.into_values().collect()
}

/// Activations are those of the largest layer: the stream and its norm, with what the feed-forward layer makes of
/// them, for all rows at once. Towers run before the decoder, so the larger of the two counts.
fn memory(architecture: &Architecture, items: &[Item<'_>]) -> Memory {
    let is_unread = |item: &&Item<'_>| {
        let is_table = item.name.ends_with("embed_tokens.weight");
        is_table || matches!(Part::of(item.name), Some(Part::Output | Part::Speech))
    };
    let unread = sum(items.iter().filter(is_unread).map(|item| item.bytes));
    let all = sum(items.iter().map(|item| item.bytes));
    let text = &architecture.text;
    // Sizes are at most 2²⁴, so these products are far from the end of 64 bits.
    let decoder = ROWS * (2 * text.hidden + 3 * text.intermediate);
    let vision = architecture.towers.map_or(0, |towers| {
        let [_, hidden, intermediate] = towers.vision();
        TILES * PATCHES * (2 * hidden + 2 * intermediate)
    });
    let numbers = decoder.max(vision) as u64;
    Memory {
        weights: all - unread,
        unread,
        rows: ROWS,
        activations_bf16: 2 * numbers,
        activations_f32: 4 * numbers,
    }
}

/// A sum over what files say of themselves, which need not be true.
fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

fn product(shape: &[usize]) -> u64 {
    let sizes = shape.iter().map(|&size| size as u64);
    sizes.fold(1, u64::saturating_mul)
}

fn summarise(tokenizer: &Tokenizer, config: &Value) -> TokenizerSummary {
    let vocabulary = tokenizer.get_vocab(true);
    let roles = ["bos_token", "eos_token", "pad_token", "unk_token"];
    let roles = roles.into_iter().filter_map(|role| {
        let token = config[role]
            .as_str()
            .or_else(|| config[role]["content"].as_str())?;
        Some((
            role.to_owned(),
            token.to_owned(),
            tokenizer.token_to_id(token),
        ))
    });
    TokenizerSummary {
        tokens: vocabulary.len(),
        added: tokenizer.get_added_tokens_decoder().len(),
        last_id: vocabulary.values().copied().max().unwrap_or(0),
        roles: roles.collect(),
    }
}

/// The chat template of a folder and the name of its file, whether it is one template or several.
pub(super) fn template(dir: &Path) -> Option<(String, String)> {
    const FILE: &str = "chat_template.jinja";
    if let Ok(text) = std::fs::read_to_string(dir.join(FILE)) {
        return Some((FILE.to_owned(), text));
    }
    ["tokenizer_config.json", "chat_template.json"]
        .into_iter()
        .find_map(|file| {
            let json = files::json(dir, file)?.ok()?;
            let text = match &json["chat_template"] {
                Value::Null => return None,
                Value::String(text) => text.clone(),
                several => several.to_string(),
            };
            Some((file.to_owned(), text))
        })
}

/// Whether what a template prints depends on the day.
pub(super) fn asks_for_date(template: &str) -> bool {
    template.contains("strftime_now")
}

#[cfg(test)]
mod tests {
    use omnireward_core::NoProgress;

    use super::*;
    use crate::checkpoint::{RandomCheckpoint, Size};

    #[test]
    fn a_checkpoint_is_summed_up() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = RandomCheckpoint {
            max_shard_bytes: 400_000,
            ..RandomCheckpoint::new(Family::MiniCpmO, Size::Tiny)
        };
        let written = checkpoint.write(folder.path(), &NoProgress).unwrap();
        let inspection = inspect(folder.path()).unwrap();
        assert_eq!(inspection.parameters(), written.parameters);
        assert_eq!(inspection.bytes(), written.bytes);
        assert_eq!(inspection.heads, [HeadKind::Value]);
        assert_eq!(inspection.class, "MiniCPMO");
        assert_eq!(inspection.notes, [""; 0]);
        let parts: Vec<Option<Part>> = inspection.parts.iter().map(|part| part.part).collect();
        let silent = Part::ALL.into_iter().filter(|part| *part != Part::Speech);
        assert!(silent.map(Some).eq(parts));
        let head = inspection.parts.last().unwrap();
        assert_eq!((head.tensors, head.parameters, head.bytes), (2, 129, 258));
        let in_files: usize = inspection.files.iter().map(|file| file.tensors).sum();
        let in_parts: usize = inspection.parts.iter().map(|part| part.tensors).sum();
        assert_eq!((in_files, inspection.files.len() > 3), (in_parts, true));
        let memory = inspection.memory.unwrap();
        assert_eq!(memory.weights + memory.unread, written.bytes);
        assert_eq!(
            memory.unread,
            2 * 314 * 128 * 2,
            "the table and the output matrix"
        );
    }

    #[test]
    fn a_single_file_is_looked_into_too() {
        let folder = tempfile::tempdir().unwrap();
        RandomCheckpoint::new(Family::Qwen2, Size::Tiny)
            .write(folder.path(), &NoProgress)
            .unwrap();
        let whole = inspect(folder.path()).unwrap();
        let file = inspect(&folder.path().join("model.safetensors")).unwrap();
        assert_eq!(
            (file.parts, file.sizes, file.heads),
            (whole.parts, whole.sizes, whole.heads)
        );
    }

    #[test]
    fn what_is_missing_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = RandomCheckpoint {
            max_shard_bytes: 400_000,
            ..RandomCheckpoint::new(Family::MiniCpmO, Size::Tiny)
        };
        checkpoint.write(folder.path(), &NoProgress).unwrap();
        let index = files::json(folder.path(), files::INDEX).unwrap().unwrap();
        let shard = index["weight_map"]["apm.conv1.bias"].as_str().unwrap();
        std::fs::remove_file(folder.path().join(shard)).unwrap();
        let inspection = inspect(folder.path()).unwrap();
        let missing = inspection
            .files
            .iter()
            .find(|file| file.name == shard)
            .unwrap();
        assert_eq!(missing.bytes, None);
        assert!(
            inspection
                .notes
                .iter()
                .any(|note| note == "1 weight file is missing")
        );
    }
}
