//! The preference sets that Omni-RewardData is made of, generated in the layout in which their owners publish them.
//!
//! Ten are the raw sets; six are the subsets that Omni-Reward's authors rewrote with criteria, in the form in which
//! Omni-RewardData itself is published: a folder a subset, parquet with the columns of LLaMA-Factory's ranking form.
//! Words, labels and names of media follow from the seed and the pair's position alone.
#![expect(
    clippy::missing_panics_doc,
    reason = "a test whose files cannot be written has to stop"
)]

mod rows;
mod table;
mod words;

use std::{fs, path::Path};

use omnireward_core::Modality;

use self::rows::Source;

/// The names of all sources. The first seven and the last six are the thirteen subsets of Omni-RewardData.
pub const NAMES: [&str; 16] = [
    "skywork_reward",
    "rlaifv",
    "omnialign",
    "hpdv2",
    "evalmuse",
    "videodpo",
    "visionreward",
    "ultrafeedback",
    "vlfeedback",
    "open_image_preferences",
    "omni_t2t_skywork",
    "omni_t2t_ultrafeedback",
    "omni_ti2t_rlaifv",
    "omni_ti2t_vlfeedback",
    "omni_t2i_hpd",
    "omni_t2i_oip",
];

/// The pairs of each subset of Omni-RewardData as its paper counts them: 317,382 in all.
pub const PUBLISHED_PAIRS: [(&str, u64); 13] = [
    ("skywork_reward", 50_000),
    ("omni_t2t_skywork", 16_376),
    ("omni_t2t_ultrafeedback", 7_901),
    ("rlaifv", 83_124),
    ("omnialign", 50_000),
    ("omni_ti2t_rlaifv", 15_867),
    ("omni_ti2t_vlfeedback", 12_311),
    ("hpdv2", 50_000),
    ("evalmuse", 2_944),
    ("omni_t2i_hpd", 8_959),
    ("omni_t2i_oip", 8_105),
    ("videodpo", 10_000),
    ("visionreward", 1_795),
];

/// Writes the source of that name into `folder`, so that reading it gives exactly `pairs` pairs.
///
/// Media that the layout embeds are embedded (a handful of small pictures, used again and again); those that it names
/// are only named. The sets with ratings hold as many records as that takes: `ultrafeedback` and `vlfeedback` rate four
/// answers, which is six pairs a record, some of them ties; `evalmuse` rates two pictures a prompt.
pub fn write(folder: &Path, name: &str, pairs: u64, seed: u64) {
    rows::write(folder, Source::named(name), pairs, seed);
}

/// As [`write()`], and makes every file that the records name: small pictures, and clips that are animated pictures.
pub fn write_with_media(folder: &Path, name: &str, pairs: u64, seed: u64) {
    let source = Source::named(name);
    rows::write(folder, source, pairs, seed);
    let pictures = rows::pictures();
    let clip = video();
    for index in 0..pairs {
        for (place, (file, modality)) in source.media(index).into_iter().enumerate() {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().expect("a file is in a folder"))
                .expect("the folder can be made");
            let bytes = match modality {
                Modality::Video => &clip,
                _ => &pictures[(index as usize + 7 * place) % pictures.len()],
            };
            fs::write(path, bytes).expect("the file can be written");
        }
    }
}

fn video() -> Vec<u8> {
    match crate::pairs::medium(Modality::Video, 1, "clip").source {
        omnireward_core::MediaSource::Bytes { bytes, .. } => bytes.to_vec(),
        _ => unreachable!("media made here are bytes"),
    }
}
