use std::path::PathBuf;

/// Why a model could not be opened or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of the checkpoint could not be read or written.
    #[error("cannot use `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A JSON file of the checkpoint is not what it should be.
    #[error("`{}` is not a valid file of its kind", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said, with line and column or field.
        source: serde_json::Error,
    },
    /// A setting has a value that no model here can have.
    #[error("`{field}` in `{}`: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The field, dotted.
        field: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// The checkpoint holds a model that this crate does not know.
    #[error("`{}` holds a model of architecture `{found}`, known are {known}", path.display())]
    UnknownArchitecture {
        /// The configuration file.
        path: PathBuf,
        /// What it says.
        found: String,
        /// Architectures that can be opened.
        known: String,
    },
    /// A weight file is damaged.
    #[error("weight file `{}` is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The index names a shard that is not there.
    #[error("shard `{}` is missing; `{tensor}` and others were to be in it", path.display())]
    MissingShard {
        /// The shard.
        path: PathBuf,
        /// One of the tensors it holds.
        tensor: String,
    },
    /// A tensor that the model needs is not in the checkpoint.
    #[error("tensor `{tensor}` is missing from `{}`", path.display())]
    MissingTensor {
        /// The tensor's full name.
        tensor: String,
        /// The checkpoint.
        path: PathBuf,
    },
    /// Two files of a checkpoint hold a tensor of the same name.
    #[error("tensor `{tensor}` is in both `{}` and `{}`", first.display(), second.display())]
    DuplicateTensor {
        /// The tensor's full name.
        tensor: String,
        /// One of the files.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor `{tensor}` in `{}` has shape {found:?}, expected {expected:?}", path.display())]
    Shape {
        /// The tensor's full name.
        tensor: String,
        /// The file that holds it.
        path: PathBuf,
        /// Its shape there.
        found: Vec<usize>,
        /// The shape the configuration asks for.
        expected: Vec<usize>,
    },
    /// A tensor is stored as a type that is not a weight.
    #[error("tensor `{tensor}` in `{}` is stored as `{found}`, expected one of F32, F16, BF16", path.display())]
    Type {
        /// The tensor's full name.
        tensor: String,
        /// The file that holds it.
        path: PathBuf,
        /// Its stored type.
        found: String,
    },
    /// A tensor that is trained is of a type, or on a device, from which the model would have to copy it.
    #[error(
        "tensor `{tensor}` is trained as `{found}` in a model that takes it as `{expected}`, on the model's device"
    )]
    Trained {
        /// The tensor's full name.
        tensor: String,
        /// Its type.
        found: &'static str,
        /// The type that the model takes it in.
        expected: &'static str,
    },
    /// A low-rank adapter that is damaged, of a kind that is not known, or made for another model.
    #[error("adapter `{}`: {reason}", path.display())]
    Adapter {
        /// Its folder or file, or the checkpoint that it is to be made for.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The checkpoint has no head that gives rewards, or one of an unknown form.
    #[error("`{}` has no usable reward head: {reason}", path.display())]
    Head {
        /// The checkpoint.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The tokenizer is missing, damaged, or made for another model.
    #[error("tokenizer `{}`: {reason}", path.display())]
    Tokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A chat template could not be read or filled in.
    #[error("chat template of `{}`: {reason}", path.display())]
    Template {
        /// The file that holds the template.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A medium of a pair could not be used.
    #[error("medium `{name}` of pair `{pair}` cannot be used")]
    Media {
        /// The pair.
        pair: String,
        /// The medium as the dataset names it.
        name: String,
        /// What the decoder said.
        source: Box<omnireward_media::Error>,
    },
    /// What a tower was given is not what it takes.
    #[error("{input} cannot be encoded: {reason}")]
    Input {
        /// The tile or the piece of sound.
        input: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A pair that this model cannot be asked about.
    #[error("pair `{pair}`: {reason}")]
    Unsupported {
        /// The pair.
        pair: String,
        /// What it has that the model lacks.
        reason: String,
    },
    /// A response with its prompt is longer than the model or the caller allows.
    #[error(
        "response {response} of pair `{pair}` takes {rows} tokens with its prompt, the limit is {limit}"
    )]
    TooLong {
        /// The pair.
        pair: String,
        /// The response, counted from 1.
        response: usize,
        /// Tokens it takes.
        rows: usize,
        /// Tokens allowed.
        limit: usize,
    },
    /// The rewards of a pair could not be computed.
    #[error("pair `{pair}` could not be scored")]
    Pair {
        /// The pair.
        pair: String,
        /// What went wrong.
        source: Box<Error>,
    },
    /// A reward that is not a finite number.
    #[error(
        "the reward of response {response} of pair `{pair}` is `{reward}`, not a finite number"
    )]
    NotFinite {
        /// The pair.
        pair: String,
        /// The response, counted from 1.
        response: usize,
        /// What the head gave.
        reward: f64,
    },
    /// A reply that cannot be written as it was asked for.
    #[error("no reply can be written: {reason}")]
    Request {
        /// What is wrong with the prompt, the settings, or what the model made of them.
        reason: String,
    },
    /// Something else is where a checkpoint should be written.
    #[error("`{}` is there already and {}", path.display(), if *is_checkpoint { "holds a checkpoint" } else { "holds no checkpoint" })]
    InTheWay {
        /// The folder.
        path: PathBuf,
        /// Whether it holds a checkpoint, which could be replaced.
        is_checkpoint: bool,
    },
    /// The disk is too full for what should be written.
    #[error("`{}` needs {needed} bytes, the disk has {free} left", path.display())]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// Bytes needed.
        needed: u64,
        /// Bytes left.
        free: u64,
    },
    /// A tensor operation failed.
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}

impl Error {
    /// The same error, naming the pair that it came up with, unless it does already.
    pub(crate) fn of_pair(self, pair: &str) -> Self {
        match self {
            Self::Media { .. }
            | Self::Unsupported { .. }
            | Self::TooLong { .. }
            | Self::NotFinite { .. }
            | Self::Pair { .. } => self,
            other => Self::Pair {
                pair: pair.to_owned(),
                source: Box::new(other),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_pair_once() {
        let tensor = Error::from(candle_core::Error::Msg("shapes differ".to_owned()));
        let error = tensor.of_pair("p1").of_pair("p2");
        let said = omnireward_core::error_chain(&error);
        assert!(
            said.contains("`p1`") && said.contains("shapes differ"),
            "{said}"
        );
        assert!(!said.contains("p2"), "{said}");
        let named = Error::Unsupported {
            pair: "p1".to_owned(),
            reason: "no".to_owned(),
        };
        assert_eq!(named.of_pair("p1").to_string(), "pair `p1`: no");
    }
}
