use std::sync::Arc;

use omnireward_core::{MediaRef, Modality};

use crate::{
    Error, Format, Limits, RgbImage, audio, image, mesh, read,
    sniff::sniff_or_error,
    video::{Video, spread},
};

/// Shows any medium as one still picture for people: an image as it is, a video as a sheet of four
/// frames, a sound as its envelope, a mesh as a sheet of views.
///
/// The bytes decide what is drawn, because a 3D response may well be a rendered image; an animation
/// is a video when the dataset calls it one.
///
/// # Errors
///
/// What [`read`] and the medium's decoder say.
pub fn picture(media: &MediaRef, limits: &Limits) -> Result<RgbImage, Error> {
    const ENVELOPE: (u32, u32) = (640, 160);
    let bytes = read(media, limits)?;
    let format = sniff_or_error(&bytes)?;
    let is_animation = media.modality == Modality::Video
        && matches!(format, Format::Gif | Format::Png | Format::WebP);
    match format.modality() {
        Modality::Image if !is_animation => image::decode_on_white(&bytes, limits),
        Modality::Image | Modality::Video => video_sheet(bytes, limits),
        Modality::Audio => {
            let sound = audio::decode(&bytes, limits)?;
            Ok(audio::envelope_picture(&sound, ENVELOPE.0, ENVELOPE.1))
        }
        _ => {
            let mesh = mesh::load(media, limits)?;
            mesh::render_sheet(&mesh, &mesh::SheetConfig::default())
        }
    }
}

fn video_sheet(bytes: Arc<[u8]>, limits: &Limits) -> Result<RgbImage, Error> {
    const FRAMES: usize = 4;
    const COLUMNS: u32 = 2;
    const CELL: u32 = 320;
    let video = Video::open(bytes, limits)?;
    let frames = video.frames_at(&spread(video.info().frames, FRAMES))?;
    let tiles: Vec<_> = frames
        .iter()
        .map(|frame| image::shrink_to_fit(frame, CELL, CELL))
        .collect();
    let cell_height = tiles.iter().map(RgbImage::height).max().unwrap_or(CELL);
    let cell_width = tiles.iter().map(RgbImage::width).max().unwrap_or(CELL);
    Ok(image::contact_sheet(
        &tiles,
        COLUMNS,
        cell_width,
        cell_height,
    ))
}
