use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use super::{
    error::Failure,
    limiter::{Load, Turn},
};

/// What a client did so far, for a progress line or a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClientStats {
    /// How many requests may be in the air now.
    pub limit: usize,
    /// How many are.
    pub in_flight: usize,
    /// How many wait for a turn.
    pub waiting: usize,
    /// Whether all wait, because the server refused everything.
    pub paused: bool,
    /// How often a request was sent, retries included.
    pub sent: u64,
    /// How many of those were retries.
    pub retries: u64,
    /// Replies received.
    pub answered: u64,
    /// Answers 429 and 503.
    pub refused: u64,
    /// Attempts without a complete reply in time.
    pub timeouts: u64,
    /// Requests that were given up.
    pub failed: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    sent: AtomicU64,
    retries: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    timeouts: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    pub(super) fn sent(&self, turn: Turn) {
        self.sent.fetch_add(1, Relaxed);
        if turn == Turn::Again {
            self.retries.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn answered(&self) {
        self.answered.fetch_add(1, Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    /// Counts an attempt that may be repeated.
    pub(super) fn disappointed(&self, failure: &Failure) {
        match failure {
            Failure::Timeout { .. } => self.timeouts.fetch_add(1, Relaxed),
            Failure::Status { status, .. } | Failure::WaitTooLong { status, .. }
                if matches!(status, 429 | 503) =>
            {
                self.refused.fetch_add(1, Relaxed)
            }
            _ => return,
        };
    }

    pub(super) fn snapshot(&self, load: Load) -> ClientStats {
        ClientStats {
            limit: load.limit,
            in_flight: load.in_flight,
            waiting: load.waiting,
            paused: load.paused,
            sent: self.sent.load(Relaxed),
            retries: self.retries.load(Relaxed),
            answered: self.answered.load(Relaxed),
            refused: self.refused.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }
}
