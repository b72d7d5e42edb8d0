use crate::HeadKind;

/// The layers of each kind of head.
const LAYERS: [(HeadKind, &[&str]); 3] = [
    (HeadKind::Value, &["v_head.summary"]),
    (HeadKind::Score, &["score"]),
    (HeadKind::TwoLayerScore, &["score.0", "score.2"]),
];

/// The kinds of head that tensors of these names make, complete or not.
pub(super) fn kinds<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<HeadKind> {
    let is_there = |kind: &HeadKind| names.clone().any(|name| kind_of(name) == Some(*kind));
    let kinds = LAYERS.iter().map(|(kind, _)| *kind);
    kinds.filter(is_there).collect()
}

/// The kind of head that a tensor of this name belongs to.
pub(super) fn kind_of(name: &str) -> Option<HeadKind> {
    let is_of = |layer: &&str| {
        name.strip_prefix(*layer)
            .is_some_and(|rest| matches!(rest, ".weight" | ".bias"))
    };
    LAYERS
        .iter()
        .find(|(_, layers)| layers.iter().any(is_of))
        .map(|(kind, _)| *kind)
}
