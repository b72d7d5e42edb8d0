//! Asks verifiers about a criterion, blind and in both orders where that can matter.

use std::sync::Arc;

use futures::future::try_join_all;
use omnireward_core::{
    Criterion, Judge, ModelError, ModelErrorKind, Order, PreferencePair, Setting, Status, Verdict,
};

use super::{BuildPlan, Vote, digest::ContentDigest};

/// The field of [`PreferencePair::extra`] that holds a conversation's turns: it is part of what is
/// asked, and models that take turns are shown it in the prompt's place.
pub(super) const TURNS: &str = "turns";

/// The votes of all verifiers on `pair` under `criterion`, verifier after verifier, each in the
/// orders of the plan. `content` is `None` when a medium of the pair cannot be read.
pub(super) async fn votes(
    plan: &BuildPlan,
    verifiers: &[Arc<dyn Judge>],
    pair: &PreferencePair,
    content: Option<&ContentDigest>,
    criterion: &str,
) -> Result<Vec<Vote>, ModelError> {
    let setting = plan.setting;
    let pair = &blind(pair, criterion);
    let questions = verifiers.iter().flat_map(|verifier| {
        let orders = plan.orders(&verifier.identity().name, pair.task);
        orders.iter().map(move |order| (verifier, *order))
    });
    let asked = questions.map(|(verifier, order)| async move {
        let who = verifier.identity();
        let question = content.map(|content| content.of_question(&who, criterion, setting, order));
        let verdict = ask(verifier.as_ref(), setting, pair, order).await?;
        Ok(vote(who.name, order, question, verdict))
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
    blind.extra.retain(|field, _| field == TURNS);
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

fn vote(verifier: String, order: Order, question: Option<String>, verdict: Verdict) -> Vote {
    Vote {
        verifier,
        order,
        question_sha256: question,
        status: verdict.status,
        preference: verdict.preference,
        scores: verdict.scores,
        reply: verdict.raw,
        detail: verdict.detail,
        usage: verdict.usage,
    }
}
