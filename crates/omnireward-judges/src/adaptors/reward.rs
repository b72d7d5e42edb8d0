use omnireward_core::{
    BoxFuture, Identity, Judge, ModelError, ModelErrorKind, Preference, PreferencePair,
    RewardModel, Setting, Task, Verdict,
};
use serde_json::json;

use crate::order::two_responses;

/// Turns the rewards of a [`RewardModel`] into verdicts: the higher reward is preferred.
///
/// Where a tie is offered, margins no larger than a threshold are a tie. Without a threshold only
/// equal rewards are.
#[derive(Clone, Debug)]
pub struct RewardJudge<M> {
    model: M,
    tie_threshold: f64,
}

impl<M: RewardModel> RewardJudge<M> {
    /// A judge that calls a tie only for equal rewards.
    pub fn new(model: M) -> Self {
        Self {
            model,
            tie_threshold: 0.0,
        }
    }

    /// A judge that calls a tie, where one is offered, for margins up to `threshold`, in units of
    /// the model's rewards. A threshold below zero or not a number counts as zero.
    #[must_use]
    pub fn with_tie_threshold(mut self, threshold: f64) -> Self {
        self.tie_threshold = threshold.max(0.0);
        self
    }

    /// The model behind the judge.
    pub fn model(&self) -> &M {
        &self.model
    }

    fn verdict(&self, scores: [f64; 2], setting: Setting) -> Verdict {
        let mut verdict = Verdict::from_scores(scores);
        if setting.offers_tie() && (scores[0] - scores[1]).abs() <= self.tie_threshold {
            verdict.preference = Some(Preference::Tie);
        }
        verdict
    }
}

impl<M: RewardModel> Judge for RewardJudge<M> {
    fn identity(&self) -> Identity {
        let model = self.model.identity();
        let settings = json!({ "model": model.settings, "tie_threshold": self.tie_threshold });
        Identity::new(model.name, settings)
    }

    fn supports(&self, task: Task) -> bool {
        self.model.supports(task)
    }

    fn is_order_sensitive(&self) -> bool {
        false
    }

    fn judge<'a>(
        &'a self,
        pair: &'a PreferencePair,
        setting: Setting,
    ) -> BoxFuture<'a, Result<Verdict, ModelError>> {
        Box::pin(async move {
            two_responses(pair)?;
            let rewards = self.model.score(std::slice::from_ref(pair))?;
            Ok(self.verdict(finite(pair, rewards)?, setting))
        })
    }
}

/// The two rewards of one pair, checked.
fn finite(pair: &PreferencePair, rewards: Vec<Vec<f64>>) -> Result<[f64; 2], ModelError> {
    let broken = |what: String| ModelError::new(ModelErrorKind::Internal, what);
    let [rewards]: [Vec<f64>; 1] = rewards.try_into().map_err(|all: Vec<_>| {
        broken(format!(
            "the model gave {} lists of rewards for pair `{}`",
            all.len(),
            pair.id
        ))
    })?;
    let scores: [f64; 2] = rewards.try_into().map_err(|all: Vec<_>| {
        broken(format!(
            "the model gave {} rewards for the two responses of pair `{}`",
            all.len(),
            pair.id
        ))
    })?;
    if scores.iter().all(|score| score.is_finite()) {
        Ok(scores)
    } else {
        Err(broken(format!(
            "the model's rewards for pair `{}` are `{}` and `{}`, not finite numbers",
            pair.id, scores[0], scores[1]
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ready;
    use omnireward_core::Response;

    struct Fixed(Vec<f64>);

    impl RewardModel for Fixed {
        fn identity(&self) -> Identity {
            Identity::new("fixed", json!({}))
        }

        fn score(&self, pairs: &[PreferencePair]) -> Result<Vec<Vec<f64>>, ModelError> {
            Ok(pairs.iter().map(|_| self.0.clone()).collect())
        }
    }

    fn judge(rewards: &[f64], threshold: f64, setting: Setting) -> Result<Verdict, ModelError> {
        let pair = PreferencePair::new("p1", Task::T2T, "p", ["x", "y"].map(Response::text));
        let judge = RewardJudge::new(Fixed(rewards.to_vec())).with_tie_threshold(threshold);
        ready(judge.judge(&pair, setting))
    }

    #[test]
    fn the_sign_of_the_margin_decides_and_scores_are_kept() {
        use Preference::{First, Second, Tie};
        let cases = [
            ([1.0, 0.5], 0.0, Setting::WithTies, First),
            ([0.5, 1.0], 0.0, Setting::WithoutTies, Second),
            ([0.5, 0.5], 0.0, Setting::WithTies, Tie),
            ([1.0, 0.5], 0.5, Setting::WithTies, Tie),
            ([1.0, 0.5], 0.5, Setting::WithoutTies, First),
            ([1.0, 0.5], f64::NAN, Setting::WithTies, First),
        ];
        for (rewards, threshold, setting, expected) in cases {
            let verdict = judge(&rewards, threshold, setting).unwrap();
            assert_eq!(
                verdict.preference,
                Some(expected),
                "{rewards:?} {threshold} {setting}"
            );
            assert_eq!(verdict.scores, Some(rewards.to_vec()));
        }
    }

    #[test]
    fn rewards_that_are_no_numbers_name_the_pair() {
        for rewards in [&[f64::NAN, 1.0][..], &[f64::INFINITY, 1.0], &[1.0], &[]] {
            let error = judge(rewards, 0.0, Setting::WithTies).unwrap_err();
            assert_eq!(error.kind, ModelErrorKind::Internal);
            assert!(error.to_string().contains("`p1`"), "{error}");
        }
    }
}
