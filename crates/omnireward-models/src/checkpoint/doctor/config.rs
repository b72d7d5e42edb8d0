use std::path::Path;

use serde_json::Value;

use super::{Code, Finding, Patient, reason};
use crate::{
    Error,
    checkpoint::{
        architecture::{Architecture, Family},
        files, published,
    },
    decoder::DecoderConfig,
};

const CONFIG: &str = "config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";

pub(super) fn examine(patient: &mut Patient<'_>) {
    let config = match files::json(patient.dir, CONFIG) {
        Some(Ok(config)) => config,
        Some(Err(problem)) => return patient.report(unreadable(&problem)),
        None => return patient.report(unreadable("there is none")),
    };
    let path = patient.dir.join(CONFIG);
    match Architecture::read(&config, &path) {
        Ok((architecture, contradictions)) => {
            for contradiction in contradictions {
                let problem = format!("`{}` {}", contradiction.field, contradiction.reason);
                let mend = "correct the field; the published `config.json` of the model says what it should be";
                patient.report(
                    Finding::defect(Code::ConfigContradiction, CONFIG, problem, mend)
                        .of(contradiction.field),
                );
            }
            patient.architecture = architecture;
        }
        Err(error) => patient.report(unknown(&error)),
    }
    if patient.findings.is_empty() {
        examine_as_loaded(patient, &config, &path);
    }
    patient.config = Some(config);
}

/// Asks those who run the model, who know what they cannot do.
fn examine_as_loaded(patient: &mut Patient<'_>, config: &Value, path: &Path) {
    let refused = match patient.family() {
        Some(Family::MiniCpmO) => crate::minicpm_o::Config::from_json(config, path).err(),
        Some(Family::Qwen2_5Vl | Family::Qwen2_5Omni) => {
            crate::qwen2_5_vl::Config::from_json(config, path).err()
        }
        Some(_) => DecoderConfig::from_json(config, path).err(),
        None => None,
    };
    let Some(error) = refused else { return };
    let mend = "correct the field, or use a model whose configuration is supported";
    let finding = Finding::defect(Code::ConfigUnsupported, CONFIG, reason(&error), mend);
    patient.report(match error {
        Error::Config { field, .. } => finding.of(field),
        _ => finding,
    });
}

fn unreadable(problem: &str) -> Finding {
    let mend = "copy the `config.json` that belongs to these weights";
    Finding::defect(Code::ConfigUnreadable, CONFIG, problem, mend)
}

fn unknown(error: &Error) -> Finding {
    let problem = match error {
        Error::UnknownArchitecture { found, known, .. } => {
            format!("it names the model `{found}`, known are {known}")
        }
        other => reason(other),
    };
    let mend = "use a checkpoint of a known model, or name the model's class in `architectures`";
    Finding::defect(Code::ArchitectureUnknown, CONFIG, problem, mend).of("architectures")
}

/// Compares with the published file, and with `config.json` where that says it too: a picture that is cut in another way gives another reward.
pub(super) fn examine_preprocessor(patient: &mut Patient<'_>) {
    let unreadable = |problem: &str| {
        let mend = "copy `preprocessor_config.json` from the published checkpoint";
        Finding::defect(Code::PreprocessorUnreadable, PREPROCESSOR, problem, mend)
    };
    let found = match files::json(patient.dir, PREPROCESSOR) {
        Some(Ok(found)) => found,
        Some(Err(problem)) => return patient.report(unreadable(&problem)),
        None => return patient.report(unreadable("there is none")),
    };
    let published = published::preprocessor(patient.config.as_ref().unwrap_or(&Value::Null));
    for field in published::PREPROCESSING_FIELDS {
        let (is, should) = (&found[field], &published[field]);
        if !is_same(is, should) {
            let problem = match is {
                Value::Null => format!("`{field}` is missing, expected `{should}`"),
                _ => format!("`{field}` is `{is}`, expected `{should}`"),
            };
            let mend =
                format!("set it to `{should}`, unless the model was trained with the other value");
            patient.report(
                Finding::defect(Code::PreprocessorDiffers, PREPROCESSOR, problem, mend).of(field),
            );
        }
    }
}

/// Whether two values are the same, where `9` and `9.0` are.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| is_same(left, right))
        }
        _ => left == right,
    }
}
