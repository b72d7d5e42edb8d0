use std::collections::BTreeSet;

use omnireward_core::{PreferencePair, Response, Task};
use serde_json::Value;
use tokenizers::Tokenizer;

use super::{Code, Finding, Patient, reason};
use crate::{
    Error,
    checkpoint::{
        architecture::Family,
        files, inspect,
        published::{MINICPM_TOKENS, PLACEHOLDER, QWEN_TOKENS},
    },
    processor::ChatProcessor,
};

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Those of turns and media in Qwen2.5-Omni's conversations.
const OMNI_TOKENS: [&str; 9] = [
    "<|im_start|>",
    "<|im_end|>",
    "<|AUDIO|>",
    "<|audio_bos|>",
    "<|audio_eos|>",
    "<|vision_bos|>",
    "<|vision_eos|>",
    "<|IMAGE|>",
    "<|VIDEO|>",
];
/// Those of turns and media in Qwen2.5-VL's conversations.
const VISUAL_TOKENS: [&str; 6] = [
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
];

pub(super) fn examine(patient: &mut Patient<'_>) {
    let path = patient.dir.join(TOKENIZER);
    let loaded = if path.is_file() {
        Tokenizer::from_file(&path).map_err(|error| error.to_string())
    } else {
        Err("there is none".to_owned())
    };
    let tokenizer = match loaded {
        Ok(tokenizer) => tokenizer,
        Err(problem) => {
            let mend = "copy the `tokenizer.json` that belongs to these weights";
            return patient.report(Finding::defect(
                Code::TokenizerUnreadable,
                TOKENIZER,
                problem,
                mend,
            ));
        }
    };
    let config = match files::json(patient.dir, TOKENIZER_CONFIG) {
        Some(Ok(config)) => config,
        Some(Err(problem)) => {
            let mend = "copy the `tokenizer_config.json` that belongs to these weights";
            patient.report(Finding::defect(
                Code::TokenizerUnreadable,
                TOKENIZER_CONFIG,
                problem,
                mend,
            ));
            return;
        }
        None => Value::Null,
    };
    examine_tokens(patient, &tokenizer, &config);
    examine_range(patient, &tokenizer);
    examine_declared(patient, &tokenizer, &config);
    examine_template(patient, &tokenizer);
}

/// Tokens that text of the model contains.
fn needed(patient: &Patient<'_>, config: &Value) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    if patient.family() == Some(Family::Qwen2_5Vl) {
        needed.extend(VISUAL_TOKENS.map(str::to_owned));
    }
    if patient.family() == Some(Family::Qwen2_5Omni) {
        needed.extend(OMNI_TOKENS.map(str::to_owned));
    }
    if patient.family() == Some(Family::MiniCpmO) {
        let chat = QWEN_TOKENS.iter().take(3).map(|(token, _)| *token);
        let all = chat.chain(MINICPM_TOKENS).chain([PLACEHOLDER]);
        needed.extend(all.map(str::to_owned));
    }
    for name in ["bos_token", "eos_token", "pad_token", "unk_token"] {
        let token = &config[name];
        let token = token.as_str().or_else(|| token["content"].as_str());
        needed.extend(token.map(str::to_owned));
    }
    needed
}

fn examine_tokens(patient: &mut Patient<'_>, tokenizer: &Tokenizer, config: &Value) {
    let mend = "use the tokenizer that was saved with the model";
    let findings = needed(patient, config).into_iter().filter_map(|token| {
        let problem = match tokenizer.token_to_id(&token) {
            None => format!("it has no token `{token}`"),
            Some(id) => {
                let ids = tokenizer.encode(token.as_str(), false).ok()?;
                if ids.get_ids() == [id] {
                    return None;
                }
                format!("it cuts `{token}` into {} tokens", ids.len())
            }
        };
        Some(Finding::defect(Code::TokenMissing, TOKENIZER, problem, mend).of(token))
    });
    patient.report_many(findings.collect());
}

fn examine_range(patient: &mut Patient<'_>, tokenizer: &Tokenizer) {
    let Some(rows) = patient
        .architecture
        .as_ref()
        .map(|model| model.text.vocabulary)
    else {
        return;
    };
    let beyond = tokenizer.get_vocab(true).into_iter();
    let mut beyond: Vec<(u32, String)> = beyond
        .filter(|(_, id)| *id as usize >= rows)
        .map(|(token, id)| (id, token))
        .collect();
    beyond.sort_unstable();
    let findings = beyond.into_iter().map(|(id, token)| {
        let problem = format!("`{token}` has id {id}, the model has {rows} embeddings");
        let mend = "use the tokenizer that was saved with the model, or enlarge its embeddings and train them";
        Finding::defect(Code::TokenOutOfRange, TOKENIZER, problem, mend).of(token)
    });
    patient.report_many(findings.collect());
}

/// What `tokenizer_config.json` and `config.json` say about ids.
fn examine_declared(patient: &mut Patient<'_>, tokenizer: &Tokenizer, config: &Value) {
    let conflict = |file: &str, problem: String| {
        let mend = "use the files that were saved together";
        Finding::defect(Code::TokenConflict, file, problem, mend)
    };
    let declared = config["added_tokens_decoder"]
        .as_object()
        .into_iter()
        .flatten();
    let declared = declared.filter_map(|(id, token)| {
        let content = token["content"].as_str()?;
        let (says, is) = (id.parse().ok(), tokenizer.token_to_id(content)?);
        (says != Some(is)).then(|| {
            let problem = format!("it gives `{content}` the id {id}, `{TOKENIZER}` gives it {is}");
            conflict(TOKENIZER_CONFIG, problem).of(content)
        })
    });
    let mut findings: Vec<Finding> = declared.collect();
    for field in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        let ids = patient
            .config
            .as_ref()
            .map_or(&Value::Null, |config| &config[field]);
        let ids = ids
            .as_array()
            .map_or(std::slice::from_ref(ids), Vec::as_slice);
        for id in ids.iter().filter_map(Value::as_u64) {
            if tokenizer.id_to_token(id as u32).is_none() {
                let problem = format!("`{field}` is {id}, which is no token of `{TOKENIZER}`");
                findings.push(conflict("config.json", problem).of(field));
            }
        }
    }
    patient.report_many(findings);
}

/// Fills the chat template in, where there is one: it must work, and give the same whenever it does.
fn examine_template(patient: &mut Patient<'_>, tokenizer: &Tokenizer) {
    let Some((file, source)) = inspect::template(patient.dir) else {
        return;
    };
    if inspect::asks_for_date(&source) {
        let mend =
            "replace `strftime_now(…)` by a fixed date, or the lines that print it by nothing";
        let problem = "the template asks for today's date, so a reward would depend on the day";
        return patient
            .report(Finding::defect(Code::TemplateDate, &file, problem, mend).of("chat_template"));
    }
    let unusable = |problem: String| {
        let mend = "copy the template that the model was trained with";
        Finding::defect(Code::TemplateUnusable, &file, problem, mend).of("chat_template")
    };
    let rendered = match rendered(patient, tokenizer) {
        Ok(rendered) => rendered,
        Err(Error::Template { reason, .. }) => return patient.report(unusable(reason)),
        // Whatever else keeps a processor from being opened has been reported by its own name.
        Err(_) if !patient.findings.is_empty() => return,
        Err(error) => return patient.report(unusable(reason(&error))),
    };
    let prints_date = ["Today Date", "Today's date", "Current date"]
        .into_iter()
        .find(|words| rendered.contains(words));
    if let Some(words) = prints_date {
        let problem = format!("the template prints a date (`{words}`)");
        let mend = "check that the model was trained with the same date, and keep it fixed";
        patient.report(
            Finding::defect(Code::TemplateDate, &file, problem, mend)
                .of("chat_template")
                .warning(),
        );
    }
}

/// A conversation, as it is scored.
fn rendered(patient: &Patient<'_>, tokenizer: &Tokenizer) -> Result<String, Error> {
    let processor = ChatProcessor::open(patient.dir)?;
    let responses = ["Four.", "Five."].map(Response::text);
    let pair = PreferencePair::new("doctor", Task::T2T, "What is two and two?", responses);
    let sequences = processor.sequences(&pair)?;
    let ids: Vec<u32> = sequences.iter().flatten().map(|row| row.token).collect();
    tokenizer
        .decode(&ids, false)
        .map_err(|error| Error::Tokenizer {
            path: patient.dir.join(TOKENIZER),
            reason: error.to_string(),
        })
}
