//! Animated GIF, PNG and WebP as video.
//!
//! Times are read by walking the file's blocks, without decoding; frames are decoded one after the
//! other, because each is drawn over the one before, and only those asked for are kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Cursor,
    time::Duration,
};

use ::image::{
    AnimationDecoder, Frames, ImageDecoder, ImageResult, RgbImage, Rgba,
    codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder},
};

use super::{
    VideoInfo,
    h264::{spend_work, work_limit},
};
use crate::{
    Error, Format, Limits,
    contain::contain,
    fields::Fields,
    image::{allocation_limits, decode_on_white, on_white},
};

/// An animation whose frames have been counted.
#[derive(Debug)]
pub(super) struct Animation {
    format: Format,
    width: u32,
    height: u32,
    /// How long each frame is shown.
    delays: Vec<Duration>,
    /// A PNG or WebP without animation has one frame that the animation decoders do not give.
    is_still: bool,
}

impl Animation {
    pub(super) fn open(format: Format, bytes: &[u8], limits: &Limits) -> Result<Self, Error> {
        let outline = match format {
            Format::Gif => Outline::of_gif(bytes),
            Format::Png => Outline::of_png(bytes),
            _ => Outline::of_webp(bytes),
        }
        .ok_or_else(|| Error::video(format.name(), "the file is malformed or cut short"))?;
        let Outline {
            width,
            height,
            mut delays,
        } = outline;
        limits.check_pixels(width, height)?;
        limits.check_frames(delays.len() as u64)?;
        let is_still = delays.is_empty();
        if is_still {
            if format == Format::Gif {
                return Err(Error::video("GIF", "there are no frames"));
            }
            delays.push(Duration::ZERO);
        }
        limits.check_seconds(delays.iter().sum::<Duration>().as_secs_f64())?;
        Ok(Self {
            format,
            width,
            height,
            delays,
            is_still,
        })
    }

    pub(super) fn info(&self) -> VideoInfo {
        let duration: Duration = self.delays.iter().sum();
        let frames = self.delays.len() as u64;
        VideoInfo {
            width: self.width,
            height: self.height,
            frames,
            duration: Some(duration),
            frame_rate: (!duration.is_zero()).then(|| frames as f64 / duration.as_secs_f64()),
            codec: self.format.name().to_lowercase(),
        }
    }

    /// When each frame is shown.
    pub(super) fn times(&self) -> Vec<Duration> {
        self.delays
            .iter()
            .scan(Duration::ZERO, |clock, &delay| {
                let time = *clock;
                *clock += delay;
                Some(time)
            })
            .collect()
    }

    pub(super) fn decode(
        &self,
        bytes: &[u8],
        wanted: &BTreeSet<u32>,
        limits: &Limits,
    ) -> Result<BTreeMap<u32, RgbImage>, Error> {
        if self.is_still {
            let image = decode_on_white(bytes, limits)?;
            return Ok(wanted.iter().map(|&frame| (frame, image.clone())).collect());
        }
        contain(self.format, || {
            let input = Cursor::new(bytes);
            let frames = match self.format {
                Format::Gif => {
                    prepared(GifDecoder::new(input), limits).map(AnimationDecoder::into_frames)
                }
                Format::Png => prepared(PngDecoder::new(input), limits)
                    .and_then(PngDecoder::apng)
                    .map(AnimationDecoder::into_frames),
                _ => prepared(WebPDecoder::new(input), limits)
                    .and_then(|mut decoder| {
                        // Viewers begin with a transparent canvas, whatever the file says.
                        decoder.set_background_color(Rgba([0; 4]))?;
                        Ok(decoder)
                    })
                    .map(AnimationDecoder::into_frames),
            };
            let frames = frames.map_err(|cause| self.failed("the header is malformed", cause))?;
            self.collect(frames, wanted, limits)
        })
    }

    fn collect(
        &self,
        frames: Frames<'_>,
        wanted: &BTreeSet<u32>,
        limits: &Limits,
    ) -> Result<BTreeMap<u32, RgbImage>, Error> {
        let mut kept = BTreeMap::new();
        let mut pixels_left = work_limit(limits);
        let last = wanted.last().copied().unwrap_or(0);
        for (number, frame) in (0..=last).zip(frames) {
            spend_work(&mut pixels_left, self.width, self.height, limits)?;
            let frame = frame.map_err(|cause| {
                self.failed(&format!("frame {number} is malformed or cut short"), cause)
            })?;
            if wanted.contains(&number) {
                kept.insert(number, on_white(frame.buffer()));
            }
        }
        if kept.len() < wanted.len() {
            return Err(Error::video(
                self.format.name(),
                "there are fewer frames than the file says",
            ));
        }
        Ok(kept)
    }

    fn failed(&self, reason: &str, cause: ::image::ImageError) -> Error {
        Error::video(self.format.name(), reason).caused_by(cause)
    }
}

fn prepared<D: ImageDecoder>(decoder: ImageResult<D>, limits: &Limits) -> ImageResult<D> {
    let mut decoder = decoder?;
    decoder.set_limits(allocation_limits(limits))?;
    Ok(decoder)
}

/// What the blocks of an animation say.
struct Outline {
    width: u32,
    height: u32,
    /// Empty when the file is not animated.
    delays: Vec<Duration>,
}

impl Outline {
    /// Walks the blocks of a GIF (`GIF89a` §15 to §27). Delays are in hundredths of a second.
    fn of_gif(bytes: &[u8]) -> Option<Self> {
        const EXTENSION: u8 = 0x21;
        const CONTROL: u8 = 0xF9;
        const IMAGE: u8 = 0x2C;
        let mut fields = Fields::new(bytes);
        fields.skip(6)?;
        let (width, height) = (u32::from(fields.u16_le()?), u32::from(fields.u16_le()?));
        let flags = fields.u8()?;
        fields.skip(2)?;
        skip_color_table(&mut fields, flags)?;
        let mut delays = Vec::new();
        let mut delay = 0;
        // Anything else is the trailer, or bytes after which readers stop too.
        while let Some(block @ (EXTENSION | IMAGE)) = fields.u8() {
            if block == EXTENSION {
                let label = fields.u8()?;
                let first = next_sub_block(&mut fields)?;
                if label == CONTROL
                    && let [_, low, high, ..] = first
                {
                    delay = u64::from(u16::from_le_bytes([*low, *high])) * 10;
                }
                if first.is_empty() {
                    continue;
                }
            } else {
                fields.skip(8)?;
                let flags = fields.u8()?;
                skip_color_table(&mut fields, flags)?;
                fields.skip(1)?; // code size
                delays.push(Duration::from_millis(std::mem::take(&mut delay)));
            }
            while !next_sub_block(&mut fields)?.is_empty() {}
        }
        Some(Self {
            width,
            height,
            delays,
        })
    }

    /// Walks the chunks of a PNG (PNG, third edition, §11.3.6 for animation).
    fn of_png(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        fields.skip(16)?;
        let (width, height) = (fields.u32()?, fields.u32()?);
        fields.skip(9)?;
        let mut delays = Vec::new();
        let mut is_animated = false;
        while let Some(length) = fields.u32() {
            let kind: [u8; 4] = fields.array()?;
            let body = fields.take(length as usize)?;
            fields.skip(4)?; // checksum
            match &kind {
                b"acTL" => is_animated = true,
                b"fcTL" if is_animated => delays.push(parse_png_delay(body)?),
                b"IEND" => {
                    return Some(Self {
                        width,
                        height,
                        delays,
                    });
                }
                _ => {}
            }
        }
        None
    }

    /// Walks the chunks of a WebP (RFC 9649 §2.7). Delays are in milliseconds.
    fn of_webp(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        fields.skip(12)?;
        let mut size = None;
        let mut delays = Vec::new();
        while let Some(kind) = fields.array::<4>() {
            let length = fields.u32_le()? as usize;
            let body = fields.take(length)?;
            // A last chunk of odd length may lack its padding.
            let _ = fields.skip(length % 2);
            match (&kind, body) {
                (b"VP8X", [_, _, _, _, w0, w1, w2, h0, h1, h2, ..]) => {
                    let side = |low, mid, high| u32::from_le_bytes([low, mid, high, 0]) + 1;
                    size = Some((side(*w0, *w1, *w2), side(*h0, *h1, *h2)));
                }
                (b"ANMF", [_, _, _, _, _, _, _, _, _, _, _, _, low, mid, high, ..]) => {
                    let milliseconds = u32::from_le_bytes([*low, *mid, *high, 0]);
                    delays.push(Duration::from_millis(u64::from(milliseconds)));
                }
                _ => {}
            }
        }
        let (width, height) = match size {
            Some(size) => size,
            None => WebPDecoder::new(Cursor::new(bytes)).ok()?.dimensions(),
        };
        Some(Self {
            width,
            height,
            delays,
        })
    }
}

fn skip_color_table(fields: &mut Fields<'_>, flags: u8) -> Option<()> {
    if flags & 0x80 != 0 {
        fields.skip(3 << ((flags & 7) + 1))?;
    }
    Some(())
}

/// The data of the next sub-block of a GIF; empty at the last.
fn next_sub_block<'a>(fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    let length = fields.u8()?;
    fields.take(usize::from(length))
}

/// The delay of an `fcTL` chunk: a fraction of a second, whose denominator 0 means 100.
fn parse_png_delay(body: &[u8]) -> Option<Duration> {
    let mut fields = Fields::new(body);
    fields.skip(20)?;
    let (numerator, denominator) = (fields.u16()?, fields.u16()?);
    let denominator = if denominator == 0 { 100 } else { denominator };
    Some(Duration::from_secs_f64(
        f64::from(numerator) / f64::from(denominator),
    ))
}
