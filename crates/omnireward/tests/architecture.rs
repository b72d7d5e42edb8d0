//! Holds the drawing in `ARCHITECTURE.md` against what cargo reports.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Which crates of the workspace each crate may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("omnireward-core", &[]),
    ("omnireward-media", &["omnireward-core"]),
    ("omnireward-data", &["omnireward-core", "omnireward-media"]),
    ("omnireward-judges", &["omnireward-core", "omnireward-media"]),
    (
        "omnireward-eval",
        &["omnireward-core", "omnireward-data", "omnireward-media"],
    ),
    (
        "omnireward",
        &[
            "omnireward-core",
            "omnireward-data",
            "omnireward-eval",
            "omnireward-judges",
            "omnireward-media",
        ],
    ),
    ("omnireward-testkit", &[]),
];

/// Only the program may depend on what reads arguments or draws on a terminal.
const PROGRAM_ONLY: &[&str] = &["clap", "indicatif", "tracing-subscriber", "anyhow"];

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
            assert_ne!(used, "omnireward-testkit", "`{name}` may use the testkit only in tests");
            if used.starts_with("omnireward") {
                assert!(may_use.contains(&used), "`{name}` must not use `{used}`");
            }
            if PROGRAM_ONLY.contains(&used) {
                assert_eq!(name, "omnireward", "`{used}` belongs in the program, not in `{name}`");
            }
        }
    }
    assert_eq!(seen, allowed.keys().copied().collect());
}

#[test]
fn dependencies_are_declared_once_in_the_workspace() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("cargo metadata runs");
    for package in metadata.workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("a manifest is a file");
        let section = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        for line in section.lines().filter(|line| line.contains('=') && !line.starts_with('[')) {
            let is_shared = line.contains("workspace = true");
            let is_other = ["name", "path", "harness", "required-features", "doc", "test"]
                .iter()
                .any(|key| line.trim_start().starts_with(key));
            assert!(is_shared || is_other, "{}: `{line}`", package.manifest_path);
        }
    }
}
