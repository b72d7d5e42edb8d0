//! Turns the media of a pair into the parts of a chat message.

mod encode;
mod memory;
mod whole;

use std::{num::NonZeroU32, thread};

use futures::future::try_join_all;
use omnireward_core::{ChatPart, MediaRef, ModelError, ModelErrorKind};
use omnireward_media::Limits;
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, task::spawn_blocking};

use self::memory::Memory;
use crate::prompt::Piece;

/// How images are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageForm {
    /// JPEG, PNG and WebP files as they are, when they are complete and not too large; everything
    /// else as [`Jpeg`](Self::Jpeg). Nothing is lost and nothing is computed.
    #[default]
    Passthrough,
    /// Transparency put on white, converted to RGB, and encoded as JPEG, as the reference
    /// evaluation does.
    Jpeg,
}

/// How videos are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VideoForm {
    /// Still frames, evenly spread from the first to the last. A video with fewer frames repeats
    /// some.
    Frames {
        /// Of a video in the prompt.
        prompt: NonZeroU32,
        /// Of a video that is a response.
        response: NonZeroU32,
    },
    /// The file as it is, for models that take one.
    File,
}

impl Default for VideoForm {
    /// 10 frames of a prompt's video and 5 of a response's, as the reference evaluation has it.
    fn default() -> Self {
        Self::Frames {
            prompt: const { NonZeroU32::new(10).unwrap() },
            response: const { NonZeroU32::new(5).unwrap() },
        }
    }
}

/// How the sounds of two responses are sent. Every sound is sent as WAV, 16 kHz, mono, 16 bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AudioForm {
    /// Each in the block of its response.
    #[default]
    Separate,
    /// One recording of both with a second of silence between them, before the text, as the
    /// reference evaluation has it.
    Joined,
}

/// How the media of a pair become parts of a message. All of it is part of a judge's identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MediaConfig {
    /// How images are sent.
    pub images: ImageForm,
    /// Quality of JPEGs that are made here, 1 to 100. Default: 75, as in the reference.
    pub jpeg_quality: u8,
    /// Larger images and frames are shrunk to this many pixels. Default: no bound.
    pub max_pixels: Option<u32>,
    /// How videos are sent.
    pub video: VideoForm,
    /// How the sounds of two responses are sent.
    pub audio: AudioForm,
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            images: ImageForm::default(),
            jpeg_quality: 75,
            max_pixels: None,
            video: VideoForm::default(),
            audio: AudioForm::default(),
        }
    }
}

/// Encodes media off the async threads, as many at once as there are cores, and each only once for
/// the questions that follow one another.
#[derive(Debug)]
pub(crate) struct MediaEncoder {
    config: MediaConfig,
    limits: Limits,
    cores: Semaphore,
    memory: Memory,
}

/// Encoded media that are kept for the next question about them, in bytes.
const MEMORY_BYTES: usize = 48 << 20;

impl MediaEncoder {
    pub(crate) fn new(config: MediaConfig, limits: Limits) -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            config,
            limits,
            cores: Semaphore::new(cores),
            memory: Memory::new(MEMORY_BYTES),
        }
    }

    pub(crate) fn config(&self) -> &MediaConfig {
        &self.config
    }

    /// The message parts that `pieces` of the pair `pair_id` make.
    ///
    /// # Errors
    ///
    /// [`ModelErrorKind::Media`], naming the medium and the pair.
    pub(crate) async fn parts(
        &self,
        pair_id: &str,
        pieces: Vec<Piece<'_>>,
    ) -> Result<Vec<ChatPart>, ModelError> {
        let parts = pieces.into_iter().map(|piece| self.piece(pair_id, piece));
        Ok(try_join_all(parts).await?.concat())
    }

    async fn piece(&self, pair_id: &str, piece: Piece<'_>) -> Result<Vec<ChatPart>, ModelError> {
        match piece {
            Piece::Text(text) => Ok(vec![ChatPart::Text(text)]),
            Piece::Prompt(media) => {
                let frames = self.frames(|prompt, _| prompt);
                self.recall(pair_id, vec![media.clone()], frames).await
            }
            Piece::Response(media) => {
                let frames = self.frames(|_, response| response);
                self.recall(pair_id, vec![media.clone()], frames).await
            }
            Piece::Joined(media) => {
                let media = media.into_iter().cloned().collect();
                self.recall(pair_id, media, None).await
            }
        }
    }

    /// How many frames a video is sent as; `None` when whole files are sent.
    fn frames(&self, choose: fn(NonZeroU32, NonZeroU32) -> NonZeroU32) -> Option<NonZeroU32> {
        match self.config.video {
            VideoForm::Frames { prompt, response } => Some(choose(prompt, response)),
            VideoForm::File => None,
        }
    }

    /// One medium, or several sounds as one, encoded now or lately.
    async fn recall(
        &self,
        pair_id: &str,
        media: Vec<MediaRef>,
        frames: Option<NonZeroU32>,
    ) -> Result<Vec<ChatPart>, ModelError> {
        let encode = self.encode(pair_id, media.clone(), frames);
        self.memory.recall(&media, frames, encode).await
    }

    async fn encode(
        &self,
        pair_id: &str,
        media: Vec<MediaRef>,
        frames: Option<NonZeroU32>,
    ) -> Result<Vec<ChatPart>, ModelError> {
        let _core = self
            .cores
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let names: Vec<String> = media
            .iter()
            .map(|medium| format!("{} `{}`", medium.modality, medium.name()))
            .collect();
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
            let names = names.join(" and ");
            let message = format!("cannot send {names} of pair `{pair_id}`");
            ModelError::caused_by(ModelErrorKind::Media, message, source)
        };
        let (config, limits) = (self.config.clone(), self.limits);
        let encoded = spawn_blocking(move || match media.as_slice() {
            [medium] => encode::medium(medium, frames, &config, &limits),
            sounds => encode::joined(sounds, &limits).map(|part| vec![part]),
        });
        match encoded.await {
            Ok(parts) => parts.map_err(|error| failed(error.into())),
            // A panic in a decoder is a bug there; it must not end a run.
            Err(panic) => Err(failed(panic.into())),
        }
    }
}
