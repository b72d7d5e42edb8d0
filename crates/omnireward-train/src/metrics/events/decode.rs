//! Reads event files again, to test what was written.

use super::frame::masked_crc;

/// What a file holds of an event.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Decoded {
    pub(super) wall_time: f64,
    pub(super) step: u64,
    pub(super) file_version: Option<String>,
    pub(super) session_status: Option<u64>,
    pub(super) scalars: Vec<(String, f32)>,
}

/// The events of a file, or what is wrong with it.
pub(super) fn events(mut file: &[u8]) -> Result<Vec<Decoded>, String> {
    let mut events = Vec::new();
    while !file.is_empty() {
        events.push(event(take_frame(&mut file)?)?);
    }
    Ok(events)
}

fn take_frame<'a>(file: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = take_checked(file, 8)?;
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes were taken"));
    take_checked(file, length as usize)
}

fn take_checked<'a>(file: &mut &'a [u8], count: usize) -> Result<&'a [u8], String> {
    let data = take(file, count)?;
    let sum = u32::from_le_bytes(take(file, 4)?.try_into().expect("four bytes were taken"));
    (sum == masked_crc(data))
        .then_some(data)
        .ok_or_else(|| "the check sum is wrong".to_owned())
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], String> {
    let (taken, rest) = bytes
        .split_at_checked(count)
        .ok_or("the file ends too early")?;
    *bytes = rest;
    Ok(taken)
}

fn event(message: &[u8]) -> Result<Decoded, String> {
    let mut event = Decoded::default();
    for (number, field) in fields(message)? {
        match (number, field) {
            (1, Field::Double(seconds)) => event.wall_time = seconds,
            (2, Field::Varint(step)) => event.step = step,
            (3, Field::Bytes(version)) => event.file_version = Some(text(version)),
            (5, Field::Bytes(summary)) => event.scalars = scalars(summary)?,
            (7, Field::Bytes(log)) => event.session_status = status(log)?,
            other => return Err(format!("an event has {other:?}")),
        }
    }
    Ok(event)
}

fn scalars(summary: &[u8]) -> Result<Vec<(String, f32)>, String> {
    fields(summary)?
        .into_iter()
        .map(|value| match value {
            (1, Field::Bytes(value)) => match fields(value)?[..] {
                [(1, Field::Bytes(tag)), (2, Field::Float(number))] => Ok((text(tag), number)),
                ref other => Err(format!("a value has {other:?}")),
            },
            other => Err(format!("a summary has {other:?}")),
        })
        .collect()
}

fn status(log: &[u8]) -> Result<Option<u64>, String> {
    match fields(log)?[..] {
        [(1, Field::Varint(status))] => Ok(Some(status)),
        ref other => Err(format!("a session log has {other:?}")),
    }
}

#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    Varint(u64),
    Double(f64),
    Float(f32),
    Bytes(&'a [u8]),
}

fn fields(mut message: &[u8]) -> Result<Vec<(u64, Field<'_>)>, String> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let field = match key & 7 {
            0 => Field::Varint(varint(&mut message)?),
            1 => {
                let bytes = take(&mut message, 8)?;
                Field::Double(f64::from_le_bytes(bytes.try_into().expect("eight bytes")))
            }
            2 => {
                let length = varint(&mut message)?;
                Field::Bytes(take(&mut message, length as usize)?)
            }
            5 => {
                let bytes = take(&mut message, 4)?;
                Field::Float(f32::from_le_bytes(bytes.try_into().expect("four bytes")))
            }
            other => return Err(format!("there is no wire type {other}")),
        };
        fields.push((key >> 3, field));
    }
    Ok(fields)
}

fn varint(message: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for place in 0..10 {
        let byte = take(message, 1)?[0];
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number has no end".to_owned())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
