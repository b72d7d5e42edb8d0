use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
};

use omnireward_core::{Progress, RewardModel};
use omnireward_models::{
    MediaCache, NetworkOptions, RewardScorer,
    checkpoint::Family,
    weights::{StoredType, Weights},
};
use omnireward_train::metrics::{self, Record};

use crate::support::{base, bytes, media_pairs, recipe, run, run_with, text_pairs};

const TRAIN: &str = "
[train]
parts = [\"decoder\", \"head\"]
steps = 30
batch_pairs = 8
learning_rate = 2e-3
schedule = \"constant\"
warmup_steps = 0
head_dropout = 0.0
gradient_checkpointing = false
log_every = 1
";

#[test]
fn what_can_be_learned_is_learned_by_every_family() {
    for family in Family::SCORING {
        let base = base(family, StoredType::F32);
        let out = tempfile::tempdir().unwrap();
        let trained = run(
            &recipe(base.path(), TRAIN),
            text_pairs(48),
            text_pairs(64).split_off(48),
            out.path(),
        )
        .unwrap();
        let accuracy = trained.best_evaluation.unwrap().accuracy;
        assert!(accuracy > 0.9, "{family}: {accuracy}");
        // What was written gives the rewards that were trained.
        let cache = std::sync::Arc::new(MediaCache::in_memory(0));
        let best = trained.best.unwrap();
        let scorer = RewardScorer::open(&best, &NetworkOptions::default(), cache).unwrap();
        let rewards = scorer.score(&text_pairs(16)).unwrap();
        let right =
            (0..16).filter(|&i| (rewards[i].values[0] > rewards[i].values[1]) == (i % 2 == 0));
        assert!(right.count() >= 14, "{family}: {rewards:?}");
    }
}

#[test]
fn every_trained_tensor_gets_a_gradient_and_no_other_changes() {
    let base = base(Family::MiniCpmO, StoredType::F32);
    let all = [
        "decoder",
        "vision",
        "resampler",
        "audio",
        "audio_projection",
        "head",
    ];
    for parts in [
        &all[..],
        &["decoder", "head"],
        &["resampler", "audio_projection"],
    ] {
        for checkpointing in [false, true] {
            let settings = format!(
                "[train]\nparts = {parts:?}\nsteps = 2\nbatch_pairs = 18\nlearning_rate = 1e-3\n\
                 warmup_steps = 0\nweight_decay = 0.0\nhead_dropout = 0.0\n\
                 gradient_checkpointing = {checkpointing}\n[objective]\ncentring = 0.1\n"
            );
            let out = tempfile::tempdir().unwrap();
            let trained = run(
                &recipe(base.path(), &settings),
                media_pairs(),
                vec![],
                out.path(),
            );
            let trained = trained.unwrap();
            assert_eq!(trained.without_gradient, Vec::<String>::new(), "{parts:?}");
            let changed = differing(base.path(), &trained.last);
            let weights = Weights::open(base.path()).unwrap();
            let expected: BTreeSet<String> = weights
                .names()
                .filter(|name| recipe(base.path(), &settings).train.trains(name))
                .map(str::to_owned)
                .collect();
            assert_eq!(changed, expected, "{parts:?}, {checkpointing}");
        }
    }
}

/// Names of tensors that differ between two checkpoints.
fn differing(left: &std::path::Path, right: &std::path::Path) -> BTreeSet<String> {
    let (left, right) = (Weights::open(left).unwrap(), Weights::open(right).unwrap());
    let placement = omnireward_models::weights::Placement {
        device: candle_core::Device::Cpu,
        dtype: candle_core::DType::F32,
    };
    let values = |weights: &Weights, name: &str| {
        let shape = weights.info(name).unwrap().shape;
        let tensor = weights.scope("", &placement).tensor(name, &shape).unwrap();
        tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(
        left.names().collect::<Vec<_>>(),
        right.names().collect::<Vec<_>>()
    );
    left.names()
        .filter(|name| values(&left, name) != values(&right, name))
        .map(str::to_owned)
        .collect()
}

#[test]
fn computing_layers_again_changes_no_bit() {
    let base = base(Family::MiniCpmO, StoredType::F32);
    let outcome = |checkpointing: bool| {
        let settings = format!(
            "[train]\nparts = [\"decoder\", \"vision\", \"resampler\", \"head\"]\nsteps = 3\n\
             batch_pairs = 18\nbatch_rows = 1200\nlearning_rate = 1e-3\nwarmup_steps = 0\n\
             head_dropout = 0.1\ngradient_checkpointing = {checkpointing}\n"
        );
        let out = tempfile::tempdir().unwrap();
        let trained = run(
            &recipe(base.path(), &settings),
            media_pairs(),
            vec![],
            out.path(),
        );
        bytes(&trained.unwrap().last)
    };
    assert_eq!(outcome(false), outcome(true));
}

#[test]
fn micro_batches_side_by_side_are_the_same_step_for_any_number_of_threads() {
    let base = base(Family::MiniCpmO, StoredType::F32);
    let outcome = |threads: usize, micro: &str| {
        let settings = format!(
            "[train]\nparts = [\"decoder\", \"vision\", \"resampler\", \"head\"]\nsteps = 4\n\
             batch_pairs = 18\n{micro}learning_rate = 1e-3\nwarmup_steps = 0\nhead_dropout = 0.0\n\
             gradient_checkpointing = false\n[evaluation]\ndata = [{{ path = \"memory\" }}]\nevery = 2\n"
        );
        let out = tempfile::tempdir().unwrap();
        let recipe = recipe(base.path(), &settings);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let trained = pool.install(|| run(&recipe, media_pairs(), media_pairs(), out.path()));
        let records = metrics::read(&out.path().join(metrics::LINES)).unwrap();
        let losses = records.iter().map(|record| match record {
            Record::Step(step) => step.loss,
            Record::Evaluation(evaluation) => evaluation.loss,
            other => panic!("{other:?} is not of this training"),
        });
        (bytes(&trained.unwrap().last), losses.collect::<Vec<f64>>())
    };
    let (weights, losses) = outcome(1, "micro_batch_pairs = 3\n");
    assert_eq!(
        (weights, losses.clone()),
        outcome(3, "micro_batch_pairs = 3\n")
    );
    let (_, whole) = outcome(2, "");
    assert_eq!(losses.len(), whole.len());
    for (one, other) in losses.iter().zip(&whole) {
        assert!((one - other).abs() < 1e-5, "{losses:?}, {whole:?}");
    }
}

/// Stops at a step as a kill would: nothing after it happens.
struct StopsAt(AtomicU64, u64);

impl Progress for StopsAt {
    fn begin(&self, _: &str, _: Option<u64>) {}
    fn advance(&self, steps: u64, note: &str) {
        let is_step = note.starts_with("loss");
        let stops = is_step && self.0.fetch_add(steps, Ordering::Relaxed) + steps == self.1;
        assert!(!stops, "stopped");
    }
    fn end(&self) {}
}

#[test]
fn a_training_that_was_stopped_ends_in_the_same_bytes() {
    let base = base(Family::MiniCpmO, StoredType::Bf16);
    let settings = "
[train]
parts = [\"decoder\", \"head\", \"resampler\"]
steps = 12
batch_pairs = 7
learning_rate = 1e-3
gradient_checkpointing = false
log_every = 1
[objective]
likelihood = \"davidson\"
[evaluation]
data = [{ path = \"memory\" }]
every = 3
[checkpoints]
every = 4
keep = 2
";
    let recipe = recipe(base.path(), settings);
    let pairs = || media_pairs();
    let undisturbed = tempfile::tempdir().unwrap();
    run(&recipe, pairs(), pairs(), undisturbed.path()).unwrap();
    for stops in [&[3, 2, 9][..], &[6], &[11, 1]] {
        let out = tempfile::tempdir().unwrap();
        for &stop in stops {
            let progress = StopsAt(AtomicU64::new(0), stop);
            let stopped = catch_unwind(AssertUnwindSafe(|| {
                run_with(&recipe, pairs(), pairs(), out.path(), &progress)
            }));
            assert!(stopped.is_err() || stopped.unwrap().is_ok());
        }
        run(&recipe, pairs(), pairs(), out.path()).unwrap();
        assert_eq!(bytes(out.path()), bytes(undisturbed.path()), "{stops:?}");
        let steps = |folder: &std::path::Path| {
            let records = metrics::read(&folder.join(metrics::LINES)).unwrap();
            let losses = records.iter().filter_map(|record| match record {
                Record::Step(step) => Some((step.step, step.loss.to_bits())),
                _ => None,
            });
            losses.collect::<Vec<_>>()
        };
        assert_eq!(steps(out.path()), steps(undisturbed.path()));
    }
    // Another recipe does not go on with it.
    let other = run(
        &crate::support::recipe(base.path(), &settings.replace("1e-3", "2e-3")),
        pairs(),
        pairs(),
        undisturbed.path(),
    );
    assert!(other.unwrap_err().to_string().contains("another run"));
    assert!(
        fs::read_dir(undisturbed.path().join("checkpoints"))
            .unwrap()
            .count()
            <= 2
    );
}
