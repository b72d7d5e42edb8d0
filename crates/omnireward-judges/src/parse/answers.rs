use std::ops::Range;

use omnireward_core::Preference;

/// The tokens by which replies name their answer.
///
/// Judges are asked for tokens of different shapes in different experiments; a table of them lets
/// one parser read all.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    name: &'static str,
    /// What may stand inside `[[…]]` or `\boxed{…}`, without spaces and quotes.
    labels: Vec<(&'static str, Preference)>,
    /// Whether a label may be introduced by a noun, as in `Response A` or `Image 1`.
    nouns: bool,
    /// Whole phrases, in lower case.
    phrases: Vec<(&'static str, Preference)>,
}

/// One place in a reply that names an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mention {
    pub(crate) token: Range<usize>,
    pub(crate) preference: Preference,
}

const NOUNS: [&str; 14] = [
    "response",
    "image",
    "video",
    "audio",
    "clip",
    "answer",
    "option",
    "model",
    "object",
    "assistant",
    "output",
    "candidate",
    "sound",
    "choice",
];

impl Answers {
    /// What our own prompts ask for: `[[A]]`, `[[B]]` or `[[C]]` for a tie; or the same in
    /// `\boxed{…}`, as models trained on mathematics write it.
    pub fn letters() -> Self {
        Self {
            name: "letters",
            labels: vec![
                ("a", Preference::First),
                ("b", Preference::Second),
                ("c", Preference::Tie),
            ],
            nouns: true,
            phrases: Vec::new(),
        }
    }

    /// The four answers of GenAI-Bench: `[[A>B]]`, `[[B>A]]`, `[[A=B=Good]]` and `[[A=B=Bad]]`.
    pub fn genai_bench() -> Self {
        Self {
            name: "genai-bench",
            labels: vec![
                ("a>b", Preference::First),
                ("b>a", Preference::Second),
                ("a=b=good", Preference::Tie),
                ("a=b=bad", Preference::Tie),
            ],
            nouns: false,
            phrases: Vec::new(),
        }
    }

    /// The sentences that `LLMBar` asks for: `Output (a) is better` and `Output (b) is better`.
    pub fn llmbar() -> Self {
        Self {
            name: "llmbar",
            labels: Vec::new(),
            nouns: false,
            phrases: vec![
                ("output (a) is better", Preference::First),
                ("output (b) is better", Preference::Second),
            ],
        }
    }

    /// A short name for identities.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Every mention of an answer, in order.
    pub(crate) fn mentions(&self, text: &str) -> Vec<Mention> {
        let mut mentions: Vec<Mention> = bracketed(text)
            .chain(boxed(text))
            .filter_map(|(token, inside)| {
                let preference = self.label(inside)?;
                Some(Mention { token, preference })
            })
            .collect();
        mentions.extend(self.phrase_mentions(text));
        mentions.sort_by_key(|mention| mention.token.start);
        mentions
    }

    fn phrase_mentions(&self, text: &str) -> Vec<Mention> {
        // ASCII lowering keeps byte positions.
        let lower = text.to_ascii_lowercase();
        self.phrases
            .iter()
            .flat_map(|(phrase, preference)| {
                lower.match_indices(phrase).map(|(start, found)| Mention {
                    token: start..start + found.len(),
                    preference: *preference,
                })
            })
            .collect()
    }

    /// The answer that the inside of a token names.
    fn label(&self, inside: &str) -> Option<Preference> {
        let plain = plain_label(inside);
        let direct = self.labels.iter().find(|(label, _)| *label == plain);
        if let Some((_, preference)) = direct {
            return Some(*preference);
        }
        let numbered = NOUNS
            .iter()
            .filter(|_| self.nouns)
            .find_map(|noun| plain.strip_prefix(noun))?;
        match numbered {
            "a" | "1" => Some(Preference::First),
            "b" | "2" => Some(Preference::Second),
            _ => None,
        }
    }
}

impl Default for Answers {
    fn default() -> Self {
        Self::letters()
    }
}

/// Every `[[…]]` in `text`, innermost ones only, with what is inside.
fn bracketed(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let close = from + text[from..].find("]]")?;
            let open = text[from..close].rfind("[[").map(|open| from + open);
            from = close + 2;
            if let Some(open) = open {
                return Some((open..from, &text[open + 2..close]));
            }
        }
    })
}

/// Every `\boxed{…}` in `text`, with what is inside.
fn boxed(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    const OPEN: &str = "\\boxed{";
    text.match_indices(OPEN).filter_map(|(start, _)| {
        let inside = start + OPEN.len();
        let length = balanced(&text[inside..])?;
        let end = inside + length;
        Some((start..end + 1, &text[inside..end]))
    })
}

/// The bytes before the brace that closes what an earlier one opened.
fn balanced(text: &str) -> Option<usize> {
    let mut depth = 1;
    text.bytes().position(|byte| {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

/// `inside` in lower case without spaces, quotes, emphasis, brackets and `\text{…}`.
fn plain_label(inside: &str) -> String {
    without_command(inside.trim())
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '>' | '<' | '='))
        .flat_map(char::to_lowercase)
        .collect()
}

/// `\name{…}` without its name.
fn without_command(text: &str) -> &str {
    match text.strip_prefix('\\') {
        Some(command) => command.trim_start_matches(|c: char| c.is_ascii_alphabetic()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Preference::{First, Second, Tie};

    fn found(answers: &Answers, text: &str) -> Vec<Preference> {
        answers
            .mentions(text)
            .iter()
            .map(|mention| mention.preference)
            .collect()
    }

    #[test]
    fn letters_are_found_in_their_spellings() {
        let cases: [(&str, &[Preference]); 17] = [
            ("[[A]]", &[First]),
            ("[[ b ]]", &[Second]),
            ("**[[C]]**", &[Tie]),
            ("[[Response A]] or [[RESPONSE_B]]", &[First, Second]),
            ("\\boxed{A}", &[First]),
            ("\\boxed{\\text{B}}", &[Second]),
            ("$\\boxed{\\textbf{Response A}}$", &[First]),
            ("\\boxed{Image 2}", &[Second]),
            ("\\boxed{42} and [[1]] and [[Image 3]]", &[]),
            ("[[A", &[]),
            ("[[]] [[A]]", &[First]),
            ("[A] and A", &[]),
            ("]] [[see [[B]]", &[Second]),
            ("\\boxed{\\frac{1}{2}} then \\boxed{A}", &[First]),
            ("\\boxed{A", &[]),
            ("[[A or B]]", &[]),
            ("\\boxed{B} [[A]]", &[Second, First]),
        ];
        for (text, expected) in cases {
            assert_eq!(found(&Answers::letters(), text), expected, "{text}");
        }
    }

    #[test]
    fn other_tables_find_their_own() {
        let genai = Answers::genai_bench();
        assert_eq!(
            found(&genai, "[[A>B]] [[ B > A ]] [[A=B=Good]] [[A=B=Bad]]"),
            [First, Second, Tie, Tie]
        );
        assert_eq!(found(&genai, "[[A]] [[A=B]] [[AB=Good]]"), []);
        let llmbar = Answers::llmbar();
        assert_eq!(
            found(
                &llmbar,
                "So OUTPUT (a) is better. Therefore, Output (b) is better."
            ),
            [First, Second]
        );
    }
}
