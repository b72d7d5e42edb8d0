use std::{error::Error as _, fs};

use candle_core::{DType, Device, Tensor};
use omnireward_core::{Preference, Response};
use omnireward_models::{
    checkpoint::Family,
    weights::{Placement, StoredType, Weights},
};
use omnireward_train::{
    Error,
    metrics::{self, Record},
};

use crate::support::{base, recipe, run, text_pairs};

const TRAIN: &str = "[train]\nsteps = 4\nbatch_pairs = 4\nlearning_rate = 1e-3\n";

/// An error with its causes.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

#[test]
fn pairs_that_teach_nothing_are_named() {
    let base = base(Family::Qwen2, StoredType::F32);
    let out = tempfile::tempdir().unwrap();
    let recipe = recipe(base.path(), TRAIN);
    let fails = |pairs| told(&run(&recipe, pairs, vec![], out.path()).unwrap_err());

    let mut pairs = text_pairs(8);
    pairs[5].label = None;
    let error = fails(pairs);
    assert!(
        error.contains("`t5`") && error.contains("no label"),
        "{error}"
    );

    let mut ties = text_pairs(8);
    for pair in &mut ties {
        pair.label = Some(Preference::Tie);
    }
    let error = fails(ties);
    assert!(error.contains("all 8 labels are ties"), "{error}");

    let mut pairs = text_pairs(8);
    pairs[2].extra.insert("margin".to_owned(), "wide".into());
    let error = fails(pairs);
    assert!(
        error.contains("`t2`") && error.contains("`margin`"),
        "{error}"
    );

    let error = fails(vec![]);
    assert!(error.contains("no pairs in `memory`"), "{error}");
    assert!(!out.path().join("last").exists());
}

#[test]
fn a_pair_longer_than_the_budget_is_named_before_the_first_step() {
    let base = base(Family::Qwen2, StoredType::F32);
    let out = tempfile::tempdir().unwrap();
    let mut pairs = text_pairs(64);
    pairs[60].responses[1] = Response::text("yes, ".repeat(200));
    let mut recipe = recipe(base.path(), TRAIN);
    recipe.model.max_length = 300;
    let error = told(&run(&recipe, pairs, vec![], out.path()).unwrap_err());
    assert!(
        error.contains("pair `t60`") && error.contains("300"),
        "{error}"
    );
    let records = metrics::read(&out.path().join(metrics::LINES)).unwrap();
    assert!(records.is_empty(), "{records:?}");
}

#[test]
fn a_pair_of_more_rows_than_go_at_once_goes_alone() {
    let base = base(Family::Qwen2, StoredType::F32);
    let losses = [40, 4096].map(|rows| {
        let out = tempfile::tempdir().unwrap();
        let settings = format!("{TRAIN}batch_rows = {rows}\n");
        run(
            &recipe(base.path(), &settings),
            text_pairs(8),
            vec![],
            out.path(),
        )
        .unwrap();
        let records = metrics::read(&out.path().join(metrics::LINES)).unwrap();
        let Some(Record::Step(step)) = records.last() else {
            panic!("no step was recorded")
        };
        step.loss
    });
    assert!((losses[0] - losses[1]).abs() < 1e-6, "{losses:?}");
}

#[test]
fn a_step_of_ties_alone_changes_nothing() {
    let base = base(Family::Qwen2, StoredType::F32);
    let out = tempfile::tempdir().unwrap();
    let mut pairs = text_pairs(4);
    pairs[0].label = Some(Preference::Tie);
    let settings = TRAIN.replace("batch_pairs = 4", "batch_pairs = 1");
    let trained = run(&recipe(base.path(), &settings), pairs, vec![], out.path()).unwrap();
    assert_eq!(trained.ties_left_out, 1);
    let weights = Weights::open(&trained.last).unwrap();
    for name in weights.names() {
        let info = weights.info(name).unwrap();
        let placement = Placement {
            device: Device::Cpu,
            dtype: DType::F32,
        };
        let tensor = weights
            .scope("", &placement)
            .tensor(name, &info.shape)
            .unwrap();
        let sum = tensor.sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(sum.is_finite(), "{name}");
    }
}

#[test]
fn a_folder_is_trained_in_once_at_a_time() {
    let base = base(Family::Qwen2, StoredType::F32);
    let out = tempfile::tempdir().unwrap();
    let lock = std::fs::File::create(out.path().join(".lock")).unwrap();
    lock.try_lock().unwrap();
    let recipe = recipe(base.path(), TRAIN);
    let error = told(&run(&recipe, text_pairs(8), vec![], out.path()).unwrap_err());
    assert!(error.contains("another process is training"), "{error}");
}

#[test]
fn a_recipe_that_lies_where_the_run_is_to_be_is_not_written_over() {
    let base = base(Family::Qwen2, StoredType::F32);
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("recipe.toml");
    std::fs::write(&path, "# mine\n").unwrap();
    let recipe = recipe(base.path(), TRAIN);
    let error = told(&run(&recipe, text_pairs(8), vec![], out.path()).unwrap_err());
    assert!(error.contains("recipe.toml"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "# mine\n");
}

#[test]
fn what_is_frozen_must_be_there() {
    let base = base(Family::Qwen2, StoredType::F32);
    let out = tempfile::tempdir().unwrap();
    let settings = format!("{TRAIN}freeze = [\"model.embed_token.\"]\n");
    let recipe = recipe(base.path(), &settings);
    let error = told(&run(&recipe, text_pairs(8), vec![], out.path()).unwrap_err());
    assert!(error.contains("model.embed_token."), "{error}");
}

#[test]
fn words_to_learn_must_be_there() {
    let base = base(Family::Qwen2, StoredType::F32);
    let out = tempfile::tempdir().unwrap();
    let mut pairs = text_pairs(4);
    for pair in &mut pairs {
        pair.label = Some(Preference::Tie);
    }
    let settings =
        format!("{TRAIN}[objective]\nlikelihood = \"davidson\"\nlanguage_modelling = 0.5\n");
    let recipe = recipe(base.path(), &settings);
    let error = told(&run(&recipe, pairs, vec![], out.path()).unwrap_err());
    assert!(error.contains("language_modelling"), "{error}");
}

#[test]
fn a_loss_that_is_no_number_ends_the_run_and_spoils_nothing() {
    let base = base(Family::Qwen2, StoredType::F32);
    let path = base.path().join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    let norm = tensors.get_mut("model.norm.weight").unwrap();
    *norm = Tensor::full(f32::NAN, norm.dims(), &Device::Cpu).unwrap();
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let out = tempfile::tempdir().unwrap();
    let error = told(
        &run(
            &recipe(base.path(), TRAIN),
            text_pairs(8),
            vec![],
            out.path(),
        )
        .unwrap_err(),
    );
    assert!(
        error.contains("loss of step 1") && error.contains("`t"),
        "{error}"
    );
    let left: Vec<_> = fs::read_dir(out.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !left
            .iter()
            .any(|name| name == "last" || name.to_string_lossy().starts_with("state"))
    );
}

#[test]
fn a_checkpoint_that_does_not_fit_is_named() {
    let base = base(Family::Qwen2, StoredType::F32);
    let fails = |recipe| {
        let out = tempfile::tempdir().unwrap();
        told(&run(&recipe, text_pairs(8), vec![], out.path()).unwrap_err())
    };

    let mut with_head = recipe(base.path(), TRAIN);
    with_head.model.new_head = Some(omnireward_train::recipe::NewHead::Value);
    let error = fails(with_head);
    assert!(
        error.contains("`score.weight`") && error.contains("new_head"),
        "{error}"
    );

    let vision = recipe(base.path(), &format!("{TRAIN}parts = [\"vision\"]\n"));
    let error = fails(vision);
    assert!(error.contains("part `vision`"), "{error}");

    let config = base.path().join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text.replace("Qwen2ForSequenceClassification", "BertModel")
            .replace("\"qwen2\"", "\"bert\""),
    )
    .unwrap();
    let error = fails(recipe(base.path(), TRAIN));
    assert!(error.contains("BertModel"), "{error}");
}
