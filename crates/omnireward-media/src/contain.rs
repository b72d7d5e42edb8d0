use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Error, Format};

/// Runs a decoder of another crate and turns a panic inside it into an error.
///
/// Decoders meet bytes from strangers, and some assert what those bytes should have been. This is
/// the one place where a panic is not a bug of ours. The process's panic hook still runs, so unless
/// the program sets another one, a line about the panic goes to its standard error; the panics of
/// those decoders that are known are prevented before they are called. The closure must own or only
/// read what it uses, so that nothing half-changed outlives the panic.
pub(crate) fn contain<T>(
    format: Format,
    decode: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| {
        let reason = "the decoder stopped at bytes that it did not expect";
        Err(match format.modality() {
            omnireward_core::Modality::Audio => Error::audio(format.name(), reason),
            omnireward_core::Modality::Mesh => Error::mesh(format.name(), reason),
            omnireward_core::Modality::Video => Error::video(format.name(), reason),
            _ => Error::image(format.name(), reason),
        })
    })
}
