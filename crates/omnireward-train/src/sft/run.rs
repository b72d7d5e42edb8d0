//! A supervised fine-tuning from its recipe to its last checkpoint.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Instant,
};

use omnireward_core::Progress;
use omnireward_models::generation::Prompt;
use serde::{Deserialize, Serialize};

use super::data::{AnswerSet, Example, Examples};
use crate::{
    Best, Error, HeldOut, Result, SftRecipe,
    folder::{self, Record, state},
    grpo::{Asking, LocalEngine, Protocol, VerdictsRecord, best},
    metrics::{self, Metrics, StepRecord},
    policy::{Dialogue, Policy, Scorer, Sink, WriterCard, streams},
};

/// A supervised fine-tuning that is to be run.
#[expect(missing_debug_implementations, reason = "protocols are the caller's")]
pub struct SftTraining<'a> {
    /// How.
    pub recipe: &'a SftRecipe,
    /// The checkpoint it starts from.
    pub base: &'a Path,
    /// What it learns.
    pub sets: Vec<AnswerSet>,
    /// What it is measured on.
    pub held_out: Vec<HeldOut>,
    /// How it is asked, and how its replies are read.
    pub protocol: &'a dyn Protocol,
    /// The folder for all that it makes.
    pub out: &'a Path,
    /// The machine's name, for the files that `TensorBoard` reads.
    pub host: &'a str,
    /// What the data are, for the record: a run is only ever resumed with the same.
    pub record: serde_json::Value,
}

/// What a supervised fine-tuning made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SftTrained {
    /// The checkpoint after the last step.
    pub last: PathBuf,
    /// The checkpoint whose verdicts on held-out pairs were best, where there are any.
    pub best: Option<PathBuf>,
    /// How it did.
    pub best_evaluation: Option<Best>,
    /// Steps done, those of earlier sittings included.
    pub steps: u64,
    /// Seconds spent, those of earlier sittings included.
    pub seconds: f64,
    /// Parameters that received no gradient in any step.
    pub without_gradient: Vec<String>,
}

impl SftTraining<'_> {
    /// Runs it, or goes on with it where `out` holds its beginning.
    ///
    /// # Errors
    ///
    /// Fails when the folder holds another run, the checkpoint or the data cannot be used, a conversation is too long, a
    /// loss or gradient is not a finite number, or the disk is full. What was saved before stays, and a run that is
    /// started again goes on from there.
    pub fn run(self, progress: &dyn Progress) -> Result<SftTrained> {
        let mut run = Run::begin(self)?;
        progress.begin("training", Some(run.total - run.policy.updates));
        while run.policy.updates < run.total {
            let done = run.step(progress);
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
    recipe: &'a SftRecipe,
    out: &'a Path,
    examples: Examples,
    held_out: Vec<HeldOut>,
    protocol: &'a dyn Protocol,
    policy: Policy,
    metrics: Metrics,
    total: u64,
    epoch: Epoch,
    best: Option<Best>,
    /// The newest ones, for the model card.
    verdicts: Vec<VerdictsRecord>,
    seconds: f64,
    rows: u64,
    window: Window,
    /// Held while this process may write to the folder.
    _lock: File,
}

/// The steps of the epoch under way.
struct Epoch {
    number: u64,
    /// The step of the run that is its first.
    start: u64,
    steps: Vec<Vec<usize>>,
}

/// The numbers of a moment that are no tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Moment {
    step: u64,
    best: Option<Best>,
    verdicts: Vec<VerdictsRecord>,
    seconds: f64,
    rows: u64,
    /// What has not been written as a line of metrics yet.
    window: Window,
}

/// What happened since the last line of metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Window {
    /// `Σ` of the steps' losses.
    loss: f64,
    steps: u64,
    /// `Σ -log p` of all tokens, whatever they count.
    words: f64,
    tokens: u64,
    norm: f64,
    seconds: f64,
}

/// An answer with the question it follows.
struct Lesson<'e> {
    example: &'e Example,
    prompt: Prompt,
    tokens: Vec<u32>,
}

impl<'a> Run<'a> {
    fn begin(training: SftTraining<'a>) -> Result<Self> {
        let SftTraining {
            recipe,
            base,
            sets,
            held_out,
            protocol,
            out,
            host,
            record,
        } = training;
        let lock = folder::lock(out)?;
        let examples = Examples::new(sets)?;
        let record = Record::new(recipe.to_toml(), &record);
        record.check(out)?;
        let mut policy = Policy::open(base, &recipe.model, &recipe.train)?;
        let moment: Option<Moment> =
            state::resume(&mut policy.variables, &mut policy.optimiser, out)?;
        record.write(out)?;
        let train = &recipe.train;
        let steps = |epoch| examples.steps(train.seed, epoch, train.batch);
        let mut run = Self {
            metrics: match &moment {
                Some(moment) => Metrics::resume(out, host, moment.step)?,
                None => Metrics::create(out, host)?,
            },
            total: train.length().steps(|epoch| steps(epoch).len() as u64),
            epoch: Epoch {
                number: 0,
                start: 0,
                steps: steps(0),
            },
            best: None,
            verdicts: Vec::new(),
            seconds: 0.0,
            rows: 0,
            window: Window::default(),
            recipe,
            out,
            examples,
            held_out,
            protocol,
            policy,
            _lock: lock,
        };
        if let Some(moment) = moment {
            run.policy.updates = moment.step;
            run.best = moment.best;
            run.verdicts = moment.verdicts;
            run.seconds = moment.seconds;
            run.rows = moment.rows;
            run.window = moment.window;
        }
        run.catch_up();
        run.check_room()?;
        Ok(run)
    }

    /// Goes to the epoch of the step that is next.
    fn catch_up(&mut self) {
        while self.policy.updates >= self.epoch.start + self.epoch.steps.len() as u64 {
            let number = self.epoch.number + 1;
            let train = &self.recipe.train;
            self.epoch = Epoch {
                number,
                start: self.epoch.start + self.epoch.steps.len() as u64,
                steps: self.examples.steps(train.seed, number, train.batch),
            };
        }
    }

    fn step(&mut self, progress: &dyn Progress) -> Result<()> {
        let began = Instant::now();
        self.catch_up();
        let step = self.policy.updates + 1;
        let rate = self.recipe.train.rate(step, self.total);
        let place = (step - 1 - self.epoch.start) as usize;
        let chosen = self.epoch.steps[place].iter();
        let chosen: Vec<&Example> = chosen.map(|&place| &self.examples.all[place]).collect();
        let lessons = lessons(&self.policy, &chosen, self.recipe, self.protocol)?;
        let (window, rows) = learn(&mut self.policy, &lessons, self.recipe.train.batch_rows)?;
        let pairs = || ids(&lessons);
        let norm = self.policy.take_step(rate, self.recipe.train.clip, pairs)?;
        let seconds = began.elapsed().as_secs_f64();
        self.seconds += seconds;
        self.rows += rows;
        self.window.add(&window, norm, seconds);
        if step.is_multiple_of(self.recipe.train.log_every) || step == self.total {
            self.log(step, rate)?;
        }
        progress.advance(1, &format!("loss {:.3}", window.loss));
        self.after(step, progress)
    }

    fn log(&mut self, step: u64, rate: f64) -> Result<()> {
        let window = std::mem::take(&mut self.window);
        let record = StepRecord {
            step,
            epoch: self.epoch.number as f64
                + (step - self.epoch.start) as f64 / self.epoch.steps.len() as f64,
            loss: window.loss / window.steps.max(1) as f64,
            accuracy: None,
            margin: None,
            words_loss: (window.tokens > 0).then(|| window.words / window.tokens as f64),
            rate,
            grad_norm: window.norm,
            rows: self.rows,
            tokens_per_second: window.tokens as f64 / window.seconds.max(1e-9),
            seconds: self.seconds,
            tie_margin: 0.0,
        };
        self.metrics.record(&metrics::Record::Step(record))
    }

    /// What is due after a step: evaluation, then a checkpoint.
    fn after(&mut self, step: u64, progress: &dyn Progress) -> Result<()> {
        let is_last = step == self.total;
        let due = |every: u64| every > 0 && step.is_multiple_of(every);
        let evaluates = is_last || due(self.recipe.evaluation.every);
        if !self.held_out.is_empty() && evaluates {
            self.evaluate(step, progress)?;
        }
        if !is_last && due(self.recipe.checkpoints.every) {
            self.write(&folder::checkpoint(self.out, step), progress)?;
            self.save()?;
            folder::forget_old(self.out, self.recipe.checkpoints.keep)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, step: u64, progress: &dyn Progress) -> Result<()> {
        let began = Instant::now();
        let asking = Asking {
            protocol: self.protocol,
            setting: self.recipe.question.setting,
            rollout: &self.recipe.rollout,
        };
        let mut engine = LocalEngine::new(self.recipe.train.side_by_side);
        let mut records = Vec::new();
        for held_out in &self.held_out {
            let record = asking.evaluate(&self.policy, &mut engine, held_out, step, progress)?;
            self.metrics
                .record(&metrics::Record::Verdicts(record.clone()))?;
            records.push(record);
        }
        self.seconds += began.elapsed().as_secs_f64();
        let better = best(self.best, step, &records);
        self.verdicts = records;
        if let Some(better) = better {
            self.best = Some(better);
            self.write(&self.best_path(), progress)?;
        }
        Ok(())
    }

    fn save(&self) -> Result<()> {
        let moment = Moment {
            step: self.policy.updates,
            best: self.best,
            verdicts: self.verdicts.clone(),
            seconds: self.seconds,
            rows: self.rows,
            window: self.window.clone(),
        };
        let Policy {
            variables,
            optimiser,
            ..
        } = &self.policy;
        state::save(variables, optimiser, moment.step, &moment, self.out)
    }

    /// Writes the checkpoint of this moment, with its card.
    fn write(&self, out: &Path, progress: &dyn Progress) -> Result<()> {
        let name = self.out.file_name().unwrap_or_default().to_string_lossy();
        let card = WriterCard {
            name: &name,
            base: &self.recipe.model.path,
            method: "supervised fine-tuning",
            step: self.policy.updates,
            steps: self.total,
            recipe: &self.recipe.to_toml(),
            verdicts: &self.verdicts,
        };
        let files = [("README.md", card.to_markdown())];
        self.policy.variables.write(out, &files, progress)
    }

    fn finish(self, progress: &dyn Progress) -> Result<SftTrained> {
        let last = self.out.join("last");
        self.write(&last, progress)?;
        let variables = &self.policy.variables;
        variables.write_adapter(&self.out.join("adapter"))?;
        self.save()?;
        let without_gradient = self.policy.optimiser.without_gradient();
        Ok(SftTrained {
            last,
            best: self.best.map(|_| self.best_path()),
            best_evaluation: self.best,
            steps: self.policy.updates,
            seconds: self.seconds,
            without_gradient: without_gradient.into_iter().map(str::to_owned).collect(),
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

impl Window {
    /// Adds a step.
    fn add(&mut self, step: &Self, norm: f64, seconds: f64) {
        self.loss += step.loss;
        self.steps += step.steps;
        self.words += step.words;
        self.tokens += step.tokens;
        self.norm = norm;
        self.seconds += seconds;
    }
}

/// Questions and answers as the model reads them.
fn lessons<'e>(
    policy: &Policy,
    examples: &[&'e Example],
    recipe: &SftRecipe,
    protocol: &dyn Protocol,
) -> Result<Vec<Lesson<'e>>> {
    let lesson = |example: &&'e Example| {
        let pair = &example.pair;
        let mut tokens = policy.network.tokens(&example.answer)?;
        tokens.push(policy.end);
        let messages = protocol.messages(pair, recipe.question.setting)?;
        let prompt = policy.prompt(&pair.id, &messages, tokens.len())?;
        Ok(Lesson {
            example,
            prompt,
            tokens,
        })
    };
    policy.each(examples, lesson)
}

/// Adds up the gradient of a step; returns what it was, and its rows.
fn learn(policy: &mut Policy, lessons: &[Lesson<'_>], batch_rows: usize) -> Result<(Window, u64)> {
    let dialogues: Vec<Dialogue<'_>> = lessons
        .iter()
        .map(|lesson| Dialogue {
            prompt: &lesson.prompt,
            replies: vec![&lesson.tokens[..]],
        })
        .collect();
    let weights = lessons
        .iter()
        .map(|lesson| lesson.example.weight * lesson.tokens.len() as f64);
    let total: f64 = weights.sum();
    let step = policy.updates + 1;
    let streams = streams(&dialogues, batch_rows);
    let learn = |scorer: Scorer<'_>, pass: usize, sink: &mut Sink<'_>| {
        let (range, stream) = &streams[pass];
        let lessons = &lessons[range.clone()];
        // What each token counts, in the order of the stream's.
        let shares: Vec<f64> = lessons
            .iter()
            .flat_map(|lesson| {
                let share = lesson.example.weight / total;
                std::iter::repeat_n(share, lesson.tokens.len())
            })
            .collect();
        let (mut loss, mut words) = (0.0, 0.0);
        let mut by = |first: usize, now: &[f64]| {
            let shares = &shares[first..first + now.len()];
            for (log_probability, share) in now.iter().zip(shares) {
                loss -= share * log_probability;
                words -= log_probability;
            }
            if loss.is_finite() {
                Ok(shares.iter().map(|share| -share).collect::<Vec<f64>>())
            } else {
                Err(Error::NotFinite {
                    what: "loss",
                    step,
                    pairs: ids(lessons),
                })
            }
        };
        scorer.learn(stream, &mut by, sink)?;
        let tokens = shares.len() as u64;
        Ok((loss, words, tokens, stream.rows() as u64))
    };
    let mut window = Window {
        steps: 1,
        ..Window::default()
    };
    let mut rows = 0;
    policy.accumulate(1.0, streams.len(), learn, |(loss, words, tokens, own)| {
        window.loss += loss;
        window.words += words;
        window.tokens += tokens;
        rows += own;
    })?;
    Ok((window, rows))
}

fn ids(lessons: &[Lesson<'_>]) -> Vec<String> {
    lessons
        .iter()
        .map(|lesson| lesson.example.pair.id.clone())
        .collect()
}
