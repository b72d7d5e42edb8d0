use std::collections::{BTreeMap, BTreeSet};

use super::{Code, Finding, Patient};
use crate::checkpoint::{
    files::{INDEX, StoredTensor, VALUE_HEAD, WHOLE, WeightFile, unwrapped},
    layout::{self, Part, TensorSpec},
};

/// Types that weights can be stored in.
const USABLE: [&str; 3] = ["F32", "F16", "BF16"];

pub(super) fn examine(patient: &mut Patient<'_>) {
    examine_files(patient);
    examine_index(patient);
    if patient.survey.files.is_empty() {
        return;
    }
    examine_doubles(patient);
    examine_types(patient);
    examine_against_layout(patient);
}

fn examine_files(patient: &mut Patient<'_>) {
    let survey = patient.survey;
    for file in &survey.files {
        if let Some(problem) = &file.problem {
            let mend = "download or copy the file again";
            patient.report(Finding::defect(
                Code::ShardDamaged,
                &file.name,
                problem,
                mend,
            ));
        }
    }
    let pickles: Vec<&String> = survey
        .pickles
        .iter()
        .filter(|name| !name.starts_with("value_head"))
        .collect();
    if survey.has_body() || survey.index.is_some() {
        return;
    }
    if let Some(pickle) = pickles.first() {
        let problem = "the weights are a pickle, which can run code when it is read and is refused";
        let mend = format!(
            "convert it in Python: `safetensors.torch.save_file(torch.load(\"{pickle}\", weights_only=True), \"model.safetensors\")`"
        );
        patient.report(Finding::defect(
            Code::Pickle,
            pickle.as_str(),
            problem,
            mend,
        ));
    } else {
        let problem = "there are no weights: neither `model.safetensors` nor shards with an index";
        let mend = "copy the weights into the folder";
        patient.report(Finding::defect(Code::WeightsMissing, WHOLE, problem, mend));
    }
}

fn examine_index(patient: &mut Patient<'_>) {
    let survey = patient.survey;
    let mend = "make the index again, or copy the one that belongs to the shards";
    if let Some(problem) = &survey.index_problem {
        patient.report(Finding::defect(Code::IndexWrong, INDEX, problem, mend));
    }
    let Some(index) = &survey.index else {
        let is_whole = survey.files.iter().any(|file| file.name == WHOLE);
        if survey.has_body() && !is_whole && survey.index_problem.is_none() {
            let problem = "there are shards, and no index that says what is in them";
            patient.report(Finding::defect(Code::IndexWrong, INDEX, problem, mend));
        }
        return;
    };
    let there: BTreeMap<&str, &WeightFile> = survey
        .files
        .iter()
        .map(|file| (file.name.as_str(), file))
        .collect();
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (tensor, file) in index {
        match there.get(file.as_str()) {
            None => missing.entry(file).or_default().push(tensor),
            Some(shard) if is_headed(shard) && !shard.tensors.contains_key(tensor) => {
                let problem = format!("it says that `{tensor}` is in `{file}`, where it is not");
                wrong.push(Finding::defect(Code::IndexWrong, INDEX, problem, mend).of(tensor));
            }
            Some(_) => {}
        }
    }
    for (file, tensors) in missing {
        let problem = format!(
            "it is not there; the index says that it holds `{}`{}",
            tensors[0],
            match tensors.len() {
                1 => String::new(),
                more => format!(" and {} more tensors", more - 1),
            }
        );
        let mend = "download or copy the file";
        patient.report(Finding::defect(Code::ShardMissing, file, problem, mend));
    }
    patient.report_many(wrong);
}

/// Whether a file's list of tensors could be read.
fn is_headed(file: &WeightFile) -> bool {
    file.problem.is_none() || !file.tensors.is_empty()
}

fn examine_doubles(patient: &mut Patient<'_>) {
    let mut places: BTreeMap<&str, &str> = BTreeMap::new();
    let mut doubles = Vec::new();
    for (file, name, _) in patient.survey.all() {
        if let Some(first) = places.insert(unwrapped(name), &file.name) {
            let problem = format!("`{name}` is in `{first}` as well");
            let mend = "remove one of the two, whichever is older";
            doubles.push(Finding::defect(Code::TensorTwice, &file.name, problem, mend).of(name));
        }
    }
    patient.report_many(doubles);
}

/// A type that is no weight is a defect; one that most others do not have is odd.
fn examine_types(patient: &mut Patient<'_>) {
    let survey = patient.survey;
    let body = || {
        let all = survey.all().filter(|(_, name, _)| is_needed(name));
        all.filter(|(_, name, _)| Part::of(unwrapped(name)) != Some(Part::Head))
    };
    let mut bytes: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, _, tensor) in body() {
        *bytes.entry(&tensor.stored).or_default() += tensor.bytes;
    }
    let usual = bytes.into_iter().max_by_key(|(_, bytes)| *bytes);
    let Some((usual, _)) = usual else { return };
    let of = |file: &WeightFile, name: &str, problem: String| {
        let mend = format!("store it as {usual}");
        Finding::defect(Code::TensorType, &file.name, problem, mend).of(name)
    };
    let mut findings = Vec::new();
    for (file, name, tensor) in survey.all().filter(|(_, name, _)| is_needed(name)) {
        if !USABLE.contains(&tensor.stored.as_str()) {
            let problem = format!(
                "`{name}` is stored as {}, which is no type of weights",
                tensor.stored
            );
            findings.push(of(file, name, problem));
        }
    }
    patient.report_many(findings);
    let odd = body().filter(|(_, _, tensor)| {
        tensor.stored != usual && USABLE.contains(&tensor.stored.as_str())
    });
    let odd = odd.map(|(file, name, tensor)| {
        let problem = format!(
            "`{name}` is stored as {}, most others as {usual}",
            tensor.stored
        );
        of(file, name, problem).warning()
    });
    patient.report_many(odd.collect());
}

/// Speech is not looked at.
fn is_needed(name: &str) -> bool {
    Part::of(unwrapped(name)) != Some(Part::Speech)
}

fn examine_against_layout(patient: &mut Patient<'_>) {
    let Some(architecture) = &patient.architecture else {
        return;
    };
    let survey = patient.survey;
    let specs = layout::tensors(architecture);
    let expected: BTreeMap<&str, &TensorSpec> = specs
        .iter()
        .map(|spec| (spec.name.as_str(), spec))
        .collect();
    let found: BTreeMap<&str, (&WeightFile, &StoredTensor)> = survey
        .all()
        .map(|(file, name, tensor)| (unwrapped(name), (file, tensor)))
        .collect();
    let is_bare = is_bare_decoder(&found);
    let shapes = found.iter().filter_map(|(name, (file, tensor))| {
        let spec = expected.get(full_name(name, is_bare).as_str())?;
        (spec.part != Part::Head && tensor.shape != spec.shape)
            .then(|| wrong_shape(file, name, tensor, spec))
    });
    let unknown = found.iter().filter_map(|(name, (file, _))| {
        let is_expected = expected.contains_key(full_name(name, is_bare).as_str());
        let is_other = matches!(
            Part::of(name),
            Some(Part::Head | Part::Speech | Part::Output)
        );
        (!is_expected && !is_other && file.name != VALUE_HEAD).then(|| unknown(file, name))
    });
    let (shapes, unknown): (Vec<_>, Vec<_>) = (shapes.collect(), unknown.collect());
    let lost = lost_tensors(patient);
    let names = found.keys().chain(&lost.names);
    let names: BTreeSet<String> = names.map(|name| full_name(name, is_bare)).collect();
    let missing = specs.iter().filter(|spec| {
        spec.part != Part::Head
            && !layout::is_optional(architecture.family, spec.part)
            && !lost.everything
            && !names.contains(&spec.name)
    });
    let missing: Vec<Finding> = missing.map(missing_tensor).collect();
    patient.report_many(shapes);
    patient.report_many(unknown);
    patient.report_many(missing);
}

/// Tensors that a missing or unreadable file would have brought, which is reported already; all of them where that is
/// not known.
struct Lost<'a> {
    names: BTreeSet<&'a str>,
    everything: bool,
}

fn lost_tensors<'a>(patient: &Patient<'a>) -> Lost<'a> {
    let survey = patient.survey;
    let is_lost = |file: &str| {
        !survey
            .files
            .iter()
            .any(|there| there.name == file && is_headed(there))
    };
    let index = survey.index.iter().flatten();
    let has_unreadable = survey
        .files
        .iter()
        .any(|file| !is_headed(file) && file.name != VALUE_HEAD);
    Lost {
        names: index
            .filter(|(_, file)| is_lost(file))
            .map(|(tensor, _)| unwrapped(tensor))
            .collect(),
        everything: survey.index.is_none() && (has_unreadable || !survey.has_body()),
    }
}

/// What parts of Qwen2.5-VL are called in memory, and in its published files.
const IN_MEMORY: [(&str, &str); 2] = [
    ("model.visual.", "visual."),
    ("model.language_model.", "model."),
];

/// Bare decoders leave out the `model.` that those with a head have.
fn is_bare_decoder<T>(found: &BTreeMap<&str, T>) -> bool {
    found.contains_key("embed_tokens.weight")
        && !found.keys().any(|name| name.starts_with("model."))
}

/// The name that the layout has.
fn full_name(name: &str, is_bare: bool) -> String {
    for (in_memory, published) in IN_MEMORY {
        if let Some(rest) = name.strip_prefix(in_memory) {
            return format!("{published}{rest}");
        }
    }
    let is_decoders = ["embed_tokens.", "layers.", "norm."]
        .iter()
        .any(|start| name.starts_with(start));
    if is_bare && is_decoders {
        format!("model.{name}")
    } else {
        name.to_owned()
    }
}

fn wrong_shape(file: &WeightFile, name: &str, tensor: &StoredTensor, spec: &TensorSpec) -> Finding {
    let problem = format!(
        "`{name}` has shape {:?}, `config.json` asks for {:?}",
        tensor.shape, spec.shape
    );
    let mend = "use the `config.json` and the weights of one and the same checkpoint";
    Finding::defect(Code::TensorShape, &file.name, problem, mend).of(name)
}

fn unknown(file: &WeightFile, name: &str) -> Finding {
    let problem = format!("`{name}` is no tensor of this model");
    let mend = "merge it if it belongs to an adapter, or save the model without it";
    Finding::defect(Code::TensorUnknown, &file.name, problem, mend).of(name)
}

fn missing_tensor(spec: &TensorSpec) -> Finding {
    let problem = format!("`{}` of shape {:?} is in no file", spec.name, spec.shape);
    let mend = format!("save the model again, with its {}", spec.part);
    Finding::defect(Code::TensorMissing, WHOLE, problem, mend).of(&spec.name)
}
