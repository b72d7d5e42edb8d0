use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use omnireward_core::{
    Judge, ModelError, ModelErrorKind, Order, OrderPolicy, Preference, PreferencePair, Progress,
    Setting, Status, Task, Verdict, error_chain,
};
use omnireward_data::Dataset;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{Error, Row, RunDir, RunPlan, Spend, run_dir::AskKey};

/// So many failures in a row end the run, where no later request would fare better: credentials
/// are refused, or nothing has been answered at all.
const FAILURES_IN_A_ROW: u32 = 10;

/// How many questions wait, ready to be asked. Small, because each may hold a pair's media.
const LOOK_AHEAD: usize = 4;

/// How a run is carried out. None of it changes a verdict.
pub struct RunOptions {
    /// Whether a row of the benchmark that cannot be used ends the run.
    pub strict: bool,
    /// How many questions progress is counted against; see [`Estimate::planned`](crate::Estimate).
    pub planned: u64,
    /// The most requests that one question may take.
    pub requests_per_question: u32,
    /// How many questions may be under way now; asked again before each new one.
    pub concurrency: Box<dyn Fn() -> usize + Send + Sync>,
    /// Set from outside to end the run after what is under way.
    pub interrupted: Arc<AtomicBool>,
}

impl std::fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOptions")
            .field("strict", &self.strict)
            .field("planned", &self.planned)
            .field("requests_per_question", &self.requests_per_question)
            .field("interrupted", &self.interrupted)
            .finish_non_exhaustive()
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunEnd {
    /// Questions asked in this session.
    pub asked: u64,
    /// Questions that an earlier session had answered.
    pub kept: u64,
    /// Rows and whole parts of the benchmark that could not be used, in this session.
    pub bad_rows: u64,
    /// Why the first question without an answer has none, in this session.
    pub first_failure: Option<String>,
    /// Tasks of the benchmark that the judge does not support and that were left out.
    pub unsupported: Vec<Task>,
    /// Why the run stopped before all was asked.
    pub stopped: Option<Stop>,
}

/// Why a run stopped early. Started again, it goes on where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The budget is spent.
    Budget,
    /// The user asked.
    Interrupted,
}

/// Asks `judge` every question of `plan` about `dataset` that `dir` does not hold an answer to, and
/// commits each verdict to `dir`.
///
/// A judge whose verdicts do not depend on the order is asked once for each pair. Under
/// [`Setting::WithoutTies`] pairs labelled a tie are left out. Lists of more than two responses are
/// split into their comparisons.
///
/// # Errors
///
/// When a row cannot be used and the run is strict, when the run directory cannot be written, when
/// the credentials are refused again and again, when nothing is answered at all, when nothing is
/// left to ask and nothing was asked before, or when the judge fails in a way that has nothing to
/// do with one pair. Failures that do concern one pair are recorded as its verdict's status.
pub async fn run(
    judge: Arc<dyn Judge>,
    dataset: &Dataset,
    plan: &RunPlan,
    dir: &RunDir,
    spend: &Spend,
    options: RunOptions,
    progress: &dyn Progress,
) -> Result<RunEnd, Error> {
    let planner = Planner::new(plan, judge.as_ref(), dir.answered()?);
    progress.begin("judging", Some(options.planned));
    let (sender, questions) = mpsc::channel(LOOK_AHEAD);
    let pairs = dataset.pairs();
    let reading = std::thread::spawn(move || planner.send_all(pairs, &sender));
    let mut run = Run {
        judge,
        dir,
        spend,
        options,
        progress,
        questions,
        under_way: JoinSet::new(),
        answered: 0,
        failures_in_a_row: 0,
        end: RunEnd {
            asked: 0,
            kept: 0,
            bad_rows: 0,
            first_failure: None,
            unsupported: Vec::new(),
            stopped: None,
        },
        statuses: HashMap::new(),
    };
    let outcome = run.all().await;
    // Closing the channel ends the reader, wherever it is.
    run.questions.close();
    while run.questions.try_recv().is_ok() {}
    let unsupported = reading
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    progress.end();
    outcome?;
    run.end.unsupported = unsupported.into_iter().collect();
    run.check_not_in_vain()?;
    Ok(run.end)
}

/// One question: a pair, with or without ties, in one order.
struct Question {
    position: u64,
    pair: Arc<PreferencePair>,
    setting: Setting,
    order: Order,
}

enum Planned {
    Ask(Question),
    /// Answered by an earlier session.
    Kept,
    /// Counted in the expected total, but not to be asked.
    Omitted(u64),
    BadRow(omnireward_data::Error),
}

/// Turns the pairs of a benchmark into questions.
struct Planner {
    plan: RunPlan,
    supported: HashSet<Task>,
    /// Tasks in which the order of the responses may matter.
    order_sensitive: HashSet<Task>,
    answered: HashSet<AskKey>,
}

impl Planner {
    fn new(plan: &RunPlan, judge: &dyn Judge, answered: HashSet<AskKey>) -> Self {
        let tasks = |of: &dyn Fn(Task) -> bool| {
            let tasks = Task::ALL.into_iter();
            tasks.filter(|task| of(*task)).collect()
        };
        Self {
            supported: tasks(&|task| judge.supports(task)),
            order_sensitive: tasks(&|task| judge.is_order_sensitive_in(task)),
            plan: plan.clone(),
            answered,
        }
    }

    /// The order in which responses are shown. Nothing is asked twice that cannot differ.
    fn order(&self, task: Task) -> OrderPolicy {
        if self.order_sensitive.contains(&task) {
            self.plan.order
        } else {
            OrderPolicy::AsIs
        }
    }

    /// Reads the benchmark and sends what is to be done, until the receiver is gone. Returns the
    /// tasks that were left out because the judge does not support them.
    fn send_all(
        &self,
        pairs: impl Iterator<Item = Result<PreferencePair, omnireward_data::Error>>,
        sender: &mpsc::Sender<Planned>,
    ) -> BTreeSet<Task> {
        let mut unsupported = BTreeSet::new();
        let mut taken: HashMap<Task, u64> = HashMap::new();
        for (position, pair) in pairs.enumerate() {
            let pair = match pair {
                Ok(pair) => pair,
                Err(error) => {
                    if sender.blocking_send(Planned::BadRow(error)).is_err() {
                        break;
                    }
                    continue;
                }
            };
            if !self.plan.tasks.contains(&pair.task) {
                continue;
            }
            if !self.supported.contains(&pair.task) {
                unsupported.insert(pair.task);
                continue;
            }
            let taken = taken.entry(pair.task).or_default();
            if self.plan.limit.is_some_and(|limit| *taken >= limit) {
                continue;
            }
            *taken += 1;
            for pair in pair.comparisons() {
                if !self.send(position as u64, Arc::new(pair), sender) {
                    return unsupported;
                }
            }
        }
        unsupported
    }

    fn send(
        &self,
        position: u64,
        pair: Arc<PreferencePair>,
        sender: &mpsc::Sender<Planned>,
    ) -> bool {
        let orders = self.order(pair.task).orders(&pair, self.plan.seed);
        for &setting in &self.plan.settings {
            if !setting.offers_tie() && pair.label == Some(Preference::Tie) {
                if sender
                    .blocking_send(Planned::Omitted(orders.len() as u64))
                    .is_err()
                {
                    return false;
                }
                continue;
            }
            for &order in &orders {
                let key = (pair.id.clone(), setting, order);
                let planned = if self.answered.contains(&key) {
                    Planned::Kept
                } else {
                    Planned::Ask(Question {
                        position,
                        pair: pair.clone(),
                        setting,
                        order,
                    })
                };
                if sender.blocking_send(planned).is_err() {
                    return false;
                }
            }
        }
        true
    }
}

/// A run under way.
struct Run<'a> {
    judge: Arc<dyn Judge>,
    dir: &'a RunDir,
    spend: &'a Spend,
    options: RunOptions,
    progress: &'a dyn Progress,
    questions: mpsc::Receiver<Planned>,
    under_way: JoinSet<(Question, Result<Verdict, ModelError>, u64)>,
    /// Questions answered in this session, readably or not.
    answered: u64,
    failures_in_a_row: u32,
    end: RunEnd,
    statuses: HashMap<Status, u64>,
}

impl Run<'_> {
    async fn all(&mut self) -> Result<(), Error> {
        let mut more = true;
        loop {
            if more && self.options.interrupted.load(Ordering::Relaxed) {
                self.end.stopped = Some(Stop::Interrupted);
            }
            let may_ask = more
                && self.end.stopped.is_none()
                && self.under_way.len() < (self.options.concurrency)().max(1);
            tokio::select! {
                biased;
                Some(answer) = self.under_way.join_next() => {
                    let (question, verdict, latency_ms) = answer.unwrap_or_else(|error| {
                        std::panic::resume_unwind(error.into_panic())
                    });
                    self.record(&question, verdict, latency_ms)?;
                }
                planned = self.questions.recv(), if may_ask => match planned {
                    Some(planned) => self.begin(planned)?,
                    None => more = false,
                },
                else => return Ok(()),
            }
        }
    }

    fn begin(&mut self, planned: Planned) -> Result<(), Error> {
        match planned {
            Planned::Ask(question) => {
                let questions = self.under_way.len() as u64 + 1;
                let requests = questions * u64::from(self.options.requests_per_question);
                if self.spend.would_pass(requests) {
                    self.end.stopped = Some(Stop::Budget);
                } else {
                    self.under_way.spawn(ask(self.judge.clone(), question));
                }
            }
            Planned::Kept => {
                self.end.kept += 1;
                self.progress.advance(1, &self.note());
            }
            Planned::Omitted(count) => self.progress.advance(count, &self.note()),
            Planned::BadRow(error) => self.note_bad_row(error)?,
        }
        Ok(())
    }

    fn note_bad_row(&mut self, error: omnireward_data::Error) -> Result<(), Error> {
        if self.options.strict {
            return Err(Error::Row(error));
        }
        self.dir.note_bad_row(&error_chain(&error))?;
        self.end.bad_rows += 1;
        Ok(())
    }

    fn record(
        &mut self,
        question: &Question,
        verdict: Result<Verdict, ModelError>,
        latency_ms: u64,
    ) -> Result<(), Error> {
        let verdict = match verdict {
            Ok(verdict) => {
                self.answered += 1;
                self.failures_in_a_row = 0;
                verdict
            }
            Err(error) => {
                let detail = error.chain();
                let status = self.status_of_failure(&question.pair.id, error)?;
                self.end.first_failure.get_or_insert_with(|| detail.clone());
                Verdict::without_preference(status, Some(detail))
            }
        };
        let verdict = match question.order {
            Order::AsIs => verdict,
            Order::Swapped => verdict.swapped(),
        };
        *self.statuses.entry(verdict.status).or_default() += 1;
        let Question {
            pair,
            position,
            setting,
            order,
        } = question;
        let row = Row::new(pair, *position, *setting, *order, verdict, latency_ms);
        self.dir.commit(&row)?;
        self.end.asked += 1;
        self.progress.advance(1, &self.note());
        Ok(())
    }

    /// The status of a question that failed. A failure that has nothing to do with one pair, or
    /// that later ones would only repeat, ends the run instead.
    fn status_of_failure(&mut self, pair_id: &str, error: ModelError) -> Result<Status, Error> {
        let status = match error.kind {
            ModelErrorKind::Media => return Ok(Status::MediaError),
            ModelErrorKind::NotRecorded => return Ok(Status::NotRecorded),
            ModelErrorKind::Rejected => Status::Rejected,
            ModelErrorKind::Transport | ModelErrorKind::Unauthorized => Status::TransportError,
            ModelErrorKind::Unsupported | ModelErrorKind::Budget | ModelErrorKind::Internal => {
                return Err(Error::Judge {
                    pair_id: pair_id.to_owned(),
                    source: error,
                });
            }
        };
        self.failures_in_a_row += 1;
        if self.failures_in_a_row < FAILURES_IN_A_ROW {
            Ok(status)
        } else if error.kind == ModelErrorKind::Unauthorized {
            Err(Error::Unauthorized(self.failures_in_a_row, error))
        } else if self.answered == 0 {
            Err(Error::NoAnswer(self.failures_in_a_row, error))
        } else {
            Ok(status)
        }
    }

    /// A session that asked and was never answered, or had nothing to ask, is an error.
    fn check_not_in_vain(&self) -> Result<(), Error> {
        if self.end.stopped.is_some() || self.answered > 0 || self.end.kept > 0 {
            return Ok(());
        }
        if let Some(failure) = &self.end.first_failure {
            return Err(Error::NothingAnswered(failure.clone()));
        }
        let bad = self.dir.bad_rows()?;
        Err(Error::NothingToJudge(match bad.first() {
            Some(first) => format!("{} rows could not be used, the first: {first}", bad.len()),
            None => "the benchmark has no pair of these tasks that this judge supports".to_owned(),
        }))
    }

    /// A short line for people: spend and what went wrong so far.
    fn note(&self) -> String {
        let mut note = Vec::new();
        let spent = self.spend.so_far();
        if self.spend.has_prices() {
            note.push(format!("${:.2}", self.spend.dollars()));
        } else if spent.prompt_tokens + spent.completion_tokens > 0 {
            let tokens = (spent.prompt_tokens + spent.completion_tokens) as f64;
            note.push(format!("{:.1}k tokens", tokens / 1e3));
        }
        if self.under_way.len() > 1 {
            note.push(format!("{} at once", self.under_way.len()));
        }
        for status in Status::ALL {
            let count = self.statuses.get(&status).copied().unwrap_or_default();
            if status != Status::Readable && count > 0 {
                note.push(format!("{count} {status}"));
            }
        }
        if self.end.bad_rows > 0 {
            note.push(format!("{} bad rows", self.end.bad_rows));
        }
        note.join(" · ")
    }
}

async fn ask(
    judge: Arc<dyn Judge>,
    question: Question,
) -> (Question, Result<Verdict, ModelError>, u64) {
    let started = Instant::now();
    let verdict = match question.order {
        Order::AsIs => judge.judge(&question.pair, question.setting).await,
        Order::Swapped => {
            judge
                .judge(&question.pair.shown_swapped(), question.setting)
                .await
        }
    };
    let latency_ms = started.elapsed().as_millis() as u64;
    (question, verdict, latency_ms)
}
