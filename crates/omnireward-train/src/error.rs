use std::path::{Path, PathBuf};

/// What can go wrong while a model is trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot read or write `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A recipe is not TOML.
    #[error("recipe `{}` is not TOML", path.display())]
    RecipeSyntax {
        /// The recipe.
        path: PathBuf,
        /// Where it stops being so.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A setting that is to replace one of a recipe cannot be read.
    #[error("`{text}` {reason}")]
    Override {
        /// The setting as given.
        text: String,
        /// What is wrong with it, and what was expected.
        reason: String,
    },
    /// A recipe says something that it cannot mean.
    #[error("`{field}` in recipe `{}` {reason}", path.display())]
    Recipe {
        /// The recipe.
        path: PathBuf,
        /// The field, dotted.
        field: String,
        /// What is wrong with it, and what was expected.
        reason: String,
    },
    /// A file of a training run is damaged or belongs to another run.
    #[error("`{}` {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A set has no pairs.
    #[error("there are no pairs in `{set}`")]
    NoPairs {
        /// The set.
        set: String,
    },
    /// A pair cannot be learned from.
    #[error("pair `{pair}` of `{set}` {reason}")]
    Pair {
        /// The set.
        set: String,
        /// The pair's id.
        pair: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Every label is a tie, and the likelihood knows none.
    #[error(
        "all {pairs} labels are ties, from which Bradley-Terry and Plackett-Luce learn nothing"
    )]
    OnlyTies {
        /// How many labels there are.
        pairs: usize,
    },
    /// Words are to be learned, and no response that is the best has any.
    #[error(
        "`language_modelling` is {share}, and no pair has a better response with words to learn"
    )]
    NoWords {
        /// The share of the loss that is about words.
        share: f64,
    },
    /// What a recipe asks for is for pairs with their words, not for tokens.
    #[error("`{field}` is not for steps over tokens")]
    NotForTokens {
        /// The field, dotted.
        field: &'static str,
    },
    /// A beginning of names is that of no tensor.
    #[error("`train.freeze` names `{prefix}`, and no tensor of `{}` begins so", path.display())]
    NothingToFreeze {
        /// The beginning.
        prefix: String,
        /// The checkpoint.
        path: PathBuf,
    },
    /// Another process is training in the folder.
    #[error("another process is training in `{}`", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A loss or a gradient is infinite or no number at all.
    #[error(
        "the {what} of step {step} is not a finite number; nothing of this step was kept (pairs {})",
        listed(pairs)
    )]
    NotFinite {
        /// `loss` or `gradient`.
        what: &'static str,
        /// The step, from 1.
        step: u64,
        /// The pairs it was computed from.
        pairs: Vec<String>,
    },
    /// The checkpoint that training starts from does not fit the recipe.
    #[error("checkpoint `{}` {reason}", path.display())]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder was begun with another recipe, another model or other data.
    #[error("`{}` says that this folder holds another run; give another folder or remove it", path.display())]
    AnotherRun {
        /// The file that differs.
        path: PathBuf,
    },
    /// The disk cannot take what will be written.
    #[error("`{}` needs {needed} bytes and there are {free} free", path.display())]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// Bytes that the run will write.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A parameter that an optimiser is to change has numbers that it cannot change.
    #[error("parameter `{name}` is {found}; only f32 and bf16 can be trained")]
    ParameterType {
        /// The parameter.
        name: String,
        /// The type of its numbers.
        found: &'static str,
    },
    /// A parameter was given to an optimiser twice, by name or as the same variable.
    #[error("parameter `{name}` is to be trained twice")]
    ParameterTwice {
        /// The second of the two.
        name: String,
    },
    /// A gradient is not of the shape of what it is the gradient of.
    #[error("the gradient of `{name}` is {found:?}, not {expected:?}")]
    GradientShape {
        /// The parameter.
        name: String,
        /// The shape of the gradient.
        found: Vec<usize>,
        /// The shape of the parameter.
        expected: Vec<usize>,
    },
    /// A reward function gave something that is no finite number.
    #[error(
        "reward function `{function}` gives `{value}` for rollout {rollout} of pair `{pair}`; nothing of this round was kept"
    )]
    Reward {
        /// The function.
        function: &'static str,
        /// The pair that was asked about.
        pair: String,
        /// Which of the replies to it, from 1.
        rollout: usize,
        /// What the function gave.
        value: f64,
    },
    /// A conversation has more tokens than the model or the recipe allows.
    #[error("`{id}` takes {tokens} tokens, the limit is {limit}")]
    TooLong {
        /// The pair or the conversation.
        id: String,
        /// Tokens it takes, with the longest reply that may follow.
        tokens: usize,
        /// Tokens allowed.
        limit: usize,
    },
    /// A pair cannot be asked about, or whoever is asked gives no reply.
    #[error("a question could not be asked")]
    Asking(#[from] omnireward_core::ModelError),
    /// What samples replies gave others than it was asked for.
    #[error("`{pair}` was asked {expected} times and has {found} replies, or one without a token")]
    Replies {
        /// The pair that was asked about.
        pair: String,
        /// Replies asked for.
        expected: usize,
        /// Replies that came.
        found: usize,
    },
    /// The model failed.
    #[error("the model failed")]
    Model(#[from] omnireward_models::Error),
    /// A tensor operation failed.
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// What happened to a file.
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// A few ids, and how many more there are.
fn listed(pairs: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = pairs[..pairs.len().min(SHOWN)].join("`, `");
    match pairs.len().saturating_sub(SHOWN) {
        0 => format!("`{shown}`"),
        more => format!("`{shown}` and {more} more"),
    }
}
