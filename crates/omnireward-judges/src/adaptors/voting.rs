use std::{num::NonZeroU32, sync::Arc};

use futures::future::join_all;
use omnireward_core::{
    BoxFuture, Identity, Judge, ModelError, Preference, PreferencePair, Setting, Status, Task,
    Usage, Verdict,
};
use serde_json::json;

use crate::chat_judge::ChatJudge;

/// Asks a chat judge several times and takes the majority of the readable replies.
///
/// The repeats carry different sample numbers, so a cache in front of the model keeps them apart.
/// When two answers have equally many votes the verdict is a tie where one is offered, and
/// unreadable otherwise. How the votes fell is in [`Verdict::detail`].
#[derive(Clone, Debug)]
pub struct Voting {
    judge: Arc<ChatJudge>,
    votes: NonZeroU32,
}

impl Voting {
    /// Asks `judge` `votes` times for each pair.
    pub fn new(judge: Arc<ChatJudge>, votes: NonZeroU32) -> Self {
        Self { judge, votes }
    }
}

impl Judge for Voting {
    fn identity(&self) -> Identity {
        let inner = self.judge.identity();
        let settings = json!({ "votes": self.votes, "judge": inner.settings });
        Identity::new(format!("{} × {}", inner.name, self.votes), settings)
    }

    fn supports(&self, task: Task) -> bool {
        self.judge.supports(task)
    }

    fn judge<'a>(
        &'a self,
        pair: &'a PreferencePair,
        setting: Setting,
    ) -> BoxFuture<'a, Result<Verdict, ModelError>> {
        Box::pin(async move {
            let votes =
                (0..self.votes.get()).map(|vote| self.judge.judge_once(pair, setting, vote));
            let votes: Result<Vec<Verdict>, ModelError> =
                join_all(votes).await.into_iter().collect();
            Ok(majority(votes?, setting))
        })
    }
}

/// The majority of `votes`, which are not empty.
fn majority(votes: Vec<Verdict>, setting: Setting) -> Verdict {
    let tally = Tally::of(&votes);
    let mut verdict = match tally.winner(setting) {
        Some(preference) => representative(&votes, preference),
        None => Verdict::without_preference(failure(&votes), None),
    };
    verdict.usage = Usage::default();
    for vote in &votes {
        verdict.usage += vote.usage;
    }
    verdict.raw = join_raw(&votes);
    verdict.detail = Some(tally.to_string());
    verdict
}

/// A verdict for `preference` with the reasons of the first vote for it.
fn representative(votes: &[Verdict], preference: Preference) -> Verdict {
    let vote = votes
        .iter()
        .find(|vote| vote.preference == Some(preference));
    Verdict {
        rationale: vote.and_then(|vote| vote.rationale.clone()),
        ..Verdict::preferring(preference)
    }
}

/// Every reply, under a line that numbers it.
fn join_raw(votes: &[Verdict]) -> Option<String> {
    let replies: Vec<String> = votes
        .iter()
        .enumerate()
        .filter_map(|(index, vote)| {
            let reply = vote.raw.as_deref()?;
            Some(format!("--- vote {} ---\n{reply}", index + 1))
        })
        .collect();
    (!replies.is_empty()).then(|| replies.join("\n"))
}

/// The status when nobody won: a draw is unreadable, and so are votes that failed in different
/// ways.
fn failure(votes: &[Verdict]) -> Status {
    match votes {
        [first, rest @ ..] if first.status != Status::Readable => {
            let same = rest.iter().all(|vote| vote.status == first.status);
            if same {
                first.status
            } else {
                Status::Unreadable
            }
        }
        _ => Status::Unreadable,
    }
}

/// How many votes each answer has.
struct Tally {
    counts: [(Preference, usize); 3],
    unread: usize,
}

impl Tally {
    fn of(votes: &[Verdict]) -> Self {
        let count = |preference| {
            votes
                .iter()
                .filter(|vote| vote.preference == Some(preference))
                .count()
        };
        let counts = Preference::ALL.map(|preference| (preference, count(preference)));
        let read: usize = counts.iter().map(|(_, count)| count).sum();
        Self {
            counts,
            unread: votes.len() - read,
        }
    }

    /// The answer with most votes; a draw is a tie where one is offered.
    fn winner(&self, setting: Setting) -> Option<Preference> {
        let most = self
            .counts
            .iter()
            .map(|(_, count)| *count)
            .max()
            .filter(|most| *most > 0)?;
        let mut leaders = self.counts.iter().filter(|(_, count)| *count == most);
        match (leaders.next(), leaders.next()) {
            (Some((only, _)), None) => Some(*only),
            _ => setting.offers_tie().then_some(Preference::Tie),
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [(_, first), (_, second), (_, tie)] = self.counts;
        write!(
            f,
            "votes: {first} for the first, {second} for the second, {tie} for a tie, {} not readable",
            self.unread
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Preference::{First, Second, Tie};

    fn vote(vote: Option<Preference>) -> Verdict {
        let mut verdict = match vote {
            Some(preference) => Verdict::preferring(preference),
            None => Verdict::without_preference(Status::Refused, None),
        };
        verdict.usage.requests = 1;
        verdict
    }

    #[test]
    fn the_majority_of_readable_votes_wins() {
        type Case<'a> = (&'a [Option<Preference>], Setting, Option<Preference>);
        let cases: [Case<'_>; 6] = [
            (
                &[Some(First), Some(First), Some(Second)],
                Setting::WithTies,
                Some(First),
            ),
            (
                &[Some(Second), None, None],
                Setting::WithoutTies,
                Some(Second),
            ),
            (&[Some(First), Some(Second)], Setting::WithTies, Some(Tie)),
            (&[Some(First), Some(Second)], Setting::WithoutTies, None),
            (
                &[Some(Tie), Some(Tie), Some(First)],
                Setting::WithTies,
                Some(Tie),
            ),
            (&[None, None], Setting::WithTies, None),
        ];
        for (votes, setting, expected) in cases {
            let count = votes.len();
            let verdict = majority(votes.iter().copied().map(vote).collect(), setting);
            assert_eq!(verdict.preference, expected, "{votes:?} {setting}");
            assert_eq!(verdict.usage.requests as usize, count);
            assert_eq!(
                verdict.preference.is_some(),
                verdict.status == Status::Readable
            );
        }
    }

    #[test]
    fn votes_that_all_failed_alike_keep_their_status() {
        assert_eq!(
            majority(vec![vote(None), vote(None)], Setting::WithTies).status,
            Status::Refused
        );
        let draw = majority(
            vec![vote(Some(First)), vote(Some(Second))],
            Setting::WithoutTies,
        );
        assert_eq!(draw.status, Status::Unreadable);
        assert!(
            draw.detail
                .unwrap()
                .contains("1 for the first, 1 for the second")
        );
    }
}
