/// How many pixels a picture may have after it was resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pixels {
    pub(super) least: u64,
    pub(super) most: u64,
}

/// A picture whose sides differ more is refused, as the original refuses it.
const MOST_ELONGATED: f64 = 200.0;

/// The height and width to which a picture is resized: whole multiples of `unit`, of about its proportions, with a
/// number of pixels between the limits. Half cases go to the even multiple.
///
/// All in `f64` and in the original's order (`smart_resize`), since its rounding decides.
///
/// # Errors
///
/// Says what is wrong with the picture: no pixels, or one side over 200 times as long as the other.
pub(super) fn resized(
    (height, width): (u32, u32),
    unit: u32,
    pixels: Pixels,
) -> Result<(u32, u32), String> {
    if height == 0 || width == 0 {
        return Err("it has no pixels".to_owned());
    }
    let (height, width, unit) = (f64::from(height), f64::from(width), f64::from(unit));
    let elongated = height.max(width) / height.min(width);
    if elongated > MOST_ELONGATED {
        return Err(format!(
            "one of its sides is {elongated:.0} times as long as the other, and {MOST_ELONGATED} times is the most"
        ));
    }
    let (least, most) = (pixels.least as f64, pixels.most as f64);
    let nearest = |side: f64| (side / unit).round_ties_even() * unit;
    let (mut new_height, mut new_width) = (nearest(height), nearest(width));
    if new_height * new_width > most {
        let factor = (height * width / most).sqrt();
        let shrunk = |side: f64| ((side / factor / unit).floor() * unit).max(unit);
        (new_height, new_width) = (shrunk(height), shrunk(width));
    } else if new_height * new_width < least {
        let factor = (least / (height * width)).sqrt();
        let enlarged = |side: f64| (side * factor / unit).ceil() * unit;
        (new_height, new_width) = (enlarged(height), enlarged(width));
    }
    Ok((new_height as u32, new_width as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: Pixels = Pixels {
        least: 56 * 56,
        most: 16384 * 28 * 28,
    };

    #[test]
    fn sizes_are_the_published_processors() {
        let cases = [
            ((1080, 1920), (1092, 1932)),
            ((480, 640), (476, 644)),
            ((14, 14), (56, 56)),
            ((30, 30), (56, 56)),
            ((42, 70), (56, 56)),
            ((98, 126), (112, 112)),
            ((5000, 5000), (3556, 3556)),
            ((28, 5600), (28, 5600)),
        ];
        for (size, expected) in cases {
            assert_eq!(resized(size, 28, PUBLISHED), Ok(expected), "{size:?}");
        }
    }

    /// Height, width, least and most pixels, and what transformers makes of them.
    #[test]
    fn sizes_are_those_of_the_reference() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/parity/models/qwen2_5_vl/resize.json"
        );
        let table: Vec<[u32; 6]> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(table.len() > 500);
        for [height, width, least, most, expected_height, expected_width] in table {
            let pixels = Pixels {
                least: least.into(),
                most: most.into(),
            };
            assert_eq!(
                resized((height, width), 28, pixels),
                Ok((expected_height, expected_width)),
                "{height} × {width}, {pixels:?}"
            );
        }
    }

    #[test]
    fn pictures_without_pixels_and_very_long_ones_are_refused() {
        for size in [(0, 5), (5, 0), (1, 201), (5601, 28)] {
            assert!(resized(size, 28, PUBLISHED).is_err(), "{size:?}");
        }
        assert!(resized((1, 200), 28, PUBLISHED).is_ok());
    }
}
