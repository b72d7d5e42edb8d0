//! Plackett (1975), "The analysis of permutations", after Luce (1959): the best is chosen among all responses with
//! probability `e^{rᵢ} / Σⱼ e^{rⱼ}`, then the best of those that remain, and so on.

use super::{ItemLoss, logistic::log_sum_exp};

/// The mean of `-log P` over the choices that a ranking consists of, or nothing when there are none.
///
/// Responses that tie are chosen one by one, each from all that remained when their rank was reached (Breslow 1974).
/// Those of the last rank are not chosen: one alone is no choice, and several are in no known order. A margin is
/// taken from the reward that is chosen.
pub(super) fn ranking(rewards: &[f64], ranks: &[u32], margin: f64) -> Option<ItemLoss> {
    let mut order: Vec<usize> = (0..rewards.len()).collect();
    order.sort_by_key(|&response| ranks[response]);
    let mut loss = ItemLoss::nothing(rewards.len());
    let mut chosen = 0;
    for rank in order.chunk_by(|&one, &other| ranks[one] == ranks[other]) {
        let remaining = &order[chosen..];
        if rank.len() == remaining.len() {
            break;
        }
        for &best in rank {
            choose(rewards, best, remaining, margin, &mut loss);
        }
        chosen += rank.len();
    }
    (chosen > 0).then(|| loss.divided(chosen as f64))
}

/// Adds the choice of `best` among `remaining`, of which it is one.
fn choose(rewards: &[f64], best: usize, remaining: &[usize], margin: f64, loss: &mut ItemLoss) {
    let lead = |response: usize| {
        if response == best {
            0.0
        } else {
            rewards[response] - (rewards[best] - margin)
        }
    };
    let leads: Vec<f64> = remaining.iter().map(|&response| lead(response)).collect();
    let surprise = log_sum_exp(&leads);
    loss.loss += surprise;
    for (&response, lead) in remaining.iter().zip(leads) {
        if response != best {
            let probability = (lead - surprise).exp();
            loss.gradient[response] += probability;
            loss.gradient[best] -= probability;
        }
    }
}

impl ItemLoss {
    fn divided(mut self, by: f64) -> Self {
        self.loss /= by;
        self.gradient.iter_mut().for_each(|one| *one /= by);
        self
    }
}
