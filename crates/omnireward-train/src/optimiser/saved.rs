//! The file that an optimiser goes on from.
//!
//! A safetensors file with, for each parameter, `first_moment.NAME`, `second_moment.NAME` and, where the variable is
//! rounded, `master.NAME`, all `f32`. Its metadata have one entry, so that equal states are equal files: the version of
//! this layout and the steps of each parameter, as JSON.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use omnireward_models::weights::{Outline, StoredType, write_safetensors};
use safetensors::{Dtype, tensor::Metadata};
use serde::{Deserialize, Serialize};

use super::{
    Parameter, Slot,
    moments::{Row, State},
};
use crate::{Error, Result};

const ENTRY: &str = "omnireward_adamw";
const VERSION: u32 = 1;
/// The same bound as the safetensors crate has.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// What is kept besides tensors.
#[derive(Serialize, Deserialize)]
struct Entry {
    version: u32,
    steps: BTreeMap<String, u64>,
}

pub(super) fn write(slots: &[Slot], path: &Path) -> Result<()> {
    let kept = kept(slots);
    let outlines: Vec<Outline> = kept
        .iter()
        .map(|&(slot, row)| outline(&slots[slot].parameter, row))
        .collect();
    // Tensors of one type are asked for in the order of their outlines.
    let mut left = kept.into_iter();
    write_safetensors(path, &outlines, &metadata(slots), |_, sink| {
        let (slot, row) = left.next().expect("a row is kept for every outline");
        match &slots[slot].state {
            State::Fused(moments) => sink.f32(moments.row(row)),
            State::Plain(moments) => sink.tensor(moments.row(row)),
        }
    })?;
    Ok(())
}

pub(super) fn read(slots: &mut [Slot], path: &Path) -> Result<()> {
    let mut file = SavedFile::open(path)?;
    let steps = file.check(slots)?;
    for (slot, row) in kept(slots) {
        let slot = &mut slots[slot];
        let numbers = file.numbers(&tensor_name(&slot.parameter, row))?;
        slot.state.set(row, numbers, &slot.parameter.var)?;
    }
    for (slot, steps) in slots.iter_mut().zip(steps) {
        slot.steps = steps;
        slot.reached = steps > 0;
        slot.gradient.clear();
        slot.state.publish(&slot.parameter.var)?;
    }
    Ok(())
}

/// Which rows are kept, and of which slot, in the order they are written.
fn kept(slots: &[Slot]) -> Vec<(usize, Row)> {
    let slots = slots.iter().enumerate();
    slots
        .flat_map(|(index, slot)| slot.state.rows().iter().map(move |&row| (index, row)))
        .collect()
}

fn outline(parameter: &Parameter, row: Row) -> Outline {
    Outline {
        name: tensor_name(parameter, row),
        stored: StoredType::F32,
        shape: parameter.var.dims().to_vec(),
    }
}

fn tensor_name(parameter: &Parameter, row: Row) -> String {
    let row = match row {
        Row::First => "first_moment",
        Row::Second => "second_moment",
        Row::Master => "master",
    };
    format!("{row}.{}", parameter.name)
}

fn metadata(slots: &[Slot]) -> BTreeMap<String, String> {
    let steps = slots
        .iter()
        .map(|slot| (slot.parameter.name.clone(), slot.steps));
    let entry = Entry {
        version: VERSION,
        steps: steps.collect(),
    };
    let text = serde_json::to_string(&entry).expect("names and numbers can be written");
    BTreeMap::from([(ENTRY.to_owned(), text)])
}

/// A file that was opened and whose header is sound.
struct SavedFile<'a> {
    path: &'a Path,
    file: BufReader<File>,
    header: Metadata,
    /// Where the numbers begin.
    start: u64,
}

impl<'a> SavedFile<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        let length = file
            .metadata()
            .map_err(|source| Error::io(path, source))?
            .len();
        let mut file = BufReader::new(file);
        let mut size = [0; 8];
        read_exact(&mut file, &mut size, path)?;
        let size = u64::from_le_bytes(size);
        if size > MAX_HEADER_BYTES.min(length.saturating_sub(8)) {
            return Err(damaged(path, "has no header of a safetensors file"));
        }
        let mut header = vec![0; size as usize];
        read_exact(&mut file, &mut header, path)?;
        let header: Metadata = serde_json::from_slice(&header)
            .map_err(|error| damaged(path, format!("has a damaged header: {error}")))?;
        let start = 8 + size;
        let expected = start + header.data_len() as u64;
        if length != expected {
            let reason = format!("is {length} bytes long, its header speaks of {expected}");
            return Err(damaged(path, reason));
        }
        Ok(Self {
            path,
            file,
            header,
            start,
        })
    }

    /// That it holds just what is kept for `slots`; gives the steps of each.
    fn check(&self, slots: &[Slot]) -> Result<Vec<u64>> {
        let steps = self.steps(slots)?;
        let kept = kept(slots);
        for &(slot, row) in &kept {
            self.check_tensor(&slots[slot].parameter, row)?;
        }
        if self.header.tensors().len() != kept.len() {
            let reason = "was saved for more parameters than these";
            return Err(damaged(self.path, reason));
        }
        Ok(steps)
    }

    fn steps(&self, slots: &[Slot]) -> Result<Vec<u64>> {
        let metadata = self.header.metadata().as_ref();
        let text = metadata.and_then(|metadata| metadata.get(ENTRY));
        let entry = text.and_then(|text| serde_json::from_str::<Entry>(text).ok());
        let Some(Entry { steps, .. }) = entry.filter(|entry| entry.version == VERSION) else {
            let reason = format!("is not the state of an optimiser in layout {VERSION}");
            return Err(damaged(self.path, reason));
        };
        let of = |slot: &Slot| {
            let name = &slot.parameter.name;
            let steps = steps.get(name).copied();
            steps.ok_or_else(|| {
                let reason = format!("was saved for other parameters: `{name}` is not among them");
                damaged(self.path, reason)
            })
        };
        slots.iter().map(of).collect()
    }

    fn check_tensor(&self, parameter: &Parameter, row: Row) -> Result<()> {
        let name = tensor_name(parameter, row);
        let Some(info) = self.header.info(&name) else {
            return Err(damaged(self.path, format!("has no tensor `{name}`")));
        };
        let (found, expected) = (&info.shape, parameter.var.dims());
        if info.dtype != Dtype::F32 || found != expected {
            let dtype = info.dtype;
            let reason = format!("has `{name}` as {dtype:?} {found:?}, not as F32 {expected:?}");
            return Err(damaged(self.path, reason));
        }
        Ok(())
    }

    fn numbers(&mut self, name: &str) -> Result<Vec<f32>> {
        const PIECE: usize = 1 << 16;
        let info = self.header.info(name).expect("the header was checked");
        let (start, end) = info.data_offsets;
        let seek = self.file.seek(SeekFrom::Start(self.start + start as u64));
        seek.map_err(|source| Error::io(self.path, source))?;
        let mut left = end - start;
        let mut numbers = Vec::with_capacity(left / size_of::<f32>());
        let mut bytes = vec![0; PIECE.min(left)];
        while left > 0 {
            let piece = &mut bytes[..left.min(PIECE)];
            read_exact(&mut self.file, piece, self.path)?;
            let (words, _) = piece.as_chunks();
            numbers.extend(words.iter().map(|&word| f32::from_le_bytes(word)));
            left -= piece.len();
        }
        Ok(numbers)
    }
}

fn read_exact(file: &mut impl Read, bytes: &mut [u8], path: &Path) -> Result<()> {
    file.read_exact(bytes)
        .map_err(|source| Error::io(path, source))
}

fn damaged(path: &Path, reason: impl Into<String>) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        reason: reason.into(),
    }
}
