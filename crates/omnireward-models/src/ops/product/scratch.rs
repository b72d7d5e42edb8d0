//! Buffers that a thread keeps from one product to the next, so that no product waits for fresh pages.

use std::cell::Cell;

use super::tile::Pair;

/// A type of number that buffers are kept for.
pub(super) trait Kept: Copy + Default + 'static {
    /// This thread's buffer for that use.
    fn kept(purpose: Purpose) -> &'static std::thread::LocalKey<Cell<Vec<Self>>>;
}

/// What a buffer is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// Packed rows of A, shared by all threads.
    Rows,
    /// Packed columns of B, of one thread.
    Columns,
    /// Sums of one thread.
    Sums,
}

/// Hands `len` numbers of any value to `work`, beginning at a cache line.
pub(super) fn with<T: Kept, R>(
    purpose: Purpose,
    len: usize,
    work: impl FnOnce(&mut [T]) -> R,
) -> R {
    let kept = T::kept(purpose);
    // Taken out, not borrowed: a thread that waits in `work` may be given another product to do.
    let mut buffer = kept.take();
    let line = CACHE_LINE / size_of::<T>();
    if buffer.len() < len + line {
        buffer = vec![T::default(); len + line];
    }
    let start = buffer.as_ptr().align_offset(CACHE_LINE).min(line);
    let result = work(&mut buffer[start..start + len]);
    kept.set(buffer);
    result
}

const CACHE_LINE: usize = 64;

macro_rules! kept {
    ($type:ty) => {
        impl Kept for $type {
            fn kept(purpose: Purpose) -> &'static std::thread::LocalKey<Cell<Vec<Self>>> {
                thread_local! {
                    static ROWS: Cell<Vec<$type>> = const { Cell::new(Vec::new()) };
                    static COLUMNS: Cell<Vec<$type>> = const { Cell::new(Vec::new()) };
                    static SUMS: Cell<Vec<$type>> = const { Cell::new(Vec::new()) };
                }
                match purpose {
                    Purpose::Rows => &ROWS,
                    Purpose::Columns => &COLUMNS,
                    Purpose::Sums => &SUMS,
                }
            }
        }
    };
}
kept!(f32);
kept!(Pair);
