use std::{fmt, str::FromStr};

use omnireward_core::UnknownName;
use serde::{Deserialize, Serialize};

/// What can be wrong with a set of pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// The row cannot be read.
    UnreadableRow,
    /// The pair breaks a rule of its type.
    InvalidPair,
    /// Nobody says which response is better.
    Unlabelled,
    /// The prompt has neither words nor media.
    EmptyPrompt,
    /// A response has neither words nor media.
    EmptyResponse,
    /// The two responses are the same.
    IdenticalResponses,
    /// A response gives back the prompt's words, or the preferred one the prompt's medium as it is,
    /// without a criterion that would explain it.
    ResponseEchoesPrompt,
    /// A response stops in the middle: in an open code block or bracket, or at a word that cannot be
    /// the last.
    TruncatedResponse,
    /// A response says the same over and over.
    RepetitiveResponse,
    /// The preferred response declines, and the other does not.
    RefusalPreferred,
    /// Words hold tokens of a chat template.
    TemplateToken,
    /// Words hold a placeholder such as `<image>` without a medium that belongs to it.
    MediaPlaceholder,
    /// Words were damaged by a wrong encoding.
    EncodingDamage,
    /// Words hold control characters. They can be removed.
    ControlCharacter,
    /// A criterion begins or ends with white space. It can be removed.
    UntrimmedCriterion,
    /// A criterion names one of the responses, such as `response A`.
    CriterionNamesASide,
    /// A criterion says which response is better, and the label says otherwise.
    CriterionContradictsLabel,
    /// A criterion is the prompt.
    CriterionIsPrompt,
    /// The number or kind of media does not fit the task, or differs between the responses.
    WrongMediaCount,
    /// A medium is not where the set says.
    MissingMedium,
    /// A medium is remote.
    RemoteMedium,
    /// A medium cannot be decoded.
    CorruptMedium,
    /// A medium is larger than the limits.
    OversizedMedium,
    /// A medium's bytes are of another kind than the set says.
    WrongMediaType,
    /// A medium's bytes are in another format than its name says.
    WrongExtension,
    /// A medium shows one colour or holds silence.
    BlankMedium,
    /// A medium needs a program or codec that is not at hand, and was not checked.
    UncheckedMedium,
    /// The same prompt and responses stand twice under one criterion, with the same label. The
    /// later one can be removed.
    DuplicatePair,
    /// The same prompt and responses stand twice under one criterion, with different labels.
    OppositeLabels,
    /// A text is far longer or shorter than those of its kind.
    LengthOutlier,
    /// A text is in a language that the set otherwise hardly has, and its prompt is not.
    LanguageOutlier,
    /// Nearly all labels prefer the same place, so that a model can learn the place.
    OneSidedLabels,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 32] = [
        Self::UnreadableRow,
        Self::InvalidPair,
        Self::Unlabelled,
        Self::EmptyPrompt,
        Self::EmptyResponse,
        Self::IdenticalResponses,
        Self::ResponseEchoesPrompt,
        Self::TruncatedResponse,
        Self::RepetitiveResponse,
        Self::RefusalPreferred,
        Self::TemplateToken,
        Self::MediaPlaceholder,
        Self::EncodingDamage,
        Self::ControlCharacter,
        Self::UntrimmedCriterion,
        Self::CriterionNamesASide,
        Self::CriterionContradictsLabel,
        Self::CriterionIsPrompt,
        Self::WrongMediaCount,
        Self::MissingMedium,
        Self::RemoteMedium,
        Self::CorruptMedium,
        Self::OversizedMedium,
        Self::WrongMediaType,
        Self::WrongExtension,
        Self::BlankMedium,
        Self::UncheckedMedium,
        Self::DuplicatePair,
        Self::OppositeLabels,
        Self::LengthOutlier,
        Self::LanguageOutlier,
        Self::OneSidedLabels,
    ];

    /// The name used on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnreadableRow => "unreadable-row",
            Self::InvalidPair => "invalid-pair",
            Self::Unlabelled => "unlabelled",
            Self::EmptyPrompt => "empty-prompt",
            Self::EmptyResponse => "empty-response",
            Self::IdenticalResponses => "identical-responses",
            Self::ResponseEchoesPrompt => "response-echoes-prompt",
            Self::TruncatedResponse => "truncated-response",
            Self::RepetitiveResponse => "repetitive-response",
            Self::RefusalPreferred => "refusal-preferred",
            Self::TemplateToken => "template-token",
            Self::MediaPlaceholder => "media-placeholder",
            Self::EncodingDamage => "encoding-damage",
            Self::ControlCharacter => "control-character",
            Self::UntrimmedCriterion => "untrimmed-criterion",
            Self::CriterionNamesASide => "criterion-names-a-side",
            Self::CriterionContradictsLabel => "criterion-contradicts-label",
            Self::CriterionIsPrompt => "criterion-is-prompt",
            Self::WrongMediaCount => "wrong-media-count",
            Self::MissingMedium => "missing-medium",
            Self::RemoteMedium => "remote-medium",
            Self::CorruptMedium => "corrupt-medium",
            Self::OversizedMedium => "oversized-medium",
            Self::WrongMediaType => "wrong-media-type",
            Self::WrongExtension => "wrong-extension",
            Self::BlankMedium => "blank-medium",
            Self::UncheckedMedium => "unchecked-medium",
            Self::DuplicatePair => "duplicate-pair",
            Self::OppositeLabels => "opposite-labels",
            Self::LengthOutlier => "length-outlier",
            Self::LanguageOutlier => "language-outlier",
            Self::OneSidedLabels => "one-sided-labels",
        }
    }

    /// Whether [`fix`](super::fix()) can do something about it without a loss.
    pub const fn is_fixable(self) -> bool {
        matches!(
            self,
            Self::ControlCharacter | Self::UntrimmedCriterion | Self::DuplicatePair
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Code {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|code| code.name() == name)
            .ok_or_else(|| UnknownName::new("finding", name, &Self::ALL.map(Self::name)))
    }
}

/// Something that is wrong with a set, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub code: Code,
    /// The row, counted from 1 in the order of reading; `None` for what concerns the whole set.
    pub row: Option<u64>,
    /// The pair's id, where the row can be read.
    pub pair_id: Option<String>,
    /// The field at fault: `prompt`, `criterion`, `responses[0]`, `label`.
    pub field: Option<String>,
    /// Why, in a sentence that names what was found.
    pub reason: String,
}
