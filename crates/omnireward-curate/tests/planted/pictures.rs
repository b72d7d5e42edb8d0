//! Pictures, and how copies of them are changed.

use image::imageops::crop_imm;
use omnireward_media::{
    Limits, RgbImage,
    image::{decode_on_white, encode_jpeg, encode_png, resize_bicubic, shrink_to_fit},
};
use omnireward_testkit::real_data;

use crate::{ORIGINAL, Planted, noise::Noise};

/// Real photographs, generated pictures and paintings; none is an edit of another.
const REAL: [&str; 20] = [
    "image/mjbench_objects/furniture_16.jpg",
    "image/mjbench_objects/furniture_17.jpg",
    "image/mjbench_objects/furniture_44.jpg",
    "image/mjbench_objects/furniture_50.jpg",
    "image/mjbench_objects/furniture_53.jpg",
    "image/mjbench_objects/furniture_54.jpg",
    "image/mjbench_objects/furniture_55.jpg",
    "image/mjbench_objects/furniture_57.jpg",
    "image/mjbench_objects/furniture_58.jpg",
    "image/mjbench_objects/furniture_68.jpg",
    "image/imagereward_demo/1.webp",
    "image/imagereward_demo/2.webp",
    "image/imagereward_demo/3.webp",
    "image/imagereward_demo/4.webp",
    "image/edit_demo/source_img_1.png",
    "image/ti2t_demo/cars1.jpg",
    "media/image/jpg_portrait_2.jpg",
    "media/image/jpg_progressive_3.jpg",
    "media/image/jpg_progressive_cat.jpg",
    "media/image/webp_lossless_images_simple.webp",
];

const GENERATED: usize = 30;

pub(crate) fn planted() -> Vec<Planted> {
    let mut originals = real();
    originals.extend(
        (0..GENERATED).map(|seed| generated(seed, [(240, 180), (200, 200), (150, 220)][seed % 3])),
    );
    let copies = originals.iter().enumerate();
    copies
        .flat_map(|(original, picture)| copies_of(original, picture))
        .collect()
}

/// The real pictures at 256 pixels, so that the test takes seconds.
fn real() -> Vec<RgbImage> {
    if real_data("image").is_none() {
        return Vec::new();
    }
    let decode = |path: &str| {
        let bytes = std::fs::read(real_data(path).unwrap()).unwrap();
        shrink_to_fit(
            &decode_on_white(&bytes, &Limits::default()).unwrap(),
            256,
            256,
        )
    };
    REAL.map(decode).to_vec()
}

/// Hills of colour with soft-edged blobs before them.
pub(crate) fn generated(seed: usize, (width, height): (u32, u32)) -> RgbImage {
    let mut noise = Noise::new(seed);
    let waves: Vec<[f64; 6]> = (0..14)
        .map(|octave| {
            let pitch = 2.0 + f64::from(octave) * 1.3;
            let turn = noise.between(0.0, 6.3);
            [
                pitch * turn.cos(),
                pitch * turn.sin(),
                noise.between(0.0, 6.3),
                40.0 / pitch.sqrt(),
                noise.unit(),
                noise.unit(),
            ]
        })
        .collect();
    let blobs: Vec<[f64; 7]> = (0..5)
        .map(|_| {
            let place = [
                noise.unit(),
                noise.unit(),
                noise.between(0.04, 0.25),
                noise.between(0.04, 0.25),
            ];
            let colour = [0; 3].map(|_: i32| noise.between(0.0, 255.0));
            [
                place[0], place[1], place[2], place[3], colour[0], colour[1], colour[2],
            ]
        })
        .collect();
    let base = [0; 3].map(|_: i32| noise.between(70.0, 180.0));
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (
            f64::from(x) / f64::from(width),
            f64::from(y) / f64::from(height),
        );
        let mut colour = base;
        for [across, down, phase, strength, green, blue] in &waves {
            let level = strength * (across * x + down * y + phase).sin();
            colour[0] += level;
            colour[1] += level * (0.5 + green);
            colour[2] += level * (0.5 + blue);
        }
        for [left, top, wide, high, red, green, blue] in &blobs {
            let inside = 1.0 - ((x - left) / wide).powi(2) - ((y - top) / high).powi(2);
            let cover = (4.0 * inside).clamp(0.0, 0.7);
            for (channel, blob) in colour.iter_mut().zip([red, green, blue]) {
                *channel += cover * (blob - *channel);
            }
        }
        colour.map(|channel| channel.clamp(0.0, 255.0) as u8).into()
    })
}

fn copies_of(original: usize, picture: &RgbImage) -> Vec<Planted> {
    let mut noise = Noise::new(1000 + original);
    let mut copies = Vec::new();
    let mut put = |change: &str, bytes: Vec<u8>| {
        let change = change.to_owned();
        copies.push(Planted {
            original,
            change,
            bytes,
        });
    };
    put(ORIGINAL, encode_png(picture));
    for quality in [30, 60, 90] {
        put(
            &format!("JPEG, quality {quality}"),
            encode_jpeg(picture, quality),
        );
    }
    for scale in [0.5, 0.75, 1.5, 2.0] {
        put(
            &format!("resized by {scale}"),
            encode_png(&resized(picture, scale)),
        );
    }
    for number in 1..=3 {
        let (x, y) = (noise.unit(), noise.unit());
        put(
            &format!("cropped by 5 % at random, {number}"),
            encode_png(&cropped(picture, 0.05, x, y)),
        );
    }
    put(
        "cropped by 5 % on every side",
        encode_png(&cropped(picture, 0.1, 0.5, 0.5)),
    );
    put("brightness +10 %", encode_png(&brightened(picture, 1.1)));
    put("brightness -10 %", encode_png(&brightened(picture, 0.9)));
    let all = brightened(
        &resized(&cropped(picture, 0.05, noise.unit(), noise.unit()), 0.6),
        1.1,
    );
    put("all at once", encode_jpeg(&all, 60));
    copies
}

pub(crate) fn resized(picture: &RgbImage, scale: f64) -> RgbImage {
    let side = |length: u32| (f64::from(length) * scale).round().max(1.0) as u32;
    resize_bicubic(picture, side(picture.width()), side(picture.height()))
}

/// Without `share` of each side, of which `x` and `y` are taken off the left and the top.
pub(crate) fn cropped(picture: &RgbImage, share: f64, x: f64, y: f64) -> RgbImage {
    let off = |length: u32| (f64::from(length) * share).round() as u32;
    let (wide, high) = (off(picture.width()), off(picture.height()));
    let (left, top) = ((f64::from(wide) * x) as u32, (f64::from(high) * y) as u32);
    crop_imm(
        picture,
        left,
        top,
        picture.width() - wide,
        picture.height() - high,
    )
    .to_image()
}

pub(crate) fn brightened(picture: &RgbImage, factor: f64) -> RgbImage {
    let mut picture = picture.clone();
    for channel in picture.iter_mut() {
        *channel = (f64::from(*channel) * factor).round().min(255.0) as u8;
    }
    picture
}
