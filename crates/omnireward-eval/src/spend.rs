use std::sync::{Mutex, PoisonError};

use omnireward_core::Usage;
use serde::{Deserialize, Serialize};

/// What a service charges, in US dollars for a million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prices {
    /// For tokens read.
    pub prompt: f64,
    /// For tokens written.
    pub completion: f64,
}

impl Prices {
    /// The price of a usage in US dollars.
    pub fn cost(&self, usage: Usage) -> f64 {
        (self.prompt * usage.prompt_tokens as f64
            + self.completion * usage.completion_tokens as f64)
            / 1e6
    }
}

/// Where a run stops spending. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// US dollars, by [`Prices`].
    pub dollars: Option<f64>,
    /// Tokens, read and written together.
    pub tokens: Option<u64>,
}

/// Counts what a run spends and says when to stop.
#[derive(Debug, Default)]
pub struct Spend {
    prices: Prices,
    budget: Budget,
    /// What one request is expected to use, until some have been paid for.
    expected: Usage,
    spent: Mutex<Usage>,
}

impl Spend {
    /// Goes on counting from what earlier sessions of the run `spent`. `estimate` is what the whole
    /// run is expected to use: the measure of a request until some have been paid for.
    pub fn new(prices: Prices, budget: Budget, estimate: Usage, spent: Usage) -> Self {
        let requests = u64::from(estimate.requests.max(1));
        Self {
            prices,
            budget,
            expected: Usage {
                requests: 1,
                prompt_tokens: estimate.prompt_tokens.div_ceil(requests),
                completion_tokens: estimate.completion_tokens.div_ceil(requests),
            },
            spent: Mutex::new(spent),
        }
    }

    /// Adds a reply that was paid for.
    pub fn add(&self, usage: Usage) {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner) += usage;
    }

    /// What the run has cost so far.
    pub fn so_far(&self) -> Usage {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the run has cost so far, in US dollars.
    pub fn dollars(&self) -> f64 {
        self.prices.cost(self.so_far())
    }

    /// Whether prices are known, so that dollars mean something.
    pub fn has_prices(&self) -> bool {
        self.prices != Prices::default()
    }

    /// Whether `requests` that are not yet counted may pass the budget. Each is expected to cost
    /// what the others did on average.
    pub fn would_pass(&self, requests: u64) -> bool {
        let spent = self.so_far();
        let known = if spent.requests > 0 {
            spent
        } else {
            self.expected
        };
        let share = requests as f64 / f64::from(known.requests.max(1));
        let tokens = |usage: Usage| (usage.prompt_tokens + usage.completion_tokens) as f64;
        let over = |spent: f64, known: f64, limit: Option<f64>| {
            limit.is_some_and(|limit| spent + known * share > limit)
        };
        let (cost, limit) = (
            |usage| self.prices.cost(usage),
            self.budget.tokens.map(|n| n as f64),
        );
        over(cost(spent), cost(known), self.budget.dollars)
            || over(tokens(spent), tokens(known), limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(requests: u32) -> Usage {
        Usage {
            requests,
            prompt_tokens: 1_000 * u64::from(requests),
            completion_tokens: 100 * u64::from(requests),
        }
    }

    #[test]
    fn dollars_follow_the_prices() {
        let prices = Prices {
            prompt: 2.0,
            completion: 10.0,
        };
        assert!((prices.cost(usage(1000)) - 3.0).abs() < 1e-12);
    }

    #[test]
    fn requests_not_yet_counted_are_held_against_the_budget() {
        let budget = Budget {
            tokens: Some(11_000),
            dollars: None,
        };
        let spend = Spend::new(Prices::default(), budget, Usage::default(), usage(5));
        assert!(!spend.would_pass(5));
        assert!(spend.would_pass(6));
        spend.add(usage(5));
        assert!(spend.would_pass(1));
        assert!(!spend.would_pass(0));
    }

    #[test]
    fn before_the_first_reply_the_estimate_counts() {
        let budget = Budget {
            tokens: Some(3_300),
            dollars: None,
        };
        let spend = Spend::new(Prices::default(), budget, usage(1000), Usage::default());
        assert!(!spend.would_pass(3));
        assert!(spend.would_pass(4));
    }

    #[test]
    fn without_a_budget_nothing_stops() {
        let spend = Spend::new(
            Prices::default(),
            Budget::default(),
            Usage::default(),
            usage(1000),
        );
        assert!(!spend.would_pass(1_000_000));
    }
}
