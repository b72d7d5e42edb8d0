//! Preprocessing in a word: a preset and what differs from it, as the program's `--preprocessing` has it.

use omnireward_models::processor::Preprocessing;
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

pub(super) fn deserialize<'de, D: Deserializer<'de>>(reader: D) -> Result<Preprocessing, D::Error> {
    String::deserialize(reader)?
        .parse()
        .map_err(D::Error::custom)
}

pub(super) fn serialize<S: Serializer>(
    value: &Preprocessing,
    writer: S,
) -> Result<S::Ok, S::Error> {
    writer.collect_str(value)
}
