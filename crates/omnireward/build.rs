//! Lists the files of the small reward model, so that the program carries them, and names the revision.

use std::{env, error::Error, fmt::Write, fs, path::Path, process::Command};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=model");
    let mut names = Vec::new();
    for entry in fs::read_dir("model")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let mut list = String::from("const MODEL: &[(&str, &[u8])] = &[\n");
    for name in names {
        // The folder is asked for when the list is compiled: a build that is gone on with may have been moved.
        writeln!(
            list,
            "    ({name:?}, include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/model/{name}\"))),"
        )?;
    }
    list.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("embedded.rs"), list)?;
    println!(
        "cargo::rustc-env=OMNIREWARD_VERSION={}",
        version(&env::var("CARGO_PKG_VERSION")?)
    );
    Ok(())
}

/// The version, with the revision it was built from where that is known.
fn version(package: &str) -> String {
    // The log of HEAD changes with every commit, which HEAD itself does not.
    let log = Path::new("../../.git/logs/HEAD");
    if !log.exists() {
        return package.to_owned();
    }
    println!("cargo::rerun-if-changed={}", log.display());
    let git = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output();
    match git {
        Ok(output) if output.status.success() => {
            format!(
                "{package} ({})",
                String::from_utf8_lossy(&output.stdout).trim()
            )
        }
        _ => package.to_owned(),
    }
}
