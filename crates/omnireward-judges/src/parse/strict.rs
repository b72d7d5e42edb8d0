use omnireward_core::{Preference, Setting};

use super::{Answers, Reading, Unread, answers::Mention, without_thinking};

/// Reads the final verdict of a reply among the answers that were offered.
///
/// Thinking between think tags is not part of the verdict. The last line that names an answer
/// decides, together with the lines right before it that hold nothing but answers. Earlier lines
/// may weigh and quote as they like, with one exception: when words follow the last answer on its
/// line, it may be a remark about the other side, so then every line must agree. Whatever is left
/// ambiguous, or was not offered, is not guessed at.
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
        let other = final_mentions(&text, &mentions)
            .iter()
            .find(|mention| mention.preference != last.preference);
        if let Some(other) = other {
            return Err(Unread::Contradictory(vec![token(other), token(last)]));
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

/// The tail of `mentions` that has to agree.
fn final_mentions<'a>(text: &str, mentions: &'a [Mention]) -> &'a [Mention] {
    let Some((last, earlier)) = mentions.split_last() else {
        return mentions;
    };
    let line_end = text[last.token.end..]
        .find('\n')
        .map_or(text.len(), |end| last.token.end + end);
    if has_words(&text[last.token.end..line_end]) {
        return mentions;
    }
    let mut first = mentions.len() - 1;
    let mut next = last;
    for mention in earlier.iter().rev() {
        let between = text.get(mention.token.end..next.token.start).unwrap_or_default();
        let same_line = !between.contains('\n');
        if !same_line && (has_words(between_lines(between)) || !stands_alone(text, mention)) {
            break;
        }
        first -= 1;
        next = mention;
    }
    &mentions[first..]
}

/// What stands between two answers, without the words that lead up to the second on its own line.
fn between_lines(between: &str) -> &str {
    between.rfind('\n').map_or("", |end| &between[..end])
}

/// Whether nothing but answers and punctuation stands on a mention's line before it.
fn stands_alone(text: &str, mention: &Mention) -> bool {
    let start = text[..mention.token.start].rfind('\n').map_or(0, |end| end + 1);
    !has_words(&text[start..mention.token.start])
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
        StrictParser::default().read(reply, setting).map(|reading| reading.preference)
    }

    fn contradictory(tokens: [&str; 2]) -> Unread {
        Unread::Contradictory(tokens.map(str::to_owned).to_vec())
    }

    #[test]
    fn the_final_verdict_counts() {
        let cases = [
            ("[[A]]", First),
            ("Some reasons.\n\n**Verdict: [[B]]**", Second),
            ("Answer \"[[A]]\" if A is better, \"[[B]]\" if B is.\n\nB is better.\n[[B]]", Second),
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
            ("[[A]]\n\nFinal: [[B]]", contradictory(["[[A]]", "[[B]]"])),
            ("Verdict: [[A]] \\boxed{B}", contradictory(["[[A]]", "\\boxed{B}"])),
            ("[[A]]\nNote that [[B]] would win on style.", contradictory(["[[A]]", "[[B]]"])),
            ("\"[[A]]\" if A, \"[[B]]\" if B", contradictory(["[[A]]", "[[B]]"])),
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
        assert!(unread.to_string().contains("`[[C]]`, which was not offered"));
    }

    /// Text made of the pieces that matter to the parser.
    fn replies() -> impl Strategy<Value = String> {
        let pieces = [
            "[[A]]", "[[B]]", "[[C]]", "\\boxed{A}", "\\boxed{B}", "\\boxed{Image 1}",
            "\\boxed{Image 2}", "\n", "\n\n", " ", "words ", "é。", "<think>", "</think>", "[[", "]]", "}",
        ];
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..12)
            .prop_map(|pieces| pieces.concat())
    }

    /// The reply that says the opposite.
    fn exchanged(reply: &str) -> String {
        let pairs = [("[[A]]", "[[B]]"), ("\\boxed{A}", "\\boxed{B}"), ("Image 1", "Image 2")];
        pairs.iter().fold(reply.to_owned(), |text, (one, other)| {
            text.replace(one, "\u{0}").replace(other, one).replace('\u{0}', other)
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
