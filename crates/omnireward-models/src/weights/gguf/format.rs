//! The container: header, metadata and tensor descriptions of a GGUF file.
//!
//! Read here rather than with the framework's reader so that a hostile file is refused instead of costing memory (an
//! array of bytes grows by 32 times there) or stopping the process (an alignment of zero), and so that what is
//! refused is named.

use std::{collections::BTreeMap, ops::Range};

use candle_core::quantized::GgmlDType;

/// What is wrong with a file.
pub(super) type Reason = String;

pub(super) const MAGIC: &[u8; 4] = b"GGUF";
const ALIGNMENT: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u32 = 32;
const MOST_DIMENSIONS: u32 = 4;
const MOST_ENTRIES: u64 = 1 << 20;

/// The header of a file.
#[derive(Debug)]
pub(super) struct Header {
    /// Metadata, by key.
    pub(super) metadata: BTreeMap<String, Value>,
    /// Tensors, in the order of the file.
    pub(super) tensors: Vec<Described>,
}

/// A tensor as the header describes it.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: String,
    /// Outermost dimension first, as everywhere but in the file.
    pub(super) shape: Vec<usize>,
    pub(super) stored: BlockType,
    /// Its bytes in the file. Empty when the type, and so the size, is unknown.
    pub(super) bytes: Range<usize>,
}

/// How numbers are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockType {
    Known(GgmlDType),
    Unknown(u32),
}

impl BlockType {
    fn from_code(code: u32) -> Self {
        Self::Known(match code {
            0 => GgmlDType::F32,
            1 => GgmlDType::F16,
            2 => GgmlDType::Q4_0,
            3 => GgmlDType::Q4_1,
            6 => GgmlDType::Q5_0,
            7 => GgmlDType::Q5_1,
            8 => GgmlDType::Q8_0,
            10 => GgmlDType::Q2K,
            11 => GgmlDType::Q3K,
            12 => GgmlDType::Q4K,
            13 => GgmlDType::Q5K,
            14 => GgmlDType::Q6K,
            30 => GgmlDType::BF16,
            other => return Self::Unknown(other),
        })
    }
}

/// A value of the metadata. Arrays stay unread until they are asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Array {
        element: u32,
        count: usize,
        bytes: Range<usize>,
    },
}

impl Value {
    pub(super) fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            Self::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    pub(super) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            _ => self.as_u64().map(|number| number as f64),
        }
    }

    pub(super) fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The strings of an array.
pub(super) fn strings<'a>(bytes: &'a [u8], value: &Value) -> Result<Vec<&'a str>, Reason> {
    let (mut reader, count) = array(bytes, value, STRING)?;
    (0..count).map(|_| reader.text()).collect()
}

/// The 32-bit integers of an array.
pub(super) fn integers(bytes: &[u8], value: &Value) -> Result<Vec<i32>, Reason> {
    let (mut reader, count) = array(bytes, value, I32)?;
    (0..count)
        .map(|_| Ok(i32::from_le_bytes(reader.take()?)))
        .collect()
}

fn array<'a>(bytes: &'a [u8], value: &Value, wanted: u32) -> Result<(Reader<'a>, usize), Reason> {
    match value {
        Value::Array {
            element,
            count,
            bytes: range,
        } if *element == wanted => Ok((
            Reader {
                bytes: &bytes[..range.end],
                at: range.start,
            },
            *count,
        )),
        _ => Err(format!("it is not an array of elements of kind {wanted}")),
    }
}

const STRING: u32 = 8;
const ARRAY: u32 = 9;
const I32: u32 = 5;

/// Bytes of a value of a fixed size.
fn fixed_size(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// Reads the header and checks that every tensor lies within the file.
pub(super) fn read(bytes: &[u8]) -> Result<Header, Reason> {
    let mut reader = Reader { bytes, at: 0 };
    if &reader.take::<4>()? != MAGIC {
        return Err("it does not begin with `GGUF`".to_owned());
    }
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        return Err(format!("its version is {version}, known are 2 and 3"));
    }
    let tensors = reader.count("tensors")?;
    let entries = reader.count("metadata entries")?;
    let mut metadata = BTreeMap::new();
    for _ in 0..entries {
        let key = reader.text()?.to_owned();
        let kind = reader.u32()?;
        let value = reader
            .value(kind)
            .map_err(|reason| format!("metadata `{key}`: {reason}"))?;
        if metadata.insert(key.clone(), value).is_some() {
            return Err(format!("metadata `{key}` is given twice"));
        }
    }
    let mut described = Vec::new();
    for _ in 0..tensors {
        described.push(reader.tensor()?);
    }
    let data = data_start(reader.at, &metadata)?;
    for tensor in &mut described {
        tensor
            .place(data, bytes.len())
            .map_err(|reason| format!("tensor `{}` {reason}", tensor.name))?;
    }
    Ok(Header {
        metadata,
        tensors: described,
    })
}

/// Where the tensors' bytes begin: after the header, at a multiple of the alignment.
fn data_start(header: usize, metadata: &BTreeMap<String, Value>) -> Result<usize, Reason> {
    let alignment = match metadata.get(ALIGNMENT) {
        Some(value) => value.as_u64().unwrap_or(0),
        None => u64::from(DEFAULT_ALIGNMENT),
    };
    // The format asks for a multiple of eight; numbers and blocks then lie as they must.
    if alignment == 0 || !alignment.is_multiple_of(8) || alignment > u64::from(u32::MAX) {
        return Err(format!("`{ALIGNMENT}` is {alignment}"));
    }
    Ok(header.next_multiple_of(alignment as usize))
}

impl Described {
    /// Turns the offset into the data, which `bytes` holds so far, into a range of the file.
    fn place(&mut self, data: usize, file: usize) -> Result<(), Reason> {
        let BlockType::Known(dtype) = self.stored else {
            return Ok(());
        };
        let offset = self.bytes.start;
        let row = self.shape.last().copied().unwrap_or(1);
        let block = dtype.block_size();
        if !row.is_multiple_of(block) {
            return Err(format!(
                "has rows of {row} numbers, which are not blocks of {block}"
            ));
        }
        if !offset.is_multiple_of(dtype_alignment(dtype)) {
            return Err(format!("begins at byte {offset} of the data"));
        }
        let end = self
            .shape
            .iter()
            .try_fold(1usize, |product, &dim| product.checked_mul(dim))
            .and_then(|numbers| (numbers / block).checked_mul(dtype.type_size()))
            .and_then(|size| {
                let start = data.checked_add(offset)?;
                Some(start..start.checked_add(size)?)
            });
        match end {
            Some(range) if range.end <= file => {
                self.bytes = range;
                Ok(())
            }
            Some(range) => Err(format!(
                "is cut short: it ends at byte {}, the file has {file}",
                range.end
            )),
            None => Err(format!("has the impossible shape {:?}", self.shape)),
        }
    }
}

const fn dtype_alignment(dtype: GgmlDType) -> usize {
    match dtype {
        GgmlDType::F32 => 4,
        _ => 2,
    }
}

/// Reads little-endian values, one after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn skip(&mut self, size: usize) -> Result<&'a [u8], Reason> {
        let end = self.at.checked_add(size);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        match (taken, end) {
            (Some(taken), Some(end)) => {
                self.at = end;
                Ok(taken)
            }
            _ => Err(format!(
                "its header is cut short: {size} bytes wanted at byte {}, the file has {}",
                self.at,
                self.bytes.len()
            )),
        }
    }

    fn take<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], Reason> {
        let taken = self.skip(SIZE)?;
        Ok(taken
            .try_into()
            .expect("as many bytes were taken as were asked for"))
    }

    fn u32(&mut self) -> Result<u32, Reason> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64, Reason> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn size(&mut self) -> Result<usize, Reason> {
        let size = self.u64()?;
        usize::try_from(size).map_err(|_| format!("a length of {size} bytes"))
    }

    fn count(&mut self, what: &str) -> Result<u64, Reason> {
        let count = self.u64()?;
        if count > MOST_ENTRIES {
            return Err(format!(
                "it names {count} {what}, the limit is {MOST_ENTRIES}"
            ));
        }
        Ok(count)
    }

    fn text(&mut self) -> Result<&'a str, Reason> {
        let size = self.size()?;
        let at = self.at;
        std::str::from_utf8(self.skip(size)?)
            .map_err(|_| format!("the text at byte {at} is not UTF-8"))
    }

    fn value(&mut self, kind: u32) -> Result<Value, Reason> {
        Ok(match kind {
            0 => Value::Unsigned(u64::from(self.take::<1>()?[0])),
            1 => Value::Signed(i64::from(i8::from_le_bytes(self.take()?))),
            2 => Value::Unsigned(u64::from(u16::from_le_bytes(self.take()?))),
            3 => Value::Signed(i64::from(i16::from_le_bytes(self.take()?))),
            4 => Value::Unsigned(u64::from(self.u32()?)),
            5 => Value::Signed(i64::from(i32::from_le_bytes(self.take()?))),
            6 => Value::Float(shortest(f32::from_le_bytes(self.take()?))),
            7 => Value::Bool(self.take::<1>()?[0] != 0),
            8 => Value::Text(self.text()?.to_owned()),
            9 => self.array()?,
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.take()?)),
            12 => Value::Float(f64::from_le_bytes(self.take()?)),
            other => return Err(format!("unknown kind {other}")),
        })
    }

    fn array(&mut self) -> Result<Value, Reason> {
        let element = self.u32()?;
        let count = self.size()?;
        let start = self.at;
        if let Some(size) = fixed_size(element) {
            let size = count
                .checked_mul(size)
                .ok_or_else(|| format!("an array of {count} elements"))?;
            self.skip(size)?;
        } else if element == STRING {
            for _ in 0..count {
                let size = self.size()?;
                self.skip(size)?;
            }
        } else if element == ARRAY {
            return Err("arrays of arrays are not read".to_owned());
        } else {
            return Err(format!("an array of unknown kind {element}"));
        }
        Ok(Value::Array {
            element,
            count,
            bytes: start..self.at,
        })
    }

    /// A tensor whose `bytes` hold its offset into the data.
    fn tensor(&mut self) -> Result<Described, Reason> {
        let name = self.text()?.to_owned();
        let dimensions = self.u32()?;
        if dimensions > MOST_DIMENSIONS {
            return Err(format!("tensor `{name}` has {dimensions} dimensions"));
        }
        let mut shape = (0..dimensions)
            .map(|_| self.size())
            .collect::<Result<Vec<_>, _>>()?;
        shape.reverse();
        let stored = BlockType::from_code(self.u32()?);
        let offset = self.size()?;
        Ok(Described {
            name,
            shape,
            stored,
            bytes: offset..offset,
        })
    }
}

/// The number that was meant: a single-precision `1e-5` was written as such, not as 9.999999747378752e-6.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}
