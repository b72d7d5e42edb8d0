//! Still pictures: decoding, putting on white, resizing, tiling and encoding.
//!
//! A picture that says by EXIF how it should be turned is not turned, because the published judges
//! saw it as stored. [`decode_upright`] is for those who want it turned.

mod resize;

use std::io::Cursor;

use ::image::{
    ExtendedColorType, ImageDecoder, ImageEncoder, RgbImage, Rgba, RgbaImage,
    codecs::{
        bmp::BmpDecoder, gif::GifDecoder, jpeg::JpegEncoder, png::PngDecoder, png::PngEncoder,
        webp::WebPDecoder,
    },
    imageops::{self, FilterType},
    metadata::Orientation,
};
use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};

pub use resize::{resize_bicubic, resize_nearest};

use crate::{Error, Format, Limits, contain::contain, sniff::sniff_or_error};

/// Decodes a JPEG, PNG, GIF, WebP or BMP; of an animation, the first frame.
///
/// The format is told by the bytes.
///
/// # Errors
///
/// [`Error::LimitExceeded`] for too many bytes or pixels, found before pixels are allocated;
/// [`Error::Decode`] for a file that is malformed or cut short; [`Error::WrongKind`] and
/// [`Error::UnknownFormat`] for anything else.
///
/// # Examples
///
/// ```
/// use omnireward_media::{Limits, RgbImage, image};
///
/// let red = RgbImage::from_pixel(4, 3, [255, 0, 0].into());
/// let decoded = image::decode(&image::encode_png(&red), &Limits::default())?;
/// assert_eq!(decoded.dimensions(), (4, 3));
/// # Ok::<(), omnireward_media::Error>(())
/// ```
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbaImage, Error> {
    limits.check_bytes(bytes.len() as u64)?;
    match sniff_or_error(bytes)? {
        Format::Jpeg => {
            let (width, height, pixels) = decode_jpeg(bytes, ColorSpace::RGBA, limits)?;
            Ok(rgba_image(width, height, pixels))
        }
        format => decode_with_alpha(format, bytes, limits),
    }
}

/// Decodes a picture as [`decode`] does and turns it as its EXIF orientation says, if it has one.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_upright(bytes: &[u8], limits: &Limits) -> Result<RgbaImage, Error> {
    let image = decode(bytes, limits)?;
    let orientation = contain(sniff_or_error(bytes)?, || Ok(orientation(bytes)))?;
    let mut image = ::image::DynamicImage::ImageRgba8(image);
    image.apply_orientation(orientation);
    Ok(image.into_rgba8())
}

/// How a picture asks to be turned. One that does not say, or says it wrongly, stays as it is.
fn orientation(bytes: &[u8]) -> Orientation {
    ::image::ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .ok()
        .and_then(|reader| reader.into_decoder().ok())
        .and_then(|mut decoder| decoder.orientation().ok())
        .unwrap_or(Orientation::NoTransforms)
}

/// Decodes a picture as [`decode`] does and puts it on white, as [`on_white`] does. Faster than
/// the two together where the format has no transparency.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_on_white(bytes: &[u8], limits: &Limits) -> Result<RgbImage, Error> {
    limits.check_bytes(bytes.len() as u64)?;
    match sniff_or_error(bytes)? {
        Format::Jpeg => {
            let (width, height, pixels) = decode_jpeg(bytes, ColorSpace::RGB, limits)?;
            Ok(rgb_image(width, height, pixels))
        }
        format => decode_with_alpha(format, bytes, limits).map(|image| on_white(&image)),
    }
}

/// Calls the JPEG decoder itself rather than through `image`, which asks it to fill in what a
/// truncated file lacks.
fn decode_jpeg(
    bytes: &[u8],
    colors: ColorSpace,
    limits: &Limits,
) -> Result<(u32, u32, Vec<u8>), Error> {
    let options = DecoderOptions::new_fast()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(colors);
    contain(Format::Jpeg, || {
        let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        let malformed = |reason: &str, cause: String| Error::image("JPEG", reason).caused_by(cause);
        decoder
            .decode_headers()
            .map_err(|cause| malformed("the header is malformed", format!("{cause:?}")))?;
        let (width, height) = decoder
            .dimensions()
            .expect("the headers were decoded, so the dimensions are known");
        let (width, height) = (width as u32, height as u32);
        limits.check_pixels(width, height)?;
        let pixels = decoder.decode().map_err(|cause| {
            malformed("the data are malformed or cut short", format!("{cause:?}"))
        })?;
        let expected = width as usize * height as usize * colors.num_components();
        if pixels.len() != expected {
            return Err(Error::image("JPEG", "the color space is not supported"));
        }
        Ok((width, height, pixels))
    })
}

fn rgb_image(width: u32, height: u32, pixels: Vec<u8>) -> RgbImage {
    RgbImage::from_raw(width, height, pixels).expect("there are three bytes for each pixel")
}

fn rgba_image(width: u32, height: u32, pixels: Vec<u8>) -> RgbaImage {
    RgbaImage::from_raw(width, height, pixels).expect("there are four bytes for each pixel")
}

fn decode_with_alpha(format: Format, bytes: &[u8], limits: &Limits) -> Result<RgbaImage, Error> {
    let input = Cursor::new(bytes);
    contain(format, || match format {
        Format::Png => read_pixels(format, PngDecoder::new(input), limits),
        Format::Gif => read_pixels(format, GifDecoder::new(input), limits),
        Format::WebP => read_pixels(format, WebPDecoder::new(input), limits),
        Format::Bmp => read_pixels(format, BmpDecoder::new(input), limits),
        other => Err(Error::WrongKind {
            expected: "an image",
            found: other.name(),
        }),
    })
}

fn read_pixels<D: ImageDecoder>(
    format: Format,
    decoder: ::image::ImageResult<D>,
    limits: &Limits,
) -> Result<RgbaImage, Error> {
    let mut decoder = decoder
        .map_err(|cause| Error::image(format.name(), "the header is malformed").caused_by(cause))?;
    let (width, height) = decoder.dimensions();
    limits.check_pixels(width, height)?;
    decoder
        .set_limits(allocation_limits(limits))
        .and_then(|()| ::image::DynamicImage::from_decoder(decoder))
        .map(::image::DynamicImage::into_rgba8)
        .map_err(|cause| {
            Error::image(format.name(), "the data are malformed or cut short").caused_by(cause)
        })
}

/// What a decoder may allocate: room for sixteen bytes a pixel, which 16-bit pictures and a
/// working copy take.
pub(crate) fn allocation_limits(limits: &Limits) -> ::image::Limits {
    let mut allowed = ::image::Limits::no_limits();
    allowed.max_alloc = Some(limits.pixels.saturating_mul(16).max(1 << 20));
    allowed
}

/// Composites a picture on white, rounding as Pillow's `alpha_composite` does.
pub fn on_white(image: &RgbaImage) -> RgbImage {
    let mut pixels = Vec::with_capacity(image.len() / 4 * 3);
    for &Rgba([red, green, blue, alpha]) in image.pixels() {
        pixels.extend([red, green, blue].map(|channel| over_white(channel, alpha)));
    }
    rgb_image(image.width(), image.height(), pixels)
}

/// `channel · alpha + 255 · (1 − alpha)`, with the division by 255 rounded to nearest.
fn over_white(channel: u8, alpha: u8) -> u8 {
    let (channel, alpha) = (u32::from(channel), u32::from(alpha));
    let scaled = channel * alpha + 255 * (255 - alpha);
    ((scaled + 127) / 255) as u8
}

/// Encodes a picture as JPEG. `quality` is 1 to 100, on the scale of libjpeg; 75 is Pillow's
/// default.
///
/// # Panics
///
/// When a side is zero or over 65 535 pixels, which JPEG cannot say.
pub fn encode_jpeg(image: &RgbImage, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100))
        .write_image(
            image,
            image.width(),
            image.height(),
            ExtendedColorType::Rgb8,
        )
        .expect("writing to memory succeeds for every size that JPEG has");
    bytes
}

/// Encodes a picture as PNG.
///
/// # Panics
///
/// When a side is zero, which PNG cannot say.
pub fn encode_png(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(
            image,
            image.width(),
            image.height(),
            ExtendedColorType::Rgb8,
        )
        .expect("writing to memory succeeds for every size that PNG has");
    bytes
}

/// Shrinks a picture, keeping its proportions, until it is at most `max_width` by `max_height`. A
/// picture that fits is returned as it is; none is ever enlarged.
pub fn shrink_to_fit(image: &RgbImage, max_width: u32, max_height: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    if width <= max_width && height <= max_height {
        return image.clone();
    }
    let scale =
        (f64::from(max_width) / f64::from(width)).min(f64::from(max_height) / f64::from(height));
    let shrunk = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    imageops::resize(image, shrunk(width), shrunk(height), FilterType::Triangle)
}

/// Tiles pictures into rows of `columns` cells on white, each shrunk to fit its cell and centred.
///
/// The sheet is one white cell when there are no pictures; `columns` counts as at least 1.
pub fn contact_sheet(
    images: &[RgbImage],
    columns: u32,
    cell_width: u32,
    cell_height: u32,
) -> RgbImage {
    let count = images.len().max(1) as u32;
    let columns = columns.clamp(1, count);
    let rows = count.div_ceil(columns);
    let mut sheet = RgbImage::from_pixel(
        columns * cell_width,
        rows * cell_height,
        [255, 255, 255].into(),
    );
    for (cell, image) in (0..).zip(images) {
        let tile = shrink_to_fit(image, cell_width, cell_height);
        let left = cell % columns * cell_width + (cell_width - tile.width()) / 2;
        let top = cell / columns * cell_height + (cell_height - tile.height()) / 2;
        imageops::replace(&mut sheet, &tile, i64::from(left), i64::from(top));
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            [
                (x * 7 % 256) as u8,
                (y * 5 % 256) as u8,
                ((x + y) % 256) as u8,
            ]
            .into()
        })
    }

    #[test]
    fn png_round_trips_exactly_and_jpeg_nearly() {
        let image = gradient(40, 30);
        let limits = Limits::default();
        assert_eq!(
            decode_on_white(&encode_png(&image), &limits).unwrap(),
            image
        );

        let back = decode_on_white(&encode_jpeg(&image, 95), &limits).unwrap();
        assert_eq!(back.dimensions(), image.dimensions());
        let worst = back
            .iter()
            .zip(image.iter())
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        assert!(worst < Some(60), "{worst:?}");
        let rgba = decode(&encode_jpeg(&image, 95), &limits).unwrap();
        assert_eq!(on_white(&rgba), back);
    }

    #[test]
    fn transparency_is_put_on_white() {
        let image =
            RgbaImage::from_raw(3, 1, vec![0, 0, 0, 0, 10, 20, 30, 255, 0, 100, 255, 128]).unwrap();
        assert_eq!(
            on_white(&image).into_raw(),
            [255, 255, 255, 10, 20, 30, 127, 177, 255]
        );
    }

    #[test]
    fn shrinking_keeps_proportions_and_never_enlarges() {
        let image = gradient(40, 30);
        assert_eq!(shrink_to_fit(&image, 100, 100), image);
        assert_eq!(shrink_to_fit(&image, 20, 20).dimensions(), (20, 15));
        assert_eq!(
            shrink_to_fit(&gradient(1000, 1), 10, 10).dimensions(),
            (10, 1)
        );
    }

    #[test]
    fn a_sheet_has_a_cell_for_each_picture() {
        let black = RgbImage::new(8, 8);
        let sheet = contact_sheet(&vec![black; 3], 2, 10, 12);
        assert_eq!(sheet.dimensions(), (20, 24));
        assert_eq!(sheet.get_pixel(5, 5).0, [0, 0, 0]);
        assert_eq!(sheet.get_pixel(15, 17).0, [255, 255, 255], "an empty cell");
        assert_eq!(contact_sheet(&[], 4, 10, 12).dimensions(), (10, 12));
    }

    #[test]
    fn a_bomb_is_refused_by_its_header() {
        // A bitmap header that claims 10 000 × 10 000 pixels, and nothing after it.
        let mut bomb = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        bomb.extend(10_000_i32.to_le_bytes());
        bomb.extend(10_000_i32.to_le_bytes());
        bomb.extend(*b"\x01\0\x18\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        let error = decode(&bomb, &Limits::default()).unwrap_err();
        assert!(error.is_limit(), "{error}");
        assert!(error.to_string().contains("100000000 pixels"), "{error}");
    }

    #[test]
    fn other_media_are_refused_by_name() {
        let error = decode(b"RIFF\0\0\0\0WAVEfmt ", &Limits::default()).unwrap_err();
        assert_eq!(error.to_string(), "expected an image, found WAV");
        assert!(matches!(
            decode(b"hello", &Limits::default()),
            Err(Error::UnknownFormat { .. })
        ));
    }

    #[test]
    fn every_truncation_of_a_picture_is_an_error() {
        let image = gradient(64, 48);
        for whole in [encode_png(&image), encode_jpeg(&image, 75)] {
            // Without its last few bytes, which are padding and the end marker, a picture is whole.
            for length in 0..whole.len() - 8 {
                assert!(
                    decode(&whole[..length], &Limits::default()).is_err(),
                    "{length} of {} bytes",
                    whole.len()
                );
            }
        }
    }
}
