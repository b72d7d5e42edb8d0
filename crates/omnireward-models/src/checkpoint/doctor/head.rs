use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use candle_core::{DType, Device, Tensor};

use super::{Code, Finding, Patient, reason};
use crate::{
    Head, Result,
    checkpoint::{
        architecture::{Family, Readout},
        files::{StoredTensor, VALUE_HEAD, WHOLE, WeightFile, io, unwrapped},
        heads,
        layout::Part,
    },
    weights::{Placement, Weights},
};

pub(super) fn examine(patient: &mut Patient<'_>) {
    let survey = patient.survey;
    let is_heads = |file: &WeightFile, name: &str| {
        file.name == VALUE_HEAD || Part::of(unwrapped(name)) == Some(Part::Head)
    };
    let tensors: Vec<_> = survey
        .all()
        .filter(|(file, name, _)| is_heads(file, name))
        .collect();
    let names: BTreeSet<&str> = tensors.iter().map(|(_, name, _)| unwrapped(name)).collect();
    let file = tensors
        .first()
        .map_or(VALUE_HEAD, |(file, _, _)| &file.name);
    if names.is_empty() {
        return examine_absence(patient);
    }
    let mut unknown = names.iter().filter(|name| heads::kind_of(name).is_none());
    if let Some(first) = unknown.next() {
        let problem = format!("`{first}` belongs to no head that is known");
        return patient.report(unknown_head(file, problem).of(*first));
    }
    // What is wrong with the numbers themselves is reported where they are.
    if tensors.iter().any(|(_, _, tensor)| !tensor.is_whole)
        || patient.has_found(Code::TensorTwice)
        || tensors.iter().any(|(_, _, tensor)| dtype(tensor).is_none())
    {
        return;
    }
    let Some(hidden) = patient.architecture.as_ref().map(|model| model.text.hidden) else {
        return;
    };
    if let Err(error) = load(patient, &tensors, hidden) {
        let finding = match heads::kinds(names.iter().copied())[..] {
            [one, other, ..] => {
                let problem = format!(
                    "there are two heads, {one} and {other}, and they differ: {}",
                    reason(&error)
                );
                let mend = "remove the one that is not meant";
                Finding::defect(Code::HeadConflict, file, problem, mend)
            }
            _ => unknown_head(file, reason(&error)),
        };
        patient.report(finding);
    }
}

fn unknown_head(file: &str, problem: String) -> Finding {
    let mend = "save the head as `v_head.summary.{weight,bias}` in `value_head.safetensors`, or as `score.weight`";
    Finding::defect(Code::HeadUnknown, file, problem, mend)
}

fn examine_absence(patient: &mut Patient<'_>) {
    let survey = patient.survey;
    // A model that writes needs none.
    if survey.files.is_empty() || patient.family().is_some_and(Family::is_writing) {
        return;
    }
    // Of a file that is missing or unreadable nobody knows what it held.
    let is_hidden = patient.has_found(Code::ShardMissing) || patient.has_found(Code::ShardDamaged);
    let readout = patient.architecture.as_ref().map(|model| model.readout);
    let pickle = survey
        .pickles
        .iter()
        .find(|name| name.starts_with("value_head"));
    if let Some(pickle) = pickle {
        let problem = "the head is a pickle, which can run code when it is read and is refused";
        let mend = format!(
            "convert it in Python: `safetensors.torch.save_file(torch.load(\"{pickle}\", weights_only=True), \"{VALUE_HEAD}\")`"
        );
        patient.report(Finding::defect(Code::Pickle, pickle, problem, mend));
    } else if !(is_hidden && readout != Some(Readout::Language)) {
        let (file, problem) = match readout {
            Some(Readout::Classes(_)) => (WHOLE, "there is no `score.weight`"),
            Some(Readout::TwoLayers(_)) => (WHOLE, "there are no `score.0` and `score.2`"),
            _ => (VALUE_HEAD, "there is no reward head, only a language model"),
        };
        let mend = "copy the head that was trained with these weights; a new one would give rewards without meaning";
        patient.report(Finding::defect(Code::HeadMissing, file, problem, mend));
    }
}

/// Loads the head as a scorer would, from nothing but its own tensors.
fn load(
    patient: &Patient<'_>,
    tensors: &[(&WeightFile, &str, &StoredTensor)],
    hidden: usize,
) -> Result<()> {
    let mut loaded = HashMap::new();
    for (file, name, tensor) in tensors {
        let numbers = read(file, tensor)?;
        loaded.insert(unwrapped(name).to_owned(), numbers);
    }
    let placement = Placement {
        device: Device::Cpu,
        dtype: DType::F32,
    };
    Head::load(&Weights::in_memory(loaded), patient.dir, hidden, &placement).map(drop)
}

fn read(file: &WeightFile, tensor: &StoredTensor) -> Result<Tensor> {
    let mut bytes = vec![0; tensor.bytes as usize];
    let mut opened = File::open(&file.path).map_err(io(&file.path))?;
    opened
        .seek(SeekFrom::Start(tensor.start))
        .and_then(|_| opened.read_exact(&mut bytes))
        .map_err(io(&file.path))?;
    let dtype = dtype(tensor).unwrap_or(DType::F32);
    Ok(Tensor::from_raw_buffer(
        &bytes,
        dtype,
        &tensor.shape,
        &Device::Cpu,
    )?)
}

fn dtype(tensor: &StoredTensor) -> Option<DType> {
    Some(match tensor.stored.as_str() {
        "F32" => DType::F32,
        "BF16" => DType::BF16,
        "F16" => DType::F16,
        _ => return None,
    })
}
