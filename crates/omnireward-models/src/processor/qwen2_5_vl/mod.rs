//! Qwen2.5-VL: conversations with pictures and videos as the published processor lays them out; and with sounds, for
//! Qwen2.5-Omni.

mod config;
mod patches;
mod resize;
mod video;

use std::{path::Path, sync::Arc};

use omnireward_core::{ChatMessage, ChatPart, error_chain};
use omnireward_media::{
    Limits, RgbImage,
    audio::{self, LogMel, Mel, Waveform},
    image::{decode_on_white, resize_bicubic},
};
use serde_json::Map;
use sha2::{Digest, Sha256};

pub use self::config::VideoSettings;
use self::{
    config::{ImageConfig, SAMPLE_RATE_HZ},
    resize::{Pixels, resized},
};
use super::chat::{
    conversation::{Conversation, Ending},
    files::Files,
    open_tokenizer,
    template::Template,
    words::Words,
};
use crate::{
    Error, Feature, Features, Result, Row,
    audio::ChunkedAudioConfig,
    generation::Prompt,
    media_cache::hex,
    qwen2_5_vl::{self, Config, MediaInput, MediaShape, VisualInput, VisualShape},
};

/// Turns conversations into what Qwen2.5-VL reads: rows with places for media, and media as patches.
///
/// A conversation is laid out by the checkpoint's chat template and tokenised as one text. What is said in it is never
/// read as a special token. A medium's pad token is repeated for each of its rows.
///
/// Pictures are put on white and resized, by a bicubic filter, to whole cells of patches; a picture smaller than the
/// least size, even than one patch, is enlarged to it. Of a video, frames are taken evenly. A video of a single frame
/// is shown as that frame. Sounds are only for a model with an audio tower; one that is longer than the tower takes is
/// refused.
#[derive(Debug)]
pub struct Qwen2_5VlProcessor {
    words: Words,
    tokenizer_hash: String,
    template: Template,
    model: Config,
    images: ImageConfig,
    videos: VideoSettings,
    sounds: Option<Sounds>,
    limits: Limits,
}

/// What makes spectrograms.
#[derive(Debug)]
struct Sounds {
    seconds: usize,
    log_mel: LogMel,
}

impl Qwen2_5VlProcessor {
    /// Opens the tokenizer, the chat template and `preprocessor_config.json` of a checkpoint whose `config.json` is
    /// `model`.
    ///
    /// # Errors
    ///
    /// Fails when a file is missing or damaged, when they do not agree, and when the template does not begin the turn
    /// that the model is to write.
    pub fn open(dir: &Path, model: &Config) -> Result<Self> {
        let (tokenizer, tokenizer_hash) = open_tokenizer(dir, Some(model.text.vocabulary))?;
        let template = Template::new(&Files::read(dir)?, Map::new())?;
        template.check_prompt()?;
        Ok(Self {
            words: Words::new(&tokenizer),
            tokenizer_hash,
            template,
            images: ImageConfig::read(dir, model)?,
            videos: VideoSettings::read(dir)?,
            sounds: config::sounds(dir, model)?.map(|sounds| Sounds {
                seconds: sounds.seconds,
                log_mel: LogMel::new(sounds),
            }),
            model: model.clone(),
            limits: Limits::default(),
        })
    }

    /// The same processor with other limits on what it decodes.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same processor, showing videos in another way.
    #[must_use]
    pub fn with_videos(mut self, videos: VideoSettings) -> Self {
        self.videos = videos;
        self
    }

    /// Which frames of videos are shown.
    pub const fn videos(&self) -> &VideoSettings {
        &self.videos
    }

    /// Changes when a conversation's rows may: by tokenizer, template or preprocessing of media.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for part in [
            &self.tokenizer_hash,
            &self.template.identity(),
            &self.media_fingerprint(),
        ] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hex(&hash.finalize())
    }

    /// A text that is equal for two processors if they make the same of every medium.
    pub fn media_fingerprint(&self) -> String {
        let sounds = self.sounds.as_ref().map(|sounds| sounds.seconds);
        format!("qwen2_5_vl;{:?};{:?};{sounds:?}", self.images, self.videos)
    }

    /// Decodes a part of a message and prepares it for its tower; `None` of words.
    ///
    /// # Errors
    ///
    /// Says which kind of medium cannot be decoded or encoded, and why.
    pub fn input(&self, part: &ChatPart) -> Result<Option<MediaInput>> {
        let (kind, input) = match part {
            ChatPart::Text(_) => return Ok(None),
            ChatPart::Image { bytes, .. } => ("a picture", self.decoded_image(bytes)),
            ChatPart::Video { bytes, .. } => ("a video", self.decoded_video(bytes)),
            ChatPart::Audio { bytes, .. } => ("a sound", self.decoded_sound(bytes)),
        };
        input.map(Some).map_err(|reason| Error::Input {
            input: kind.to_owned(),
            reason,
        })
    }

    fn decoded_image(&self, bytes: &[u8]) -> Result<MediaInput, String> {
        let image = decode_on_white(bytes, &self.limits).map_err(|error| error_chain(&error))?;
        self.image(&image).map(MediaInput::Visual)
    }

    fn decoded_video(&self, bytes: &Arc<[u8]>) -> Result<MediaInput, String> {
        let span = self.images.temporal_patch;
        let frames = video::frames(bytes, &self.videos, span, &self.limits)
            .map_err(|error| error_chain(&error))?
            .ok_or("it has no frames")?;
        self.video(&frames.pictures, frames.per_second)
            .map(MediaInput::Visual)
    }

    fn decoded_sound(&self, bytes: &[u8]) -> Result<MediaInput, String> {
        if self.sounds.is_none() {
            return Err(DEAF.to_owned());
        }
        let sound = audio::decode(bytes, &self.limits).map_err(|error| error_chain(&error))?;
        self.sound(&sound).map(MediaInput::Sound)
    }

    /// A sound for the audio tower.
    ///
    /// # Errors
    ///
    /// Says so when the model does not hear, when the sound cannot be resampled, and when it is too short for a row or
    /// longer than the tower takes.
    pub fn sound(&self, sound: &Waveform) -> Result<Mel, String> {
        let Some(Sounds { seconds, log_mel }) = &self.sounds else {
            return Err(DEAF.to_owned());
        };
        let sound = sound
            .mono()
            .resampled(SAMPLE_RATE_HZ, &self.limits)
            .map_err(|error| error_chain(&error))?;
        let rate = SAMPLE_RATE_HZ as usize;
        if sound.samples.len() > seconds * rate {
            let lasts = sound.samples.len().div_ceil(rate);
            return Err(format!(
                "it lasts {lasts} seconds, and {seconds} are the most"
            ));
        }
        let mel = log_mel.extract(&sound.samples);
        match ChunkedAudioConfig::rows(mel.frames) {
            0 => Err("it is too short to be heard: a row stands for 40 ms".to_owned()),
            _ => Ok(mel),
        }
    }

    /// A picture for the vision tower.
    ///
    /// # Errors
    ///
    /// Says so when it has no pixels, or one side is over 200 times as long as the other.
    pub fn image(&self, image: &RgbImage) -> Result<VisualInput, String> {
        let image = self.fitted(image, self.images.pixels)?;
        let (grid, patches) = patches::cut(&[image], &self.images);
        Ok(VisualInput {
            shape: VisualShape {
                grid,
                seconds: None,
            },
            patches,
        })
    }

    /// Frames of a video for the vision tower, of which `per_second` are shown for a second of it.
    ///
    /// # Errors
    ///
    /// Says so when there are none, when they differ in size, and as [`image`](Self::image).
    pub fn video(&self, frames: &[RgbImage], per_second: f64) -> Result<VisualInput, String> {
        let span = self.images.temporal_patch;
        let Some(first) = frames.first() else {
            return Err("it has no frames".to_owned());
        };
        if frames
            .iter()
            .any(|frame| frame.dimensions() != first.dimensions())
        {
            return Err("its frames differ in size".to_owned());
        }
        let limits = video::pixels(frames.len(), &self.videos, span);
        let frames = frames
            .iter()
            .map(|frame| {
                // The utility beside the model resizes first, then the processor, by its own limits.
                let frame = self.fitted(frame, limits)?;
                self.fitted(&frame, self.images.pixels)
            })
            .collect::<Result<Vec<RgbImage>, String>>()?;
        let (grid, patches) = patches::cut(&frames, &self.images);
        Ok(VisualInput {
            shape: VisualShape {
                grid,
                seconds: Some(span as f64 / per_second),
            },
            patches,
        })
    }

    fn fitted(&self, image: &RgbImage, pixels: Pixels) -> Result<RgbImage, String> {
        let (width, height) = image.dimensions();
        let (height, width) = resized((height, width), self.images.unit(), pixels)?;
        Ok(resize_bicubic(image, width, height))
    }

    /// The rows of a conversation that the model goes on with. `shapes` are those of its media, in their order; so are
    /// the media that rows name.
    ///
    /// # Errors
    ///
    /// Fails when the template refuses the conversation, or has not a place for each medium.
    pub fn prompt_rows(&self, messages: &[ChatMessage], shapes: &[MediaShape]) -> Result<Vec<Row>> {
        self.rows(messages, shapes, Ending::Reply)
    }

    /// The rows of a conversation that has ended.
    ///
    /// # Errors
    ///
    /// As [`prompt_rows`](Self::prompt_rows).
    pub fn conversation_rows(
        &self,
        messages: &[ChatMessage],
        shapes: &[MediaShape],
    ) -> Result<Vec<Row>> {
        self.rows(messages, shapes, Ending::Finished)
    }

    /// What a reply follows: [`prompt_rows`](Self::prompt_rows), where they stand, and the features of their media.
    ///
    /// # Errors
    ///
    /// As [`prompt_rows`](Self::prompt_rows).
    pub fn prompt(
        &self,
        messages: &[ChatMessage],
        shapes: &[MediaShape],
        features: Features,
    ) -> Result<Prompt> {
        let rows = self.prompt_rows(messages, shapes)?;
        let positions =
            qwen2_5_vl::positions(&rows, shapes, &self.model.vision).map_err(refused)?;
        Ok(Prompt {
            rows,
            positions: positions.into(),
            features,
        })
    }

    fn rows(
        &self,
        messages: &[ChatMessage],
        shapes: &[MediaShape],
        ending: Ending,
    ) -> Result<Vec<Row>> {
        let conversation =
            Conversation::new(messages, ending, &self.template, &self.words).map_err(refused)?;
        let tokens = self
            .words
            .tokens(&conversation.text, &conversation.said)
            .map_err(refused)?;
        self.with_media(&tokens, messages, shapes).map_err(refused)
    }

    /// Rows with the pad token of each medium repeated.
    fn with_media(
        &self,
        tokens: &[u32],
        messages: &[ChatMessage],
        shapes: &[MediaShape],
    ) -> Result<Vec<Row>, String> {
        let pads = self.pads(messages)?;
        if pads.len() != shapes.len() {
            return Err(format!(
                "it has `{}` media, and shapes of `{}`",
                pads.len(),
                shapes.len()
            ));
        }
        let own = self.model.tokens;
        let mut left: Vec<(usize, u32)> = pads.into_iter().enumerate().collect();
        let mut rows = Vec::with_capacity(tokens.len());
        for &token in tokens {
            if token != own.image && token != own.video && Some(token) != own.audio {
                rows.push(Row::token(token));
                continue;
            }
            let place = left
                .iter()
                .position(|(_, pad)| *pad == token)
                .ok_or("the chat template has more places for media than there are media")?;
            let (medium, _) = left.remove(place);
            let count = shapes[medium].rows(&self.model.vision);
            rows.extend((0..count).map(|row| Row {
                token,
                feature: Some(Feature { medium, row }),
            }));
        }
        if left.is_empty() {
            Ok(rows)
        } else {
            Err(format!(
                "the chat template has no place for `{}` of its media",
                left.len()
            ))
        }
    }

    /// The pad token of each medium of a conversation.
    fn pads(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, String> {
        let own = self.model.tokens;
        let parts = messages.iter().flat_map(|message| &message.parts);
        parts
            .filter_map(|part| match part {
                ChatPart::Text(_) => None,
                ChatPart::Image { .. } => Some(Ok(own.image)),
                ChatPart::Video { .. } => Some(Ok(own.video)),
                ChatPart::Audio { .. } => Some(own.audio.ok_or_else(|| DEAF.to_owned())),
            })
            .collect()
    }
}

const DEAF: &str = "this model does not hear";

fn refused(reason: String) -> Error {
    Error::Request { reason }
}

#[cfg(test)]
mod tests;
