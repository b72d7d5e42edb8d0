use omnireward_media::Format;

/// Whether an image file reaches to its end, judged by its structure without decoding it.
///
/// A file that does not is decoded instead of being sent as it is, which says what is wrong with
/// it; services answer such a file with an error that names nothing, or look at half a picture.
pub(super) fn is_whole(format: Format, bytes: &[u8]) -> bool {
    match format {
        Format::Jpeg => jpeg_is_whole(bytes),
        Format::Png => bytes
            .windows(8)
            .rev()
            .take(4096)
            .any(|end| end == b"IEND\xae\x42\x60\x82"),
        Format::WebP => riff_is_whole(bytes),
        _ => false,
    }
}

/// Looks for the end marker behind the start of the scan: thumbnails have their own, before it.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let find = |marker: [u8; 2]| bytes.windows(2).rposition(|two| two == marker);
    match (find([0xff, 0xd9]), find([0xff, 0xda])) {
        (Some(end), Some(scan)) => end > scan,
        _ => false,
    }
}

fn riff_is_whole(bytes: &[u8]) -> bool {
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok());
    length.is_some_and(|length| u64::from(u32::from_le_bytes(length)) + 8 <= bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnireward_media::{RgbImage, image};

    fn picture() -> RgbImage {
        RgbImage::from_fn(40, 30, |x, y| {
            [(x * 6) as u8, (y * 8) as u8, (x * y) as u8].into()
        })
    }

    #[test]
    fn whole_files_are_whole_and_cut_ones_are_not() {
        let files = [
            (Format::Jpeg, image::encode_jpeg(&picture(), 80)),
            (Format::Png, image::encode_png(&picture())),
        ];
        for (format, bytes) in files {
            assert!(is_whole(format, &bytes));
            for length in [0, 1, 30, bytes.len() / 2, bytes.len() - 3] {
                assert!(
                    !is_whole(format, &bytes[..length]),
                    "{format:?} cut to {length}"
                );
            }
        }
    }

    #[test]
    fn trailing_bytes_do_no_harm() {
        let mut bytes = image::encode_jpeg(&picture(), 80);
        bytes.extend([0; 100]);
        assert!(is_whole(Format::Jpeg, &bytes));
    }

    #[test]
    fn a_webp_says_its_own_length() {
        assert!(riff_is_whole(b"RIFF\x04\0\0\0WEBP"));
        assert!(!riff_is_whole(b"RIFF\x05\0\0\0WEBP"));
        assert!(!riff_is_whole(b"RIFF"));
    }
}
