//! The only place that writes to the terminal: data on stdout, everything else on stderr.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result};

/// Writes data to stdout. A reader that stopped reading, such as `head`, is not an error.
pub(crate) fn data(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to stdout"),
    }
}

/// Where data goes that comes bit by bit.
pub(crate) fn stdout() -> io::Stdout {
    io::stdout()
}

/// Tells the user something on stderr.
#[expect(clippy::print_stderr, reason = "what is not data goes to stderr")]
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// Prints an error with its causes, and a hint where there is one.
#[expect(clippy::print_stderr, reason = "what is not data goes to stderr")]
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  caused by: {cause}");
    }
    if let Some(hint) = hint(error) {
        eprintln!("hint: {hint}");
    }
}

/// Whether tables may be coloured.
pub(crate) fn may_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    use omnireward_eval::Error;
    match error.downcast_ref::<Error>()? {
        Error::OtherRun { .. } => {
            Some("give another `--out` directory, or repeat the recorded settings")
        }
        Error::Unauthorized(..) => {
            Some("set the key in OPENAI_API_KEY, or name its variable with `--api-key-env`")
        }
        Error::NoAnswer(..) | Error::NothingAnswered(_) => Some(
            "check the model's name, `--base-url` and that the service is up; nothing that was answered is lost",
        ),
        Error::InUse { .. } => {
            Some("wait for the other process, or give another `--out` directory")
        }
        _ => None,
    }
}
