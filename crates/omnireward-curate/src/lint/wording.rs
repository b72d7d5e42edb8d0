//! Whether a criterion speaks of the responses by their places instead of by their qualities.

/// What people call a response.
pub(super) const NOUNS: &[&str] = &[
    "response",
    "answer",
    "reply",
    "option",
    "output",
    "completion",
    "candidate",
    "choice",
    "assistant",
    "model",
    "image",
    "picture",
    "photo",
    "video",
    "clip",
    "recording",
    "audio",
    "sound",
    "object",
    "mesh",
    "version",
    "edit",
    "result",
    "side",
];

/// What may follow `response 1` when a response is meant, and not a number of things.
const FOLLOWING: &[&str] = &[
    "is", "has", "was", "are", "does", "should", "must", "over", "and", "or", "than", "because",
    "gives", "shows", "contains", "wins", "better", "follows", "uses", "provides", "to",
];

const RANKED: &[&str] = &[
    "better",
    "worse",
    "best",
    "worst",
    "preferred",
    "preferable",
    "superior",
    "inferior",
    "stronger",
    "weaker",
    "correct",
    "wrong",
    "chosen",
    "rejected",
    "right",
];

const CHOOSING: &[&str] = &[
    "than", "over", "prefer", "prefers", "choose", "select", "pick", "favor", "favour",
];

/// The words by which a criterion names one of the responses, such as `response A`, `the second
/// image` or `A is better`; `None` when it speaks of qualities alone.
///
/// ```
/// use omnireward_curate::lint::names_a_side;
/// assert_eq!(names_a_side("Response B is more polite.").as_deref(), Some("Response B"));
/// assert_eq!(names_a_side("A response should answer two questions."), None);
/// ```
pub fn names_a_side(criterion: &str) -> Option<String> {
    let words: Vec<&str> = criterion
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    (0..words.len()).find_map(|start| {
        let length = named_length(&words[start..])?;
        Some(words[start..start + length].join(" "))
    })
}

/// How many of the first words name a response.
fn named_length(words: &[&str]) -> Option<usize> {
    let word = |index: usize| words.get(index).copied().unwrap_or_default();
    let is = |index: usize, among: &[&str]| among.contains(&word(index).to_lowercase().as_str());
    let is_noun = |index: usize| is(index, NOUNS);
    let is_letter = |index: usize| matches!(word(index), "A" | "B");
    if is_noun(0) && is_letter(1) {
        return Some(2);
    }
    if is_noun(0) && is(1, &["1", "2", "one", "two"]) && (words.len() == 2 || is(2, FOLLOWING)) {
        return Some(2);
    }
    let place = ["first", "second", "left", "right", "former", "latter"];
    if is(0, &["the"]) && is(1, &place) && is_noun(2) && !is(3, &["of", "in"]) {
        return Some(3);
    }
    if is_letter(0) && is(1, &["is", "wins", "beats"]) && (word(1) != "is" || is(2, RANKED)) {
        return Some(2);
    }
    if is(0, CHOOSING) && is_letter(1) && (words.len() == 2 || is(2, FOLLOWING)) {
        return Some(2);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_and_qualities_left_alone() {
        for (criterion, found) in [
            ("Response A is better written.", Some("Response A")),
            ("Prefer the image B.", Some("image B")),
            ("The second answer is kinder.", Some("The second answer")),
            ("choose the left image", Some("the left image")),
            ("A is better because it is short", Some("A is")),
            ("Whether it is shorter than B", Some("than B")),
            ("response 1 is shorter", Some("response 1")),
            (
                "The model one should be picked: model two",
                Some("model one"),
            ),
            ("A response that answers two questions.", None),
            ("A better answer is short.", None),
            ("The first sentence of the response is short.", None),
            ("It starts with the first image of the story.", None),
            ("It names vitamin B is healthy.", None),
            ("The answer 2 people would like.", None),
            ("The response should be in B minor.", None),
        ] {
            assert_eq!(names_a_side(criterion).as_deref(), found, "{criterion}");
        }
    }
}
