//! Recall and precision of the media signatures on planted copies: `cargo test -p omnireward-curate
//! --test planted -- --nocapture` prints the table.
//!
//! Each modality has originals, real ones where the test data are there and generated ones besides,
//! and copies of each that were changed as copies in the wild are. A pair of media counts as found
//! when the two share a key and are as similar as the threshold demands, as in deduplication.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has to stop")]

mod films;
mod noise;
mod pictures;
mod solids;
mod sounds;

use std::collections::{BTreeMap, BTreeSet};

use omnireward_core::Modality;
use omnireward_curate::signature::of_modality;
use omnireward_media::Limits;

/// A medium of the planted set.
struct Planted {
    /// Media of the same number are copies of one original.
    original: usize,
    /// How it was changed; `as it is` for the original.
    change: String,
    bytes: Vec<u8>,
}

#[test]
fn copies_of_pictures_are_found() {
    check(Modality::Image, pictures::planted());
}

#[test]
fn copies_of_videos_are_found() {
    check(Modality::Video, films::planted());
}

#[test]
fn copies_of_sounds_are_found() {
    check(Modality::Audio, sounds::planted());
}

#[test]
fn copies_of_meshes_are_found() {
    check(Modality::Mesh, solids::planted());
}

/// One medium's number and what deduplication knows of it.
struct Signed {
    original: usize,
    change: String,
    words: Vec<u64>,
    keys: BTreeSet<u64>,
}

#[expect(
    clippy::print_stdout,
    reason = "the table is what the test is read for"
)]
fn check(modality: Modality, planted: Vec<Planted>) {
    let signature = of_modality(modality).unwrap();
    let signed = signed(modality, planted);
    let (mut wanted, mut found, mut reported, mut candidates, mut pairs) =
        (0_u64, 0_u64, 0_u64, 0_u64, 0_u64);
    let mut by_change: BTreeMap<&str, (u64, u64, f64)> = BTreeMap::new();
    let mut closest_stranger = 0.0_f64;
    for (index, one) in signed.iter().enumerate() {
        for other in &signed[..index] {
            let is_candidate = one.keys.intersection(&other.keys).next().is_some();
            let similarity = signature.similarity(&one.words, &other.words);
            let is_near = is_candidate && similarity >= signature.threshold();
            let is_copy = one.original == other.original;
            pairs += 1;
            candidates += u64::from(is_candidate && !is_copy);
            reported += u64::from(is_near);
            found += u64::from(is_near && is_copy);
            wanted += u64::from(is_copy);
            if !is_copy {
                closest_stranger = closest_stranger.max(similarity);
                if is_near && one.change == ORIGINAL && other.change == ORIGINAL {
                    let (one, other) = (one.original, other.original);
                    println!(
                        "  {modality} {other} and {one} are taken for copies: {similarity:.3}"
                    );
                }
            } else if other.change == ORIGINAL {
                let entry = by_change.entry(&one.change).or_insert((0, 0, 1.0));
                entry.0 += 1;
                entry.1 += u64::from(is_near);
                entry.2 = entry.2.min(similarity);
            }
        }
    }
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let (recall, precision) = (share(found, wanted), share(found, reported));
    println!("\n{modality}: {} media, {pairs} pairs", signed.len());
    for (change, (count, found, least)) in &by_change {
        println!("  {change:<34} {found:>4} of {count:<4}  least similarity {least:.3}");
    }
    println!(
        "  all copies among one another: recall {recall:.4}, precision {precision:.4}; \
         threshold {:.3}, closest strangers {closest_stranger:.3}, {:.4} of strangers are looked at",
        signature.threshold(),
        share(candidates, pairs - wanted),
    );
    for (change, (count, found, _)) in by_change {
        assert!(
            share(found, count) >= 0.98,
            "{modality}, {change}: {found} of {count}"
        );
    }
    assert!(precision >= 0.98, "{modality}: precision {precision}");
}

const ORIGINAL: &str = "as it is";

fn signed(modality: Modality, planted: Vec<Planted>) -> Vec<Signed> {
    let signature = of_modality(modality).unwrap();
    let sign = |medium: Planted| {
        let words = signature.words(&medium.bytes, &Limits::default());
        let words =
            words.unwrap_or_else(|error| panic!("{} {}: {error}", medium.original, medium.change));
        Signed {
            original: medium.original,
            change: medium.change,
            keys: signature.keys(&words).into_iter().collect(),
            words,
        }
    };
    planted.into_iter().map(sign).collect()
}
