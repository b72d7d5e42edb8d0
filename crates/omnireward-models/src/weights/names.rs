use std::{collections::BTreeMap, mem};

use super::store::Store;
use crate::Result;

/// How the names that models use differ from those in a checkpoint's files.
///
/// Checkpoints of the same model come with their tensors named in several ways: as the model's own files name them;
/// below `pretrained_model.`, when a value-head wrapper was saved whole; for bare decoders, without the `model.` that
/// decoders with a head have; and, for Qwen2.5-VL, as the library names its parts in memory, or below `thinker.` as a
/// part of Qwen2.5-Omni. Models are written for the first form with `model.`, and this is the only place that knows of
/// the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renaming {
    /// The prefix that was taken off, and from how many tensors.
    pub stripped: Option<(String, usize)>,
    /// The prefix that was put before, and to how many tensors.
    pub added: Option<(String, usize)>,
    /// How many tensors had other names of Qwen2.5-VL's parts, below `thinker.`, `model.visual.` or
    /// `model.language_model.`.
    pub parts: usize,
}

impl Renaming {
    /// Whether every tensor has the name it has in its file.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

const WRAPPER: &str = "pretrained_model.";
const DECODER: &str = "model.";
/// What a decoder's tensors begin with below `model.`.
const BARE: [&str; 3] = ["embed_tokens.", "layers.", "norm."];

/// What else parts of Qwen2.5-VL are called, and their names in its published files.
const PARTS: [(&str, &str); 3] = [
    ("thinker.", ""),
    ("model.visual.", "visual."),
    ("model.language_model.", "model."),
];

/// Brings the names of a store to the form that models use.
pub(super) fn normalise(store: &mut Store) -> Result<()> {
    store.renaming.stripped = rename(store, WRAPPER, |name| {
        name.strip_prefix(WRAPPER).map(ToOwned::to_owned)
    })?;
    for (other, published) in PARTS {
        let renamed = rename(store, other, |name| {
            let rest = name.strip_prefix(other)?;
            Some(format!("{published}{rest}"))
        })?;
        store.renaming.parts += renamed.map_or(0, |(_, count)| count);
    }
    if is_bare_decoder(store) {
        store.renaming.added = rename(store, DECODER, |name| {
            BARE.iter()
                .any(|bare| name.starts_with(bare))
                .then(|| format!("{DECODER}{name}"))
        })?;
    }
    Ok(())
}

fn is_bare_decoder(store: &Store) -> bool {
    store.entries.contains_key("embed_tokens.weight")
        && store.entries.contains_key("norm.weight")
        && !store.entries.keys().any(|name| name.starts_with(DECODER))
}

/// Gives new names to the tensors for which there is one, and counts them.
fn rename(
    store: &mut Store,
    prefix: &str,
    new: impl Fn(&str) -> Option<String>,
) -> Result<Option<(String, usize)>> {
    let mut count = 0;
    let mut kept = BTreeMap::new();
    let mut renamed = Vec::new();
    for (name, entry) in mem::take(&mut store.entries) {
        match new(&name) {
            Some(name) => renamed.push((name, entry)),
            None => drop(kept.insert(name, entry)),
        }
    }
    store.entries = kept;
    for (name, entry) in renamed {
        count += 1;
        store.insert(name, entry)?;
    }
    Ok((count > 0).then(|| (prefix.to_owned(), count)))
}
