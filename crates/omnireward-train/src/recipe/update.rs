//! What recipes for models that write have in common: the model, and how its weights change.

use std::fmt;

use omnireward_core::{Setting, Task};
use omnireward_models::{Precision, checkpoint::layout};
use serde::{Deserialize, Serialize};

use super::{Length, LoraRecipe, Warmup, defaults};
use crate::{grpo::reward::AnswerForm, schedule::Schedule};

/// The model that a training of words starts from: `[model]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriterRecipe {
    /// A folder, or `hf:OWNER/NAME[@REVISION]`, as the program's `--model`. A folder is relative to where the program
    /// runs.
    pub path: String,
    /// In which precision it computes. Weights stored in `bf16` that are trained have `f32` masters either way.
    #[serde(default)]
    pub precision: Precision,
    /// Tokens that a conversation with its answer may have; one that has more is an error.
    #[serde(default = "defaults::max_length")]
    pub max_length: usize,
}

/// How a model that writes is trained: `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateRecipe {
    /// The parts whose weights change. GRPO trains the decoder alone.
    #[serde(default = "defaults::writer_parts")]
    pub parts: Vec<WriterPart>,
    /// Beginnings of names of tensors that stay as they are, such as `model.embed_tokens.`.
    #[serde(default)]
    pub freeze: Vec<String>,
    /// Low-rank adapters to train in place of the decoder's weights; the rest of it stays as it is then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraRecipe>,
    /// Passes over the data; a fraction stops inside one. Either this or `steps` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Steps: of the optimiser, or, in GRPO, rounds of questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Conversations, or pairs, in a step.
    pub batch: usize,
    /// Rows that go through the model at once; a step takes as many passes as its rows need, and a conversation of more
    /// rows one of its own.
    #[serde(default = "defaults::batch_rows")]
    pub batch_rows: usize,
    /// Whether passes, prompts and replies go through the model side by side, a thread for each, rather than one after
    /// the other with all threads on each. Small models are faster so; the steps are the same for any number of threads.
    #[serde(default)]
    pub side_by_side: bool,
    /// Whether activations inside a layer are computed again for the backward pass instead of being kept.
    #[serde(default = "defaults::gradient_checkpointing")]
    pub gradient_checkpointing: bool,
    /// The largest learning rate, after warm-up.
    pub learning_rate: f64,
    /// How the learning rate falls from there.
    #[serde(default = "defaults::constant_schedule")]
    pub schedule: Schedule,
    /// The share of the optimiser's steps over which the learning rate rises from 0. At most one of this and
    /// `warmup_steps` is given; with neither it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_ratio: Option<f64>,
    /// Steps of the optimiser over which the learning rate rises from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<u64>,
    /// `AdamW`'s decay, of matrices; biases and norms are left alone.
    #[serde(default = "defaults::weight_decay_of_writers")]
    pub weight_decay: f64,
    /// How much of the first and of the second moment a step keeps.
    #[serde(default = "defaults::betas")]
    pub betas: (f64, f64),
    /// What `AdamW` adds to the root of the second moment.
    #[serde(default = "defaults::epsilon")]
    pub epsilon: f64,
    /// The largest norm of a step's gradient; a longer one is scaled down to it. 0 leaves every gradient alone.
    #[serde(default = "defaults::clip")]
    pub clip: f64,
    /// What the order of data, samples and new weights come from.
    #[serde(default = "defaults::seed")]
    pub seed: u64,
    /// Steps from one line of metrics to the next.
    #[serde(default = "defaults::every_step")]
    pub log_every: u64,
}

impl UpdateRecipe {
    /// How long the training takes.
    ///
    /// # Panics
    ///
    /// When neither `steps` nor `epochs` is there, which a recipe that was read has made sure of.
    pub fn length(&self) -> Length {
        self.steps.map_or_else(
            || Length::Epochs(self.epochs.expect("a recipe is refused without a length")),
            Length::Steps,
        )
    }

    /// How long the learning rate rises.
    pub fn warmup(&self) -> Warmup {
        match (self.warmup_steps, self.warmup_ratio) {
            (Some(steps), _) => Warmup::Steps(steps),
            (None, ratio) => Warmup::Ratio(ratio.unwrap_or(0.0)),
        }
    }

    /// The learning rate of a step of the optimiser, counted from one, of `total`.
    pub fn rate(&self, step: u64, total: u64) -> f64 {
        let warmup = self.warmup().steps(total);
        self.schedule
            .rate(step - 1, total, warmup, self.learning_rate)
    }

    /// Whether the tensor of this name changes, were there no adapters.
    pub fn trains(&self, name: &str) -> bool {
        let is_frozen = self.freeze.iter().any(|prefix| name.starts_with(prefix));
        let part = layout::Part::of(name).and_then(WriterPart::of);
        !is_frozen && part.is_some_and(|part| self.parts.contains(&part))
    }

    /// Whether gradients are to reach towers.
    pub fn trains_towers(&self) -> bool {
        self.parts.iter().any(|part| *part != WriterPart::Decoder)
    }
}

/// A part of a model that writes that can be trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriterPart {
    /// The decoder, with its embedding table and the matrix to the vocabulary.
    Decoder,
    /// The vision tower, with what makes its patches rows of the decoder.
    Vision,
    /// The audio tower, with the same.
    Audio,
}

impl WriterPart {
    /// The part that a checkpoint's part belongs to, if one does.
    pub const fn of(part: layout::Part) -> Option<Self> {
        match part {
            layout::Part::Language | layout::Part::Output => Some(Self::Decoder),
            layout::Part::Vision => Some(Self::Vision),
            layout::Part::Audio => Some(Self::Audio),
            _ => None,
        }
    }
}

impl fmt::Display for WriterPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Decoder => "decoder",
            Self::Vision => "vision",
            Self::Audio => "audio",
        })
    }
}

/// How a pair is asked about: `[question]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuestionRecipe {
    /// Which answers are offered. Without ties, pairs that are labelled so are left out.
    pub setting: Setting,
    /// How a verdict is to be written.
    pub answer: AnswerForm,
    /// Whether a reply is to think between `<think>` and `</think>` before it answers.
    pub thinking: bool,
}

impl Default for QuestionRecipe {
    fn default() -> Self {
        Self {
            setting: Setting::WithoutTies,
            answer: AnswerForm::Brackets,
            thinking: false,
        }
    }
}

/// Pairs that questions are made of: `[[data]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionsRecipe {
    /// A file or folder in a known format, or `hf:OWNER/NAME[@REVISION]`, as the program's `--benchmark`. A file is
    /// relative to where the program runs.
    pub path: String,
    /// Its format, as the program's `--format`, where it is not recognised by its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Pairs taken of it at most: the first ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pairs: Option<usize>,
    /// The share of those that is drawn, by the seed: 0.03 for three in a hundred. All of them when it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The tasks whose pairs are taken; all of them when it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<Task>>,
    /// Whether pairs keep their criteria.
    #[serde(default = "defaults::criteria")]
    pub criteria: bool,
}
