use std::fmt;

use omnireward_core::Modality;

use crate::Error;

/// A media format that this crate knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// JPEG.
    Jpeg,
    /// PNG, animated or not.
    Png,
    /// GIF, animated or not.
    Gif,
    /// WebP, animated or not.
    WebP,
    /// Windows bitmap.
    Bmp,
    /// MPEG-4 or `QuickTime` container.
    Mp4,
    /// WebM or Matroska container.
    WebM,
    /// RIFF/AVI container.
    Avi,
    /// RIFF/WAVE.
    Wav,
    /// MPEG audio, layer III.
    Mp3,
    /// FLAC.
    Flac,
    /// Ogg container.
    Ogg,
    /// MPEG-4 container whose brand says that it holds only sound.
    M4a,
    /// Wavefront OBJ.
    Obj,
    /// Stanford PLY.
    Ply,
    /// Stereolithography, ascii or binary.
    Stl,
    /// glTF as JSON.
    Gltf,
    /// glTF as one binary file.
    Glb,
    /// Object File Format.
    Off,
}

impl Format {
    /// The name people use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Mp4 => "MP4",
            Self::WebM => "WebM",
            Self::Avi => "AVI",
            Self::Wav => "WAV",
            Self::Mp3 => "MP3",
            Self::Flac => "FLAC",
            Self::Ogg => "OGG",
            Self::M4a => "M4A",
            Self::Obj => "OBJ",
            Self::Ply => "PLY",
            Self::Stl => "STL",
            Self::Gltf => "glTF",
            Self::Glb => "GLB",
            Self::Off => "OFF",
        }
    }

    /// The media type, such as `image/jpeg`.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
            Self::Bmp => "image/bmp",
            Self::Mp4 => "video/mp4",
            Self::WebM => "video/webm",
            Self::Avi => "video/x-msvideo",
            Self::Wav => "audio/wav",
            Self::Mp3 => "audio/mpeg",
            Self::Flac => "audio/flac",
            Self::Ogg => "audio/ogg",
            Self::M4a => "audio/mp4",
            Self::Obj => "model/obj",
            Self::Ply => "model/ply",
            Self::Stl => "model/stl",
            Self::Gltf => "model/gltf+json",
            Self::Glb => "model/gltf-binary",
            Self::Off => "model/off",
        }
    }

    /// What the format usually holds. A GIF, PNG or WebP counts as an image, although
    /// [`Video`](crate::video::Video) reads its animation too.
    pub const fn modality(self) -> Modality {
        match self {
            Self::Jpeg | Self::Png | Self::Gif | Self::WebP | Self::Bmp => Modality::Image,
            Self::Mp4 | Self::WebM | Self::Avi => Modality::Video,
            Self::Wav | Self::Mp3 | Self::Flac | Self::Ogg | Self::M4a => Modality::Audio,
            Self::Obj | Self::Ply | Self::Stl | Self::Gltf | Self::Glb | Self::Off => {
                Modality::Mesh
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Recognises a format by its bytes; the name of the file plays no part.
///
/// Formats with a signature are told by it. OBJ has none and is taken from its first statement,
/// binary STL from its length.
pub fn sniff(bytes: &[u8]) -> Option<Format> {
    by_signature(bytes).or_else(|| by_content(bytes))
}

/// As [`sniff`], with an error that shows how the bytes begin.
pub(crate) fn sniff_or_error(bytes: &[u8]) -> Result<Format, Error> {
    sniff(bytes).ok_or_else(|| Error::UnknownFormat {
        beginning: bytes
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(" "),
    })
}

fn by_signature(bytes: &[u8]) -> Option<Format> {
    let format = match bytes {
        [0xFF, 0xD8, 0xFF, ..] => Format::Jpeg,
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Format::Png,
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Format::Gif,
        [b'R', b'I', b'F', b'F', _, _, _, _, kind @ ..] => match kind {
            [b'W', b'E', b'B', b'P', ..] => Format::WebP,
            [b'W', b'A', b'V', b'E', ..] => Format::Wav,
            [b'A', b'V', b'I', b' ', ..] => Format::Avi,
            _ => return None,
        },
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand {
            [b'M', b'4', b'A' | b'B', ..] => Format::M4a,
            _ => Format::Mp4,
        },
        [_, _, _, _, b'm', b'o', b'o', b'v', ..] => Format::Mp4,
        [0x1A, 0x45, 0xDF, 0xA3, ..] => Format::WebM,
        [b'f', b'L', b'a', b'C', ..] => Format::Flac,
        [b'O', b'g', b'g', b'S', ..] => Format::Ogg,
        [b'I', b'D', b'3', ..] => Format::Mp3,
        [0xFF, second, third, ..] if is_mp3_header(*second, *third) => Format::Mp3,
        [b'g', b'l', b'T', b'F', ..] => Format::Glb,
        [b'p', b'l', b'y', b'\n' | b'\r', ..] => Format::Ply,
        [b'B', b'M', ..] if is_bitmap_header(bytes) => Format::Bmp,
        _ => return None,
    };
    Some(format)
}

/// Whether the second and third byte of an MPEG audio frame say layer III with a bit rate and a
/// sampling rate that exist.
fn is_mp3_header(second: u8, third: u8) -> bool {
    let version_exists = second & 0b0001_1000 != 0b0000_1000;
    let is_layer_3 = second & 0b1110_0110 == 0b1110_0010;
    let rates_exist = third >> 4 != 0b1111 && third & 0b0000_1100 != 0b0000_1100;
    is_layer_3 && version_exists && rates_exist
}

/// `BM` alone is too little: the size of the second header must be one that exists.
fn is_bitmap_header(bytes: &[u8]) -> bool {
    bytes
        .get(14..18)
        .is_some_and(|size| matches!(size, [12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
}

fn by_content(bytes: &[u8]) -> Option<Format> {
    if is_binary_stl(bytes) {
        return Some(Format::Stl);
    }
    let beginning = &bytes[..bytes.len().min(64 << 10)];
    let text = String::from_utf8_lossy(beginning);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('{') && text.contains("\"asset\"") {
        return Some(Format::Gltf);
    }
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let keyword = first.split_whitespace().next()?;
    match keyword {
        "solid" => Some(Format::Stl),
        "COFF" | "NOFF" | "STOFF" => Some(Format::Off),
        "v" | "vn" | "vt" | "f" | "o" | "g" | "s" | "l" | "mtllib" | "usemtl" => Some(Format::Obj),
        // Some writers put no space between the keyword and the first count.
        _ => keyword
            .strip_prefix("OFF")
            .filter(|count| count.bytes().all(|byte| byte.is_ascii_digit()))
            .map(|_| Format::Off),
    }
}

/// A binary STL is an 80-byte comment, a count, and 50 bytes for each triangle. Some writers begin
/// the comment with `solid`, so the length is asked first.
fn is_binary_stl(bytes: &[u8]) -> bool {
    bytes.get(80..84).is_some_and(|count| {
        let count = u32::from_le_bytes(count.try_into().expect("the range has four bytes"));
        bytes.len() as u64 == 84 + 50 * u64::from(count)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_told_apart() {
        let table: [(&[u8], Option<Format>); 16] = [
            (b"\xFF\xD8\xFF\xE0", Some(Format::Jpeg)),
            (b"\x89PNG\r\n\x1A\n", Some(Format::Png)),
            (b"GIF89a", Some(Format::Gif)),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some(Format::WebP)),
            (b"RIFF\0\0\0\0WAVEfmt ", Some(Format::Wav)),
            (b"RIFF\0\0\0\0AVI LIST", Some(Format::Avi)),
            (b"RIFF\0\0\0\0CDDA", None),
            (b"\0\0\0\x20ftypisom", Some(Format::Mp4)),
            (b"\0\0\0\x20ftypM4A ", Some(Format::M4a)),
            (b"\xFF\xFB\x90\x00", Some(Format::Mp3)),
            (b"# made by hand\no cube\nv 0 0 0\n", Some(Format::Obj)),
            (b"solid cube\nfacet", Some(Format::Stl)),
            (b"OFF\n8 12 0\n", Some(Format::Off)),
            (b"{\"asset\": {\"version\": \"2.0\"}}", Some(Format::Gltf)),
            (b"BMW is a maker of cars, not a bitmap", None),
            (b"", None),
        ];
        for (bytes, expected) in table {
            assert_eq!(sniff(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn real_files_are_recognised() {
        let Some(folder) = omnireward_testkit::real_data("media_facts.jsonl") else {
            return;
        };
        let facts = std::fs::read_to_string(&folder).unwrap();
        let mut seen = 0;
        for line in facts.lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let path = row["path"].as_str().unwrap();
            let extension = path.rsplit('.').next().unwrap().to_lowercase();
            let expected = match &*extension {
                "jpg" | "jpeg" => Format::Jpeg,
                "png" => Format::Png,
                "gif" => Format::Gif,
                "webp" => Format::WebP,
                "mp4" => Format::Mp4,
                "webm" => Format::WebM,
                "avi" => Format::Avi,
                "wav" => Format::Wav,
                "mp3" => Format::Mp3,
                "flac" => Format::Flac,
                "ogg" => Format::Ogg,
                "obj" => Format::Obj,
                "ply" => Format::Ply,
                "stl" => Format::Stl,
                "gltf" => Format::Gltf,
                "glb" => Format::Glb,
                "off" => Format::Off,
                other => panic!("{path} has the unknown extension {other}"),
            };
            let bytes = std::fs::read(folder.with_file_name(path)).unwrap();
            // An OBJ file of comments alone is recognised by nothing, and rightly so.
            if path != "mesh/files/obj_empty.obj" {
                assert_eq!(sniff(&bytes), Some(expected), "{path}");
                seen += 1;
            }
        }
        assert!(seen > 100, "{seen}");
    }
}
