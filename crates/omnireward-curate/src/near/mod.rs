//! Finding what is alike among millions: keys, candidates, comparison, clusters.

mod candidates;
mod clusters;
mod keys;
mod media;
mod texts;

pub(crate) use candidates::{BUCKET_NEIGHBOURS, groups, meetings};
pub(crate) use clusters::Clusters;
pub(crate) use keys::{KeyFiles, MOST_PARTS, Unit};
pub(crate) use media::{MediaHashes, RowMedia};
pub(crate) use texts::{parts_alike, rows_alike};
