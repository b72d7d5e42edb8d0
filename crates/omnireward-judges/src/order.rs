use omnireward_core::{ModelError, ModelErrorKind, Order, PreferencePair, Response};

/// The field of [`PreferencePair::extra`] that says in which order a pair is shown.
///
/// The value `"swapped"` marks a pair whose responses were exchanged; anything else, or nothing,
/// is the dataset's order. A [`Judge`](omnireward_core::Judge) judges what it is shown and never
/// needs to know, except where it looks something up that was recorded for one order.
pub const SHOWN_ORDER: &str = "shown_order";

/// In which order `pair` is shown, read from its [`SHOWN_ORDER`] mark.
pub fn shown_order(pair: &PreferencePair) -> Order {
    match pair.extra.get(SHOWN_ORDER).and_then(|value| value.as_str()) {
        Some("swapped") => Order::Swapped,
        _ => Order::AsIs,
    }
}

/// `pair` with its responses exchanged and its [`SHOWN_ORDER`] mark turned to match.
#[must_use]
pub fn shown_swapped(pair: &PreferencePair) -> PreferencePair {
    let order = match shown_order(pair) {
        Order::AsIs => Order::Swapped,
        Order::Swapped => Order::AsIs,
    };
    let mut swapped = pair.swapped();
    swapped
        .extra
        .insert(SHOWN_ORDER.to_owned(), order.name().into());
    swapped
}

/// The two responses of `pair`.
///
/// # Errors
///
/// [`ModelErrorKind::Unsupported`] when there are more or fewer.
pub(crate) fn two_responses(pair: &PreferencePair) -> Result<[&Response; 2], ModelError> {
    match pair.responses.as_slice() {
        [first, second] => Ok([first, second]),
        others => Err(ModelError::new(
            ModelErrorKind::Unsupported,
            format!(
                "pair `{}` has {} responses, and a verdict needs two",
                pair.id,
                others.len()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnireward_core::Task;

    #[test]
    fn swapping_marks_the_pair_and_back() {
        let responses = [Response::text("x"), Response::text("y")];
        let pair = PreferencePair::new("a", Task::T2T, "p", responses);
        let swapped = shown_swapped(&pair);
        assert_eq!(shown_order(&swapped), Order::Swapped);
        assert_eq!(swapped.responses[0], pair.responses[1]);
        let back = shown_swapped(&swapped);
        assert_eq!(shown_order(&back), Order::AsIs);
        assert_eq!(back.responses, pair.responses);
    }

    #[test]
    fn three_responses_are_refused_by_name() {
        let responses = ["x", "y", "z"].map(Response::text);
        let pair = PreferencePair::new("triple", Task::T2T, "p", responses);
        let error = two_responses(&pair).unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::Unsupported);
        assert!(error.to_string().contains("`triple` has 3"), "{error}");
    }
}
