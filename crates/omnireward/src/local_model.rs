//! Opens a reward model that runs on this machine.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use omnireward_judges::JudgeSpec;
use omnireward_models::{
    HeadPrecision, MediaCache, Precision, RewardScorer, ScorerOptions, TooLong,
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
    let budget = (args.cache_memory as usize) << 20;
    let cache = match cache {
        Some(dir) => MediaCache::on_disk(budget, dir).context("cannot use the media cache")?,
        None => MediaCache::in_memory(budget),
    };
    RewardScorer::open(&path, options(args), Arc::new(cache))
        .with_context(|| format!("cannot open the reward model `{spec}`"))
}

/// Where the checkpoint is, fetched if need be.
async fn folder(spec: &JudgeSpec, quiet: bool) -> Result<PathBuf> {
    match spec {
        JudgeSpec::Checkpoint(path) => Ok(path.clone()),
        JudgeSpec::Hub { .. } => Ok(hub::checkpoint(&spec.to_string(), quiet).await?.path),
        JudgeSpec::Embedded => bail!(
            "this version carries no reward model; `omnireward model random` writes one to try"
        ),
        other => bail!("`{other}` does not name a reward model on this machine"),
    }
}

fn options(args: &ModelArgs) -> ScorerOptions {
    ScorerOptions {
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
        max_length: args.max_length.map(|length| length.get() as usize),
        too_long: match args.too_long {
            TooLongArg::Refuse => TooLong::Refuse,
            TooLongArg::Cut => TooLong::Cut,
        },
        batch_rows: args.batch_tokens.get() as usize,
        ..ScorerOptions::default()
    }
}

/// Says how often features of media were found.
pub(crate) fn tell_cache(scorer: &RewardScorer) {
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
