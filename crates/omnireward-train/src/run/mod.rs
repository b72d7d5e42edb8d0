//! A training from its recipe to its last checkpoint.

mod data;
mod evaluate;
mod forward;
mod prepare;
mod step;
#[cfg(test)]
mod tests;
mod tokens;
mod trainee;

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Instant,
};

use omnireward_core::Progress;
use omnireward_models::{MediaCache, checkpoint::TieMargin};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub(crate) use self::data::in_steps;
pub use self::{
    data::TrainingSet,
    evaluate::HeldOut,
    tokens::{TokenPair, TokenStep, TokenTraining},
};
use self::{
    data::{Example, Examples},
    evaluate::HeldOutExamples,
    forward::{Judged, Words},
    step::Learnt,
    trainee::Trainee,
};
use crate::{
    Recipe, Result,
    card::{CardData, ModelCard},
    folder::{self, Best, Record, state},
    lanes::Lanes,
    metrics::{self, Agreement, EvaluationRecord, Metrics, StepRecord},
    objective::{Counts, Evaluation, Objective},
    optimiser::ScalarAdam,
};

/// A training that is to be run.
#[derive(Debug)]
pub struct Training<'a> {
    /// How.
    pub recipe: &'a Recipe,
    /// The checkpoint it starts from.
    pub base: &'a Path,
    /// What it learns from.
    pub sets: Vec<TrainingSet>,
    /// What it is measured on.
    pub held_out: Vec<HeldOut>,
    /// Features of media, where the towers are frozen.
    pub cache: &'a MediaCache,
    /// The folder for all that it makes.
    pub out: &'a Path,
    /// The machine's name, for the files that `TensorBoard` reads.
    pub host: &'a str,
    /// What the data are, for the record: a run is only ever resumed with the same.
    pub record: serde_json::Value,
}

/// What a training made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trained {
    /// The checkpoint after the last step.
    pub last: PathBuf,
    /// The checkpoint that was best on held-out pairs, where there are any.
    pub best: Option<PathBuf>,
    /// How it did.
    pub best_evaluation: Option<Best>,
    /// Steps done, those of earlier sittings included.
    pub steps: u64,
    /// Seconds spent on steps and evaluations, those of earlier sittings included.
    pub seconds: f64,
    /// The width of ties: differences of rewards below it are most likely ties; 0 when the likelihood knows none.
    pub tie_margin: f64,
    /// Pairs whose label is a tie, of which the likelihood does not speak: they were left out.
    pub ties_left_out: u64,
    /// Parameters that received no gradient in any step.
    pub without_gradient: Vec<String>,
}

impl Training<'_> {
    /// Runs it, or goes on with it where `out` holds its beginning.
    ///
    /// # Errors
    ///
    /// Fails when the folder holds another run, the checkpoint or the data cannot be used, a pair does not fit, a loss
    /// or gradient is not a finite number, or the disk is full. What was saved before stays, and a run that is started
    /// again goes on from there.
    pub fn run(self, progress: &dyn Progress) -> Result<Trained> {
        let mut run = Run::begin(self, progress)?;
        progress.begin("training", Some(run.total - run.trainee.step));
        let trained = run.all_steps(progress);
        progress.end();
        trained?;
        run.finish(progress)
    }
}

struct Run<'a> {
    recipe: &'a Recipe,
    out: &'a Path,
    cache: &'a MediaCache,
    trainee: Trainee,
    examples: Examples,
    held_out: Vec<HeldOutExamples>,
    lanes: Lanes,
    objective: Objective,
    metrics: Metrics,
    total: u64,
    epoch: Epoch,
    /// The newest evaluations, for the model card.
    evaluations: Vec<EvaluationRecord>,
    data: Vec<CardData>,
    best: Option<Best>,
    rows: u64,
    tokens: u64,
    seconds: f64,
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
    /// Steps done.
    step: u64,
    /// The parameter of ties.
    tie: f64,
    /// Its optimiser.
    tie_optimiser: ScalarAdam,
    /// The best evaluation so far.
    best: Option<Best>,
    /// The newest ones.
    evaluations: Vec<EvaluationRecord>,
    /// Rows, tokens and seconds so far, for the record.
    rows: u64,
    tokens: u64,
    seconds: f64,
    /// What has not been written as a line of metrics yet.
    #[serde(default)]
    window: Window,
}

/// What happened since the last line of metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Window {
    loss: f64,
    weight: f64,
    counts: Counts,
    words: Words,
    norm: f64,
    tokens: u64,
    seconds: f64,
}

impl<'a> Run<'a> {
    fn begin(training: Training<'a>, progress: &dyn Progress) -> Result<Self> {
        let Training {
            recipe,
            base,
            sets,
            held_out,
            cache,
            out,
            host,
            record,
        } = training;
        let lock = folder::lock(out)?;
        let likelihood = recipe.objective.likelihood;
        let data = sets.iter().map(CardData::of).collect();
        let examples = Examples::new(sets, recipe.objective.language_modelling)?;
        examples.check(likelihood)?;
        examples.check_words()?;
        let record = Record::new(recipe.to_toml(), &record);
        record.check(out)?;
        let mut trainee = Trainee::open(base, recipe, examples.have_words())?;
        let mut moment: Option<Moment> =
            state::resume(&mut trainee.variables, &mut trainee.optimiser, out)?;
        if let Some(moment) = &moment {
            trainee.tie = moment.tie;
            trainee.tie_optimiser = moment.tie_optimiser.clone();
            trainee.step = moment.step;
        }
        record.write(out)?;
        let mut run = Self {
            metrics: match &moment {
                Some(moment) => Metrics::resume(out, host, moment.step)?,
                None => Metrics::create(out, host)?,
            },
            // Epochs differ in length where groups do.
            total: recipe.train.length().steps(|number| {
                let train = &recipe.train;
                examples.steps(train.seed, number, train.batch_pairs).len() as u64
            }),
            epoch: Epoch {
                number: 0,
                start: 0,
                steps: examples.steps(recipe.train.seed, 0, recipe.train.batch_pairs),
            },
            evaluations: moment
                .as_mut()
                .map(|moment| std::mem::take(&mut moment.evaluations))
                .unwrap_or_default(),
            data,
            best: moment.as_ref().and_then(|moment| moment.best),
            rows: moment.as_ref().map_or(0, |moment| moment.rows),
            tokens: moment.as_ref().map_or(0, |moment| moment.tokens),
            seconds: moment.as_ref().map_or(0.0, |moment| moment.seconds),
            objective: recipe.objective.objective(),
            held_out: held_out
                .into_iter()
                .map(HeldOutExamples::new)
                .collect::<Result<_>>()?,
            lanes: Lanes::new(recipe.train.micro_batch_pairs.is_some()),
            window: moment.map(|moment| moment.window).unwrap_or_default(),
            recipe,
            _lock: lock,
            out,
            cache,
            trainee,
            examples,
        };
        run.catch_up();
        run.check_room()?;
        run.check_lengths(progress)?;
        Ok(run)
    }

    /// Goes to the epoch of the step that is next.
    fn catch_up(&mut self) {
        while self.trainee.step >= self.epoch.start + self.epoch.steps.len() as u64 {
            let number = self.epoch.number + 1;
            let train = &self.recipe.train;
            self.epoch = Epoch {
                number,
                start: self.epoch.start + self.epoch.steps.len() as u64,
                steps: self.examples.steps(train.seed, number, train.batch_pairs),
            };
        }
    }

    fn all_steps(&mut self, progress: &dyn Progress) -> Result<()> {
        while self.trainee.step < self.total {
            self.step(progress)?;
        }
        Ok(())
    }

    fn step(&mut self, progress: &dyn Progress) -> Result<()> {
        let began = Instant::now();
        self.catch_up();
        let step = self.trainee.step + 1;
        let Learnt {
            judged: Judged { evaluation, words },
            rows,
            tokens,
        } = self.learn()?;
        let rate = self.recipe.train.rate(step, self.total);
        let (index, epoch) = (step - 1 - self.epoch.start, &self.epoch);
        let all = &self.examples.all;
        let pairs = || {
            let step = epoch.steps[index as usize].iter();
            step.map(|&example| all[example].pair.id.clone()).collect()
        };
        let norm = self
            .trainee
            .take_step(&evaluation, self.recipe, rate, pairs)?;
        let seconds = began.elapsed().as_secs_f64();
        self.rows += rows;
        self.seconds += seconds;
        self.tokens += tokens;
        self.window.add(&evaluation, norm, tokens, seconds);
        self.window.words += words;
        if step.is_multiple_of(self.recipe.train.log_every) || step == self.total {
            self.log(step, rate)?;
        }
        progress.advance(1, &self.note(&evaluation, words));
        self.after(step, progress)
    }

    fn source(&self) -> prepare::Source<'a> {
        prepare::Source {
            cache: self.cache,
            trains_media: self.trainee.trains_media,
            batch_rows: self.recipe.train.batch_rows,
        }
    }

    /// What is due after a step: evaluation, then a checkpoint.
    fn after(&mut self, step: u64, progress: &dyn Progress) -> Result<()> {
        let is_last = step == self.total;
        let due = |every: u64| every > 0 && step.is_multiple_of(every);
        if !self.held_out.is_empty() && (is_last || due(self.recipe.evaluation.every)) {
            self.evaluate(step, progress)?;
        }
        if !is_last && due(self.recipe.checkpoints.every) {
            self.write(&self.checkpoint(step), progress)?;
            self.save()?;
            folder::forget_old(self.out, self.recipe.checkpoints.keep)?;
        }
        Ok(())
    }

    fn evaluate(&mut self, step: u64, progress: &dyn Progress) -> Result<()> {
        let began = Instant::now();
        let source = self.source();
        let (mut correct, mut pairs) = (0, 0);
        let mut evaluations = Vec::new();
        for held_out in &self.held_out {
            let (learner, _) = self.trainee.split(&self.objective);
            let evaluated = held_out.evaluate(learner, &source, &self.lanes, progress)?;
            correct += evaluated.overall.correct;
            pairs += evaluated.overall.pairs;
            self.metrics
                .record(&metrics::Record::Evaluation(evaluated.clone()))?;
            evaluations.push(evaluated);
        }
        self.evaluations = evaluations;
        self.seconds += began.elapsed().as_secs_f64();
        let Some(accuracy) = Agreement::new(correct, pairs).accuracy else {
            return Ok(());
        };
        if self.best.is_none_or(|best| accuracy > best.accuracy) {
            self.best = Some(Best { step, accuracy });
            self.write(&self.best_path(), progress)?;
        }
        Ok(())
    }

    fn log(&mut self, step: u64, rate: f64) -> Result<()> {
        let window = std::mem::take(&mut self.window);
        let record = StepRecord {
            step,
            epoch: self.epoch.number as f64
                + (step - self.epoch.start) as f64 / self.epoch.steps.len() as f64,
            loss: window.loss / window.weight.max(f64::MIN_POSITIVE),
            accuracy: window.counts.accuracy(),
            margin: window.counts.mean_margin(),
            words_loss: window.words.mean(),
            rate,
            grad_norm: window.norm,
            rows: self.rows,
            tokens_per_second: window.tokens as f64 / window.seconds.max(1e-9),
            seconds: self.seconds,
            tie_margin: self.tie_margin(),
        };
        self.metrics.record(&metrics::Record::Step(record))
    }

    /// A line beside the progress bar.
    fn note(&self, evaluation: &Evaluation, words: Words) -> String {
        let share = |accuracy: f64| format!("accuracy {:.0}%", 100.0 * accuracy);
        let parts = [
            Some(format!(
                "loss {:.3}",
                evaluation.loss / evaluation.weight.max(f64::MIN_POSITIVE)
            )),
            evaluation.counts.accuracy().map(share),
            evaluation
                .counts
                .mean_margin()
                .map(|margin| format!("margin {margin:+.2}")),
            words.mean().map(|loss| format!("words {loss:.3}")),
            Some(format!(
                "{:.0} tokens/s",
                self.tokens as f64 / self.seconds.max(1e-9)
            )),
            self.best
                .map(|best| format!("best held-out {:.1}%", 100.0 * best.accuracy)),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
    }

    fn tie_margin(&self) -> f64 {
        self.objective.tie_margin(self.trainee.tie)
    }

    fn save(&self) -> Result<()> {
        let moment = Moment {
            step: self.trainee.step,
            tie: self.trainee.tie,
            tie_optimiser: self.trainee.tie_optimiser.clone(),
            best: self.best,
            evaluations: self.evaluations.clone(),
            rows: self.rows,
            tokens: self.tokens,
            seconds: self.seconds,
            window: self.window.clone(),
        };
        let Trainee {
            variables,
            optimiser,
            ..
        } = &self.trainee;
        state::save(variables, optimiser, moment.step, &moment, self.out)
    }

    /// Writes the checkpoint of this moment, with its card and the width of ties.
    fn write(&self, out: &Path, progress: &dyn Progress) -> Result<()> {
        let name = self.out.file_name().unwrap_or_default().to_string_lossy();
        let card = ModelCard {
            name: &name,
            recipe: self.recipe,
            family: self.trainee.network.family(),
            head: self.trainee.network.head().kind(),
            step: self.trainee.step,
            steps: self.total,
            data: &self.data,
            evaluations: &self.evaluations,
            tie_margin: self.tie_margin(),
            licence: None,
            notes: &[],
        };
        let mut files = vec![("README.md", card.to_markdown())];
        if self.objective.likelihood.knows_ties() {
            let ties = TieMargin {
                tie_margin: self.tie_margin(),
            };
            files.push((TieMargin::FILE, ties.to_json()));
        }
        self.trainee.variables.write(out, &files, progress)
    }

    fn finish(self, progress: &dyn Progress) -> Result<Trained> {
        let last = self.out.join("last");
        self.write(&last, progress)?;
        self.trainee
            .variables
            .write_adapter(&self.out.join("adapter"))?;
        self.save()?;
        let without_gradient = self.trainee.optimiser.without_gradient();
        Ok(Trained {
            last,
            best: self.best.map(|_| self.best_path()),
            best_evaluation: self.best,
            steps: self.trainee.step,
            seconds: self.seconds,
            tie_margin: self.tie_margin(),
            ties_left_out: self.examples.left_out(self.objective.likelihood),
            without_gradient: without_gradient.into_iter().map(str::to_owned).collect(),
        })
    }

    fn best_path(&self) -> PathBuf {
        self.out.join("best")
    }

    fn checkpoint(&self, step: u64) -> PathBuf {
        folder::checkpoint(self.out, step)
    }

    /// Fails before hours are spent when a pair of words is too long.
    fn check_lengths(&self, progress: &dyn Progress) -> Result<()> {
        let held_out = self.held_out.iter().flat_map(HeldOutExamples::examples);
        let examples: Vec<&Example> = self.examples.all.iter().chain(held_out).collect();
        progress.begin("checking lengths", None);
        let checked =
            prepare::check_lengths(&self.trainee.network, examples.into_par_iter(), progress);
        progress.end();
        checked
    }

    /// Fails before hours are spent when the disk cannot take what the run will write.
    fn check_room(&self) -> Result<()> {
        let checkpoints = self.recipe.checkpoints.written(self.total);
        let bytes = self.trainee.variables.bytes_in_all(checkpoints)?;
        folder::check_room(self.out, bytes)
    }
}

impl Window {
    fn add(&mut self, evaluation: &Evaluation, norm: f64, tokens: u64, seconds: f64) {
        self.loss += evaluation.loss;
        self.weight += evaluation.weight;
        self.counts += evaluation.counts;
        self.norm = norm;
        self.tokens += tokens;
        self.seconds += seconds;
    }
}
