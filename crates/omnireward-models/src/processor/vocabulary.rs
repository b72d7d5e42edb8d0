use tokenizers::Tokenizer;

/// Refuses a tokenizer that has a token for which a model of `size` tokens has no embedding.
pub(super) fn check(tokenizer: &Tokenizer, size: usize) -> Result<(), String> {
    let first = tokenizer
        .get_vocab(true)
        .into_iter()
        .filter(|(_, id)| *id as usize >= size)
        .min_by_key(|(_, id)| *id);
    match first {
        None => Ok(()),
        Some((token, id)) => Err(format!(
            "token `{token}` is `{id}`, and the model has `{size}` tokens"
        )),
    }
}
