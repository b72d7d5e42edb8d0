//! What a supervised fine-tuning is made of.

use omnireward_core::Task;
use serde::{Deserialize, Serialize};

use super::{
    CheckpointRecipe, EvaluationRecipe, QuestionRecipe, RolloutRecipe, UpdateRecipe, WriterRecipe,
    defaults,
};

/// A supervised fine-tuning on judged pairs, complete: two runs of one recipe on the same files end in the same bytes.
///
/// # Examples
///
/// ```
/// use omnireward_train::SftRecipe;
///
/// let recipe = SftRecipe::parse(
///     r#"
///     model.path = "checkpoints/base"
///     [train]
///     batch = 16
///     learning_rate = 1e-5
///     epochs = 1
///     [[data]]
///     path = "answers.jsonl"
///     "#,
///     "sft.toml".as_ref(),
///     &[],
/// )?;
/// assert_eq!(recipe.train.batch, 16);
/// # Ok::<(), omnireward_train::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SftRecipe {
    /// What is trained.
    pub model: WriterRecipe,
    /// How it is trained.
    pub train: UpdateRecipe,
    /// How it is asked about pairs.
    #[serde(default)]
    pub question: QuestionRecipe,
    /// Answers it learns. They are put together and shuffled.
    pub data: Vec<AnswersRecipe>,
    /// How long replies are when it is measured, greedily.
    #[serde(default)]
    pub rollout: RolloutRecipe,
    /// Preferences whose verdicts it is measured on.
    #[serde(default)]
    pub evaluation: EvaluationRecipe,
    /// What is kept of it.
    #[serde(default)]
    pub checkpoints: CheckpointRecipe,
}

/// Pairs with the answers that are to be learned: `[[data]]`. An answer stands in a pair's field `answer`, as a judge
/// should write it to the question that the program asks about the pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswersRecipe {
    /// A file or folder in a known format, or `hf:OWNER/NAME[@REVISION]`.
    pub path: String,
    /// Its format, as the program's `--format`, where it is not recognised by its content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Pairs taken of it at most: the first ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pairs: Option<usize>,
    /// The tasks whose pairs are taken; all of them when it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<Task>>,
    /// What the loss of an answer counts.
    #[serde(default = "defaults::weight")]
    pub weight: f64,
}
