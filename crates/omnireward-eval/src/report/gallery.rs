use std::{collections::HashMap, error::Error as _};

use base64::{Engine, engine::general_purpose::STANDARD};
use omnireward_core::{MediaRef, MediaSource, Modality, Task};
use omnireward_media::{Error, Limits, audio, image, picture, read, sniff};
use rayon::prelude::*;

use super::pairs::{MediaKey, PairBudget};

/// One medium, as far as a report shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaView {
    /// What it is.
    pub modality: Modality,
    /// The dataset's name for it.
    pub name: String,
    /// What is shown.
    pub content: MediaContent,
}

/// What is shown of a medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaContent {
    /// Nothing, because the report would become too large.
    LeftOut,
    /// Why the medium could not be read.
    Broken(String),
    /// `data:` addresses.
    Shown {
        /// A picture: the image itself, a strip of frames, a waveform or a sheet of views.
        picture: Option<String>,
        /// A sound to play.
        audio: Option<String>,
    },
}

impl MediaView {
    /// Whether the medium was left out to keep the report small.
    pub fn is_left_out(&self) -> bool {
        self.content == MediaContent::LeftOut
    }

    /// Why the medium could not be read.
    pub fn error(&self) -> Option<&str> {
        match &self.content {
            MediaContent::Broken(why) => Some(why),
            _ => None,
        }
    }

    fn size(&self) -> u64 {
        match &self.content {
            MediaContent::Shown { picture, audio } => [picture, audio]
                .into_iter()
                .flatten()
                .map(|uri| uri.len() as u64)
                .sum(),
            MediaContent::LeftOut | MediaContent::Broken(_) => 0,
        }
    }
}

/// Collects the distinct media of many pairs and turns as many as fit a budget into `data:`
/// addresses.
///
/// Media of pairs that need a look are made first, each task within its share; what is left of
/// the budget then goes to the others in the order they came. Encoded media that came with the
/// dataset's rows are held in memory only up to [`HELD_BYTES`].
pub(super) struct Gallery {
    budget: PairBudget,
    limits: Limits,
    task_share: u64,
    views: Vec<MediaView>,
    index: HashMap<MediaKey, usize>,
    /// Media not made yet.
    waiting: HashMap<usize, Waiting>,
    /// Indices of waiting media that are made as soon as there is a batch of them.
    batch: Vec<usize>,
    held: u64,
    spent: u64,
    spent_by_task: HashMap<Task, u64>,
}

struct Waiting {
    media: MediaRef,
    task: Task,
    urgent: bool,
}

/// The most encoded media that are held in memory.
const HELD_BYTES: u64 = 128 << 20;
const BATCH: usize = 32;

impl Gallery {
    pub(super) fn new(budget: PairBudget, limits: Limits, tasks: usize) -> Self {
        Self {
            budget,
            limits,
            task_share: budget.media_bytes / tasks.max(1) as u64,
            views: Vec::new(),
            index: HashMap::new(),
            waiting: HashMap::new(),
            batch: Vec::new(),
            held: 0,
            spent: 0,
            spent_by_task: HashMap::new(),
        }
    }

    /// The place of a medium among those that [`finish`](Self::finish) returns.
    pub(super) fn add(&mut self, media: MediaRef, task: Task, urgent: bool) -> usize {
        let key = MediaKey::of(&media);
        if let Some(known) = self.index.get(&key).copied() {
            self.promote(known, urgent);
            return known;
        }
        let place = self.views.len();
        self.index.insert(key, place);
        self.views.push(MediaView {
            modality: media.modality,
            name: media.name().to_owned(),
            content: MediaContent::LeftOut,
        });
        self.wait(
            place,
            Waiting {
                media,
                task,
                urgent,
            },
        );
        place
    }

    /// Makes what still fits and returns all media, in the order they were added.
    pub(super) fn finish(mut self) -> Vec<MediaView> {
        self.make_batch();
        let mut rest: Vec<(bool, usize)> = self
            .waiting
            .iter()
            .map(|(place, waiting)| (!waiting.urgent, *place))
            .collect();
        rest.sort_unstable();
        for places in rest.chunks(BATCH) {
            if self.spent >= self.budget.media_bytes {
                break;
            }
            let places: Vec<usize> = places.iter().map(|(_, place)| *place).collect();
            self.make(&places, self.budget.media_bytes);
        }
        self.views
    }

    fn wait(&mut self, place: usize, waiting: Waiting) {
        let size = held_bytes(&waiting.media);
        if self.spent >= self.budget.media_bytes || self.held + size > HELD_BYTES {
            return;
        }
        self.held += size;
        let urgent = waiting.urgent;
        self.waiting.insert(place, waiting);
        self.enlist(place, urgent);
    }

    fn promote(&mut self, place: usize, urgent: bool) {
        if let Some(waiting) = self.waiting.get_mut(&place)
            && urgent
            && !waiting.urgent
        {
            waiting.urgent = true;
            self.enlist(place, true);
        }
    }

    fn enlist(&mut self, place: usize, urgent: bool) {
        if urgent {
            self.batch.push(place);
        }
        if self.batch.len() >= BATCH {
            self.make_batch();
        }
    }

    /// Makes the urgent media whose task has not used its share; the others go on waiting.
    fn make_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let places: Vec<usize> = batch
            .into_iter()
            .filter(|place| {
                self.waiting.get(place).is_some_and(|waiting| {
                    let spent = self.spent_by_task.get(&waiting.task).copied().unwrap_or(0);
                    spent < self.task_share
                })
            })
            .collect();
        self.make(&places, self.budget.media_bytes);
    }

    /// Makes media at the same time and keeps them while they fit.
    fn make(&mut self, places: &[usize], limit: u64) {
        let wanted: Vec<(usize, Waiting)> = places
            .iter()
            .filter_map(|place| self.waiting.remove(place).map(|waiting| (*place, waiting)))
            .collect();
        let made: Vec<MediaContent> = wanted
            .par_iter()
            .map(|(_, waiting)| show(&waiting.media, &self.budget, &self.limits))
            .collect();
        for ((place, waiting), content) in wanted.into_iter().zip(made) {
            self.held -= held_bytes(&waiting.media);
            let view = &mut self.views[place];
            view.content = content;
            let size = view.size();
            if self.spent + size > limit {
                view.content = MediaContent::LeftOut;
                continue;
            }
            self.spent += size;
            *self.spent_by_task.entry(waiting.task).or_default() += size;
        }
    }
}

fn held_bytes(media: &MediaRef) -> u64 {
    match &media.source {
        MediaSource::Bytes { bytes, .. } => bytes.len() as u64,
        _ => 0,
    }
}

fn show(media: &MediaRef, budget: &PairBudget, limits: &Limits) -> MediaContent {
    let audio = playable(media, budget, limits);
    match picture(media, limits) {
        Ok(picture) => MediaContent::Shown {
            picture: Some(picture_uri(&picture, media.modality, budget.max_side_px)),
            audio,
        },
        // A format that only a browser can decode can still be played.
        Err(error) if audio.is_some() && error.is_unsupported() => MediaContent::Shown {
            picture: None,
            audio,
        },
        Err(error) => MediaContent::Broken(explain(&error)),
    }
}

/// Small, on white; drawings as PNG, photographs as JPEG.
fn picture_uri(picture: &omnireward_media::RgbImage, modality: Modality, side: u32) -> String {
    let wide = if matches!(modality, Modality::Image) {
        side
    } else {
        side * 2
    };
    let small = image::shrink_to_fit(picture, wide, side);
    match modality {
        Modality::Audio => data_uri("image/png", &image::encode_png(&small)),
        _ => data_uri("image/jpeg", &image::encode_jpeg(&small, 80)),
    }
}

/// A sound that is small enough to be carried: as it is, or as a copy of lower fidelity.
fn playable(media: &MediaRef, budget: &PairBudget, limits: &Limits) -> Option<String> {
    const COPY_HZ: u32 = 16_000;
    if media.modality != Modality::Audio {
        return None;
    }
    let fits = |bytes: &[u8]| bytes.len() as u64 <= budget.audio_bytes;
    let bytes = read(media, limits).ok()?;
    let format = sniff(&bytes).filter(|format| format.modality() == Modality::Audio)?;
    if fits(&bytes) {
        return Some(data_uri(format.media_type(), &bytes));
    }
    let copy = audio::decode(&bytes, limits)
        .ok()?
        .mono()
        .resampled(COPY_HZ, limits)
        .ok()?
        .wav_i16();
    fits(&copy).then(|| data_uri("audio/wav", &copy))
}

fn data_uri(media_type: &str, bytes: &[u8]) -> String {
    format!("data:{media_type};base64,{}", STANDARD.encode(bytes))
}

/// The error and its causes, without folders of the machine on which the report was written.
fn explain(error: &Error) -> String {
    let mut text = match error {
        Error::Read { .. } => "the file could not be read".to_owned(),
        other => other.to_string(),
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, shade: u8) -> MediaRef {
        let pixels: Vec<u8> = (0..width * width)
            .flat_map(|at| [(at % 251) as u8, shade, (at / width % 251) as u8])
            .collect();
        let picture = omnireward_media::RgbImage::from_raw(width, width, pixels).unwrap();
        MediaRef {
            modality: Modality::Image,
            source: MediaSource::Bytes {
                bytes: image::encode_png(&picture).into(),
                name: Some(format!("{shade}.png")),
            },
        }
    }

    fn gallery(media_bytes: u64) -> Gallery {
        let budget = PairBudget {
            media_bytes,
            ..PairBudget::default()
        };
        Gallery::new(budget, Limits::default(), 1)
    }

    #[test]
    fn pairs_that_need_a_look_come_first() {
        let one = {
            let mut gallery = gallery(u64::MAX);
            gallery.add(png(64, 1), Task::T2I, false);
            gallery.finish()[0].size()
        };
        let mut gallery = gallery(one + one / 2);
        gallery.add(png(64, 1), Task::T2I, false);
        gallery.add(png(64, 2), Task::T2I, true);
        let views = gallery.finish();
        assert!(views[0].is_left_out() && !views[1].is_left_out());
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let mut gallery = gallery(1 << 20);
        let broken = MediaRef {
            modality: Modality::Image,
            source: MediaSource::Bytes {
                bytes: b"\x89PNG\r\n\x1a\nshort"[..].into(),
                name: None,
            },
        };
        let missing = MediaRef {
            modality: Modality::Image,
            source: MediaSource::File {
                path: "/nowhere/x.png".into(),
                name: "x.png".into(),
            },
        };
        gallery.add(broken, Task::T2I, false);
        gallery.add(missing, Task::T2I, false);
        let views = gallery.finish();
        assert!(views[0].error().is_some());
        let why = views[1].error().unwrap();
        assert!(
            why.starts_with("the file could not be read: ") && !why.contains("/nowhere"),
            "{why}"
        );
    }

    #[test]
    fn large_pictures_are_shrunk() {
        let mut gallery = gallery(1 << 24);
        gallery.add(png(900, 3), Task::T2I, false);
        let views = gallery.finish();
        let MediaContent::Shown {
            picture: Some(uri), ..
        } = &views[0].content
        else {
            panic!("{:?}", views[0]);
        };
        let jpeg = STANDARD
            .decode(uri.strip_prefix("data:image/jpeg;base64,").unwrap())
            .unwrap();
        let back = image::decode(&jpeg, &Limits::default()).unwrap();
        assert_eq!((back.width(), back.height()), (360, 360));
    }
}
