//! Steps over pairs that are tokens already.

use std::path::Path;

use omnireward_core::{Preference, PreferencePair, Response, Task};
use omnireward_models::{Features, Row, TokenTree, processor::MediumInput};

use super::{
    data::Example,
    forward::{Dropout, Planted, StepMedia, Stream},
    trainee::Trainee,
};
use crate::{
    Error, Recipe, Result,
    objective::{Evaluation, Objective},
};

/// A training whose pairs are laid out by the caller, who has a pipeline of their own: the model, the objective and the
/// optimiser of a recipe, step by step. Its data, evaluation and checkpoints play no part.
#[expect(
    missing_debug_implementations,
    reason = "a network shows nothing that can be read"
)]
pub struct TokenTraining<'a> {
    recipe: &'a Recipe,
    objective: Objective,
    pub(super) trainee: Trainee,
    total: u64,
}

/// Two responses as sequences of tokens.
#[derive(Clone, Debug)]
pub struct TokenPair {
    example: Example,
    tree: TokenTree,
    media: Vec<usize>,
}

impl TokenPair {
    /// The first of `sides` is preferred to the second, or is not, as `label` says. Where a sequence names its media from zero on,
    /// those are `media` of the features that a step is given.
    ///
    /// # Errors
    ///
    /// None at present.
    pub fn new(
        id: &str,
        sides: [Vec<Row>; 2],
        media: Vec<usize>,
        label: Preference,
    ) -> Result<Self> {
        let responses = [Response::text(""), Response::text("")];
        let pair = PreferencePair::new(id, Task::T2T, "", responses).with_label(label);
        Ok(Self {
            example: Example::new(pair, 1.0, "tokens")?,
            tree: TokenTree::new(&sides),
            media,
        })
    }

    fn planted(&self) -> Planted<'_> {
        Planted {
            example: &self.example,
            tree: self.tree.clone(),
            media: self.media.clone(),
            words: Vec::new(),
        }
    }
}

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenStep {
    /// The mean loss of its pairs, before the update.
    pub loss: f64,
    /// The norm of the gradient, before it was clipped.
    pub norm: f64,
}

impl<'a> TokenTraining<'a> {
    /// Opens the checkpoint at `base`, for `steps` steps in all: the schedule ends with them, whatever the recipe says
    /// of the length of a training.
    ///
    /// # Errors
    ///
    /// As [`Training::run`](crate::Training::run) when it begins, and when the recipe asks for words to be learned.
    pub fn open(base: &Path, recipe: &'a Recipe, steps: u64) -> Result<Self> {
        if recipe.objective.language_modelling > 0.0 {
            return Err(Error::NotForTokens {
                field: "objective.language_modelling",
            });
        }
        Ok(Self {
            objective: recipe.objective.objective(),
            trainee: Trainee::open(base, recipe, false)?,
            total: steps,
            recipe,
        })
    }

    /// What the towers make of media, as they are now. Where they are frozen it holds for the whole training.
    ///
    /// # Errors
    ///
    /// When the model has no tower for a medium.
    pub fn features(&self, media: &[MediumInput]) -> Result<Features> {
        Ok(self.trainee.network.features(media)?)
    }

    /// The rewards of both responses of each pair.
    ///
    /// # Errors
    ///
    /// When a token or a medium is not there.
    pub fn rewards(&mut self, pairs: &[TokenPair], features: &Features) -> Result<Vec<f64>> {
        let stream = Stream::new(pairs.iter().map(TokenPair::planted).collect());
        let (learner, _) = self.trainee.split(&self.objective);
        learner.rewards(&stream, features)
    }

    /// A step over `passes`, which go through the model one after the other.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`] when a loss or the gradient is not a finite number; nothing of the step is kept then.
    pub fn step(&mut self, passes: &[&[TokenPair]], features: &Features) -> Result<TokenStep> {
        let rate = self.recipe.train.rate(self.trainee.step + 1, self.total);
        self.step_at(rate, passes, features)
    }

    pub(super) fn step_at(
        &mut self,
        rate: f64,
        passes: &[&[TokenPair]],
        features: &Features,
    ) -> Result<TokenStep> {
        let step = self.take(rate, passes, features);
        if step.is_err() {
            self.trainee.optimiser.discard();
        }
        step
    }

    fn take(
        &mut self,
        rate: f64,
        passes: &[&[TokenPair]],
        features: &Features,
    ) -> Result<TokenStep> {
        let mut media = StepMedia::new(features.clone(), self.trainee.trains_media)?;
        let mut sum = Evaluation::default();
        let (learner, optimiser) = self.trainee.split(&self.objective);
        let mut sink = |gradients| optimiser.accumulate(&gradients);
        for (number, pairs) in passes.iter().enumerate() {
            let dropout = Dropout::new(&self.recipe.train, learner.step, 0).of_stream(number);
            let stream = Stream::new(pairs.iter().map(TokenPair::planted).collect());
            let judged = learner.learn(&stream, &mut media, dropout, &mut sink)?;
            sum += judged.evaluation;
        }
        media.learn(&mut sink)?;
        let ids = || {
            let pairs = passes.iter().copied().flatten();
            pairs.map(|pair| pair.example.pair.id.clone()).collect()
        };
        let norm = self.trainee.take_step(&sum, self.recipe, rate, ids)?;
        Ok(TokenStep {
            loss: sum.loss / sum.weight.max(f64::MIN_POSITIVE),
            norm,
        })
    }
}
