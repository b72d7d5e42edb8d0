use tokenizers::{
    AddedToken, SplitDelimiterBehavior, TokenizerBuilder, TokenizerImpl,
    models::bpe::{BPE, BpeTrainer},
    normalizers::NormalizerWrapper,
    pre_tokenizers::{
        PreTokenizerWrapper,
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
    processors::PostProcessorWrapper,
};

use super::published::QWEN_SPLIT;

/// Makes a byte-level tokenizer of `size` entries from texts (Sennrich et al. 2016), which splits them as Qwen2.5's
/// does: the text of a `tokenizer.json`.
///
/// Every byte has an entry, so every text can be encoded. Tokens that mark turns and media are not among the entries;
/// [`RandomCheckpoint::tokenizer`](super::RandomCheckpoint::tokenizer) adds them.
///
/// # Panics
///
/// When `size` is below the 256 bytes.
pub fn train_tokenizer<T: AsRef<str> + Send>(
    texts: impl Iterator<Item = T> + Send,
    size: usize,
) -> String {
    type Tokenizer =
        TokenizerImpl<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, ByteLevel>;
    assert!(size >= 256, "every byte has an entry");
    let bytes = ByteLevel::new(false, false, false);
    let words = Split::new(
        SplitPattern::Regex(QWEN_SPLIT.to_owned()),
        SplitDelimiterBehavior::Isolated,
        false,
    )
    .expect("the pattern is fixed");
    let split = Sequence::new(vec![words.into(), bytes.into()]);
    let mut tokenizer: Tokenizer = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(None)
        .with_pre_tokenizer(Some(split.into()))
        .with_post_processor(None)
        .with_decoder(Some(bytes))
        .build()
        .expect("every part that is needed is there");
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(size)
        .min_frequency(2)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(Vec::<AddedToken>::new())
        .build();
    tokenizer
        .train(&mut trainer, texts)
        .expect("training only fails when a text cannot be split");
    tokenizer
        .to_string(true)
        .expect("a tokenizer can be written")
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    #[test]
    fn frequent_words_become_entries_and_every_text_comes_back() {
        let texts = vec!["a red circle and a red square"; 50];
        let json = train_tokenizer(texts.into_iter(), 300);
        let tokenizer = tokenizers::Tokenizer::from_str(&json).unwrap();
        let encode = |text: &str| tokenizer.encode(text, false).unwrap();
        assert_eq!(encode(" red circle").len(), 2);
        for text in ["a red circle", "Größe: 3 Äpfel\n\u{1F600}"] {
            let ids = encode(text).get_ids().to_vec();
            assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
        }
    }
}
