//! How many requests are in the air at once.
//!
//! Servers do not say how many requests they admit, so the limit is found by trying:
//!
//! * **Growing.** The limit starts at 8 and rises by one with each answer that arrives while all
//!   of it is in use, so it doubles with each round of answers.
//! * **Probing.** The first refusal (429, 503, no connection) shows what the server holds: the
//!   requests still in the air. That becomes the limit. From then on it is raised only now and
//!   then: after [`FIRST_INTERVAL`] and a full round of answers, by one. A raise that holds lets
//!   the next be twice as large, up to a quarter of the limit; a raise that is refused is taken
//!   back, and doubles the interval. So a settled client costs a server a handful of refusals a
//!   minute at first, and one a minute later.
//! * **Closed.** When all that was in the air was refused, the server is not short of room but
//!   closed for a while (a rate limit's window). Nobody asks until the wait is over, and then one
//!   request alone, again and again until one is answered. Then half as many as before go on.
//!
//! Two time-outs with no answer between them also halve the limit: a server that queues without
//! end shows overload in no other way.
//!
//! Requests are admitted in order of arrival, those that ask again before those that are new.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

/// How many requests may be in the air at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concurrency {
    /// As many as the server turns out to admit, and never more than `max`.
    Adaptive {
        /// The most at once.
        max: usize,
    },
    /// This many, whatever the server says. Waits that a server asks for are still kept.
    Fixed(usize),
}

impl Default for Concurrency {
    fn default() -> Self {
        Self::Adaptive { max: 512 }
    }
}

const START: usize = 8;
const FIRST_INTERVAL: Duration = Duration::from_secs(2);
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

/// Which queue a request waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It has not been sent yet.
    New,
    /// It was sent before and failed.
    Again,
}

/// What a request taught about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was admitted and answered.
    Answered,
    /// It was refused because there is too much to do, and may come back after `wait`.
    Refused { wait: Duration },
    /// It was not answered in time.
    TimedOut,
    /// It says nothing about the load.
    Neutral,
}

/// The state of a limiter at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) limit: usize,
    pub(crate) in_flight: usize,
    pub(crate) waiting: usize,
    pub(crate) paused: bool,
}

/// Admits requests; see the module.
#[derive(Clone, Debug)]
pub(crate) struct Limiter(Arc<Shared>);

impl Limiter {
    pub(crate) fn new(concurrency: Concurrency) -> Self {
        let (limit, max) = match concurrency {
            Concurrency::Adaptive { max } => (START.min(max.max(1)), Some(max.max(1))),
            Concurrency::Fixed(limit) => (limit.max(1), None),
        };
        Self(Arc::new(Shared {
            max,
            state: Mutex::new(State {
                limit,
                in_flight: 0,
                again: VecDeque::new(),
                new: VecDeque::new(),
                phase: Phase::Growing,
                paused_until: None,
                refusals: None,
                timeouts: 0,
                epoch: 0,
            }),
        }))
    }

    /// Waits for a turn. Dropping the future leaves the queue.
    pub(crate) async fn admit(&self, turn: Turn) -> Permit {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.0.lock();
            match turn {
                Turn::New => state.new.push_back(sender),
                Turn::Again => state.again.push_back(sender),
            }
            self.0.hand_out(&mut state);
        }
        receiver
            .await
            .expect("a sender stays in the queue until it has sent a permit")
    }

    pub(crate) fn load(&self) -> Load {
        let state = self.0.lock();
        Load {
            limit: state.limit,
            in_flight: state.in_flight,
            waiting: state.new.len() + state.again.len(),
            paused: state.is_paused(Instant::now()),
        }
    }
}

/// Leave to have one request in the air. Dropping it gives the place back and teaches nothing.
#[derive(Debug)]
pub(crate) struct Permit {
    /// `None` once given back.
    shared: Option<Arc<Shared>>,
    epoch: u64,
}

impl Permit {
    /// Gives the place back and tells what the request taught.
    pub(crate) fn finish(mut self, outcome: Outcome) {
        if let Some(shared) = self.shared.take() {
            shared.finish(self.epoch, outcome);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.finish(self.epoch, Outcome::Neutral);
        }
    }
}

#[derive(Debug)]
struct Shared {
    /// `None` when the limit is fixed.
    max: Option<usize>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    in_flight: usize,
    again: VecDeque<oneshot::Sender<Permit>>,
    new: VecDeque<oneshot::Sender<Permit>>,
    phase: Phase,
    paused_until: Option<Instant>,
    /// The refusals since the last answer.
    refusals: Option<Refusals>,
    /// The time-outs since the last answer.
    timeouts: u32,
    /// Rises when time-outs lower the limit, so that those of the same wave count once.
    epoch: u64,
}

#[derive(Clone, Copy, Debug)]
struct Refusals {
    count: usize,
    /// The limit when they began.
    limit: usize,
    /// How many requests were in the air when they began.
    in_flight: usize,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Growing,
    Probing(Probe),
    /// Everything was refused. Holds the limit to go on with.
    Closed(usize),
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    /// By how much the limit will be raised.
    step: usize,
    /// Whether the limit was raised and no refusal has followed.
    on_trial: bool,
    interval: Duration,
    not_before: Instant,
    /// The answers at the present limit.
    answers: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent after every statement that can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(self: &Arc<Self>, epoch: u64, outcome: Outcome) {
        let now = Instant::now();
        let mut state = self.lock();
        let saturated = state.in_flight >= state.limit;
        state.in_flight -= 1;
        match outcome {
            Outcome::Answered => state.answered(self.max, saturated, now),
            Outcome::Refused { wait } => {
                if state.refused(self.max, wait, now) {
                    self.pause(&mut state, now + wait);
                }
            }
            Outcome::TimedOut if epoch == state.epoch => state.timed_out(self.max, now),
            Outcome::TimedOut | Outcome::Neutral => {}
        }
        self.hand_out(&mut state);
    }

    fn hand_out(self: &Arc<Self>, state: &mut State) {
        if state.is_paused(Instant::now()) {
            return;
        }
        while state.in_flight < state.limit {
            let Some(waiter) = state.again.pop_front().or_else(|| state.new.pop_front()) else {
                return;
            };
            let permit = Permit {
                shared: Some(Arc::clone(self)),
                epoch: state.epoch,
            };
            match waiter.send(permit) {
                Ok(()) => state.in_flight += 1,
                // Nobody waits any more. The place was never taken, and giving it back here would
                // lock twice.
                Err(mut permit) => permit.shared = None,
            }
        }
    }

    fn pause(self: &Arc<Self>, state: &mut State, until: Instant) {
        if state.paused_until.is_some_and(|already| already >= until) {
            return;
        }
        state.paused_until = Some(until);
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            let mut state = shared.lock();
            shared.hand_out(&mut state);
        });
    }
}

impl State {
    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    fn answered(&mut self, max: Option<usize>, saturated: bool, now: Instant) {
        self.refusals = None;
        self.timeouts = 0;
        let Some(max) = max else { return };
        match &mut self.phase {
            Phase::Closed(limit) => {
                self.limit = *limit;
                self.settle(Duration::ZERO, now);
            }
            Phase::Growing if saturated => self.limit = (self.limit + 1).min(max),
            Phase::Probing(probe) if saturated => {
                probe.answers += 1;
                if now >= probe.not_before && probe.answers >= self.limit {
                    probe.raise(&mut self.limit, max, now);
                }
            }
            Phase::Growing | Phase::Probing(_) => {}
        }
    }

    /// Takes a refusal in and says whether the server is closed, so that all should wait.
    fn refused(&mut self, max: Option<usize>, wait: Duration, now: Instant) -> bool {
        let refusals = self.refusals.get_or_insert(Refusals {
            count: 0,
            limit: self.limit,
            in_flight: self.in_flight + 1,
        });
        refusals.count += 1;
        let refusals = *refusals;
        let closed = self.in_flight == 0 || refusals.are_nearly_all();
        if max.is_some() {
            match self.phase {
                Phase::Closed(_) => {}
                _ if closed => {
                    self.phase = Phase::Closed((refusals.limit / 2).max(1));
                    self.limit = 1;
                }
                _ => {
                    self.limit = self.limit.min(self.in_flight);
                    self.settle(wait, now);
                }
            }
        }
        closed
    }

    fn timed_out(&mut self, max: Option<usize>, now: Instant) {
        self.timeouts += 1;
        let closed = matches!(self.phase, Phase::Closed(_));
        if max.is_some() && self.timeouts >= 2 && !closed {
            self.timeouts = 0;
            self.epoch += 1;
            self.limit = (self.limit / 2).max(1);
            self.settle(Duration::ZERO, now);
        }
    }

    /// Ends growth, or a raise on trial, after the limit was lowered.
    fn settle(&mut self, wait: Duration, now: Instant) {
        let interval = match self.phase {
            Phase::Growing | Phase::Closed(_) => FIRST_INTERVAL,
            Phase::Probing(probe) if probe.on_trial => (probe.interval * 2).min(LONGEST_INTERVAL),
            Phase::Probing(probe) => probe.interval,
        };
        self.phase = Phase::Probing(Probe {
            step: 1,
            on_trial: false,
            interval,
            not_before: now + interval.max(wait),
            answers: 0,
        });
    }
}

impl Refusals {
    /// Whether so many were refused in a row that the few still in the air are more likely stuck
    /// than admitted. While growing, a limit of the server's own refuses about half.
    fn are_nearly_all(&self) -> bool {
        self.count >= START && self.count * 16 >= self.in_flight * 15
    }
}

impl Probe {
    fn raise(&mut self, limit: &mut usize, max: usize, now: Instant) {
        if self.on_trial {
            self.interval = FIRST_INTERVAL;
            self.step = (self.step * 2).min((*limit / 4).max(1));
        }
        *limit = (*limit + self.step).min(max);
        self.on_trial = true;
        self.not_before = now + self.interval;
        self.answers = 0;
    }
}

#[cfg(test)]
mod tests;
