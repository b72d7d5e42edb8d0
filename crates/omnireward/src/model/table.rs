//! Text for a terminal of 80 columns.

use crate::printer;

/// Columns that lines may take.
pub(super) const WIDTH: usize = 80;

/// Lines that are printed together.
pub(super) struct Page {
    text: String,
    is_coloured: bool,
}

impl Page {
    pub(super) fn new() -> Self {
        Self {
            text: String::new(),
            is_coloured: printer::may_colour(),
        }
    }

    pub(super) fn print(self) -> anyhow::Result<()> {
        printer::data(&self.text)
    }

    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    pub(super) fn strong(&self, text: &str) -> String {
        self.paint(text, "1")
    }

    pub(super) fn faint(&self, text: &str) -> String {
        self.paint(text, "2")
    }

    pub(super) fn alarming(&self, text: &str) -> String {
        self.paint(text, "1;31")
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.is_coloured {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// Words over as many lines as they need, behind a label that stands in front of the first.
    pub(super) fn entry(&mut self, label: &str, words: &str) {
        const INDENT: usize = 12;
        let mut rest = wrapped(words, WIDTH - INDENT).into_iter();
        let first = rest.next().unwrap_or_default();
        let label = self.faint(&format!("{label:<INDENT$}"));
        self.line(&format!("{label}{first}"));
        for line in rest {
            self.line(&format!("{:INDENT$}{line}", ""));
        }
    }

    /// Words over as many lines as they need, all moved in by `indent`.
    pub(super) fn paragraph(&mut self, indent: usize, words: &str) {
        for line in wrapped(words, WIDTH - indent) {
            self.line(&format!("{:indent$}{line}", ""));
        }
    }
}

/// Words on lines of at most `width` characters, but for words that are longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        let length = line.chars().count();
        if length > 0 && length + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if length > 0 {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// The end of a text that is too long, behind an ellipsis.
pub(super) fn tail(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let end: String = text.chars().skip(length + 1 - width).collect();
    format!("…{end}")
}

/// A number with commas between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the unit that suits them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let unit = UNITS.into_iter().find(|(unit, _)| bytes >= *unit);
    let Some((unit, name)) = unit else {
        return format!("{bytes} B");
    };
    let number = bytes as f64 / unit as f64;
    let decimals = if number < 9.995 {
        2
    } else {
        usize::from(number < 99.95)
    };
    format!("{number:.decimals$} {name}")
}

/// `1 file`, `2 files`.
pub(super) fn counted(count: usize, thing: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {thing}{s}", grouped(count as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (7_172, "7.17 kB"),
            (99_960, "100 kB"),
            (16_846_322_146, "16.8 GB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(grouped(8_423_157_488), "8,423,157,488");
        assert_eq!(grouped(12), "12");
    }

    #[test]
    fn words_are_wrapped_and_long_ones_left_whole() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(
            wrapped("a incomprehensibilities b", 5),
            ["a", "incomprehensibilities", "b"]
        );
        assert_eq!(wrapped("", 5), [""]);
        assert_eq!(tail("abcdef", 4), "…def");
    }
}
