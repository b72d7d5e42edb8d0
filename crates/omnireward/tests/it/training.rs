//! Training from the command line: data, tokenizer, checkpoint, recipe, kills, evaluation.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::support::{omnireward, run, run_well};

const KILLS: usize = 10;

const RECIPE: &str = r#"
[model]
path = "start"
precision = "f32"
preprocessing = "clean"
[train]
parts = ["decoder", "vision", "resampler", "audio", "audio_projection", "head"]
steps = 40
batch_pairs = 9
learning_rate = 1e-3
gradient_checkpointing = false
log_every = 1
[objective]
likelihood = "davidson"
[[data]]
path = "train/pairs.jsonl"
[evaluation]
data = [{ path = "bench" }]
every = 16
[checkpoints]
every = 2
keep = 2
"#;

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

/// Pairs, a tokenizer, a small model and a recipe, made by the program.
fn prepare(folder: &Path) {
    let at = |name: &str| path(folder, name);
    run_well(&[
        "-q",
        "data",
        "synth",
        "--out",
        &at("train"),
        "--layout",
        "pairs",
        "--responses",
        "3",
        "--scenes",
        "4",
        "--criteria",
        "2",
    ]);
    run_well(&[
        "-q",
        "data",
        "synth",
        "--out",
        &at("bench"),
        "--split",
        "test",
        "--scenes",
        "2",
    ]);
    run_well(&[
        "-q",
        "model",
        "tokenizer",
        &at("tokenizer.json"),
        "--input",
        &at("train/pairs.jsonl"),
        "--size",
        "400",
    ]);
    run_well(&[
        "-q",
        "model",
        "random",
        &at("start"),
        "--size",
        "mini",
        "--tokenizer",
        &at("tokenizer.json"),
        "--dtype",
        "f32",
    ]);
    fs::write(folder.join("recipe.toml"), RECIPE).unwrap();
}

fn train(folder: &Path, out: &str) -> Command {
    let mut command = omnireward();
    command
        .current_dir(folder)
        .args(["-q", "train", "bt", "--recipe", "recipe.toml", "--out", out])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// The weights of a run, best and last, by name.
fn weights(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for checkpoint in ["best", "last"] {
        for file in ["model.safetensors", "value_head.safetensors"] {
            let name = Path::new(checkpoint).join(file);
            files.push((name.clone(), fs::read(folder.join(&name)).unwrap()));
        }
    }
    files
}

#[test]
fn ten_kills_change_no_byte_and_the_model_can_be_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);
    let began = Instant::now();
    assert!(train(folder, "undisturbed").status().unwrap().success());
    let whole = began.elapsed();

    let mut random = rand::rngs::StdRng::seed_from_u64(3);
    let mut kills = 0;
    while kills < KILLS {
        let mut child = train(folder, "disturbed").spawn().unwrap();
        let share = random.random_range(0.02..0.3);
        std::thread::sleep(Duration::from_secs_f64(whole.as_secs_f64() * share));
        let alive = child.try_wait().unwrap().is_none();
        // SIGKILL: the program cannot tidy up.
        let _ = child.kill();
        child.wait().unwrap();
        if !alive {
            break;
        }
        kills += 1;
    }
    assert!(train(folder, "disturbed").status().unwrap().success());
    println!("{kills} kills hit a training of {whole:?}");
    assert!(
        kills > KILLS / 2,
        "the training was over after {kills} kills"
    );
    assert_eq!(
        weights(&folder.join("disturbed")),
        weights(&folder.join("undisturbed"))
    );
    let page = fs::read_to_string(folder.join("disturbed/training.html")).unwrap();
    assert!(page.contains("accuracy") && page.contains("davidson"));
    evaluate(folder);
    refuse(folder);
}

/// What was trained judges the benchmark, with the width of ties that it learned.
fn evaluate(folder: &Path) {
    let model = path(folder, "disturbed/best");
    let margin: Value =
        serde_json::from_slice(&fs::read(folder.join("disturbed/best/tie_margin.json")).unwrap())
            .unwrap();
    assert!(margin["tie_margin"].as_f64().unwrap() > 0.0);
    let results = run_well(&[
        "-q",
        "eval",
        "--judge",
        &model,
        "--benchmark",
        &path(folder, "bench"),
        "--out",
        &path(folder, "eval"),
        "--preprocessing",
        "clean",
        "--json",
    ]);
    let results: Value = serde_json::from_str(&results).unwrap();
    assert!(results.is_object());
    let doctor = run(&["model", "doctor", &model]);
    assert!(
        doctor.status.success(),
        "{}",
        String::from_utf8_lossy(&doctor.stdout)
    );
}

/// A folder of another recipe or model is not gone on with, and a wrong recipe is refused by its key.
fn refuse(folder: &Path) {
    let refused = |arguments: &[&str]| {
        let output = train(folder, "disturbed")
            .args(arguments)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let error = refused(&["train.learning_rate=2e-3"]);
    assert!(error.contains("another run"), "{error}");
    let error = refused(&["train.learning_rat=2e-3"]);
    assert!(
        error.contains("learning_rat") && error.contains("learning_rate"),
        "{error}"
    );
    let error = refused(&["data.0.path=absent.jsonl"]);
    assert!(error.contains("absent.jsonl"), "{error}");
    let head = folder.join("start/value_head.safetensors");
    let mut weights = fs::read(&head).unwrap();
    *weights.last_mut().unwrap() ^= 1;
    fs::write(&head, weights).unwrap();
    let error = refused(&[]);
    assert!(error.contains("record.json"), "{error}");
}
