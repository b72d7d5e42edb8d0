//! Asks about many pairs at once and keeps what comes back.

use std::collections::BTreeMap;

use futures::{StreamExt, stream::FuturesUnordered};
use omnireward_core::{PreferencePair, Progress, Status};

use super::{Builder, PairRecord, Trail};
use crate::Error;

/// So many pairs without a single reply of the writer, or of one verifier, end a build in which it
/// answered nothing.
const MOST_FAILURES: u32 = 5;

/// How a build is carried out. None of it changes what is kept.
pub struct BuildOptions<'a> {
    /// How many pairs may be under way now; asked again before each new one.
    pub concurrency: &'a (dyn Fn() -> usize + Sync),
    /// Why no further pair may be begun, given how many requests may then be under way; asked
    /// before each new one. What is under way is finished.
    pub stop: &'a (dyn Fn(u64) -> Option<Stop> + Sync),
    /// How many pairs there will be, for progress.
    pub total: u64,
}

impl std::fmt::Debug for BuildOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BuildOptions")
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

/// Why a build stopped early. Started again, it goes on where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The budget is spent.
    Budget,
    /// The user asked.
    Interrupted,
}

/// How a build ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BuildEnd {
    /// Pairs asked about in this run.
    pub asked: u64,
    /// Pairs that an earlier run had finished.
    pub kept: u64,
    /// Why the first question without an answer has none, in this run.
    pub first_failure: Option<String>,
    /// Why it stopped before all was asked.
    pub stopped: Option<Stop>,
}

/// Asks about every pair that `trail` does not hold, and appends each to it the moment all that was
/// asked about it has come back.
///
/// To survive being killed without paying for a reply twice, give the builder a writer and
/// verifiers that remember their replies: the trail holds whole pairs, and a pair under way when
/// the process dies is asked about again.
///
/// # Errors
///
/// When a writer or verifier fails in a way that has nothing to do with one pair, when one of them
/// answers nothing at all, and when the trail cannot be written.
pub async fn build(
    builder: &Builder,
    pairs: impl Iterator<Item = (u64, PreferencePair)>,
    trail: &mut Trail,
    options: &BuildOptions<'_>,
    progress: &dyn Progress,
) -> Result<BuildEnd, Error> {
    progress.begin("building", Some(options.total));
    let end = all(builder, pairs, trail, options, progress).await;
    progress.end();
    end
}

async fn all(
    builder: &Builder,
    mut pairs: impl Iterator<Item = (u64, PreferencePair)>,
    trail: &mut Trail,
    options: &BuildOptions<'_>,
    progress: &dyn Progress,
) -> Result<BuildEnd, Error> {
    let plan = trail.plan().clone();
    let plan = &plan;
    let mut under_way = FuturesUnordered::new();
    let mut run = Run::default();
    let mut more = true;
    loop {
        while more && under_way.len() < (options.concurrency)().max(1) {
            let requests = (under_way.len() as u64 + 1) * builder.requests_per_pair();
            match pairs.next() {
                None => more = false,
                Some((position, pair)) => {
                    if let Some(record) = trail.whole(&pair.id) {
                        run.keep(record);
                        progress.advance(1, &run.note());
                        continue;
                    }
                    run.end.stopped = (options.stop)(requests);
                    if run.end.stopped.is_some() {
                        more = false;
                    } else {
                        let work = async move { builder.work(plan, position, &pair).await };
                        under_way.push(work);
                    }
                }
            }
        }
        let Some(record) = under_way.next().await else {
            return Ok(run.end);
        };
        let record = record?;
        run.count(&record)?;
        trail.append(record)?;
        progress.advance(1, &run.note());
    }
}

/// What this run has done so far.
#[derive(Default)]
struct Run {
    end: BuildEnd,
    criteria: u64,
    kept_criteria: u64,
    /// By name; the writer, which may be one of the verifiers, has none.
    parties: BTreeMap<Option<String>, Answers>,
}

/// Whether the writer or a verifier answers.
#[derive(Default)]
struct Answers {
    any: bool,
    /// Pairs about which it was asked and answered nothing, before any answer.
    failures: u32,
    /// Why it did not answer for the first of them.
    first: String,
}

impl Run {
    /// A pair that an earlier run finished: whoever answered then can answer.
    fn keep(&mut self, record: &PairRecord) {
        self.end.kept += 1;
        for question in questions(record).filter(|question| question.status.is_answered()) {
            let who = question.who.map(str::to_owned);
            self.parties.entry(who).or_default().any = true;
        }
    }

    fn count(&mut self, record: &PairRecord) -> Result<(), Error> {
        self.end.asked += 1;
        self.criteria += record.criteria.len() as u64;
        let kept = record
            .criteria
            .iter()
            .filter(|c| c.outcome == super::Outcome::Kept);
        self.kept_criteria += kept.count() as u64;
        let mut open = questions(record).filter(|question| !question.status.is_answered());
        if let Some(first) = open.next() {
            let failure = first.failure(record);
            self.end.first_failure.get_or_insert(failure);
        }
        let mut of_each: BTreeMap<Option<&str>, Vec<Question<'_>>> = BTreeMap::new();
        for question in questions(record) {
            of_each.entry(question.who).or_default().push(question);
        }
        for (who, questions) in of_each {
            self.parties
                .entry(who.map(str::to_owned))
                .or_default()
                .count(&questions, record)?;
        }
        Ok(())
    }

    fn note(&self) -> String {
        format!("{} of {} criteria kept", self.kept_criteria, self.criteria)
    }
}

impl Answers {
    /// Counts what one asked party said about a pair.
    fn count(&mut self, questions: &[Question<'_>], record: &PairRecord) -> Result<(), Error> {
        if questions.iter().any(|one| one.status.is_answered()) {
            self.any = true;
            return Ok(());
        }
        // A medium that cannot be read, and a recording without the pair, say nothing about a service.
        let is_silence = |status| !matches!(status, Status::MediaError | Status::NotRecorded);
        let Some(failed) = questions.iter().find(|one| is_silence(one.status)) else {
            return Ok(());
        };
        if self.any {
            return Ok(());
        }
        if self.failures == 0 {
            self.first = failed.failure(record);
        }
        self.failures += 1;
        if self.failures < MOST_FAILURES {
            return Ok(());
        }
        Err(Error::NothingAnswered {
            who: failed.who.unwrap_or(&record.writer.name).to_owned(),
            pairs: self.failures,
            first: self.first.clone(),
        })
    }
}

/// How one question of a pair ended.
struct Question<'a> {
    /// The verifier's name; `None` for the writer.
    who: Option<&'a str>,
    status: Status,
    detail: Option<&'a str>,
}

impl Question<'_> {
    fn failure(&self, record: &PairRecord) -> String {
        let why = self.detail.unwrap_or("no reason was given");
        format!("pair `{}`: {}: {why}", record.pair_id, self.status)
    }
}

/// What was asked about a pair: the writer, then the verifiers.
fn questions(record: &PairRecord) -> impl Iterator<Item = Question<'_>> {
    let writer = Question {
        who: None,
        status: record.writer.status,
        detail: record.writer.detail.as_deref(),
    };
    let votes = record.criteria.iter().flat_map(|one| &one.votes);
    std::iter::once(writer).chain(votes.map(|vote| Question {
        who: Some(&vote.verifier),
        status: vote.status,
        detail: vote.detail.as_deref(),
    }))
}
