//! A thread that scores pairs for futures that wait.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use omnireward_core::{ModelError, ModelErrorKind, PreferencePair, RewardModel, Rewards};
use tokio::sync::oneshot;

/// How long one batch should take: long enough to be worth packing, short enough that verdicts keep coming in and
/// little is lost when the run is killed.
const BATCH_TIME: Duration = Duration::from_secs(1);

/// The most pairs in one batch.
const LARGEST_BATCH: usize = 64;

/// Rewards of one pair, or why there are none.
type Scored = Result<Rewards, ModelError>;

/// Scores pairs on a thread of its own, as many together as are waiting and as a second allows.
///
/// A pair that is asked about more than once in a row, as both settings of a benchmark do, is scored once. A pair
/// that fails does not fail the others of its batch. The thread ends with the queue.
#[derive(Debug)]
pub(crate) struct ScoreQueue {
    sender: mpsc::Sender<Question>,
}

struct Question {
    pair: PreferencePair,
    reply: oneshot::Sender<Scored>,
}

impl ScoreQueue {
    pub(crate) fn new(model: Arc<dyn RewardModel>) -> Self {
        let (sender, questions) = mpsc::channel();
        thread::spawn(move || Scorer::new(model).serve(&questions));
        Self { sender }
    }

    /// The rewards of `pair`.
    pub(crate) async fn score(&self, pair: &PreferencePair) -> Scored {
        let gone = || ModelError::new(ModelErrorKind::Internal, "the scoring thread ended");
        let (reply, scored) = oneshot::channel();
        let pair = pair.clone();
        self.sender
            .send(Question { pair, reply })
            .map_err(|_| gone())?;
        scored.await.map_err(|_| gone())?
    }
}

struct Scorer {
    model: Arc<dyn RewardModel>,
    /// Pairs to score together, found from how long the last took.
    batch: usize,
    /// What the last batch gave.
    last: Vec<(PreferencePair, Rewards)>,
}

impl Scorer {
    fn new(model: Arc<dyn RewardModel>) -> Self {
        Self {
            model,
            batch: 1,
            last: Vec::new(),
        }
    }

    fn serve(&mut self, questions: &mpsc::Receiver<Question>) {
        while let Ok(first) = questions.recv() {
            let mut waiting = vec![first];
            waiting.extend(questions.try_iter().take(2 * self.batch - 1));
            self.answer(waiting);
        }
    }

    fn answer(&mut self, waiting: Vec<Question>) {
        let mut new: Vec<PreferencePair> = Vec::new();
        for question in &waiting {
            if !new.contains(&question.pair) && self.remembered(&question.pair).is_none() {
                new.push(question.pair.clone());
            }
        }
        let mut failed = Vec::new();
        if !new.is_empty() {
            let started = Instant::now();
            let scored = self.score(&new);
            self.adapt(started.elapsed(), new.len());
            let mut kept = Vec::new();
            for (pair, scored) in new.into_iter().zip(scored) {
                match scored {
                    Ok(rewards) => kept.push((pair, rewards)),
                    Err(error) => failed.push((pair, Some(error))),
                }
            }
            // The last of the batch before may be asked about again by the first of the next.
            kept.extend(self.last.drain(..).take(LARGEST_BATCH));
            self.last = kept;
        }
        for question in waiting {
            let scored = match self.remembered(&question.pair) {
                Some(rewards) => Ok(rewards),
                None => Err(self.failure(&question.pair, &mut failed)),
            };
            // Whoever asked may have gone.
            let _ = question.reply.send(scored);
        }
    }

    /// Scores `pairs` together, or one by one when that fails, so that each has its own error.
    fn score(&self, pairs: &[PreferencePair]) -> Vec<Scored> {
        match self.model.score(pairs) {
            Ok(rewards) if rewards.len() == pairs.len() => rewards.into_iter().map(Ok).collect(),
            Err(error) if pairs.len() == 1 => vec![Err(error)],
            Ok(_) | Err(_) => pairs.iter().map(|pair| self.alone(pair)).collect(),
        }
    }

    fn alone(&self, pair: &PreferencePair) -> Scored {
        let rewards = self.model.score(std::slice::from_ref(pair))?;
        let [rewards]: [Rewards; 1] = rewards.try_into().map_err(|all: Vec<_>| {
            ModelError::new(
                ModelErrorKind::Internal,
                format!(
                    "the model gave {} lists of rewards for pair `{}`",
                    all.len(),
                    pair.id
                ),
            )
        })?;
        Ok(rewards)
    }

    fn adapt(&mut self, took: Duration, pairs: usize) {
        let each = took.as_secs_f64() / pairs as f64;
        let fits = (BATCH_TIME.as_secs_f64() / each.max(1e-6)) as usize;
        self.batch = fits.clamp(1, LARGEST_BATCH.min(2 * self.batch));
    }

    fn remembered(&self, pair: &PreferencePair) -> Option<Rewards> {
        self.last
            .iter()
            .find(|(known, _)| known == pair)
            .map(|(_, rewards)| rewards.clone())
    }

    /// The error of a pair that failed. An error cannot be copied: whoever asks second is answered by asking again.
    fn failure(
        &self,
        pair: &PreferencePair,
        failed: &mut [(PreferencePair, Option<ModelError>)],
    ) -> ModelError {
        failed
            .iter_mut()
            .find(|(known, _)| known == pair)
            .and_then(|(_, error)| error.take())
            .or_else(|| self.alone(pair).err())
            .unwrap_or_else(|| {
                ModelError::new(
                    ModelErrorKind::Internal,
                    format!("pair `{}` failed once and not again", pair.id),
                )
            })
    }
}
