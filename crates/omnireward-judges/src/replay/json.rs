use serde::Deserialize;

use super::detect::Source;
use crate::{Error, error::RecordError};

/// Parses a whole file.
pub(super) fn parse<T: for<'de> Deserialize<'de>>(file: &Source) -> Result<T, Error> {
    serde_json::from_slice(&file.bytes).map_err(|error| {
        let line = error.line() as u64;
        RecordError::from(error).at(&file.path, line)
    })
}

/// Calls `each` with every line of a file of JSON lines; blank lines are left out.
pub(super) fn for_each_line<T: for<'de> Deserialize<'de>>(
    file: &Source,
    mut each: impl FnMut(T) -> Result<(), RecordError>,
) -> Result<(), Error> {
    for (line, number) in file.bytes.split(|byte| *byte == b'\n').zip(1..) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        serde_json::from_slice(line)
            .map_err(RecordError::from)
            .and_then(&mut each)
            .map_err(|error| error.at(&file.path, number))?;
    }
    Ok(())
}
