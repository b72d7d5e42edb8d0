//! Asks verifiers about a criterion, blind and in both orders.

use std::sync::Arc;

use futures::future::try_join_all;
use omnireward_core::{
    Criterion, Judge, ModelError, ModelErrorKind, Order, PreferencePair, Setting, Status, Verdict,
};

use super::{Vote, digest::ContentDigest};

/// The votes of all verifiers on `pair` under `criterion`, verifier after verifier. A verifier
/// whose verdicts do not depend on the order is asked once.
pub(super) async fn votes(
    verifiers: &[Arc<dyn Judge>],
    setting: Setting,
    pair: &PreferencePair,
    content: &ContentDigest,
    criterion: &str,
) -> Result<Vec<Vote>, ModelError> {
    let pair = &blind(pair, criterion);
    let questions = verifiers.iter().flat_map(|verifier| {
        let orders: &[Order] = if verifier.is_order_sensitive_in(pair.task) {
            &[Order::AsIs, Order::Swapped]
        } else {
            &[Order::AsIs]
        };
        orders.iter().map(move |order| (verifier, *order))
    });
    let asked = questions.map(|(verifier, order)| async move {
        let question = content.of_question(&verifier.identity(), criterion, setting, order);
        let verdict = ask(verifier.as_ref(), setting, pair, order).await?;
        Ok(vote(verifier.identity().name, order, question, verdict))
    });
    try_join_all(asked).await
}

/// The pair as a verifier may see it: under the new criterion, without the source's label or the
/// names of the models, which could give an answer away.
fn blind(pair: &PreferencePair, criterion: &str) -> PreferencePair {
    let mut blind = unlabelled(pair);
    blind.criterion = Criterion::new(criterion);
    blind
}

/// The pair without anything that says which response somebody prefers.
pub(super) fn unlabelled(pair: &PreferencePair) -> PreferencePair {
    let mut blind = pair.clone();
    blind.criterion = None;
    blind.label = None;
    blind.ranking = None;
    blind.extra.clear();
    for response in &mut blind.responses {
        response.model = None;
    }
    blind
}

/// A verdict in the dataset's order. A failure that concerns this question alone is a verdict
/// without a preference.
async fn ask(
    verifier: &dyn Judge,
    setting: Setting,
    pair: &PreferencePair,
    order: Order,
) -> Result<Verdict, ModelError> {
    let verdict = match order {
        Order::AsIs => verifier.judge(pair, setting).await,
        Order::Swapped => {
            let swapped = verifier.judge(&pair.shown_swapped(), setting).await;
            swapped.map(Verdict::swapped)
        }
    };
    verdict.or_else(|error| match status_of_failure(&error) {
        Some(status) => Ok(Verdict::without_preference(status, Some(error.chain()))),
        None => Err(error),
    })
}

/// The status of a question that failed; `None` when the failure has nothing to do with it, so
/// that the build should end.
pub(super) const fn status_of_failure(error: &ModelError) -> Option<Status> {
    match error.kind {
        ModelErrorKind::Media => Some(Status::MediaError),
        ModelErrorKind::NotRecorded => Some(Status::NotRecorded),
        ModelErrorKind::Rejected => Some(Status::Rejected),
        ModelErrorKind::Transport | ModelErrorKind::Unauthorized => Some(Status::TransportError),
        ModelErrorKind::Unsupported | ModelErrorKind::Budget | ModelErrorKind::Internal => None,
    }
}

fn vote(verifier: String, order: Order, question: String, verdict: Verdict) -> Vote {
    Vote {
        verifier,
        order,
        question_sha256: Some(question),
        status: verdict.status,
        preference: verdict.preference,
        scores: verdict.scores,
        reply: verdict.raw,
        detail: verdict.detail,
        usage: verdict.usage,
    }
}
