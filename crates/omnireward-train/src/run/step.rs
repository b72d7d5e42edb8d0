//! What the pairs of one step give: the loss, and the gradients for the optimiser.

use std::ops::AddAssign;

use candle_core::backprop::GradStore;

use super::{
    Run,
    data::Example,
    forward::{Dropout, Judged, Learner, Sink, StepMedia},
    prepare::{self, Source},
    trainee::Trainee,
};
use crate::{Error, Recipe, Result, objective::Evaluation, optimiser::clipped};

/// What pairs gave.
#[derive(Default)]
pub(super) struct Learnt {
    pub(super) judged: Judged,
    pub(super) rows: u64,
    /// Tokens of all sequences, those that several share counted for each.
    pub(super) tokens: u64,
}

impl AddAssign for Learnt {
    fn add_assign(&mut self, other: Self) {
        self.judged += other.judged;
        self.rows += other.rows;
        self.tokens += other.tokens;
    }
}

impl Run<'_> {
    /// Forward and backward over the pairs of the next step: all threads on one stream after the other, or
    /// micro-batches side by side.
    pub(super) fn learn(&mut self) -> Result<Learnt> {
        let index = (self.trainee.step - self.epoch.start) as usize;
        let examples: Vec<&Example> = self.epoch.steps[index]
            .iter()
            .map(|&example| &self.examples.all[example])
            .collect();
        let source = self.source();
        let train = &self.recipe.train;
        let (learner, optimiser) = self.trainee.split(&self.objective);
        let dropout = |piece| Dropout::new(train, learner.step, piece);
        let Some(pairs) = train.micro_batch_pairs else {
            return learner.learn_examples(&examples, &source, dropout(0), &mut |gradients| {
                optimiser.accumulate(&gradients)
            });
        };
        let pieces = micro_batches(&examples, pairs);
        let work = |piece: usize| {
            let mut gradients = Vec::new();
            let mut sink = |some| {
                gradients.push(some);
                Ok(())
            };
            let learnt =
                learner.learn_examples(pieces[piece], &source, dropout(piece), &mut sink)?;
            Ok((learnt, gradients))
        };
        let mut sum = Learnt::default();
        let take = |(learnt, gradients): (Learnt, Vec<GradStore>)| {
            sum += learnt;
            gradients
                .iter()
                .try_for_each(|gradients| optimiser.accumulate(gradients))
        };
        self.lanes.each(pieces.len(), work, take)?;
        Ok(sum)
    }
}

impl Trainee {
    /// Takes a step along the gradient that the optimiser has added up, and returns the gradient's norm. Where the loss is
    /// about no pair, the step is counted and changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`], with `pairs`, when the norm is not a finite number; nothing has changed then.
    pub(super) fn take_step(
        &mut self,
        evaluation: &Evaluation,
        recipe: &Recipe,
        rate: f64,
        pairs: impl FnOnce() -> Vec<String>,
    ) -> Result<f64> {
        if evaluation.weight == 0.0 {
            // Nothing but ties that the likelihood does not speak of: there is no mean, and nothing to learn.
            self.optimiser.discard();
            self.step += 1;
            return Ok(0.0);
        }
        let scale = 1.0 / evaluation.weight;
        let norm = self.optimiser.norm(scale)?;
        if !norm.is_finite() {
            return Err(Error::NotFinite {
                what: "gradient",
                step: self.step + 1,
                pairs: pairs(),
            });
        }
        self.update(rate, scale * clipped(norm, recipe.train.clip))?;
        let share = rate / recipe.train.learning_rate;
        self.update_tie(
            share * recipe.objective.tie_learning_rate,
            evaluation.tie_gradient * scale,
        );
        Ok(norm)
    }
}

impl Learner<'_> {
    /// Forward and backward over examples, stream after stream.
    fn learn_examples(
        self,
        examples: &[&Example],
        source: &Source<'_>,
        dropout: Dropout,
        sink: &mut Sink<'_>,
    ) -> Result<Learnt> {
        let batch = prepare::batch(self, examples, source)?;
        let mut media = StepMedia::new(batch.features, source.trains_media)?;
        let mut learnt = Learnt::default();
        for (number, stream) in batch.streams.iter().enumerate() {
            let dropout = dropout.of_stream(number);
            learnt.judged += self.learn(stream, &mut media, dropout, sink)?;
            learnt.rows += stream.rows().len() as u64;
            learnt.tokens += stream.tokens();
        }
        media.learn(sink)?;
        Ok(learnt)
    }
}

/// Cuts a step where one group ends and the next begins, each time that `pairs` pairs are together.
fn micro_batches<'s, 'e>(examples: &'s [&'e Example], pairs: usize) -> Vec<&'s [&'e Example]> {
    let mut pieces: Vec<&[&Example]> = Vec::new();
    let mut start = 0;
    for end in 1..=examples.len() {
        let is_inside_group = examples
            .get(end)
            .is_some_and(|next| next.pair.cluster() == examples[end - 1].pair.cluster());
        if end == examples.len() || (end - start >= pairs && !is_inside_group) {
            pieces.push(&examples[start..end]);
            start = end;
        }
    }
    pieces
}
