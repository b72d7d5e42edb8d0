//! Damaged sounds and meshes: every outcome is a result within the limits, soon.
#![expect(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use omnireward_media::{
    Error, Limits, audio,
    mesh::{self, MeshSource},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

/// Far more than any of these files takes, and far less than a hang.
const PATIENCE: Duration = Duration::from_secs(20);

const LIMITS: Limits = Limits {
    bytes: 32 << 20,
    pixels: 1 << 20,
    frames: 100,
    seconds: 60.0,
    triangles: 20_000,
};

/// What is done to a file: some bytes replaced, then cut to a share of its length.
#[derive(Clone, Debug)]
struct Damage {
    bytes: Vec<(f64, u8)>,
    kept: f64,
}

impl Damage {
    fn strategy() -> impl Strategy<Value = Damage> {
        // Headers matter most: the cube moves half of the places into the first eighth.
        let byte = ((0.0..1.0_f64).prop_map(|x| x.powi(3)), any::<u8>());
        let kept = prop_oneof![2 => Just(1.0), 1 => 0.0..1.0_f64];
        (prop::collection::vec(byte, 0..12), kept).prop_map(|(bytes, kept)| Damage { bytes, kept })
    }

    fn done_to(&self, original: &[u8]) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for (place, value) in &self.bytes {
            let index = (place * bytes.len() as f64) as usize;
            bytes[index] = *value;
        }
        bytes.truncate((self.kept * original.len() as f64) as usize);
        bytes
    }
}

fn files_in(folder: &str, most_bytes: u64) -> Vec<PathBuf> {
    let Some(folder) = omnireward_testkit::real_data(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.metadata().unwrap().len() <= most_bytes)
        .collect();
    files.sort();
    files
}

/// The same damage on every run, so that a failure can be looked at.
fn damage_each(files: &[PathBuf], cases: u32, check: impl Fn(&Path, &[u8])) {
    for file in files {
        let original = fs::read(file).unwrap();
        let config = Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        };
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
        TestRunner::new_with_rng(config, rng)
            .run(&Damage::strategy(), |damage| {
                let start = Instant::now();
                check(file, &damage.done_to(&original));
                prop_assert!(
                    start.elapsed() < PATIENCE,
                    "{} took too long",
                    file.display()
                );
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

#[test]
fn damaged_sounds_give_a_result_within_the_limits() {
    let mut files = files_in("media/audio", 150_000);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio");
    files.extend(["tone_aac.m4a", "tone_alac.m4a"].map(|name| fixtures.join(name)));
    damage_each(&files, 200, |_, bytes| {
        if let Ok(wave) = audio::decode(bytes, &LIMITS) {
            assert!(wave.duration().as_secs_f64() <= LIMITS.seconds + 1e-6);
            assert!(size_of_val(&wave.samples[..]) as u64 <= LIMITS.bytes);
            assert!(wave.samples.iter().all(|sample| sample.is_finite()));
        }
    });
}

#[test]
fn damaged_meshes_give_a_result_within_the_limits() {
    let config = mesh::SheetConfig {
        view_size: 16,
        views: 1,
        ..mesh::SheetConfig::default()
    };
    damage_each(&files_in("mesh/files", 200_000), 200, |file, bytes| {
        let beside = |name: &str| {
            fs::read(file.with_file_name(name)).map_err(|source| Error::MissingSideFile {
                mesh: file.display().to_string(),
                name: name.to_owned(),
                source: Some(source),
            })
        };
        let name = file.to_string_lossy();
        let source = MeshSource {
            name: &name,
            side: &beside,
        };
        if let Ok(mesh) = mesh::decode(bytes, &source, &LIMITS) {
            assert!(mesh.triangles().len() as u64 <= LIMITS.triangles);
            let count = mesh.positions().len() as u32;
            assert!(
                mesh.triangles()
                    .iter()
                    .flatten()
                    .all(|&index| index < count)
            );
            assert!(mesh.positions().iter().flatten().all(|x| x.is_finite()));
            let drawn = mesh::render_sheet(&mesh, &config);
            assert!(drawn.is_ok_and(|sheet| sheet.dimensions() == (16, 16)));
        }
    });
}

#[test]
fn every_truncation_of_the_small_meshes_is_an_error_or_a_mesh() {
    for file in files_in("mesh/files", 1500) {
        let original = fs::read(&file).unwrap();
        let none = |name: &str| {
            Err(Error::Absent {
                name: name.to_owned(),
            })
        };
        let name = file.to_string_lossy();
        for length in 0..original.len() {
            let source = MeshSource {
                name: &name,
                side: &none,
            };
            if let Ok(mesh) = mesh::decode(&original[..length], &source, &LIMITS) {
                assert!(!mesh.triangles().is_empty());
            }
        }
    }
}
