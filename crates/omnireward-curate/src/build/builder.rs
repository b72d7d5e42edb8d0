//! One pair, from being shown to a writer to the outcome of each criterion.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::try_join_all;
use omnireward_core::{
    ChatModel, ChatReply, Finish, Judge, ModelError, Order, OrderPolicy, PreferencePair, Sampling,
    Setting, Status, Task, Usage,
};
use omnireward_media::Limits;

use super::{
    BuildPlan, Consensus, CriterionRecord, Outcome, PairRecord, Show, WriterRecord,
    ask::{prompt_fingerprint, request},
    digest::{ContentDigest, of_request},
    reply::{self, Written},
    verify::{status_of_failure, unlabelled, votes},
};
use crate::{Error, lint::names_a_side};

/// The longest criterion that is kept, in characters: two long sentences.
pub const LONGEST_CRITERION: usize = 600;

/// How pairs are asked about.
#[derive(Clone, Debug)]
pub struct BuildConfig {
    /// When a criterion is kept.
    pub rule: Consensus,
    /// Which answers verifiers are offered. A tie does not confirm a label, so offering one makes a
    /// verification stricter.
    pub setting: Setting,
    /// How the writer's replies are drawn.
    pub sampling: Sampling,
    /// How often the writer is asked, at most, until its reply can be read.
    pub attempts: u32,
    /// Decides in which order the writer sees the responses.
    pub seed: u64,
    /// How large media may be.
    pub limits: Limits,
}

/// A writer, the verifiers, and what they are asked.
pub struct Builder {
    writer: Arc<dyn ChatModel>,
    show: Arc<dyn Show>,
    verifiers: Vec<Arc<dyn Judge>>,
    config: BuildConfig,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("writer", &self.writer.identity().name)
            .field("verifiers", &self.verifiers.len())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// A writer that is shown pairs by `show`, and the judges that verify its criteria.
    ///
    /// # Errors
    ///
    /// [`Error::Verifiers`] when there is no verifier, when two have the same name, or when the
    /// rule demands more of them than there are.
    pub fn new(
        writer: Arc<dyn ChatModel>,
        show: Arc<dyn Show>,
        verifiers: Vec<Arc<dyn Judge>>,
        config: BuildConfig,
    ) -> Result<Self, Error> {
        let wrong = |reason: String| Err(Error::Verifiers { reason });
        let mut names: Vec<String> = verifiers.iter().map(|v| v.identity().name).collect();
        names.sort();
        let needed = config.rule.needed(verifiers.len());
        let twice = |two: &[String]| (two[0] == two[1]).then(|| two[0].clone());
        if let Some(name) = names.windows(2).find_map(twice) {
            return wrong(format!("two of them are called `{name}`"));
        }
        if verifiers.is_empty() {
            return wrong("there is none".to_owned());
        }
        if needed > verifiers.len() {
            let (rule, count) = (config.rule, verifiers.len());
            return wrong(format!("`{rule}` needs {needed}, and there are {count}"));
        }
        Ok(Self {
            writer,
            show,
            verifiers,
            config,
        })
    }

    /// Everything that decides what a build of these parts over `tasks` of a source asks and keeps.
    pub fn plan(&self, source: String, tasks: Vec<Task>, limit: Option<u64>) -> BuildPlan {
        let config = &self.config;
        let mut writer = self.writer.identity();
        writer.settings =
            serde_json::json!({"model": writer.settings, "sampling": config.sampling});
        BuildPlan {
            source,
            writer,
            writer_prompts: prompt_fingerprint(),
            verifiers: self.verifiers.iter().map(|v| v.identity()).collect(),
            in_both_orders: self.in_both_orders(&tasks),
            setting: config.setting,
            rule: config.rule,
            attempts: config.attempts,
            tasks,
            limit,
            seed: config.seed,
        }
    }

    /// The tasks in which each verifier's verdicts may depend on the order of the responses.
    fn in_both_orders(&self, tasks: &[Task]) -> BTreeMap<String, Vec<Task>> {
        let sensitive = |verifier: &Arc<dyn Judge>| {
            let tasks = tasks.iter().copied();
            let tasks = tasks.filter(|task| verifier.is_order_sensitive_in(*task));
            (verifier.identity().name, tasks.collect::<Vec<Task>>())
        };
        self.verifiers.iter().map(sensitive).collect()
    }

    /// Whether every verifier can be asked about a task.
    pub fn supports(&self, task: Task) -> bool {
        self.verifiers
            .iter()
            .all(|verifier| verifier.supports(task))
    }

    /// The most requests that one pair takes.
    pub fn requests_per_pair(&self) -> u64 {
        u64::from(self.config.attempts) + 2 * 2 * self.verifiers.len() as u64
    }

    /// Asks the writer about a pair and the verifiers about its criteria.
    pub(super) async fn work(
        &self,
        plan: &BuildPlan,
        position: u64,
        pair: &PreferencePair,
    ) -> Result<PairRecord, Error> {
        let (writer, written) = self.written(pair).await.map_err(|source| Error::Build {
            pair_id: pair.id.clone(),
            source,
        })?;
        let criteria = if written.is_empty() {
            Vec::new()
        } else {
            self.verified(plan, pair, &written).await?
        };
        Ok(PairRecord {
            pair_id: pair.id.clone(),
            position,
            task: pair.task,
            group: pair.cluster().to_owned(),
            writer,
            criteria,
        })
    }

    /// The criteria of a pair with their verifiers' votes.
    async fn verified(
        &self,
        plan: &BuildPlan,
        pair: &PreferencePair,
        written: &[Written],
    ) -> Result<Vec<CriterionRecord>, Error> {
        // A medium that cannot be read is the verifiers' to say; its question has no hash.
        let content = ContentDigest::new(pair, &self.config.limits).ok();
        let criteria = written.iter().enumerate().map(|(index, one)| {
            let fault = fault(&written[..index], &one.criterion);
            self.criterion(plan, pair, content.as_ref(), one, fault)
        });
        try_join_all(criteria).await.map_err(|source| Error::Build {
            pair_id: pair.id.clone(),
            source,
        })
    }

    async fn criterion(
        &self,
        plan: &BuildPlan,
        pair: &PreferencePair,
        content: Option<&ContentDigest>,
        written: &Written,
        fault: Option<Outcome>,
    ) -> Result<CriterionRecord, ModelError> {
        let votes = match fault {
            Some(_) => Vec::new(),
            None => votes(plan, &self.verifiers, pair, content, &written.criterion).await?,
        };
        let mut record = CriterionRecord {
            criterion: written.criterion.clone(),
            label: written.label,
            votes,
            outcome: Outcome::NotConfirmed,
        };
        record.outcome = record.decide(plan, fault);
        Ok(record)
    }

    /// Asks the writer until its reply can be read or the attempts are spent.
    async fn written(
        &self,
        pair: &PreferencePair,
    ) -> Result<(WriterRecord, Vec<Written>), ModelError> {
        let order = OrderPolicy::Seeded.orders(pair, self.config.seed)[0];
        let mut record = WriterRecord {
            name: self.writer.identity().name,
            order,
            request_sha256: None,
            status: Status::Unreadable,
            reply: None,
            detail: None,
            usage: Usage::default(),
        };
        let mut written = Vec::new();
        for sample in 0..self.config.attempts.max(1) {
            match self.ask(pair, order, sample, &mut record).await {
                Ok(reply) => {
                    record.usage += reply.usage;
                    (record.status, record.detail, written) = read(&reply, order);
                    record.reply = Some(reply.text);
                    if record.status == Status::Readable {
                        break;
                    }
                }
                Err(error) => {
                    let Some(status) = status_of_failure(&error) else {
                        return Err(error);
                    };
                    record.status = status;
                    record.detail = Some(error.chain());
                    break;
                }
            }
        }
        Ok((record, written))
    }

    async fn ask(
        &self,
        pair: &PreferencePair,
        order: Order,
        sample: u32,
        record: &mut WriterRecord,
    ) -> Result<ChatReply, ModelError> {
        let blind = unlabelled(pair);
        let shown = match order {
            Order::AsIs => blind,
            Order::Swapped => blind.shown_swapped(),
        };
        let parts = self.show.show(&shown).await?;
        let request = request(pair.task, parts, &self.config.sampling, sample);
        record.request_sha256 = Some(of_request(&request));
        self.writer.complete(&request).await
    }
}

/// What a reply is worth, and the criteria in it.
fn read(reply: &ChatReply, shown: Order) -> (Status, Option<String>, Vec<Written>) {
    let declined = || Some("the model or its provider declined".to_owned());
    match (reply::read(&reply.text, shown), reply.finish) {
        (_, Finish::Refusal) => (Status::Refused, declined(), Vec::new()),
        (Ok(written), _) => (Status::Readable, None, written),
        (Err(unread), Finish::Length) => (Status::Truncated, Some(unread.to_string()), Vec::new()),
        (Err(unread), _) => (Status::Unreadable, Some(unread.to_string()), Vec::new()),
    }
}

/// What is wrong with a wording, given the pair's earlier ones.
pub(super) fn fault(earlier: &[Written], criterion: &str) -> Option<Outcome> {
    let same = |other: &Written| other.criterion.to_lowercase() == criterion.to_lowercase();
    if criterion.is_empty() {
        Some(Outcome::Blank)
    } else if criterion.chars().count() > LONGEST_CRITERION {
        Some(Outcome::TooLong)
    } else if names_a_side(criterion).is_some() {
        Some(Outcome::NamesASide)
    } else if earlier.iter().any(same) {
        Some(Outcome::Repeated)
    } else {
        None
    }
}
