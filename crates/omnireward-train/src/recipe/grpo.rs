//! What a training with group-relative policy optimisation is made of.

use omnireward_core::OrderPolicy;
use serde::{Deserialize, Serialize};

use super::{
    CheckpointRecipe, EvaluationRecipe, QuestionRecipe, QuestionsRecipe, UpdateRecipe,
    WriterRecipe, defaults,
};
use crate::grpo::{
    Average, Scale, Surrogate,
    reward::{
        Agreement, CriterionFlip, Format, Length, RewardFunction, Rewards, TieAware, Verdict,
        Weighted,
    },
};

/// A training by GRPO, complete: with local rollouts, two runs of one recipe on the same files end in the same bytes.
///
/// Where it says nothing it means what TRL means, but for what the paper of `DeepSeekMath` has no word for.
///
/// # Examples
///
/// ```
/// use omnireward_train::GrpoRecipe;
///
/// let recipe = GrpoRecipe::parse(
///     r#"
///     model.path = "checkpoints/base"
///     [train]
///     batch = 64
///     learning_rate = 1e-6
///     epochs = 2
///     [rewards]
///     verdict = { weight = 0.9 }
///     format = { weight = 0.1 }
///     [[data]]
///     path = "pairs.jsonl"
///     share = 0.03
///     "#,
///     "grpo.toml".as_ref(),
///     &["grpo.rollouts=6".to_owned()],
/// )?;
/// assert_eq!(recipe.grpo.rollouts, 6);
/// # Ok::<(), omnireward_train::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpoRecipe {
    /// What is trained; the reference is the same, as it was at the start.
    pub model: WriterRecipe,
    /// How it is trained. A step is a round: `batch` pairs are asked about, and what comes back is learned from.
    pub train: UpdateRecipe,
    /// How it learns from replies.
    #[serde(default)]
    pub grpo: PolicyRecipe,
    /// How it is asked about pairs.
    #[serde(default)]
    pub question: QuestionRecipe,
    /// How replies are sampled.
    #[serde(default)]
    pub rollout: RolloutRecipe,
    /// What replies are worth.
    pub rewards: RewardsRecipe,
    /// Pairs it is asked about. They are put together and shuffled.
    pub data: Vec<QuestionsRecipe>,
    /// Preferences whose verdicts it is measured on.
    #[serde(default)]
    pub evaluation: EvaluationRecipe,
    /// What is kept of it.
    #[serde(default)]
    pub checkpoints: CheckpointRecipe,
}

/// How a policy learns from replies: `[grpo]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyRecipe {
    /// Replies to a question: a group.
    pub rollouts: usize,
    /// Questions in an update of the weights; all of a round when it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<usize>,
    /// How often a round is learned from.
    pub inner_epochs: u64,
    /// In which orders of its responses a pair is asked about. Each order is a question, with a group of its own.
    pub orders: OrderPolicy,
    /// How far below 1 a ratio of probabilities still counts.
    pub clip_low: f64,
    /// How far above 1 it still counts.
    pub clip_high: f64,
    /// The largest ratio that counts for a reply that is worse than others; none for no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dual_clip: Option<f64>,
    /// The weight of the divergence from the reference; 0 goes without a reference.
    pub beta: f64,
    /// What advantages are divided by.
    pub scale: Scale,
    /// What is added to the deviation that they are divided by.
    pub advantage_epsilon: f64,
    /// How the losses of tokens become one.
    pub average: Average,
    /// Replies of each round that are written down to be read.
    pub samples: usize,
}

impl Default for PolicyRecipe {
    fn default() -> Self {
        Self {
            rollouts: 8,
            update: None,
            inner_epochs: 1,
            orders: OrderPolicy::AsIs,
            clip_low: 0.2,
            clip_high: 0.2,
            dual_clip: None,
            beta: 0.0,
            scale: Scale::Deviation,
            advantage_epsilon: 1e-4,
            average: Average::Reply,
            samples: 4,
        }
    }
}

impl PolicyRecipe {
    /// The loss of a token.
    pub const fn surrogate(&self) -> Surrogate {
        Surrogate {
            clip_low: self.clip_low,
            clip_high: self.clip_high,
            dual_clip: self.dual_clip,
            beta: self.beta,
        }
    }
}

/// How replies are sampled: `[rollout]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutRecipe {
    /// Where.
    pub engine: Engine,
    /// What logits are divided by. The update sees probabilities at this temperature too, as TRL and `EasyR1` have it.
    pub temperature: f64,
    /// The share of probability that the likeliest tokens kept make up.
    pub top_p: f64,
    /// How many tokens are kept at most; none for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<usize>,
    /// What the logits of tokens that were there already are divided by, or multiplied with below 0.
    pub repetition_penalty: f64,
    /// The longest reply, in tokens.
    pub max_tokens: u32,
    /// Rows that the local engine keeps keys and values of at most: those of prompts and of replies at their longest.
    pub kept_rows: usize,
    /// About how many rows of prompts it computes at once.
    pub batch_rows: usize,
}

impl Default for RolloutRecipe {
    fn default() -> Self {
        Self {
            engine: Engine::Local,
            temperature: 1.0,
            top_p: 1.0,
            top_k: None,
            repetition_penalty: 1.0,
            max_tokens: 256,
            kept_rows: 1 << 16,
            batch_rows: 4096,
        }
    }
}

/// Where replies are sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Here, by the weights that are trained.
    #[default]
    Local,
    /// By a service that is handed the weights as a checkpoint, or as an adapter where one is trained; the caller
    /// supplies it. Runs with it are not repeatable to the bit.
    Service,
}

/// What replies are worth: `[rewards]`, the weighted sum of those functions that are named. At least one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewardsRecipe {
    /// 1 when the verdict is the label; see [`Verdict`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<WeightRecipe>,
    /// The same, with something for a tie that is near; see [`TieAware`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ties: Option<TiesRecipe>,
    /// 1 for the form that `[question]` asks for; see [`Format`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<WeightRecipe>,
    /// The share of replies in the other order that agree; see [`Agreement`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<WeightRecipe>,
    /// The share of replies under the opposite criterion that disagree; see [`CriterionFlip`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criterion_flip: Option<WeightRecipe>,
    /// What a long reply loses; see [`Length`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<LengthRecipe>,
}

/// What a function counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightRecipe {
    /// What its value is multiplied by.
    pub weight: f64,
}

/// Settings of [`TieAware`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TiesRecipe {
    /// What its value is multiplied by.
    pub weight: f64,
    /// What a verdict is worth that differs from the label by a tie.
    #[serde(default = "defaults::near")]
    pub near: f64,
}

/// Settings of [`Length`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LengthRecipe {
    /// What its value is multiplied by.
    pub weight: f64,
    /// The longest reply that loses nothing, in tokens; less than `rollout.max_tokens`.
    pub from: u32,
}

impl RewardsRecipe {
    /// The functions that are named, in the order of the fields, for replies of up to so many tokens.
    pub fn functions(&self, question: &QuestionRecipe, max_tokens: u32) -> Rewards {
        fn weighted(function: impl RewardFunction + 'static, weight: f64) -> Weighted {
            Weighted {
                function: Box::new(function),
                weight,
            }
        }
        let form = Format {
            thinking: question.thinking,
            answer: question.answer,
        };
        let length = |length: LengthRecipe| Length {
            from: length.from,
            most: max_tokens,
        };
        let all = [
            self.verdict.map(|one| weighted(Verdict, one.weight)),
            self.ties
                .map(|one| weighted(TieAware { near: one.near }, one.weight)),
            self.format.map(|one| weighted(form, one.weight)),
            self.agreement.map(|one| weighted(Agreement, one.weight)),
            self.criterion_flip
                .map(|one| weighted(CriterionFlip, one.weight)),
            self.length.map(|one| weighted(length(one), one.weight)),
        ];
        Rewards(all.into_iter().flatten().collect())
    }
}
