use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a value; `None` when it is blank.
    pub fn new(value: &str) -> Option<Self> {
        let value = value.trim();
        (!value.is_empty()).then(|| Self(value.to_owned()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Where the hub is, who is asking, and where files are kept.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// The hub's address, without a slash at the end.
    pub endpoint: String,
    /// Sent to the hub, but not to where it redirects to.
    pub token: Option<Secret>,
    /// The folder with one folder a repository.
    pub cache: PathBuf,
    /// Whether only the cache is used.
    pub offline: bool,
    /// How often a request is made before it counts as failed. A download that brings anything
    /// starts counting again.
    pub max_attempts: u32,
    /// The wait before the second attempt; it doubles with each further one.
    pub first_pause: Duration,
}

impl HubConfig {
    /// Settings with the meaning and defaults they have for Python's `huggingface_hub`:
    /// `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, and
    /// `XDG_CACHE_HOME` and `HOME` (or `USERPROFILE`) where those are not set. `lookup` gives the
    /// value of a variable. A token that is not given directly is read from its file.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let var = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let first = |names: &[&str]| names.iter().find_map(|name| var(name));
        let user = first(&["HOME", "USERPROFILE"])
            .map(PathBuf::from)
            .unwrap_or_default();
        let path = |text: String| from_home(&text, &user);
        let home = var("HF_HOME").map_or_else(
            || {
                var("XDG_CACHE_HOME")
                    .map_or_else(|| user.join(".cache"), path)
                    .join("huggingface")
            },
            path,
        );
        let token_file = var("HF_TOKEN_PATH").map_or_else(|| home.join("token"), path);
        Self {
            endpoint: var("HF_ENDPOINT")
                .unwrap_or_else(|| "https://huggingface.co".to_owned())
                .trim_end_matches('/')
                .to_owned(),
            token: first(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
                .or_else(|| fs::read_to_string(token_file).ok())
                .and_then(|token| Secret::new(&token)),
            cache: first(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"])
                .map_or_else(|| home.join("hub"), path),
            offline: first(&["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]).is_some_and(|value| {
                matches!(
                    value.to_ascii_uppercase().as_str(),
                    "1" | "ON" | "YES" | "TRUE"
                )
            }),
            max_attempts: 5,
            first_pause: Duration::from_millis(500),
        }
    }
}

/// A path in which a leading `~` stands for the user's home.
fn from_home(text: &str, user: &Path) -> PathBuf {
    match text.strip_prefix("~/") {
        Some(rest) => user.join(rest),
        None => PathBuf::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> HubConfig {
        HubConfig::from_vars(|name| {
            vars.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn defaults_follow_the_home_folder() {
        let config = config(&[("HOME", "/home/someone")]);
        assert_eq!(config.endpoint, "https://huggingface.co");
        assert_eq!(
            config.cache,
            Path::new("/home/someone/.cache/huggingface/hub")
        );
        assert!(config.token.is_none() && !config.offline);
    }

    #[test]
    fn the_more_specific_variable_wins() {
        let vars = [
            ("HOME", "/h"),
            ("XDG_CACHE_HOME", "/x"),
            ("HF_HOME", "~/hf"),
            ("HF_ENDPOINT", "http://localhost:1/"),
            ("HF_HUB_OFFLINE", "true"),
        ];
        let with_home = config(&vars);
        assert_eq!(with_home.cache, Path::new("/h/hf/hub"));
        assert_eq!(with_home.endpoint, "http://localhost:1");
        assert!(with_home.offline);
        assert_eq!(config(&vars[..2]).cache, Path::new("/x/huggingface/hub"));
        assert_eq!(config(&[("HF_HUB_CACHE", "/c")]).cache, Path::new("/c"));
        assert!(!config(&[("HF_HUB_OFFLINE", "0")]).offline);
    }

    #[test]
    fn the_token_comes_from_the_variable_or_its_file_and_is_never_shown() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("token"), "from-file\n").unwrap();
        let home = home.path().to_str().unwrap();
        let filed = config(&[("HF_HOME", home)]);
        assert_eq!(filed.token.as_ref().unwrap().expose(), "from-file");
        let given = config(&[("HF_HOME", home), ("HF_TOKEN", " direct ")]);
        assert_eq!(given.token.as_ref().unwrap().expose(), "direct");
        assert!(!format!("{given:?}{filed:?}").contains("direct"));
        assert!(!format!("{filed:?}").contains("from-file"));
    }
}
