use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use omnireward_core::NoProgress;
use serde_json::json;
use tempfile::TempDir;

use super::{prompt::embed, *};
use crate::{
    Feature, Features, Row,
    checkpoint::{Family, RandomCheckpoint, Size},
    decoder::{Continuation, Decoder, DecoderConfig, RowPositions},
    ops::{AttentionItem, AttentionLayout, Visibility},
    weights::{Placement, Weights},
};

/// A decoder with random weights that change with the seed.
struct Model {
    decoder: Decoder,
    _folder: TempDir,
}

fn model(family: Family, dtype: DType, change: impl FnOnce(&mut DecoderConfig)) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let class = format!("{family}ForCausalLM");
    RandomCheckpoint::new(family, Size::Tiny)
        .with("architectures", json!([class]))
        .write(folder.path(), &NoProgress)
        .unwrap();
    let path = folder.path().join("config.json");
    let json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let mut config = DecoderConfig::from_json(&json, &path).unwrap();
    change(&mut config);
    let weights = Weights::open(folder.path()).unwrap();
    let placement = Placement {
        device: Device::Cpu,
        dtype,
    };
    let decoder = Decoder::load(&config, &weights.scope("model", &placement))
        .unwrap()
        .with_lm_head(&weights.scope("", &placement))
        .unwrap();
    Model {
        decoder,
        _folder: folder,
    }
}

fn plain() -> Model {
    model(Family::Qwen2, DType::F32, |_| {})
}

/// Some tokens, others for each number.
fn tokens(len: usize, number: usize) -> Vec<u32> {
    (0..len)
        .map(|at| ((at * at + 7 * at * number + 31 * number) % 250) as u32)
        .collect()
}

fn request(prompt: Prompt, samples: std::ops::Range<u64>, sampling: Sampling) -> Request {
    Request {
        prompt,
        samples,
        sampling,
        stop: Stop::default(),
        constraint: None,
        watched: None,
    }
}

fn greedy(max_tokens: usize) -> Sampling {
    Sampling {
        max_tokens,
        ..Sampling::default()
    }
}

fn drawn(max_tokens: usize) -> Sampling {
    Sampling {
        temperature: 1.0,
        top_p: 0.95,
        repetition_penalty: 1.1,
        seed: 3,
        ..greedy(max_tokens)
    }
}

fn generate(model: &Model, options: GeneratorOptions, requests: Vec<Request>) -> Vec<Finished> {
    let mut generator = Generator::new(&model.decoder, options).unwrap();
    for request in requests {
        generator.add(request).unwrap();
    }
    generator.run().unwrap()
}

fn alone(model: &Model, request: Request) -> Reply {
    let mut replies = generate(model, GeneratorOptions::default(), vec![request]);
    assert_eq!(replies.len(), 1);
    replies.remove(0).reply
}

/// The scores after each row of a sequence that is one stream.
fn whole(model: &Model, prompt: &Prompt) -> Vec<Vec<f32>> {
    let rows: Vec<(Row, &Features)> = prompt
        .rows
        .iter()
        .map(|row| (*row, &prompt.features))
        .collect();
    let count = rows.len();
    let layout = AttentionLayout {
        queries: count,
        keys: count,
        items: vec![AttentionItem {
            queries: 0..count,
            keys: std::iter::once(0..count).collect(),
            visibility: Visibility::Causal,
        }],
    };
    let positions: Vec<u32> = (0..count as u32).collect();
    let reads: Vec<usize> = (0..count).collect();
    let inputs = embed(&model.decoder, &rows).unwrap();
    let hidden = model
        .decoder
        .forward(&inputs, &positions, &Arc::new(layout), &reads)
        .unwrap();
    let logits = model.decoder.logits(&hidden).unwrap();
    logits.to_dtype(DType::F32).unwrap().to_vec2().unwrap()
}

fn bits(rows: &[Vec<f32>]) -> Vec<Vec<u32>> {
    let row = |row: &Vec<f32>| row.iter().map(|number| number.to_bits()).collect();
    rows.iter().map(row).collect()
}

fn first_of_the_highest(scores: &[f32]) -> u32 {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter().position(|score| *score >= most).unwrap() as u32
}

/// Three rows of a prompt are put where there is room, then two, then what is left.
#[test]
fn rows_that_go_on_are_those_of_the_whole_sequence_bit_for_bit() {
    let cases = [
        (Family::Qwen2, DType::F32),
        (Family::Qwen3, DType::BF16),
        (Family::Llama, DType::F32),
    ];
    for (family, dtype) in cases {
        let model = model(family, dtype, |_| {});
        let prompt = Prompt::of_tokens(&tokens(140, 1));
        let expected = whole(&model, &prompt);
        let mut kept = model.decoder.key_values(10).unwrap();
        let mut found = Vec::new();
        let mut path: Vec<std::ops::Range<usize>> = Vec::new();
        for (from, at) in [(0..3, 5), (3..5, 0), (5..105, 20), (105..140, 120)] {
            kept.grow(at + from.len()).unwrap();
            let places = at..at + from.len();
            path.push(places.clone());
            let rows: Vec<u32> = prompt.rows[from.clone()]
                .iter()
                .map(|row| row.token)
                .collect();
            let positions: Vec<u32> = (from.start as u32..from.end as u32).collect();
            let reads: Vec<usize> = (0..from.len()).collect();
            let layout = AttentionLayout {
                queries: from.len(),
                keys: kept.places(),
                items: vec![AttentionItem {
                    queries: 0..from.len(),
                    keys: path.clone(),
                    visibility: Visibility::Causal,
                }],
            };
            let hidden = model.decoder.advance(
                &model.decoder.embed(&rows).unwrap(),
                &Continuation {
                    positions: RowPositions::Plain(&positions),
                    layout: Arc::new(layout),
                    places: &[places],
                    reads: &reads,
                },
                &kept,
            );
            let logits = model.decoder.logits(&hidden.unwrap()).unwrap();
            found.extend(logits.to_dtype(DType::F32).unwrap().to_vec2().unwrap());
        }
        assert!(bits(&found) == bits(&expected), "{family} in {dtype:?}");
    }
}

#[test]
fn greedy_replies_are_the_likeliest_tokens_one_after_another() {
    let model = plain();
    let prompt = Prompt::of_tokens(&tokens(45, 2));
    let reply = alone(&model, request(prompt.clone(), 0..1, greedy(40)));
    assert_eq!((reply.tokens.len(), reply.end), (40, End::Length));
    let mut all = prompt.clone();
    all.go_on(&reply.tokens);
    let scores = whole(&model, &all);
    let likeliest: Vec<u32> = scores[44..84]
        .iter()
        .map(|row| first_of_the_highest(row))
        .collect();
    assert_eq!(reply.tokens, likeliest);
    for (index, (token, found)) in reply
        .tokens
        .iter()
        .zip(&reply.log_probabilities)
        .enumerate()
    {
        let row = &scores[44 + index];
        let sum: f64 = row.iter().map(|score| f64::from(*score).exp()).sum();
        let expected = f64::from(row[*token as usize]) - sum.ln();
        assert!((found - expected).abs() < 1e-9, "token {index}");
    }
}

/// Prompts that share beginnings, in pages, in pieces and in a budget that holds few replies at a time.
#[test]
fn a_reply_is_the_same_whatever_is_written_beside_it() {
    for dtype in [DType::F32, DType::BF16] {
        let model = model(Family::Qwen2, dtype, |_| {});
        let trunk = tokens(90, 3);
        let with = |len: usize, more: &[u32]| Prompt::of_tokens(&[&trunk[..len], more].concat());
        let requests = vec![
            request(with(90, &[]), 0..6, drawn(33)),
            request(with(70, &[1, 2, 3]), 2..3, greedy(12)),
            request(with(90, &[]), 4..8, drawn(20)),
            request(with(90, &[9; 40]), 0..2, drawn(64)),
            request(Prompt::of_tokens(&tokens(5, 4)), 0..3, drawn(7)),
            request(with(33, &[]), 0..1, drawn(1)),
        ];
        let mut expected = Vec::new();
        for one in &requests {
            for sample in one.samples.clone() {
                let one = Request {
                    samples: sample..sample + 1,
                    ..one.clone()
                };
                expected.push(alone(&model, one));
            }
        }
        for (rows, batch_rows) in [(1 << 12, 4096), (1 << 12, 7), (256, 64), (320, 1)] {
            let options = GeneratorOptions { rows, batch_rows };
            let found: Vec<Reply> = generate(&model, options, requests.clone())
                .into_iter()
                .map(|finished| finished.reply)
                .collect();
            assert_eq!(found, expected, "{options:?} in {dtype:?}");
        }
    }
}

#[test]
fn requests_come_and_go_while_others_are_written() {
    let model = plain();
    let prompt = |number| Prompt::of_tokens(&tokens(40, number));
    let mut generator = Generator::new(&model.decoder, GeneratorOptions::default()).unwrap();
    let first = generator.add(request(prompt(1), 0..2, drawn(30))).unwrap();
    let gone = generator.add(request(prompt(1), 0..4, drawn(30))).unwrap();
    let mut finished = Vec::new();
    for _ in 0..5 {
        finished.extend(generator.step().unwrap());
    }
    generator.cancel(gone);
    let late = generator.add(request(prompt(1), 1..2, drawn(10))).unwrap();
    let never = generator.add(request(prompt(2), 0..1, drawn(10))).unwrap();
    generator.cancel(never);
    assert!(!generator.is_idle());
    finished.extend(generator.run().unwrap());
    let mut answered: Vec<_> = finished
        .iter()
        .map(|one| (one.request, one.sample))
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, [(first, 0), (first, 1), (late, 1)]);
    let of = |request, sample| {
        let found = finished
            .iter()
            .find(|one| (one.request, one.sample) == (request, sample));
        found.unwrap().reply.tokens.clone()
    };
    assert_eq!(
        of(first, 1)[..10],
        of(late, 1),
        "the same draws, later and shorter"
    );
    assert!(generator.is_idle() && generator.run().unwrap().is_empty());
}

#[test]
fn features_stand_in_the_places_of_media() {
    let model = plain();
    let hidden = model.decoder.config().hidden;
    let numbers: Vec<f32> = (0..9 * hidden).map(|at| (at as f32 * 0.37).sin()).collect();
    let seen = |starts: Vec<usize>| {
        let feature = |medium, row| Row {
            token: 200,
            feature: Some(Feature { medium, row }),
        };
        let mut rows: Vec<Row> = tokens(20, 5).into_iter().map(Row::token).collect();
        rows.extend((0..5).map(|row| feature(1, row)));
        rows.extend((0..4).map(|row| feature(0, row)));
        rows.extend(tokens(10, 6).into_iter().map(Row::token));
        Prompt {
            rows,
            features: Features {
                rows: Some(Tensor::from_vec(numbers.clone(), (9, hidden), &Device::Cpu).unwrap()),
                starts,
            },
            ..Prompt::default()
        }
    };
    let prompts = [seen(vec![0, 4]), seen(vec![5, 0])];
    let mut expected = Vec::new();
    for prompt in &prompts {
        let reply = alone(&model, request(prompt.clone(), 0..1, greedy(8)));
        let mut all = prompt.clone();
        all.go_on(&reply.tokens);
        let scores = whole(&model, &all);
        let first = prompt.rows.len() - 1;
        let likeliest: Vec<u32> = scores[first..first + 8]
            .iter()
            .map(|row| first_of_the_highest(row))
            .collect();
        assert_eq!(reply.tokens, likeliest);
        expected.extend([reply.clone(), reply]);
    }
    let options = GeneratorOptions {
        batch_rows: 7,
        ..GeneratorOptions::default()
    };
    let both = prompts.map(|prompt| request(prompt, 0..1, greedy(8)));
    let twice = both
        .into_iter()
        .flat_map(|one| [one.clone(), one])
        .collect();
    let found = generate(&model, options, twice);
    let found: Vec<Reply> = found.into_iter().map(|finished| finished.reply).collect();
    assert_eq!(found, expected);
}

#[test]
fn three_equal_positions_are_one() {
    let model = model(Family::Qwen2, DType::F32, |config| {
        config.rope.sections = Some([2, 3, 3]);
    });
    let plain = Prompt::of_tokens(&tokens(30, 7));
    let moved = |by: u32| Prompt {
        positions: Positions::Multimodal((0..30).map(|at| [at + by * (at % 2); 3]).collect(), 30),
        ..plain.clone()
    };
    let reply = |prompt: &Prompt| alone(&model, request(prompt.clone(), 0..1, greedy(10)));
    assert_eq!(reply(&moved(0)), reply(&plain));
    assert_ne!(
        reply(&moved(9)).log_probabilities,
        reply(&plain).log_probabilities
    );
}

#[test]
fn a_choice_has_the_models_probabilities() {
    let model = plain();
    let prompt = Prompt::of_tokens(&tokens(30, 8));
    let constraint = Constraint {
        lead: vec![11, 12],
        choices: vec![vec![65, 20], vec![66], vec![67, 20, 21]],
        unless: Vec::new(),
    };
    let reply = alone(
        &model,
        Request {
            constraint: Some(constraint.clone()),
            ..request(prompt.clone(), 0..1, greedy(0))
        },
    );
    let choice = reply.choice.clone().expect("there is one");
    let mut all = prompt.clone();
    all.go_on(&constraint.lead);
    let scores = whole(&model, &all).remove(31);
    let weights = [65, 66, 67].map(|token| f64::from(scores[token]).exp());
    let sum: f64 = weights.iter().sum();
    for (found, weight) in choice.probabilities.iter().zip(weights) {
        assert!((found - weight / sum).abs() < 1e-9, "{choice:?}");
    }
    let expected = [&constraint.lead[..], &constraint.choices[choice.index]].concat();
    assert_eq!((reply.tokens, reply.end), (expected, End::Choice));
}

#[test]
fn what_cannot_be_written_is_refused_with_its_reason() {
    let model = model(Family::Qwen2, DType::F32, |config| {
        config.max_positions = 64;
    });
    let options = GeneratorOptions {
        rows: 128,
        ..GeneratorOptions::default()
    };
    let mut generator = Generator::new(&model.decoder, options).unwrap();
    let mut said = |request: Request| generator.add(request).unwrap_err().to_string();
    let of =
        |len, max_tokens| request(Prompt::of_tokens(&tokens(len, 1)), 0..1, greedy(max_tokens));
    assert!(said(of(0, 5)).contains("the prompt is empty"));
    assert!(said(of(64, 5)).contains("`64` positions"));
    assert!(said(of(5, 0)).contains("no room for a reply of `0` tokens"));
    let mut hot = of(5, 5);
    hot.sampling.temperature = f64::INFINITY;
    assert!(said(hot).contains("`temperature` is `inf`"));
    let mut wordless = of(5, 5);
    wordless.stop.strings.push("]]".to_owned());
    assert!(said(wordless).contains("words are not known"));
    let mut foreign = of(5, 5);
    foreign.prompt.rows[2] = Row::token(99_999);
    assert!(said(foreign).contains("token `99999`"));
    let mut turned = of(5, 5);
    turned.prompt.positions = Positions::Multimodal(vec![[0; 3]; 5], 1);
    assert!(said(turned).contains("time, height and width"));

    // A reply that never ends is cut where the model's positions end.
    generator.add(of(60, 1000)).unwrap();
    let reply = generator.run().unwrap().remove(0).reply;
    assert_eq!((reply.tokens.len(), reply.end), (4, End::Length));
    let options = GeneratorOptions {
        rows: 64,
        ..options
    };
    let mut small = Generator::new(&model.decoder, options).unwrap();
    let error = small.add(of(50, 14)).unwrap_err().to_string();
    assert!(error.contains("the budget is `64`"), "{error}");
    small.add(of(32, 31)).unwrap();
    assert_eq!(small.run().unwrap().len(), 1);
}

mod pages {
    use super::{
        super::cache::{Cache, PAGE},
        *,
    };

    fn cache(model: &Model, pages: usize) -> Cache {
        Cache::new(&model.decoder, pages * PAGE).unwrap()
    }

    /// How many rows a prompt shares, when it is opened beside a tail of one page; `None` when there is no room.
    fn opened(cache: &mut Cache, tokens: &[u32]) -> Option<usize> {
        let keys = Prompt::of_tokens(tokens).keys().unwrap();
        let opened = cache.open(&keys, 1).unwrap()?;
        let path = cache.path(opened.trunk, tokens.len());
        let rows: usize = path.iter().map(ExactSizeIterator::len).sum();
        assert_eq!(rows, tokens.len());
        let own = cache.places(opened.trunk, opened.shared..tokens.len());
        let own: usize = own.iter().map(ExactSizeIterator::len).sum();
        assert_eq!(own, tokens.len() - opened.shared);
        cache.retire(opened.tail);
        cache.close(opened.trunk);
        Some(opened.shared)
    }

    #[test]
    fn prompts_go_on_from_the_longest_beginning_that_is_there() {
        let model = plain();
        let mut cache = cache(&model, 64);
        let first = tokens(100, 1);
        let with = |len: usize, more: &[u32]| [&first[..len], more].concat();
        assert_eq!(opened(&mut cache, &first), Some(0));
        assert_eq!(opened(&mut cache, &with(50, &[7, 8, 9])), Some(50));
        assert_eq!(opened(&mut cache, &with(50, &[7, 8, 1])), Some(52));
        assert_eq!(opened(&mut cache, &with(60, &[7, 8, 9])), Some(60));
        assert_eq!(
            opened(&mut cache, &first),
            Some(99),
            "the last row is read again"
        );
        assert_eq!(opened(&mut cache, &with(20, &[])), Some(19));
        assert_eq!(opened(&mut cache, &tokens(100, 2)), Some(0));
        cache.forget();
        assert_eq!(opened(&mut cache, &first), Some(0));
    }

    #[test]
    fn what_nobody_uses_makes_room() {
        let model = plain();
        let mut cache = cache(&model, 6);
        let [first, second] = [tokens(3 * PAGE, 1), tokens(4 * PAGE, 2)];
        assert_eq!(opened(&mut cache, &first), Some(0));
        assert_eq!(opened(&mut cache, &second), Some(0));
        assert_eq!(opened(&mut cache, &first), Some(0), "it had gone");
        let keys = Prompt::of_tokens(&first).keys().unwrap();
        let held = cache.open(&keys, 1).unwrap().expect("it shares");
        assert_eq!(held.shared, 3 * PAGE - 1);
        assert_eq!(opened(&mut cache, &second), None, "the first is in use");
        let more = cache.promise(held.trunk, 1).expect("one page is left");
        assert!(cache.promise(held.trunk, 1).is_none());
        cache.retire(more);
        cache.retire(held.tail);
        cache.close(held.trunk);
        assert_eq!(opened(&mut cache, &second), Some(0));
    }
}
