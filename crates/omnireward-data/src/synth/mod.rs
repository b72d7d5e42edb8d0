//! Preference pairs made from a seed, in all nine tasks, with labels that are true by construction.
//!
//! A scene gives each attribute of a small world a value: so many circles of a colour at a place, a
//! square that moves, beeps in a rhythm, solids on a plate. Its responses have some attributes right
//! and some wrong, media have defects, and answers in words have a style. A criterion asks about one
//! of these aspects in free words, and the label follows by a rule: right beats wrong, less of a
//! defect beats more, and equals are a tie. Most scenes with several criteria have some that prefer
//! one response and as many that prefer the other.
//!
//! The training and the test split share neither a scene that a prompt is about nor the wording of a
//! criterion. What responses *are* is kept in each pair's `extra`: `aspect` and `sense` of the
//! criterion, `goal`, and the `truth` of each response.
//!
//! The labels are verifiable, not human: they measure whether a judge sees, hears and reads, and does
//! what the criterion says, not whether it has taste.

mod answers;
mod aspect;
mod criteria;
mod damage;
mod draft;
mod film;
mod pairs;
mod picture;
mod random;
mod scene;
mod scrambled;
mod solid;
mod sound;
mod text;
mod words;
mod write;

use omnireward_core::{PreferencePair, Task};
use serde::{Deserialize, Serialize};

pub use answers::{AnswerStyle, VerdictForm, reasoned_answer};
use draft::Draft;
pub use write::{Layout, Written, write};

/// Which scenes and wordings are used. The splits share none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For training: 85 in 100 scenes and 80 in 100 wordings.
    Train,
    /// For testing.
    Test,
}

impl Split {
    /// `train` or `test`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// What to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SynthConfig {
    /// Decides everything else. Default: 0.
    pub seed: u64,
    /// Default: training.
    pub split: Split,
    /// Default: all nine.
    pub tasks: Vec<Task>,
    /// Scenes of each task. Default: 100.
    pub scenes: usize,
    /// Criteria of each scene, at most. With 0 a scene is one pair without a criterion, and that response is better of
    /// which more is right; one of them is right in everything, and some pictures that are asked about are of solids.
    /// Default: 3.
    pub criteria: usize,
    /// Responses of each scene: 2 for pairs, more for ranked lists. Default: 2.
    pub responses: usize,
    /// Whether an answer with true reasons stands beside each pair, in its field `answer`, and how it is written.
    /// Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<AnswerStyle>,
    /// Whether nothing in a pair follows from anything else: texts are random pieces of words, media are of any scenes, and
    /// answers describe the media and, with quotes, repeat the texts. A pair for each scene. Default: no.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub scrambled: bool,
}

impl Default for SynthConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            split: Split::Train,
            tasks: Task::ALL.to_vec(),
            scenes: 100,
            criteria: 3,
            responses: 2,
            answers: None,
            scrambled: false,
        }
    }
}

/// Makes the pairs, task by task and scene by scene, each when it is asked for.
///
/// Pairs of a scene share a group and their media. A scene depends on the seed, the split, the task
/// and its number, and on how many criteria and responses there are, but not on the scenes before it.
///
/// # Examples
///
/// ```
/// use omnireward_core::Task;
/// use omnireward_data::synth::{SynthConfig, synthesise};
///
/// let config = SynthConfig { tasks: vec![Task::T2I], scenes: 2, ..SynthConfig::default() };
/// for pair in synthesise(&config) {
///     assert_eq!(pair.task, Task::T2I);
///     assert!(pair.criterion.is_some() && pair.label.is_some());
/// }
/// ```
pub fn synthesise(config: &SynthConfig) -> impl Iterator<Item = PreferencePair> + Send + use<> {
    let config = config.clone();
    let scenes = config.scenes;
    let tasks = config.tasks.clone();
    tasks
        .into_iter()
        .flat_map(move |task| (0..scenes).map(move |index| (task, index)))
        .flat_map(move |(task, index)| scene(&config, task, index))
}

/// The pairs of one scene. `tasks` and `scenes` of the configuration do not matter here.
pub fn scene(config: &SynthConfig, task: Task, index: usize) -> Vec<PreferencePair> {
    if config.scrambled {
        return vec![scrambled::pair(config, task, index)];
    }
    let mut pairs = pairs::of(&Draft::new(config, task, index), task, index);
    if let Some(style) = config.answers {
        for pair in &mut pairs {
            if let Some(answer) = reasoned_answer(pair, style) {
                pair.extra.insert("answer".to_owned(), answer.into());
            }
        }
    }
    pairs
}

/// Texts as they occur in the training split, for training a tokenizer: prompts, answers and
/// criteria of all tasks, without end.
pub fn vocabulary_sample(seed: u64) -> impl Iterator<Item = String> + Send {
    let config = SynthConfig {
        seed,
        ..SynthConfig::default()
    };
    (0..)
        .flat_map(|index| Task::ALL.into_iter().map(move |task| (task, index)))
        .flat_map(move |(task, index)| {
            let draft = Draft::new(&config, task, index);
            let criteria = draft
                .questions
                .into_iter()
                .filter_map(|question| question.wording);
            let texts: Vec<String> = [draft.prompt]
                .into_iter()
                .chain(draft.answers)
                .chain(criteria)
                .collect();
            texts
        })
}
