use omnireward_core::{Finish, Order, Preference, Setting, Task};

use super::*;
use crate::grpo::Rollout;
use Preference::{First, Second, Tie};

fn question(label: Preference) -> Question {
    Question {
        pair: "p".to_owned(),
        cluster: "p".to_owned(),
        task: Task::T2T,
        order: Order::AsIs,
        responses: Vec::new(),
        setting: Setting::WithTies,
        messages: Vec::new(),
        label,
    }
}

fn answer(text: &str, verdict: Option<Preference>) -> Answer {
    Answer {
        rollout: Rollout {
            tokens: vec![0; text.len()],
            text: text.to_owned(),
            finish: Finish::Stop,
        },
        verdict,
    }
}

fn verdicts(verdicts: &[Option<Preference>]) -> Vec<Answer> {
    verdicts
        .iter()
        .map(|verdict| answer("", *verdict))
        .collect()
}

/// What a function makes of a verdict beside others.
fn value(
    function: &dyn RewardFunction,
    label: Preference,
    verdict: Option<Preference>,
    turned: &[Option<Preference>],
    opposed: &[Option<Preference>],
) -> Option<f64> {
    let (turned, opposed) = (verdicts(turned), verdicts(opposed));
    function.value(&Candidate {
        question: &question(label),
        answer: &answer("", verdict),
        thinking_is_open: false,
        turned: &turned,
        opposed: &[&opposed],
    })
}

#[test]
fn verdicts_are_right_or_wrong() {
    for (label, verdict, plain, aware) in [
        (First, Some(First), 1.0, 1.0),
        (First, Some(Second), 0.0, 0.0),
        (First, Some(Tie), 0.0, 0.5),
        (Tie, Some(Second), 0.0, 0.5),
        (Tie, Some(Tie), 1.0, 1.0),
        (Tie, None, 0.0, 0.0),
        (Second, None, 0.0, 0.0),
    ] {
        let of = |function: &dyn RewardFunction| value(function, label, verdict, &[], &[]);
        assert_eq!(of(&Verdict), Some(plain), "{label}, {verdict:?}");
        assert_eq!(
            of(&TieAware { near: 0.5 }),
            Some(aware),
            "{label}, {verdict:?}"
        );
    }
}

#[test]
fn agreement_is_with_replies_in_the_other_order() {
    let of = |verdict, turned: &[_]| value(&Agreement, First, verdict, turned, &[]);
    let turned = [Some(Second), Some(First), None, Some(Second)];
    assert_eq!(of(Some(First), &turned), Some(0.5));
    assert_eq!(of(Some(Second), &turned), Some(0.25));
    assert_eq!(of(Some(Tie), &[Some(Tie), Some(First)]), Some(0.5));
    assert_eq!(
        of(None, &[None]),
        Some(0.0),
        "two silences are no agreement"
    );
    assert_eq!(
        of(Some(First), &[]),
        None,
        "nothing was asked in the other order"
    );
}

#[test]
fn a_criterion_that_prefers_the_other_side_is_to_turn_the_verdict() {
    let of = |verdict, opposed: &[_]| value(&CriterionFlip, First, verdict, &[], opposed);
    let opposed = [Some(Second), Some(First), Some(Second), None];
    assert_eq!(of(Some(First), &opposed), Some(0.5));
    assert_eq!(of(Some(Second), &opposed), Some(0.25));
    assert_eq!(of(Some(Tie), &[Some(Tie)]), Some(0.0));
    assert_eq!(of(None, &[None]), Some(0.0));
    assert_eq!(of(Some(First), &[]), None);
}

#[test]
fn long_replies_lose() {
    let length = Length { from: 10, most: 20 };
    for (tokens, expected) in [(0, 0.0), (10, 0.0), (15, -0.5), (20, -1.0), (30, -1.0)] {
        let found = length.value(&Candidate {
            question: &question(First),
            answer: &answer(&"x".repeat(tokens), None),
            thinking_is_open: false,
            turned: &[],
            opposed: &[],
        });
        assert_eq!(found, Some(expected), "{tokens}");
    }
}

#[test]
fn replies_have_the_form_that_is_asked_for() {
    let boxed = AnswerForm::Boxed;
    for (thinking, answer_form, is_open, text, expected) in [
        (true, boxed, false, "<think>a is</think> so \\boxed{A}", 1.0),
        (
            true,
            boxed,
            false,
            " <think>a</think>\n$\\boxed{Image 1}$.",
            1.0,
        ),
        (true, boxed, false, "a is</think> \\boxed{A}", 0.0),
        (true, boxed, true, "a is</think> \\boxed{A}", 1.0),
        (true, boxed, true, "<think>a is</think> \\boxed{A}", 0.0),
        (true, boxed, false, "<think> </think> \\boxed{A}", 0.0),
        (true, boxed, false, "<think>a \\boxed{A}", 0.0),
        (true, boxed, false, "<think>\\boxed{A}</think> a", 0.0),
        (
            true,
            boxed,
            false,
            "<think>a</think></think>\\boxed{A}",
            0.0,
        ),
        (
            true,
            boxed,
            false,
            "<think>a</think>\\boxed{A}\\boxed{B}",
            0.0,
        ),
        (true, boxed, false, "<think>a</think>\\boxed{}", 0.0),
        (false, boxed, false, "a is better: \\boxed{A}", 1.0),
        (false, boxed, false, "<think>a</think>\\boxed{A}", 0.0),
        (false, AnswerForm::Brackets, false, "Better. [[A]]", 1.0),
        (
            false,
            AnswerForm::Brackets,
            false,
            "Better. \\boxed{A}",
            0.0,
        ),
        (false, AnswerForm::Brackets, false, "[[A]] or [[B]]", 0.0),
    ] {
        let format = Format {
            thinking,
            answer: answer_form,
        };
        let found = format.value(&Candidate {
            question: &question(First),
            answer: &answer(text, None),
            thinking_is_open: is_open,
            turned: &[],
            opposed: &[],
        });
        assert_eq!(found, Some(expected), "{text}, open: {is_open}");
    }
}

#[test]
fn a_reply_that_was_cut_has_no_form() {
    let mut cut = answer("\\boxed{A}", Some(First));
    cut.rollout.finish = Finish::Length;
    let format = Format {
        thinking: false,
        answer: AnswerForm::Boxed,
    };
    let found = format.value(&Candidate {
        question: &question(First),
        answer: &cut,
        thinking_is_open: false,
        turned: &[],
        opposed: &[],
    });
    assert_eq!(found, Some(0.0));
}

struct Nonsense;

impl RewardFunction for Nonsense {
    fn name(&self) -> &'static str {
        "nonsense"
    }

    fn value(&self, _: &Candidate<'_>) -> Option<f64> {
        Some(f64::NAN)
    }
}

#[test]
fn rewards_are_weighted_sums_and_nonsense_is_named() {
    let (right, wrong) = (answer("[[A]]", Some(First)), answer("no", None));
    let asked = question(First);
    let candidate = |answer| Candidate {
        question: &asked,
        answer,
        thinking_is_open: false,
        turned: &[],
        opposed: &[],
    };
    let weighted = |function: Box<dyn RewardFunction>, weight| Weighted { function, weight };
    let form = Format {
        thinking: false,
        answer: AnswerForm::Brackets,
    };
    let mut rewards = Rewards(vec![
        weighted(Box::new(Verdict), 0.75),
        weighted(Box::new(form), 0.25),
        weighted(Box::new(Agreement), 9.0),
    ]);
    assert_eq!(
        rewards.names().collect::<Vec<_>>(),
        ["verdict", "format", "agreement"]
    );
    let reward = rewards.of(&candidate(&right), 0).unwrap();
    assert_eq!(
        (reward.total, reward.parts),
        (1.0, vec![Some(1.0), Some(1.0), None])
    );
    let reward = rewards.of(&candidate(&wrong), 0).unwrap();
    assert_eq!(
        (reward.total, reward.parts),
        (0.0, vec![Some(0.0), Some(0.0), None])
    );
    rewards.0.push(weighted(Box::new(Nonsense), 1.0));
    let error = rewards.of(&candidate(&wrong), 4).unwrap_err().to_string();
    assert!(
        error.contains("`nonsense`") && error.contains("rollout 5"),
        "{error}"
    );
}
