use std::{num::NonZeroU32, sync::Arc, time::Duration};

use omnireward_core::{ChatPart, MediaRef, Modality};
use omnireward_media::{
    Error, Format, Limits, RgbImage,
    audio::{self, Waveform},
    image, mesh, read, sniff,
    video::{self, Video},
};

use super::{ImageForm, MediaConfig, whole::is_whole};

const SAMPLE_RATE_HZ: u32 = 16_000;
const SILENCE: Duration = Duration::from_secs(1);

/// One medium as message parts. `frames` is how many a video is sent as, or `None` for its file.
pub(super) fn medium(
    media: &MediaRef,
    frames: Option<NonZeroU32>,
    config: &MediaConfig,
    limits: &Limits,
) -> Result<Vec<ChatPart>, Error> {
    match media.modality {
        Modality::Image => Ok(vec![still(&read(media, limits)?, config, limits)?]),
        Modality::Video => {
            let bytes = read(media, limits)?;
            match frames {
                Some(count) => stills(bytes, count, config, limits),
                None => Ok(vec![video_file(bytes)]),
            }
        }
        Modality::Audio => Ok(vec![wav(&sound(media, limits)?)]),
        Modality::Mesh => {
            let mesh = mesh::load(media, limits)?;
            let sheet = mesh::render_sheet(&mesh, &mesh::SheetConfig::default())?;
            Ok(vec![jpeg(&sheet, config)])
        }
        // A text medium is a file of words.
        Modality::Text => Ok(vec![ChatPart::Text(words(media, limits)?)]),
    }
}

/// The words of a text file. A judge must not read other words than the dataset has, so bytes that
/// are no UTF-8 are an error rather than replaced.
fn words(media: &MediaRef, limits: &Limits) -> Result<String, Error> {
    let bytes = read(media, limits)?;
    String::from_utf8(bytes.to_vec()).map_err(|cause| Error::Decode {
        modality: Modality::Text,
        format: "UTF-8",
        reason: format!("medium `{}` is in another encoding", media.name()),
        source: Some(cause.into()),
    })
}

/// Several sounds as one recording, with silence between them.
pub(super) fn joined(media: &[MediaRef], limits: &Limits) -> Result<ChatPart, Error> {
    let sounds: Result<Vec<Waveform>, Error> =
        media.iter().map(|media| sound(media, limits)).collect();
    Ok(wav(&audio::concat_with_silence(&sounds?, SILENCE, limits)?))
}

/// An image, as it is where that is wanted and possible.
fn still(bytes: &Arc<[u8]>, config: &MediaConfig, limits: &Limits) -> Result<ChatPart, Error> {
    let passthrough = config.images == ImageForm::Passthrough && config.max_pixels.is_none();
    if let Some(media_type) = sendable(bytes).filter(|_| passthrough) {
        return Ok(ChatPart::Image {
            media_type,
            bytes: Arc::clone(bytes),
        });
    }
    Ok(jpeg(&image::decode_on_white(bytes, limits)?, config))
}

/// The media type of an image that can be sent as it is.
fn sendable(bytes: &[u8]) -> Option<&'static str> {
    let format = sniff(bytes)?;
    let accepted = matches!(format, Format::Jpeg | Format::Png | Format::WebP);
    (accepted && is_whole(format, bytes)).then(|| format.media_type())
}

fn stills(
    bytes: Arc<[u8]>,
    count: NonZeroU32,
    config: &MediaConfig,
    limits: &Limits,
) -> Result<Vec<ChatPart>, Error> {
    let video = Video::open(bytes, limits)?;
    let indices = video::spread(video.info().frames, count.get() as usize);
    let frames = video.frames_at(&indices)?;
    Ok(frames.iter().map(|frame| jpeg(frame, config)).collect())
}

/// A video file as it is.
fn video_file(bytes: Arc<[u8]>) -> ChatPart {
    ChatPart::Video {
        media_type: sniff(&bytes).map_or("application/octet-stream", Format::media_type),
        bytes,
    }
}

fn jpeg(picture: &RgbImage, config: &MediaConfig) -> ChatPart {
    let encoded = match config.max_pixels {
        Some(most) => image::encode_jpeg(&shrunk(picture, most), config.jpeg_quality),
        None => image::encode_jpeg(picture, config.jpeg_quality),
    };
    ChatPart::Image {
        media_type: "image/jpeg",
        bytes: encoded.into(),
    }
}

/// `picture` with at most `most` pixels, in its own proportions.
fn shrunk(picture: &RgbImage, most: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let scale = (f64::from(most) / (f64::from(width) * f64::from(height)))
        .sqrt()
        .min(1.0);
    let side = |length: u32| ((f64::from(length) * scale) as u32).max(1);
    image::shrink_to_fit(picture, side(width), side(height))
}

fn sound(media: &MediaRef, limits: &Limits) -> Result<Waveform, Error> {
    let bytes = read(media, limits)?;
    audio::decode(&bytes, limits)?
        .mono()
        .resampled(SAMPLE_RATE_HZ, limits)
}

fn wav(sound: &Waveform) -> ChatPart {
    ChatPart::Audio {
        media_type: "audio/wav",
        bytes: sound.wav_i16().into(),
    }
}

#[cfg(test)]
mod tests {
    use omnireward_core::MediaSource;

    use super::*;

    fn text(bytes: &[u8]) -> Result<Vec<ChatPart>, Error> {
        let source = MediaSource::Bytes {
            bytes: bytes.into(),
            name: Some("notes.txt".to_owned()),
        };
        let media = MediaRef {
            modality: Modality::Text,
            source,
        };
        medium(&media, None, &MediaConfig::default(), &Limits::default())
    }

    #[test]
    fn words_are_sent_as_they_are_or_not_at_all() {
        assert_eq!(
            text("naïve".as_bytes()).unwrap(),
            [ChatPart::Text("naïve".to_owned())]
        );
        let error = text(b"na\xEFve").unwrap_err().to_string();
        assert_eq!(
            error,
            "could not decode text (UTF-8): medium `notes.txt` is in another encoding"
        );
    }
}
