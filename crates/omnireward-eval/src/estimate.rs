use omnireward_core::{Modality, OrderPolicy, Part, Preference, PreferencePair, Usage};
use omnireward_data::{Dataset, Error};

use crate::RunPlan;

/// How many pairs of each part of a benchmark an estimate looks at.
const SAMPLE: usize = 12;

/// Rough sizes, good to a factor of about two. They are stated wherever an estimate is shown.
const CHARACTERS_PER_TOKEN: f64 = 4.0;
const INSTRUCTION_TOKENS: f64 = 350.0;
const REPLY_TOKENS: f64 = 350.0;
const IMAGE_TOKENS: f64 = 1_000.0;
const AUDIO_TOKENS: f64 = 300.0;
const FRAMES_OF_A_PROMPT: f64 = 10.0;
const FRAMES_OF_A_RESPONSE: f64 = 5.0;

/// What a run is expected to ask and to use, from the first pairs of each part of a benchmark.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Questions, if every row is a usable pair.
    pub questions: u64,
    /// Requests and tokens. Text counts four characters a token, a picture 1,000 tokens, a clip of
    /// sound 300, a reply 350: expect it to be off by up to a factor of two.
    pub usage: Usage,
}

impl Estimate {
    /// Estimates `plan` over `dataset`, with `votes` requests for each question. A judge that is
    /// not order-sensitive is asked in one order only. Reads just the first dozen pairs of each
    /// part, and no media.
    ///
    /// # Errors
    ///
    /// When a part of the benchmark cannot be opened.
    pub fn new(
        dataset: &Dataset,
        plan: &RunPlan,
        is_order_sensitive: bool,
        votes: u32,
    ) -> Result<Self, Error> {
        let orders = if is_order_sensitive && plan.order == OrderPolicy::Both {
            2.0
        } else {
            1.0
        };
        let mut total = Self::default();
        for part in dataset.parts() {
            let pairs: Vec<PreferencePair> = part
                .open()?
                .filter_map(Result::ok)
                .filter(|pair| plan.tasks.contains(&pair.task))
                .take(SAMPLE)
                .collect();
            if pairs.is_empty() {
                continue;
            }
            let rows = part.rows.unwrap_or(pairs.len() as u64);
            let rows = plan.limit.map_or(rows, |limit| rows.min(limit)) as f64;
            let share = rows / pairs.len() as f64;
            let asked = |pair: &PreferencePair| orders * settings(pair, plan) as f64;
            let questions: f64 = pairs.iter().map(asked).sum();
            let prompt: f64 = pairs.iter().map(|pair| asked(pair) * prompt_tokens(pair)).sum();
            let votes = f64::from(votes);
            total.questions += (questions * share).round() as u64;
            total.usage += Usage {
                requests: (questions * share * votes).round() as u32,
                prompt_tokens: (prompt * share * votes).round() as u64,
                completion_tokens: (questions * share * votes * REPLY_TOKENS).round() as u64,
            };
        }
        Ok(total)
    }
}

/// In how many of the plan's settings a pair is asked about.
fn settings(pair: &PreferencePair, plan: &RunPlan) -> usize {
    let is_tie = pair.label == Some(Preference::Tie);
    plan.settings.iter().filter(|setting| setting.offers_tie() || !is_tie).count()
}

fn prompt_tokens(pair: &PreferencePair) -> f64 {
    let criterion = pair.criterion.as_ref().map_or(0, |c| c.chars().count());
    let responses = pair.responses.iter().flat_map(|response| &response.parts);
    INSTRUCTION_TOKENS
        + criterion as f64 / CHARACTERS_PER_TOKEN
        + pair.prompt.iter().map(|part| tokens(part, FRAMES_OF_A_PROMPT)).sum::<f64>()
        + responses.map(|part| tokens(part, FRAMES_OF_A_RESPONSE)).sum::<f64>()
}

fn tokens(part: &Part, frames: f64) -> f64 {
    match part {
        Part::Text(text) => text.chars().count() as f64 / CHARACTERS_PER_TOKEN,
        Part::Media(media) => match media.modality {
            Modality::Text => 0.0,
            Modality::Image | Modality::Mesh => IMAGE_TOKENS,
            Modality::Video => frames * IMAGE_TOKENS,
            Modality::Audio => AUDIO_TOKENS,
        },
    }
}
