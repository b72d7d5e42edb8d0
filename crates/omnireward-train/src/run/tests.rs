//! Twenty steps beside the same ones in torch: `scripts/oracle/train_fixture.py` writes what is expected.

use std::{fs, path::PathBuf};

use omnireward_core::{NoProgress, Preference};
use omnireward_models::{
    Row,
    checkpoint::{Family, RandomCheckpoint, Size},
    processor::MediumInput,
    weights::StoredType,
};
use serde::Deserialize;

use self::inputs::Inputs;
use super::tokens::{TokenPair, TokenStep, TokenTraining};
use crate::{Recipe, Result};

#[path = "../../../omnireward-models/tests/it/parity/inputs.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod inputs;

#[derive(Deserialize)]
struct Fixture {
    checkpoint: Checkpoint,
    inputs: String,
    parts: Vec<String>,
    settings: Settings,
    losses: Vec<f64>,
    gradient_norms: Vec<f64>,
    learning_rates: Vec<f64>,
    rewards_before: Vec<f64>,
    margins_after: Vec<f64>,
}

#[derive(Deserialize)]
struct Checkpoint {
    kind: String,
    seed: u64,
}

#[derive(Deserialize)]
struct Settings {
    steps: u64,
    batch_pairs: usize,
    pass_pairs: usize,
    learning_rate: f64,
    warmup_steps: u64,
    weight_decay: f64,
    clip: f64,
}

/// A checkpoint and the recipe that the fixture was made with.
fn beginning(fixture: &Fixture, checkpointing: bool) -> (tempfile::TempDir, Recipe) {
    let base = tempfile::tempdir().unwrap();
    let family = match &fixture.checkpoint.kind[..] {
        "qwen2" => Family::Qwen2,
        "minicpm-o" => Family::MiniCpmO,
        other => panic!("no family `{other}`"),
    };
    let mut random = RandomCheckpoint::new(family, Size::Tiny);
    random.dtype = StoredType::F32;
    random.seed = fixture.checkpoint.seed;
    random.write(base.path(), &NoProgress).unwrap();
    let settings = &fixture.settings;
    let text = format!(
        "model.path = {:?}\n[train]\nparts = {:?}\nsteps = {}\nlearning_rate = {}\nwarmup_steps = {}\n\
         weight_decay = {}\nclip = {}\nhead_dropout = 0\ngradient_checkpointing = {checkpointing}\n\
         [objective]\ncentring = 0\n[[data]]\npath = \"fixture\"\n",
        base.path().display().to_string(),
        fixture.parts,
        settings.steps,
        settings.learning_rate,
        settings.warmup_steps,
        settings.weight_decay,
        settings.clip,
    );
    let recipe = Recipe::parse(&text, "recipe.toml".as_ref(), &[]).unwrap();
    (base, recipe)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference_steps")
}

fn fixture(name: &str) -> Fixture {
    let text = fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The largest difference from what the reference has, in losses, norms and rewards.
fn difference(name: &str, checkpointing: bool, rate: f64) -> f64 {
    let fixture = fixture(name);
    let settings = &fixture.settings;
    let (base, recipe) = beginning(&fixture, checkpointing);
    let inputs = Inputs::read(&folder().join(format!("{}.safetensors", fixture.inputs)));
    let inputs = inputs.unwrap();
    let images = inputs.images.into_iter().map(MediumInput::Image);
    let clips = inputs.clips.into_iter().map(MediumInput::Audio);
    let media: Vec<MediumInput> = images.chain(clips).collect();
    let pair = |(index, sides): (usize, &[Vec<Row>])| {
        let media = (0..media.len()).collect();
        let sides = [sides[0].clone(), sides[1].clone()];
        TokenPair::new(&index.to_string(), sides, media, Preference::First)
    };
    let pairs = inputs.sequences.chunks(2).enumerate().map(pair);
    let pairs: Vec<TokenPair> = pairs.collect::<Result<_>>().unwrap();
    let mut training = TokenTraining::open(base.path(), &recipe, settings.steps).unwrap();
    let rewards = |training: &mut TokenTraining<'_>| {
        let features = training.features(&media).unwrap();
        training.rewards(&pairs, &features).unwrap()
    };
    let mut differences = pairwise(&rewards(&mut training), &fixture.rewards_before);
    for step in 0..settings.steps as usize {
        let first = step * settings.batch_pairs % pairs.len();
        let pairs = &pairs[first..first + settings.batch_pairs];
        let passes: Vec<&[TokenPair]> = pairs.chunks(settings.pass_pairs).collect();
        let features = training.features(&media).unwrap();
        let rate = rate * fixture.learning_rates[step];
        let TokenStep { loss, norm } = training.step_at(rate, &passes, &features).unwrap();
        differences.push((loss - fixture.losses[step]).abs());
        differences.push((norm / fixture.gradient_norms[step] - 1.0).abs());
    }
    let rewards = rewards(&mut training);
    let margins: Vec<f64> = rewards.chunks(2).map(|pair| pair[0] - pair[1]).collect();
    differences.extend(pairwise(&margins, &fixture.margins_after));
    differences.into_iter().fold(0.0, f64::max)
}

fn pairwise(left: &[f64], right: &[f64]) -> Vec<f64> {
    assert_eq!(left.len(), right.len());
    left.iter().zip(right).map(|(l, r)| (l - r).abs()).collect()
}

#[test]
fn steps_are_those_of_torch() {
    for name in ["qwen2", "minicpm_o_frozen_towers", "minicpm_o_all_parts"] {
        for checkpointing in [false, true] {
            let difference = difference(name, checkpointing, 1.0);
            assert!(difference < 1e-4, "{name}, {checkpointing}: {difference:e}");
        }
    }
}

#[test]
fn a_rate_that_is_a_percent_off_is_noticed() {
    let difference = difference("qwen2", false, 1.01);
    assert!(difference > 1e-3, "{difference:e}");
}
