//! One step of the optimiser over groups of replies.

use std::ops::AddAssign;

use super::{Average, Counts, ReplyTokens, Surrogate, Totals, group::Group};
use crate::{
    Error, Result,
    policy::{Dialogue, Policy, Scorer, Sink, Stream, streams},
};

/// How a step is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) surrogate: Surrogate,
    pub(super) average: Average,
    /// The longest reply, in tokens.
    pub(super) longest: u32,
    pub(super) temperature: f64,
    pub(super) batch_rows: usize,
    pub(super) rate: f64,
    pub(super) clip: f64,
}

/// What a step was.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Learnt {
    pub(super) loss: f64,
    /// The norm of the gradient, before it was clipped; of the whole step alone.
    pub(super) norm: f64,
    pub(super) counts: Counts,
    /// `Σ` of the entropies of what could have stood in the tokens' places, in nats.
    pub(super) entropy: f64,
    pub(super) rows: u64,
}

/// Takes a step along what `groups` teach; none where all of them are without variance, which is counted as a step.
///
/// Those without variance are left out, but averages are over all: without a divergence the loss is that of all groups.
///
/// # Errors
///
/// [`Error::NotFinite`] when the loss or the gradient is not a finite number; nothing has changed then.
pub(super) fn update(
    policy: &mut Policy,
    groups: &[Group],
    terms: &Terms,
) -> Result<Option<Learnt>> {
    let step = policy.updates + 1;
    let Some(mut learnt) = accumulate(policy, groups, terms, step)? else {
        policy.skip_step();
        return Ok(None);
    };
    learnt.norm = policy.take_step(terms.rate, terms.clip, || pairs(groups))?;
    Ok(Some(learnt))
}

/// Adds up the gradient.
fn accumulate(
    policy: &mut Policy,
    groups: &[Group],
    terms: &Terms,
    step: u64,
) -> Result<Option<Learnt>> {
    let parts = parts(groups, terms);
    if parts.is_empty() {
        return Ok(None);
    }
    let taught = groups.iter().filter(|group| group.advantages.is_some());
    let dialogues: Vec<Dialogue<'_>> = taught.map(Group::dialogue).collect();
    // Each with the place of its first reply.
    let mut next = 0;
    let streams: Vec<(usize, Stream<'_>)> = streams(&dialogues, terms.batch_rows)
        .into_iter()
        .map(|(_, stream)| {
            let first = next;
            next += stream.replies.len();
            (first, stream)
        })
        .collect();
    let learn = |scorer: Scorer<'_>, pass: usize, sink: &mut Sink<'_>| {
        let (first_part, stream) = &streams[pass];
        let own = &parts[*first_part..][..stream.replies.len()];
        let mut learnt = Learnt::default();
        let mut by = |first: usize, now: &[f64]| {
            let end = first + now.len();
            let mut gradient = Vec::with_capacity(now.len());
            for (span, part) in stream.replies.iter().zip(own) {
                let (start, stop) = (span.start.max(first), span.end.min(end));
                if start < stop {
                    let piece = part.piece(&now[start - first..stop - first], start - span.start);
                    let found = terms.surrogate.evaluate(&piece, part.share);
                    learnt.loss += found.loss;
                    learnt.counts += found.counts;
                    gradient.extend(found.gradient);
                }
            }
            if learnt.loss.is_finite() {
                Ok(gradient)
            } else {
                Err(Error::NotFinite {
                    what: "loss",
                    step,
                    pairs: pairs(groups),
                })
            }
        };
        let observed = scorer.learn(stream, &mut by, sink)?;
        learnt.entropy = observed.entropy;
        learnt.rows = stream.rows() as u64;
        Ok(learnt)
    };
    let mut sum = Learnt::default();
    policy.accumulate(terms.temperature, streams.len(), learn, |learnt| {
        sum += learnt;
    })?;
    Ok(Some(sum))
}

impl AddAssign for Learnt {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.counts += other.counts;
        self.entropy += other.entropy;
        self.rows += other.rows;
    }
}

/// A reply that is learned from.
struct Part<'a> {
    old: Option<&'a [f64]>,
    reference: Option<&'a [f64]>,
    advantage: f64,
    /// What the loss of each of its tokens counts.
    share: f64,
}

impl<'a> Part<'a> {
    /// Its tokens from `first` on, with their log-probabilities of now.
    fn piece<'n>(&self, now: &'n [f64], first: usize) -> ReplyTokens<'n>
    where
        'a: 'n,
    {
        let of = |numbers: &'a [f64]| &numbers[first..first + now.len()];
        ReplyTokens {
            now,
            // The first step after sampling is on-policy.
            old: self.old.map_or(now, of),
            reference: self.reference.map(of),
            advantage: self.advantage,
        }
    }
}

/// The replies of all groups with variance.
fn parts<'a>(groups: &'a [Group], terms: &Terms) -> Vec<Part<'a>> {
    let lengths = groups.iter().flat_map(Group::replies);
    let lengths = lengths.map(|reply| reply.tokens.len());
    let totals = lengths.fold(
        Totals {
            longest: u64::from(terms.longest),
            ..Totals::default()
        },
        |sum, tokens| Totals {
            replies: sum.replies + 1,
            tokens: sum.tokens + tokens as u64,
            ..sum
        },
    );
    let mut parts = Vec::new();
    for group in groups {
        let Some(advantages) = &group.advantages else {
            continue;
        };
        for (index, (reply, &advantage)) in group.replies().zip(advantages).enumerate() {
            let of = |all: &'a Option<Vec<Vec<f64>>>| all.as_ref().map(|all| &all[index][..]);
            parts.push(Part {
                old: of(&group.old),
                reference: of(&group.reference),
                advantage,
                share: terms.average.share(reply.tokens.len(), &totals),
            });
        }
    }
    parts
}

fn pairs(groups: &[Group]) -> Vec<String> {
    let mut pairs: Vec<String> = groups
        .iter()
        .map(|group| group.question.pair.clone())
        .collect();
    pairs.dedup();
    pairs
}
