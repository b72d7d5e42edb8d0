use std::{num::NonZeroU32, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use omnireward_core::{OrderPolicy, Task};
use omnireward_data::Format;
use omnireward_eval::metrics::FailurePolicy;
use omnireward_judges::JudgeSpec;
use omnireward_models::processor::Preprocessing;

use crate::{data::DataCommand, model::ModelCommand, train::TrainCommand};

/// Says which of several responses is better, under a criterion in words, whatever they are made of.
#[derive(Debug, Parser)]
#[command(name = "omnireward", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Draw no progress.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See the embedded model judge the embedded benchmark: no account, GPU or download needed.
    Demo(DemoArgs),
    /// Ask a judge about every pair of a benchmark and report how often it is right.
    Eval(Box<EvalArgs>),
    /// Give every response of a set of pairs a reward.
    Score(Box<ScoreArgs>),
    /// Report on runs again: one, or several side by side.
    Report(ReportArgs),
    /// Write, look into, examine or fetch a checkpoint.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Make preference data.
    #[command(subcommand)]
    Data(DataCommand),
    /// Train a model from a recipe.
    #[command(subcommand)]
    Train(TrainCommand),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where the runs and the report go.
    #[arg(long, default_value = "runs/demo")]
    pub(crate) out: PathBuf,

    /// Print the results record on stdout instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// `embedded`, a reward model's directory, `hf:OWNER/NAME[@REVISION]`, `openai:MODEL`,
    /// `replay:FILE[#JUDGE]`, `baseline:longest|first|random`.
    #[arg(long, value_name = "JUDGE")]
    pub(crate) judge: JudgeSpec,

    /// `embedded`, a directory or file in a known format, or `hf:OWNER/NAME[@REVISION]`.
    #[arg(long, value_name = "BENCHMARK")]
    pub(crate) benchmark: String,

    /// The run directory. Started again with the same settings, a run goes on where it was.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    #[command(flatten)]
    pub(crate) questions: QuestionArgs,

    #[command(flatten)]
    pub(crate) chat: ChatArgs,

    #[command(flatten)]
    pub(crate) model: ModelArgs,

    #[command(flatten)]
    pub(crate) spending: SpendingArgs,

    #[command(flatten)]
    pub(crate) reading: ReadingArgs,

    #[command(flatten)]
    pub(crate) reporting: ReportingArgs,

    /// Exit with 1 when the overall accuracy, in percent, of any setting is below this.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) min_accuracy: Option<f64>,

    /// Say what would be asked and what it would cost, and show the first request; ask nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Which questions are asked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Questions")]
pub(crate) struct QuestionArgs {
    /// The tasks to ask about, by code or key.
    #[arg(long, value_delimiter = ',', value_name = "T2T,T2I,…")]
    pub(crate) tasks: Vec<Task>,

    /// Whether a tie is among the answers offered.
    #[arg(long, value_enum, default_value_t = SettingArg::Both)]
    pub(crate) setting: SettingArg,

    /// The order in which responses are shown: `as-is`, `both`, `seeded`.
    #[arg(long, default_value = "both")]
    pub(crate) order: OrderPolicy,

    /// At most this many pairs of each task.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,

    /// Seeds the order and every resampling.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SettingArg {
    WithTies,
    WithoutTies,
    Both,
}

/// How a chat model is asked. Used with `openai:MODEL`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Chat models")]
pub(crate) struct ChatArgs {
    /// The service, up to and including the version: `https://host/v1`.
    #[arg(
        long,
        env = "OPENAI_BASE_URL",
        hide_env_values = true,
        default_value = "https://api.openai.com/v1",
        value_name = "URL"
    )]
    pub(crate) base_url: String,

    /// The environment variable that holds the key.
    #[arg(long, default_value = "OPENAI_API_KEY", value_name = "NAME")]
    pub(crate) api_key_env: String,

    /// Sampling temperature; `unset` leaves it to the service.
    #[arg(long, default_value = "0", value_name = "T", value_parser = temperature)]
    pub(crate) temperature: OrUnset<f64>,

    /// Nucleus sampling; `unset` leaves it to the service.
    #[arg(long, default_value = "unset", value_name = "P", value_parser = share)]
    pub(crate) top_p: OrUnset<f64>,

    /// The longest reply, in tokens; `unset` leaves it to the service.
    #[arg(long, default_value = "2048", value_name = "N")]
    pub(crate) max_tokens: OrUnset<u32>,

    /// Asks the service for repeatable sampling; `unset` leaves it out.
    #[arg(long, default_value = "0", value_name = "N")]
    pub(crate) sampling_seed: OrUnset<u64>,

    /// How replies are read: `strict` reads the final verdict among the answers offered,
    /// `reference` searches the whole reply as the original evaluation does.
    #[arg(long, value_enum, default_value_t = ParserArg::Strict)]
    pub(crate) parser: ParserArg,

    /// Ask up to this often until a reply can be read; the original evaluation asks 5 times.
    #[arg(long, default_value = "1", value_name = "N", value_parser = up_to::<100>)]
    pub(crate) attempts: NonZeroU32,

    /// Ask each question this often and take the majority.
    #[arg(long, default_value = "1", value_name = "N", value_parser = up_to::<100>)]
    pub(crate) votes: NonZeroU32,

    /// A judge to fall back on where a reply stays unreadable, such as `baseline:random`.
    #[arg(long, value_name = "JUDGE")]
    pub(crate) fallback: Option<JudgeSpec>,

    /// How pictures are sent: as they are, or made JPEG as the original evaluation does.
    #[arg(long, value_enum, default_value_t = ImagesArg::AsIs)]
    pub(crate) images: ImagesArg,

    /// How videos are sent: as frames taken from them, or whole.
    #[arg(long, value_enum, default_value_t = VideoArg::Frames)]
    pub(crate) video: VideoArg,

    /// Frames taken from each video; 10 for a prompt's and 5 for a response's when not given.
    #[arg(long, value_name = "N", value_parser = up_to::<256>)]
    pub(crate) frames: Option<NonZeroU32>,

    /// How the two clips of a T2A pair are sent: each in its place, or joined by a second of
    /// silence as the original evaluation does.
    #[arg(long, value_enum, default_value_t = ClipsArg::Apart)]
    pub(crate) clips: ClipsArg,

    /// At most this many requests at once; the service's own limit is found by itself.
    #[arg(long, default_value = "256", value_name = "N", value_parser = up_to::<4096>)]
    pub(crate) concurrency: NonZeroU32,

    /// How long to wait for one reply.
    #[arg(long, default_value = "120", value_name = "SECONDS", value_parser = up_to::<86_400>)]
    pub(crate) timeout: NonZeroU32,

    /// How often a request that brought no reply is sent again.
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) max_retries: u32,

    /// What several runs share: a file of a chat model's replies, or a folder of media features of a
    /// model on this machine.
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) cache: Option<PathBuf>,
}

/// How a reward model on this machine runs.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Models on this machine")]
pub(crate) struct ModelArgs {
    /// The type a model computes in; `as-stored` is `bf16` for weights stored so, else `f32`.
    #[arg(long, value_enum, default_value_t = PrecisionArg::AsStored)]
    pub(crate) precision: PrecisionArg,

    /// The type its head computes in; `compute-type` rounds rewards as the original does, which
    /// makes near ones equal.
    #[arg(long, value_enum, default_value_t = HeadPrecisionArg::F32)]
    pub(crate) head_precision: HeadPrecisionArg,

    /// How media are prepared: `reference` as the published model was trained, defects included,
    /// or `clean`; single switches follow after commas, such as `reference,image_shrink=bicubic`.
    /// When not given, it is `clean` for `embedded`, which was trained so, else `reference`.
    #[arg(long, value_name = "MODE[,SWITCH=VALUE…]")]
    pub(crate) preprocessing: Option<Preprocessing>,

    /// A variable for the chat template of a text model, such as `date_string=26 Jul 2024` for one
    /// that would print today's date. The value is JSON, or words.
    #[arg(long = "template-var", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) template_variables: Vec<(String, serde_json::Value)>,

    /// The longest prompt and response together, in tokens; the model's own limit when not given.
    #[arg(long, value_name = "TOKENS")]
    pub(crate) max_length: Option<NonZeroU32>,

    /// What happens to longer ones: refused with an error, or the end of the response cut off.
    #[arg(long, value_enum, default_value_t = TooLongArg::Refuse)]
    pub(crate) too_long: TooLongArg,

    /// About how many tokens are computed at once; bounds memory, changes no reward.
    #[arg(long, default_value = "4096", value_name = "TOKENS", value_parser = up_to::<1_048_576>)]
    pub(crate) batch_tokens: NonZeroU32,

    /// Memory for features of media, in megabytes.
    #[arg(long, default_value_t = 1024, value_name = "MB")]
    pub(crate) cache_memory: u64,

    /// Margins up to this are a tie where a tie is offered. When not given, it is what the checkpoint
    /// says in `tie_margin.json`, else 0.
    #[arg(long, value_name = "MARGIN")]
    pub(crate) tie_threshold: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionArg {
    AsStored,
    F32,
    Bf16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HeadPrecisionArg {
    F32,
    ComputeType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TooLongArg {
    Refuse,
    Cut,
}

#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    /// `embedded`, a reward model's directory, or `hf:OWNER/NAME[@REVISION]`.
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: JudgeSpec,

    /// Pairs, or any benchmark: `embedded`, a directory or file in a known format, or
    /// `hf:OWNER/NAME[@REVISION]`.
    #[arg(long, value_name = "PAIRS")]
    pub(crate) input: String,

    /// Where the rewards go, one line of JSON for each pair; stdout when not given. Started again
    /// with the same settings, it goes on where it was.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Replace an output that is there.
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// The tasks to score, by code or key.
    #[arg(long, value_delimiter = ',', value_name = "T2T,T2I,…")]
    pub(crate) tasks: Vec<Task>,

    /// At most this many pairs.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,

    /// A folder of media features that several runs share.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) settings: ModelArgs,

    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ParserArg {
    Strict,
    Reference,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImagesArg {
    AsIs,
    Jpeg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VideoArg {
    Frames,
    Whole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClipsArg {
    Apart,
    Joined,
}

/// What a run may cost.
#[derive(Debug, Args)]
#[command(next_help_heading = "Spending")]
pub(crate) struct SpendingArgs {
    /// US dollars for a million tokens read.
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) price_in: Option<f64>,

    /// US dollars for a million tokens written.
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) price_out: Option<f64>,

    /// Stop before the run has cost more than this many US dollars; needs prices.
    #[arg(
        long,
        value_name = "DOLLARS",
        requires = "price_in",
        requires = "price_out"
    )]
    pub(crate) budget: Option<f64>,

    /// Stop before the run has used more than this many tokens.
    #[arg(long, value_name = "TOKENS")]
    pub(crate) budget_tokens: Option<u64>,
}

/// How a benchmark is read.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Reading")]
pub(crate) struct ReadingArgs {
    /// The benchmark's format, where it is not recognised by its content.
    #[arg(long)]
    pub(crate) format: Option<Format>,

    /// End at the first row that cannot be used, rather than count it.
    #[arg(long)]
    pub(crate) strict: bool,

    /// Allow the benchmark to name remote media.
    #[arg(long)]
    pub(crate) allow_urls: bool,
}

/// What is printed and drawn.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reporting")]
pub(crate) struct ReportingArgs {
    /// What a verdict without a preference counts as in the headline.
    #[arg(long, value_enum, default_value_t = FailuresArg::Wrong)]
    pub(crate) failures: FailuresArg,

    /// Published rows to lay beside the run, by model name.
    #[arg(long, value_delimiter = ',', value_name = "MODEL,…")]
    pub(crate) published: Vec<String>,

    /// Print the results record on stdout instead of tables.
    #[arg(long)]
    pub(crate) json: bool,

    /// Write no HTML report.
    #[arg(long)]
    pub(crate) no_html: bool,

    /// Bytes of media to put into the HTML report, in megabytes.
    #[arg(long, default_value_t = 24, value_name = "MB")]
    pub(crate) media_budget: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailuresArg {
    Wrong,
    Coin,
    LeftOut,
}

impl From<FailuresArg> for FailurePolicy {
    fn from(failures: FailuresArg) -> Self {
        match failures {
            FailuresArg::Wrong => Self::Wrong,
            FailuresArg::Coin => Self::Coin,
            FailuresArg::LeftOut => Self::LeftOut,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Run directories; two or more are compared.
    #[arg(required = true, value_name = "DIR")]
    pub(crate) runs: Vec<PathBuf>,

    /// Where the HTML report goes; the run's own `report.html` for one run when not given.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Compute every number again from the stored rows and list those that differ.
    #[arg(long)]
    pub(crate) verify: bool,

    #[command(flatten)]
    pub(crate) reading: ReadingArgs,

    #[command(flatten)]
    pub(crate) reporting: ReportingArgs,
}

/// A setting that can be left to the service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct OrUnset<T>(pub(crate) Option<T>);

impl<T: std::str::FromStr> std::str::FromStr for OrUnset<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text {
            "unset" => Ok(Self(None)),
            number => number.parse().map(|value| Self(Some(value))),
        }
    }
}

fn up_to<const MOST: u32>(text: &str) -> Result<NonZeroU32, String> {
    text.parse()
        .ok()
        .filter(|number: &NonZeroU32| number.get() <= MOST)
        .ok_or_else(|| format!("expected a whole number from 1 to {MOST}"))
}

fn temperature(text: &str) -> Result<OrUnset<f64>, String> {
    within(text, 0.0, 10.0)
}

fn share(text: &str) -> Result<OrUnset<f64>, String> {
    within(text, 0.0, 1.0)
}

fn within(text: &str, least: f64, most: f64) -> Result<OrUnset<f64>, String> {
    let number: OrUnset<f64> = text
        .parse()
        .map_err(|_| "expected a number or `unset`".to_owned())?;
    match number.0 {
        Some(value) if !(least..=most).contains(&value) => Err(format!(
            "expected a number from {least} to {most}, or `unset`"
        )),
        _ => Ok(number),
    }
}

/// `NAME=VALUE`, where the value is JSON, or words.
pub(crate) fn variable(text: &str) -> Result<(String, serde_json::Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_json_or_words() {
        for (text, value) in [
            ("a=26 Jul 2024", "26 Jul 2024".into()),
            ("a=true", true.into()),
            ("a=b=c", "b=c".into()),
            ("a=", "".into()),
        ] {
            assert_eq!(variable(text), Ok(("a".to_owned(), value)), "{text}");
        }
        assert!(variable("a").is_err());
    }
}
