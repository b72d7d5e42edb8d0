//! Opens a reward model that runs on this machine.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use omnireward_judges::JudgeSpec;
use omnireward_models::{
    HeadPrecision, MediaCache, NetworkOptions, Precision, RewardScorer, TooLong,
    processor::{ChatOptions, Preprocessing},
};

use crate::{
    args::{HeadPrecisionArg, ModelArgs, PrecisionArg, TooLongArg},
    embedded::{self, Unpacked},
    hub, printer,
};

/// A checkpoint that is on this machine.
pub(crate) enum Checkpoint {
    /// A folder or file of the user's, or one that was fetched.
    Here(PathBuf),
    /// The one that the program carries.
    Embedded(Unpacked),
}

impl Checkpoint {
    /// What `spec` names, fetched if need be.
    pub(crate) async fn find(spec: &JudgeSpec, quiet: bool) -> Result<Self> {
        match spec {
            JudgeSpec::Checkpoint(path) => Ok(Self::Here(path.clone())),
            JudgeSpec::Hub { .. } => Ok(Self::Here(
                hub::checkpoint(&spec.to_string(), quiet).await?.path,
            )),
            JudgeSpec::Embedded => Self::embedded(),
            other => bail!("`{other}` does not name a reward model on this machine"),
        }
    }

    /// The one that the program carries.
    pub(crate) fn embedded() -> Result<Self> {
        embedded::model().map(Self::Embedded)
    }

    /// Where its files are, as long as this lives.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Here(path) => path,
            Self::Embedded(folder) => folder.path(),
        }
    }

    /// What it is called where a user reads it.
    pub(crate) fn shown(&self) -> &Path {
        match self {
            Self::Here(path) => path,
            Self::Embedded(_) => Path::new(embedded::NAME),
        }
    }

    /// How media are prepared when the user does not say: as the checkpoint was trained, which no checkpoint states.
    fn preprocessing(&self) -> Preprocessing {
        match self {
            Self::Here(_) => Preprocessing::reference(),
            Self::Embedded(_) => Preprocessing::clean(),
        }
    }
}

/// A reward model that is ready to run.
pub(crate) struct LocalModel {
    pub(crate) scorer: Arc<RewardScorer>,
    /// Weights are mapped from its files, which must stay as long.
    _checkpoint: Checkpoint,
}

/// Opens `checkpoint`, which `spec` names. Features of media are kept in `cache`.
pub(crate) fn open(
    spec: &JudgeSpec,
    checkpoint: Checkpoint,
    args: &ModelArgs,
    cache: Option<&Path>,
) -> Result<LocalModel> {
    let cache = media_cache(cache, args.cache_memory)?;
    let options = options(args, &checkpoint);
    let scorer = RewardScorer::open(checkpoint.path(), &options, Arc::new(cache))
        .with_context(|| format!("cannot open the reward model `{spec}`"))?
        .with_batch_rows(args.batch_tokens.get() as usize);
    Ok(LocalModel {
        scorer: Arc::new(scorer),
        _checkpoint: checkpoint,
    })
}

/// A cache of features of media, in `dir` where one is given, with so many megabytes of memory.
pub(crate) fn media_cache(dir: Option<&Path>, megabytes: u64) -> Result<MediaCache> {
    let budget = usize::try_from(megabytes.saturating_mul(1 << 20)).unwrap_or(usize::MAX);
    match dir {
        Some(dir) => MediaCache::on_disk(budget, dir).context("cannot use the media cache"),
        None => Ok(MediaCache::in_memory(budget)),
    }
}

fn options(args: &ModelArgs, checkpoint: &Checkpoint) -> NetworkOptions {
    NetworkOptions {
        precision: precision(args),
        head_precision: match args.head_precision {
            HeadPrecisionArg::F32 => HeadPrecision::F32,
            HeadPrecisionArg::ComputeType => HeadPrecision::ComputeType,
        },
        preprocessing: args
            .preprocessing
            .clone()
            .unwrap_or_else(|| checkpoint.preprocessing()),
        chat: chat(args),
        max_length: args.max_length.map(|length| length.get() as usize),
        too_long: match args.too_long {
            TooLongArg::Refuse => TooLong::Refuse,
            TooLongArg::Cut => TooLong::Cut,
        },
        ..NetworkOptions::default()
    }
}

/// The type that a model computes in.
pub(crate) fn precision(args: &ModelArgs) -> Precision {
    match args.precision {
        PrecisionArg::AsStored => Precision::AsStored,
        PrecisionArg::F32 => Precision::F32,
        PrecisionArg::Bf16 => Precision::Bf16,
    }
}

/// What chat templates are given.
pub(crate) fn chat(args: &ModelArgs) -> ChatOptions {
    ChatOptions {
        variables: args.template_variables.iter().cloned().collect(),
    }
}

/// Says how often features of media were found, and what was not heard.
pub(crate) fn tell(scorer: &RewardScorer) {
    if scorer.has_left_unheard() {
        printer::note(
            "sounds were heard with the first response alone, as in the original; \
             `--preprocessing …,audio_rows=own_row` lets all be heard",
        );
    }
    let stats = scorer.cache_stats();
    if let Some(rate) = stats.hit_rate() {
        printer::note(&format!(
            "media cache: {:.1}% found ({} in memory, {} on disk), {} encoded",
            100.0 * rate,
            stats.memory_hits,
            stats.disk_hits,
            stats.misses
        ));
    }
}
