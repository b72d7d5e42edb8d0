//! Words that follow from a number.

const WORDS: [&str; 48] = [
    "amber", "boat", "castle", "dawn", "early", "field", "garden", "harbour", "island", "jade",
    "kite", "lantern", "market", "north", "orchard", "paper", "quiet", "river", "stone", "tower",
    "umbrella", "valley", "window", "yellow", "bright", "calm", "distant", "empty", "frozen",
    "gentle", "hidden", "iron", "joyful", "kind", "little", "modern", "narrow", "open", "pale",
    "round", "silver", "tall", "upper", "velvet", "warm", "young", "golden", "silent",
];

/// Numbers that follow from a seed (`SplitMix64`).
pub(super) struct Random(u64);

impl Random {
    /// A stream of its own for each use of each pair.
    pub(super) fn of(seed: u64, index: u64, purpose: u64) -> Self {
        Self(
            seed ^ index.wrapping_mul(0xD134_2543_DE82_EF95)
                ^ purpose.wrapping_mul(0xAF25_1AF3_B0F0_25B5),
        )
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// A sentence of so many words.
    pub(super) fn sentence(&mut self, words: usize) -> String {
        let mut text = String::with_capacity(words * 7);
        for place in 0..words {
            if place > 0 {
                text.push(' ');
            }
            text.push_str(WORDS[self.below(WORDS.len() as u64) as usize]);
        }
        text.push('.');
        text
    }
}
