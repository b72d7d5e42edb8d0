use serde::{Deserialize, Serialize};

use super::{AdamWConfig, remembered};

/// [`AdamW`](super::AdamW) of a single number, in `f64`, without decay: for parameters of the loss, not of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalarAdam {
    config: AdamWConfig,
    first: f64,
    second: f64,
    steps: u64,
}

impl ScalarAdam {
    /// An optimiser that has taken no step.
    pub fn new(config: AdamWConfig) -> Self {
        Self {
            config,
            first: 0.0,
            second: 0.0,
            steps: 0,
        }
    }

    /// Takes a step of learning rate `rate` along `gradient`.
    pub fn step(&mut self, value: &mut f64, gradient: f64, rate: f64) {
        let (first, second) = self.config.betas;
        self.steps += 1;
        self.first += (1.0 - first) * (gradient - self.first);
        self.second = second * self.second + (1.0 - second) * gradient * gradient;
        let mean = self.first / remembered(first, self.steps);
        let root = (self.second / remembered(second, self.steps)).sqrt();
        *value -= rate * mean / (root + self.config.epsilon);
    }
}
