//! Opens a reward model that runs on this machine.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use omnireward_judges::JudgeSpec;
use omnireward_models::{
    HeadPrecision, MediaCache, NetworkOptions, Precision, RewardScorer, TooLong,
    processor::ChatOptions,
};

use crate::{
    args::{HeadPrecisionArg, ModelArgs, PrecisionArg, TooLongArg},
    hub, printer,
};

/// Opens the checkpoint that `spec` names: a folder, or one on the hub. Features of media are kept in `cache`.
pub(crate) async fn open(
    spec: &JudgeSpec,
    args: &ModelArgs,
    cache: Option<&Path>,
    quiet: bool,
) -> Result<RewardScorer> {
    let path = folder(spec, quiet).await?;
    let cache = media_cache(cache, args.cache_memory)?;
    let scorer = RewardScorer::open(&path, &options(args), Arc::new(cache))
        .with_context(|| format!("cannot open the reward model `{spec}`"))?;
    Ok(scorer.with_batch_rows(args.batch_tokens.get() as usize))
}

/// A cache of features of media, in `dir` where one is given, with so many megabytes of memory.
pub(crate) fn media_cache(dir: Option<&Path>, megabytes: u64) -> Result<MediaCache> {
    let budget = usize::try_from(megabytes.saturating_mul(1 << 20)).unwrap_or(usize::MAX);
    match dir {
        Some(dir) => MediaCache::on_disk(budget, dir).context("cannot use the media cache"),
        None => Ok(MediaCache::in_memory(budget)),
    }
}

/// Where the checkpoint is, fetched if need be.
pub(crate) async fn folder(spec: &JudgeSpec, quiet: bool) -> Result<PathBuf> {
    match spec {
        JudgeSpec::Checkpoint(path) => Ok(path.clone()),
        JudgeSpec::Hub { .. } => Ok(hub::checkpoint(&spec.to_string(), quiet).await?.path),
        JudgeSpec::Embedded => bail!(
            "this version carries no reward model; `omnireward model random` writes one to try"
        ),
        other => bail!("`{other}` does not name a reward model on this machine"),
    }
}

fn options(args: &ModelArgs) -> NetworkOptions {
    NetworkOptions {
        precision: match args.precision {
            PrecisionArg::AsStored => Precision::AsStored,
            PrecisionArg::F32 => Precision::F32,
            PrecisionArg::Bf16 => Precision::Bf16,
        },
        head_precision: match args.head_precision {
            HeadPrecisionArg::F32 => HeadPrecision::F32,
            HeadPrecisionArg::ComputeType => HeadPrecision::ComputeType,
        },
        preprocessing: args.preprocessing.clone(),
        chat: ChatOptions {
            variables: args.template_variables.iter().cloned().collect(),
        },
        max_length: args.max_length.map(|length| length.get() as usize),
        too_long: match args.too_long {
            TooLongArg::Refuse => TooLong::Refuse,
            TooLongArg::Cut => TooLong::Cut,
        },
        ..NetworkOptions::default()
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
