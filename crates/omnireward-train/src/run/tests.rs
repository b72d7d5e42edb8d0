//! Twenty steps beside the same ones in torch: `scripts/oracle/train_fixture.py` writes what is expected.

use std::{fs, path::PathBuf};

use omnireward_core::{NoProgress, Preference, PreferencePair, Response, Task};
use omnireward_models::{
    Features, TokenTree,
    checkpoint::{Family, RandomCheckpoint, Size},
    processor::MediumInput,
    weights::StoredType,
};
use serde::Deserialize;

use self::inputs::Inputs;
use super::{
    clipped,
    data::Example,
    forward::{Dropout, Planted, StepMedia, Stream},
    trainee::Trainee,
};
use crate::{
    Recipe,
    objective::{Evaluation, Likelihood, Objective},
};

#[path = "../../../omnireward-models/tests/it/parity/inputs.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod inputs;

const OBJECTIVE: Objective = Objective {
    likelihood: Likelihood::BradleyTerry,
    centring: 0.0,
};
const NO_DROPOUT: Dropout = Dropout {
    share: 0.0,
    seed: 0,
    stream: 0,
};

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

/// A training of the fixture's pairs in their order.
struct Steps {
    trainee: Trainee,
    examples: Vec<Example>,
    trees: Vec<TokenTree>,
    media: Vec<MediumInput>,
    _base: tempfile::TempDir,
}

impl Steps {
    fn new(fixture: &Fixture, checkpointing: bool) -> Self {
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
             weight_decay = {}\ngradient_checkpointing = {checkpointing}\n[[data]]\npath = \"fixture\"\n",
            base.path().display().to_string(),
            fixture.parts,
            settings.steps,
            settings.learning_rate,
            settings.warmup_steps,
            settings.weight_decay,
        );
        let recipe = Recipe::parse(&text, "recipe.toml".as_ref(), &[]).unwrap();
        let inputs = Inputs::read(&folder().join(format!("{}.safetensors", fixture.inputs)));
        let inputs = inputs.unwrap();
        let images = inputs.images.into_iter().map(MediumInput::Image);
        let clips = inputs.clips.into_iter().map(MediumInput::Audio);
        let trees: Vec<TokenTree> = inputs.sequences.chunks(2).map(TokenTree::new).collect();
        let example = |index: usize| {
            let responses = ["chosen", "rejected"].map(Response::text);
            let pair = PreferencePair::new(index.to_string(), Task::T2T, "", responses);
            Example::new(pair.with_label(Preference::First), 1.0, "fixture").unwrap()
        };
        Self {
            trainee: Trainee::open(base.path(), &recipe).unwrap(),
            examples: (0..trees.len()).map(example).collect(),
            trees,
            media: images.chain(clips).collect(),
            _base: base,
        }
    }

    /// Some of the pairs, and the features of all media.
    fn stream(&self, pairs: std::ops::Range<usize>) -> (Stream<'_>, Features) {
        let planted = pairs.map(|index| Planted {
            example: &self.examples[index],
            tree: self.trees[index].clone(),
            media: (0..self.media.len()).collect(),
        });
        let features = self.trainee.network.features(&self.media).unwrap();
        (Stream::new(planted.collect()), features)
    }

    fn rewards(&self) -> Vec<f64> {
        let (stream, features) = self.stream(0..self.trees.len());
        self.trainee.rewards(&stream, &features).unwrap()
    }

    /// Adds up the gradient of some pairs.
    fn learn(&mut self, pairs: std::ops::Range<usize>) -> Evaluation {
        // The stream borrows the pairs, and learning changes the model.
        let examples = std::mem::take(&mut self.examples);
        let planted = pairs.map(|index| Planted {
            example: &examples[index],
            tree: self.trees[index].clone(),
            media: (0..self.media.len()).collect(),
        });
        let stream = Stream::new(planted.collect());
        let features = self.trainee.network.features(&self.media).unwrap();
        let mut media = if self.trainee.trains_media {
            StepMedia::trained(features).unwrap()
        } else {
            StepMedia::frozen(features)
        };
        let evaluation = self
            .trainee
            .learn(&stream, &mut media, &OBJECTIVE, NO_DROPOUT);
        self.trainee.learn_media(media).unwrap();
        drop(stream);
        self.examples = examples;
        evaluation.unwrap()
    }
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
    let mut steps = Steps::new(&fixture, checkpointing);
    let mut differences = pairwise(&steps.rewards(), &fixture.rewards_before);
    for step in 0..settings.steps as usize {
        let mut sum = Evaluation::default();
        let first = step * settings.batch_pairs % steps.trees.len();
        for pass in (0..settings.batch_pairs).step_by(settings.pass_pairs) {
            sum += steps.learn(first + pass..first + pass + settings.pass_pairs);
        }
        let scale = 1.0 / sum.weight;
        let norm = steps.trainee.optimiser.norm(scale).unwrap();
        differences.push((sum.loss * scale - fixture.losses[step]).abs());
        differences.push((norm / fixture.gradient_norms[step] - 1.0).abs());
        let clip = clipped(norm, settings.clip);
        let rate = rate * fixture.learning_rates[step];
        steps.trainee.update(rate, scale * clip).unwrap();
    }
    let rewards = steps.rewards();
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
