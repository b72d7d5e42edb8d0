use std::fmt;

use serde::Serialize;

/// Something that is wrong with a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing it is.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The file that is concerned, in the checkpoint's folder.
    pub file: String,
    /// The tensor, field or token that is concerned.
    pub subject: Option<String>,
    /// What is wrong, in a sentence.
    pub problem: String,
    /// How to mend it, in a sentence.
    pub mend: String,
}

impl Finding {
    /// A defect of a whole file.
    pub(super) fn defect(
        code: Code,
        file: impl Into<String>,
        problem: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity: Severity::Defect,
            file: file.into(),
            subject: None,
            problem: problem.into(),
            mend: mend.into(),
        }
    }

    /// The same about one tensor, field or token.
    #[must_use]
    pub(super) fn of(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The same, but not so bad.
    #[must_use]
    pub(super) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The checkpoint cannot be used, or its rewards are not what they should be.
    Defect,
    /// It can be used; whoever made it should look at this.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Defect => "defect",
            Self::Warning => "warning",
        })
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What kind of thing is wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Code {
            /// As it is written in lists.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

codes! {
    /// `config.json` is not there or is not JSON.
    ConfigUnreadable = "config-unreadable",
    /// `config.json` names a model that is not known.
    ArchitectureUnknown = "architecture-unknown",
    /// A field of `config.json` is missing or contradicts another.
    ConfigContradiction = "config-contradiction",
    /// `config.json` asks for something that the model cannot do.
    ConfigUnsupported = "config-unsupported",
    /// There are no weights.
    WeightsMissing = "weights-missing",
    /// The index cannot be read or does not describe the files.
    IndexWrong = "index-wrong",
    /// A file that the index names is not there.
    ShardMissing = "shard-missing",
    /// A weight file is cut short or has a damaged header.
    ShardDamaged = "shard-damaged",
    /// A tensor that the model needs is not there.
    TensorMissing = "tensor-missing",
    /// A tensor that no model of this kind has.
    TensorUnknown = "tensor-unknown",
    /// A tensor is in two files.
    TensorTwice = "tensor-twice",
    /// A tensor has another shape than `config.json` says.
    TensorShape = "tensor-shape",
    /// A tensor is stored as another type than it should be.
    TensorType = "tensor-type",
    /// A tensor holds NaN or infinity.
    TensorNotFinite = "tensor-not-finite",
    /// A matrix holds nothing but zeros.
    TensorZero = "tensor-zero",
    /// There is no reward head.
    HeadMissing = "head-missing",
    /// A reward head has a layout that is not known.
    HeadUnknown = "head-unknown",
    /// There are two reward heads that differ.
    HeadConflict = "head-conflict",
    /// Weights are stored as a pickle, which is not read.
    Pickle = "pickle",
    /// The tokenizer is not there or cannot be read.
    TokenizerUnreadable = "tokenizer-unreadable",
    /// The tokenizer lacks a token that the model needs.
    TokenMissing = "token-missing",
    /// A token has an id for which the model has no embedding.
    TokenOutOfRange = "token-out-of-range",
    /// Two files disagree about a token's id.
    TokenConflict = "token-conflict",
    /// The chat template cannot be read or filled in.
    TemplateUnusable = "template-unusable",
    /// The chat template prints a date, so that a reward would depend on the day.
    TemplateDate = "template-date",
    /// `preprocessor_config.json` is not there or is not JSON.
    PreprocessorUnreadable = "preprocessor-unreadable",
    /// `preprocessor_config.json` says something else than the published one.
    PreprocessorDiffers = "preprocessor-differs",
    /// The stored golden inputs cannot be read.
    GoldenUnreadable = "golden-unreadable",
    /// A golden input no longer gives its stored reward.
    GoldenReward = "golden-reward",
    /// Golden inputs are there, and nothing to score them with was given.
    GoldenUnchecked = "golden-unchecked",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
