use std::fmt;

/// A key or token. Nothing that formats it shows it.
///
/// There is deliberately no `Serialize` and no public way to read it back.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret in. White space around it, as left by a file or a shell, is dropped.
    pub fn new(value: impl AsRef<str>) -> Self {
        Self(value.as_ref().trim().to_owned())
    }

    /// The secret itself, for the request header only.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// `text` without the secret, for messages of servers that repeat what they were sent.
    pub(crate) fn scrub(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        text.replace(&self.0, HIDDEN)
    }
}

const HIDDEN: &str = "[secret]";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_shows_nothing() {
        let secret = Secret::new("sk-very-private\n");
        assert_eq!(
            format!("{secret} {secret:?} {:#?}", Some(&secret))
                .matches("private")
                .count(),
            0
        );
        assert_eq!(secret.expose(), "sk-very-private");
    }

    #[test]
    fn scrubbing_removes_every_occurrence() {
        let secret = Secret::new("sk-1");
        assert_eq!(
            secret.scrub("bad key sk-1, sk-1!"),
            "bad key [secret], [secret]!"
        );
        assert_eq!(Secret::new(" ").scrub("untouched"), "untouched");
    }
}
