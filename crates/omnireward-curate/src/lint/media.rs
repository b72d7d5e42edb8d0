//! Checks of media.

use std::{path::Path, sync::Arc};

use omnireward_core::{MediaRef, MediaSource, Modality, Part};
use omnireward_media::{Error, Format, RgbImage, audio, image, mesh, read, sniff, video::Video};
use sha2::{Digest, Sha256};

use super::{Code, LintConfig, row::Findings};

/// What is known of a medium after looking at it.
pub(super) struct Medium {
    /// SHA-256 of its bytes; `None` where they are not known. Nobody can say whether such a medium is
    /// the same as another, whatever their names.
    pub(super) digest: Option<[u8; 32]>,
}

/// Looks at the media among `parts` and notes what is wrong with them.
pub(super) fn look_at(
    parts: &[Part],
    field: &str,
    config: &LintConfig,
    findings: &mut Findings<'_>,
) -> Vec<Medium> {
    let media = parts.iter().filter_map(Part::as_media);
    media
        .map(|media| Medium {
            digest: examine(media, field, config, findings),
        })
        .collect()
}

fn examine(
    media: &MediaRef,
    field: &str,
    config: &LintConfig,
    findings: &mut Findings<'_>,
) -> Option<[u8; 32]> {
    let mut note = |code, reason: String| findings.add(code, field, reason);
    let name = media.name();
    match &media.source {
        MediaSource::Absent { .. } => {
            note(
                Code::MissingMedium,
                format!("the set does not carry `{name}`"),
            );
            return None;
        }
        MediaSource::Url(url) => {
            note(Code::RemoteMedium, format!("`{url}` is remote"));
            return None;
        }
        MediaSource::File { path, .. } if !path.is_file() => {
            note(Code::MissingMedium, format!("there is no file `{name}`"));
            return None;
        }
        MediaSource::File { .. } | MediaSource::Bytes { .. } => {}
    }
    if !config.decode_media {
        let MediaSource::Bytes { bytes, .. } = &media.source else {
            return None;
        };
        return Some(Sha256::digest(bytes).into());
    }
    let bytes = match read(media, &config.limits) {
        Ok(bytes) => bytes,
        Err(error) => {
            note(code_of(&error), format!("`{name}`: {}", chain(&error)));
            return None;
        }
    };
    if let Some((code, reason)) = fault(media, &bytes, config) {
        note(code, format!("`{name}`: {reason}"));
    }
    Some(Sha256::digest(&bytes).into())
}

/// The first thing that is wrong with a medium's bytes.
fn fault(media: &MediaRef, bytes: &Arc<[u8]>, config: &LintConfig) -> Option<(Code, String)> {
    let format = sniff(bytes);
    if let Some(format) = format
        && !may_be(format, media.modality)
    {
        let reason = format!("it is {format}, and the set calls it {}", media.modality);
        return Some((Code::WrongMediaType, reason));
    }
    match is_blank(media, bytes, config) {
        Err(error) => Some((code_of(&error), chain(&error))),
        Ok(true) => {
            let reason = match media.modality {
                Modality::Audio => "it is silent",
                _ => "it has a single colour",
            };
            Some((Code::BlankMedium, reason.to_owned()))
        }
        Ok(false) => {
            let (format, extension) = (format?, extension(media.name())?);
            let is_known = EXTENSIONS
                .iter()
                .any(|(_, names)| names.contains(&extension.as_str()));
            let fits = EXTENSIONS
                .iter()
                .any(|(known, names)| *known == format && names.contains(&extension.as_str()));
            let reason = format!("it is {format}, and its name ends with `.{extension}`");
            (is_known && !fits).then_some((Code::WrongExtension, reason))
        }
    }
}

/// Whether bytes of a format may be what the set calls them. Animations are pictures and videos.
fn may_be(format: Format, modality: Modality) -> bool {
    let is_animation = matches!(format, Format::Gif | Format::Png | Format::WebP);
    // Some containers hold a picture's sound alone.
    let holds_sound = matches!(format, Format::Mp4 | Format::WebM);
    format.modality() == modality
        || (modality == Modality::Video && is_animation)
        || (modality == Modality::Audio && holds_sound)
        || modality == Modality::Text
}

/// Decodes a medium, and says whether there is nothing in it.
fn is_blank(media: &MediaRef, bytes: &Arc<[u8]>, config: &LintConfig) -> Result<bool, Error> {
    let limits = &config.limits;
    match media.modality {
        Modality::Image => Ok(is_flat(&image::decode_on_white(bytes, limits)?)),
        Modality::Video => {
            let video = Video::open(Arc::clone(bytes), limits)?;
            let last = video.info().frames.saturating_sub(1);
            let frames = video.frames_at(&[0, last / 2, last])?;
            Ok(frames.iter().all(is_flat))
        }
        Modality::Audio => {
            let sound = audio::decode(bytes, limits)?;
            Ok(sound.samples.iter().all(|sample| sample.abs() < 1e-4))
        }
        Modality::Mesh => mesh::load(media, limits).map(|_| false),
        Modality::Text => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.trim().is_empty()),
            Err(cause) => Err(Error::Decode {
                modality: Modality::Text,
                format: "UTF-8",
                reason: "it is in another encoding".to_owned(),
                source: Some(cause.into()),
            }),
        },
    }
}

/// Whether all pixels are the same but for the noise of a codec.
fn is_flat(picture: &RgbImage) -> bool {
    const NOISE: u8 = 3;
    let mut range = [(u8::MAX, 0); 3];
    for pixel in picture.pixels() {
        for ((low, high), channel) in range.iter_mut().zip(pixel.0) {
            *low = (*low).min(channel);
            *high = (*high).max(channel);
        }
    }
    range
        .iter()
        .all(|(low, high)| high.saturating_sub(*low) <= NOISE)
}

fn code_of(error: &Error) -> Code {
    match error {
        Error::Read { .. } | Error::MissingSideFile { .. } | Error::Absent { .. } => {
            Code::MissingMedium
        }
        Error::WrongKind { .. } => Code::WrongMediaType,
        error if error.is_limit() => Code::OversizedMedium,
        error if error.is_unsupported() => Code::UncheckedMedium,
        _ => Code::CorruptMedium,
    }
}

fn chain(error: &Error) -> String {
    omnireward_core::error_chain(error)
}

fn extension(name: &str) -> Option<String> {
    let extension = Path::new(name).extension()?.to_str()?;
    Some(extension.to_lowercase())
}

const EXTENSIONS: &[(Format, &[&str])] = &[
    (Format::Jpeg, &["jpg", "jpeg", "jfif", "jpe"]),
    (Format::Png, &["png", "apng"]),
    (Format::Gif, &["gif"]),
    (Format::WebP, &["webp"]),
    (Format::Bmp, &["bmp"]),
    (Format::Mp4, &["mp4", "m4v", "mov", "m4a"]),
    (Format::M4a, &["m4a", "m4b", "mp4"]),
    (Format::WebM, &["webm", "mkv"]),
    (Format::Avi, &["avi"]),
    (Format::Wav, &["wav"]),
    (Format::Mp3, &["mp3"]),
    (Format::Flac, &["flac"]),
    (Format::Ogg, &["ogg", "oga", "opus"]),
    (Format::Obj, &["obj"]),
    (Format::Ply, &["ply"]),
    (Format::Stl, &["stl"]),
    (Format::Gltf, &["gltf"]),
    (Format::Glb, &["glb"]),
    (Format::Off, &["off"]),
];
