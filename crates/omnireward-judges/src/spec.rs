use std::{fmt, path::PathBuf, str::FromStr};

use crate::{Baseline, Error};

const FORMS: &str = "`embedded`, a checkpoint directory, `hf:OWNER/NAME[@REVISION]`, \
                     `openai:MODEL`, `replay:FILE[#JUDGE]`, `baseline:longest`, `baseline:first`, \
                     `baseline:random[:SEED]`";

/// A judge or model as a person names it.
///
/// ```
/// use omnireward_judges::JudgeSpec;
/// let spec: JudgeSpec = "openai:gpt-4o-mini".parse()?;
/// assert_eq!(spec, JudgeSpec::OpenAi { model: "gpt-4o-mini".to_owned() });
/// assert_eq!(spec.to_string(), "openai:gpt-4o-mini");
/// # Ok::<(), omnireward_judges::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JudgeSpec {
    /// The model inside the program.
    Embedded,
    /// A checkpoint in a folder.
    Checkpoint(PathBuf),
    /// A checkpoint on a hub.
    Hub {
        /// Such as `owner/name`.
        repo: String,
        /// A branch, tag or commit; the hub's default branch when absent.
        revision: Option<String>,
    },
    /// A model behind a chat-completions API.
    OpenAi {
        /// The model as the service names it.
        model: String,
    },
    /// Recorded replies, verdicts or scores.
    Replay {
        /// The recording.
        file: PathBuf,
        /// Which of the judges recorded there.
        selector: Option<String>,
    },
    /// A floor that every judge should clear.
    Baseline(Baseline),
}

impl FromStr for JudgeSpec {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::Spec {
            name: name.to_owned(),
            reason: reason.to_owned(),
            forms: FORMS,
        };
        match name.split_once(':') {
            Some(("hf", rest)) => {
                hub(rest).ok_or_else(|| wrong("a hub checkpoint is `hf:OWNER/NAME`"))
            }
            Some(("openai", "")) => Err(wrong("the model's name is missing")),
            Some(("openai", model)) => Ok(Self::OpenAi {
                model: model.to_owned(),
            }),
            Some(("replay", rest)) => replay(rest).ok_or_else(|| wrong("the file is missing")),
            Some(("baseline", rest)) => rest
                .parse()
                .map(Self::Baseline)
                .map_err(|error| wrong(&error.to_string())),
            None if name == "embedded" => Ok(Self::Embedded),
            _ if looks_like_a_path(name) => Ok(Self::Checkpoint(PathBuf::from(name))),
            Some((scheme, _)) => Err(wrong(&format!("`{scheme}:` is not a known kind"))),
            None => Err(wrong("there is no such folder")),
        }
    }
}

impl fmt::Display for JudgeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Checkpoint(path) => write!(f, "{}", path.display()),
            Self::Hub { repo, revision } => {
                write!(f, "hf:{repo}")?;
                revision.iter().try_for_each(|name| write!(f, "@{name}"))
            }
            Self::OpenAi { model } => write!(f, "openai:{model}"),
            Self::Replay { file, selector } => {
                write!(f, "replay:{}", file.display())?;
                selector.iter().try_for_each(|name| write!(f, "#{name}"))
            }
            Self::Baseline(baseline) => write!(f, "baseline:{baseline}"),
        }
    }
}

/// Reads `owner/name[@revision]`.
fn hub(rest: &str) -> Option<JudgeSpec> {
    let (repo, revision) = match rest.split_once('@') {
        Some((_, "")) => return None,
        Some((repo, revision)) => (repo, Some(revision.to_owned())),
        None => (rest, None),
    };
    let (owner, name) = repo.split_once('/')?;
    let valid = |part: &str| !part.is_empty() && !part.contains(['/', '\\', ' ']) && part != "..";
    (valid(owner) && valid(name)).then(|| JudgeSpec::Hub {
        repo: repo.to_owned(),
        revision,
    })
}

/// Reads `file[#judge]`. The last `#` counts, so a folder's name may hold one.
fn replay(rest: &str) -> Option<JudgeSpec> {
    let (file, selector) = match rest.rsplit_once('#') {
        Some((file, selector)) if !selector.is_empty() => (file, Some(selector.to_owned())),
        Some((file, _)) => (file, None),
        None => (rest, None),
    };
    (!file.is_empty()).then(|| JudgeSpec::Replay {
        file: PathBuf::from(file),
        selector,
    })
}

/// Whether `name` is written as a path, or is a folder here. A bare word that is neither is more
/// likely a mistyped name.
fn looks_like_a_path(name: &str) -> bool {
    let path = std::path::Path::new(name);
    path.is_absolute() || name.starts_with(['.', '~']) || path.is_dir() || is_relative_path(name)
}

fn is_relative_path(name: &str) -> bool {
    name.contains(std::path::is_separator) && !name.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_and_prints_back() {
        let forms = [
            "embedded",
            "models/tiny",
            "./here",
            "/abs/a:b",
            "hf:owner/name",
            "hf:owner/name@v1.0",
            "openai:gpt-4o",
            "openai:org/model:free",
            "replay:run/verdicts.csv",
            "replay:a#b/verdicts.csv#GPT-4/CoT",
            "baseline:longest",
            "baseline:first",
            "baseline:random:7",
        ];
        for form in forms {
            let spec: JudgeSpec = form.parse().unwrap();
            assert_eq!(spec.to_string(), form, "{spec:?}");
        }
    }

    #[test]
    fn the_parts_land_where_they_belong() {
        assert_eq!(
            "hf:a/b@rev".parse::<JudgeSpec>().unwrap(),
            JudgeSpec::Hub {
                repo: "a/b".to_owned(),
                revision: Some("rev".to_owned())
            }
        );
        assert_eq!(
            "replay:f.csv#x y".parse::<JudgeSpec>().unwrap(),
            JudgeSpec::Replay {
                file: "f.csv".into(),
                selector: Some("x y".to_owned())
            }
        );
        assert_eq!(
            "baseline:random".parse::<JudgeSpec>().unwrap(),
            JudgeSpec::Baseline(Baseline::Random { seed: 0 })
        );
    }

    #[test]
    fn a_wrong_name_lists_the_forms() {
        let wrong = [
            "",
            "embeded",
            "hf:",
            "hf:name",
            "hf:a/b/c",
            "hf:a/b@",
            "openai:",
            "replay:",
            "replay:#x",
            "baseline:best",
            "baseline:random:x",
            "gpt:4",
        ];
        for name in wrong {
            let message = name.parse::<JudgeSpec>().unwrap_err().to_string();
            assert!(
                message.contains("replay:FILE") && message.starts_with(&format!("`{name}`")),
                "{message}"
            );
        }
    }
}
