//! Rows for tests.

use omnireward_core::{Order, Preference, Setting, Status, Task, Usage};
use omnireward_eval::Row;

/// A readable or failed verdict on a pair that is a group of its own.
pub(crate) fn row(
    id: impl Into<String>,
    task: Task,
    setting: Setting,
    label: Preference,
    preference: Option<Preference>,
) -> Row {
    let pair_id = id.into();
    Row {
        group: pair_id.clone(),
        pair_id,
        position: 0,
        task,
        setting,
        order: Order::AsIs,
        source: None,
        criterion: None,
        models: [None, None],
        label: Some(label),
        status: if preference.is_some() {
            Status::Readable
        } else {
            Status::Unreadable
        },
        preference,
        scores: None,
        rationale: None,
        raw: None,
        usage: Usage::default(),
        detail: None,
        latency_ms: 0,
    }
}

/// A verdict from two scores, of which the second is zero.
pub(crate) fn scored(
    id: impl Into<String>,
    task: Task,
    setting: Setting,
    label: Preference,
    margin: f64,
) -> Row {
    Row {
        scores: Some([margin, 0.0]),
        ..row(
            id,
            task,
            setting,
            label,
            Some(Preference::from_higher(margin, 0.0)),
        )
    }
}
