//! Asks about many pairs at once and keeps what comes back.

use futures::{StreamExt, stream::FuturesUnordered};
use omnireward_core::{PreferencePair, Progress, Status};

use super::{Builder, PairRecord, Trail};
use crate::Error;

/// So many pairs in a row without a single reply end a build in which nothing was answered.
const FAILURES_IN_A_ROW: u32 = 5;

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
    /// Pairs asked about in this session.
    pub asked: u64,
    /// Pairs that an earlier session had finished.
    pub kept: u64,
    /// Why the first question without an answer has none, in this session.
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
/// When a writer or verifier fails in a way that has nothing to do with one pair, when nothing is
/// answered at all, and when the trail cannot be written.
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
    let mut session = Session::default();
    let mut more = true;
    loop {
        while more && under_way.len() < (options.concurrency)().max(1) {
            let requests = (under_way.len() as u64 + 1) * builder.requests_per_pair();
            match pairs.next() {
                None => more = false,
                Some((_, pair)) if trail.whole(&pair.id).is_some() => {
                    session.end.kept += 1;
                    progress.advance(1, &session.note());
                }
                Some((position, pair)) => {
                    session.end.stopped = (options.stop)(requests);
                    if session.end.stopped.is_some() {
                        more = false;
                    } else {
                        let work = async move { builder.work(plan, position, &pair).await };
                        under_way.push(work);
                    }
                }
            }
        }
        let Some(record) = under_way.next().await else {
            return Ok(session.end);
        };
        let record = record?;
        session.count(&record)?;
        trail.append(record)?;
        progress.advance(1, &session.note());
    }
}

/// What this session has done so far.
#[derive(Default)]
struct Session {
    end: BuildEnd,
    criteria: u64,
    kept_criteria: u64,
    failures_in_a_row: u32,
    answered: bool,
}

impl Session {
    fn count(&mut self, record: &PairRecord) -> Result<(), Error> {
        self.end.asked += 1;
        self.criteria += record.criteria.len() as u64;
        let kept = record
            .criteria
            .iter()
            .filter(|c| c.outcome == super::Outcome::Kept);
        self.kept_criteria += kept.count() as u64;
        if let Some(failure) = first_failure(record) {
            self.end.first_failure.get_or_insert(failure);
        }
        if record.writer.status.is_answered() {
            self.answered = true;
            self.failures_in_a_row = 0;
            return Ok(());
        }
        // A medium that cannot be read says nothing about the service.
        self.failures_in_a_row += u32::from(record.writer.status != Status::MediaError);
        if self.answered || self.end.kept > 0 || self.failures_in_a_row < FAILURES_IN_A_ROW {
            return Ok(());
        }
        Err(Error::NothingAnswered {
            pairs: self.failures_in_a_row,
            first: self.end.first_failure.clone().unwrap_or_default(),
        })
    }

    fn note(&self) -> String {
        format!("{} of {} criteria kept", self.kept_criteria, self.criteria)
    }
}

fn first_failure(record: &PairRecord) -> Option<String> {
    let writer = (record.writer.status, &record.writer.detail);
    let votes = record
        .criteria
        .iter()
        .flat_map(|criterion| &criterion.votes);
    let mut asked = std::iter::once(writer).chain(votes.map(|vote| (vote.status, &vote.detail)));
    asked
        .find(|(status, _)| !status.is_answered())
        .map(|(status, detail)| {
            let why = detail.as_deref().unwrap_or("no reason was given");
            format!("pair `{}`: {status}: {why}", record.pair_id)
        })
}
