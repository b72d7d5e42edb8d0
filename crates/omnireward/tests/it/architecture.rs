//! Holds the drawing in `ARCHITECTURE.md` against what cargo reports.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Which crates of the workspace each crate may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("omnireward-core", &[]),
    ("omnireward-media", &["omnireward-core"]),
    ("omnireward-data", &["omnireward-core", "omnireward-media"]),
    (
        "omnireward-judges",
        &["omnireward-core", "omnireward-media"],
    ),
    (
        "omnireward-models",
        &["omnireward-core", "omnireward-media"],
    ),
    (
        "omnireward-eval",
        &["omnireward-core", "omnireward-data", "omnireward-media"],
    ),
    (
        "omnireward-train",
        &["omnireward-core", "omnireward-models"],
    ),
    (
        "omnireward-curate",
        &["omnireward-core", "omnireward-data", "omnireward-media"],
    ),
    (
        "omnireward",
        &[
            "omnireward-core",
            "omnireward-curate",
            "omnireward-data",
            "omnireward-eval",
            "omnireward-judges",
            "omnireward-media",
            "omnireward-models",
            "omnireward-train",
        ],
    ),
    (
        "omnireward-testkit",
        &["omnireward-core", "omnireward-media"],
    ),
];

/// Only the program may depend on what reads arguments or draws on a terminal.
const PROGRAM_ONLY: &[&str] = &["clap", "indicatif", "tracing-subscriber", "anyhow"];

/// What a crate exists for: heavy dependencies that others are spared. Who trains a model holds its tensors, too.
const BROUGHT_BY: &[(&str, &[&str])] = &[
    ("openh264", &["omnireward-media"]),
    ("symphonia", &["omnireward-media"]),
    ("gltf", &["omnireward-media"]),
    ("parquet", &["omnireward-data", "omnireward-testkit"]),
    ("datafusion", &["omnireward-curate"]),
    ("ballista-core", &["omnireward-curate"]),
    ("rusqlite", &["omnireward-eval"]),
    ("candle-core", &["omnireward-models", "omnireward-train"]),
    ("tokenizers", &["omnireward-models"]),
];

#[test]
fn the_crates_depend_on_one_another_as_drawn() {
    let metadata = MetadataCommand::new().exec().expect("cargo metadata runs");
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut seen = BTreeSet::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let may_use = allowed
            .get(name)
            .unwrap_or_else(|| panic!("`{name}` is not in the drawing"));
        seen.insert(name);
        for dependency in &package.dependencies {
            let used = dependency.name.as_str();
            if dependency.kind == DependencyKind::Development {
                continue;
            }
            assert_ne!(
                used, "omnireward-testkit",
                "`{name}` may use the testkit only in tests"
            );
            if used.starts_with("omnireward") {
                assert!(may_use.contains(&used), "`{name}` must not use `{used}`");
            }
            if PROGRAM_ONLY.contains(&used) {
                assert_eq!(
                    name, "omnireward",
                    "`{used}` belongs in the program, not in `{name}`"
                );
            }
            if let Some((_, owners)) = BROUGHT_BY.iter().find(|(heavy, _)| *heavy == used) {
                assert!(
                    owners.contains(&name),
                    "`{used}` is brought by {owners:?} alone"
                );
            }
        }
    }
    assert_eq!(seen, allowed.keys().copied().collect());
}

#[test]
fn only_the_program_reads_the_environment_or_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut read = 0;
    for (name, _) in ALLOWED
        .iter()
        .filter(|(name, _)| !["omnireward", "omnireward-testkit"].contains(name))
    {
        let is_test = |file: &PathBuf| {
            file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs")
        };
        for file in rust_files(&root.join(name).join("src")) {
            if is_test(&file) {
                continue;
            }
            let text = std::fs::read_to_string(&file).expect("a source file can be read");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for forbidden in [
                "env::var",
                "println!",
                "eprintln!",
                "io::stdout",
                "io::stderr",
            ] {
                let is_used = code
                    .lines()
                    .any(|line| line.contains(forbidden) && !line.trim_start().starts_with("//"));
                assert!(!is_used, "{} uses `{forbidden}`", file.display());
            }
            read += 1;
        }
    }
    assert!(read > 50, "the sources were found");
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a source folder can be read");
    entries
        .map(|entry| entry.expect("a folder's entry can be read").path())
        .flat_map(|path| {
            if path.is_dir() {
                rust_files(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[test]
fn dependencies_are_declared_once_in_the_workspace() {
    let metadata = MetadataCommand::new()
        .no_deps()
        .exec()
        .expect("cargo metadata runs");
    for package in metadata.workspace_packages() {
        let manifest =
            std::fs::read_to_string(&package.manifest_path).expect("a manifest is a file");
        let section = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        for line in section
            .lines()
            .filter(|line| line.contains('=') && !line.starts_with('['))
        {
            let is_shared = line.contains("workspace = true");
            let key = line.split('=').next().unwrap_or_default().trim();
            let is_other = ["name", "path", "harness", "required-features"].contains(&key);
            assert!(is_shared || is_other, "{}: `{line}`", package.manifest_path);
        }
    }
}
