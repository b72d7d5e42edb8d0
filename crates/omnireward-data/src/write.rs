//! Writing pairs in formats that others read. Each writer takes an iterator, so that nothing has to
//! be in memory at once.

pub use crate::formats::pairs_jsonl;
