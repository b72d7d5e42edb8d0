use super::{
    super::text::{Line, shortened},
    FORMAT,
};
use crate::Error;

/// What a PLY file says of itself before its data.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) encoding: Encoding,
    pub(super) elements: Vec<Element>,
    pub(super) texture_file: Option<String>,
    pub(super) body_start: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Ascii,
    LittleEndian,
    BigEndian,
}

/// A table of rows that are alike.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) count: u64,
    pub(super) properties: Vec<Property>,
}

#[derive(Debug)]
pub(super) struct Property {
    name: String,
    /// Of the value, or of each value of a list.
    pub(super) scalar: Scalar,
    /// Of the length, when the property is a list.
    pub(super) length: Option<Scalar>,
}

/// The number types of PLY, under both their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut encoding = None;
        let mut elements: Vec<Element> = Vec::new();
        let mut texture_file = None;
        let mut start = 0;
        for number in 1.. {
            let rest = &bytes[start..];
            let length = rest
                .iter()
                .position(|&byte| byte == b'\n')
                .ok_or_else(|| Error::mesh(FORMAT, "it is cut short: `end_header` is missing"))?;
            start += length + 1;
            let text = String::from_utf8_lossy(&rest[..length]);
            let mut line = Line::new(FORMAT, number, &text);
            match line.word().unwrap_or_default() {
                "format" => encoding = Some(Encoding::parse(&mut line)?),
                "comment" => texture_file = texture_file.or_else(|| texture_comment(&text)),
                "element" => elements.push(Element::parse(&mut line)?),
                "property" => {
                    let property = Property::parse(&mut line)?;
                    elements
                        .last_mut()
                        .ok_or_else(|| line.error("a property before any element"))?
                        .properties
                        .push(property);
                }
                "end_header" => break,
                "ply" | "obj_info" | "" => {}
                other => {
                    let other = shortened(other);
                    return Err(line.error(format!("`{other}` is no header statement")));
                }
            }
        }
        Ok(Self {
            encoding: encoding
                .ok_or_else(|| Error::mesh(FORMAT, "the header lacks a `format` statement"))?,
            elements,
            texture_file,
            body_start: start,
        })
    }

    /// How many rows the elements of a name claim.
    pub(super) fn count(&self, name: &str) -> u64 {
        self.elements
            .iter()
            .filter(|element| element.name == name)
            .fold(0, |sum, element| sum.saturating_add(element.count))
    }
}

/// `comment TextureFile name`, as `MeshLab` writes it.
fn texture_comment(line: &str) -> Option<String> {
    let name = line
        .trim()
        .strip_prefix("comment")?
        .trim_start()
        .strip_prefix("TextureFile")?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

impl Encoding {
    fn parse(line: &mut Line<'_>) -> Result<Self, Error> {
        match line.word().unwrap_or_default() {
            "ascii" => Ok(Self::Ascii),
            "binary_little_endian" => Ok(Self::LittleEndian),
            "binary_big_endian" => Ok(Self::BigEndian),
            other => Err(line.error(format!("`{}` is no format", shortened(other)))),
        }
    }
}

impl Element {
    fn parse(line: &mut Line<'_>) -> Result<Self, Error> {
        Ok(Self {
            name: line.word().unwrap_or_default().to_owned(),
            count: line.number("a count")?,
            properties: Vec::new(),
        })
    }

    /// The position of the first scalar property with one of these names.
    pub(super) fn scalar(&self, names: &[&str]) -> Option<usize> {
        self.position(names, false)
    }

    /// The position of the first list property with one of these names.
    pub(super) fn list(&self, names: &[&str]) -> Option<usize> {
        self.position(names, true)
    }

    fn position(&self, names: &[&str], is_list: bool) -> Option<usize> {
        self.properties.iter().position(|property| {
            property.length.is_some() == is_list && names.contains(&property.name.as_str())
        })
    }
}

impl Property {
    fn parse(line: &mut Line<'_>) -> Result<Self, Error> {
        let first = line.word().unwrap_or_default();
        let (length, scalar) = if first == "list" {
            (Some(Scalar::parse(line)?), Scalar::parse(line)?)
        } else {
            (None, Scalar::named(first, line)?)
        };
        Ok(Self {
            name: line.word().unwrap_or_default().to_owned(),
            scalar,
            length,
        })
    }
}

impl Scalar {
    fn parse(line: &mut Line<'_>) -> Result<Self, Error> {
        let name = line.word().unwrap_or_default();
        Self::named(name, line)
    }

    fn named(name: &str, line: &Line<'_>) -> Result<Self, Error> {
        Ok(match name {
            "char" | "int8" => Self::I8,
            "uchar" | "uint8" => Self::U8,
            "short" | "int16" => Self::I16,
            "ushort" | "uint16" => Self::U16,
            "int" | "int32" => Self::I32,
            "uint" | "uint32" => Self::U32,
            "float" | "float32" => Self::F32,
            "double" | "float64" => Self::F64,
            other => return Err(line.error(format!("`{}` is no number type", shortened(other)))),
        })
    }

    /// Bytes in a binary file.
    pub(super) const fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// What a colour of this type says for full intensity.
    pub(super) const fn full_intensity(self) -> f32 {
        match self {
            Self::I8 | Self::U8 => 255.0,
            Self::I16 | Self::U16 => 65_535.0,
            Self::I32 | Self::U32 => 4_294_967_295.0,
            Self::F32 | Self::F64 => 1.0,
        }
    }
}
