use std::borrow::Cow;

use super::Unread;

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// `reply` with everything between think tags blanked out, so that byte positions stay as they
/// were.
///
/// Some templates put the opening tag into the prompt, so a closing tag without an opening one
/// ends thinking that began with the reply. The other way round, thinking was cut.
///
/// # Errors
///
/// [`Unread::UnclosedThinking`].
pub(crate) fn without_thinking(reply: &str) -> Result<Cow<'_, str>, Unread> {
    let Some(close) = reply.rfind(CLOSE) else {
        return match reply.find(OPEN) {
            // A reply that merely mentions the tag later has said something before it.
            Some(open) if reply[..open].trim().is_empty() => Err(Unread::UnclosedThinking),
            _ => Ok(Cow::Borrowed(reply)),
        };
    };
    let end = close + CLOSE.len();
    let start = match reply.find(OPEN) {
        Some(open) if open < close => open,
        _ => 0,
    };
    if reply[end..].trim_start().starts_with(OPEN) {
        return Err(Unread::UnclosedThinking);
    }
    let mut kept = String::with_capacity(reply.len());
    kept.push_str(&reply[..start]);
    kept.extend(std::iter::repeat_n(' ', end - start));
    kept.push_str(&reply[end..]);
    Ok(Cow::Owned(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_blanked_and_positions_stay() {
        let cases = [
            ("plain", Ok("plain")),
            ("<think>[[A]]</think>x", Ok("x")),
            ("hm [[A]] </think> x", Ok("x")),
            ("say <think>a</think> mid <think>b</think> x", Ok("say x")),
            ("<think>never ends [[A]]", Err(Unread::UnclosedThinking)),
            ("<think>a</think> <think>b", Err(Unread::UnclosedThinking)),
            (
                "I will not write <think> here",
                Ok("I will not write <think> here"),
            ),
        ];
        for (reply, expected) in cases {
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let read = without_thinking(reply);
            if let Ok(text) = &read {
                assert_eq!(text.len(), reply.len());
            }
            assert_eq!(
                read.map(|text| words(&text)),
                expected.map(str::to_owned),
                "{reply}"
            );
        }
    }
}
