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
        (self.prompt * usage.prompt_tokens as f64 + self.completion * usage.completion_tokens as f64)
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
    spent: Mutex<Usage>,
}

impl Spend {
    /// Goes on counting from what earlier sessions of the run `spent`.
    pub fn new(prices: Prices, budget: Budget, spent: Usage) -> Self {
        Self {
            prices,
            budget,
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

    /// Whether one more request, on top of `in_flight` that are not yet counted, may pass the
    /// budget. Each is expected to cost what the others did on average.
    pub fn is_exhausted(&self, in_flight: usize) -> bool {
        let spent = self.so_far();
        let expected = 1.0 + in_flight as f64 / f64::from(spent.requests.max(1));
        let over = |used: f64, limit: Option<f64>| limit.is_some_and(|limit| used * expected >= limit);
        let tokens = spent.prompt_tokens + spent.completion_tokens;
        over(self.prices.cost(spent), self.budget.dollars)
            || over(tokens as f64, self.budget.tokens.map(|limit| limit as f64))
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
        let prices = Prices { prompt: 2.0, completion: 10.0 };
        assert!((prices.cost(usage(1000)) - 3.0).abs() < 1e-12);
    }

    #[test]
    fn requests_in_flight_count_against_the_budget() {
        let budget = Budget { tokens: Some(11_000), dollars: None };
        let spend = Spend::new(Prices::default(), budget, usage(5));
        assert!(!spend.is_exhausted(4));
        assert!(spend.is_exhausted(5));
        spend.add(usage(5));
        assert!(spend.is_exhausted(0));
    }

    #[test]
    fn without_a_budget_nothing_stops() {
        let spend = Spend::new(Prices::default(), Budget::default(), usage(1_000_000));
        assert!(!spend.is_exhausted(1_000));
    }
}
