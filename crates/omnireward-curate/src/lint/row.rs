//! Checks of one row.

use omnireward_core::{Modality, Part, Preference, PreferencePair, Task, joined_text};
use sha2::{Digest, Sha256};

use super::{
    Code, Finding, LintConfig, criterion,
    media::{self, Medium},
    words,
};

/// What is known of a row when it has been looked at by itself.
pub(super) struct Checked {
    pub(super) findings: Vec<Finding>,
    pub(super) pair_id: String,
    pub(super) task: Task,
    pub(super) texts: Vec<Text>,
    /// A hash of prompt, responses and criterion that does not depend on the order of responses;
    /// `None` where the bytes of a medium are not known.
    pub(super) content: Option<[u8; 32]>,
    /// The hash of the preferred response, or a mark for a tie; `None` without a label or content.
    pub(super) preferred: Option<[u8; 32]>,
    pub(super) label: Option<Preference>,
}

/// What statistics need of a text.
pub(super) struct Text {
    pub(super) field: String,
    /// Texts are compared with others of their kind: `prompt`, `criterion`, `response`.
    pub(super) kind: &'static str,
    pub(super) characters: usize,
    pub(super) language: Option<&'static str>,
}

/// Collects the findings of one row.
pub(super) struct Findings<'a> {
    pub(super) pair: &'a PreferencePair,
    row: u64,
    found: Vec<Finding>,
}

impl Findings<'_> {
    pub(super) fn add(&mut self, code: Code, field: impl Into<String>, reason: impl Into<String>) {
        self.found.push(Finding {
            code,
            row: Some(self.row),
            pair_id: Some(self.pair.id.clone()),
            field: Some(field.into()),
            reason: reason.into(),
        });
    }
}

impl Checked {
    pub(super) fn new(pair: &PreferencePair, row: u64, config: &LintConfig) -> Self {
        let mut findings = Findings {
            pair,
            row,
            found: Vec::new(),
        };
        let prompt = media::look_at(&pair.prompt, "prompt", config, &mut findings);
        let responses: Vec<Vec<Medium>> = pair
            .responses
            .iter()
            .enumerate()
            .map(|(index, response)| {
                media::look_at(
                    &response.parts,
                    &response_field(index),
                    config,
                    &mut findings,
                )
            })
            .collect();
        shape(&mut findings);
        words::check(&mut findings);
        criterion::check(&mut findings);
        let digests: Vec<Option<[u8; 32]>> = pair
            .responses
            .iter()
            .zip(&responses)
            .map(|(response, media)| digest(&response.parts, media))
            .collect();
        sameness(&mut findings, &prompt, &responses, &digests);
        let known: Option<Vec<[u8; 32]>> = digests.into_iter().collect();
        Self {
            findings: findings.found,
            pair_id: pair.id.clone(),
            task: pair.task,
            texts: texts(pair),
            content: known
                .as_ref()
                .and_then(|known| content(pair, &prompt, known)),
            preferred: known.as_ref().and_then(|known| preferred(pair, known)),
            label: pair.label,
        }
    }
}

/// How a response's field is called.
pub(super) fn response_field(index: usize) -> String {
    format!("responses[{index}]")
}

/// Whether the pair has the parts that its task asks for.
fn shape(findings: &mut Findings<'_>) {
    let pair = findings.pair;
    if pair.label.is_none() && pair.ranking.is_none() {
        findings.add(Code::Unlabelled, "label", "there is no label");
    }
    let is_empty = |parts: &[Part]| {
        joined_text(parts).trim().is_empty() && !parts.iter().any(|part| part.as_media().is_some())
    };
    if is_empty(&pair.prompt) {
        findings.add(
            Code::EmptyPrompt,
            "prompt",
            "the prompt has neither words nor media",
        );
    }
    let mut is_whole = !is_empty(&pair.prompt);
    for (index, response) in pair.responses.iter().enumerate() {
        if is_empty(&response.parts) {
            is_whole = false;
            let reason = "the response has neither words nor media";
            findings.add(Code::EmptyResponse, response_field(index), reason);
        }
    }
    let before = findings.found.len();
    media_counts(findings);
    if is_whole
        && findings.found.len() == before
        && let Err(invalid) = pair.validate()
    {
        findings.add(Code::InvalidPair, "responses", invalid.reason);
    }
}

fn media_counts(findings: &mut Findings<'_>) {
    let pair = findings.pair;
    let count = |parts: &[Part]| {
        parts
            .iter()
            .filter(|part| part.as_media().is_some())
            .count()
    };
    let in_prompt = count(&pair.prompt);
    let task = pair.task;
    match task.prompt_modality() {
        Some(modality) => {
            let fitting = pair.prompt.iter().filter_map(Part::as_media);
            let fitting = fitting
                .filter(|media| stands_for(media.modality, modality))
                .count();
            if fitting == 0 {
                let reason = format!(
                    "{task} needs a medium of kind {modality} in the prompt, and there is none"
                );
                findings.add(Code::WrongMediaCount, "prompt", reason);
            }
        }
        None if in_prompt > 0 => {
            let reason = format!("{task} has no media in the prompt, and there are {in_prompt}");
            findings.add(Code::WrongMediaCount, "prompt", reason);
        }
        None => {}
    }
    let counts: Vec<usize> = pair
        .responses
        .iter()
        .map(|response| count(&response.parts))
        .collect();
    if task.is_generation() {
        if counts.windows(2).any(|two| two[0] != two[1]) {
            let reason = format!("the responses hold different numbers of media: {counts:?}");
            findings.add(Code::WrongMediaCount, "responses", reason);
        }
    } else if let Some(index) = counts.iter().position(|count| *count > 0) {
        let reason = format!(
            "a response of {task} is text, and this one holds {} media",
            counts[index]
        );
        findings.add(Code::WrongMediaCount, response_field(index), reason);
    }
}

/// A video may be given as frames.
fn stands_for(given: Modality, wanted: Modality) -> bool {
    given == wanted || (wanted == Modality::Video && given == Modality::Image)
}

/// Whether things are the same that should differ.
fn sameness(
    findings: &mut Findings<'_>,
    prompt: &[Medium],
    responses: &[Vec<Medium>],
    digests: &[Option<[u8; 32]>],
) {
    let pair = findings.pair;
    let is_empty = |index: usize| {
        joined_text(&pair.responses[index].parts).trim().is_empty() && responses[index].is_empty()
    };
    for (index, digest) in digests.iter().enumerate() {
        let is_same = |other: &Option<[u8; 32]>| other.is_some() && other == digest;
        let earlier = digests[..index].iter().position(is_same);
        if let Some(earlier) = earlier.filter(|_| !is_empty(index)) {
            let reason = format!("the same as {}", response_field(earlier));
            findings.add(Code::IdenticalResponses, response_field(index), reason);
        }
    }
    let question = normal(&joined_text(&pair.prompt));
    for (index, response) in pair.responses.iter().enumerate() {
        let words = normal(&joined_text(&response.parts));
        let echoes = words.chars().count() >= 20 && words == question;
        // That a request was not carried out is what a rejected response may show.
        let should_differ = pair.criterion.is_none() && is_preferred(pair, index);
        let same_medium = responses[index].iter().any(|medium| {
            medium.digest.is_some() && prompt.iter().any(|other| other.digest == medium.digest)
        });
        let same_medium = same_medium && should_differ;
        if echoes || same_medium {
            let reason = if echoes {
                "it is the prompt"
            } else {
                "its medium is the prompt's, unchanged"
            };
            findings.add(Code::ResponseEchoesPrompt, response_field(index), reason);
        }
    }
}

fn is_preferred(pair: &PreferencePair, index: usize) -> bool {
    match pair.label {
        Some(Preference::First) => index == 0,
        Some(Preference::Second) => index == 1,
        _ => false,
    }
}

/// Words with every run of white space as one space.
pub(super) fn normal(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A hash of words and media; `None` where the bytes of a medium are not known.
fn digest(parts: &[Part], media: &[Medium]) -> Option<[u8; 32]> {
    let mut hash = Sha256::new();
    hash.update(normal(&joined_text(parts)).as_bytes());
    for medium in media {
        hash.update([0]);
        hash.update(medium.digest?);
    }
    Some(hash.finalize().into())
}

fn content(pair: &PreferencePair, prompt: &[Medium], digests: &[[u8; 32]]) -> Option<[u8; 32]> {
    let mut digests = digests.to_vec();
    digests.sort_unstable();
    let mut hash = Sha256::new();
    hash.update(pair.task.code());
    hash.update(digest(&pair.prompt, prompt)?);
    for digest in digests {
        hash.update(digest);
    }
    hash.update(pair.criterion.as_deref().map(normal).unwrap_or_default());
    Some(hash.finalize().into())
}

/// Which response is preferred, said so that the order of responses does not matter.
fn preferred(pair: &PreferencePair, digests: &[[u8; 32]]) -> Option<[u8; 32]> {
    if let Some(ranking) = &pair.ranking {
        let mut ranked: Vec<(&u32, &[u8; 32])> = ranking.iter().zip(digests).collect();
        ranked.sort_unstable();
        let mut hash = Sha256::new();
        for (rank, digest) in ranked {
            hash.update(rank.to_le_bytes());
            hash.update(digest);
        }
        return Some(hash.finalize().into());
    }
    match pair.label? {
        Preference::First => digests.first().copied(),
        Preference::Second => digests.get(1).copied(),
        Preference::Tie => Some([0; 32]),
    }
}

fn texts(pair: &PreferencePair) -> Vec<Text> {
    let mut texts = Vec::new();
    let mut put = |field: String, kind, text: &str| {
        if !text.trim().is_empty() {
            texts.push(Text {
                field,
                kind,
                characters: text.chars().count(),
                language: words::language(text),
            });
        }
    };
    put("prompt".to_owned(), "prompt", &joined_text(&pair.prompt));
    if let Some(criterion) = &pair.criterion {
        put("criterion".to_owned(), "criterion", criterion);
    }
    for (index, response) in pair.responses.iter().enumerate() {
        put(
            response_field(index),
            "response",
            &joined_text(&response.parts),
        );
    }
    texts
}
