//! Checks of words.

use omnireward_core::{Modality, Preference, PreferencePair, joined_text};

use super::{
    Code,
    row::{Findings, normal, response_field},
};

/// Beginnings of tokens that chat templates put around turns.
const TEMPLATE_TOKENS: &[&str] = &[
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|assistant|>",
    "<|user|>",
    "<|system|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|end|>",
    "### Assistant:",
    "### Human:",
];

const PLACEHOLDERS: &[(&str, Modality)] = &[
    ("<image>", Modality::Image),
    ("<video>", Modality::Video),
    ("<audio>", Modality::Audio),
];

/// What UTF-8 looks like when it was read as Windows-1252.
const MOJIBAKE: &[&str] = &[
    "â€™",
    "â€œ",
    "â€\u{9d}",
    "â€“",
    "â€¦",
    "Ã©",
    "Ã¨",
    "Ã¼",
    "Ã¶",
    "Ã¤",
    "Ã±",
    "Â°",
    "ï»¿",
];

/// Words that cannot be the last of a sentence.
const UNFINISHED: &[&str] = &[
    "the", "a", "an", "and", "or", "but", "of", "to", "in", "with", "for", "from", "because",
    "which", "is", "are", "was", "were", "will", "can", "should", "that", "if", "as", "by", "than",
];

const REFUSALS: &[&str] = &[
    "i'm sorry, but i can",
    "i am sorry, but i can",
    "i’m sorry, but i can",
    "i'm sorry, i can",
    "sorry, but i can't",
    "i cannot assist",
    "i can't assist",
    "i can’t assist",
    "i cannot help with",
    "i can't help with",
    "i can’t help with",
    "as an ai language model, i can",
    "i'm unable to help",
    "i am unable to help",
    "i won't be able to help",
];

/// A shorter text says nothing about how it ends.
const LEAST_FOR_AN_END: usize = 60;

pub(super) fn check(findings: &mut Findings<'_>) {
    let pair = findings.pair;
    let mut texts = vec![("prompt".to_owned(), joined_text(&pair.prompt))];
    texts.extend(
        pair.criterion
            .iter()
            .map(|c| ("criterion".to_owned(), c.to_string())),
    );
    let responses = pair.responses.iter().enumerate();
    texts.extend(responses.map(|(index, r)| (response_field(index), joined_text(&r.parts))));
    for (field, text) in &texts {
        whatever_the_field(findings, field, text);
        if field.starts_with("responses") {
            response(findings, field, text);
        }
    }
    refusal(findings, pair);
}

fn whatever_the_field(findings: &mut Findings<'_>, field: &str, text: &str) {
    if let Some(token) = TEMPLATE_TOKENS.iter().find(|token| text.contains(**token)) {
        findings.add(Code::TemplateToken, field, format!("it holds `{token}`"));
    }
    if let Some((placeholder, modality)) = unbound_placeholder(findings.pair, text) {
        let reason = format!("it says `{placeholder}`, and the pair has no such {modality}");
        findings.add(Code::MediaPlaceholder, field, reason);
    }
    if text.contains('\u{FFFD}') {
        findings.add(
            Code::EncodingDamage,
            field,
            "it holds a replacement character",
        );
    } else if let Some(sign) = MOJIBAKE.iter().find(|sign| text.contains(**sign)) {
        let reason = format!("it holds `{sign}`, which is text read in a wrong encoding");
        findings.add(Code::EncodingDamage, field, reason);
    }
    if let Some(control) = text.chars().find(|c| is_stray(*c)) {
        let reason = format!("it holds the control character U+{:04X}", control as u32);
        findings.add(Code::ControlCharacter, field, reason);
    }
}

/// A control character that is no line break or tab.
pub(super) fn is_stray(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\r' | '\t')
}

fn unbound_placeholder(pair: &PreferencePair, text: &str) -> Option<(&'static str, Modality)> {
    let mut all = pair
        .prompt
        .iter()
        .chain(pair.responses.iter().flat_map(|r| &r.parts));
    let found = PLACEHOLDERS
        .iter()
        .find(|(placeholder, _)| text.contains(placeholder))?;
    // Words of a set without media may well be about such a tag.
    let has_media = all.clone().any(|part| part.as_media().is_some());
    let has_it = all.any(|part| {
        part.as_media()
            .is_some_and(|media| media.modality == found.1)
    });
    (has_media && !has_it).then_some(*found)
}

fn response(findings: &mut Findings<'_>, field: &str, text: &str) {
    if let Some(reason) = cut_off(text) {
        findings.add(Code::TruncatedResponse, field, reason);
    }
    if let Some(phrase) = repeated(text) {
        let reason = format!("most of it repeats `{phrase}`");
        findings.add(Code::RepetitiveResponse, field, reason);
    }
}

/// Why a text seems to end before it is over.
fn cut_off(text: &str) -> Option<String> {
    let text = text.trim_end();
    if text.chars().count() < LEAST_FOR_AN_END {
        return None;
    }
    let fences = text
        .lines()
        .filter(|line| line.trim_start().starts_with("```"))
        .count();
    if fences % 2 == 1 {
        return Some("its last code block is not closed".to_owned());
    }
    if text.ends_with([',', '(', '[', '{']) {
        let last = text.chars().next_back()?;
        return Some(format!("it ends with `{last}`"));
    }
    let last = text.rsplit(char::is_whitespace).next()?;
    let is_unfinished = UNFINISHED.contains(&last);
    // A title or a line of verse may end so; running text that ends so has more words on the line.
    let line = text.lines().next_back()?;
    (is_unfinished && line.split_whitespace().count() >= 5)
        .then(|| format!("it ends with the word `{last}`"))
}

/// The four words that make up most of a text, again and again.
fn repeated(text: &str) -> Option<String> {
    const WORDS: usize = 4;
    const TIMES: usize = 8;
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() < WORDS * TIMES {
        return None;
    }
    let mut counts = std::collections::BTreeMap::new();
    for phrase in words.windows(WORDS) {
        *counts.entry(phrase).or_insert(0_usize) += 1;
    }
    let (phrase, times) = counts.into_iter().max_by_key(|(_, times)| *times)?;
    // A loop of fewer words than four counts each of its turns more than once.
    let share = times as f64 * WORDS.min(distinct(phrase)) as f64 / words.len() as f64;
    (times >= TIMES && share > 0.5).then(|| phrase.join(" "))
}

fn distinct(words: &[&str]) -> usize {
    words
        .iter()
        .collect::<std::collections::BTreeSet<_>>()
        .len()
}

fn refusal(findings: &mut Findings<'_>, pair: &PreferencePair) {
    let preferred = match pair.label {
        Some(Preference::First) => 0,
        Some(Preference::Second) => 1,
        _ => return,
    };
    if pair.criterion.is_some() || pair.responses.len() != 2 {
        return;
    }
    let declines = |index: usize| {
        let text = joined_text(&pair.responses[index].parts)
            .trim_start()
            .to_lowercase();
        REFUSALS.iter().any(|refusal| text.starts_with(refusal))
    };
    if declines(preferred) && !declines(1 - preferred) {
        let reason = "the preferred response declines, and the other answers";
        findings.add(Code::RefusalPreferred, response_field(preferred), reason);
    }
}

/// The language of a text that is long enough to tell; its code of three letters.
pub(super) fn language(text: &str) -> Option<&'static str> {
    let text = normal(text);
    let found = whatlang::detect(&text)?;
    let least = if found.script() == whatlang::Script::Latin {
        120
    } else {
        20
    };
    let is_sure = found.is_reliable() && found.confidence() > 0.9 && text.chars().count() >= least;
    is_sure.then(|| found.lang().code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_stop_in_the_middle_are_told_from_those_that_end() {
        let long = "This is a sentence that is long enough to say something about its end";
        for (end, cut) in [
            (".", false),
            ("", false),
            (", and it goes on to say that the", true),
            (",", true),
            ("\n```python\nprint(1)", true),
            ("\n```python\nprint(1)\n```", false),
            (" (see below", false),
            (" (", true),
            (":\n- one\n- two", false),
        ] {
            assert_eq!(cut_off(&format!("{long}{end}")).is_some(), cut, "{end}");
        }
        assert_eq!(cut_off("Yes, and the"), None);
    }

    #[test]
    fn loops_are_found() {
        assert!(repeated(&"I like it very much. ".repeat(30)).is_some());
        assert!(repeated(&"no no no no ".repeat(30)).is_some());
        let words: Vec<String> = (0..200).map(|n| format!("word{n}")).collect();
        assert_eq!(repeated(&words.join(" ")), None);
    }

    #[test]
    fn languages_are_named_only_when_sure() {
        let english = "The quick brown fox jumps over the lazy dog while nobody is looking, and \
                       everybody agrees afterwards that this was a remarkable thing for it to do.";
        assert_eq!(language(english), Some("eng"));
        assert_eq!(
            language("Это предложение написано по-русски, и его легко узнать."),
            Some("rus")
        );
        assert_eq!(language("Hm."), None);
    }
}
