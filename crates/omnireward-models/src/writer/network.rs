use std::{path::Path, sync::Arc};

use candle_core::Device;
use omnireward_core::{ChatMessage, Modality};
use omnireward_media::Limits;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokenizers::Tokenizer;

use super::{
    reader::Reader,
    settings::Settings,
    source::{self, Source},
};
use crate::{
    Error, Precision, Result,
    checkpoint::{Architecture, Family, architecture::Readout},
    decoder::{Decoder, DecoderConfig},
    generation::{
        Constraint, End, Generator, GeneratorOptions, Prompt, Reply, Sampling, Stop, Words,
    },
    processor::{ChatOptions, Qwen2_5VlProcessor, VideoSettings, chat::template::Template},
    qwen2_5_vl,
    weights::{Placement, Weights},
};

/// How a writing model is set up.
#[derive(Clone, Debug)]
pub struct WritingOptions {
    /// Where it computes.
    pub device: Device,
    /// In which type it computes.
    pub precision: Precision,
    /// What a text model's chat template is given besides the conversation.
    pub chat: ChatOptions,
    /// Which frames of videos are shown; the checkpoint's own choice when `None`.
    pub videos: Option<VideoSettings>,
    /// What media may cost to decode.
    pub limits: Limits,
    /// What replies may use. It changes none.
    pub generator: GeneratorOptions,
    /// What every reply is to end with.
    pub closing: Option<Closing>,
}

impl Default for WritingOptions {
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            precision: Precision::default(),
            chat: ChatOptions::default(),
            videos: None,
            limits: Limits::default(),
            generator: GeneratorOptions::default(),
            closing: None,
        }
    }
}

/// A [`Constraint`] in words: a reply ends with one of a few choices, such as verdicts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// What stands between what is written freely and the choice, such as `\n[[`.
    pub lead: String,
    /// The choices, such as `A]]` and `B]]`; their first tokens differ.
    pub choices: Vec<String>,
    /// A reply in which one of these was written freely is left as it is.
    #[serde(default)]
    pub unless: Vec<String>,
}

/// A checkpoint that writes: what reads conversations, and the language model with its head.
#[derive(Debug)]
pub struct WritingNetwork {
    architecture: String,
    reader: Reader,
    decoder: Decoder,
    tokenizer: Arc<Tokenizer>,
    defaults: Sampling,
    stop: Stop,
    placement: Placement,
}

/// How `config.json` names a Qwen2.5-VL that writes, and a Qwen2.5-Omni, whose thinker is such a model: whole, or alone.
const VISUAL: [&str; 3] = [
    "Qwen2_5_VLForConditionalGeneration",
    "Qwen2_5OmniModel",
    "Qwen2_5OmniThinkerForConditionalGeneration",
];

/// Whether the checkpoint at `path`, a folder in Hugging Face layout or a GGUF file, is one that writes: a language model
/// without a reward head.
///
/// # Errors
///
/// Fails when its weights or its configuration cannot be read.
pub fn writes(path: &Path) -> Result<bool> {
    let weights = Weights::open(path)?;
    let config = match weights.gguf() {
        Some(gguf) => gguf.config()?,
        None => source::json(&path.join("config.json"))?,
    };
    let class = config["architectures"][0].as_str().unwrap_or_default();
    let is_known = VISUAL.contains(&class)
        || ["Qwen2", "Qwen3", "Llama"]
            .iter()
            .any(|family| class.strip_prefix(family) == Some("ForCausalLM"));
    let beside = path.with_file_name("value_head.safetensors");
    let has_head = path.is_file() && beside.is_file()
        || weights
            .names()
            .any(|name| name.starts_with("v_head.") || name.starts_with("score."));
    Ok(is_known && !has_head)
}

impl WritingNetwork {
    /// Sets up the checkpoint at `path`, a folder in Hugging Face layout or a GGUF file, with `weights`: its own, or
    /// those with some tensors replaced.
    ///
    /// # Errors
    ///
    /// Fails before anything is computed, naming the file and the tensor or field, when the checkpoint is damaged,
    /// incomplete, of an architecture that is not known or does not write, or has a chat template that does not begin
    /// the turn that is to be written.
    pub fn new(path: &Path, weights: &Weights, options: &WritingOptions) -> Result<Self> {
        let source = Source::read(path, weights)?;
        let placement = Placement {
            device: options.device.clone(),
            dtype: options.precision.dtype(weights),
        };
        let architecture = source.config["architectures"][0].as_str();
        let architecture = architecture.unwrap_or_default().to_owned();
        let (config, reader) = if VISUAL.contains(&architecture.as_str()) {
            visual(path, &source, weights, &placement, options)?
        } else {
            words(&source, options)?
        };
        let settings = Settings::from_json(&source.generation, &source.generation_path)?;
        let decoder = Decoder::load(&config, &weights.scope("model", &placement))?
            .with_lm_head(&weights.scope("", &placement))?;
        Ok(Self {
            architecture,
            reader,
            decoder,
            defaults: settings.sampling(),
            stop: Stop {
                tokens: settings.end(&source.config),
                strings: Vec::new(),
            },
            tokenizer: Arc::new(source.tokenizer),
            placement,
        })
    }

    /// The same for training its towers: features of media are computed anew for each prompt, and are differentiable in
    /// the towers' weights.
    #[must_use]
    pub fn with_trained_towers(mut self) -> Self {
        self.reader = self.reader.without_memory();
        self
    }

    /// The model's class, as its configuration names it.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The language model, with its head.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Where it computes, and in which type.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Whether conversations may have such parts.
    pub fn reads(&self, modality: Modality) -> bool {
        self.reader.reads(modality)
    }

    /// How tokens are drawn where nobody says, by the checkpoint's `generation_config.json`.
    pub fn defaults(&self) -> &Sampling {
        &self.defaults
    }

    /// What ends a reply, by the checkpoint's `generation_config.json`.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// How conversations become prompts, for the record.
    pub fn preprocessing(&self) -> Value {
        self.reader.preprocessing()
    }

    /// What a reply to a conversation follows, the beginning of its own turn included.
    ///
    /// # Errors
    ///
    /// Fails when a medium cannot be decoded, or is of a kind that the model does not read, and when the chat template
    /// refuses the conversation.
    pub fn prompt(&self, messages: &[ChatMessage]) -> Result<Prompt> {
        self.reader.prompt(messages)
    }

    /// The tokens of a text.
    ///
    /// # Errors
    ///
    /// Fails when the tokenizer refuses it.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode_fast(text, false);
        let encoding = encoding.map_err(|error| Error::Request {
            reason: format!("the tokenizer refuses `{text}`: {error}"),
        })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The words of tokens, without special ones.
    pub fn text(&self, tokens: &[u32]) -> String {
        text(&self.tokenizer, tokens)
    }

    /// The words of a reply.
    pub fn text_of(&self, reply: &Reply) -> String {
        match (reply.end, reply.tokens.split_last()) {
            (End::Token, Some((_, before))) => self.text(before),
            _ => self.text(&reply.tokens),
        }
    }

    /// The words of tokens, as a generator looks for strings in them.
    pub fn words(&self) -> Words {
        let tokenizer = Arc::clone(&self.tokenizer);
        Words::new(move |tokens| text(&tokenizer, tokens))
    }

    /// A closing in tokens.
    ///
    /// # Errors
    ///
    /// Fails when the tokenizer refuses a part of it.
    pub fn constraint(&self, closing: &Closing) -> Result<Constraint> {
        let choices = closing.choices.iter().map(|choice| self.tokens(choice));
        Ok(Constraint {
            lead: self.tokens(&closing.lead)?,
            choices: choices.collect::<Result<_>>()?,
            unless: closing.unless.clone(),
        })
    }

    /// A generator of replies.
    pub fn generator(&self, options: GeneratorOptions) -> Result<Generator<'_>> {
        Ok(Generator::new(&self.decoder, options)?.with_words(self.words()))
    }
}

fn text(tokenizer: &Tokenizer, tokens: &[u32]) -> String {
    // Byte-level tokenizers, which these models have, can decode anything.
    tokenizer.decode(tokens, true).unwrap_or_default()
}

fn words(source: &Source, options: &WritingOptions) -> Result<(DecoderConfig, Reader)> {
    let architecture = Architecture::from_json(&source.config, &source.config_path)?;
    let is_text = matches!(
        architecture.family,
        Family::Qwen2 | Family::Qwen3 | Family::Llama
    );
    if !is_text || architecture.readout != Readout::Language {
        let found = source.config["architectures"][0].as_str();
        return Err(Error::UnknownArchitecture {
            path: source.config_path.clone(),
            found: found.unwrap_or("none").to_owned(),
            known: format!(
                "for writing: {}, and Qwen2, Qwen3 and Llama with ForCausalLM",
                VISUAL.join(", ")
            ),
        });
    }
    let config = DecoderConfig::from_json(&source.config, &source.config_path)?;
    let template = Template::new(&source.chat, options.chat.variables.clone())?;
    Ok((config, Reader::text(template, &source.tokenizer)?))
}

fn visual(
    path: &Path,
    source: &Source,
    weights: &Weights,
    placement: &Placement,
    options: &WritingOptions,
) -> Result<(DecoderConfig, Reader)> {
    let config = qwen2_5_vl::Config::from_json(&source.config, &source.config_path)?;
    let mut processor = Qwen2_5VlProcessor::open(path, &config)?.with_limits(options.limits);
    if let Some(videos) = options.videos {
        processor = processor.with_videos(videos);
    }
    let towers = qwen2_5_vl::Towers::load(&config, weights, placement)?;
    Ok((config.text, Reader::qwen2_5_vl(processor, towers)))
}
