//! Between the sRGB of files and screens and the linear light that shading adds up in.
//! The curve is that of IEC 61966-2-1.

use std::sync::LazyLock;

/// A level of 0 to 255 in linear light.
pub(super) static LINEAR_OF_BYTE: LazyLock<[f32; 256]> =
    LazyLock::new(|| std::array::from_fn(|level| linear(level as f32 / 255.0)));

const STEPS: usize = 8192;

static BYTE_OF_LINEAR: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..=STEPS)
        .map(|step| (encoded(step as f32 / STEPS as f32) * 255.0).round() as u8)
        .collect()
});

/// sRGB of 0 to 1 in linear light.
pub(super) fn linear(encoded: f32) -> f32 {
    let encoded = encoded.clamp(0.0, 1.0);
    if encoded <= 0.040_45 {
        encoded / 12.92
    } else {
        ((encoded + 0.055) / 1.055).powf(2.4)
    }
}

/// A colour from a file that means sRGB; the fourth number is opacity and not encoded.
pub(super) fn linear_rgba([r, g, b, a]: [f32; 4]) -> [f32; 4] {
    [linear(r), linear(g), linear(b), a.clamp(0.0, 1.0)]
}

/// Linear light as a level of the screen.
pub(super) fn byte(linear: f32) -> u8 {
    BYTE_OF_LINEAR[(linear.clamp(0.0, 1.0) * STEPS as f32) as usize]
}

fn encoded(linear: f32) -> f32 {
    if linear <= 0.003_130_8 {
        linear * 12.92
    } else {
        1.055 * linear.powf(1.0 / 2.4) - 0.055
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_levels() {
        assert!((linear(0.5) - 0.214_041).abs() < 1e-5);
        assert_eq!(byte(0.214_041), 127);
        assert_eq!((byte(-1.0), byte(2.0), byte(f32::NAN)), (0, 255, 0));
    }

    #[test]
    fn levels_survive_the_round_trip_within_one() {
        for level in 0..=255_u8 {
            assert!(byte(LINEAR_OF_BYTE[usize::from(level)]).abs_diff(level) <= 1);
        }
    }
}
