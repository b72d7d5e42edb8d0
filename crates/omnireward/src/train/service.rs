//! Rollouts from a service that speaks the protocol of OpenAI, such as vLLM or `SGLang`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context, Result};
use clap::Args;
use omnireward_core::{ChatModel, ChatReply, ChatRequest, ModelError, ModelErrorKind, Sampling};
use omnireward_judges::{OpenAiClient, OpenAiConfig, Secret};
use omnireward_models::writer::WritingNetwork;
use omnireward_train::{
    grpo::{Rollout, RolloutEngine, RolloutRequest},
    recipe::RolloutRecipe,
};
use tokio::{runtime::Handle, task::JoinSet};

/// Where replies are sampled, with `rollout.engine = "service"`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rollouts from a service")]
pub(crate) struct ServiceArgs {
    /// The service, up to and including the version: `http://localhost:8000/v1`.
    #[arg(long, value_name = "URL", requires = "served_model")]
    pub(crate) base_url: Option<String>,

    /// What the service calls the model, or the adapter, that is trained.
    #[arg(long, value_name = "NAME")]
    pub(crate) served_model: Option<String>,

    /// The environment variable that holds the key.
    #[arg(long, default_value = "OPENAI_API_KEY", value_name = "NAME")]
    pub(crate) api_key_env: String,

    /// A program that makes the service take up weights. It is given the folder that holds them: a checkpoint, or an
    /// adapter where one is trained.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) reload: Option<PathBuf>,
}

/// A service that samples by the weights it was handed last.
pub(crate) struct ServiceEngine {
    client: Arc<OpenAiClient>,
    reload: PathBuf,
    folder: PathBuf,
    runtime: Handle,
}

impl ServiceEngine {
    /// A service that is handed weights by way of `folder`. Call it inside of the runtime.
    pub(crate) fn new(args: &ServiceArgs, folder: &Path) -> Result<Self> {
        let missing = "`rollout.engine` is `service`, which needs";
        let url = args.base_url.as_ref();
        let url = url.with_context(|| format!("{missing} `--base-url`"))?;
        let model = args.served_model.as_ref();
        let model = model.with_context(|| format!("{missing} `--served-model`"))?;
        let reload = args.reload.clone();
        let mut config = OpenAiConfig::new(url, model);
        config.api_key = std::env::var(&args.api_key_env)
            .ok()
            .filter(|key| !key.is_empty())
            .map(Secret::new);
        let client =
            OpenAiClient::new(config).context("cannot ask a model at this `--base-url`")?;
        Ok(Self {
            client: Arc::new(client),
            reload: reload.with_context(|| format!("{missing} `--reload`"))?,
            folder: folder.to_owned(),
            runtime: Handle::current(),
        })
    }
}

impl RolloutEngine for ServiceEngine {
    fn hand_over(&self) -> Option<PathBuf> {
        Some(self.folder.clone())
    }

    fn take_up(&mut self) -> Result<(), ModelError> {
        let failed = |why: String| {
            let program = self.reload.display();
            ModelError::new(
                ModelErrorKind::Internal,
                format!("`{program}` did not make the service take up new weights: {why}"),
            )
        };
        let status = Command::new(&self.reload).arg(&self.folder).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(failed(status.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    fn sample(
        &mut self,
        network: &WritingNetwork,
        requests: &[RolloutRequest<'_>],
        recipe: &RolloutRecipe,
        seed: u64,
    ) -> Result<Vec<Vec<Rollout>>, omnireward_train::Error> {
        let replies = self
            .runtime
            .block_on(all(&self.client, requests, recipe, seed))?;
        let mut replies = replies.into_iter();
        requests
            .iter()
            .map(|request| {
                let own = replies.by_ref().take(request.count);
                own.map(|reply| Rollout::written(reply.text, reply.finish, network, request.end))
                    .collect()
            })
            .collect()
    }
}

/// All replies to all requests, in their order.
async fn all(
    client: &Arc<OpenAiClient>,
    requests: &[RolloutRequest<'_>],
    recipe: &RolloutRecipe,
    seed: u64,
) -> Result<Vec<ChatReply>, ModelError> {
    let mut asked = JoinSet::new();
    let mut count = 0;
    for request in requests {
        for sample in 0..request.count {
            let client = client.clone();
            let place = count;
            let chat = ChatRequest {
                messages: request.messages.to_vec(),
                sampling: Sampling {
                    temperature: Some(recipe.temperature),
                    top_p: Some(recipe.top_p),
                    max_tokens: Some(recipe.max_tokens),
                    // Services take 63 bits.
                    seed: Some((seed ^ (request.first + sample as u64)) & (u64::MAX >> 1)),
                },
                sample: sample as u32,
                choices: None,
            };
            asked.spawn(async move { (place, client.complete(&chat).await) });
            count += 1;
        }
    }
    let mut replies: Vec<Option<ChatReply>> = (0..count).map(|_| None).collect();
    while let Some(done) = asked.join_next().await {
        let (place, reply) = done.map_err(|error| {
            ModelError::caused_by(ModelErrorKind::Internal, "a question was dropped", error)
        })?;
        replies[place] = Some(reply?);
    }
    Ok(replies.into_iter().flatten().collect())
}
