//! Work that is done side by side, each piece by one thread, and taken in its order.
//!
//! The operators of a large model keep all threads busy by themselves. Those of a small one are over before the threads
//! have met, and do better when every thread has a piece of the step to itself.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::Result;

/// Threads that each work on a piece of their own; without any, the caller works on one piece after the other.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// Of one thread each, so that what a piece calls stays on it.
    pools: Vec<ThreadPool>,
}

impl Lanes {
    /// As many lanes as the machine computes with threads, or none.
    pub(crate) fn new(are_wanted: bool) -> Self {
        if !are_wanted {
            return Self::default();
        }
        let pool = |_| {
            ThreadPoolBuilder::new()
                .num_threads(1)
                .build()
                .expect("a thread can be started")
        };
        Self {
            pools: (0..rayon::current_num_threads()).map(pool).collect(),
        }
    }

    /// Whether there are none, so that pieces are done by the caller.
    pub(crate) const fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// How many pieces are done at once.
    pub(crate) const fn count(&self) -> usize {
        if self.is_empty() { 1 } else { self.pools.len() }
    }

    /// Does the pieces, and hands what they give to `take` in the order of the pieces, so that the result depends on
    /// neither the number of lanes nor their speed.
    ///
    /// # Errors
    ///
    /// The first that a piece or `take` gives, in the order of the pieces.
    pub(crate) fn each<T: Send>(
        &self,
        pieces: usize,
        work: impl Fn(usize) -> Result<T> + Sync,
        take: impl FnMut(T) -> Result<()> + Send,
    ) -> Result<()> {
        if self.is_empty() {
            let mut take = take;
            return (0..pieces).try_for_each(|piece| take(work(piece)?));
        }
        let next = AtomicUsize::new(0);
        let order = Mutex::new(Order {
            take,
            taken: 0,
            waiting: BTreeMap::new(),
            outcome: Ok(()),
        });
        let lane = || {
            loop {
                let piece = next.fetch_add(1, Ordering::Relaxed);
                if piece >= pieces {
                    return;
                }
                let done = work(piece);
                let mut order = order
                    .lock()
                    .expect("no lane panics while it holds the order");
                order.put(piece, done);
                if order.outcome.is_err() {
                    return;
                }
            }
        };
        std::thread::scope(|scope| {
            for pool in &self.pools {
                scope.spawn(|| pool.install(lane));
            }
        });
        order
            .into_inner()
            .expect("no lane panics while it holds the order")
            .outcome
    }
}

/// What is done, in the order of the pieces.
struct Order<T, F> {
    take: F,
    taken: usize,
    waiting: BTreeMap<usize, Result<T>>,
    outcome: Result<()>,
}

impl<T, F: FnMut(T) -> Result<()>> Order<T, F> {
    fn put(&mut self, piece: usize, done: Result<T>) {
        self.waiting.insert(piece, done);
        while self.outcome.is_ok()
            && let Some(done) = self.waiting.remove(&self.taken)
        {
            self.taken += 1;
            self.outcome = done.and_then(|done| (self.take)(done));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn pieces_are_taken_in_their_order_and_only_once() {
        for lanes in [Lanes::default(), Lanes::new(true)] {
            let mut taken = Vec::new();
            let work = |piece: usize| {
                // The first pieces take longest.
                std::thread::sleep(std::time::Duration::from_millis(8 - piece as u64 % 8));
                Ok(piece)
            };
            let take = |piece| {
                taken.push(piece);
                Ok(())
            };
            lanes.each(20, work, take).unwrap();
            assert_eq!(taken, (0..20).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_ends_it_and_nothing_after_it_is_taken() {
        let failing = |piece: usize| {
            if piece == 3 {
                Err(Error::NoPairs {
                    set: piece.to_string(),
                })
            } else {
                Ok(piece)
            }
        };
        for lanes in [Lanes::default(), Lanes::new(true)] {
            let mut taken = Vec::new();
            let outcome = lanes.each(9, failing, |piece| {
                taken.push(piece);
                Ok(())
            });
            assert!(matches!(outcome, Err(Error::NoPairs { set }) if set == "3"));
            assert_eq!(taken, [0, 1, 2]);
        }
    }

    #[test]
    fn a_piece_keeps_to_one_thread() {
        let lanes = Lanes::new(true);
        let threads = |_| Ok(rayon::current_num_threads());
        let one = |threads| {
            assert_eq!(threads, 1);
            Ok(())
        };
        lanes.each(4, threads, one).unwrap();
    }
}
