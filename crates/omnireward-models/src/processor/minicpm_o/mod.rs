//! MiniCPM-o-2.6: pairs in the layout that Omni-Reward trains on.

mod audio;
mod config;
mod conversation;
mod image;
mod placement;
mod sequence;
mod tokens;
mod video;

use std::{path::Path, sync::Arc};

use omnireward_core::{MediaRef, Modality, Part, PreferencePair, Task};
use omnireward_media::{Format, Limits, RgbImage, RgbaImage, audio::Waveform, mesh, sniff};

use serde::{Deserialize, Serialize};

use self::{config::ImageConfig, image::Slicer, tokens::Tokens};
use super::{AudioPadding, AudioRows, Orientation, Preprocessing};
use crate::{
    Error, Result, Row,
    minicpm_o::{AudioInput, Config, Grid, ImageInput},
};

/// Turns pairs into what MiniCPM-o-2.6 reads: token sequences with places for media, and media as
/// patches and spectrograms.
///
/// The way from a pair to its sequences is
///
/// 1. [`media`](Self::media) lists the media of the pair, each once.
/// 2. [`read`](Self::read) gives the bytes of each, by which (with [`fingerprint`](Self::fingerprint))
///    features can be kept.
/// 3. [`prepare`](Self::prepare) makes of the bytes what a tower reads. Where
///    [`hears_padding`](Self::hears_padding) holds, every sound of the pair is first measured with
///    [`audio_frames`](Self::audio_frames), and the largest number is given to `prepare` as
///    `padded_to`; it then belongs to the key of the features as well.
/// 4. [`sequences`](Self::sequences) takes the shapes of all media, in the order of `media`, and gives
///    one sequence for each response. [`Feature::medium`](crate::Feature::medium) counts in the same
///    order; a medium's rows are those of its pictures or pieces one after another.
///
/// # Conversation
///
/// The system turn is the pair's criterion, or a default text when there is none. Of an understanding
/// task the prompt is the human turn, media in their places, and the response the assistant's turn.
/// Of a generation task it is the other way round: the human turn holds the prompt's media and the
/// response's, and the assistant's turn is the text of the prompt, so that the model reads how well the
/// text follows from the media. The reward is read after the last token. When `extra.turns` of a pair
/// keeps a longer conversation, its turns are messages of their own.
///
/// Consecutive texts of a prompt are joined by a newline, a text and a medium by nothing.
#[derive(Clone, Debug)]
pub struct MiniCpmOProcessor {
    tokens: Tokens,
    images: ImageConfig,
    preprocessing: Preprocessing,
    limits: Limits,
}

/// A medium of a pair, to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaUse<'a> {
    /// The pair's id, for messages.
    pub pair: &'a str,
    /// The medium.
    pub media: &'a MediaRef,
    /// The response whose sequence it stands in; `None` for a medium of the prompt, which stands in all.
    pub response: Option<usize>,
}

/// A medium as the towers read it.
#[derive(Clone, Debug, PartialEq)]
pub enum MediumInput {
    /// A picture.
    Image(ImageInput),
    /// Frames of a video.
    Video(Vec<ImageInput>),
    /// A sound.
    Audio(AudioInput),
}

/// How many rows a medium has in a sequence, and in which arrangement.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MediumShape {
    /// A picture, sliced or not.
    Image {
        /// Its slices.
        grid: Option<Grid>,
    },
    /// The frames of a video.
    Video {
        /// Of each frame, its slices. A frame is rarely sliced.
        frames: Vec<Option<Grid>>,
    },
    /// A sound.
    Audio {
        /// Rows, 25 to the second.
        tokens: usize,
    },
}

impl MediumInput {
    /// The pictures that go through the vision tower: one, or a video's frames.
    pub fn pictures(&self) -> &[ImageInput] {
        match self {
            Self::Image(image) => std::slice::from_ref(image),
            Self::Video(frames) => frames,
            Self::Audio(_) => &[],
        }
    }

    /// The shape that [`MiniCpmOProcessor::sequences`] asks for.
    pub fn shape(&self) -> MediumShape {
        match self {
            Self::Image(image) => MediumShape::Image { grid: image.grid },
            Self::Video(frames) => MediumShape::Video {
                frames: frames.iter().map(|frame| frame.grid).collect(),
            },
            Self::Audio(audio) => MediumShape::Audio {
                tokens: audio::tokens(audio),
            },
        }
    }
}

impl MiniCpmOProcessor {
    /// Opens `tokenizer.json` and `preprocessor_config.json` of a checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenizer`] when the tokenizer is missing, damaged, or lacks a token that marks media
    /// or turns; [`Error::Io`], [`Error::Json`] and [`Error::Config`] about the other file.
    pub fn open(dir: &Path, mut preprocessing: Preprocessing) -> Result<Self> {
        let tokens = Tokens::open(&dir.join("tokenizer.json"))?;
        let images = ImageConfig::read(&dir.join(PREPROCESSOR))?;
        preprocessing
            .max_slices
            .get_or_insert(images.max_slice_nums);
        Ok(Self {
            tokens,
            images,
            preprocessing,
            limits: Limits::default(),
        })
    }

    /// The same for a model whose `config.json` is known: the files of one checkpoint have to agree.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); also when the tokenizer has tokens that the model does not, and when a tile or a second
    /// of sound has other rows for the processor than for the model.
    pub fn open_for(dir: &Path, model: &Config, preprocessing: Preprocessing) -> Result<Self> {
        let processor = Self::open(dir, preprocessing)?;
        processor.tokens.check_vocabulary(model.text.vocabulary)?;
        processor
            .images
            .check_model(model, &dir.join(PREPROCESSOR))?;
        if model.audio_pool_step != audio::POOL_STEP {
            return Err(Error::Config {
                path: dir.join("config.json"),
                field: "audio_pool_step".to_owned(),
                reason: format!(
                    "it is `{}`, and places for sounds are counted with `{}`, as the published processor counts them",
                    model.audio_pool_step,
                    audio::POOL_STEP
                ),
            });
        }
        Ok(processor)
    }

    /// The same processor with other limits on what it decodes.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How it prepares media and conversations; what was left to the checkpoint is filled in.
    pub const fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// A text that is equal for two processors if they make the same of every medium.
    pub fn fingerprint(&self) -> String {
        format!(
            "minicpm_o;{};{}",
            self.images.fingerprint(),
            self.preprocessing.fingerprint()
        )
    }

    /// The media of a pair: those of the prompt in their order, then those of each response.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when the pair's media are such as the preprocessing refuses.
    pub fn media<'a>(&self, pair: &'a PreferencePair) -> Result<Vec<MediaUse<'a>>> {
        placement::check(pair, &self.preprocessing)?;
        let of = |parts: &'a [Part], response| {
            parts
                .iter()
                .filter_map(Part::as_media)
                .map(move |media| MediaUse {
                    pair: &pair.id,
                    media,
                    response,
                })
        };
        let responses = pair
            .responses
            .iter()
            .enumerate()
            .flat_map(|(index, response)| of(&response.parts, Some(index)));
        Ok(of(&pair.prompt, None).chain(responses).collect())
    }

    /// The encoded bytes of a medium. Of a mesh they are those of a picture of it from all sides, since
    /// a mesh may lie in several files.
    ///
    /// # Errors
    ///
    /// [`Error::Media`] when it cannot be read, or not drawn.
    pub fn read(&self, medium: &MediaUse<'_>) -> Result<Arc<[u8]>> {
        let stored = self.stored(medium)?;
        if is_mesh(&stored) {
            self.drawn(medium)
        } else {
            Ok(stored)
        }
    }

    /// The bytes of a medium's own file.
    pub(crate) fn stored(&self, medium: &MediaUse<'_>) -> Result<Arc<[u8]>> {
        omnireward_media::read(medium.media, &self.limits).map_err(|source| medium.failed(source))
    }

    /// A picture of a mesh from all sides.
    pub(crate) fn drawn(&self, medium: &MediaUse<'_>) -> Result<Arc<[u8]>> {
        let sheet = mesh::load(medium.media, &self.limits)
            .and_then(|mesh| mesh::render_sheet(&mesh, &mesh::SheetConfig::default()))
            .map_err(|source| medium.failed(source))?;
        Ok(omnireward_media::image::encode_png(&sheet).into())
    }

    /// Decodes the bytes of a medium and prepares it for its tower.
    ///
    /// `padded_to` is the largest [`audio_frames`](Self::audio_frames) of the pair's sounds where
    /// [`hears_padding`](Self::hears_padding) holds, and has no effect on anything but sounds.
    ///
    /// # Errors
    ///
    /// [`Error::Media`] when it cannot be decoded, [`Error::Unsupported`] for a video that is refused and for a sound
    /// that is too short for a single row.
    pub fn prepare(
        &self,
        medium: &MediaUse<'_>,
        bytes: &Arc<[u8]>,
        padded_to: Option<usize>,
    ) -> Result<MediumInput> {
        let failed = |source| medium.failed(source);
        match medium.media.modality {
            Modality::Video => {
                let frames = video::frames(bytes, &self.preprocessing, &self.limits)
                    .map_err(failed)?
                    .map_err(|reason| Error::Unsupported {
                        pair: medium.pair.to_owned(),
                        reason: format!("video `{}` {reason}", medium.media.name()),
                    })?;
                Ok(MediumInput::Video(
                    frames.iter().map(|frame| self.frame(frame)).collect(),
                ))
            }
            Modality::Audio => {
                let sound = omnireward_media::audio::decode(bytes, &self.limits)
                    .and_then(|sound| self.audio(&sound, padded_to))
                    .map_err(failed)?;
                if sound.pieces.is_empty() {
                    return Err(Error::Unsupported {
                        pair: medium.pair.to_owned(),
                        reason: format!(
                            "sound `{}` is too short to be heard: a row stands for 40 ms",
                            medium.media.name()
                        ),
                    });
                }
                Ok(MediumInput::Audio(sound))
            }
            Modality::Image | Modality::Mesh | Modality::Text => self
                .decoded(bytes)
                .map(|image| MediumInput::Image(self.image(&image)))
                .map_err(failed),
        }
    }

    fn decoded(&self, bytes: &[u8]) -> Result<RgbaImage, omnireward_media::Error> {
        match self.preprocessing.orientation {
            Orientation::Ignored => omnireward_media::image::decode(bytes, &self.limits),
            Orientation::Applied => omnireward_media::image::decode_upright(bytes, &self.limits),
        }
    }

    /// A picture for the vision tower.
    pub fn image(&self, image: &RgbaImage) -> ImageInput {
        let image = image::opaque(image, self.preprocessing.transparency);
        let most = self.preprocessing.max_slices;
        self.slicer(most.unwrap_or(self.images.max_slice_nums))
            .input(&image::shrunk(
                image,
                self.preprocessing.image_pixels,
                self.preprocessing.image_shrink,
            ))
    }

    /// A frame of a video for the vision tower.
    pub fn frame(&self, frame: &RgbImage) -> ImageInput {
        self.slicer(self.preprocessing.max_frame_slices)
            .input(&image::shrunk(
                frame.clone(),
                self.preprocessing.frame_pixels,
                self.preprocessing.frame_shrink,
            ))
    }

    fn slicer(&self, max_slices: usize) -> Slicer<'_> {
        Slicer {
            config: &self.images,
            max_slices,
        }
    }

    /// A sound for the audio tower. `padded_to` is as for [`prepare`](Self::prepare).
    ///
    /// # Errors
    ///
    /// When the sound cannot be resampled.
    pub fn audio(
        &self,
        sound: &Waveform,
        padded_to: Option<usize>,
    ) -> Result<AudioInput, omnireward_media::Error> {
        audio::input(sound, padded_to, &self.limits)
    }

    /// Whether a sound's features depend on the longest sound of its pair.
    pub fn hears_padding(&self) -> bool {
        self.preprocessing.audio_padding == AudioPadding::Visible
    }

    /// Whether rewards of a task's responses depend on which of them is the first:
    /// [`AudioRows::FirstRow`] gives it the sounds of all.
    pub fn is_order_sensitive(&self, task: Task) -> bool {
        let has_sound = task.response_modality() == Modality::Audio
            || task.prompt_modality() == Some(Modality::Audio);
        has_sound && self.preprocessing.audio_rows == AudioRows::FirstRow
    }

    /// Whether a response's sequence lacks the features of sounds that stand in it, since the first response's got
    /// them.
    pub fn leaves_unheard(&self, pair: &PreferencePair) -> bool {
        let has_sound = |parts: &[Part]| {
            let mut media = parts.iter().filter_map(Part::as_media);
            media.any(|medium| medium.modality == Modality::Audio)
        };
        let mut others = pair.responses.iter().skip(1);
        self.preprocessing.audio_rows == AudioRows::FirstRow
            && others.any(|other| has_sound(&pair.prompt) || has_sound(&other.parts))
    }

    /// The frames of a sound's spectrogram, or of its longest piece if it is over 30 seconds.
    ///
    /// # Errors
    ///
    /// [`Error::Media`] when it cannot be decoded.
    pub fn audio_frames(&self, medium: &MediaUse<'_>, bytes: &[u8]) -> Result<usize> {
        omnireward_media::audio::decode(bytes, &self.limits)
            .map(|sound| audio::longest_piece(&sound))
            .map_err(|source| medium.failed(source))
    }

    /// One sequence for each response, with the features of the media in their places. `shapes` are
    /// those of [`media`](Self::media), in its order.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] when the pair's media are such as the preprocessing refuses, or the
    /// shapes are not those of its media.
    pub fn sequences(
        &self,
        pair: &PreferencePair,
        shapes: &[MediumShape],
    ) -> Result<Vec<Vec<Row>>> {
        let media = self.media(pair)?;
        let fits = media.len() == shapes.len()
            && media
                .iter()
                .zip(shapes)
                .all(|(medium, shape)| medium.fits(shape));
        if !fits {
            return Err(Error::Unsupported {
                pair: pair.id.clone(),
                reason: format!(
                    "its {} media do not have the shapes {shapes:?}",
                    media.len()
                ),
            });
        }
        sequence::Builder {
            tokens: &self.tokens,
            images: &self.images,
            preprocessing: &self.preprocessing,
            shapes,
        }
        .sequences(pair)
    }
}

const PREPROCESSOR: &str = "preprocessor_config.json";

/// Whether bytes are those of a mesh, of which a picture is made.
pub(crate) fn is_mesh(bytes: &[u8]) -> bool {
    sniff(bytes).map(Format::modality) == Some(Modality::Mesh)
}

impl MediaUse<'_> {
    fn failed(&self, source: omnireward_media::Error) -> Error {
        Error::Media {
            pair: self.pair.to_owned(),
            name: self.media.name().to_owned(),
            source: Box::new(source),
        }
    }

    const fn fits(&self, shape: &MediumShape) -> bool {
        matches!(
            (self.media.modality, shape),
            (Modality::Video, MediumShape::Video { .. })
                | (Modality::Audio, MediumShape::Audio { .. })
                | (
                    Modality::Image | Modality::Mesh | Modality::Text,
                    MediumShape::Image { .. }
                )
        )
    }
}
