use std::{error::Error as _, path::Path};

use proptest::prelude::*;

use super::*;
use crate::Error;

mod writers;

const SMALLEST: &str = r#"
[model]
path = "base"
[train]
learning_rate = 2e-6
epochs = 2
[[data]]
path = "pairs.jsonl"
"#;

fn read(text: &str, overrides: &[&str]) -> Result<Recipe, Error> {
    let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
    Recipe::parse(text, Path::new("a.toml"), &overrides)
}

fn changed(overrides: &[&str]) -> Recipe {
    read(SMALLEST, overrides).unwrap()
}

/// The field and the reason of the error that overrides of the smallest recipe lead to.
fn fault(overrides: &[&str]) -> (String, String) {
    match read(SMALLEST, overrides) {
        Err(Error::Recipe {
            field,
            reason,
            path,
        }) => {
            assert_eq!(path, Path::new("a.toml"));
            (field, reason)
        }
        other => panic!("{overrides:?} gives {other:?}"),
    }
}

#[test]
fn what_a_recipe_leaves_out_is_the_papers() {
    let recipe = changed(&[]);
    assert_eq!(recipe.model.precision, Precision::AsStored);
    assert_eq!(recipe.model.preprocessing, Preprocessing::reference());
    assert_eq!(recipe.model.new_head, None);
    assert_eq!(recipe.model.max_length, 18_000);
    assert_eq!(recipe.model.too_long, TooLong::Refuse);
    let train = &recipe.train;
    assert_eq!(train.parts, [Part::Decoder, Part::Head]);
    assert_eq!(train.length(), Length::Epochs(2.0));
    assert_eq!(train.warmup(), Warmup::Ratio(0.05));
    assert_eq!((train.batch_pairs, train.batch_rows), (64, 4096));
    assert_eq!(train.schedule, Schedule::Cosine);
    assert_eq!(train.betas, (0.9, 0.999));
    assert_eq!((train.weight_decay, train.epsilon), (1e-3, 1e-8));
    assert_eq!((train.clip, train.head_dropout), (1.0, 0.1));
    assert_eq!((train.seed, train.log_every), (42, 5));
    assert!(train.gradient_checkpointing && train.lora.is_none() && train.freeze.is_empty());
    assert_eq!(recipe.objective.likelihood, Likelihood::BradleyTerry);
    assert_eq!(recipe.evaluation.every, 100);
    assert_eq!(recipe.checkpoints.every, 400);
    assert_eq!(recipe.checkpoints.keep, 20);
    assert!(recipe.data[0].criteria && recipe.data[0].tasks.is_none());
}

#[test]
fn every_setting_can_be_written() {
    let text = r#"
        [model]
        path = "hf:openbmb/MiniCPM-o-2_6"
        precision = "bf16"
        preprocessing = "clean,max_frames=2"
        new_head = "score"
        max_length = 512
        too_long = "cut"
        [train]
        parts = ["decoder", "vision", "resampler", "audio", "audio_projection", "head"]
        freeze = ["llm.model.embed_tokens."]
        lora = { rank = 16, alpha = 32, targets = ["q_proj", "v_proj"] }
        steps = 7
        batch_pairs = 4
        batch_rows = 1000
        gradient_checkpointing = false
        head_dropout = 0
        learning_rate = 1
        schedule = "linear"
        warmup_steps = 3
        weight_decay = 0
        betas = [0.8, 0.9]
        epsilon = 1e-6
        clip = 0
        seed = 7
        log_every = 1
        [objective]
        likelihood = "davidson"
        centring = 0.01
        tie = -1
        [[data]]
        path = "a"
        format = "pairs"
        max_pairs = 10
        weight = 0.5
        tasks = ["T2I", "text_to_3D"]
        criteria = false
        [[data]]
        path = "b"
        [evaluation]
        data = [{ path = "x/y/", name = "test", format = "pairs", max_pairs = 5, tasks = ["T2T"], criteria = false }]
        every = 2
        [checkpoints]
        every = 3
        keep = 1
    "#;
    let recipe = read(text, &[]).unwrap();
    assert_eq!(recipe.model.new_head, Some(NewHead::Score));
    assert_eq!(recipe.model.preprocessing.max_frames, 2);
    assert_eq!(recipe.train.parts.len(), 6);
    let lora = recipe.train.lora.as_ref().unwrap();
    assert_eq!(lora.targets, [LoraTarget::QProj, LoraTarget::VProj]);
    assert_eq!(recipe.train.length(), Length::Steps(7));
    assert_eq!(recipe.train.warmup(), Warmup::Steps(3));
    assert_eq!(recipe.objective.likelihood, Likelihood::Davidson);
    assert_eq!(recipe.data[0].tasks, Some(vec![Task::T2I, Task::T23D]));
    assert_eq!(recipe.evaluation.data[0].name(), "test");
    let again = read(&recipe.to_toml(), &[]).unwrap();
    assert_eq!(again, recipe);
}

#[test]
fn overrides_replace_values() {
    let recipe = changed(&[
        "train.learning_rate=1e-4",
        "train.steps = 50",
        "model.path=hf:owner/name",
        "model.new_head=value",
        "data.0.max_pairs=3",
        "data.1.path=2024-01-01",
        "objective.likelihood=\"rao-kupper\"",
        "evaluation.data=[{path = 'held/out'}]",
        "train.betas=[0.8, 0.9]",
        "train.betas.1=0.95",
    ]);
    assert!((recipe.train.learning_rate - 1e-4).abs() < 1e-12);
    assert_eq!(recipe.train.length(), Length::Steps(50));
    assert_eq!(recipe.train.epochs, None);
    assert_eq!(recipe.model.path, "hf:owner/name");
    assert_eq!(recipe.model.new_head, Some(NewHead::Value));
    assert_eq!(recipe.data[0].max_pairs, Some(3));
    assert_eq!(recipe.data[1].path, "2024-01-01");
    assert_eq!(recipe.objective.likelihood, Likelihood::RaoKupper);
    assert_eq!(recipe.evaluation.data[0].name(), "out");
    assert_eq!(recipe.train.betas, (0.8, 0.95));
    assert_eq!(recipe.train.warmup(), Warmup::Ratio(0.05));
    let warm = changed(&["train.warmup_ratio=0.5", "train.warmup_steps=2"]);
    assert_eq!(warm.train.warmup(), Warmup::Steps(2));
}

#[test]
fn settings_are_overrides() {
    let recipe = changed(&[
        "data.1.path=b",
        "train.lora={ rank = 2, alpha = 4 }",
        "evaluation.data=[{ path = 'held' }]",
        "model.preprocessing=clean",
    ]);
    let settings = recipe.settings();
    for (key, value) in [
        ("data.1.path", "b"),
        ("train.betas", "[0.9, 0.999]"),
        ("train.lora.rank", "2"),
        ("evaluation.data.0.path", "held"),
        ("checkpoints.keep", "20"),
    ] {
        let expected = (key.to_owned(), value.to_owned());
        assert!(settings.contains(&expected), "{key} in {settings:?}");
    }
    let written: Vec<_> = settings
        .iter()
        .filter(|(key, _)| !key.starts_with("evaluation.data"))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let overrides: Vec<&str> = written.iter().map(String::as_str).collect();
    let from_settings = Recipe {
        evaluation: recipe.evaluation.clone(),
        ..changed(&overrides)
    };
    assert_eq!(from_settings, recipe);
}

#[test]
fn overrides_that_cannot_be_read_are_named() {
    for (text, expected) in [
        ("train.steps", "KEY=VALUE"),
        ("=3", "empty key"),
        ("train..steps=3", "empty key"),
        ("data.2.path=x", "0 to 1"),
        ("data.first.path=x", "`first`"),
        ("model.path.to=x", "`to`"),
    ] {
        let error = read(SMALLEST, &[text]).unwrap_err();
        assert!(matches!(error, Error::Override { .. }), "{error:?}");
        let message = error.to_string();
        assert!(
            message.contains(text) && message.contains(expected),
            "{message}"
        );
    }
}

#[test]
fn unknown_keys_are_refused_with_those_that_are_near() {
    for (text, field, expected) in [
        (
            "train.learning_rte=1",
            "train.learning_rte",
            "did you mean `learning_rate`?",
        ),
        (
            "train.warmup=1",
            "train.warmup",
            "`warmup_ratio`, `warmup_steps`",
        ),
        ("model.paht=x", "model.paht", "did you mean `path`?"),
        (
            "learning_rate=1",
            "learning_rate",
            "expected one of `model`, `train`, `objective`",
        ),
        (
            "data.0.max_samples=1",
            "data.0.max_samples",
            "expected one of `path`",
        ),
        (
            "evaluation.data=[{ pat = 'x' }]",
            "evaluation.data.0.pat",
            "did you mean `path`?",
        ),
        (
            "train.lora={ rank = 1, alpha = 1, dropout = 0 }",
            "train.lora.dropout",
            "expected one of `rank`",
        ),
        (
            "checkpoints.keeep=1",
            "checkpoints.keeep",
            "did you mean `keep`?",
        ),
    ] {
        let (at, reason) = fault(&[text]);
        assert_eq!(at, field);
        assert!(reason.contains(expected), "{text}: {reason}");
    }
}

#[test]
fn values_of_another_type_are_refused() {
    for (text, field, expected) in [
        (
            "train.learning_rate='2e-6'",
            "train.learning_rate",
            "is the string \"2e-6\", expected a number",
        ),
        (
            "train.learning_rate=fast",
            "train.learning_rate",
            "is the string \"fast\", expected a number",
        ),
        (
            "train.steps=1.5",
            "train.steps",
            "is the number `1.5`, expected a whole number of at least 0",
        ),
        (
            "train.seed=-1",
            "train.seed",
            "is the whole number `-1`, expected a whole number of at least 0",
        ),
        (
            "train.gradient_checkpointing=1",
            "train.gradient_checkpointing",
            "expected true or false",
        ),
        ("train.parts=head", "train.parts", "expected a list"),
        (
            "train.parts=['heads']",
            "train.parts.0",
            "is `heads`, expected one of `decoder`",
        ),
        (
            "train.betas=[0.9]",
            "train.betas",
            "has 1 entries, expected a list of two",
        ),
        (
            "train.betas=[0.9, 0.9, 0.9]",
            "train.betas",
            "has 3 entries, expected fewer",
        ),
        (
            "train.schedule=step",
            "train.schedule",
            "is `step`, expected one of",
        ),
        (
            "objective.likelihood=bt",
            "objective.likelihood",
            "is `bt`, expected one of `bradley-terry`",
        ),
        (
            "model.preprocessing=dirty",
            "model.preprocessing",
            "`dirty` is not `reference` or `clean`",
        ),
        ("data.0.tasks=['T2X']", "data.0.tasks.0", "T2X"),
        ("model=x", "model", "expected a table"),
        ("train.lora=16", "train.lora", "expected a table"),
    ] {
        let (at, reason) = fault(&[text]);
        assert_eq!(
            (at.as_str(), reason.contains(expected)),
            (field, true),
            "{text}: {at} {reason}"
        );
    }
}

#[test]
fn impossible_values_are_refused() {
    for (overrides, field, expected) in [
        (
            &["train.learning_rate=0"][..],
            "train.learning_rate",
            "above 0",
        ),
        (
            &["train.learning_rate=nan"],
            "train.learning_rate",
            "above 0",
        ),
        (
            &["train.learning_rate=inf"],
            "train.learning_rate",
            "above 0",
        ),
        (&["train.epochs=0"], "train.epochs", "above 0"),
        (&["train.steps=0"], "train.steps", "above 0"),
        (
            &["train={ learning_rate = 1 }"],
            "train.epochs",
            "`train.steps`",
        ),
        (
            &["train={ learning_rate = 1, steps = 1, epochs = 1 }"],
            "train.epochs",
            "only one",
        ),
        (
            &["train={ epochs = 1 }"],
            "train.learning_rate",
            "is missing",
        ),
        (
            &["train={ learning_rate = 1, steps = 1, warmup_steps = 1, warmup_ratio = 0.1 }"],
            "train.warmup_ratio",
            "only one",
        ),
        (
            &["train.warmup_ratio=1.5"],
            "train.warmup_ratio",
            "from 0 to 1",
        ),
        (&["train.batch_pairs=0"], "train.batch_pairs", "above 0"),
        (&["train.batch_rows=0"], "train.batch_rows", "above 0"),
        (&["train.head_dropout=1"], "train.head_dropout", "below 1"),
        (&["train.betas=[0.9, 1]"], "train.betas.1", "below 1"),
        (&["train.epsilon=0"], "train.epsilon", "above 0"),
        (&["train.clip=-1"], "train.clip", "at least 0"),
        (&["train.log_every=0"], "train.log_every", "above 0"),
        (&["train.parts=[]"], "train.parts", "at least one"),
        (
            &["train.parts=['head', 'head']"],
            "train.parts.1",
            "`head` a second time",
        ),
        (&["train.freeze=['']"], "train.freeze.0", "some text"),
        (
            &["train.lora={ rank = 0, alpha = 1 }"],
            "train.lora.rank",
            "above 0",
        ),
        (
            &["train.lora={ rank = 1, alpha = 1, targets = [] }"],
            "train.lora.targets",
            "at least one",
        ),
        (
            &["train.parts=['head']", "train.lora={ rank = 1, alpha = 1 }"],
            "train.lora",
            "`train.parts`",
        ),
        (&["objective.tie=1"], "objective.tie", "`davidson`"),
        (
            &["objective.centring=-0.1"],
            "objective.centring",
            "at least 0",
        ),
        (&["data=[]"], "data", "at least one"),
        (&["data.0.path="], "data.0.path", "some text"),
        (&["data.0.weight=0"], "data.0.weight", "above 0"),
        (&["data.0.max_pairs=0"], "data.0.max_pairs", "above 0"),
        (
            &["data.0.tasks=['T2I', 'text_to_image']"],
            "data.0.tasks.1",
            "`T2I` a second time",
        ),
        (
            &["evaluation.data=[{ path = 'a/x' }, { path = 'b/x/' }]"],
            "evaluation.data.1.name",
            "`x`",
        ),
        (&["checkpoints.keep=0"], "checkpoints.keep", "above 0"),
        (&["model.path="], "model.path", "some text"),
        (&["model.max_length=0"], "model.max_length", "above 0"),
        (&["model={}"], "model.path", "is missing"),
    ] {
        let (at, reason) = fault(overrides);
        assert_eq!(
            (at.as_str(), reason.contains(expected)),
            (field, true),
            "{overrides:?}: {at} {reason}"
        );
    }
}

#[test]
fn the_file_is_named_whatever_is_wrong_with_it() {
    let missing = Recipe::read(Path::new("/nowhere/r.toml"), &[]).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/r.toml"));
    let broken = read("[model\npath = 1", &[]).unwrap_err();
    assert!(broken.to_string().contains("a.toml"));
    assert!(broken.source().unwrap().to_string().contains("line 1"));
    let unknown = read(SMALLEST, &["train.sed=1"]).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "`train.sed` in recipe `a.toml` is not known; did you mean `seed`?"
    );
}

#[test]
fn lengths_and_warm_ups_are_rounded_up() {
    assert_eq!(Length::Epochs(2.0).steps(|_| 10), 20);
    assert_eq!(Length::Epochs(0.25).steps(|_| 10), 3);
    assert_eq!(
        Length::Epochs(2.5).steps(|epoch| [3, 4, 5][epoch as usize]),
        10
    );
    assert_eq!(Length::Steps(7).steps(|_| 10), 7);
    assert_eq!(Warmup::Ratio(0.05).steps(101), 6);
    assert_eq!(Warmup::Ratio(0.0).steps(101), 0);
    assert_eq!(Warmup::Steps(9).steps(101), 9);
}

#[test]
fn parts_and_prefixes_say_what_is_trained() {
    let train = changed(&["train.freeze=['llm.model.layers.0.']"]).train;
    for (name, expected) in [
        ("llm.model.layers.1.mlp.up_proj.weight", true),
        ("llm.model.layers.0.mlp.up_proj.weight", false),
        ("llm.model.layers.01.mlp.up_proj.weight", true),
        ("llm.model.embed_tokens.weight", true),
        ("model.norm.weight", true),
        ("llm.lm_head.weight", false),
        ("v_head.summary.weight", true),
        ("score.weight", true),
        ("vpm.embeddings.position_embedding.weight", false),
        ("resampler.query", false),
        ("tts.something", false),
    ] {
        assert_eq!(train.trains(name), expected, "{name}");
    }
    let towers =
        changed(&["train.parts=['vision', 'audio', 'audio_projection', 'resampler']"]).train;
    assert!(towers.trains("vpm.encoder.layers.0.mlp.fc1.weight"));
    assert!(towers.trains("apm.conv1.weight"));
    assert!(towers.trains("audio_projection_layer.linear1.weight"));
    assert!(!towers.trains("v_head.summary.weight"));
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        rate in 1e-9_f64..10.0,
        epochs in 1e-3_f64..100.0,
        decay in 0.0_f64..1.0,
        seed in 0..i64::MAX as u64,
        weight in 1e-3_f64..1e3,
        path in "[ -~äé]{1,20}",
    ) {
        let mut recipe = changed(&[]);
        recipe.train.learning_rate = rate;
        recipe.train.epochs = Some(epochs);
        recipe.train.weight_decay = decay;
        recipe.train.seed = seed;
        recipe.data[0].weight = weight;
        recipe.model.path = format!("x{path}");
        prop_assert_eq!(read(&recipe.to_toml(), &[]).unwrap(), recipe);
    }
}

/// The recipes beside the crates.
fn shipped(name: &str) -> Recipe {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../recipes")
        .join(name);
    Recipe::read(&path, &[]).unwrap()
}

fn sets(recipe: &Recipe) -> Vec<&str> {
    recipe
        .data
        .iter()
        .filter_map(|data| Path::new(&data.path).file_stem()?.to_str())
        .collect()
}

#[test]
fn the_papers_recipe_has_the_papers_settings() {
    let recipe = shipped("omni-reward-bt.toml");
    let (model, train) = (&recipe.model, &recipe.train);
    assert_eq!(train.parts, [Part::Decoder, Part::Head]);
    assert_eq!(model.precision, Precision::Bf16);
    assert_eq!(train.schedule, Schedule::Cosine);
    assert_eq!((train.learning_rate, train.weight_decay), (2e-6, 1e-3));
    assert_eq!(train.warmup(), Warmup::Ratio(0.05));
    assert_eq!(train.length(), Length::Epochs(2.0));
    assert_eq!(train.batch_pairs, 64);
    assert_eq!((model.max_length, model.too_long), (18_000, TooLong::Cut));
    assert_eq!(model.preprocessing, Preprocessing::reference());
    assert_eq!(model.preprocessing.max_frames, 4);
    assert!(
        recipe
            .data
            .iter()
            .all(|data| data.max_pairs == Some(50_000))
    );
    assert_eq!(train.log_every, 5);
    assert_eq!(
        (recipe.checkpoints.every, recipe.checkpoints.keep),
        (400, 20)
    );
    assert_eq!(recipe.evaluation.every, 100);
    assert_eq!(recipe.evaluation.data[0].name(), "vl_rewardbench");
    assert_eq!((train.clip, train.seed), (1.0, 42));
    assert!(train.gradient_checkpointing);
    assert_eq!(
        (model.new_head, train.head_dropout),
        (Some(NewHead::Value), 0.1)
    );
    assert_eq!(recipe.objective, ObjectiveRecipe::default());
}

#[test]
fn partial_recipes_differ_from_the_whole_in_their_sets_alone() {
    let whole = shipped("omni-reward-bt.toml");
    let mut all = Vec::new();
    for (name, expected) in [
        (
            "omni-reward-bt-t2t.toml",
            &[
                "skywork_reward",
                "omni_t2t_skywork",
                "omni_t2t_ultrafeedback",
            ][..],
        ),
        (
            "omni-reward-bt-ti2t.toml",
            &[
                "rlaifv",
                "omnialign",
                "omni_ti2t_rlaifv",
                "omni_ti2t_vlfeedback",
            ],
        ),
        (
            "omni-reward-bt-t2i-t2v.toml",
            &[
                "hpdv2",
                "evalmuse",
                "omni_t2i_hpd",
                "omni_t2i_oip",
                "videodpo",
                "visionreward",
            ],
        ),
    ] {
        let part = shipped(name);
        assert_eq!(sets(&part), expected, "{name}");
        all.extend(part.data.clone());
        let same_data = Recipe {
            data: whole.data.clone(),
            ..part
        };
        assert_eq!(same_data, whole, "{name}");
    }
    assert_eq!(all, whole.data);
}

#[test]
fn the_small_models_recipe_trains_every_part() {
    let recipe = shipped("omni-mini.toml");
    assert_eq!(recipe.train.parts.len(), 6);
    assert!(!recipe.evaluation.data.is_empty());
}
