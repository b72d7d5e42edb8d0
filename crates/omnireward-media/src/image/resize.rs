//! Resizing byte for byte as Pillow 10 and 11 do, because a vision tower was trained on their pixels.
//!
//! Pillow's filter works in whole numbers: each weight is rounded to 22 binary digits, each pass
//! rounds to a byte, and the horizontal pass comes first. So its result is defined exactly, and ours
//! is equal, whichever instructions compute it. (From version 12 on Pillow does the vertical pass
//! first where the height shrinks far more than the width, which changes the rounding of such
//! pictures.)

mod kernels;

use ::image::RgbImage;

use super::rgb_image;
use kernels::{horizontal, vertical};

/// Resizes with a bicubic filter (a = −½) that widens when it shrinks, as Pillow's
/// `resize(…, BICUBIC)`.
///
/// A picture without pixels gives a black one.
///
/// # Examples
///
/// ```
/// use omnireward_media::{RgbImage, image::resize_bicubic};
///
/// let red = RgbImage::from_pixel(40, 30, [255, 0, 0].into());
/// let small = resize_bicubic(&red, 8, 6);
/// assert_eq!(small, RgbImage::from_pixel(8, 6, [255, 0, 0].into()));
/// ```
pub fn resize_bicubic(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    if image.is_empty() || width == 0 || height == 0 {
        return RgbImage::new(width, height);
    }
    let (old_width, old_height) = image.dimensions();
    let wide = (width != old_width).then(|| {
        let taps = Taps::new(old_width as usize, width as usize);
        rgb_image(
            width,
            old_height,
            horizontal(image, old_width as usize, &taps),
        )
    });
    let wide = wide.as_ref().unwrap_or(image);
    if height == old_height {
        return wide.clone();
    }
    let taps = Taps::new(old_height as usize, height as usize);
    rgb_image(width, height, vertical(wide, 3 * width as usize, &taps))
}

/// Resizes by picking the nearest pixel, as Pillow's `resize(…, NEAREST)`.
///
/// Pillow finds the source of a pixel by adding the step again and again rather than by
/// multiplying, and near the middle between two pixels the sum's rounding decides. About one size
/// in six shows it.
///
/// A picture without pixels gives a black one.
pub fn resize_nearest(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    if image.is_empty() || width == 0 || height == 0 {
        return RgbImage::new(width, height);
    }
    if image.dimensions() == (width, height) {
        return image.clone();
    }
    let row_len = 3 * image.width() as usize;
    let columns: Vec<usize> = nearest(image.width(), width).map(|x| 3 * x).collect();
    let mut pixels = vec![0; 3 * width as usize * height as usize];
    let resized = pixels.chunks_exact_mut(3 * width as usize);
    for (resized, y) in resized.zip(nearest(image.height(), height)) {
        let row = &image.as_raw()[y * row_len..][..row_len];
        for (pixel, &x) in resized.as_chunks_mut::<3>().0.iter_mut().zip(&columns) {
            pixel.copy_from_slice(&row[x..][..3]);
        }
    }
    rgb_image(width, height, pixels)
}

/// The source index of each of `new` pixels on an axis of `old`.
fn nearest(old: u32, new: u32) -> impl Iterator<Item = usize> {
    let step = f64::from(old) / f64::from(new);
    let mut at = step * 0.5;
    (0..new).map(move |_| {
        let index = (at as usize).min(old as usize - 1);
        at += step;
        index
    })
}

/// Binary digits after the point of a weight.
const PRECISION: u32 = 22;

/// Which pixels of an axis make up each pixel of the new one, with their weights.
struct Taps {
    spans: Vec<Span>,
    weights: Vec<i32>,
}

/// The pixels from `first` on, with the weights from `weight` on.
#[derive(Clone, Copy)]
struct Span {
    first: usize,
    weight: usize,
    len: usize,
}

impl Taps {
    /// The bicubic filter from `old` to `new` pixels.
    fn new(old: usize, new: usize) -> Self {
        let scale = old as f64 / new as f64;
        let stretch = scale.max(1.0);
        let support = 2.0 * stretch;
        let inverse = 1.0 / stretch;
        let mut taps = Self {
            spans: Vec::with_capacity(new),
            weights: Vec::new(),
        };
        let mut exact = Vec::new();
        for index in 0..new {
            let centre = (index as f64 + 0.5) * scale;
            // Casts of negative numbers give zero, which is where the axis begins.
            let first = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(old);
            exact.clear();
            exact.extend((first..end).map(|x| {
                // In Pillow's order, for equal rounding.
                bicubic(((x as f64) - centre + 0.5) * inverse)
            }));
            let sum: f64 = exact.iter().sum();
            taps.spans.push(Span {
                first,
                weight: taps.weights.len(),
                len: exact.len(),
            });
            taps.weights
                .extend(exact.iter().map(|&weight| fixed_point(weight, sum)));
        }
        taps
    }

    /// For each pixel of the new axis, the first pixel of the old one and the weights from there on.
    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.spans
            .iter()
            .map(|span| (span.first, &self.weights[span.weight..][..span.len]))
    }

    const fn len(&self) -> usize {
        self.spans.len()
    }
}

fn bicubic(distance: f64) -> f64 {
    const A: f64 = -0.5;
    let t = distance.abs();
    if t < 1.0 {
        ((A + 2.0) * t - (A + 3.0)) * t * t + 1.0
    } else if t < 2.0 {
        (((t - 5.0) * t + 8.0) * t - 4.0) * A
    } else {
        0.0
    }
}

fn fixed_point(weight: f64, sum: f64) -> i32 {
    let normal = if sum == 0.0 { weight } else { weight / sum };
    let scaled = normal * f64::from(1_u32 << PRECISION);
    (if normal < 0.0 {
        scaled - 0.5
    } else {
        scaled + 0.5
    }) as i32
}
