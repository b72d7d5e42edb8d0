use std::{collections::HashMap, path::Path};

use candle_core::{DType, Device, Tensor};

use crate::{
    Error, Result,
    head::HeadKind,
    weights::{Placement, Scope, Weights},
};

const VALUE: &str = "v_head.summary";
const SCORE: &str = "score";
const FIRST: &str = "score.0";
const SECOND: &str = "score.2";
const VALUE_FILE: &str = "value_head.safetensors";
const PICKLE: &str = "value_head.bin";

/// A linear layer in `f32`.
///
/// # Shapes
///
/// `weight`: `[out, in]`; `bias`: `[out]`.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
}

pub(super) struct Found {
    pub(super) kind: HeadKind,
    pub(super) layers: Vec<Layer>,
}

/// The head of a checkpoint.
pub(super) fn find(
    weights: &Weights,
    path: &Path,
    hidden: usize,
    device: &Device,
) -> Result<Found> {
    let placement = Placement {
        device: device.clone(),
        dtype: DType::F32,
    };
    let mut heads = heads(&weights.scope("", &placement), path, hidden)?;
    let beside = path.with_file_name(VALUE_FILE);
    if path.is_file() && path != beside && beside.is_file() {
        let scope = Weights::open(&beside)?.scope("", &placement);
        heads.extend(self::heads(&scope, &beside, hidden)?);
    }
    let mut heads = heads.into_iter();
    let first = heads.next().ok_or_else(|| none(path))?;
    for other in heads {
        if !equal(&first.layers, &other.layers)? {
            return Err(head_error(
                path,
                format!("its {} and its {} differ", first.kind, other.kind),
            ));
        }
    }
    Ok(first)
}

fn heads(scope: &Scope, path: &Path, hidden: usize) -> Result<Vec<Found>> {
    if scope.has("score.bias") {
        let reason = "it has `score.bias`, and the layout of sequence classification has no bias";
        return Err(head_error(path, reason.to_owned()));
    }
    let kinds = [HeadKind::Value, HeadKind::Score, HeadKind::TwoLayerScore];
    kinds
        .into_iter()
        .filter(|kind| scope.has(&format!("{}.weight", layer_names(*kind)[0])))
        .map(|kind| {
            let names = layer_names(kind);
            let layers = match kind {
                HeadKind::Value => vec![output(scope, path, names[0], hidden, true)?],
                HeadKind::Score => vec![output(scope, path, names[0], hidden, false)?],
                HeadKind::TwoLayerScore => vec![
                    layer(scope, names[0], (hidden, hidden), true)?,
                    output(scope, path, names[1], hidden, true)?,
                ],
            };
            Ok(Found { kind, layers })
        })
        .collect()
}

fn layer_names(kind: HeadKind) -> &'static [&'static str] {
    match kind {
        HeadKind::Value => &[VALUE],
        HeadKind::Score => &[SCORE],
        HeadKind::TwoLayerScore => &[FIRST, SECOND],
    }
}

/// The layer that gives the reward.
fn output(scope: &Scope, path: &Path, name: &str, hidden: usize, biased: bool) -> Result<Layer> {
    match layer(scope, name, (1, hidden), biased) {
        Err(Error::Shape { tensor, found, .. }) if found.first() != Some(&1) => Err(head_error(
            path,
            format!(
                "`{tensor}` has shape {found:?}, expected [1, {hidden}]: a reward is one number"
            ),
        )),
        other => other,
    }
}

fn layer(scope: &Scope, name: &str, (out, inner): (usize, usize), biased: bool) -> Result<Layer> {
    let scope = scope.under(name);
    Ok(Layer {
        weight: scope.tensor("weight", &[out, inner])?,
        bias: biased.then(|| scope.tensor("bias", &[out])).transpose()?,
    })
}

/// Whether two heads give the same rewards.
fn equal(left: &[Layer], right: &[Layer]) -> Result<bool> {
    if left.len() != right.len() {
        return Ok(false);
    }
    for (left, right) in left.iter().zip(right) {
        if values(&left.weight)? != values(&right.weight)? || bias(left)? != bias(right)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A layer's bias; zeros where it has none.
fn bias(layer: &Layer) -> Result<Vec<f32>> {
    match &layer.bias {
        Some(bias) => values(bias),
        None => Ok(vec![0.0; layer.weight.dim(0)?]),
    }
}

fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// A head's tensors, named as a head of `kind` names them.
pub(super) fn tensors(
    layers: &[Layer],
    kind: HeadKind,
    origin: &Path,
) -> Result<HashMap<String, Tensor>> {
    let names = layer_names(kind);
    if layers.len() != names.len() {
        let reason = format!(
            "it has {} layers, and a {kind} has {}",
            layers.len(),
            names.len()
        );
        return Err(head_error(origin, reason));
    }
    let mut tensors = HashMap::new();
    for (layer, name) in layers.iter().zip(names) {
        let bias = bias(layer)?;
        if kind != HeadKind::Score {
            let bias = Tensor::new(bias, layer.weight.device())?;
            tensors.insert(format!("{name}.bias"), bias);
        } else if bias.iter().any(|value| *value != 0.0) {
            let reason = format!("it has a bias of {bias:?}, and a {kind} has none");
            return Err(head_error(origin, reason));
        }
        tensors.insert(format!("{name}.weight"), layer.weight.clone());
    }
    Ok(tensors)
}

fn none(path: &Path) -> Error {
    let directory = if path.is_dir() {
        Some(path)
    } else {
        path.parent()
    };
    let pickle = directory.map(|directory| directory.join(PICKLE));
    let reason = match pickle.filter(|pickle| pickle.is_file()) {
        Some(pickle) => format!(
            "`{}` is a pickle, which can run code and is not read; convert it in Python with \
             `safetensors.torch.save_file(torch.load(\"{PICKLE}\", weights_only=True), \"{VALUE_FILE}\")`",
            pickle.display()
        ),
        None => format!(
            "looked for `{VALUE}.weight` (in `{VALUE_FILE}` or the model's files), `{SCORE}.weight`, and \
             `{FIRST}.weight` with `{SECOND}.weight`"
        ),
    };
    head_error(path, reason)
}

fn head_error(path: &Path, reason: String) -> Error {
    Error::Head {
        path: path.to_owned(),
        reason,
    }
}
