use std::ops::Range;

use omnireward_core::{Preference, Setting};

use super::{Answers, Reading, Unread, answers::Mention, without_thinking};

/// Reads the final verdict of a reply among the answers that were offered.
///
/// Thinking between think tags is not part of the verdict. The last block of lines that name an
/// answer decides, and all its lines must name the same one. A line that names several, such as a
/// quoted rule, is a block of its own, and so is a run of lines that list them. Blocks before the
/// last may weigh and quote as they like, with one exception: when words follow the last answer on
/// its line, it may be a remark about the other side, and then no earlier block may name another.
/// What is left ambiguous, or was not offered, is not guessed at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StrictParser {
    answers: Answers,
}

impl StrictParser {
    /// A parser for replies that name their answer by the tokens of `answers`.
    pub fn new(answers: Answers) -> Self {
        Self { answers }
    }

    /// The tokens it knows.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Reads `reply`, given the answers that `setting` offers.
    ///
    /// # Errors
    ///
    /// [`Unread`] says why no single offered answer could be read.
    pub fn read(&self, reply: &str, setting: Setting) -> Result<Reading, Unread> {
        let text = without_thinking(reply)?;
        if text.trim().is_empty() {
            return Err(Unread::Empty);
        }
        let mentions = self.answers.mentions(&text);
        let last = mentions.last().ok_or(Unread::NoVerdict)?;
        let token = |mention: &Mention| reply[mention.token.clone()].to_owned();
        if !is_final(&text, &mentions) {
            let other = mentions
                .iter()
                .rfind(|mention| mention.preference != last.preference);
            let tokens = other.into_iter().chain([last]).map(token);
            return Err(Unread::Contradictory(tokens.collect()));
        }
        if last.preference == Preference::Tie && !setting.offers_tie() {
            return Err(Unread::NotOffered(token(last)));
        }
        Ok(Reading {
            preference: last.preference,
            token: last.token.clone(),
        })
    }
}

/// Whether the last of `mentions` stands against all others that count.
fn is_final(text: &str, mentions: &[Mention]) -> bool {
    let lines = Line::all(text, mentions);
    let mut blocks = lines.chunk_by(|line, next| line.leads_to(text, next));
    let (Some(last), Some(end)) = (blocks.next_back(), lines.last()) else {
        return false;
    };
    let Some(verdict) = unanimous(last) else {
        return false;
    };
    let disputed = |block| unanimous(block).is_some_and(|other| other != verdict);
    !(has_words(&text[end.after.clone()]) && blocks.any(disputed))
}

/// The answer that all lines of a block name.
fn unanimous(block: &[Line]) -> Option<Preference> {
    let (first, rest) = block.split_first()?;
    first
        .answer
        .filter(|_| rest.iter().all(|line| line.answer == first.answer))
}

/// A line that names an answer.
struct Line {
    /// The answer, unless it names several.
    answer: Option<Preference>,
    /// The bytes before the first mention.
    before: Range<usize>,
    /// The bytes after the last mention.
    after: Range<usize>,
}

impl Line {
    fn all(text: &str, mentions: &[Mention]) -> Vec<Self> {
        let on_one_line = |one: &Mention, next: &Mention| {
            let between = text.get(one.token.end..next.token.start);
            !between.is_some_and(|between| between.contains('\n'))
        };
        mentions
            .chunk_by(on_one_line)
            .filter_map(|mentions| Self::new(text, mentions))
            .collect()
    }

    fn new(text: &str, mentions: &[Mention]) -> Option<Self> {
        let (first, last) = (mentions.first()?, mentions.last()?);
        let start = text[..first.token.start]
            .rfind('\n')
            .map_or(0, |end| end + 1);
        let end = last.token.end;
        let length = text[end..].find('\n').unwrap_or(text.len() - end);
        let agree = mentions
            .iter()
            .all(|mention| mention.preference == first.preference);
        Some(Self {
            answer: agree.then_some(first.preference),
            before: start..first.token.start,
            after: end..end + length,
        })
    }

    /// Whether `next` belongs to the same block: it is the next line, or the next after blank
    /// lines when this one holds nothing but its answer.
    fn leads_to(&self, text: &str, next: &Self) -> bool {
        let between = text
            .get(self.after.end..next.before.start)
            .unwrap_or_default();
        let adjacent = between.len() <= 1;
        let alone = !has_words(&text[self.before.clone()]) && !has_words(&text[self.after.clone()]);
        let one_each = self.answer.is_some() && next.answer.is_some();
        one_each && (adjacent || (alone && between.trim().is_empty()))
    }
}

fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Preference::{First, Second, Tie};
    use proptest::prelude::*;

    fn read(reply: &str, setting: Setting) -> Result<Preference, Unread> {
        StrictParser::default()
            .read(reply, setting)
            .map(|reading| reading.preference)
    }

    fn contradictory(tokens: [&str; 2]) -> Unread {
        Unread::Contradictory(tokens.map(str::to_owned).to_vec())
    }

    #[test]
    fn the_final_verdict_counts() {
        let cases = [
            ("[[A]]", First),
            ("Some reasons.\n\n**Verdict: [[B]]**", Second),
            (
                "Answer \"[[A]]\" if A is better, \"[[B]]\" if B is.\n\nB is better.\n[[B]]",
                Second,
            ),
            ("Say [[A]] or [[B]].\n[[B]]", Second),
            (
                "1. Better is A: [[A]]\n2. Better is B: [[B]]\n\nHere it is [[A]], since B fails.",
                First,
            ),
            ("At first I leaned to [[A]].\nOn reflection:\n[[B]]", Second),
            ("[[A]] [[A]]", First),
            ("Both [[A]] and [[A]]\n[[A]].", First),
            ("<think>[[B]] or [[A]]</think>\n[[A]]", First),
            ("the template opened it [[B]]</think> [[A]]", First),
            ("结论：回答 A 更好。[[A]]", First),
            ("Мой вывод: [[B]]\n\nСпасибо.", Second),
            ("$\\boxed{Response A}$", First),
            ("\\[ \\boxed{\\text{B}} \\]", Second),
            ("My answer is [[A]] because it is clearer.", First),
            ("[[A]]\n\nI chose so because it fits the criterion.", First),
            ("Equal in all respects. [[C]]", Tie),
        ];
        for (reply, expected) in cases {
            assert_eq!(read(reply, Setting::WithTies), Ok(expected), "{reply}");
        }
    }

    #[test]
    fn what_is_ambiguous_is_not_guessed_at() {
        let cases = [
            ("", Unread::Empty),
            (" \n ", Unread::Empty),
            ("<think>hm</think>", Unread::Empty),
            ("<think>so far [[A]]", Unread::UnclosedThinking),
            ("Response A is better.", Unread::NoVerdict),
            ("[[1]] [[D]]", Unread::NoVerdict),
            ("[[A]] or [[B]]", contradictory(["[[A]]", "[[B]]"])),
            ("[[A]]\n[[B]]", contradictory(["[[A]]", "[[B]]"])),
            ("[[A]]\n\n[[B]]", contradictory(["[[A]]", "[[B]]"])),
            ("[[A]]\nFinal: [[B]]", contradictory(["[[A]]", "[[B]]"])),
            ("[[A]]\n\nFinal: [[B]]", contradictory(["[[A]]", "[[B]]"])),
            (
                "Verdict: [[A]] \\boxed{B}",
                contradictory(["[[A]]", "\\boxed{B}"]),
            ),
            (
                "1. A is better: [[A]]\n2. B is better: [[B]]\n3. Equal: [[C]]",
                contradictory(["[[B]]", "[[C]]"]),
            ),
            (
                "[[A]]\n\nNote that [[B]] would win on style.",
                contradictory(["[[A]]", "[[B]]"]),
            ),
            (
                "[[A]]\nNote that [[B]] would win on style.",
                contradictory(["[[A]]", "[[B]]"]),
            ),
            (
                "\"[[A]]\" if A, \"[[B]]\" if B",
                contradictory(["[[A]]", "[[B]]"]),
            ),
        ];
        for (reply, expected) in cases {
            assert_eq!(read(reply, Setting::WithTies), Err(expected), "{reply}");
        }
    }

    #[test]
    fn a_tie_must_have_been_offered() {
        let reply = "Cannot decide: [[C]]";
        assert_eq!(read(reply, Setting::WithTies), Ok(Tie));
        let unread = read(reply, Setting::WithoutTies).unwrap_err();
        assert_eq!(unread, Unread::NotOffered("[[C]]".to_owned()));
        assert!(
            unread
                .to_string()
                .contains("`[[C]]`, which was not offered")
        );
    }

    /// Text made of the pieces that matter to the parser.
    fn replies() -> impl Strategy<Value = String> {
        let pieces = [
            "[[A]]",
            "[[B]]",
            "[[C]]",
            "\\boxed{A}",
            "\\boxed{B}",
            "\\boxed{Image 1}",
            "\\boxed{Image 2}",
            "\n",
            "\n\n",
            " ",
            "words ",
            "é。",
            "<think>",
            "</think>",
            "[[",
            "]]",
            "}",
        ];
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..12)
            .prop_map(|pieces| pieces.concat())
    }

    /// The reply that says the opposite.
    fn exchanged(reply: &str) -> String {
        let pairs = [
            ("[[A]]", "[[B]]"),
            ("\\boxed{A}", "\\boxed{B}"),
            ("Image 1", "Image 2"),
        ];
        pairs.iter().fold(reply.to_owned(), |text, (one, other)| {
            text.replace(one, "\u{0}")
                .replace(other, one)
                .replace('\u{0}', other)
        })
    }

    proptest! {
        #[test]
        fn swapping_the_letters_swaps_the_verdict(reply in replies()) {
            for setting in Setting::ALL {
                let straight = read(&reply, setting).ok();
                let turned = read(&exchanged(&reply), setting).ok();
                prop_assert_eq!(straight.map(Preference::swapped), turned);
            }
        }

        #[test]
        fn a_reading_points_at_a_token_and_is_offered(reply in "\\PC*|(\\[\\[[ABC]\\]\\]|\\\\boxed\\{[ABC]\\}|\\PC|\n)*") {
            for setting in Setting::ALL {
                if let Ok(reading) = StrictParser::default().read(&reply, setting) {
                    prop_assert!(reply.get(reading.token).is_some());
                    prop_assert!(setting.offers_tie() || reading.preference != Tie);
                }
            }
        }

        #[test]
        fn a_verdict_line_after_prose_is_read(prose in "[a-z \n]{0,80}", second in any::<bool>()) {
            let (token, expected) = if second { ("[[B]]", Second) } else { ("[[A]]", First) };
            let reply = format!("{prose}\nx\n{token}");
            prop_assert_eq!(read(&reply, Setting::WithoutTies), Ok(expected));
        }

        #[test]
        fn parity_is_symmetric_too(reply in replies()) {
            let parity = |text: &str| super::super::ParityParser.read(text).ok().map(|r| r.preference);
            let straight = parity(&reply);
            // `[[A]]` with `\boxed{B}` reads as the bracket in both directions.
            prop_assert_eq!(straight.map(Preference::swapped), parity(&exchanged(&reply)));
        }
    }
}
