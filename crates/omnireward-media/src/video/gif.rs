use ::image::{
    Delay, DynamicImage, Frame, RgbImage,
    codecs::gif::{GifEncoder, Repeat},
};

use crate::Error;

/// Encodes frames as an animated GIF that repeats for ever, each shown for `milliseconds`.
///
/// Frames of at most 256 colours are kept exactly; of others, colours are approximated. GIF counts
/// time in hundredths of a second, so a rest below ten milliseconds is dropped.
///
/// # Errors
///
/// [`Error::Decode`] says that there are no frames, that their sizes differ, or that a side is
/// zero or over 65 535 pixels.
///
/// # Examples
///
/// ```
/// use omnireward_media::{Limits, RgbImage, video::{Video, encode_gif}};
///
/// let frames = [[255, 0, 0], [0, 0, 255]].map(|color| RgbImage::from_pixel(8, 6, color.into()));
/// let video = Video::open(encode_gif(&frames, 250)?.into(), &Limits::default())?;
/// assert_eq!(video.frames_at(&[0, 1])?, frames);
/// # Ok::<(), omnireward_media::Error>(())
/// ```
pub fn encode_gif(frames: &[RgbImage], milliseconds: u32) -> Result<Vec<u8>, Error> {
    check(frames)?;
    let failed = |cause| Error::video("GIF", "the frames could not be encoded").caused_by(cause);
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, 10);
    encoder.set_repeat(Repeat::Infinite).map_err(failed)?;
    let delay = Delay::from_numer_denom_ms(milliseconds, 1);
    for frame in frames {
        let pixels = DynamicImage::from(frame.clone()).into_rgba8();
        let frame = Frame::from_parts(pixels, 0, 0, delay);
        encoder.encode_frame(frame).map_err(failed)?;
    }
    drop(encoder);
    Ok(bytes)
}

fn check(frames: &[RgbImage]) -> Result<(), Error> {
    let Some(first) = frames.first() else {
        return Err(Error::video("GIF", "there are no frames"));
    };
    let (width, height) = first.dimensions();
    let sides = 1..=u32::from(u16::MAX);
    if !sides.contains(&width) || !sides.contains(&height) {
        let reason = format!("{width} × {height} pixels cannot be said");
        return Err(Error::video("GIF", reason));
    }
    match frames
        .iter()
        .find(|frame| frame.dimensions() != (width, height))
    {
        None => Ok(()),
        Some(_) => Err(Error::video("GIF", "the frames differ in size")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Limits, video::Video};

    #[test]
    fn frames_of_few_colours_and_their_times_are_kept_exactly() {
        let frames: Vec<RgbImage> = (0..5)
            .map(|number| {
                RgbImage::from_fn(20, 10, |x, y| [x as u8, y as u8 * 9, number * 50].into())
            })
            .collect();
        let bytes = encode_gif(&frames, 250).unwrap();
        assert_eq!(bytes, encode_gif(&frames, 250).unwrap());
        let video = Video::open(bytes.into(), &Limits::default()).unwrap();
        assert_eq!(video.info().frames, 5);
        assert_eq!(video.info().duration, Some(Duration::from_millis(1250)));
        assert_eq!(video.frames_at(&[0, 1, 2, 3, 4]).unwrap(), frames);
    }

    #[test]
    fn what_is_no_animation_is_refused() {
        assert!(encode_gif(&[], 100).is_err());
        let different = [RgbImage::new(4, 4), RgbImage::new(4, 5)];
        let message = encode_gif(&different, 100).unwrap_err().to_string();
        assert!(message.contains("differ in size"), "{message}");
        assert!(encode_gif(&[RgbImage::new(0, 4)], 100).is_err());
        assert!(encode_gif(&[RgbImage::new(70_000, 1)], 100).is_err());
    }
}
