//! Near-duplicate texts: words, shingles, `MinHash` and its bands.
//!
//! A text becomes a set of *shingles*, runs of [`TextSettings::shingle_words`] words. How alike two texts are is the
//! Jaccard similarity of their sets, `J = |A ∩ B| / |A ∪ B|`. For a random order of all shingles, the probability that
//! `A` and `B` have the same first element is `J` (Broder, "On the resemblance and containment of documents", 1997), so
//! the first elements under `bands × rows` orders are a signature that keeps similarity. It is cut into `bands` of
//! `rows` values, each of which becomes one key; two texts share a key with probability
//!
//! ```text
//! P(J) = 1 − (1 − J^rows)^bands
//! ```
//!
//! (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4). [`TextSettings::recall`] is that curve:
//!
//! | J | 28 × 4 (default) | 14 × 8 (as datatrove) |
//! |---:|---:|---:|
//! | 0.3 | 0.204 | 0.001 |
//! | 0.4 | 0.516 | 0.009 |
//! | 0.5 | 0.836 | 0.053 |
//! | 0.6 | 0.979 | 0.211 |
//! | 0.7 | 0.9995 | 0.565 |
//! | 0.8 | 1.000 | 0.924 |
//! | 0.9 | 1.000 | 0.9996 |
//!
//! A word that changes takes every shingle with it that it is in: when a share `e` of the words is edited, about
//! `s = (1 − e)^n` of the shingles of `n` words stay, and `J ≈ s / (2 − s)`. For `e` = 5%, that is 0.75 with three
//! words and 0.63 with five. This is why three words and many short bands are the default.
//!
//! A word is a run of letters and digits (Unicode), in lower case; whatever stands between is not looked at. Of scripts
//! that are written without spaces (Han, Hiragana, Katakana), each letter is a word. A text with fewer words than a
//! shingle is one shingle.

use serde::{Deserialize, Serialize};

/// How texts are cut and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSettings {
    /// Words in a shingle.
    pub shingle_words: usize,
    /// Bands, each of which gives one key.
    pub bands: usize,
    /// Values in a band.
    pub rows: usize,
}

impl Default for TextSettings {
    /// Finds texts in which 5% of the words were edited.
    fn default() -> Self {
        Self {
            shingle_words: 3,
            bands: 28,
            rows: 4,
        }
    }
}

impl TextSettings {
    /// The usual parameters of the `datatrove` library: five words, 14 buckets of 8 hashes.
    pub const fn datatrove() -> Self {
        Self {
            shingle_words: 5,
            bands: 14,
            rows: 8,
        }
    }

    /// The probability that two texts of this Jaccard similarity share a key.
    pub fn recall(&self, similarity: f64) -> f64 {
        1.0 - (1.0 - similarity.powi(self.rows as i32)).powi(self.bands as i32)
    }
}

/// A hash of the words of a text: equal for texts that differ in case, spacing and punctuation alone.
pub fn exact_hash(text: &str) -> u64 {
    let mut hash = SEED;
    for_each_word(text, |word| hash = combined(hash, word));
    mixed(hash)
}

/// The set of shingles of several texts, sorted; no shingle spans two of them.
pub fn shingles<'a>(texts: impl IntoIterator<Item = &'a str>, shingle_words: usize) -> Vec<u64> {
    let mut shingles = Vec::new();
    let mut words = Vec::new();
    for text in texts {
        words.clear();
        for_each_word(text, |word| words.push(word));
        if words.is_empty() {
            continue;
        }
        let length = shingle_words.clamp(1, words.len());
        let hashed = |window: &[u64]| mixed(window.iter().copied().fold(SEED, combined));
        shingles.extend(words.windows(length).map(hashed));
    }
    shingles.sort_unstable();
    shingles.dedup();
    shingles
}

/// The Jaccard similarity of two sorted sets; two empty sets are the same.
pub fn jaccard(first: &[u64], second: &[u64]) -> f64 {
    if first.is_empty() && second.is_empty() {
        return 1.0;
    }
    let (mut i, mut j, mut shared) = (0, 0, 0_usize);
    while let (Some(a), Some(b)) = (first.get(i), second.get(j)) {
        shared += usize::from(a == b);
        i += usize::from(a <= b);
        j += usize::from(b <= a);
    }
    shared as f64 / (first.len() + second.len() - shared) as f64
}

/// The texts of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowTexts {
    /// The prompt.
    pub prompt: String,
    /// Each response.
    pub responses: Vec<String>,
}

impl RowTexts {
    fn all(&self) -> impl Iterator<Item = &str> {
        let responses = self.responses.iter().map(String::as_str);
        std::iter::once(self.prompt.as_str()).chain(responses)
    }
}

/// How alike the texts of two rows are: the Jaccard similarity of all their shingles, or 0 where a part has no
/// counterpart.
///
/// Two pairs with a long prompt in common and different responses are not the same pair. So the prompts, and each
/// response with the response most like it, must have a similarity of at least [`LEAST_PART`]; parts of up to 32 words
/// are compared word by word there, because one edit costs them most of their shingles. The order of the responses does
/// not matter.
pub fn row_similarity(first: &RowTexts, second: &RowTexts, shingle_words: usize) -> f64 {
    if first.responses.len() != second.responses.len() {
        return 0.0;
    }
    let part = |a: &str, b: &str| part_similarity(a, b, shingle_words);
    let has_counterpart = |text: &String, others: &[String]| {
        others.iter().any(|other| part(text, other) >= LEAST_PART)
    };
    let all_have =
        |some: &[String], others: &[String]| some.iter().all(|text| has_counterpart(text, others));
    let is_matched = part(&first.prompt, &second.prompt) >= LEAST_PART
        && all_have(&first.responses, &second.responses)
        && all_have(&second.responses, &first.responses);
    if !is_matched {
        return 0.0;
    }
    let [a, b] = [first, second].map(|row| shingles(row.all(), shingle_words));
    jaccard(&a, &b)
}

/// The least similarity of a prompt or response and its counterpart in a duplicate.
pub const LEAST_PART: f64 = 0.275;

/// Parts up to this long are compared word by word.
const SHORT_WORDS: usize = 32;

fn part_similarity(first: &str, second: &str, shingle_words: usize) -> f64 {
    let is_short = [first, second]
        .iter()
        .any(|text| word_count(text) <= SHORT_WORDS);
    let length = if is_short { 1 } else { shingle_words };
    let [a, b] = [first, second].map(|text| shingles([text], length));
    jaccard(&a, &b)
}

/// The number of words in a text.
pub fn word_count(text: &str) -> usize {
    let mut count = 0;
    for_each_word(text, |_| count += 1);
    count
}

/// Makes signatures and keys; holds what its hash functions are drawn from.
#[derive(Clone, Debug)]
pub struct MinHasher {
    settings: TextSettings,
    /// One number for each hash function.
    salts: Vec<u32>,
}

impl MinHasher {
    /// A hasher; the same settings always give the same hashes.
    pub fn new(settings: TextSettings) -> Self {
        let salt = |index: usize| mixed(SEED ^ index as u64) as u32;
        Self {
            settings,
            salts: (0..settings.bands * settings.rows).map(salt).collect(),
        }
    }

    /// The least hash of any shingle under each of `bands × rows` functions; empty for a text without words.
    pub fn signature(&self, shingles: &[u64]) -> Vec<u32> {
        if shingles.is_empty() {
            return Vec::new();
        }
        let mut least = vec![u32::MAX; self.salts.len()];
        for &shingle in shingles {
            let shingle = (shingle ^ (shingle >> 32)) as u32;
            for (least, salt) in least.iter_mut().zip(&self.salts) {
                *least = (*least).min(permuted(shingle ^ salt));
            }
        }
        least
    }

    /// One key a band, in their order; `domain` keeps texts apart that are never to be compared.
    pub fn keys(&self, shingles: &[u64], domain: u64) -> Vec<u64> {
        let signature = self.signature(shingles);
        signature
            .chunks(self.settings.rows)
            .enumerate()
            .map(|(band, values)| {
                let start = combined(domain, band as u64);
                mixed(
                    values
                        .iter()
                        .map(|&value| u64::from(value))
                        .fold(start, combined),
                )
            })
            .collect()
    }
}

const SEED: u64 = 0x6f6d_6e69_7265_7761;
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Calls `each` with the hash of every word.
fn for_each_word(text: &str, mut each: impl FnMut(u64)) {
    let mut word = None;
    let mut flush = |word: &mut Option<u64>| word.take().into_iter().for_each(&mut each);
    for letter in text.chars() {
        let stands_alone = is_written_without_spaces(letter);
        if stands_alone || !letter.is_alphanumeric() {
            flush(&mut word);
        }
        if letter.is_alphanumeric() {
            for lower in lower_case(letter) {
                word = Some(combined(word.unwrap_or(SEED), u64::from(u32::from(lower))));
            }
        }
        if stands_alone {
            flush(&mut word);
        }
    }
    flush(&mut word);
}

fn lower_case(letter: char) -> impl Iterator<Item = char> {
    let plain = letter.is_ascii().then(|| letter.to_ascii_lowercase());
    let other = (!letter.is_ascii()).then(|| letter.to_lowercase());
    plain.into_iter().chain(other.into_iter().flatten())
}

/// Han, Hiragana and Katakana.
fn is_written_without_spaces(letter: char) -> bool {
    matches!(u32::from(letter), 0x3041..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x323af)
}

/// A hash of two numbers that depends on their order.
pub(crate) const fn combined(hash: u64, next: u64) -> u64 {
    let product =
        ((hash ^ next).wrapping_mul(ODD) as u128) * (next ^ 0xa076_1d64_78bd_642f) as u128;
    hash.rotate_left(23).wrapping_mul(ODD) ^ (product as u64) ^ ((product >> 64) as u64)
}

/// Spreads a number over 64 bits: Stafford's thirteenth variant of `MurmurHash3`'s finaliser (`SplitMix64`).
pub(crate) const fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// A permutation of the 32-bit numbers: `MurmurHash3`'s 32-bit finaliser.
const fn permuted(mut hash: u32) -> u32 {
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<u64> {
        let mut words = Vec::new();
        for_each_word(text, |word| words.push(word));
        words
    }

    /// Texts of 150 words drawn from 500.
    fn random_words(seed: u64) -> Vec<String> {
        (0..150)
            .map(|index| format!("w{}", mixed(seed * 1_000 + index) % 500))
            .collect()
    }

    #[test]
    fn case_spacing_and_punctuation_do_not_matter() {
        assert_eq!(exact_hash("Hello,  World!"), exact_hash("hello world"));
        assert_eq!(exact_hash("ÉCOLE"), exact_hash("école"));
        for other in ["world hello", "hello", "helloworld", "hello world 2", ""] {
            assert_ne!(exact_hash("hello world"), exact_hash(other), "{other}");
        }
    }

    #[test]
    fn letters_of_scripts_without_spaces_are_words() {
        assert_eq!(words("犬は good").len(), 3);
        assert_eq!(words("good dog犬").len(), 3);
        assert_eq!(words("... —").len(), 0);
    }

    #[test]
    fn no_shingle_spans_two_texts_and_short_texts_are_one() {
        assert_eq!(shingles(["a b c d"], 3).len(), 2);
        assert_eq!(shingles(["a b", "c d"], 3).len(), 2);
        assert_eq!(shingles(["", "..."], 3).len(), 0);
        assert_eq!(
            shingles(["a b c", "d e"], 3),
            shingles(["D, e", "a b c", "a b c"], 3)
        );
    }

    #[test]
    fn jaccard_counts_shared_and_all() {
        let cases: [(&[u64], &[u64], f64); 4] = [
            (&[1, 2, 3], &[2, 3, 4], 0.5),
            (&[1], &[2], 0.0),
            (&[], &[], 1.0),
            (&[], &[1], 0.0),
        ];
        for (first, second, expected) in cases {
            assert!((jaccard(first, second) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn rows_are_alike_when_each_part_has_a_counterpart() {
        let long = random_words(1).join(" ");
        let row = |prompt: &str, responses: [&str; 2]| RowTexts {
            prompt: prompt.to_owned(),
            responses: responses.map(str::to_owned).to_vec(),
        };
        let base = row(&long, ["the first answer", "another one"]);
        let cases = [
            ("itself", base.clone(), 1.0),
            (
                "swapped",
                row(&long, ["another one", "The first answer!"]),
                1.0,
            ),
            (
                "another response",
                row(&long, ["the first answer", "words that nobody wrote"]),
                0.0,
            ),
            (
                "another prompt",
                row("hello", ["the first answer", "another one"]),
                0.0,
            ),
        ];
        for (what, other, expected) in cases {
            let found = row_similarity(&base, &other, 3);
            assert!((found - expected).abs() < 1e-12, "{what}: {found}");
        }
    }

    #[test]
    fn the_signature_keeps_similarity() {
        let hasher = MinHasher::new(TextSettings::default());
        let (mut truth, mut estimate) = (0.0, 0.0);
        for seed in 0..50 {
            let base = random_words(seed);
            let mut edited = base.clone();
            for index in (3..150).step_by(20) {
                edited[index] = format!("edit{index}");
            }
            let [a, b] = [base, edited].map(|words| shingles([words.join(" ").as_str()], 3));
            let [x, y] = [&a, &b].map(|set| hasher.signature(set));
            let equal = x.iter().zip(&y).filter(|(x, y)| x == y).count();
            truth += jaccard(&a, &b) / 50.0;
            estimate += equal as f64 / x.len() as f64 / 50.0;
        }
        // The estimate of 50 × 112 values has a standard error of 0.006.
        assert!((truth - estimate).abs() < 0.02, "{truth} {estimate}");
    }

    #[test]
    fn keys_meet_as_often_as_the_curve_says() {
        let settings = TextSettings::datatrove();
        let hasher = MinHasher::new(settings);
        let (mut met, mut expected) = (0.0, 0.0);
        for seed in 0..400 {
            let base = random_words(seed);
            let mut edited = base.clone();
            for index in (0..150).step_by(25) {
                edited[index] = format!("edit{index}");
            }
            let [a, b] = [base, edited].map(|words| shingles([words.join(" ").as_str()], 5));
            let [x, y] = [&a, &b].map(|set| hasher.keys(set, 0));
            met += f64::from(u8::from(x.iter().zip(&y).any(|(x, y)| x == y)));
            expected += settings.recall(jaccard(&a, &b));
        }
        assert!(
            (met - expected).abs() < 3.0 * (400.0_f64 * 0.25).sqrt(),
            "{met} {expected}"
        );
    }

    #[test]
    fn the_table_of_the_documentation_is_the_curve() {
        let curve = |settings: TextSettings, similarity: f64| {
            (settings.recall(similarity) * 1e3).round() as u32
        };
        let [ours, theirs] = [TextSettings::default(), TextSettings::datatrove()];
        assert_eq!(
            [0.3, 0.4, 0.5, 0.6].map(|j| curve(ours, j)),
            [204, 516, 836, 979]
        );
        assert_eq!(
            [0.5, 0.6, 0.7, 0.8].map(|j| curve(theirs, j)),
            [53, 211, 565, 924]
        );
    }

    #[test]
    fn domains_share_no_key() {
        let hasher = MinHasher::new(TextSettings::default());
        let set = shingles(["one two three four"], 3);
        let [here, there] = [1, 2].map(|domain| hasher.keys(&set, domain));
        assert!(here.iter().all(|key| !there.contains(key)));
        assert!(hasher.keys(&[], 1).is_empty());
    }
}
