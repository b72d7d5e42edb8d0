use ::image::RgbImage;

/// How luma and chroma make red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ColorSpace {
    matrix: Matrix,
    is_full_range: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Matrix {
    Bt601,
    Bt709,
    Smpte240,
    Bt2020,
    Fcc,
}

impl Default for ColorSpace {
    /// BT.601 in the limited range, as FFmpeg takes streams that do not say.
    fn default() -> Self {
        Self {
            matrix: Matrix::Bt601,
            is_full_range: false,
        }
    }
}

impl ColorSpace {
    /// The matrix code of a stream that does not say.
    pub(super) const UNSPECIFIED_MATRIX: u32 = 2;

    /// From `matrix_coefficients` of the standard (ITU-T H.273) and the range flag.
    pub(super) fn from_codes(matrix: u32, is_full_range: bool) -> Self {
        let matrix = match matrix {
            1 => Matrix::Bt709,
            4 => Matrix::Fcc,
            7 => Matrix::Smpte240,
            9 | 10 => Matrix::Bt2020,
            _ => Matrix::Bt601,
        };
        Self {
            matrix,
            is_full_range,
        }
    }
}

/// A picture in planes, one chroma sample for each 2 × 2 pixels.
pub(super) struct Planes<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) luma: &'a [u8],
    pub(super) luma_stride: usize,
    pub(super) chroma: [&'a [u8]; 2],
    pub(super) chroma_stride: usize,
}

/// Converts a picture to RGB with exactly the integer arithmetic of FFmpeg's `swscale` on x86, so
/// that our frames equal those of PyAV's `to_rgb`: each product is cut to sixteen bits before the
/// sum, and a chroma sample colors its 2 × 2 pixels without interpolation.
pub(super) fn to_rgb(planes: &Planes<'_>, colors: ColorSpace) -> RgbImage {
    let factors = Factors::of(colors);
    let (width, height) = (planes.width, planes.height);
    let mut pixels = vec![0; width * height * 3];
    for (row, out) in pixels.chunks_exact_mut(width * 3).enumerate() {
        let luma = &planes.luma[row * planes.luma_stride..][..width];
        let chroma = planes
            .chroma
            .map(|plane| &plane[row / 2 * planes.chroma_stride..][..width.div_ceil(2)]);
        convert_row(&factors, luma, chroma, out);
    }
    RgbImage::from_raw(width as u32, height as u32, pixels).expect("three bytes for each pixel")
}

/// Factors in units of 2⁻¹³, for samples in units of 1/8.
struct Factors {
    luma: i32,
    luma_offset: i32,
    red_v: i32,
    green_u: i32,
    green_v: i32,
    blue_u: i32,
}

impl Factors {
    /// The chroma factors of FFmpeg's `ff_yuv2rgb_coeffs`, in units of 2⁻¹⁶, for the limited range.
    fn of(colors: ColorSpace) -> Self {
        let [red_v, blue_u, green_u, green_v] = match colors.matrix {
            Matrix::Bt601 => [104_597, 132_201, 25_675, 53_279],
            Matrix::Bt709 => [117_489, 138_438, 13_975, 34_925],
            Matrix::Smpte240 => [117_579, 136_230, 16_907, 35_559],
            Matrix::Bt2020 => [110_013, 140_363, 12_277, 42_626],
            Matrix::Fcc => [104_448, 132_798, 24_759, 53_109],
        };
        let (luma, luma_offset) = if colors.is_full_range {
            (1 << 16, 0)
        } else {
            ((255 << 16) / 219, 16)
        };
        let ranged = |factor: i64| {
            if colors.is_full_range {
                factor * 224 / 255
            } else {
                factor
            }
        };
        let rounded = |factor: i64| ((factor * (1 << 13) + (1 << 15)) >> 16) as i32;
        Self {
            luma: rounded(luma),
            luma_offset: luma_offset * 8,
            red_v: rounded(ranged(red_v)),
            green_u: rounded(-ranged(green_u)),
            green_v: rounded(-ranged(green_v)),
            blue_u: rounded(ranged(blue_u)),
        }
    }
}

fn convert_row(factors: &Factors, luma: &[u8], [u, v]: [&[u8]; 2], out: &mut [u8]) {
    let product = |sample: i32, factor: i32| (sample * factor) >> 16;
    let pairs = out.chunks_mut(6).zip(luma.chunks(2)).zip(u.iter().zip(v));
    for ((out, luma), (&u, &v)) in pairs {
        let u = i32::from(u) * 8 - 1024;
        let v = i32::from(v) * 8 - 1024;
        let tint = [
            product(v, factors.red_v),
            product(u, factors.green_u) + product(v, factors.green_v),
            product(u, factors.blue_u),
        ];
        for (pixel, &luma) in out.chunks_exact_mut(3).zip(luma) {
            let light = product(i32::from(luma) * 8 - factors.luma_offset, factors.luma);
            for (channel, tint) in pixel.iter_mut().zip(tint) {
                *channel = (light + tint).clamp(0, 255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(luma: u8, u: u8, v: u8, colors: ColorSpace) -> [u8; 3] {
        let planes = Planes {
            width: 1,
            height: 1,
            luma: &[luma],
            luma_stride: 1,
            chroma: [&[u], &[v]],
            chroma_stride: 1,
        };
        to_rgb(&planes, colors).get_pixel(0, 0).0
    }

    #[test]
    fn black_white_and_red() {
        let limited = ColorSpace::default();
        assert_eq!(convert(16, 128, 128, limited), [0, 0, 0]);
        assert_eq!(convert(235, 128, 128, limited), [255, 255, 255]);
        assert_eq!(convert(255, 128, 128, limited), [255, 255, 255]);
        let [red, green, blue] = convert(81, 90, 240, limited);
        assert!(red > 250 && green < 3 && blue < 3, "{red} {green} {blue}");

        let full = ColorSpace::from_codes(1, true);
        assert_eq!(convert(0, 128, 128, full), [0, 0, 0]);
        assert_eq!(convert(128, 128, 128, full), [128, 128, 128]);
    }

    #[test]
    fn odd_sizes_have_a_last_chroma_sample_of_their_own() {
        let planes = Planes {
            width: 3,
            height: 3,
            luma: &[128; 9],
            luma_stride: 3,
            chroma: [&[128, 240, 128, 240], &[128; 4]],
            chroma_stride: 2,
        };
        let image = to_rgb(&planes, ColorSpace::default());
        assert_eq!(image.get_pixel(1, 1), image.get_pixel(0, 0));
        assert_ne!(image.get_pixel(2, 2), image.get_pixel(0, 0));
        assert_eq!(image.get_pixel(2, 0), image.get_pixel(2, 2));
    }
}
