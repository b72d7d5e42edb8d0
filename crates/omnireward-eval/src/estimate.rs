use std::collections::BTreeMap;

use omnireward_core::{
    Judge, Modality, OrderPolicy, Part, Preference, PreferencePair, Task, Usage,
};
use omnireward_data::Dataset;

use crate::RunPlan;

/// How many rows of a part are looked at where that is enough.
const SAMPLE: usize = 12;

/// Rough sizes, good to a factor of about two. They are stated wherever an estimate is shown.
const CHARACTERS_PER_TOKEN: f64 = 4.0;
const INSTRUCTION_TOKENS: f64 = 350.0;
const REPLY_TOKENS: f64 = 350.0;
const IMAGE_TOKENS: f64 = 1_000.0;
const AUDIO_TOKENS: f64 = 300.0;
const FRAMES_OF_A_PROMPT: f64 = 10.0;
const FRAMES_OF_A_RESPONSE: f64 = 5.0;

/// What a run is expected to ask and to use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Questions, those included that a tie label rules out: what progress is counted in.
    pub planned: u64,
    /// Questions that will be asked.
    pub questions: u64,
    /// Requests and tokens. Text counts four characters a token, a picture 1,000 tokens, a clip of
    /// sound 300, a reply 350: expect it to be off by up to a factor of two.
    pub usage: Usage,
}

/// Sums over the rows of one task.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    rows: f64,
    planned: f64,
    questions: f64,
    prompt_tokens: f64,
}

impl Estimate {
    /// Estimates what `judge` is asked about `dataset` under `plan`, with `votes` requests for each
    /// question.
    ///
    /// Of a part whose task and number of rows are known, only the first rows are read; any other
    /// is read to its end. No media are read. What cannot be read is not counted: the run itself
    /// reports it.
    pub fn new(dataset: &Dataset, plan: &RunPlan, judge: &dyn Judge, votes: u32) -> Self {
        let orders = |task: Task| {
            let is_both = judge.is_order_sensitive_in(task) && plan.order == OrderPolicy::Both;
            if is_both { 2.0 } else { 1.0 }
        };
        let wanted = |task: Task| plan.tasks.contains(&task) && judge.supports(task);
        let mut tasks: BTreeMap<Task, Sums> = BTreeMap::new();
        for part in dataset.parts() {
            if part.task.is_some_and(|task| !wanted(task)) {
                continue;
            }
            let known = part.task.and(part.rows);
            let read = known.map_or(usize::MAX, |_| SAMPLE);
            let rows = part.open().into_iter().flatten().take(read);
            let mut found: BTreeMap<Task, Sums> = BTreeMap::new();
            for pair in rows.filter_map(Result::ok).filter(|pair| wanted(pair.task)) {
                let orders = orders(pair.task);
                found.entry(pair.task).or_default().add(&pair, plan, orders);
            }
            for (task, sums) in found {
                let share = known.map_or(1.0, |rows| rows as f64 / sums.rows);
                tasks.entry(task).or_default().add_share(sums, share);
            }
        }
        let mut total = Sums::default();
        for sums in tasks.into_values() {
            let limit = plan.limit.map_or(f64::INFINITY, |limit| limit as f64);
            total.add_share(sums, (limit / sums.rows).min(1.0));
        }
        let votes = f64::from(votes);
        Self {
            planned: total.planned.round() as u64,
            questions: total.questions.round() as u64,
            usage: Usage {
                requests: (total.questions * votes).round() as u32,
                prompt_tokens: (total.prompt_tokens * votes).round() as u64,
                completion_tokens: (total.questions * votes * REPLY_TOKENS).round() as u64,
            },
        }
    }
}

impl Sums {
    fn add(&mut self, pair: &PreferencePair, plan: &RunPlan, orders: f64) {
        self.rows += 1.0;
        for pair in pair.comparisons() {
            let questions = orders * settings(&pair, plan) as f64;
            self.planned += orders * plan.settings.len() as f64;
            self.questions += questions;
            self.prompt_tokens += questions * prompt_tokens(&pair);
        }
    }

    fn add_share(&mut self, other: Self, share: f64) {
        self.rows += other.rows * share;
        self.planned += other.planned * share;
        self.questions += other.questions * share;
        self.prompt_tokens += other.prompt_tokens * share;
    }
}

/// In how many of the plan's settings a pair is asked about.
fn settings(pair: &PreferencePair, plan: &RunPlan) -> usize {
    let is_tie = pair.label == Some(Preference::Tie);
    plan.settings
        .iter()
        .filter(|setting| setting.offers_tie() || !is_tie)
        .count()
}

fn prompt_tokens(pair: &PreferencePair) -> f64 {
    let criterion = pair.criterion.as_ref().map_or(0, |c| c.chars().count());
    let responses = pair.responses.iter().flat_map(|response| &response.parts);
    INSTRUCTION_TOKENS
        + criterion as f64 / CHARACTERS_PER_TOKEN
        + pair
            .prompt
            .iter()
            .map(|part| tokens(part, FRAMES_OF_A_PROMPT))
            .sum::<f64>()
        + responses
            .map(|part| tokens(part, FRAMES_OF_A_RESPONSE))
            .sum::<f64>()
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
