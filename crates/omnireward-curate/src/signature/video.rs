//! Perceptual hashes of videos.

use std::sync::Arc;

use omnireward_media::{Limits, video::Video};

use super::{
    MediaSignature,
    image::{MOST_DIFFERENT, VIEWS, WORDS, band_keys, difference, of_picture},
};

/// The hash of a video: that of eight of its frames, in the middles of eight equal parts, as
/// [`ImageSignature`](super::ImageSignature) takes it of a picture.
///
/// Two videos are compared frame by frame, and the mean counts. Frames are found by their share of
/// the whole, so another frame rate changes little; sound plays no part.
#[derive(Clone, Copy, Debug, Default)]
pub struct VideoSignature;

/// Frames that are hashed.
const FRAMES: u64 = 8;

impl MediaSignature for VideoSignature {
    fn words(&self, bytes: &[u8], limits: &Limits) -> Result<Vec<u64>, omnireward_media::Error> {
        let video = Video::open(Arc::from(bytes), limits)?;
        let total = video.info().frames;
        let middles: Vec<u64> = (0..FRAMES)
            .map(|part| ((2 * part + 1) * total / (2 * FRAMES)).min(total.saturating_sub(1)))
            .collect();
        let frames = video.frames_at(&middles)?;
        Ok(frames.iter().flat_map(of_picture).collect())
    }

    fn keys(&self, words: &[u64]) -> Vec<u64> {
        let frames = words.chunks_exact(WORDS);
        band_keys(frames.flat_map(|frame| frame[..VIEWS].iter().copied()))
    }

    fn similarity(&self, first: &[u64], second: &[u64]) -> f64 {
        let frames = first.chunks_exact(WORDS).zip(second.chunks_exact(WORDS));
        let count = frames.len().max(1) as f64;
        // A frame cannot be more unlike than unrelated ones are: half of all signs differ.
        let differences = frames.map(|(one, other)| difference(one, other).min(32));
        1.0 - f64::from(differences.sum::<u32>()) / count / 64.0
    }

    fn threshold(&self) -> f64 {
        1.0 - f64::from(MOST_DIFFERENT) / 64.0
    }
}
