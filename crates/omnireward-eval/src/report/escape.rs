use std::{borrow::Cow, fmt::Write as _};

/// Text as HTML or SVG text, or as a double-quoted attribute's value.
///
/// Control characters other than line breaks and tabs are replaced: they are invalid in markup.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(needs_escape) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ if is_invalid(character) => out.push('\u{FFFD}'),
            _ => out.push(character),
        }
    }
    Cow::Owned(out)
}

/// JSON that can stand inside a `script` element: nothing in it can end the element, open a
/// comment, or be taken for a line end by an old script parser.
///
/// The replaced characters occur only inside strings, where the escapes mean the same.
pub(crate) fn json_island(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 64);
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out
}

fn needs_escape(character: char) -> bool {
    matches!(character, '&' | '<' | '>' | '"' | '\'') || is_invalid(character)
}

fn is_invalid(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\r' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        assert_eq!(escape("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
        assert_eq!(escape("nul\0"), "nul\u{FFFD}");
        assert!(matches!(escape("plain\ntext"), Cow::Borrowed(_)));
    }

    #[test]
    fn an_island_cannot_be_left() {
        let hostile = [
            "</script><script>alert(1)</script>",
            "<!--",
            "\u{2028}\u{2029}",
            "&lt;",
        ];
        let json = serde_json::to_string(&hostile).unwrap();
        let island = json_island(&json);
        assert!(
            !island.contains(['<', '>', '&', '\u{2028}', '\u{2029}']),
            "{island}"
        );
        let back: Vec<String> = serde_json::from_str(&island).unwrap();
        assert_eq!(back, hostile);
    }
}
