//! What a training is made of, as a TOML file says it.
//!
//! A recipe is read whole and checked whole before anything else is opened: an unknown key, a value of another type
//! or a setting that contradicts another one is an error that names the file, the dotted key and what was expected.
//! Where the Omni-Reward paper and its scripts give a value it is the default here; where they are silent, the default
//! is that of LLaMA-Factory 0.9.2, which they ran.

use std::fmt;

use omnireward_core::Task;
use omnireward_models::{Precision, TooLong, checkpoint::layout, processor::Preprocessing};
use serde::{Deserialize, Serialize};

use crate::{
    objective::{Likelihood, Objective},
    schedule::Schedule,
};

mod check;
mod defaults;
mod fault;
mod grpo;
mod overrides;
mod preprocessing;
mod read;
mod sft;
#[cfg(test)]
mod tests;
mod update;

pub use grpo::{
    Engine, GrpoRecipe, LengthRecipe, PolicyRecipe, RewardsRecipe, RolloutRecipe, TiesRecipe,
    WeightRecipe,
};
pub use sft::{AnswersRecipe, SftRecipe};
pub use update::{QuestionRecipe, QuestionsRecipe, UpdateRecipe, WriterPart, WriterRecipe};

/// A training, complete: two runs of one recipe on the same files end in the same bytes.
///
/// # Examples
///
/// ```
/// use omnireward_train::{Recipe, recipe::Length};
///
/// let recipe = Recipe::parse(
///     r#"
///     [model]
///     path = "checkpoints/base"
///     [train]
///     learning_rate = 2e-6
///     epochs = 2
///     [[data]]
///     path = "pairs.jsonl"
///     "#,
///     "recipe.toml".as_ref(),
///     &["train.steps=50".to_owned()],
/// )?;
/// assert_eq!(recipe.train.length(), Length::Steps(50));
/// # Ok::<(), omnireward_train::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What is trained.
    pub model: ModelRecipe,
    /// How it is trained.
    pub train: TrainRecipe,
    /// What it is trained for.
    #[serde(default)]
    pub objective: ObjectiveRecipe,
    /// Preferences it learns from. Their pairs are put together and shuffled.
    pub data: Vec<DataRecipe>,
    /// Preferences it is measured on.
    #[serde(default)]
    pub evaluation: EvaluationRecipe,
    /// What is kept of it.
    #[serde(default)]
    pub checkpoints: CheckpointRecipe,
}

impl Recipe {
    /// How media become the model's input, as the program's `--preprocessing` takes it.
    pub fn preprocessing_text(&self) -> String {
        self.model.preprocessing.to_string()
    }
}

/// The model that a training starts from: `[model]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    /// A folder, or `hf:OWNER/NAME[@REVISION]`, as the program's `--model`. A folder is relative to where the program
    /// runs.
    pub path: String,
    /// In which precision it computes. Weights stored in `bf16` that are trained have `f32` masters either way.
    #[serde(default)]
    pub precision: Precision,
    /// How media and conversations become its input, in the form of the program's `--preprocessing`: `reference` or
    /// `clean`, followed by single switches.
    #[serde(default = "Preprocessing::reference", with = "preprocessing")]
    pub preprocessing: Preprocessing,
    /// The head that is made when the checkpoint has none. A checkpoint that has one refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_head: Option<NewHead>,
    /// Tokens that a sequence may have.
    #[serde(default = "defaults::max_length")]
    pub max_length: usize,
    /// What happens to a longer one.
    #[serde(default)]
    pub too_long: TooLong,
}

/// A head that a training makes: its weights are new and come from the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NewHead {
    /// `v_head.summary`, a weight and a bias, as TRL's and LLaMA-Factory's value head.
    Value,
    /// `score`, a weight alone, as sequence classification of transformers and TRL's `RewardTrainer`.
    Score,
}

/// How a model is trained: `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainRecipe {
    /// The parts whose weights change.
    #[serde(default = "defaults::parts")]
    pub parts: Vec<Part>,
    /// Beginnings of names of tensors that stay as they are although their part is trained, such as
    /// `llm.model.embed_tokens.`.
    #[serde(default)]
    pub freeze: Vec<String>,
    /// Low-rank adapters to train in place of the decoder's weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraRecipe>,
    /// Passes over the data; a fraction stops inside one. Either this or `steps` is given, see
    /// [`length`](Self::length).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Steps of the optimiser.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Pairs in a step of the optimiser.
    #[serde(default = "defaults::batch_pairs")]
    pub batch_pairs: usize,
    /// Rows that go through the model at once; a step takes as many passes as its rows need, and a pair of more rows one
    /// of its own.
    #[serde(default = "defaults::batch_rows")]
    pub batch_rows: usize,
    /// Pairs, in whole groups, that one thread takes through the model by itself while others take the next. A small
    /// model learns faster so; without it all threads work on the same rows. The result depends on it, but not on how
    /// many threads there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch_pairs: Option<usize>,
    /// Whether activations inside a layer are computed again for the backward pass instead of being kept.
    #[serde(default = "defaults::gradient_checkpointing")]
    pub gradient_checkpointing: bool,
    /// The share of the head's inputs that are dropped while training. TRL's value head drops 0.1.
    #[serde(default = "defaults::head_dropout")]
    pub head_dropout: f64,
    /// The largest learning rate, after warm-up.
    pub learning_rate: f64,
    /// How the learning rate falls from there.
    #[serde(default = "defaults::schedule")]
    pub schedule: Schedule,
    /// The share of steps over which the learning rate rises from 0. At most one of this and `warmup_steps` is given,
    /// see [`warmup`](Self::warmup).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_ratio: Option<f64>,
    /// Steps over which the learning rate rises from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<u64>,
    /// `AdamW`'s decay, of matrices; biases and norms are left alone, as transformers' trainer does.
    #[serde(default = "defaults::weight_decay")]
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
    /// What the order of pairs, dropout and new weights come from.
    #[serde(default = "defaults::seed")]
    pub seed: u64,
    /// Steps from one line of metrics to the next.
    #[serde(default = "defaults::log_every")]
    pub log_every: u64,
}

impl TrainRecipe {
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

    /// How long the learning rate rises: a twentieth of the training when the recipe says nothing, as the paper's
    /// scripts have it.
    pub fn warmup(&self) -> Warmup {
        self.warmup_steps.map_or_else(
            || Warmup::Ratio(self.warmup_ratio.unwrap_or(defaults::WARMUP_RATIO)),
            Warmup::Steps,
        )
    }

    /// The learning rate of a step, counted from one, of `total`. Schedules count from zero, as in transformers'
    /// trainer: a warm-up begins with a rate of zero.
    pub fn rate(&self, step: u64, total: u64) -> f64 {
        let warmup = self.warmup().steps(total);
        self.schedule
            .rate(step - 1, total, warmup, self.learning_rate)
    }

    /// Whether the tensor of this name changes, were there no adapters.
    pub fn trains(&self, name: &str) -> bool {
        let frozen = self.freeze.iter().any(|prefix| name.starts_with(prefix));
        !frozen
            && layout::Part::of(name)
                .is_some_and(|part| self.parts.iter().any(|trained| trained.stored() == part))
    }
}

/// A part of a model that can be trained. The matrix to the vocabulary is none: a reward does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The decoder with its embedding table.
    Decoder,
    /// The vision tower.
    Vision,
    /// What makes a picture's patches a fixed number of rows.
    Resampler,
    /// The audio tower.
    Audio,
    /// From the audio tower to the decoder.
    AudioProjection,
    /// What makes a hidden state a reward.
    Head,
}

impl Part {
    /// The part as checkpoints have it.
    pub const fn stored(self) -> layout::Part {
        match self {
            Self::Decoder => layout::Part::Language,
            Self::Vision => layout::Part::Vision,
            Self::Resampler => layout::Part::Resampler,
            Self::Audio => layout::Part::Audio,
            Self::AudioProjection => layout::Part::AudioProjection,
            Self::Head => layout::Part::Head,
        }
    }

    /// As recipes spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decoder => "decoder",
            Self::Vision => "vision",
            Self::Resampler => "resampler",
            Self::Audio => "audio",
            Self::AudioProjection => "audio_projection",
            Self::Head => "head",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Low-rank adapters (Hu et al. 2021): `lora = { rank = 16, alpha = 32 }`.
///
/// An adapted matrix computes `y = xWᵀ + (alpha / rank)·(xAᵀ)Bᵀ`, where only `A` and `B` are trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraRecipe {
    /// Rows of `A` and columns of `B`.
    pub rank: usize,
    /// The adapters' weight, times the rank.
    pub alpha: f64,
    /// Which of the decoder's matrices are adapted; all of them when it says nothing.
    #[serde(default = "defaults::lora_targets")]
    pub targets: Vec<LoraTarget>,
}

/// A matrix of a decoder layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoraTarget {
    /// Queries.
    QProj,
    /// Keys.
    KProj,
    /// Values.
    VProj,
    /// The output of attention.
    OProj,
    /// The gate of the feed-forward layer.
    GateProj,
    /// Its first matrix.
    UpProj,
    /// Its last matrix.
    DownProj,
}

impl LoraTarget {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::QProj,
        Self::KProj,
        Self::VProj,
        Self::OProj,
        Self::GateProj,
        Self::UpProj,
        Self::DownProj,
    ];

    /// As checkpoints and recipes spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::QProj => "q_proj",
            Self::KProj => "k_proj",
            Self::VProj => "v_proj",
            Self::OProj => "o_proj",
            Self::GateProj => "gate_proj",
            Self::UpProj => "up_proj",
            Self::DownProj => "down_proj",
        }
    }
}

impl fmt::Display for LoraTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How long a training takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// This many passes over the data.
    Epochs(f64),
    /// This many steps of the optimiser.
    Steps(u64),
}

impl Length {
    /// Steps in all, where `epoch` says how many each pass over the data takes, counted from 0; a part of a step counts
    /// as one, as in transformers' trainer.
    pub fn steps(self, epoch: impl Fn(u64) -> u64) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            Self::Epochs(epochs) => {
                let whole = epochs.floor() as u64;
                let rest = epochs.fract() * epoch(whole) as f64;
                (0..whole).map(epoch).sum::<u64>() + rest.ceil() as u64
            }
        }
    }
}

/// How long the learning rate rises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warmup {
    /// This share of all steps.
    Ratio(f64),
    /// This many steps.
    Steps(u64),
}

impl Warmup {
    /// Steps, of `total`; a part of a step counts as one, as in transformers' `get_warmup_steps`.
    pub fn steps(self, total: u64) -> u64 {
        match self {
            Self::Steps(steps) => steps,
            Self::Ratio(ratio) => (ratio * total as f64).ceil() as u64,
        }
    }
}

/// What a model is trained for: `[objective]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveRecipe {
    /// How rewards become probabilities of preferences.
    pub likelihood: Likelihood,
    /// The weight of the mean square of the sum of a pair's rewards, which keeps rewards around 0 (Eisenstein et al.
    /// 2023); TRL's `center_rewards_coefficient`.
    pub centring: f64,
    /// Where the learned width of ties starts: `log ν` of Davidson's likelihood, the inverse softplus of `log θ` of
    /// Rao and Kupper's.
    pub tie: f64,
    /// The largest learning rate of that width. It follows the schedule of the model's.
    pub tie_learning_rate: f64,
    /// The share `α` of a loss about words: `(1 − α)·L_preference + α·L_words`, where `L_words` is the mean of
    /// `−log p(token | what stands before it)` over the words of the best response, added up over pairs and divided like
    /// `L_preference`, ties counting nothing (Yang et al. 2024, "Regularizing Hidden States Enables Learning Generalizable
    /// Reward Model for LLMs"). Where responses are media, the words are the prompt's, foretold from the medium. At 1 it
    /// is supervised fine-tuning on the best responses. The head is the language model's own: its embeddings, which are
    /// trained with the decoder, or a matrix that stays as it is.
    pub language_modelling: f64,
}

impl ObjectiveRecipe {
    /// What is asked of rewards.
    pub(crate) const fn objective(&self) -> Objective {
        Objective {
            likelihood: self.likelihood,
            centring: self.centring,
        }
    }
}

impl Default for ObjectiveRecipe {
    fn default() -> Self {
        Self {
            likelihood: Likelihood::BradleyTerry,
            centring: 0.0,
            tie: 0.0,
            tie_learning_rate: 0.01,
            language_modelling: 0.0,
        }
    }
}

/// Preferences to learn from: `[[data]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// A file or folder in a known format, or `hf:OWNER/NAME[@REVISION]`, as the program's `--benchmark`. A file is
    /// relative to where the program runs.
    pub path: String,
    /// Its format, as the program's `--format`, where it is not recognised by its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Pairs taken of it at most: the first ones, as LLaMA-Factory's `max_samples`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pairs: Option<usize>,
    /// The weight of its pairs in the loss.
    #[serde(default = "defaults::weight")]
    pub weight: f64,
    /// The share of its pairs' loss that is about words, in place of
    /// [`objective.language_modelling`](ObjectiveRecipe::language_modelling).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language_modelling: Option<f64>,
    /// The tasks whose pairs are taken; all of them when it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<Task>>,
    /// Whether pairs keep their criteria. Without them several pairs may be the same question with contradictory
    /// answers: an ablation.
    #[serde(default = "defaults::criteria")]
    pub criteria: bool,
}

/// What a model is measured on while it is trained: `[evaluation]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationRecipe {
    /// Preferences that are held out. The checkpoint that is best on all of them is kept whatever its age.
    pub data: Vec<HeldOutRecipe>,
    /// Steps from one evaluation to the next; with 0 there is none but after the last step.
    pub every: u64,
}

impl Default for EvaluationRecipe {
    fn default() -> Self {
        Self {
            data: Vec::new(),
            every: 100,
        }
    }
}

/// Preferences to measure on: an entry of `evaluation.data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOutRecipe {
    /// As of [`DataRecipe`].
    pub path: String,
    /// What it is called in metrics, see [`name`](Self::name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As of [`DataRecipe`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// As of [`DataRecipe`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pairs: Option<usize>,
    /// As of [`DataRecipe`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<Task>>,
    /// As of [`DataRecipe`].
    #[serde(default = "defaults::criteria")]
    pub criteria: bool,
}

impl HeldOutRecipe {
    /// What it is called in metrics: its name, or else the last part of its path.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| {
            let path = self.path.trim_end_matches('/');
            path.rsplit('/').next().unwrap_or(path)
        })
    }
}

/// What is kept of a training: `[checkpoints]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointRecipe {
    /// Steps from one checkpoint to the next, from which a training can go on; with 0 there is none but the last.
    pub every: u64,
    /// Checkpoints kept, the newest; the best is kept besides.
    pub keep: usize,
}

impl CheckpointRecipe {
    /// Checkpoints that lie side by side at most, of a training of so many steps.
    pub(crate) fn written(&self, steps: u64) -> u64 {
        match self.every {
            0 => 0,
            every => (steps / every).min(self.keep as u64 + 1),
        }
    }
}

impl Default for CheckpointRecipe {
    fn default() -> Self {
        Self {
            every: 400,
            keep: 20,
        }
    }
}
