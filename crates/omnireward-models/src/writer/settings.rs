use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::{Error, Result, generation::Sampling};

/// The longest reply where nobody says how long, in tokens.
const LONGEST: usize = 1024;
/// The number of likeliest tokens that Hugging Face transformers draws from where none is given.
const TOP_K: usize = 50;

/// What `generation_config.json` says about how a model writes.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Settings {
    do_sample: Option<bool>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<usize>,
    repetition_penalty: Option<f64>,
    max_new_tokens: Option<usize>,
    eos_token_id: Option<Tokens>,
}

/// A token, or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Tokens {
    One(u32),
    Several(Vec<u32>),
}

impl Settings {
    /// Reads the file's content; `path` is for messages.
    pub(super) fn from_json(json: &Value, path: &Path) -> Result<Self> {
        if json.is_null() {
            return Ok(Self::default());
        }
        serde_path_to_error::deserialize(json).map_err(|error| Error::Config {
            path: path.to_owned(),
            field: error.path().to_string(),
            reason: error.inner().to_string(),
        })
    }

    /// How tokens are drawn where a request does not say: greedily unless `do_sample` is set, and then with what
    /// Hugging Face transformers takes for what is not there.
    pub(super) fn sampling(&self) -> Sampling {
        let defaults = Sampling {
            repetition_penalty: self.repetition_penalty.unwrap_or(1.0),
            max_tokens: self.max_new_tokens.unwrap_or(LONGEST),
            ..Sampling::default()
        };
        if self.do_sample != Some(true) {
            return defaults;
        }
        Sampling {
            temperature: self.temperature.unwrap_or(1.0),
            top_p: self.top_p.unwrap_or(1.0),
            top_k: self.top_k.unwrap_or(TOP_K),
            ..defaults
        }
    }

    /// The tokens that end a reply; those of `config.json` where this file names none.
    pub(super) fn end(&self, config: &Value) -> Vec<u32> {
        let in_config = || {
            let places = [
                &config["eos_token_id"],
                &config["text_config"]["eos_token_id"],
            ];
            let mut found = places.into_iter().filter(|place| !place.is_null());
            found.find_map(|place| Tokens::deserialize(place).ok())
        };
        match self.eos_token_id.clone().or_else(in_config) {
            None => Vec::new(),
            Some(Tokens::One(token)) => vec![token],
            Some(Tokens::Several(tokens)) => tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: &Value) -> Settings {
        Settings::from_json(json, Path::new("generation_config.json")).unwrap()
    }

    #[test]
    fn what_is_published_is_the_default() {
        let published = json!({
            "do_sample": true, "temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05,
            "eos_token_id": [7, 9], "pad_token_id": 7,
        });
        let settings = read(&published);
        let expected = Sampling {
            temperature: 0.7,
            top_p: 0.8,
            top_k: 20,
            repetition_penalty: 1.05,
            seed: 0,
            max_tokens: LONGEST,
        };
        assert_eq!(settings.sampling(), expected);
        assert_eq!(settings.end(&json!({ "eos_token_id": 3 })), [7, 9]);
    }

    #[test]
    fn without_a_file_replies_are_greedy_and_end_as_the_configuration_says() {
        let settings = read(&Value::Null);
        let sampling = settings.sampling();
        assert_eq!((sampling.temperature.to_bits(), sampling.top_k), (0, 0));
        assert_eq!(settings.end(&json!({ "eos_token_id": 3 })), [3]);
        let nested = json!({ "text_config": { "eos_token_id": [3, 4] } });
        assert_eq!(settings.end(&nested), [3, 4]);
        assert_eq!(settings.end(&json!({})), [0_u32; 0]);
        assert_eq!(read(&json!({ "do_sample": true })).sampling().top_k, TOP_K);
    }

    #[test]
    fn a_field_of_another_kind_is_named() {
        let wrong = json!({ "temperature": "hot" });
        let error = Settings::from_json(&wrong, Path::new("generation_config.json"));
        let said = error.unwrap_err().to_string();
        assert!(
            said.starts_with("`temperature` in `generation_config.json`"),
            "{said}"
        );
    }
}
