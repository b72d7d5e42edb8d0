//! Learning to write the best response, beside or in place of preferring it.

use std::{fs, path::Path};

use candle_core::{DType, Device};
use omnireward_core::{NoProgress, Preference, PreferencePair};
use omnireward_models::{
    Features, Forest, MediaCache, NetworkOptions, RewardNetwork, TokenTree,
    checkpoint::Family,
    weights::{Placement, StoredType, Weights},
};
use omnireward_train::{
    Training, TrainingSet,
    metrics::{self, Record, StepRecord},
};

use crate::support::{base, media_pairs, recipe, run, text_pairs};

const ONLY_WORDS: &str = "[train]\nsteps = 1\nbatch_pairs = 4\nlearning_rate = 1e-3\nwarmup_steps = 0\n\
                          head_dropout = 0.0\nlog_every = 1\n[objective]\nlanguage_modelling = 1.0";

fn steps(out: &Path) -> Vec<StepRecord> {
    let records = metrics::read(&out.join(metrics::LINES)).unwrap();
    let step = |record| match record {
        Record::Step(step) => Some(step),
        _ => None,
    };
    records.into_iter().filter_map(step).collect()
}

/// The sum of `−log p` over the words of the better response and the end of its turn, with how many they are, laid out
/// alone and added up in `f64`.
fn unlikeliness(network: &RewardNetwork, pair: &PreferencePair) -> (f64, u64) {
    let best = usize::from(pair.label == Some(Preference::Second));
    let cache = MediaCache::in_memory(64 << 20);
    let media = network.encode(pair, &cache).unwrap();
    let shapes: Vec<_> = media.iter().map(|medium| medium.shape.clone()).collect();
    let sequences = network.sequences(pair, &shapes).unwrap();
    let rows = &sequences.rows[best];
    let Some(words) = network.last_words(rows) else {
        return (0.0, 0);
    };
    let tree = TokenTree::new(std::slice::from_ref(rows));
    let forest = Forest::new(&[(&tree, 0)]);
    let places: Vec<usize> = (0..media.len()).collect();
    let inputs = network
        .inputs(&forest.rows, &Features::of(&media).unwrap(), &places)
        .unwrap();
    let reads: Vec<usize> = (0..rows.len()).collect();
    let decoder = network.decoder();
    let hidden = decoder
        .forward(&inputs, &forest.positions, &forest.layout, &reads)
        .unwrap();
    let logits: Vec<Vec<f32>> = decoder.logits(&hidden).unwrap().to_vec2().unwrap();
    let lost = (words.start..=words.end).map(|word| {
        let row = &logits[word - 1];
        let total: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
        total.ln() - f64::from(row[rows[word].token as usize])
    });
    (lost.sum(), words.len() as u64 + 1)
}

#[test]
fn the_loss_of_words_is_that_of_each_best_response_alone() {
    for (family, pairs) in [
        (Family::Qwen2, text_pairs(4)),
        (Family::MiniCpmO, media_pairs()),
    ] {
        let base = base(family, StoredType::F32);
        let pairs: Vec<PreferencePair> = pairs.into_iter().take(8).collect();
        let weights = Weights::open(base.path()).unwrap();
        let options = NetworkOptions::default();
        let network = RewardNetwork::new(base.path(), &weights, &options)
            .unwrap()
            .with_lm_head(&weights)
            .unwrap();
        let (mut loss, mut words) = (0.0, 0);
        for pair in &pairs {
            let (more, count) = unlikeliness(&network, pair);
            loss += more;
            words += count;
        }
        assert!(words > 0);
        for checkpointing in [false, true] {
            let settings = format!(
                "{}\n",
                ONLY_WORDS
                    .replace("batch_pairs = 4", "batch_pairs = 8")
                    .replace(
                        "[objective]",
                        &format!("gradient_checkpointing = {checkpointing}\n[objective]"),
                    )
            );
            let out = tempfile::tempdir().unwrap();
            let recipe = recipe(base.path(), &settings);
            run(&recipe, pairs.clone(), Vec::new(), out.path()).unwrap();
            let found = steps(out.path())[0].words_loss.unwrap();
            let expected = loss / words as f64;
            assert!(
                (found - expected).abs() < 1e-4,
                "{family:?}: {found}, expected {expected}"
            );
        }
    }
}

#[test]
fn what_is_learned_is_written() {
    let base = base(Family::MiniCpmO, StoredType::F32);
    let out = tempfile::tempdir().unwrap();
    let settings = ONLY_WORDS
        .replace("steps = 1", "steps = 30")
        .replace("1e-3", "1e-2");
    let recipe = recipe(base.path(), &settings);
    run(&recipe, text_pairs(4), Vec::new(), out.path()).unwrap();
    let steps = steps(out.path());
    let [first, last] = [&steps[0], &steps[29]].map(|step| step.words_loss.unwrap());
    assert!(last < first / 10.0, "{first} to {last}");
}

#[test]
fn a_set_can_have_a_share_of_words_of_its_own() {
    let base = base(Family::Qwen2, StoredType::F32);
    let trained = |of_all: f64, of_set: Option<f64>| {
        let out = tempfile::tempdir().unwrap();
        let settings = ONLY_WORDS.replace("= 1.0", &format!("= {of_all:?}"));
        let training = Training {
            recipe: &recipe(base.path(), &settings),
            base: base.path(),
            sets: vec![TrainingSet {
                name: "memory".to_owned(),
                pairs: text_pairs(4),
                weight: 1.0,
                language_modelling: of_set,
            }],
            held_out: Vec::new(),
            cache: &MediaCache::in_memory(1 << 20),
            out: out.path(),
            host: "test",
            record: serde_json::json!({}),
        };
        training.run(&NoProgress).unwrap();
        fs::read(out.path().join("last/model.safetensors")).unwrap()
    };
    let expected = trained(0.5, None);
    assert!(trained(0.0, Some(0.5)) == expected);
    assert!(trained(0.5, Some(0.0)) != expected);
}

#[test]
fn a_reward_is_left_alone_where_only_words_are_learned() {
    let base = base(Family::Qwen2, StoredType::F32);
    let out = tempfile::tempdir().unwrap();
    let settings = ONLY_WORDS.replace(
        "[train]",
        "[train]\nparts = [\"decoder\", \"head\"]\nweight_decay = 0.0",
    );
    let recipe = recipe(base.path(), &settings);
    run(&recipe, text_pairs(4), Vec::new(), out.path()).unwrap();
    let head = |folder: &Path| {
        let weights = Weights::open(folder).unwrap();
        let name = weights
            .names()
            .find(|name| name.contains("score") || name.contains("v_head.summary.weight"));
        let name = name.unwrap().to_owned();
        let shape = weights.info(&name).unwrap().shape.clone();
        let placement = Placement {
            device: Device::Cpu,
            dtype: DType::F32,
        };
        let head = weights.scope("", &placement).tensor(&name, &shape).unwrap();
        head.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(head(base.path()), head(&out.path().join("last")));
}
