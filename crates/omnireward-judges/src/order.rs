use omnireward_core::{ModelError, ModelErrorKind, PreferencePair, Response};

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
    fn three_responses_are_refused_by_name() {
        let responses = ["x", "y", "z"].map(Response::text);
        let pair = PreferencePair::new("triple", Task::T2T, "p", responses);
        let error = two_responses(&pair).unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::Unsupported);
        assert!(error.to_string().contains("`triple` has 3"), "{error}");
    }
}
