//! Opens a model that writes on this machine.

use std::sync::Arc;

use anyhow::{Context, Result};
use omnireward_core::Task;
use omnireward_judges::JudgeSpec;
use omnireward_models::{
    generation::GeneratorOptions,
    writer::{WritingModel, WritingOptions, writes},
};

use crate::{
    args::ModelArgs,
    local_model::{self, Checkpoint},
};

/// A writing model that is ready to run.
pub(crate) struct LocalWriter {
    pub(crate) model: Arc<WritingModel>,
    /// Weights are mapped from its files, which must stay as long.
    _checkpoint: Checkpoint,
}

/// Whether `checkpoint` writes rather than scores. What is wrong with one that cannot be read is said when it is opened.
pub(crate) fn is_one(checkpoint: &Checkpoint) -> bool {
    match checkpoint {
        Checkpoint::Embedded(_) => false,
        Checkpoint::Here(path) => matches!(writes(path), Ok(true)),
    }
}

/// Opens `checkpoint`, which `spec` names.
pub(crate) fn open(
    spec: &JudgeSpec,
    checkpoint: Checkpoint,
    args: &ModelArgs,
) -> Result<LocalWriter> {
    let options = WritingOptions {
        precision: local_model::precision(args),
        chat: local_model::chat(args),
        generator: GeneratorOptions {
            batch_rows: args.batch_tokens.get() as usize,
            ..GeneratorOptions::default()
        },
        ..WritingOptions::default()
    };
    let model = WritingModel::open(checkpoint.path(), &options)
        .with_context(|| format!("cannot open the writing model `{spec}`"))?;
    Ok(LocalWriter {
        model: Arc::new(model),
        _checkpoint: checkpoint,
    })
}

impl LocalWriter {
    /// The tasks whose media the model reads.
    pub(crate) fn tasks(&self) -> Vec<Task> {
        let network = self.model.network();
        let is_read = |task: &Task| {
            task.prompt_modality()
                .into_iter()
                .chain([task.response_modality()])
                .all(|modality| network.reads(modality))
        };
        Task::ALL.into_iter().filter(is_read).collect()
    }
}
