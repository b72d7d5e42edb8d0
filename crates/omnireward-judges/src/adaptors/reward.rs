use std::{fmt, sync::Arc};

use omnireward_core::{
    BoxFuture, Identity, Judge, ModelError, ModelErrorKind, Preference, PreferencePair,
    RewardModel, Rewards, Setting, Task, Verdict,
};
use serde_json::json;

use super::queue::ScoreQueue;
use crate::order::two_responses;

/// Turns the rewards of a [`RewardModel`] into verdicts: the higher reward is preferred.
///
/// Where a tie is offered, margins no larger than a threshold are a tie. Without a threshold only
/// equal rewards are.
///
/// Scoring happens on a thread of the judge's own, for as many waiting pairs at once as is worth while.
pub struct RewardJudge {
    model: Arc<dyn RewardModel>,
    queue: ScoreQueue,
    tie_threshold: f64,
}

impl fmt::Debug for RewardJudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RewardJudge")
            .field("tie_threshold", &self.tie_threshold)
            .finish_non_exhaustive()
    }
}

impl RewardJudge {
    /// A judge that calls a tie only for equal rewards.
    pub fn new(model: Arc<dyn RewardModel>) -> Self {
        Self {
            queue: ScoreQueue::new(model.clone()),
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

    fn verdict(&self, scores: [f64; 2], setting: Setting) -> Verdict {
        let mut verdict = Verdict::from_scores(scores);
        if setting.offers_tie() && (scores[0] - scores[1]).abs() <= self.tie_threshold {
            verdict.preference = Some(Preference::Tie);
        }
        verdict
    }
}

impl Judge for RewardJudge {
    fn identity(&self) -> Identity {
        let model = self.model.identity();
        let settings = json!({ "model": model.settings, "tie_threshold": self.tie_threshold });
        Identity::new(model.name, settings)
    }

    fn supports(&self, task: Task) -> bool {
        self.model.supports(task)
    }

    fn is_order_sensitive(&self) -> bool {
        Task::ALL
            .into_iter()
            .any(|task| self.supports(task) && self.is_order_sensitive_in(task))
    }

    fn is_order_sensitive_in(&self, task: Task) -> bool {
        self.model.is_order_sensitive(task)
    }

    fn judge<'a>(
        &'a self,
        pair: &'a PreferencePair,
        setting: Setting,
    ) -> BoxFuture<'a, Result<Verdict, ModelError>> {
        Box::pin(async move {
            two_responses(pair)?;
            let Rewards { values, detail } = self.queue.score(pair).await?;
            Ok(Verdict {
                detail,
                ..self.verdict(finite(pair, values)?, setting)
            })
        })
    }
}

/// The two rewards of one pair, checked.
fn finite(pair: &PreferencePair, rewards: Vec<f64>) -> Result<[f64; 2], ModelError> {
    let broken = |what: String| ModelError::new(ModelErrorKind::Internal, what);
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
    use std::sync::Mutex;

    use omnireward_core::Response;

    fn waited<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    /// Gives these rewards; of a `T2A` pair it does not see all, and the order counts.
    struct Fixed(Vec<f64>);

    impl RewardModel for Fixed {
        fn identity(&self) -> Identity {
            Identity::new("fixed", json!({}))
        }

        fn is_order_sensitive(&self, task: Task) -> bool {
            task == Task::T2A
        }

        fn score(&self, pairs: &[PreferencePair]) -> Result<Vec<Rewards>, ModelError> {
            let rewards = pairs.iter().map(|pair| Rewards {
                values: self.0.clone(),
                detail: self
                    .is_order_sensitive(pair.task)
                    .then(|| "half of it was heard".to_owned()),
            });
            Ok(rewards.collect())
        }
    }

    fn judge(rewards: &[f64], threshold: f64, setting: Setting) -> Result<Verdict, ModelError> {
        let pair = PreferencePair::new("p1", Task::T2T, "p", ["x", "y"].map(Response::text));
        let judge =
            RewardJudge::new(Arc::new(Fixed(rewards.to_vec()))).with_tie_threshold(threshold);
        waited(judge.judge(&pair, setting))
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
    fn what_a_model_says_of_itself_reaches_the_run() {
        let judge = RewardJudge::new(Arc::new(Fixed(vec![1.0, 0.0])));
        assert!(judge.is_order_sensitive());
        assert!(judge.is_order_sensitive_in(Task::T2A) && !judge.is_order_sensitive_in(Task::T2I));
        for (task, detail) in [(Task::T2A, Some("half of it was heard")), (Task::T2T, None)] {
            let pair = PreferencePair::new("p1", task, "p", ["x", "y"].map(Response::text));
            let verdict = waited(judge.judge(&pair, Setting::WithTies)).unwrap();
            assert_eq!(verdict.preference, Some(Preference::First));
            assert_eq!(verdict.detail.as_deref(), detail);
        }
        let judge = RewardJudge::new(Arc::new(Counting::default()));
        assert!(!judge.is_order_sensitive());
    }

    #[test]
    fn rewards_that_are_no_numbers_name_the_pair() {
        for rewards in [&[f64::NAN, 1.0][..], &[f64::INFINITY, 1.0], &[1.0], &[]] {
            let error = judge(rewards, 0.0, Setting::WithTies).unwrap_err();
            assert_eq!(error.kind, ModelErrorKind::Internal);
            assert!(error.to_string().contains("`p1`"), "{error}");
        }
    }

    /// Gives each pair its id's length; knows how often it was asked, and cannot bear `bad`.
    #[derive(Default)]
    struct Counting(Mutex<Vec<usize>>);

    impl RewardModel for Counting {
        fn identity(&self) -> Identity {
            Identity::new("counting", json!({}))
        }

        fn score(&self, pairs: &[PreferencePair]) -> Result<Vec<Rewards>, ModelError> {
            self.0.lock().unwrap().push(pairs.len());
            std::thread::sleep(std::time::Duration::from_millis(2));
            match pairs.iter().find(|pair| pair.id == "bad") {
                Some(bad) => Err(ModelError::new(ModelErrorKind::Media, bad.id.clone())),
                None => Ok(pairs
                    .iter()
                    .map(|pair| vec![pair.id.len() as f64, 0.0].into())
                    .collect()),
            }
        }
    }

    #[test]
    fn waiting_pairs_are_scored_together_and_each_once() {
        let model = Arc::new(Counting::default());
        let judge = &RewardJudge::new(model.clone());
        let pairs: Vec<_> = (0..40)
            .map(|index| {
                let id = "x".repeat(1 + index);
                PreferencePair::new(id, Task::T2T, "p", ["x", "y"].map(Response::text))
            })
            .collect();
        let asked = pairs.iter().flat_map(|pair| {
            Setting::ALL.map(|setting| async move { judge.judge(pair, setting).await.unwrap() })
        });
        let verdicts = waited(futures::future::join_all(asked));
        for (verdict, pair) in verdicts.chunks(2).zip(&pairs) {
            for verdict in verdict {
                assert_eq!(verdict.scores, Some(vec![pair.id.len() as f64, 0.0]));
            }
        }
        let batches = model.0.lock().unwrap();
        assert_eq!(batches.iter().sum::<usize>(), 40);
        assert!(batches.len() < 20, "{batches:?}");
    }

    #[test]
    fn a_pair_that_fails_leaves_the_others_of_its_batch_alone() {
        let judge = RewardJudge::new(Arc::new(Counting::default()));
        let pairs = ["a", "bb", "bad", "bad", "cccc"]
            .map(|id| PreferencePair::new(id, Task::T2T, "p", ["x", "y"].map(Response::text)));
        let asked = pairs
            .iter()
            .map(|pair| judge.judge(pair, Setting::WithTies));
        let verdicts = waited(futures::future::join_all(asked));
        let kinds: Vec<_> = verdicts
            .iter()
            .map(|verdict| verdict.as_ref().err().map(|error| error.kind))
            .collect();
        let media = Some(ModelErrorKind::Media);
        assert_eq!(kinds, [None, None, media, media, None]);
    }
}
