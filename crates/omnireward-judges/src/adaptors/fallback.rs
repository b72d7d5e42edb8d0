use std::{fmt, sync::Arc};

use omnireward_core::{
    BoxFuture, Identity, Judge, ModelError, PreferencePair, Setting, Task, Verdict,
};
use serde_json::json;

/// Asks a second judge where the first gives no preference.
///
/// An error of the first judge stays an error: a failing service must not be papered over. When
/// neither gives a preference, the first one's verdict stands. [`Verdict::detail`] says when the
/// second judge decided, and why it was asked.
#[derive(Clone)]
pub struct WithFallback {
    judge: Arc<dyn Judge>,
    fallback: Arc<dyn Judge>,
}

impl WithFallback {
    /// Asks `judge`, then, where needed, `fallback`.
    pub fn new(judge: Arc<dyn Judge>, fallback: Arc<dyn Judge>) -> Self {
        Self { judge, fallback }
    }
}

impl fmt::Debug for WithFallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WithFallback")
            .field(&self.identity().name)
            .finish()
    }
}

impl Judge for WithFallback {
    fn identity(&self) -> Identity {
        let (first, second) = (self.judge.identity(), self.fallback.identity());
        let name = format!("{}, else {}", first.name, second.name);
        Identity::new(name, json!({ "judge": first, "fallback": second }))
    }

    fn supports(&self, task: Task) -> bool {
        self.judge.supports(task) && self.fallback.supports(task)
    }

    fn is_order_sensitive(&self) -> bool {
        self.judge.is_order_sensitive() || self.fallback.is_order_sensitive()
    }

    fn is_order_sensitive_in(&self, task: Task) -> bool {
        self.judge.is_order_sensitive_in(task) || self.fallback.is_order_sensitive_in(task)
    }

    fn judge<'a>(
        &'a self,
        pair: &'a PreferencePair,
        setting: Setting,
    ) -> BoxFuture<'a, Result<Verdict, ModelError>> {
        Box::pin(async move {
            let mut first = self.judge.judge(pair, setting).await?;
            if first.preference.is_some() {
                return Ok(first);
            }
            let mut second = self.fallback.judge(pair, setting).await?;
            first.usage += second.usage;
            if second.preference.is_none() {
                return Ok(first);
            }
            second.usage = first.usage;
            second.detail = Some(format!(
                "decided by `{}`, because the first judge was {}",
                self.fallback.identity().name,
                first.status
            ));
            Ok(second)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Baseline;
    use crate::testing::ready;
    use omnireward_core::{Preference, Response, Status, Usage};

    /// Gives the same verdict on everything.
    struct Always(Verdict);

    impl Judge for Always {
        fn identity(&self) -> Identity {
            Identity::new("always", json!({}))
        }

        fn judge<'a>(
            &'a self,
            _pair: &'a PreferencePair,
            _setting: Setting,
        ) -> BoxFuture<'a, Result<Verdict, ModelError>> {
            Box::pin(async move { Ok(self.0.clone()) })
        }
    }

    fn unread(status: Status) -> Verdict {
        let usage = Usage {
            requests: 1,
            ..Usage::default()
        };
        Verdict {
            usage,
            ..Verdict::without_preference(status, None)
        }
    }

    #[test]
    fn the_second_judge_is_asked_only_where_the_first_has_no_preference() {
        let pair = PreferencePair::new("a", Task::T2T, "p", ["x", "yy"].map(Response::text));
        let ask = |first| {
            let judge = WithFallback::new(Arc::new(Always(first)), Arc::new(Baseline::Longest));
            ready(judge.judge(&pair, Setting::WithTies)).unwrap()
        };
        let kept = ask(Verdict::preferring(Preference::First));
        assert_eq!(
            (kept.preference, kept.detail),
            (Some(Preference::First), None)
        );
        let fallen = ask(unread(Status::Refused));
        assert_eq!(fallen.preference, Some(Preference::Second));
        assert_eq!(fallen.usage.requests, 1);
        let detail = fallen.detail.unwrap();
        assert!(
            detail.contains("baseline:longest") && detail.contains("refused"),
            "{detail}"
        );
    }

    #[test]
    fn two_silent_judges_keep_the_first_status_and_both_costs() {
        let pair = PreferencePair::new("a", Task::T2T, "p", ["x", "y"].map(Response::text));
        let judge = WithFallback::new(
            Arc::new(Always(unread(Status::Truncated))),
            Arc::new(Always(unread(Status::Refused))),
        );
        let verdict = ready(judge.judge(&pair, Setting::WithTies)).unwrap();
        assert_eq!(
            (verdict.status, verdict.usage.requests),
            (Status::Truncated, 2)
        );
    }
}
