use super::{
    super::text::shortened,
    FORMAT,
    header::{Element, Encoding, Property, Scalar},
};
use crate::{Error, Limits};

/// The data after the header, read value by value.
#[derive(Debug)]
pub(super) struct Body<'a> {
    rest: &'a [u8],
    encoding: Encoding,
    limits: &'a Limits,
}

/// The values of one row, property by property. A 64-bit float holds every number type exactly.
#[derive(Debug, Default)]
pub(super) struct Row {
    values: Vec<f64>,
    /// Where each property's values begin; one more for the end.
    starts: Vec<usize>,
}

impl Row {
    /// The value of a scalar property.
    pub(super) fn scalar(&self, property: usize) -> f32 {
        self.values[self.starts[property]] as f32
    }

    /// The values of a list property.
    pub(super) fn list(&self, property: usize) -> &[f64] {
        &self.values[self.starts[property]..self.starts[property + 1]]
    }
}

impl<'a> Body<'a> {
    pub(super) const fn new(rest: &'a [u8], encoding: Encoding, limits: &'a Limits) -> Self {
        Self {
            rest,
            encoding,
            limits,
        }
    }

    /// Refuses a count of rows that the bytes left cannot hold.
    pub(super) fn check_claim(&self, element: &Element) -> Result<(), Error> {
        let least = match self.encoding {
            // A digit and a space each.
            Encoding::Ascii => 2 * element.properties.len(),
            _ => element.properties.iter().map(least_bytes).sum(),
        };
        // The last value needs no space after it.
        let held = (self.rest.len() as u64 + 1) / (least as u64).max(1);
        if element.count > held || (least == 0 && element.count > 0) {
            return Err(Error::mesh(
                FORMAT,
                format!(
                    "it is cut short: `{}` rows of `{}` in {} bytes",
                    element.count,
                    shortened(&element.name),
                    self.rest.len()
                ),
            ));
        }
        Ok(())
    }

    /// Reads all rows of an element, handing each over with its number from zero.
    pub(super) fn rows(
        &mut self,
        element: &Element,
        mut take: impl FnMut(u64, &Row) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut row = Row::default();
        for number in 0..element.count {
            self.row(element, number, &mut row)?;
            take(number, &row)?;
        }
        Ok(())
    }

    fn row(&mut self, element: &Element, number: u64, row: &mut Row) -> Result<(), Error> {
        let malformed = |reason: String| {
            let name = shortened(&element.name);
            Error::mesh(FORMAT, format!("{name} {number}: {reason}"))
        };
        row.values.clear();
        row.starts.clear();
        row.starts.push(0);
        for property in &element.properties {
            let count = match property.length {
                None => 1,
                Some(length) => {
                    let length = self.length(length).map_err(malformed)?;
                    self.check_length(length)?;
                    length
                }
            };
            for _ in 0..count {
                let value = self.value(property.scalar).map_err(malformed)?;
                row.values.push(value);
            }
            row.starts.push(row.values.len());
        }
        Ok(())
    }

    /// Refuses a list that no mesh within the limits needs: a face of `n` corners is `n - 2`
    /// triangles and has two texture coordinates a corner. A value may be a byte in the file and
    /// takes eight here.
    fn check_length(&self, length: u64) -> Result<(), Error> {
        self.limits.check_triangles((length / 2).saturating_sub(2))
    }

    /// The length of a list. Nothing is allocated for it ahead of the values.
    fn length(&mut self, scalar: Scalar) -> Result<u64, String> {
        let length = self.value(scalar)?;
        if length < 0.0 || length.fract() != 0.0 {
            return Err(format!("a list cannot have `{length}` values"));
        }
        Ok(length as u64)
    }

    fn value(&mut self, scalar: Scalar) -> Result<f64, String> {
        match self.encoding {
            Encoding::Ascii => self.word(),
            Encoding::LittleEndian => self.binary(scalar, false),
            Encoding::BigEndian => self.binary(scalar, true),
        }
    }

    fn word(&mut self) -> Result<f64, String> {
        let text = self.rest.trim_ascii_start();
        let end = text
            .iter()
            .position(u8::is_ascii_whitespace)
            .unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        if word.is_empty() {
            return Err("the file is cut short here".to_owned());
        }
        std::str::from_utf8(word)
            .ok()
            .and_then(|word| word.parse().ok())
            .ok_or_else(|| {
                let word = String::from_utf8_lossy(word);
                format!("expected a number, found `{}`", shortened(&word))
            })
    }

    fn binary(&mut self, scalar: Scalar, big_endian: bool) -> Result<f64, String> {
        let size = scalar.size();
        let (bytes, rest) = self
            .rest
            .split_at_checked(size)
            .ok_or_else(|| "the file is cut short here".to_owned())?;
        self.rest = rest;
        let mut little = [0; 8];
        little[..size].copy_from_slice(bytes);
        if big_endian {
            little[..size].reverse();
        }
        let [a, b, c, d, ..] = little;
        Ok(match scalar {
            Scalar::I8 => f64::from(a.cast_signed()),
            Scalar::U8 => f64::from(a),
            Scalar::I16 => f64::from(i16::from_le_bytes([a, b])),
            Scalar::U16 => f64::from(u16::from_le_bytes([a, b])),
            Scalar::I32 => f64::from(i32::from_le_bytes([a, b, c, d])),
            Scalar::U32 => f64::from(u32::from_le_bytes([a, b, c, d])),
            Scalar::F32 => f64::from(f32::from_le_bytes([a, b, c, d])),
            Scalar::F64 => f64::from_le_bytes(little),
        })
    }
}

fn least_bytes(property: &Property) -> usize {
    property.length.unwrap_or(property.scalar).size()
}
