use ::gltf::{Document, buffer::Source};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::super::side::SideFiles;
use crate::{Error, Format};

/// The binary data of a scene.
pub(super) struct Buffers {
    format: &'static str,
    buffers: Vec<Vec<u8>>,
}

impl Buffers {
    pub(super) fn load(
        document: &Document,
        mut blob: Option<Vec<u8>>,
        format: Format,
        side: &mut SideFiles<'_>,
    ) -> Result<Self, Error> {
        let format = format.name();
        let mut buffers = Vec::new();
        for buffer in document.buffers() {
            let number = buffer.index();
            let bytes = match buffer.source() {
                Source::Bin => blob
                    .take()
                    .ok_or_else(|| Error::mesh(format, format!("buffer {number} has no bytes")))?,
                Source::Uri(uri) => match embedded(uri) {
                    Some(bytes) => bytes.map_err(|cause| {
                        Error::mesh(format, format!("buffer {number} is no base64"))
                            .caused_by(cause)
                    })?,
                    None => side.bytes(&decoded_uri(uri))?,
                },
            };
            if bytes.len() < buffer.length() {
                return Err(Error::mesh(
                    format,
                    format!(
                        "buffer {number} is cut short: {} of {} bytes",
                        bytes.len(),
                        buffer.length()
                    ),
                ));
            }
            buffers.push(bytes);
        }
        Ok(Self { format, buffers })
    }

    /// The bytes of a view.
    pub(super) fn view(&self, view: &::gltf::buffer::View<'_>) -> Result<&[u8], Error> {
        let end = view.offset().checked_add(view.length());
        self.buffers
            .get(view.buffer().index())
            .zip(end)
            .and_then(|(buffer, end)| buffer.get(view.offset()..end))
            .ok_or_else(|| {
                let number = view.index();
                Error::mesh(
                    self.format,
                    format!("buffer view {number} reaches beyond its buffer"),
                )
            })
    }
}

/// The bytes of a data URI, or `None` for the name of a file.
pub(super) fn embedded(uri: &str) -> Option<Result<Vec<u8>, base64::DecodeError>> {
    let data = uri.strip_prefix("data:")?;
    let (_, encoded) = data.split_once(";base64,")?;
    Some(STANDARD.decode(encoded))
}

/// A file name with its percent signs resolved; one that is no UTF-8 then stays as it was.
pub(super) fn decoded_uri(uri: &str) -> String {
    let mut bytes = Vec::with_capacity(uri.len());
    let mut rest = uri.as_bytes();
    while let [byte, after @ ..] = rest {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) if *byte == b'%' => {
                bytes.push(value);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| uri.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_percent_decoded() {
        let cases = [
            ("a%20b.bin", "a b.bin"),
            ("%C3%A4.bin", "ä.bin"),
            ("100%.bin", "100%.bin"),
            ("%2e%2e/x", "../x"),
            ("%ff", "%ff"),
            ("", ""),
        ];
        for (uri, name) in cases {
            assert_eq!(decoded_uri(uri), name);
        }
    }

    #[test]
    fn data_uris_are_told_from_names() {
        assert_eq!(
            embedded("data:application/octet-stream;base64,AAEC"),
            Some(Ok(vec![0, 1, 2]))
        );
        assert!(embedded("data:;base64,!").unwrap().is_err());
        assert!(embedded("data.bin").is_none());
    }
}
