//! Checkpoints with random weights, in exactly the layout of published ones and at any size.
//!
//! The numbers of a tensor depend on the seed and the tensor's name alone, so the files are the same whatever the
//! number of threads or shards. Nothing but a few blocks is in memory at a time.

mod numbers;
pub(super) mod presets;
pub(super) mod tokenizer;
mod training;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use omnireward_core::Progress;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    architecture::{Architecture, Family, Readout},
    folder::Folder,
    layout::{self, TensorSpec},
    published,
};
use crate::{
    Error, Result,
    weights::{Outline, StoredType, TensorSink, write_checkpoint, write_safetensors},
};
use numbers::Source;
use tokenizer::Tokens;
use training::TrainingStart;

/// How large a random checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Size {
    /// Every part there, each as small as it can be: about a megabyte. For tests.
    Tiny,
    /// For MiniCPM-o, Qwen2.5-VL and Qwen2.5-Omni a model of a few million parameters for small media, with few rows
    /// for each: one that is trained on a processor in an hour. For text the same as [`Tiny`](Self::Tiny).
    Mini,
    /// For MiniCPM-o a model of about 20 million parameters; for Qwen2.5-VL and Qwen2.5-Omni one whose decoder is
    /// the smallest published Qwen2, of half a billion; for text the family's smallest published size.
    Small,
    /// MiniCPM-o-2.6 itself, or the family's published size of 7 or 8 billion parameters.
    Full,
}

/// A checkpoint to write.
///
/// MiniCPM-o gets a value head in `value_head.safetensors`; the text families are sequence classifiers with one
/// output; Qwen2.5-VL and Qwen2.5-Omni are language models.
///
/// ```
/// use omnireward_core::NoProgress;
/// use omnireward_models::checkpoint::{Family, RandomCheckpoint, Size};
/// let folder = tempfile::tempdir()?;
/// let written = RandomCheckpoint::new(Family::MiniCpmO, Size::Tiny).write(folder.path(), &NoProgress)?;
/// assert!(folder.path().join("model.safetensors").is_file());
/// assert!(written.parameters > 100_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RandomCheckpoint {
    /// The model.
    pub family: Family,
    /// How large it is.
    pub size: Size,
    /// Fields of `config.json` to set, dotted, on top of what the size says: the number of layers, say.
    pub overrides: Vec<(String, Value)>,
    /// The type of the weights.
    pub dtype: StoredType,
    /// What the numbers come from.
    pub seed: u64,
    /// Whether this is to be trained from nothing: the decoder begins able to continue what it has read before, and the
    /// vision tower with larger weights, without which a small model takes long to learn to read and to look. It takes
    /// biases of queries, as Qwen2's decoders have.
    pub for_training: bool,
    /// A `tokenizer.json` to use instead of one that knows bytes and special tokens only. Special tokens that it
    /// lacks are added.
    pub tokenizer: Option<PathBuf>,
    /// The largest weight file, in bytes, unless a single tensor is larger.
    pub max_shard_bytes: usize,
    /// Whether a checkpoint that is there already is replaced.
    pub replace: bool,
}

/// A checkpoint that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Its folder.
    pub path: PathBuf,
    /// Numbers in it.
    pub parameters: u64,
    /// Bytes of weights.
    pub bytes: u64,
}

impl RandomCheckpoint {
    /// A checkpoint as it is published: in `bf16`, in files of at most 5 GB.
    pub fn new(family: Family, size: Size) -> Self {
        Self {
            family,
            size,
            overrides: Vec::new(),
            dtype: StoredType::Bf16,
            seed: 0,
            for_training: false,
            tokenizer: None,
            max_shard_bytes: 5_000_000_000,
            replace: false,
        }
    }

    /// The same with a field of `config.json`, dotted, set to another value.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.overrides.push((field.to_owned(), value.into()));
        self
    }

    /// Writes the checkpoint into the folder `out`, which appears when all is written. `progress` counts bytes.
    ///
    /// A folder that is there already is used when it is empty, and replaced when [`replace`](Self::replace) is set
    /// and it holds a checkpoint.
    pub fn write(&self, out: &Path, progress: &dyn Progress) -> Result<Written> {
        let (tokens, config) = self.plan()?;
        let architecture = Architecture::from_json(&config, Path::new("config.json"))?;
        let tensors = layout::tensors(&architecture);
        let head = match architecture.readout {
            Readout::Language if !self.family.is_writing() => {
                layout::value_head(architecture.text.hidden)
            }
            _ => Vec::new(),
        };
        let numbers = tensors.iter().chain(&head).map(TensorSpec::elements);
        let parameters = numbers.fold(0, u64::saturating_add);
        let bytes = parameters.saturating_mul(self.dtype.size() as u64);
        let mut source = Source::new(self.seed);
        if self.for_training {
            let start = TrainingStart::new(&source, &architecture.text, &config, &tensors)?;
            source = source.with_start(start);
        }
        let folder = Folder::begin(out, self.replace)?;
        folder.has_room_for(bytes)?;
        self.write_small_files(&folder, &tokens, &config)?;
        progress.begin("writing weights", Some(bytes));
        let written = self.write_weights(&folder, (&tensors, &head), &source, progress);
        progress.end();
        written?;
        folder.finish()?;
        Ok(Written {
            path: out.to_owned(),
            parameters,
            bytes,
        })
    }

    fn write_weights(
        &self,
        folder: &Folder,
        (tensors, head): (&[TensorSpec], &[TensorSpec]),
        source: &Source,
        progress: &dyn Progress,
    ) -> Result<()> {
        let specs = tensors.iter().chain(head);
        let specs: HashMap<&str, &TensorSpec> =
            specs.map(|spec| (spec.name.as_str(), spec)).collect();
        let produce = |outline: &Outline, sink: &mut TensorSink<'_>| {
            let done = |numbers: usize| {
                progress.advance((numbers * self.dtype.size()) as u64, &outline.name);
            };
            source.write(specs[outline.name.as_str()], self.dtype, sink, done)
        };
        let format = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let outlines = self.outlines(tensors);
        write_checkpoint(
            folder.path(),
            &outlines,
            self.max_shard_bytes,
            &format,
            produce,
        )?;
        if head.is_empty() {
            return Ok(());
        }
        let path = folder.path().join("value_head.safetensors");
        write_safetensors(&path, &self.outlines(head), &format, produce)
    }

    fn outlines(&self, tensors: &[TensorSpec]) -> Vec<Outline> {
        let outline = |spec: &TensorSpec| Outline {
            name: spec.name.clone(),
            stored: self.dtype,
            shape: spec.shape.clone(),
        };
        tensors.iter().map(outline).collect()
    }

    /// The tokenizer and the `config.json`.
    fn plan(&self) -> Result<(Tokens, Value)> {
        let is_compact = presets::is_compact(self.family, self.size);
        let tokens = match &self.tokenizer {
            Some(path) => Tokens::read(path, self.family)?,
            None => Tokens::of_bytes(self.family, is_compact),
        };
        let mut config = presets::config(self.family, self.size, &tokens);
        config["torch_dtype"] = json!(torch_name(self.dtype));
        for (field, value) in &self.overrides {
            set(&mut config, field, value.clone())?;
        }
        let places = [&config["vocab_size"], &config["text_config"]["vocab_size"]];
        let rows = places.into_iter().find_map(Value::as_u64).unwrap_or(0);
        if rows < tokens.rows() {
            return Err(Error::Tokenizer {
                path: self
                    .tokenizer
                    .clone()
                    .unwrap_or_else(|| PathBuf::from("tokenizer.json")),
                reason: format!(
                    "its ids go up to `{}`, the model has `{rows}` embeddings",
                    tokens.rows() - 1
                ),
            });
        }
        Ok((tokens, config))
    }

    fn write_small_files(&self, folder: &Folder, tokens: &Tokens, config: &Value) -> Result<()> {
        folder.json("config.json", config)?;
        folder.json(
            "generation_config.json",
            &presets::generation_config(config),
        )?;
        folder.json("tokenizer.json", &tokens.json)?;
        folder.json("tokenizer_config.json", &tokens.config(self.family))?;
        folder.json(
            "special_tokens_map.json",
            &Tokens::special_tokens_map(self.family),
        )?;
        match self.family {
            Family::MiniCpmO => {
                folder.json("preprocessor_config.json", &published::preprocessor(config))?;
                folder.json("processor_config.json", &published::processor())
            }
            Family::Qwen2_5Vl | Family::Qwen2_5Omni => {
                self.write_visual_preprocessors(folder, config)
            }
            Family::Qwen2 | Family::Qwen3 | Family::Llama => Ok(()),
        }
    }

    fn write_visual_preprocessors(&self, folder: &Folder, config: &Value) -> Result<()> {
        let pixels = presets::pixels(self.size);
        let mut preprocessor = published::visual_preprocessor(config, pixels);
        if self.family == Family::Qwen2_5Omni
            && let (Some(fields), Some(sounds)) = (
                preprocessor.as_object_mut(),
                published::sound_preprocessor(config).as_object(),
            )
        {
            fields.extend(sounds.clone());
        }
        folder.json("preprocessor_config.json", &preprocessor)?;
        match pixels {
            None => Ok(()),
            Some(pixels) => folder.json(
                "video_preprocessor_config.json",
                &published::video_preprocessor(pixels, presets::FRAMES),
            ),
        }
    }
}

/// As a `config.json` names it.
const fn torch_name(stored: StoredType) -> &'static str {
    match stored {
        StoredType::F32 => "float32",
        StoredType::Bf16 => "bfloat16",
        StoredType::F16 => "float16",
    }
}

/// Sets a field that is there already, or a new one in an object that is there.
fn set(config: &mut Value, field: &str, value: Value) -> Result<()> {
    let (parent, name) = match field.rsplit_once('.') {
        Some((parent, name)) => (format!("/{}", parent.replace('.', "/")), name),
        None => (String::new(), field),
    };
    let object = config.pointer_mut(&parent).and_then(Value::as_object_mut);
    let object = object.ok_or_else(|| Error::Config {
        path: PathBuf::from("config.json"),
        field: field.to_owned(),
        reason: "is not inside anything that the configuration has".to_owned(),
    })?;
    object.insert(name.to_owned(), value);
    Ok(())
}
