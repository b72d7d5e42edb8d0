use std::{fmt, sync::Arc};

use futures::future::join;
use omnireward_core::{
    BoxFuture, Identity, Judge, ModelError, Preference, PreferencePair, Setting, Status, Task,
    Verdict,
};
use serde_json::json;

/// Asks a judge in both orders and keeps what both agree on.
///
/// When the two verdicts disagree: a tie where one is offered, else the higher sum of scores where
/// both verdicts have scores, else unreadable. When one of them has no preference, the verdict has
/// none either, because a preference seen in one order alone may be a preference for a position.
#[derive(Clone)]
pub struct BothOrders {
    judge: Arc<dyn Judge>,
}

impl BothOrders {
    /// Wraps `judge`.
    pub fn new(judge: Arc<dyn Judge>) -> Self {
        Self { judge }
    }
}

impl fmt::Debug for BothOrders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BothOrders")
            .field(&self.judge.identity().name)
            .finish()
    }
}

impl Judge for BothOrders {
    fn identity(&self) -> Identity {
        let inner = self.judge.identity();
        let settings = json!({ "both_orders": true, "judge": inner.settings });
        Identity::new(format!("{}, both orders", inner.name), settings)
    }

    fn supports(&self, task: Task) -> bool {
        self.judge.supports(task)
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
            if !self.judge.is_order_sensitive_in(pair.task) {
                return self.judge.judge(pair, setting).await;
            }
            let swapped = pair.shown_swapped();
            let (one, other) = join(
                self.judge.judge(pair, setting),
                self.judge.judge(&swapped, setting),
            )
            .await;
            Ok(agree(one?, other?.swapped(), setting))
        })
    }
}

/// Joins two verdicts on the same order of responses, asked in different orders.
fn agree(one: Verdict, other: Verdict, setting: Setting) -> Verdict {
    let mut usage = one.usage;
    usage += other.usage;
    let scores = sum(&one, &other);
    Verdict {
        usage,
        scores: scores.map(|scores| scores.to_vec()),
        rationale: one.rationale.clone(),
        raw: join_raw(&one, &other),
        ..decide(&one, &other, scores, setting)
    }
}

fn decide(one: &Verdict, other: &Verdict, scores: Option<[f64; 2]>, setting: Setting) -> Verdict {
    match (one.preference, other.preference) {
        (Some(a), Some(b)) if a == b => Verdict::preferring(a),
        (Some(a), Some(b)) => {
            let detail = Some(format!(
                "inconsistent: `{a}` as shown, `{b}` in the other order"
            ));
            let decided = if setting.offers_tie() {
                Some(Preference::Tie)
            } else {
                scores.map(|[first, second]| Preference::from_higher(first, second))
            };
            match decided {
                Some(preference) => Verdict {
                    detail,
                    ..Verdict::preferring(preference)
                },
                None => Verdict::without_preference(Status::Unreadable, detail),
            }
        }
        (None, _) => Verdict::without_preference(one.status, one.detail.clone()),
        (_, None) => Verdict::without_preference(
            other.status,
            other
                .detail
                .as_ref()
                .map(|detail| format!("in the other order: {detail}")),
        ),
    }
}

/// The sum of the two verdicts' scores, side by side.
fn sum(one: &Verdict, other: &Verdict) -> Option<[f64; 2]> {
    match (one.scores.as_deref()?, other.scores.as_deref()?) {
        ([a, b], [c, d]) => Some([a + c, b + d]),
        _ => None,
    }
}

fn join_raw(one: &Verdict, other: &Verdict) -> Option<String> {
    match (&one.raw, &other.raw) {
        (None, None) => None,
        (a, b) => Some(format!(
            "--- as shown ---\n{}\n--- other order ---\n{}",
            a.as_deref().unwrap_or_default(),
            b.as_deref().unwrap_or_default()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Baseline;
    use crate::testing::ready;
    use Preference::{First, Second, Tie};
    use omnireward_core::Response;

    #[test]
    fn agreement_is_kept_and_disagreement_is_not_guessed() {
        let preferring = Verdict::preferring;
        let cases = [
            (
                preferring(First),
                preferring(First),
                Setting::WithTies,
                Some(First),
            ),
            (
                preferring(First),
                preferring(Second),
                Setting::WithTies,
                Some(Tie),
            ),
            (
                preferring(First),
                preferring(Second),
                Setting::WithoutTies,
                None,
            ),
            (
                preferring(First),
                Verdict::without_preference(Status::Refused, None),
                Setting::WithTies,
                None,
            ),
            (
                Verdict::from_scores([3.0, 1.0]),
                Verdict::from_scores([1.0, 2.0]),
                Setting::WithoutTies,
                Some(First),
            ),
        ];
        for (one, other, setting, expected) in cases {
            let verdict = agree(one.clone(), other.clone(), setting);
            assert_eq!(verdict.preference, expected, "{one:?} {other:?}");
            // Which order was asked first must not matter.
            let turned = agree(other.swapped(), one.swapped(), setting).swapped();
            assert_eq!(turned.preference, expected);
        }
    }

    #[test]
    fn a_judge_of_positions_is_found_out() {
        let pair = PreferencePair::new("a", Task::T2T, "p", ["x", "y"].map(Response::text));
        let judge = BothOrders::new(Arc::new(Baseline::First));
        let verdict = ready(judge.judge(&pair, Setting::WithoutTies)).unwrap();
        assert_eq!(verdict.status, Status::Unreadable);
        assert!(verdict.detail.unwrap().starts_with("inconsistent"));
        let verdict = ready(judge.judge(&pair, Setting::WithTies)).unwrap();
        assert_eq!(verdict.preference, Some(Tie));
    }
}
