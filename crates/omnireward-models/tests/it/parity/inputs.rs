//! What a model is given in a fixture or a benchmark, as `scripts/oracle/inputs.py` writes it.

use std::{collections::HashMap, path::Path};

use candle_core::{DType, Device, Result, Tensor};
use omnireward_models::{
    Feature, Row,
    minicpm_o::{AudioInput, Grid, ImageInput, MelPiece, Tile},
};

/// Tensors of one file, by name.
pub(crate) type Named = HashMap<String, Tensor>;

/// Sequences and the media that stand in them.
pub(crate) struct Inputs {
    pub(crate) sequences: Vec<Vec<Row>>,
    pub(crate) images: Vec<ImageInput>,
    pub(crate) clips: Vec<AudioInput>,
}

impl Inputs {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
        Ok(Self {
            sequences: numbered(|i| sequence(&tensors, i))?,
            images: numbered(|i| image(&tensors, i))?,
            clips: clips(&tensors)?,
        })
    }
}

/// The decoder's inputs: embeddings, with the media's features in their places.
///
/// # Shapes
///
/// `embeddings`: `[rows, hidden]`; `features`: `[rows of the medium, hidden]` each; returns `[rows, hidden]`.
pub(crate) fn place_features(
    embeddings: &Tensor,
    rows: &[Row],
    features: &[Tensor],
) -> Result<Tensor> {
    let mut starts = Vec::with_capacity(features.len());
    let mut next = rows.len();
    for medium in features {
        starts.push(next);
        next += medium.dim(0)?;
    }
    let sources: Vec<u32> = rows
        .iter()
        .enumerate()
        .map(|(i, row)| {
            row.feature
                .map_or(i, |feature| starts[feature.medium] + feature.row) as u32
        })
        .collect();
    let mut all = vec![embeddings.clone()];
    all.extend(features.iter().cloned());
    Tensor::cat(&all, 0)?.index_select(&Tensor::new(sources, embeddings.device())?, 0)
}

/// `read(0)`, `read(1)`, … up to the first that is not there.
fn numbered<T>(read: impl Fn(usize) -> Result<Option<T>>) -> Result<Vec<T>> {
    (0..).map_while(|i| read(i).transpose()).collect()
}

fn sequence(tensors: &Named, i: usize) -> Result<Option<Vec<Row>>> {
    let Some(tokens) = tensors.get(&format!("sequence.{i}.tokens")) else {
        return Ok(None);
    };
    let places = tensors[&format!("sequence.{i}.places")].to_vec2::<i64>()?;
    let rows = tokens
        .to_vec1::<i64>()?
        .into_iter()
        .zip(places)
        .map(|(token, place)| Row {
            token: token as u32,
            feature: (place[0] >= 0).then(|| Feature {
                medium: place[0] as usize,
                row: place[1] as usize,
            }),
        });
    Ok(Some(rows.collect()))
}

fn image(tensors: &Named, i: usize) -> Result<Option<ImageInput>> {
    let tiles = numbered(|j| tile(tensors, i, j))?;
    let grid = match tensors.get(&format!("image.{i}.grid")) {
        Some(grid) => {
            let [columns, rows] = pair(grid)?;
            Some(Grid { columns, rows })
        }
        None => None,
    };
    Ok((!tiles.is_empty()).then_some(ImageInput { grid, tiles }))
}

fn tile(tensors: &Named, i: usize, j: usize) -> Result<Option<Tile>> {
    let Some(patches) = tensors.get(&format!("image.{i}.tile.{j}.patches")) else {
        return Ok(None);
    };
    let [rows, columns] = pair(&tensors[&format!("image.{i}.tile.{j}.size")])?;
    let patches = floats(patches)?;
    Ok(Some(Tile {
        rows,
        columns,
        patches,
    }))
}

/// Every clip as one piece, padded as a batch of all of them is.
fn clips(tensors: &Named) -> Result<Vec<AudioInput>> {
    let mels = numbered(|i| Ok(tensors.get(&format!("clip.{i}.mels"))))?;
    let lengths: Vec<usize> = mels.iter().map(|mels| mels.dim(1)).collect::<Result<_>>()?;
    let longest = lengths.iter().copied().max().unwrap_or(0);
    mels.into_iter()
        .zip(lengths)
        .map(|(mels, frames)| {
            let piece = MelPiece {
                frames,
                padded_frames: longest,
                mels: floats(mels)?,
            };
            Ok(AudioInput {
                pieces: vec![piece],
            })
        })
        .collect()
}

fn pair(tensor: &Tensor) -> Result<[usize; 2]> {
    let values = tensor.to_vec1::<i64>()?;
    Ok([values[0] as usize, values[1] as usize])
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}
