//! Work in a process of its own, so that what it takes is its own.

use std::process::Command;

use serde_json::Value;

/// The JSON in the last line that a command prints.
pub(crate) fn told(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line).ok());
    last.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// The largest resident memory that this process has had, in MB, where the system says.
pub(crate) fn megabytes() -> Option<f64> {
    let bytes = omnireward_testkit::memory::peak_resident_bytes(std::process::id())?;
    Some(bytes as f64 / 1e6)
}
