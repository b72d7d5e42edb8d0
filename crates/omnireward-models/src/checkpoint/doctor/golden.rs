use std::{error::Error as StdError, fs, path::Path};

use omnireward_core::{PreferencePair, Response, Task};
use serde::{Deserialize, Serialize};

use super::{Code, Finding, Patient};
use crate::{Error, Precision, Result, checkpoint::files};

/// The file of golden inputs, beside the weights.
const GOLDEN: &str = "golden.json";

/// Why pairs could not be scored.
pub type ScoreError = Box<dyn StdError + Send + Sync>;

/// Scores pairs at a precision: for each its responses' rewards.
pub type Score<'a> = dyn Fn(&[PreferencePair], Precision) -> Result<Vec<Vec<f64>>, ScoreError> + 'a;

/// Pairs with the rewards that a checkpoint gave them when it was made, so that whoever runs it elsewhere, or later,
/// can see that nothing has changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// The type of activations that the rewards were computed with.
    pub precision: Precision,
    /// How far a reward may be off, relative to its size or to one. Machines round differently.
    pub tolerance: f64,
    /// The pairs.
    pub pairs: Vec<GoldenPair>,
}

/// A pair of words with its rewards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenPair {
    /// The instruction.
    pub prompt: String,
    /// What "better" means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criterion: Option<String>,
    /// The responses.
    pub responses: Vec<String>,
    /// Their rewards.
    pub rewards: Vec<f64>,
}

impl GoldenPair {
    fn pair(&self, number: usize) -> PreferencePair {
        let responses = self.responses.iter().map(Response::text);
        let pair = PreferencePair::new(
            format!("golden-{number}"),
            Task::T2T,
            &self.prompt,
            responses,
        );
        match &self.criterion {
            Some(criterion) => pair.with_criterion(criterion),
            None => pair,
        }
    }
}

impl Golden {
    /// Relative differences that are allowed where nothing else is said: rounding of single precision adds up to less
    /// than the first through 30 layers, and a `bf16` has three digits.
    const fn usual_tolerance(precision: Precision) -> f64 {
        match precision {
            Precision::F32 => 1e-3,
            Precision::AsStored | Precision::Bf16 => 5e-2,
        }
    }

    /// A few pairs of words, with no rewards yet.
    fn unscored() -> Vec<GoldenPair> {
        let pair = |prompt: &str, criterion: Option<&str>, responses: [&str; 2]| GoldenPair {
            prompt: prompt.to_owned(),
            criterion: criterion.map(str::to_owned),
            responses: responses.map(str::to_owned).to_vec(),
            rewards: Vec::new(),
        };
        vec![
            pair(
                "What is the capital of France?",
                None,
                ["The capital of France is Paris.", "Paris is in Texas."],
            ),
            pair(
                "Write a line about the sea.",
                Some("The response uses an image that surprises."),
                [
                    "The sea is big and blue.",
                    "The sea keeps rehearsing one sentence.",
                ],
            ),
            pair(
                "用一句话解释光合作用。",
                Some("The response is correct and short."),
                [
                    "植物利用光能把水和二氧化碳变成糖和氧气。",
                    "光合作用是一种动物的行为。",
                ],
            ),
            pair(
                "Return 7 * 6 as JSON.",
                None,
                [
                    "{\"answer\": 42}",
                    "The answer is forty-two, I believe, though do check: 7 × 6 = 42.",
                ],
            ),
        ]
    }

    fn read(dir: &Path) -> Option<Result<Self, String>> {
        let json = match files::json(dir, GOLDEN)? {
            Ok(json) => json,
            Err(problem) => return Some(Err(problem)),
        };
        let golden: Result<Self, _> = serde_json::from_value(json);
        let golden = golden
            .map_err(|error| error.to_string())
            .and_then(|golden| {
                let is_even = |pair: &GoldenPair| pair.rewards.len() == pair.responses.len();
                if golden.pairs.iter().all(is_even) {
                    Ok(golden)
                } else {
                    Err("a pair has not as many rewards as responses".to_owned())
                }
            });
        Some(golden)
    }

    fn is_close(&self, is: f64, was: f64) -> bool {
        (is - was).abs() <= self.tolerance * was.abs().max(1.0)
    }
}

/// Scores a few pairs and stores them with their rewards in the checkpoint's folder.
///
/// # Errors
///
/// Fails when the pairs cannot be scored or the file cannot be written.
pub fn write_golden(
    dir: &Path,
    precision: Precision,
    score: &Score<'_>,
) -> Result<Golden, ScoreError> {
    let mut pairs = Golden::unscored();
    let rewards = score(&asked(&pairs), precision)?;
    for (pair, rewards) in pairs.iter_mut().zip(rewards) {
        pair.rewards = rewards;
    }
    let golden = Golden {
        precision,
        tolerance: Golden::usual_tolerance(precision),
        pairs,
    };
    let path = dir.join(GOLDEN);
    let text = serde_json::to_string_pretty(&golden)?;
    fs::write(&path, text + "\n").map_err(|source| Error::Io { path, source })?;
    Ok(golden)
}

fn asked(pairs: &[GoldenPair]) -> Vec<PreferencePair> {
    let numbered = pairs.iter().enumerate();
    numbered.map(|(index, pair)| pair.pair(index + 1)).collect()
}

pub(super) fn examine(patient: &mut Patient<'_>, score: Option<&Score<'_>>) {
    let golden = match Golden::read(patient.dir) {
        None => return,
        Some(Ok(golden)) => golden,
        Some(Err(problem)) => {
            let mend = "write the golden inputs again, with a checkpoint that is known to be good";
            return patient.report(Finding::defect(
                Code::GoldenUnreadable,
                GOLDEN,
                problem,
                mend,
            ));
        }
    };
    let Some(score) = score else {
        let problem = "there are golden inputs, and they were not scored";
        let mend = "examine the checkpoint with what scores it";
        let finding = Finding::defect(Code::GoldenUnchecked, GOLDEN, problem, mend);
        return patient.report(finding.warning());
    };
    // A checkpoint with defects cannot be expected to score.
    if patient
        .findings
        .iter()
        .any(|finding| finding.severity == super::Severity::Defect)
    {
        return;
    }
    let mend =
        "find out what changed since the file was written: weights, tokenizer, template or program";
    match score(&asked(&golden.pairs), golden.precision) {
        Err(error) => {
            let problem = format!(
                "the golden inputs cannot be scored: {}",
                omnireward_core::error_chain(error.as_ref())
            );
            patient.report(Finding::defect(Code::GoldenReward, GOLDEN, problem, mend));
        }
        Ok(rewards) => {
            let findings = compare(&golden, &rewards)
                .map(|(subject, problem)| {
                    Finding::defect(Code::GoldenReward, GOLDEN, problem, mend).of(subject)
                })
                .collect();
            patient.report_many(findings);
        }
    }
}

fn compare(golden: &Golden, rewards: &[Vec<f64>]) -> impl Iterator<Item = (String, String)> {
    let pairs = golden.pairs.iter().zip(rewards).enumerate();
    pairs.flat_map(move |(pair, (stored, now))| {
        let responses = stored.rewards.iter().zip(now).enumerate();
        let off = responses.filter(|(_, (was, is))| !golden.is_close(**is, **was));
        off.map(move |(response, (was, is))| {
            let subject = format!("pair {}, response {}", pair + 1, response + 1);
            (subject, format!("the reward was {was} and is {is}"))
        })
    })
}
