//! Checks of criteria.

use omnireward_core::{Preference, PreferencePair, joined_text};

use super::{
    Code, names_a_side,
    row::{Findings, normal},
    wording::NOUNS,
};

pub(super) fn check(findings: &mut Findings<'_>) {
    let pair = findings.pair;
    let Some(criterion) = pair.criterion.as_deref() else {
        return;
    };
    if let Some((says, why)) = stated(criterion, pair)
        && pair.label.is_some_and(|label| label != says)
    {
        let label = pair.label.unwrap_or(says);
        let reason = format!("{why} prefers the {says} response, and the label is `{label}`");
        findings.add(Code::CriterionContradictsLabel, "criterion", reason);
    } else if let Some(words) = names_a_side(criterion) {
        let reason = format!("it says `{words}`");
        findings.add(Code::CriterionNamesASide, "criterion", reason);
    }
    if criterion.trim() != criterion {
        let reason = "it begins or ends with white space";
        findings.add(Code::UntrimmedCriterion, "criterion", reason);
    }
    let (wording, question) = (normal(criterion), normal(&joined_text(&pair.prompt)));
    if wording.chars().count() >= 20 && wording == question {
        findings.add(Code::CriterionIsPrompt, "criterion", "it is the prompt");
    }
}

/// The response that a criterion prefers by its wording alone, and by which words.
fn stated(criterion: &str, pair: &PreferencePair) -> Option<(Preference, String)> {
    by_place(criterion).or_else(|| by_length(criterion, pair))
}

/// `Response B is better`: a place with a judgement right after it.
fn by_place(criterion: &str) -> Option<(Preference, String)> {
    let words: Vec<&str> = criterion
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let lower: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    for at in 0..words.len() {
        let is = |offset: usize, among: &[&str]| {
            lower
                .get(at + offset)
                .is_some_and(|word| among.contains(&word.as_str()))
        };
        let is_noun = |offset: usize| is(offset, NOUNS) || is(offset, &["one"]);
        let side = match lower[at].as_str() {
            "a" | "1" if words[at] == "A" || words[at] == "1" => Preference::First,
            "b" | "2" if words[at] == "B" || words[at] == "2" => Preference::Second,
            "first" if is_noun(1) => Preference::First,
            "second" if is_noun(1) => Preference::Second,
            _ => continue,
        };
        let is_named = matches!(lower[at].as_str(), "first" | "second");
        let after = if is_named { 2 } else { 1 };
        let named_before = at > 0 && NOUNS.contains(&lower[at - 1].as_str());
        if !is_named && !named_before {
            continue;
        }
        let better =
            is(after, &["is"]) && is(after + 1, &["better", "preferred", "superior", "best"]);
        let worse = is(after, &["is"]) && is(after + 1, &["worse", "inferior", "worst"]);
        if better || worse {
            let preferred = if better { side } else { side.swapped() };
            let end = (at + after + 2).min(words.len());
            let start = if is_named { at } else { at - 1 };
            return Some((preferred, format!("`{}`", words[start..end].join(" "))));
        }
    }
    None
}

/// `The shorter response is better`, which can be counted.
fn by_length(criterion: &str, pair: &PreferencePair) -> Option<(Preference, String)> {
    let [first, second] = pair.responses.as_slice() else {
        return None;
    };
    if pair.task.is_generation() {
        return None;
    }
    let wording = normal(criterion).to_lowercase();
    let wording = wording.trim_end_matches('.');
    let asks = |word: &str| {
        let forms = [
            format!("the {word} response is better"),
            format!("the {word} answer is better"),
            format!("prefer the {word} response"),
            format!("prefer the {word} answer"),
            format!("{word} is better"),
        ];
        forms.iter().any(|form| wording == form)
    };
    let length = |index: usize| {
        let response = [first, second][index];
        joined_text(&response.parts).chars().count()
    };
    let why = format!("`{wording}`");
    if asks("shorter") {
        Some((Preference::from_lower(length(0), length(1)), why))
    } else if asks("longer") {
        Some((Preference::from_higher(length(0), length(1)), why))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use omnireward_core::{Response, Task};

    use super::*;
    use Preference::{First, Second};

    #[test]
    fn what_a_criterion_says_by_its_wording_is_read() {
        let responses = ["short", "a longer one"].map(Response::text);
        let pair = PreferencePair::new("1", Task::T2T, "p", responses);
        for (criterion, says) in [
            ("Response A is better because it is kind.", Some(First)),
            ("The second answer is preferred.", Some(Second)),
            ("The first one is better.", Some(First)),
            ("Candidate B is better.", Some(Second)),
            ("The second picture is worse.", Some(First)),
            ("I find that image B is worse.", Some(First)),
            ("Shorter is better.", Some(First)),
            ("Prefer the longer answer", Some(Second)),
            ("A kind answer is better.", None),
            ("The answer names a second reason.", None),
            ("The first answer it gives is short.", None),
        ] {
            assert_eq!(
                stated(criterion, &pair).map(|found| found.0),
                says,
                "{criterion}"
            );
        }
    }
}
