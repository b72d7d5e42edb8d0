//! Files mapped into memory, seen as bytes or as numbers.
//!
//! The only module of the weights that needs `unsafe`. Its contract: a file is not shortened or written to while it
//! is mapped. This crate's own [writer](super::write_safetensors) keeps it by writing beside the file and renaming,
//! which leaves the mapped file as it was. Should another program break it, the numbers read are that program's, and
//! reading behind a new end stops the process; neither can be seen from here.
#![expect(
    unsafe_code,
    reason = "mapping a file and seeing its bytes as numbers cannot be said otherwise; the exits are safe"
)]

use std::{
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use half::{bf16, f16};
use memmap2::Mmap;

use crate::{Error, Result};

/// A file mapped into memory, read-only.
#[derive(Debug)]
pub(super) struct FileMap {
    path: PathBuf,
    map: Mmap,
}

impl FileMap {
    pub(super) fn open(path: &Path) -> Result<Arc<Self>> {
        let io = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        // SAFETY: the file is not shortened or written to while it is mapped: the module's contract.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Ok(Arc::new(Self {
            path: path.to_owned(),
            map,
        }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The bytes of `range` as numbers, or `None` when they do not begin at a multiple of the number's size, or this
    /// machine stores numbers in another byte order than files do.
    pub(super) fn numbers<T: Number>(&self, range: &Range<usize>) -> Option<&[T]> {
        if cfg!(target_endian = "big") {
            return None;
        }
        // SAFETY: `Number` is implemented for plain floating-point types only, of which every bit pattern is a value.
        let (before, numbers, after) = unsafe { self.map[range.clone()].align_to::<T>() };
        (before.is_empty() && after.is_empty()).then_some(numbers)
    }

    /// Tells the system that the pages of `range` are not needed for now. They are read again when they are.
    pub(super) fn release(&self, range: &Range<usize>) {
        #[cfg(unix)]
        if !range.is_empty() {
            // SAFETY: the mapping is never written to, so a dropped page comes back from the file with the bytes it
            // had: readers see no change.
            let advised = unsafe {
                self.map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    range.len(),
                )
            };
            if let Err(error) = advised {
                tracing::debug!(path = %self.path.display(), %error, "pages could not be released");
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

/// A floating-point type that weights are stored in.
///
/// # Safety
///
/// Every bit pattern of the type's size is a value of it.
pub(super) unsafe trait Number: Copy + Default + Send + Sync {
    fn from_le_bytes(bytes: &[u8]) -> Self;
}

macro_rules! number {
    ($($type:ty),*) => {$(
        // SAFETY: IEEE 754 gives every bit pattern a meaning, as does bfloat16.
        unsafe impl Number for $type {
            fn from_le_bytes(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().expect("chunks are of this type's size"))
            }
        }
    )*};
}

number!(f32, f16, bf16);
