//! Pictures made worse.

use omnireward_media::RgbImage;

use super::{
    aspect::{Damage, Defect},
    random::Random,
};

/// Does to a picture what is wrong with it.
pub(super) fn damage(image: RgbImage, damage: &Damage, random: &mut Random) -> RgbImage {
    let [blur, noise, banding, blocks] =
        [Defect::Blur, Defect::Noise, Defect::Banding, Defect::Blocks]
            .map(|defect| damage.level(defect));
    let mut image = image;
    if blur > 0 {
        image = blurred(&image, blur);
    }
    if blocks > 0 {
        blocked(&mut image, blocks);
    }
    if banding > 0 {
        banded(&mut image, banding, random);
    }
    if noise > 0 {
        noisy(&mut image, noise, random);
    }
    image
}

/// A mean over a square window, twice.
pub(super) fn blurred(image: &RgbImage, level: u8) -> RgbImage {
    let radius = [0, 2, 4][usize::from(level)];
    let once = averaged(&averaged(image, radius, Axis::Across), radius, Axis::Down);
    averaged(&averaged(&once, radius, Axis::Across), radius, Axis::Down)
}

#[derive(Clone, Copy)]
enum Axis {
    Across,
    Down,
}

/// The mean of each pixel and its neighbours along an axis; the border repeats outward.
fn averaged(image: &RgbImage, radius: i32, axis: Axis) -> RgbImage {
    let (width, height) = image.dimensions();
    let last = match axis {
        Axis::Across => width as i32 - 1,
        Axis::Down => height as i32 - 1,
    };
    RgbImage::from_fn(width, height, |x, y| {
        let mut sums = [0_u32; 3];
        for offset in -radius..=radius {
            let pixel = match axis {
                Axis::Across => image.get_pixel((x as i32 + offset).clamp(0, last) as u32, y),
                Axis::Down => image.get_pixel(x, (y as i32 + offset).clamp(0, last) as u32),
            };
            for (sum, channel) in sums.iter_mut().zip(pixel.0) {
                *sum += u32::from(channel);
            }
        }
        let size = 2 * radius as u32 + 1;
        sums.map(|sum| ((sum + size / 2) / size) as u8).into()
    })
}

/// Adds to each channel a number of its own.
fn noisy(image: &mut RgbImage, level: u8, random: &mut Random) {
    let strength = [0.0, 32.0, 72.0][usize::from(level)];
    for channel in image.iter_mut() {
        let noise = random.between(-strength, strength);
        *channel = (f32::from(*channel) + noise).round().clamp(0.0, 255.0) as u8;
    }
}

/// Darkens every other stripe, or lightens it where the background is dark.
fn banded(image: &mut RgbImage, level: u8, random: &mut Random) {
    const HEIGHT: u32 = 4;
    const DARK: u8 = 80;
    let share = [0.0, 0.18, 0.4][usize::from(level)];
    let target = if image.get_pixel(0, 0).0[1] < DARK {
        255.0
    } else {
        0.0
    };
    let first = random.below(2 * HEIGHT as usize) as u32;
    for (_, y, pixel) in image.enumerate_pixels_mut() {
        if ((y + first) / HEIGHT).is_multiple_of(2) {
            for channel in &mut pixel.0 {
                let way = target - f32::from(*channel);
                *channel = (f32::from(*channel) + share * way).round() as u8;
            }
        }
    }
}

/// Gives all pixels of a square the square's mean.
fn blocked(image: &mut RgbImage, level: u8) {
    let size = [1, 4, 7][usize::from(level)];
    let (width, height) = image.dimensions();
    for top in (0..height).step_by(size as usize) {
        for left in (0..width).step_by(size as usize) {
            let pixels = || {
                let rows = top..(top + size).min(height);
                rows.flat_map(move |y| (left..(left + size).min(width)).map(move |x| (x, y)))
            };
            let mut sums = [0_u32; 3];
            for (x, y) in pixels() {
                for (sum, channel) in sums.iter_mut().zip(image.get_pixel(x, y).0) {
                    *sum += u32::from(channel);
                }
            }
            let count = pixels().count() as u32;
            let mean = sums.map(|sum| ((sum + count / 2) / count) as u8);
            for (x, y) in pixels() {
                image.put_pixel(x, y, mean.into());
            }
        }
    }
}
