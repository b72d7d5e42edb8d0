use std::collections::HashSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{Result, generation::prompt::unusable};

/// How tokens are drawn, with the meaning that Hugging Face transformers gives to each setting, and in its order:
/// repetition penalty, temperature, top-k, top-p.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sampling {
    /// What scores are divided by; 0 takes the likeliest token, whatever top-k and top-p are.
    pub temperature: f64,
    /// Only the likeliest tokens that together reach this share of probability are drawn; 1 for all.
    pub top_p: f64,
    /// Only so many of the likeliest tokens are drawn; 0 for all.
    pub top_k: usize,
    /// What the scores of tokens that were read or written before are divided by, or multiplied with when they are
    /// below 0 (Keskar et al. 2019, section 4.1); 1 for nothing.
    pub repetition_penalty: f64,
    /// What the draws come from, together with the number of the sample.
    pub seed: u64,
    /// The longest reply, in tokens.
    pub max_tokens: usize,
}

impl Default for Sampling {
    /// Greedy, at most 512 tokens.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            repetition_penalty: 1.0,
            seed: 0,
            max_tokens: 512,
        }
    }
}

impl Sampling {
    /// Fails when a setting has no meaning, naming it.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |name: &str, value: f64, expected: &str| {
            Err(unusable(format!(
                "`{name}` is `{value}`, expected {expected}"
            )))
        };
        if !self.temperature.is_finite() || self.temperature < 0.0 {
            return wrong("temperature", self.temperature, "0 or more");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return wrong("top_p", self.top_p, "a share above 0 and up to 1");
        }
        if !(self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0) {
            return wrong("repetition_penalty", self.repetition_penalty, "above 0");
        }
        Ok(())
    }
}

/// A token that was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Drawn {
    pub(super) token: u32,
    /// Under the model itself: at temperature 1, before penalties and cuts.
    pub(super) log_probability: f64,
}

/// Draws the tokens of one reply.
///
/// What it draws depends on the settings, the sample's number and the scores it is given, and on nothing else: each
/// sample has a stream of random numbers of its own, of which each drawn token takes one.
#[derive(Clone, Debug)]
pub(super) struct Sampler {
    sampling: Sampling,
    random: ChaCha8Rng,
    /// Tokens that the penalty is for.
    seen: HashSet<u32>,
}

impl Sampler {
    pub(super) fn new(sampling: Sampling, sample: u64, prompt: impl Iterator<Item = u32>) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(sampling.seed);
        random.set_stream(sample);
        let is_penalised = sampling.repetition_penalty.to_bits() != 1.0_f64.to_bits();
        Self {
            sampling,
            random,
            seen: prompt.filter(|_| is_penalised).collect(),
        }
    }

    /// Chooses the next token by the model's scores of all tokens.
    pub(super) fn draw(&mut self, logits: &[f32]) -> Result<Drawn> {
        let normaliser = normaliser(logits)?;
        let mut scores = logits.to_vec();
        self.penalise(&mut scores);
        let token = if self.is_greedy() {
            likeliest(&scores)
        } else {
            let temperature = self.sampling.temperature as f32;
            for score in &mut scores {
                *score /= temperature;
            }
            let candidates = Candidates::new(&scores)
                .top_k(self.sampling.top_k)
                .top_p(self.sampling.top_p);
            candidates.pick(self.random.random())
        };
        self.note(token);
        Ok(Drawn {
            token,
            log_probability: f64::from(logits[token as usize]) - normaliser,
        })
    }

    /// Chooses one of `allowed` by their scores alone, and says how probable each of them is among themselves.
    pub(super) fn choose(&mut self, logits: &[f32], allowed: &[u32]) -> Result<(usize, Vec<f64>)> {
        let scores = scores_of(logits, allowed);
        let probabilities = probabilities(&scores)?;
        let index = if self.is_greedy() {
            likeliest(&scores)
        } else {
            let temperature = self.sampling.temperature as f32;
            let scores: Vec<f32> = scores.iter().map(|score| score / temperature).collect();
            Candidates::new(&scores).pick(self.random.random())
        };
        self.note(allowed[index as usize]);
        Ok((index as usize, probabilities))
    }

    /// Takes a token that is not chosen, but given.
    pub(super) fn take(&mut self, logits: &[f32], token: u32) -> Result<Drawn> {
        self.note(token);
        Ok(Drawn {
            token,
            log_probability: f64::from(logits[token as usize]) - normaliser(logits)?,
        })
    }

    fn is_greedy(&self) -> bool {
        // As the scores are divided by it in `f32`, what is zero there is zero.
        self.sampling.temperature as f32 <= 0.0
    }

    fn note(&mut self, token: u32) {
        if self.sampling.repetition_penalty.to_bits() != 1.0_f64.to_bits() {
            self.seen.insert(token);
        }
    }

    fn penalise(&self, scores: &mut [f32]) {
        let penalty = self.sampling.repetition_penalty as f32;
        for token in &self.seen {
            // A placeholder of a medium may be beyond the model's own tokens.
            if let Some(score) = scores.get_mut(*token as usize) {
                *score = if *score < 0.0 {
                    *score * penalty
                } else {
                    *score / penalty
                };
            }
        }
    }
}

fn scores_of(logits: &[f32], tokens: &[u32]) -> Vec<f32> {
    tokens.iter().map(|token| logits[*token as usize]).collect()
}

/// How probable some are among themselves, by their scores.
fn probabilities(scores: &[f32]) -> Result<Vec<f64>> {
    let normaliser = normaliser(scores)?;
    let each = scores.iter();
    Ok(each
        .map(|score| (f64::from(*score) - normaliser).exp())
        .collect())
}

/// How probable some tokens are among themselves.
pub(super) fn among(logits: &[f32], tokens: &[u32]) -> Result<Vec<f64>> {
    probabilities(&scores_of(logits, tokens))
}

/// The logarithm of the sum of the scores' exponentials.
fn normaliser(scores: &[f32]) -> Result<f64> {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let most = f64::from(most);
    let sum: f64 = scores
        .iter()
        .map(|score| (f64::from(*score) - most).exp())
        .sum();
    let normaliser = most + sum.ln();
    if normaliser.is_finite() {
        Ok(normaliser)
    } else {
        Err(unusable("the model's scores are not finite numbers"))
    }
}

/// The first of the highest scores.
fn likeliest(scores: &[f32]) -> u32 {
    let mut best = 0;
    for (index, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = index;
        }
    }
    best as u32
}

/// Tokens that may be drawn, with weights in proportion to their probabilities.
struct Candidates {
    /// Token and weight; in the order of tokens, or, once some are cut, of falling weights.
    weights: Vec<(u32, f64)>,
}

impl Candidates {
    fn new(scores: &[f32]) -> Self {
        let most = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let weight = |score: &f32| (f64::from(*score) - most).exp();
        Self {
            weights: (0..).zip(scores.iter().map(weight)).collect(),
        }
    }

    /// The `k` likeliest, and those that are as likely as the last of them; all for 0.
    fn top_k(mut self, k: usize) -> Self {
        if k == 0 || k >= self.weights.len() {
            return self;
        }
        let (_, least, _) = self.weights.select_nth_unstable_by(k - 1, falling);
        let least = least.1;
        self.weights.retain(|(_, weight)| *weight >= least);
        self.weights.sort_unstable_by(falling);
        self
    }

    /// The likeliest that together reach the share `p`: a token goes when those less likely than it and itself have no
    /// more than `1 − p`. One always stays.
    fn top_p(mut self, p: f64) -> Self {
        if p >= 1.0 {
            return self;
        }
        let total: f64 = self.weights.iter().map(|(_, weight)| weight).sum();
        // Sorting a whole vocabulary takes longer than the model; the likeliest few are nearly always enough.
        let mut sorted = FEW.min(self.weights.len());
        loop {
            if sorted < self.weights.len() {
                self.weights.select_nth_unstable_by(sorted - 1, falling);
            }
            self.weights[..sorted].sort_unstable_by(falling);
            let mut before = 0.0;
            let kept = self.weights[..sorted].iter().take_while(|(_, weight)| {
                let is_kept = before < p * total;
                before += weight;
                is_kept
            });
            let kept = kept.count().max(1);
            if kept < sorted || sorted == self.weights.len() {
                self.weights.truncate(kept);
                return self;
            }
            sorted = (8 * sorted).min(self.weights.len());
        }
    }

    /// The token at the share `at`, from 0 to below 1, of all weights laid end to end.
    fn pick(&self, at: f64) -> u32 {
        let total: f64 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut left = at * total;
        let mut last = 0;
        for (token, weight) in &self.weights {
            if *weight > 0.0 {
                last = *token;
                if left < *weight {
                    return last;
                }
                left -= weight;
            }
        }
        last
    }
}

/// So many of the likeliest are sorted first.
const FEW: usize = 256;

/// By falling weight, and by token where weights are equal.
fn falling(left: &(u32, f64), right: &(u32, f64)) -> std::cmp::Ordering {
    right.1.total_cmp(&left.1).then(left.0.cmp(&right.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(probabilities: &[f64]) -> Vec<f32> {
        probabilities
            .iter()
            .map(|probability| probability.ln() as f32)
            .collect()
    }

    fn tokens(candidates: &Candidates) -> Vec<u32> {
        let mut tokens: Vec<u32> = candidates.weights.iter().map(|(token, _)| *token).collect();
        tokens.sort_unstable();
        tokens
    }

    #[test]
    fn cuts_keep_what_the_reference_keeps() {
        let scores = logits(&[0.1, 0.4, 0.15, 0.1, 0.25]);
        let all = || Candidates::new(&scores);
        assert_eq!(tokens(&all().top_k(2)), [1, 4]);
        assert_eq!(tokens(&all().top_k(4)), [0, 1, 2, 3, 4], "equals stay");
        assert_eq!(tokens(&all().top_k(0)), [0, 1, 2, 3, 4]);
        assert_eq!(tokens(&all().top_p(0.7)), [1, 2, 4], "0.65 is not enough");
        assert_eq!(tokens(&all().top_p(0.6)), [1, 4]);
        assert_eq!(tokens(&all().top_p(1e-9)), [1], "one stays");
        assert_eq!(
            tokens(&all().top_k(2).top_p(0.6)),
            [1],
            "of those that are left"
        );
    }

    #[test]
    fn a_share_of_many_is_found_without_sorting_all() {
        let scores = vec![0.0_f32; 4000];
        assert_eq!(Candidates::new(&scores).top_p(0.6).weights.len(), 2400);
        let few = logits(
            &(1..=4000)
                .map(|rank| 0.5_f64.powi(rank.min(900)))
                .collect::<Vec<_>>(),
        );
        assert_eq!(tokens(&Candidates::new(&few).top_p(0.9)), [0, 1, 2, 3]);
    }

    #[test]
    fn penalties_push_scores_down_on_either_side_of_zero() {
        let sampling = Sampling {
            repetition_penalty: 2.0,
            ..Sampling::default()
        };
        let mut sampler = Sampler::new(sampling, 0, [0, 2, 70].into_iter());
        let drawn = sampler.draw(&[3.0, 1.6, -1.0]).unwrap();
        assert_eq!(drawn.token, 1, "3 became 1.5");
        let expected = 1.6 - (3.0_f64.exp() + 1.6_f64.exp() + (-1.0_f64).exp()).ln();
        assert!((drawn.log_probability - expected).abs() < 1e-6, "{drawn:?}");
        let mut scores = [3.0, 1.6, -1.0];
        sampler.penalise(&mut scores);
        let expected: [f32; 3] = [1.5, 0.8, -2.0];
        assert_eq!(scores.map(f32::to_bits), expected.map(f32::to_bits));
    }

    #[test]
    fn draws_are_as_often_as_they_are_probable() {
        let sampling = Sampling {
            temperature: 0.5,
            ..Sampling::default()
        };
        let scores = logits(&[0.2, 0.5, 0.3]);
        // At temperature 0.5 probabilities are squared: 4, 25 and 9 of 38.
        let mut counts = [0; 3];
        for sample in 0..20_000 {
            let mut sampler = Sampler::new(sampling, sample, std::iter::empty());
            counts[sampler.draw(&scores).unwrap().token as usize] += 1;
        }
        for (count, expected) in counts.into_iter().zip([4.0, 25.0, 9.0]) {
            let share = f64::from(count) / 20_000.0;
            assert!((share - expected / 38.0).abs() < 0.015, "{counts:?}");
        }
    }

    #[test]
    fn a_sample_is_drawn_from_its_seed_and_number_alone() {
        let drawn = |seed, sample| {
            let sampling = Sampling {
                temperature: 1.0,
                seed,
                ..Sampling::default()
            };
            let mut sampler = Sampler::new(sampling, sample, std::iter::empty());
            let draw = |_| sampler.draw(&[0.0; 64]).unwrap().token;
            (0..8).map(draw).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1, 2), drawn(1, 2));
        assert_ne!(drawn(1, 2), drawn(1, 3));
        assert_ne!(drawn(1, 2), drawn(2, 2));
    }

    #[test]
    fn a_choice_is_between_what_is_allowed() {
        let mut sampler = Sampler::new(Sampling::default(), 0, std::iter::empty());
        let scores = logits(&[0.7, 0.1, 0.2]);
        let (index, probabilities) = sampler.choose(&scores, &[1, 2]).unwrap();
        assert_eq!(index, 1);
        assert!(
            (probabilities[0] - 1.0 / 3.0).abs() < 1e-6,
            "{probabilities:?}"
        );
        assert!(
            (probabilities[1] - 2.0 / 3.0).abs() < 1e-6,
            "{probabilities:?}"
        );
    }

    #[test]
    fn settings_and_scores_without_meaning_are_refused() {
        let wrong = [
            Sampling {
                temperature: -1.0,
                ..Sampling::default()
            },
            Sampling {
                temperature: f64::NAN,
                ..Sampling::default()
            },
            Sampling {
                top_p: 0.0,
                ..Sampling::default()
            },
            Sampling {
                repetition_penalty: 0.0,
                ..Sampling::default()
            },
        ];
        for sampling in wrong {
            assert!(sampling.check().is_err(), "{sampling:?}");
        }
        let mut sampler = Sampler::new(Sampling::default(), 0, std::iter::empty());
        assert!(sampler.draw(&[0.0, f32::NAN]).is_err());
        assert!(sampler.draw(&[0.0, f32::INFINITY]).is_err());
    }
}
