use std::{num::NonZeroU32, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use omnireward_models::{
    checkpoint::{Family, Size},
    weights::StoredType,
};
use serde_json::Value;

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Write a checkpoint with random weights, in the layout of a published one.
    Random(RandomArgs),
    /// Make a tokenizer of the words of a set of pairs, for a model that is trained from nothing.
    Tokenizer(TokenizerArgs),
    /// Say what a checkpoint is, without loading it.
    Inspect(InspectArgs),
    /// Find everything that is wrong with a checkpoint; exits with 1 when it has defects.
    Doctor(DoctorArgs),
    /// Fetch a checkpoint and print its folder; goes on where an interrupted fetch stopped.
    Pull(PullArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RandomArgs {
    /// The folder to write; it appears when all is written.
    #[arg(value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// MiniCPM-o-2.6 with a value head, or a sequence classifier for text.
    #[arg(long, value_enum, default_value_t = KindArg::MinicpmO)]
    pub(crate) kind: KindArg,

    /// A megabyte, 4 million parameters that a processor can train, the smallest published size (20 million
    /// parameters for MiniCPM-o), or the size of 7 or 8 billion.
    #[arg(long, value_enum, default_value_t = SizeArg::Tiny)]
    pub(crate) size: SizeArg,

    /// Layers of the decoder.
    #[arg(long, value_name = "N")]
    pub(crate) layers: Option<NonZeroU32>,

    /// Another value for a field of `config.json`, such as `vision_config.num_hidden_layers=4`.
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = crate::args::variable)]
    pub(crate) fields: Vec<(String, Value)>,

    /// The type in which weights are stored.
    #[arg(long, value_enum, default_value_t = DtypeArg::Bf16)]
    pub(crate) dtype: DtypeArg,

    /// What the numbers come from.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,

    /// Begin where a small model can be trained from nothing: the decoder able to continue what it has read before, the
    /// vision tower with larger weights. For decoders with biases of queries, as Qwen2's.
    #[arg(long)]
    pub(crate) for_training: bool,

    /// A `tokenizer.json` to use instead of one that knows bytes and special tokens only.
    #[arg(long, value_name = "FILE")]
    pub(crate) tokenizer: Option<PathBuf>,

    /// The largest weight file, in megabytes.
    #[arg(long, default_value = "5000", value_name = "MB")]
    pub(crate) shard: NonZeroU32,

    /// Replace a checkpoint that is there.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    MinicpmO,
    #[value(name = "qwen2.5-vl")]
    Qwen2_5Vl,
    #[value(name = "qwen2.5-omni")]
    Qwen2_5Omni,
    Qwen2,
    Qwen3,
    Llama,
}

impl From<KindArg> for Family {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::MinicpmO => Self::MiniCpmO,
            KindArg::Qwen2_5Vl => Self::Qwen2_5Vl,
            KindArg::Qwen2_5Omni => Self::Qwen2_5Omni,
            KindArg::Qwen2 => Self::Qwen2,
            KindArg::Qwen3 => Self::Qwen3,
            KindArg::Llama => Self::Llama,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SizeArg {
    Tiny,
    Mini,
    Small,
    Full,
}

impl From<SizeArg> for Size {
    fn from(size: SizeArg) -> Self {
        match size {
            SizeArg::Tiny => Self::Tiny,
            SizeArg::Mini => Self::Mini,
            SizeArg::Small => Self::Small,
            SizeArg::Full => Self::Full,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DtypeArg {
    Bf16,
    F16,
    F32,
}

impl From<DtypeArg> for StoredType {
    fn from(dtype: DtypeArg) -> Self {
        match dtype {
            DtypeArg::Bf16 => Self::Bf16,
            DtypeArg::F16 => Self::F16,
            DtypeArg::F32 => Self::F32,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TokenizerArgs {
    /// The `tokenizer.json` to write.
    #[arg(value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Pairs whose prompts, responses and criteria it is made of: a directory or file in a known format.
    #[arg(long, value_name = "PAIRS")]
    pub(crate) input: String,

    /// For a model that writes: of the questions that are asked about the pairs, and the answers beside them, too.
    #[arg(long)]
    pub(crate) questions: bool,

    /// Entries, besides those that mark turns and media.
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = clap::value_parser!(u32).range(256..=1_000_000))]
    pub(crate) size: u32,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// `embedded`, a folder, a `.safetensors` or `.gguf` file, or `hf:OWNER/NAME[@REVISION]`.
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,

    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// `embedded`, a folder, or `hf:OWNER/NAME[@REVISION]`.
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,

    /// Read every number, to find those that are not finite.
    #[arg(long)]
    pub(crate) deep: bool,

    /// Store the rewards of a few pairs in the folder, for later examinations to compare with.
    #[arg(long)]
    pub(crate) write_golden: bool,

    /// Print JSON instead of a list.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// `hf:OWNER/NAME[@REVISION]`.
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
}
