use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use omnireward_core::Progress;

use super::{
    TieMargin,
    files::VALUE_HEAD,
    folder::{Folder, io},
};
use crate::{
    Error, Result,
    weights::{
        Elements, Outline, Placement, StoredType, TensorSink, Weight, Weights, write_checkpoint,
        write_safetensors,
    },
};

const VALUE_HEAD_PREFIX: &str = "v_head.";
/// What is copied from the base: configuration, tokenizer, templates, and the original's own code.
const COPIED: [&str; 5] = ["json", "jinja", "txt", "model", "py"];

/// A checkpoint made from another by changing some of its tensors, or adding some, as training does.
///
/// It has the layout of the base: its small files, its other tensors as they are, and the changed ones in the types in
/// which the base stores them. A value head lies in a file of its own. Golden inputs, the model card and the width of
/// ties of the base are not taken over, since they no longer hold.
#[derive(Debug)]
pub struct Derived<'a> {
    /// The folder of the base.
    pub base: &'a Path,
    /// Its weights.
    pub weights: &'a Weights,
    /// Tensors that replace those of the base, or are new, by the names that models know.
    pub changed: &'a HashMap<String, Tensor>,
    /// Other files to write beside them, by name.
    pub files: &'a [(&'a str, String)],
    /// The largest weight file, in bytes, unless a single tensor is larger.
    pub max_shard_bytes: usize,
}

impl Derived<'_> {
    /// Writes it into the folder `out`, which appears when all is written. `progress` counts bytes.
    ///
    /// # Errors
    ///
    /// Fails when there is something else in the folder, when the disk is known to be too full, when a tensor of the
    /// base is not made of `f32`, `bf16` or `f16`, and when a file cannot be read or written.
    pub fn write(&self, out: &Path, replace: bool, progress: &dyn Progress) -> Result<()> {
        let outlines = self.outlines()?;
        let bytes = outlines.iter().map(|outline| outline.bytes() as u64).sum();
        let folder = Folder::begin(out, replace)?;
        folder.has_room_for(bytes)?;
        self.copy_small_files(folder.path())?;
        for (name, text) in self.files {
            let path = folder.path().join(name);
            fs::write(&path, text).map_err(io(&path))?;
        }
        progress.begin("writing weights", Some(bytes));
        let written = self.write_weights(folder.path(), &outlines, progress);
        progress.end();
        written?;
        folder.finish()
    }

    /// Bytes of weights that will be written.
    pub fn bytes(&self) -> Result<u64> {
        Ok(self
            .outlines()?
            .iter()
            .map(|outline| outline.bytes() as u64)
            .sum())
    }

    /// The tensors of the base in their order, then new ones by name.
    fn outlines(&self) -> Result<Vec<Outline>> {
        let mut outlines = self
            .weights
            .names()
            .map(|name| self.outline(name))
            .collect::<Result<Vec<_>>>()?;
        let is_new = |name: &&String| self.weights.info(name).is_none();
        let mut new: Vec<&String> = self.changed.keys().filter(is_new).collect();
        new.sort();
        outlines.extend(new.into_iter().map(|name| Outline {
            name: name.clone(),
            stored: stored_type(self.changed[name].dtype()),
            shape: self.changed[name].dims().to_vec(),
        }));
        Ok(outlines)
    }

    fn outline(&self, name: &str) -> Result<Outline> {
        let info = self.weights.info(name).expect("the name is from the list");
        let stored = match info.stored.as_str() {
            "F32" => StoredType::F32,
            "BF16" => StoredType::Bf16,
            "F16" => StoredType::F16,
            other => {
                return Err(Error::Damaged {
                    path: info.file,
                    reason: format!(
                        "tensor `{name}` is stored as {other}, and only F32, BF16 and F16 can be written"
                    ),
                });
            }
        };
        Ok(Outline {
            name: name.to_owned(),
            stored,
            shape: info.shape,
        })
    }

    fn copy_small_files(&self, to: &Path) -> Result<()> {
        for path in small_files(self.base)? {
            let name = path.file_name().expect("a file has a name");
            fs::copy(&path, to.join(name)).map_err(io(&path))?;
        }
        Ok(())
    }

    fn write_weights(
        &self,
        folder: &Path,
        outlines: &[Outline],
        progress: &dyn Progress,
    ) -> Result<()> {
        let is_head = |outline: &&Outline| outline.name.starts_with(VALUE_HEAD_PREFIX);
        let (head, backbone): (Vec<&Outline>, Vec<&Outline>) = outlines.iter().partition(is_head);
        let owned = |outlines: Vec<&Outline>| outlines.into_iter().cloned().collect::<Vec<_>>();
        let format = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let produce = |outline: &Outline, sink: &mut TensorSink<'_>| {
            self.produce(outline, sink)?;
            progress.advance(outline.bytes() as u64, &outline.name);
            Ok(())
        };
        write_checkpoint(
            folder,
            &owned(backbone),
            self.max_shard_bytes,
            &format,
            produce,
        )?;
        if head.is_empty() {
            return Ok(());
        }
        write_safetensors(&folder.join(VALUE_HEAD), &owned(head), &format, produce)
    }

    fn produce(&self, outline: &Outline, sink: &mut TensorSink<'_>) -> Result<()> {
        if let Some(changed) = self.changed.get(&outline.name) {
            if changed.dims() != outline.shape {
                return Err(Error::Shape {
                    tensor: outline.name.clone(),
                    path: self.base.to_owned(),
                    found: changed.dims().to_vec(),
                    expected: outline.shape.clone(),
                });
            }
            return sink.tensor(changed);
        }
        let placement = Placement {
            device: Device::Cpu,
            dtype: DType::F32,
        };
        let scope = self.weights.scope("", &placement);
        match scope.flat_weight(&outline.name, &outline.shape) {
            Ok(Weight::Mapped(mapped)) => match mapped.elements() {
                Elements::F32(numbers) => sink.f32(numbers),
                Elements::Bf16(numbers) => sink.bf16(numbers),
                // Every number of half precision is one of single precision.
                Elements::F16(_) => sink.tensor(&scope.tensor(&outline.name, &outline.shape)?),
            },
            _ => sink.tensor(&scope.tensor(&outline.name, &outline.shape)?),
        }
    }
}

fn stored_type(dtype: DType) -> StoredType {
    match dtype {
        DType::BF16 => StoredType::Bf16,
        DType::F16 => StoredType::F16,
        _ => StoredType::F32,
    }
}

fn small_files(base: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(base).map_err(io(base))? {
        let path = entry.map_err(io(base))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let is_copied = COPIED.contains(&extension.as_ref())
            && !name.ends_with(".safetensors.index.json")
            && !name.starts_with("golden")
            && name != TieMargin::FILE;
        if path.is_file() && is_copied {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
