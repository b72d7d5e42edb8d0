use std::sync::Mutex;

use omnireward_core::{ModelErrorKind, Preference, Response};

use super::*;
use crate::testing::ready;
use Preference::{First, Second, Tie};
use Setting::{WithTies, WithoutTies};

/// A model that says prepared replies, one after another, and remembers what it was asked.
struct Scripted {
    replies: Mutex<Vec<(&'static str, Finish)>>,
    asked: Mutex<Vec<ChatRequest>>,
}

impl Scripted {
    fn new(replies: &[(&'static str, Finish)]) -> Arc<Self> {
        Arc::new(Self {
            replies: Mutex::new(replies.iter().rev().copied().collect()),
            asked: Mutex::default(),
        })
    }

    fn asked(&self) -> Vec<ChatRequest> {
        self.asked.lock().unwrap().clone()
    }
}

impl ChatModel for Scripted {
    fn identity(&self) -> Identity {
        Identity::new("scripted", json!({ "version": 1 }))
    }

    fn complete<'a>(
        &'a self,
        request: &'a ChatRequest,
    ) -> BoxFuture<'a, Result<ChatReply, ModelError>> {
        self.asked.lock().unwrap().push(request.clone());
        let reply = self.replies.lock().unwrap().pop();
        let offered = request.choices.as_ref().map(|choices| choices.of.len());
        let probabilities = offered.map(|offered| PROBABILITIES[..offered].to_vec());
        Box::pin(async move {
            let gone = || ModelError::new(ModelErrorKind::Transport, "the script is over");
            let (text, finish) = reply.ok_or_else(gone)?;
            Ok(ChatReply {
                text: text.to_owned(),
                finish,
                usage: Usage {
                    requests: 1,
                    prompt_tokens: 10,
                    completion_tokens: 2,
                },
                model: None,
                probabilities,
            })
        })
    }
}

/// How probable the scripted model says verdicts were, when it is asked.
const PROBABILITIES: [f64; 3] = [0.6, 0.3, 0.1];

fn pair() -> PreferencePair {
    PreferencePair::new(
        "p1",
        Task::T2T,
        "Say hi.",
        ["Hi!", "No."].map(Response::text),
    )
    .with_criterion("Is polite.")
}

fn judged(reply: &'static str, finish: Finish, setting: Setting) -> Verdict {
    let judge = ChatJudge::new(
        Scripted::new(&[(reply, finish)]),
        ChatJudgeConfig::default(),
    );
    ready(judge.judge(&pair(), setting)).unwrap()
}

#[test]
fn the_status_tells_how_a_reply_ended() {
    let cases = [
        ("Fine. [[A]]", Finish::Stop, WithoutTies, Status::Readable),
        ("Fine. [[A]]", Finish::Length, WithoutTies, Status::Readable),
        ("Fine.", Finish::Length, WithoutTies, Status::Truncated),
        (
            "<think>so [[A]]",
            Finish::Unknown,
            WithoutTies,
            Status::Truncated,
        ),
        ("Fine.", Finish::Stop, WithoutTies, Status::Unreadable),
        ("", Finish::Stop, WithoutTies, Status::Unreadable),
        ("[[C]]", Finish::Stop, WithoutTies, Status::Unreadable),
        ("[[C]]", Finish::Stop, WithTies, Status::Readable),
        (
            "I cannot help with that.",
            Finish::Refusal,
            WithTies,
            Status::Refused,
        ),
    ];
    for (reply, finish, setting, status) in cases {
        let verdict = judged(reply, finish, setting);
        assert_eq!(verdict.status, status, "{reply} {finish:?}");
        assert_eq!(verdict.preference.is_some(), status == Status::Readable);
        assert_eq!(
            verdict.detail.is_none(),
            status == Status::Readable,
            "a reason is given"
        );
        assert_eq!(verdict.raw.as_deref(), Some(reply));
    }
}

#[test]
fn the_rationale_is_the_reply_without_its_verdict() {
    let rationale = |reply| judged(reply, Finish::Stop, WithTies).rationale;
    assert_eq!(
        rationale("B is rude.\n\n[[A]]").as_deref(),
        Some("B is rude.")
    );
    assert_eq!(
        rationale("<think>hm</think>\nB is rude. [[A]] Done.").as_deref(),
        Some("B is rude.  Done.")
    );
    assert_eq!(
        rationale("<think>B is rude</think>[[A]]").as_deref(),
        Some("<think>B is rude</think>")
    );
    assert_eq!(rationale("**[[A]]**"), None);
}

#[test]
fn unread_replies_are_asked_again_as_other_samples_and_paid_for() {
    let script = [
        ("", Finish::Stop),
        ("hm", Finish::Length),
        ("[[B]]", Finish::Stop),
    ];
    let model = Scripted::new(&script);
    let config = ChatJudgeConfig {
        attempts: NonZeroU32::new(5).unwrap(),
        ..ChatJudgeConfig::default()
    };
    let judge = ChatJudge::new(model.clone(), config);
    let verdict = ready(judge.judge_once(&pair(), WithTies, 1)).unwrap();
    assert_eq!(verdict.preference, Some(Second));
    assert_eq!(
        (verdict.usage.requests, verdict.usage.prompt_tokens),
        (3, 30)
    );
    let samples: Vec<u32> = model.asked().iter().map(|request| request.sample).collect();
    assert_eq!(samples, [5, 6, 7]);
}

#[test]
fn one_attempt_is_the_default() {
    let model = Scripted::new(&[("hm", Finish::Stop), ("[[A]]", Finish::Stop)]);
    let judge = ChatJudge::new(model.clone(), ChatJudgeConfig::default());
    assert_eq!(
        ready(judge.judge(&pair(), WithTies)).unwrap().status,
        Status::Unreadable
    );
    assert_eq!(model.asked().len(), 1);
}

#[test]
fn errors_of_the_model_are_passed_on() {
    let judge = ChatJudge::new(Scripted::new(&[]), ChatJudgeConfig::default());
    let error = ready(judge.judge(&pair(), WithTies)).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Transport);
}

#[test]
fn the_request_holds_prompt_sampling_and_nothing_else() {
    let model = Scripted::new(&[("[[A]]", Finish::Stop)]);
    let judge = ChatJudge::new(model.clone(), ChatJudgeConfig::default());
    ready(judge.judge(&pair(), WithoutTies)).unwrap();
    let request = &model.asked()[0];
    assert_eq!(request.sampling.temperature, Some(0.0));
    let [system, user] = request.messages.as_slice() else {
        panic!("{request:?}");
    };
    assert_eq!((system.role, user.role), (Role::System, Role::User));
    let expected = "[[PROMPT]]\nSay hi.\n[[END OF PROMPT]]\n\n[[RESPONSE A]]\nHi!\n[[END OF RESPONSE A]]\n\n\
                    [[RESPONSE B]]\nNo.\n[[END OF RESPONSE B]]\n";
    assert_eq!(user.parts, [ChatPart::Text(expected.to_owned())]);
    assert_eq!(
        system.parts,
        [ChatPart::Text(system_message(
            Task::T2T,
            WithoutTies,
            pair().criterion.as_ref()
        ))]
    );
}

#[test]
fn the_identity_changes_with_everything_that_matters() {
    let identity = |config| ChatJudge::new(Scripted::new(&[]), config).identity();
    let base = ChatJudgeConfig::default;
    let variants = [
        base(),
        ChatJudgeConfig {
            parser: Parser::Parity(crate::ParityParser),
            ..base()
        },
        ChatJudgeConfig {
            attempts: NonZeroU32::new(5).unwrap(),
            ..base()
        },
        ChatJudgeConfig {
            sampling: Sampling::default(),
            ..base()
        },
        ChatJudgeConfig {
            media: MediaConfig {
                jpeg_quality: 90,
                ..MediaConfig::default()
            },
            ..base()
        },
    ];
    let identities: Vec<_> = variants.into_iter().map(identity).collect();
    for (index, identity) in identities.iter().enumerate() {
        assert!(!identities[..index].contains(identity), "{identity:?}");
        assert!(identity.settings["prompts"]["sha256"].is_string());
    }
}

#[test]
fn only_the_tasks_of_the_model_are_supported() {
    let config = ChatJudgeConfig {
        tasks: Some(vec![Task::T2T]),
        ..ChatJudgeConfig::default()
    };
    let judge = ChatJudge::new(Scripted::new(&[]), config);
    assert!(judge.supports(Task::T2T) && !judge.supports(Task::T2A));
}

#[test]
fn votes_are_different_samples_and_their_majority_wins() {
    let script = [
        ("[[A]]", Finish::Stop),
        ("[[B]]", Finish::Stop),
        ("[[A]]", Finish::Stop),
    ];
    let model = Scripted::new(&script);
    let judge = Arc::new(ChatJudge::new(model.clone(), ChatJudgeConfig::default()));
    let voting = crate::Voting::new(judge, NonZeroU32::new(3).unwrap());
    let verdict = ready(voting.judge(&pair(), WithTies)).unwrap();
    assert_eq!(verdict.preference, Some(First));
    assert_ne!(verdict.preference, Some(Tie));
    let mut samples: Vec<u32> = model.asked().iter().map(|request| request.sample).collect();
    samples.sort_unstable();
    assert_eq!(samples, [0, 1, 2]);
}

#[test]
fn probabilities_of_verdicts_are_scores_where_they_are_asked_for() {
    for setting in Setting::ALL {
        let model = Scripted::new(&[("Fine. [[A]]", Finish::Stop), ("Who knows.", Finish::Stop)]);
        let config = ChatJudgeConfig {
            asks_probabilities: true,
            ..ChatJudgeConfig::default()
        };
        let judge = ChatJudge::new(model.clone(), config);
        let verdict = ready(judge.judge(&pair(), setting)).unwrap();
        assert_eq!(verdict.scores.as_deref(), Some(&PROBABILITIES[..2]));
        let unread = ready(judge.judge(&pair(), setting)).unwrap();
        assert_eq!(unread.scores, None);
        let choices = model.asked()[0].choices.clone().unwrap();
        let system = system_message(Task::T2T, setting, None);
        for choice in &choices.of {
            assert!(
                system.contains(&format!("\n{}{choice} if ", choices.lead)),
                "{choice}"
            );
        }
        assert_eq!(choices.of.len() == 3, setting.offers_tie());
    }
    assert_eq!(judged("Fine. [[A]]", Finish::Stop, WithTies).scores, None);
}
