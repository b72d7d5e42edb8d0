//! Videos, and how copies of them are changed.

use std::sync::Arc;

use omnireward_media::{
    Limits, RgbImage,
    image::shrink_to_fit,
    video::{Video, encode_gif},
};
use omnireward_testkit::real_data;

use crate::{
    ORIGINAL, Planted,
    pictures::{brightened, cropped, generated, resized},
};

/// Videos of different things. Of the four films of FETV, which show the same prompt, all count as
/// different.
const REAL: [&str; 13] = [
    "video/videoalign/example_1_A.mp4",
    "video/videoalign/example_1_B.mp4",
    "video/videophy/A_spatula_scoops_up_cake_batter_into_a_baking_pan._0.mp4",
    "video/videophy/Coffee_accepting_a_gentle_pour_of_milk_1.mp4",
    "video/videophy/Pushpin_skates_across_a_glossy_desk_surface._1.mp4",
    "video/videophy2/A_large__heavy_pot_is_pushed_on_a_slightly_inclined_kitchen_counter__it_nearly_slides_off_but_remains_in_place.mp4",
    "video/videophy2/A_player_lunges_to_reach_a_low_shot__reaching_the_shuttlecock_with_their_racquet.mp4",
    "video/videophy2/Two_knives_are_thrown_in_a_criss-cross_pattern__nearly_colliding_in_mid-air_before_striking_a_stack_of_wooden_blocks.mp4",
    "video/fetv/cogvideo__1.gif",
    "video/fetv/text2video-zero__1.gif",
    "video/fetv/videofusion__1.gif",
    "video/fetv/zeroscope__1.gif",
    "media/video/demo_h264.avi",
];

const GENERATED: usize = 17;

/// Frames of a copy, and its width and height at most.
const FRAMES: usize = 24;
const SIDE: u32 = 96;

pub(crate) fn planted() -> Vec<Planted> {
    let mut originals = real();
    originals.extend((0..GENERATED).map(|seed| {
        let frames = moving(seed);
        (gif(&frames), frames)
    }));
    let all = originals.into_iter().enumerate();
    all.flat_map(|(original, (bytes, frames))| copies_of(original, bytes, &frames))
        .collect()
}

fn real() -> Vec<(Vec<u8>, Vec<RgbImage>)> {
    if real_data("video").is_none() {
        return Vec::new();
    }
    let read = |path: &str| {
        let bytes = std::fs::read(real_data(path).unwrap()).unwrap();
        let video = Video::open(Arc::from(bytes.as_slice()), &Limits::default()).unwrap();
        let frames = video.frames_at(&evenly(video.info().frames)).unwrap();
        let frames = frames.iter().map(|frame| shrink_to_fit(frame, SIDE, SIDE));
        (bytes, frames.collect())
    };
    REAL.map(read).to_vec()
}

/// The frames that a copy with fewer of them keeps: those in the middles of equal parts.
fn evenly(total: u64) -> Vec<u64> {
    let parts = FRAMES as u64;
    let middles = (0..parts).map(|part| (2 * part + 1) * total / (2 * parts));
    middles.collect()
}

/// A view that wanders over a generated picture.
fn moving(seed: usize) -> Vec<RgbImage> {
    let picture = generated(500 + seed, (160, 130));
    let frame = |number: usize| {
        let place = number as f64 / FRAMES as f64;
        let (x, y) = if seed.is_multiple_of(2) {
            (place, 0.3)
        } else {
            (1.0 - place, place)
        };
        cropped(&picture, 0.5, x, y)
    };
    (0..FRAMES).map(frame).collect()
}

fn gif(frames: &[RgbImage]) -> Vec<u8> {
    encode_gif(frames, 100).unwrap()
}

fn copies_of(original: usize, bytes: Vec<u8>, frames: &[RgbImage]) -> Vec<Planted> {
    let each = |change: &dyn Fn(&RgbImage) -> RgbImage| {
        gif(&frames.iter().map(change).collect::<Vec<_>>())
    };
    let copies = [
        (ORIGINAL, bytes),
        ("24 frames of it as a GIF", gif(frames)),
        ("resized by 0.5", each(&|frame| resized(frame, 0.5))),
        ("resized by 1.5", each(&|frame| resized(frame, 1.5))),
        (
            "cropped by 5 %",
            each(&|frame| cropped(frame, 0.05, 0.8, 0.3)),
        ),
        ("brightness +10 %", each(&|frame| brightened(frame, 1.1))),
        ("brightness -10 %", each(&|frame| brightened(frame, 0.9))),
    ];
    let planted = copies.into_iter().map(|(change, bytes)| Planted {
        original,
        change: change.to_owned(),
        bytes,
    });
    planted.collect()
}
