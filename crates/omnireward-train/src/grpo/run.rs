//! A training by GRPO from its recipe to its last checkpoint.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Instant,
};

use omnireward_core::{NoProgress, OrderPolicy, Progress};
use omnireward_models::{decoder::Decoder, writer::WritingNetwork};
use serde::{Deserialize, Serialize};

use super::{
    Answer, Asking, Protocol, Question, QuestionSet, Rollout, RolloutEngine, RolloutRequest,
    RoundRecord, VerdictsRecord, best,
    data::Pool,
    group::{self, Group},
    log::{Standing, Window, write_samples},
    reward::Rewards,
    rollouts,
    update::{Terms, update},
};
use crate::{
    Best, GrpoRecipe, HeldOut, Result,
    folder::{self, Record, state},
    metrics::{self, Metrics},
    policy::{Policy, WriterCard},
};

/// A training by GRPO that is to be run.
#[expect(
    missing_debug_implementations,
    reason = "engines and protocols are the caller's"
)]
pub struct GrpoTraining<'a> {
    /// How.
    pub recipe: &'a GrpoRecipe,
    /// The checkpoint it starts from.
    pub base: &'a Path,
    /// What it is asked about.
    pub sets: Vec<QuestionSet>,
    /// What it is measured on.
    pub held_out: Vec<HeldOut>,
    /// How it is asked, and how its replies are read.
    pub protocol: &'a dyn Protocol,
    /// What samples its replies.
    pub engine: Box<dyn RolloutEngine>,
    /// What replies are worth: the recipe's functions, or others.
    pub rewards: Rewards,
    /// The folder for all that it makes.
    pub out: &'a Path,
    /// The machine's name, for the files that `TensorBoard` reads.
    pub host: &'a str,
    /// What the data are, for the record: a run is only ever resumed with the same.
    pub record: serde_json::Value,
}

/// What a training by GRPO made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GrpoTrained {
    /// The checkpoint after the last round.
    pub last: PathBuf,
    /// The checkpoint whose verdicts on held-out pairs were best, where there are any.
    pub best: Option<PathBuf>,
    /// How it did.
    pub best_evaluation: Option<Best>,
    /// Rounds done, those of earlier sittings included.
    pub rounds: u64,
    /// Steps of the optimiser, those included in which there was nothing to learn.
    pub updates: u64,
    /// Seconds spent, those of earlier sittings included.
    pub seconds: f64,
    /// The newest measurement.
    pub newest: Option<RoundRecord>,
    /// Pairs that are labelled a tie, where none is offered: they were left out.
    pub ties_left_out: u64,
    /// Parameters that received no gradient in any step.
    pub without_gradient: Vec<String>,
}

impl GrpoTraining<'_> {
    /// Runs it, or goes on with it where `out` holds its beginning.
    ///
    /// # Errors
    ///
    /// Fails when the folder holds another run, the checkpoint or the data cannot be used, a conversation is too long, a
    /// reward, loss or gradient is not a finite number, replies cannot be sampled, or the disk is full. What was saved
    /// before stays, and a run that is started again goes on from there.
    pub fn run(self, progress: &dyn Progress) -> Result<GrpoTrained> {
        let mut run = Run::begin(self)?;
        progress.begin("training", Some(run.total - run.step));
        while run.step < run.total {
            let done = run.round(progress);
            if done.is_err() {
                progress.end();
            }
            done?;
        }
        progress.end();
        run.finish(progress)
    }
}

struct Run<'a> {
    recipe: &'a GrpoRecipe,
    out: &'a Path,
    pool: Pool,
    held_out: Vec<HeldOut>,
    protocol: &'a dyn Protocol,
    engine: Box<dyn RolloutEngine>,
    rewards: Rewards,
    policy: Policy,
    reference: Option<WritingNetwork>,
    metrics: Metrics,
    /// Rounds done, and rounds in all.
    step: u64,
    total: u64,
    /// Steps of the optimiser in all.
    updates: u64,
    epoch: Epoch,
    best: Option<Best>,
    newest: Option<RoundRecord>,
    /// The newest ones, for the model card.
    verdicts: Vec<VerdictsRecord>,
    seconds: f64,
    window: Window,
    /// Held while this process may write to the folder.
    _lock: File,
}

/// The rounds of the epoch under way.
struct Epoch {
    number: u64,
    /// The round of the run that is its first.
    start: u64,
    rounds: Vec<Vec<usize>>,
}

/// The numbers of a moment that are no tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Moment {
    /// Rounds done.
    round: u64,
    /// Steps of the optimiser done.
    updates: u64,
    best: Option<Best>,
    newest: Option<RoundRecord>,
    verdicts: Vec<VerdictsRecord>,
    seconds: f64,
    /// What has not been written as a line of metrics yet.
    window: Window,
}

impl<'a> Run<'a> {
    fn begin(training: GrpoTraining<'a>) -> Result<Self> {
        let GrpoTraining {
            recipe,
            base,
            sets,
            held_out,
            protocol,
            engine,
            rewards,
            out,
            host,
            record,
        } = training;
        let lock = folder::lock(out)?;
        let seed = recipe.train.seed;
        let pool = Pool::new(sets, recipe.question.setting, seed)?;
        let record = Record::new(recipe.to_toml(), &record);
        record.check(out)?;
        let mut policy = Policy::open(base, &recipe.model, &recipe.train)?;
        let moment: Option<Moment> =
            state::resume(&mut policy.variables, &mut policy.optimiser, out)?;
        record.write(out)?;
        let lengths = |epoch| pool.rounds(seed, epoch, recipe.train.batch);
        let total = recipe
            .train
            .length()
            .steps(|epoch| lengths(epoch).len() as u64);
        let has_reference = recipe.grpo.beta > 0.0;
        let mut run = Self {
            reference: has_reference.then(|| policy.reference(base)).transpose()?,
            metrics: match &moment {
                Some(moment) => Metrics::resume(out, host, moment.round)?,
                None => Metrics::create(out, host)?,
            },
            updates: updates(recipe, total, lengths),
            epoch: Epoch {
                number: 0,
                start: 0,
                rounds: lengths(0),
            },
            step: 0,
            total,
            best: None,
            newest: None,
            verdicts: Vec::new(),
            seconds: 0.0,
            window: Window::default(),
            recipe,
            out,
            pool,
            held_out,
            protocol,
            engine,
            rewards,
            policy,
            _lock: lock,
        };
        if let Some(moment) = moment {
            run.step = moment.round;
            run.policy.updates = moment.updates;
            run.best = moment.best;
            run.newest = moment.newest;
            run.verdicts = moment.verdicts;
            run.seconds = moment.seconds;
            run.window = moment.window;
        }
        run.catch_up();
        run.check_room()?;
        Ok(run)
    }

    /// Goes to the epoch of the round that is next.
    fn catch_up(&mut self) {
        while self.step >= self.epoch.start + self.epoch.rounds.len() as u64 {
            let number = self.epoch.number + 1;
            let train = &self.recipe.train;
            self.epoch = Epoch {
                number,
                start: self.epoch.start + self.epoch.rounds.len() as u64,
                rounds: self.pool.rounds(train.seed, number, train.batch),
            };
        }
    }

    fn round(&mut self, progress: &dyn Progress) -> Result<()> {
        let began = Instant::now();
        self.catch_up();
        let step = self.step + 1;
        let mut groups = self.sampled()?;
        let sampling = began.elapsed().as_secs_f64();
        let grpo = &self.recipe.grpo;
        let scale = (grpo.scale, grpo.advantage_epsilon);
        group::judge(&mut groups, &self.rewards, scale, &self.policy.network)?;
        self.window.add_groups(&groups, &self.rewards, sampling);
        write_samples(self.out, step, &groups, grpo.samples)?;
        self.learn(&mut groups)?;
        self.step = step;
        self.seconds += began.elapsed().as_secs_f64();
        progress.advance(1, &self.window.note());
        if step.is_multiple_of(self.recipe.train.log_every) || step == self.total {
            self.log()?;
        }
        self.after(progress)
    }

    /// The questions of the next round, with their replies.
    fn sampled(&mut self) -> Result<Vec<Group>> {
        let recipe = self.recipe;
        let seed = recipe.train.seed;
        let round = &self.epoch.rounds[(self.step - self.epoch.start) as usize];
        let asked = (recipe.grpo.orders, recipe.question.setting);
        let questions = self.pool.questions(round, asked, seed, self.protocol)?;
        let room = recipe.rollout.max_tokens as usize;
        let policy = &self.policy;
        let prompts = policy.each(&questions, |question| {
            policy.prompt(&question.pair, &question.messages, room)
        })?;
        self.hand_over()?;
        let requests: Vec<RolloutRequest<'_>> = (0..)
            .zip(questions.iter().zip(&prompts))
            .map(|(number, (question, prompt))| RolloutRequest {
                messages: &question.messages,
                prompt,
                first: first_number(self.step, number),
                count: recipe.grpo.rollouts,
                end: self.policy.end,
            })
            .collect();
        let network = &self.policy.network;
        let replies = self
            .engine
            .sample(network, &requests, &recipe.rollout, seed)?;
        let mut answers = Vec::with_capacity(questions.len());
        for ((question, request), replies) in questions.iter().zip(&requests).zip(replies) {
            rollouts::check(&question.pair, request, &replies)?;
            answers.push(self.read(question, replies));
        }
        let groups = questions.into_iter().zip(prompts).zip(answers);
        Ok(groups
            .map(|((question, prompt), answers)| Group::new(question, prompt, answers))
            .collect())
    }

    fn read(&self, question: &Question, replies: Vec<Rollout>) -> Vec<Answer> {
        let replies = replies.into_iter();
        replies
            .map(|rollout| Answer {
                verdict: self.protocol.verdict(&rollout.text, question.setting),
                rollout,
            })
            .collect()
    }

    /// Gives the weights to an engine that samples elsewhere.
    fn hand_over(&mut self) -> Result<()> {
        let Some(folder) = self.engine.hand_over() else {
            return Ok(());
        };
        let variables = &self.policy.variables;
        if !variables.write_adapter(&folder)? {
            variables.write(&folder, &[], &NoProgress)?;
        }
        Ok(self.engine.take_up()?)
    }

    /// Takes the steps of a round.
    fn learn(&mut self, groups: &mut [Group]) -> Result<()> {
        let GrpoRecipe { train, grpo, .. } = self.recipe;
        let at_once = grpo.update.unwrap_or(groups.len()).max(1);
        let is_once = grpo.inner_epochs == 1 && at_once >= groups.len();
        self.observe(groups, !is_once)?;
        for _ in 0..grpo.inner_epochs {
            for groups in groups.chunks(at_once) {
                let rate = train.rate(self.policy.updates + 1, self.updates.max(1));
                let terms = Terms {
                    surrogate: grpo.surrogate(),
                    average: grpo.average,
                    longest: self.recipe.rollout.max_tokens,
                    temperature: self.recipe.rollout.temperature,
                    batch_rows: train.batch_rows,
                    rate,
                    clip: train.clip,
                };
                let learnt = update(&mut self.policy, groups, &terms)?;
                self.window.add_step(learnt.as_ref(), rate);
            }
        }
        Ok(())
    }

    /// The log-probabilities of what is learned from, under the reference, and as they are now if the weights will change
    /// before the last step.
    fn observe(&self, groups: &mut [Group], with_old: bool) -> Result<()> {
        let rows = self.recipe.train.batch_rows;
        let temperature = self.recipe.rollout.temperature;
        let observe = |decoder: &Decoder, groups: &[Group]| {
            let taught = groups.iter().filter(|group| group.advantages.is_some());
            let taught: Vec<&Group> = taught.collect();
            let scorer = self.policy.scorer(decoder, temperature);
            group::observe(&self.policy, scorer, &taught, rows)
        };
        let reference = self.reference.as_ref();
        let reference = reference.map(|network| observe(network.decoder(), groups));
        let old = with_old.then(|| observe(self.policy.network.decoder(), groups));
        let mut reference = reference.transpose()?.map(Vec::into_iter);
        let mut old = old.transpose()?.map(Vec::into_iter);
        for group in groups.iter_mut().filter(|group| group.advantages.is_some()) {
            group.reference = reference.as_mut().and_then(Iterator::next);
            group.old = old.as_mut().and_then(Iterator::next);
        }
        Ok(())
    }

    fn log(&mut self) -> Result<()> {
        let standing = Standing {
            step: self.step,
            epoch: self.epoch.number as f64
                + (self.step - self.epoch.start) as f64 / self.epoch.rounds.len() as f64,
            updates: self.policy.updates,
            seconds: self.seconds,
            has_reference: self.reference.is_some(),
        };
        let record = std::mem::take(&mut self.window).record(&standing);
        self.newest = Some(record.clone());
        self.metrics.record(&metrics::Record::Round(record))
    }

    /// What is due after a round: evaluation, then a checkpoint.
    fn after(&mut self, progress: &dyn Progress) -> Result<()> {
        let is_last = self.step == self.total;
        let due = |every: u64| every > 0 && self.step.is_multiple_of(every);
        let (evaluates, saves) = (
            !self.held_out.is_empty() && (is_last || due(self.recipe.evaluation.every)),
            !is_last && due(self.recipe.checkpoints.every),
        );
        if evaluates {
            self.evaluate(progress)?;
        }
        if saves {
            self.write(&folder::checkpoint(self.out, self.step), progress)?;
            self.save()?;
            folder::forget_old(self.out, self.recipe.checkpoints.keep)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, progress: &dyn Progress) -> Result<()> {
        let began = Instant::now();
        self.hand_over()?;
        let asking = Asking {
            protocol: self.protocol,
            setting: self.recipe.question.setting,
            rollout: &self.recipe.rollout,
        };
        let mut records: Vec<VerdictsRecord> = Vec::new();
        for held_out in &self.held_out {
            let engine = &mut *self.engine;
            let record = asking.evaluate(&self.policy, engine, held_out, self.step, progress)?;
            self.metrics
                .record(&metrics::Record::Verdicts(record.clone()))?;
            records.push(record);
        }
        self.seconds += began.elapsed().as_secs_f64();
        let better = best(self.best, self.step, &records);
        self.verdicts = records;
        if let Some(better) = better {
            self.best = Some(better);
            self.write(&self.best_path(), progress)?;
        }
        Ok(())
    }

    fn save(&self) -> Result<()> {
        let moment = Moment {
            round: self.step,
            updates: self.policy.updates,
            best: self.best,
            newest: self.newest.clone(),
            verdicts: self.verdicts.clone(),
            seconds: self.seconds,
            window: self.window.clone(),
        };
        let Policy {
            variables,
            optimiser,
            ..
        } = &self.policy;
        state::save(variables, optimiser, self.step, &moment, self.out)
    }

    /// Writes the checkpoint of this moment, with its card.
    fn write(&self, out: &Path, progress: &dyn Progress) -> Result<()> {
        let name = self.out.file_name().unwrap_or_default().to_string_lossy();
        let card = WriterCard {
            name: &name,
            base: &self.recipe.model.path,
            method: "GRPO",
            step: self.step,
            steps: self.total,
            recipe: &self.recipe.to_toml(),
            verdicts: &self.verdicts,
        };
        let files = [("README.md", card.to_markdown())];
        self.policy.variables.write(out, &files, progress)
    }

    fn finish(self, progress: &dyn Progress) -> Result<GrpoTrained> {
        let last = self.out.join("last");
        self.write(&last, progress)?;
        let variables = &self.policy.variables;
        variables.write_adapter(&self.out.join("adapter"))?;
        self.save()?;
        let without_gradient = self.policy.optimiser.without_gradient();
        Ok(GrpoTrained {
            last,
            best: self.best.map(|_| self.best_path()),
            best_evaluation: self.best,
            rounds: self.step,
            updates: self.policy.updates,
            seconds: self.seconds,
            ties_left_out: self.pool.ties_left_out,
            without_gradient: without_gradient.into_iter().map(str::to_owned).collect(),
            newest: self.newest,
        })
    }

    fn best_path(&self) -> PathBuf {
        self.out.join("best")
    }

    /// Fails before hours are spent when the disk cannot take what the run will write.
    fn check_room(&self) -> Result<()> {
        let checkpoints = self.recipe.checkpoints.written(self.total);
        let bytes = self.policy.variables.bytes_in_all(checkpoints)?;
        folder::check_room(self.out, bytes)
    }
}

/// The number of a question's first reply: 16 bits for replies, 24 for questions, the rest for rounds, so that each reply
/// of a training has draws of its own.
fn first_number(round: u64, question: u64) -> u64 {
    (round << 40) | (question << 16)
}

/// Steps of the optimiser in so many rounds, of which each epoch has these.
fn updates(recipe: &GrpoRecipe, rounds: u64, of_epoch: impl Fn(u64) -> Vec<Vec<usize>>) -> u64 {
    let orders = match recipe.grpo.orders {
        OrderPolicy::Both => 2,
        _ => 1,
    };
    let in_round = |pairs: usize| {
        let questions = orders * pairs;
        let updates = recipe
            .grpo
            .update
            .map_or(1, |at_once| questions.div_ceil(at_once));
        updates as u64 * recipe.grpo.inner_epochs
    };
    let lengths = (0..).flat_map(|epoch| of_epoch(epoch).into_iter().map(|round| round.len()));
    lengths.take(rounds as usize).map(in_round).sum()
}
