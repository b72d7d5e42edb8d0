//! Files that are one JSON array, read element by element.
//!
//! The file is cut into elements by following brackets and strings, so that neither the file nor
//! the array is ever in memory as a whole, and an element that is no JSON, too long or of the wrong
//! shape does not spoil the next one. Only where the array itself is broken, so that nobody can
//! tell where the next element starts, does the rest of the file get lost.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    Error, RowError,
    error::Fault,
    json_lines::{RECORD_LIMIT, append_within},
};

/// An element of the array and where it stands.
pub(crate) struct Element {
    /// Its position, from 0.
    pub(crate) index: u64,
    /// The line it starts on, from 1.
    pub(crate) line: u64,
    /// What it holds.
    pub(crate) value: Value,
}

/// Names the element's index beside the field, since a line says little in a file without breaks.
pub(crate) fn in_element(mut fault: Fault, index: u64) -> Fault {
    fault.field = Some(match fault.field {
        Some(field) => format!("[{index}].{field}"),
        None => format!("[{index}]"),
    });
    fault
}

/// The elements of the array in a file. Ends after the first error that is not an element's.
pub(crate) fn elements(
    file: &Path,
) -> Result<impl Iterator<Item = Result<Element, Error>> + Send + use<>, Error> {
    Elements::open(file)
}

/// The number of elements, found by a scan that parses nothing.
pub(crate) fn count(file: &Path) -> Result<u64, Error> {
    let mut elements = Elements::open(file)?;
    let mut text = Vec::new();
    while elements.next_text(&mut text)?.is_some() {}
    Ok(elements.index)
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Start,
    Inside,
    Done,
}

struct Elements {
    file: PathBuf,
    bytes: Bytes,
    state: State,
    index: u64,
    limit: usize,
}

impl Iterator for Elements {
    type Item = Result<Element, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Done {
            return None;
        }
        let mut text = Vec::new();
        let element = self
            .next_text(&mut text)
            .and_then(|line| line.map(|line| self.parsed(&text, line)).transpose());
        if element.as_ref().is_err_and(|error| !error.is_row()) {
            self.state = State::Done;
        }
        element.transpose()
    }
}

impl Elements {
    fn open(file: &Path) -> Result<Self, Error> {
        let opened = File::open(file).map_err(Error::reading(file))?;
        Ok(Self {
            file: file.to_owned(),
            bytes: Bytes {
                reader: BufReader::with_capacity(64 << 10, opened),
                line: 1,
            },
            state: State::Start,
            index: 0,
            limit: RECORD_LIMIT,
        })
    }

    /// The element whose text was cut out last.
    fn parsed(&self, text: &[u8], line: u64) -> Result<Element, Error> {
        let index = self.index - 1;
        let fault = |error: RowError| in_element(error.into(), index).at(&self.file, line);
        if text.len() > self.limit {
            return Err(fault(RowError::TooLong { limit: self.limit }));
        }
        let mut parser = serde_json::Deserializer::from_slice(text);
        let value =
            Value::deserialize(&mut parser).map_err(|error| fault(RowError::Json(error)))?;
        // Two values without a comma between them: how many elements there are is anybody's guess.
        parser
            .end()
            .map_err(|error| self.broken(line + error.line() as u64 - 1, &unplaced(&error)))?;
        Ok(Element { index, line, value })
    }

    /// Puts the text of the next element in `text`, of one that is too long only enough to show it,
    /// and returns the line it starts on; `None` at the end of the array.
    fn next_text(&mut self, text: &mut Vec<u8>) -> Result<Option<u64>, Error> {
        text.clear();
        if self.state == State::Start {
            self.enter()?;
            self.state = State::Inside;
            if self.peek()? == Some(b']') {
                return self.leave();
            }
        } else {
            match self.peek()? {
                Some(b',') => self.bytes.skip(b','),
                Some(b']') => return self.leave(),
                _ => {
                    return Err(
                        self.broken(self.bytes.line, "expected `,` or `]` after an element")
                    );
                }
            }
        }
        self.peek()?;
        let line = self.bytes.line;
        let whole = self
            .bytes
            .value(text, self.limit)
            .map_err(Error::reading(&self.file))?;
        if !whole {
            return Err(self.broken(line, "the file ends inside an element"));
        }
        if text.is_empty() {
            return Err(self.broken(line, "expected an element"));
        }
        self.index += 1;
        Ok(Some(line))
    }

    fn enter(&mut self) -> Result<(), Error> {
        self.bytes.skip_mark().map_err(Error::reading(&self.file))?;
        match self.peek()? {
            Some(b'[') => {
                self.bytes.skip(b'[');
                Ok(())
            }
            Some(_) => Err(self.broken(self.bytes.line, "expected a list at the top level")),
            None => Err(self.broken(self.bytes.line, "the file is empty")),
        }
    }

    fn leave(&mut self) -> Result<Option<u64>, Error> {
        self.bytes.skip(b']');
        self.state = State::Done;
        match self.peek()? {
            None => Ok(None),
            Some(_) => Err(self.broken(self.bytes.line, "something follows the end of the list")),
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, Error> {
        self.bytes.peek_solid().map_err(Error::reading(&self.file))
    }

    fn broken(&self, line: u64, reason: &str) -> Error {
        Error::Json {
            file: self.file.clone(),
            line,
            reason: reason.to_owned(),
        }
    }
}

/// The message of a JSON error without its position, which counts from the element.
fn unplaced(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rfind(" at line ") {
        Some(end) => message[..end].to_owned(),
        None => message,
    }
}

struct Bytes {
    reader: BufReader<File>,
    line: u64,
}

impl Bytes {
    /// The next byte that is not white space, left in place.
    fn peek_solid(&mut self) -> std::io::Result<Option<u8>> {
        loop {
            let buffer = self.reader.fill_buf()?;
            let Some(&byte) = buffer.first() else {
                return Ok(None);
            };
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.skip(byte);
        }
    }

    /// Passes over the byte that was just looked at.
    fn skip(&mut self, byte: u8) {
        self.line += u64::from(byte == b'\n');
        self.reader.consume(1);
    }

    fn skip_mark(&mut self) -> std::io::Result<()> {
        if self.reader.fill_buf()?.starts_with(b"\xEF\xBB\xBF") {
            self.reader.consume(3);
        }
        Ok(())
    }

    /// Appends the bytes up to the `,` or `]` that ends an element; `false` when the file ends
    /// first.
    fn value(&mut self, text: &mut Vec<u8>, limit: usize) -> std::io::Result<bool> {
        let mut scan = Scan::default();
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(false);
            }
            let end = buffer.iter().position(|&byte| scan.ends_before(byte));
            let taken = end.unwrap_or(buffer.len());
            append_within(text, &buffer[..taken], limit);
            let is_break = |byte: &&u8| **byte == b'\n';
            self.line += buffer[..taken].iter().filter(is_break).count() as u64;
            self.reader.consume(taken);
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

/// Follows brackets and strings through an element.
#[derive(Default)]
struct Scan {
    depth: u64,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Whether the element ended just before `byte`.
    fn ends_before(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b',' | b']' | b'}' if self.depth == 0 => return true,
            b'"' => self.in_string = true,
            b'[' | b'{' => self.depth += 1,
            b']' | b'}' => self.depth -= 1,
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn file_of(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn elements_carry_index_and_line() {
        let file =
            file_of("\u{feff} [1,\n\n {\"a\": [\"]\", \"\\\"}\"],\n\"b\": {}} , null\n,\"x\" ] \n");
        let found: Vec<_> = elements(file.path())
            .unwrap()
            .map(Result::unwrap)
            .map(|element| (element.index, element.line, element.value))
            .collect();
        let object = json!({"a": ["]", "\"}"], "b": {}});
        let expected = [
            (0, 1, json!(1)),
            (1, 3, object),
            (2, 4, json!(null)),
            (3, 5, json!("x")),
        ];
        assert_eq!(found, expected);
        assert_eq!(count(file.path()).unwrap(), 4);
    }

    #[test]
    fn an_element_that_is_no_json_is_lost_alone() {
        let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
        for bad in ["tru", "{\"a\": NaN}", "\"\\ud800\"", "{\"a\" 1}", &deep] {
            let file = file_of(&format!("[1,\n\n{bad}, 2]"));
            let found: Vec<_> = elements(file.path()).unwrap().collect();
            let [Ok(one), Err(Error::Row { line: 3, field, .. }), Ok(two)] = &found[..] else {
                panic!("{bad}: {}", found.len());
            };
            assert_eq!(field.as_deref(), Some("[1]"));
            assert_eq!(
                (&one.value, &two.value, two.index),
                (&json!(1), &json!(2), 2)
            );
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"[\"\xff\", 2]").unwrap();
        let found: Vec<_> = elements(file.path()).unwrap().collect();
        assert!(found[0].as_ref().is_err_and(Error::is_row) && found[1].is_ok());
    }

    #[test]
    fn an_element_that_is_too_long_is_lost_alone() {
        let file = file_of(&format!("[1, \"{}\", 2]", "x".repeat(200_000)));
        let mut elements = Elements::open(file.path()).unwrap();
        elements.limit = 10;
        let found: Vec<_> = elements.collect();
        assert!(found.len() == 3 && found[2].is_ok());
        assert!(matches!(
            found[1],
            Err(Error::Row {
                source: RowError::TooLong { limit: 10 },
                ..
            })
        ));
    }

    #[test]
    fn nothing_follows_a_broken_array() {
        for text in ["[1, 2 3, 4]", "[1, {} {}, 4]", "[1, 2}, 3]", "[1, 2"] {
            let file = file_of(text);
            let found: Vec<_> = elements(file.path()).unwrap().collect();
            let last = found.last().unwrap();
            assert!(last.as_ref().is_err_and(|error| !error.is_row()), "{text}");
            let errors = found.iter().filter(|element| element.is_err()).count();
            assert_eq!(errors, 1, "{text}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\[\\]{},\"\\\\]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|fields| fields.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_array_is_cut_where_a_parser_would(
            values in prop::collection::vec(any_json(), 0..6),
            pretty in any::<bool>(),
        ) {
            let array = Value::from(values.clone());
            let text = if pretty { format!("{array:#}") } else { array.to_string() };
            let file = file_of(&text);
            let found: Vec<_> =
                elements(file.path()).unwrap().map(|element| element.unwrap().value).collect();
            prop_assert_eq!(found, values);
        }

        #[test]
        fn any_bytes_end_in_an_error_or_an_end(text in any::<String>()) {
            let file = file_of(&format!("[{text}"));
            let errors: Vec<_> = elements(file.path()).unwrap().filter_map(Result::err).collect();
            prop_assert!(errors.iter().rev().skip(1).all(Error::is_row));
            let whole: Result<Vec<Value>, _> = serde_json::from_str(&format!("[{text}"));
            prop_assert_eq!(errors.is_empty(), whole.is_ok());
        }
    }
}
