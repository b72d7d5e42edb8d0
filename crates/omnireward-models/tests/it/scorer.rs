//! Whole checkpoints from files to rewards.

#![expect(clippy::float_cmp, reason = "rewards are to be equal bit for bit")]

use std::{collections::HashMap, fs, path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};
use omnireward_core::{
    MediaRef, MediaSource, Modality, ModelErrorKind, NoProgress, PreferencePair, Response,
    RewardModel, Task,
};
use omnireward_models::{
    Error, MediaCache, NetworkOptions, Precision, RewardScorer, TooLong,
    checkpoint::{Family, RandomCheckpoint, Size},
    processor::Preprocessing,
    weights::StoredType,
};
use omnireward_testkit::pairs::{criterion, nine_tasks, pair};
use serde_json::{Value, json};
use tempfile::TempDir;

fn checkpoint(family: Family, dtype: StoredType) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut random = RandomCheckpoint::new(family, Size::Tiny);
    random.dtype = dtype;
    random.write(folder.path(), &NoProgress).unwrap();
    folder
}

fn clean() -> NetworkOptions {
    NetworkOptions {
        preprocessing: Preprocessing::clean(),
        ..NetworkOptions::default()
    }
}

fn open(path: &Path, options: NetworkOptions) -> RewardScorer {
    RewardScorer::open(path, &options, Arc::new(MediaCache::in_memory(64 << 20))).unwrap()
}

fn rewards(scorer: &RewardScorer, pairs: &[PreferencePair]) -> Vec<Vec<f64>> {
    let rewards = scorer.score(pairs).unwrap();
    rewards.into_iter().map(|rewards| rewards.values).collect()
}

/// Changes a JSON file of a checkpoint.
fn edit(folder: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.join(name);
    let mut json = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut json);
    fs::write(&path, json.to_string()).unwrap();
}

/// The same numbers in a folder of their own, stored as `f32`.
fn widened(folder: &Path) -> TempDir {
    let wide = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let to = wide.path().join(path.file_name().unwrap());
        if path.extension().is_some_and(|kind| kind == "safetensors") {
            let tensors: HashMap<String, Tensor> =
                candle_core::safetensors::load(&path, &Device::Cpu)
                    .unwrap()
                    .into_iter()
                    .map(|(name, tensor)| (name, tensor.to_dtype(DType::F32).unwrap()))
                    .collect();
            candle_core::safetensors::save(&tensors, &to).unwrap();
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
    wide
}

fn swapped(pair: &PreferencePair) -> PreferencePair {
    let mut pair = pair.clone();
    pair.responses.reverse();
    pair
}

fn threads(count: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new()
        .num_threads(count)
        .build()
        .unwrap()
}

#[test]
fn a_reward_does_not_depend_on_batch_order_packing_or_threads() {
    let mut pairs = nine_tasks(0);
    pairs.extend(nine_tasks(1));
    for (dtype, preprocessing) in [
        (StoredType::F32, Preprocessing::clean()),
        (StoredType::Bf16, Preprocessing::clean()),
        (StoredType::Bf16, Preprocessing::reference()),
    ] {
        let folder = checkpoint(Family::MiniCpmO, dtype);
        let options = NetworkOptions {
            preprocessing,
            ..NetworkOptions::default()
        };
        let scorer = open(folder.path(), options.clone());
        let together = rewards(&scorer, &pairs);
        let alone: Vec<_> = pairs
            .iter()
            .flat_map(|pair| rewards(&scorer, std::slice::from_ref(pair)))
            .collect();
        assert_eq!(together, alone, "{dtype:?}");
        let reversed: Vec<_> = pairs.iter().rev().cloned().collect();
        let mut backwards = rewards(&scorer, &reversed);
        backwards.reverse();
        assert_eq!(together, backwards, "{dtype:?}");
        for (count, batch_rows) in [(1, 4096), (2, 4096), (3, 200), (2, 1)] {
            let other = open(folder.path(), options.clone()).with_batch_rows(batch_rows);
            let again = threads(count).install(|| rewards(&other, &pairs));
            assert_eq!(
                together, again,
                "{dtype:?}, {count} threads, {batch_rows} rows"
            );
        }
        let distinct = together.iter().filter(|pair| pair[0] != pair[1]).count();
        assert!(distinct >= pairs.len() - 2, "{together:?}");
    }
}

#[test]
fn best_of_many_equals_pairs() {
    let folder = checkpoint(Family::MiniCpmO, StoredType::F32);
    let scorer = open(folder.path(), clean());
    let mut many = pair(Task::TI2T, 1);
    many.responses = (0..16)
        .map(|index| Response::text(format!("Answer {index} of many.")))
        .collect();
    let all = rewards(&scorer, &[many.clone()]).remove(0);
    let scored = scorer.score_pairs(&[many.clone()]).remove(0).unwrap();
    assert!(scored.rows * 4 < scored.tokens.iter().sum(), "{scored:?}");
    for (index, response) in many.responses.iter().enumerate() {
        let mut two = many.clone();
        two.responses = vec![response.clone(), Response::text("Another.")];
        assert_eq!(rewards(&scorer, &[two])[0][0], all[index]);
    }
}

#[test]
fn eight_criteria_encode_a_medium_once_and_a_restart_not_at_all() {
    let folder = checkpoint(Family::MiniCpmO, StoredType::Bf16);
    let features = tempfile::tempdir().unwrap();
    let pairs: Vec<_> = (0..8)
        .map(|seed| {
            let mut pair = pair(Task::T2I, 1);
            pair.criterion = Some(criterion(seed));
            pair
        })
        .collect();
    let on_disk = || {
        let cache = MediaCache::on_disk(64 << 20, features.path()).unwrap();
        RewardScorer::open(folder.path(), &clean(), Arc::new(cache)).unwrap()
    };
    let scorer = on_disk();
    let first = rewards(&scorer, &pairs);
    let stats = scorer.cache_stats();
    assert_eq!((stats.misses, stats.memory_hits), (2, 14));
    let restarted = on_disk();
    assert_eq!(rewards(&restarted, &pairs), first);
    let stats = restarted.cache_stats();
    assert_eq!(
        (stats.misses, stats.disk_hits, stats.memory_hits),
        (0, 2, 14)
    );
    // Another preprocessing or another tower shares nothing.
    let cache = Arc::new(MediaCache::on_disk(64 << 20, features.path()).unwrap());
    let reference = NetworkOptions::default();
    let other = RewardScorer::open(folder.path(), &reference, cache.clone()).unwrap();
    rewards(&other, &pairs[..1]);
    assert_eq!(cache.stats().misses, 2);
    let cache = Arc::new(MediaCache::on_disk(64 << 20, features.path()).unwrap());
    let stranger = tempfile::tempdir().unwrap();
    let mut random = RandomCheckpoint::new(Family::MiniCpmO, Size::Tiny);
    random.seed = 7;
    random.write(stranger.path(), &NoProgress).unwrap();
    let other = RewardScorer::open(stranger.path(), &clean(), cache.clone()).unwrap();
    rewards(&other, &pairs[..1]);
    assert_eq!(cache.stats().misses, 2);
}

#[test]
fn f32_activations_do_not_care_whether_weights_are_stored_as_bf16() {
    let folder = checkpoint(Family::MiniCpmO, StoredType::Bf16);
    let exact = open(
        folder.path(),
        NetworkOptions {
            precision: Precision::F32,
            ..clean()
        },
    );
    let pairs = nine_tasks(3);
    let exact = rewards(&exact, &pairs);
    let wide = widened(folder.path());
    assert_eq!(rewards(&open(wide.path(), clean()), &pairs), exact);
    let rounded = open(folder.path(), clean());
    for (exact, rounded) in exact.iter().zip(rewards(&rounded, &pairs)) {
        for (exact, rounded) in exact.iter().zip(rounded) {
            assert_ne!(*exact, rounded);
            assert!((exact - rounded).abs() < 0.1, "{exact} {rounded}");
        }
    }
}

#[test]
fn the_order_counts_only_where_the_original_hears_one_response() {
    let folder = checkpoint(Family::MiniCpmO, StoredType::F32);
    let clean = open(folder.path(), clean());
    let reference = open(folder.path(), NetworkOptions::default());
    assert!(!reference.has_left_unheard());
    for pair in nine_tasks(1) {
        let task = pair.task;
        let has_sound = matches!(task, Task::T2A | Task::TA2T);
        assert_eq!(reference.is_order_sensitive(task), has_sound, "{task}");
        assert!(!clean.is_order_sensitive(task), "{task}");
        for scorer in [&clean, &reference] {
            let mut back = rewards(scorer, &[swapped(&pair)]).remove(0);
            back.reverse();
            let is_equal = rewards(scorer, std::slice::from_ref(&pair))[0] == back;
            assert_eq!(is_equal, !scorer.is_order_sensitive(task), "{task}");
        }
    }
    assert!(reference.has_left_unheard() && !clean.has_left_unheard());
}

#[test]
fn models_that_share_a_cache_do_not_share_features() {
    let checkpoints = [7, 8].map(|seed| {
        let folder = tempfile::tempdir().unwrap();
        let mut random = RandomCheckpoint::new(Family::MiniCpmO, Size::Tiny);
        random.seed = seed;
        random.write(folder.path(), &NoProgress).unwrap();
        folder
    });
    let pairs = [pair(Task::T2I, 1), pair(Task::T2A, 1)];
    let cache = Arc::new(MediaCache::in_memory(64 << 20));
    for folder in &checkpoints {
        let alone = rewards(&open(folder.path(), clean()), &pairs);
        let shared = RewardScorer::open(folder.path(), &clean(), cache.clone()).unwrap();
        assert_eq!(rewards(&shared, &pairs), alone);
    }
    assert_eq!(cache.stats().misses, 8);
}

#[test]
fn files_of_one_checkpoint_have_to_agree() {
    type Change = fn(&mut Value);
    let refused = |file: &str, change: Change| {
        let folder = checkpoint(Family::MiniCpmO, StoredType::Bf16);
        edit(folder.path(), file, change);
        let cache = Arc::new(MediaCache::in_memory(0));
        RewardScorer::open(folder.path(), &clean(), cache).unwrap_err()
    };
    let preprocessor = "preprocessor_config.json";
    let cases: [(&str, Change, [&str; 2]); 4] = [
        (
            preprocessor,
            |json| json["image_feature_size"] = json!(32),
            [preprocessor, "`image_feature_size`"],
        ),
        (
            preprocessor,
            |json| json["patch_size"] = json!(16),
            [preprocessor, "`patch_size`"],
        ),
        (
            "config.json",
            |json| json["audio_pool_step"] = json!(5),
            ["config.json", "`audio_pool_step`"],
        ),
        (
            "config.json",
            |json| json["vocab_size"] = json!(300),
            ["tokenizer.json", "the model has `300` tokens"],
        ),
    ];
    for (file, change, named) in cases {
        let error = refused(file, change).to_string();
        for named in named {
            assert!(error.contains(named), "{error}");
        }
    }
}

#[test]
fn a_sound_too_short_to_be_heard_is_named() {
    let folder = checkpoint(Family::MiniCpmO, StoredType::F32);
    for samples in [0, 1, 160, 320] {
        let mut pair = pair(Task::T2A, 1);
        let clip = omnireward_media::audio::Waveform {
            sample_rate_hz: 16_000,
            channels: 1,
            samples: vec![0.1; samples],
        };
        pair.responses[1] = Response::media(MediaRef {
            modality: Modality::Audio,
            source: MediaSource::Bytes {
                bytes: clip.wav_i16().into(),
                name: Some("click.wav".to_owned()),
            },
        });
        let id = pair.id.clone();
        let error = open(folder.path(), clean())
            .score_pairs(&[pair])
            .remove(0)
            .unwrap_err();
        let said = omnireward_core::error_chain(&error);
        assert!(said.contains(&id) && said.contains("click.wav"), "{said}");
    }
}

#[test]
fn a_template_that_asks_for_the_date_is_given_one() {
    let folder = checkpoint(Family::Llama, StoredType::F32);
    let template = "{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}\
                    {{ date_string }}{% for m in messages %}{{ m.content }}{% endfor %}";
    fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    let cache = || Arc::new(MediaCache::in_memory(0));
    let plain = RewardScorer::open(folder.path(), &NetworkOptions::default(), cache());
    assert!(matches!(plain, Err(Error::Template { .. })), "{plain:?}");
    let at = |date: &str| {
        let mut options = NetworkOptions::default();
        let variables = &mut options.chat.variables;
        variables.insert("date_string".to_owned(), date.into());
        options
    };
    let pairs = [pair(Task::T2T, 1)];
    let [old, new] = ["26 Jul 2024", "27 Jul 2024"].map(|date| open(folder.path(), at(date)));
    assert_ne!(rewards(&old, &pairs), rewards(&new, &pairs));
    assert_ne!(old.identity(), new.identity());
    // A model without a template has nothing to fill in.
    let other = checkpoint(Family::MiniCpmO, StoredType::F32);
    let error = RewardScorer::open(other.path(), &at("today"), cache()).unwrap_err();
    assert!(error.to_string().contains("date_string"), "{error}");
}

#[test]
fn text_models_score_text_and_refuse_the_rest_by_name() {
    for family in [Family::Qwen2, Family::Qwen3, Family::Llama] {
        let folder = checkpoint(family, StoredType::F32);
        let scorer = open(folder.path(), NetworkOptions::default());
        assert!(scorer.supports(Task::T2T) && !scorer.supports(Task::TI2T));
        let scored = rewards(&scorer, &[pair(Task::T2T, 1), pair(Task::T2T, 2)]);
        assert_ne!(scored[0][0], scored[0][1], "{family}");
        let error = scorer.score(&[pair(Task::T2I, 1)]).unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::Unsupported);
        assert!(error.chain().contains("T2I-1"), "{}", error.chain());
    }
}

#[test]
fn too_long_is_refused_or_cut_and_never_silent() {
    for family in [Family::MiniCpmO, Family::Qwen3] {
        let folder = checkpoint(family, StoredType::F32);
        let mut long = pair(Task::T2T, 2);
        long.responses[1] = Response::text("very ".repeat(40));
        let limited = |too_long, length| {
            open(
                folder.path(),
                NetworkOptions {
                    too_long,
                    max_length: Some(length),
                    ..NetworkOptions::default()
                },
            )
        };
        let whole = limited(TooLong::Refuse, 4096)
            .score_pairs(&[long.clone()])
            .remove(0)
            .unwrap();
        let length = whole.tokens[1] - 60;
        let refused = limited(TooLong::Refuse, length)
            .score_pairs(&[long.clone()])
            .remove(0);
        let Err(Error::TooLong {
            pair,
            response: 2,
            rows,
            limit,
        }) = refused
        else {
            panic!("{refused:?}")
        };
        assert_eq!(
            (pair.as_str(), rows, limit),
            ("T2T-2", whole.tokens[1], length)
        );
        let cut = limited(TooLong::Cut, length)
            .score_pairs(&[long.clone()])
            .remove(0)
            .unwrap();
        assert_eq!((&cut.cut[..], cut.tokens[1]), (&[0, 60][..], length));
        let told = omnireward_core::Rewards::from(cut.clone()).detail;
        let expected = "response 2 was cut by 60 tokens to fit";
        assert_eq!(told.as_deref(), Some(expected));
        assert_eq!(cut.rewards[0], whole.rewards[0]);
        // What is left is the same answer with fewer words, closed as any other.
        let mut shorter = long.clone();
        shorter.responses[1] = Response::text(&"very ".repeat(40)[..140]);
        let shorter = limited(TooLong::Refuse, 4096)
            .score_pairs(&[shorter])
            .remove(0)
            .unwrap();
        assert_eq!(shorter.tokens[1], length, "one byte is one token here");
        assert_eq!(cut.rewards, shorter.rewards);
        // A prompt that is too long by itself cannot be mended by cutting the answer.
        let hopeless = limited(TooLong::Cut, 5)
            .score_pairs(&[long.clone()])
            .remove(0);
        assert!(
            matches!(hopeless, Err(Error::TooLong { .. })),
            "{hopeless:?}"
        );
    }
}

#[test]
fn one_bad_medium_fails_its_own_pair_by_name() {
    let folder = checkpoint(Family::MiniCpmO, StoredType::F32);
    let scorer = open(folder.path(), clean());
    let mut pairs = nine_tasks(1);
    pairs[1].prompt[0] = omnireward_core::MediaRef {
        modality: omnireward_core::Modality::Image,
        source: MediaSource::Bytes {
            bytes: Arc::from(&b"no picture"[..]),
            name: Some("broken.png".to_owned()),
        },
    }
    .into();
    let scored = scorer.score_pairs(&pairs);
    for (index, (pair, scored)) in pairs.iter().zip(scored).enumerate() {
        match scored {
            Ok(_) => assert_ne!(index, 1),
            Err(Error::Media {
                pair: named, name, ..
            }) => {
                assert_eq!((index, &named, name.as_str()), (1, &pair.id, "broken.png"));
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(
        scorer.score(&pairs).unwrap_err().kind,
        ModelErrorKind::Media
    );
}

#[test]
fn a_reward_that_is_no_number_names_its_pair() {
    let folder = checkpoint(Family::MiniCpmO, StoredType::F32);
    let path = folder.path().join("value_head.safetensors");
    let head: HashMap<String, Tensor> = candle_core::safetensors::load(&path, &Device::Cpu)
        .unwrap()
        .into_iter()
        .map(|(name, tensor)| {
            let broken = (tensor.zeros_like().unwrap() + f64::NAN).unwrap();
            (name, broken)
        })
        .collect();
    candle_core::safetensors::save(&head, &path).unwrap();
    let error = open(folder.path(), clean())
        .score(&[pair(Task::T2T, 5)])
        .unwrap_err();
    assert!(error.chain().contains("`T2T-5`"), "{}", error.chain());
}

#[test]
fn the_identity_names_all_that_decides_a_reward() {
    let folder = checkpoint(Family::MiniCpmO, StoredType::F32);
    let identity = open(folder.path(), clean()).identity();
    let others = [
        NetworkOptions::default(),
        NetworkOptions {
            precision: Precision::Bf16,
            ..clean()
        },
        NetworkOptions {
            max_length: Some(99),
            ..clean()
        },
        NetworkOptions {
            too_long: TooLong::Cut,
            ..clean()
        },
    ];
    for other in others {
        assert_ne!(open(folder.path(), other).identity(), identity);
    }
    let same = open(folder.path(), clean()).with_batch_rows(7);
    assert_eq!(same.identity(), identity);
    let config = folder.path().join("config.json");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + "\n").unwrap();
    assert_ne!(open(folder.path(), clean()).identity(), identity);
}
