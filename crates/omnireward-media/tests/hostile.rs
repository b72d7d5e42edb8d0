//! Real files, damaged in ways that repeat: a decoder may refuse them or show something, but must
//! not panic, hang, or allocate what a lie in the file asks for.
#![expect(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "helpers of tests, over files whose names are known"
)]

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use omnireward_media::{
    Limits, image,
    video::{Decoders, Video, spread},
};
use omnireward_testkit::real_data;

/// Small files of every format that is decoded in this process.
const FILES: [&str; 17] = [
    "media/image/gif_anim_mixed-disposal.gif",
    "media/image/gif_anim_large-gif-anim-combine.gif",
    "media/image/gif_simple_alpha_gif_a.gif",
    "media/image/jpg_portrait_2.jpg",
    "media/image/jpg_progressive_cat.jpg",
    "media/image/tests_regression_jpg_oss-fuzz-36829.jpeg",
    "media/image/png_16bpc_basn6a16.png",
    "media/image/png_apng_ball.png",
    "media/image/png_interlaced_basi2c08.png",
    "media/image/webp_extended_images_anim.webp",
    "media/image/webp_extended_images_lossy_alpha.webp",
    "media/image/webp_lossless_images_simple.webp",
    "media/image/webp_lossy_images_simple-rgb.webp",
    "media/video/demo_h264.avi",
    "media/video/nasa_13013.mp4",
    "video/videophy2/A_player_lunges_to_reach_a_low_shot__reaching_the_shuttlecock_with_their_racquet.mp4",
    "video/videophy/Coffee_accepting_a_gentle_pour_of_milk_1.mp4",
];

const STRICT: Limits = Limits {
    bytes: 8 << 20,
    pixels: 4 << 20,
    frames: 2000,
    seconds: 600.0,
    triangles: 0,
};

/// xorshift64*, so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound.max(1)
    }
}

/// Decodes every way there is; whether it succeeds does not matter. No external program is used.
fn decode_all(bytes: &[u8]) {
    let without_programs = Decoders {
        ffmpeg: None,
        ..Decoders::default()
    };
    let start = Instant::now();
    let _ = image::decode(bytes, &STRICT);
    if let Ok(video) = Video::open_with(Arc::from(bytes), &STRICT, &without_programs) {
        let _ = video.frames_at(&spread(video.info().frames, 3));
    }
    // Far above what an undamaged file of these takes, far below a hang.
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    const EXTREMES: [[u8; 4]; 5] = [
        [0xFF; 4],
        [0; 4],
        [0x7F, 0xFF, 0xFF, 0xFF],
        [0, 0, 0, 1],
        [0x80, 0, 0, 0],
    ];
    for _ in 0..=random.below(6) {
        if bytes.len() < 8 {
            return;
        }
        // Headers are where lies matter most.
        let reach = if random.below(2) == 0 {
            bytes.len().min(2048)
        } else {
            bytes.len()
        };
        let at = random.below(reach - 4);
        match random.below(4) {
            0 => bytes[at] = random.below(256) as u8,
            1 => bytes[at..at + 4].copy_from_slice(&EXTREMES[random.below(EXTREMES.len())]),
            2 => drop(bytes.drain(at..(at + 1 + random.below(64)).min(reach))),
            _ => {
                let copy = bytes[at..(at + 1 + random.below(64)).min(reach)].to_vec();
                let to = random.below(reach);
                bytes.splice(to..to, copy);
            }
        }
    }
}

/// How often each file is damaged; more is set with `OMNIREWARD_FUZZ_ROUNDS`.
fn rounds() -> u64 {
    std::env::var("OMNIREWARD_FUZZ_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(100)
}

#[test]
fn damaged_files_are_survived() {
    for (file, name) in (1_u64..).zip(FILES) {
        let Some(path) = real_data(name) else { return };
        let whole = fs::read(path).unwrap();
        for round in 0..rounds() {
            let mut random = Random(file << 32 | (round + 1));
            let mut damaged = whole.clone();
            damage(&mut damaged, &mut random);
            if let Err(panic) = std::panic::catch_unwind(|| decode_all(&damaged)) {
                eprintln!("{name}, round {round}");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn truncated_files_are_errors() {
    for name in FILES {
        let Some(path) = real_data(name) else { return };
        let whole = fs::read(path).unwrap();
        let is_video = name.ends_with(".mp4") || name.ends_with(".avi");
        for part in 1..8 {
            let cut = &whole[..whole.len() * part / 8];
            if is_video {
                assert!(
                    Video::open(cut.into(), &STRICT).is_err(),
                    "{name}, {part}/8"
                );
            } else if part < 4 && !name.contains("anim") && !name.contains("ball") {
                assert!(image::decode(cut, &STRICT).is_err(), "{name}, {part}/8");
            } else {
                decode_all(cut);
            }
        }
    }
}

#[test]
fn a_picture_of_a_hundred_megapixels_is_refused_by_its_header() {
    let Some(path) = real_data("media/image/png_16bpc_basn6a16.png") else {
        return;
    };
    let mut bytes = fs::read(path).unwrap();
    bytes[16..24].copy_from_slice(&[0, 0, 0x27, 0x10, 0, 0, 0x27, 0x10]);
    // The header's checksum is wrong now, and either complaint will do.
    assert!(image::decode(&bytes, &Limits::default()).is_err());

    let Some(path) = real_data("media/image/jpg_progressive_cat.jpg") else {
        return;
    };
    let mut bytes = fs::read(path).unwrap();
    let frame = bytes
        .windows(2)
        .position(|marker| marker == [0xFF, 0xC2])
        .unwrap();
    bytes[frame + 5..frame + 9].copy_from_slice(&[0x27, 0x10, 0x27, 0x10]);
    let error = image::decode(&bytes, &Limits::default()).unwrap_err();
    assert!(error.is_limit(), "{error}");
}
