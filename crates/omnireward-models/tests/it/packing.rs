//! The laws of token trees: merging loses nothing, and what stands in a packed stream is what stands alone.

use std::{collections::HashMap, path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor, Var};
use omnireward_models::{
    Feature, Forest, Row, TokenTree,
    decoder::{Decoder, DecoderConfig},
    ops::{AttentionItem, AttentionLayout},
    weights::{Placement, Weights},
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const VOCABULARY: usize = 48;
const FAMILIES: [&str; 3] = ["qwen2", "qwen3", "llama"];

/// A small decoder of random weights, kept in a file as `bf16`, as checkpoints are.
struct Model {
    config: DecoderConfig,
    tensors: HashMap<String, Tensor>,
    file: tempfile::TempDir,
}

impl Model {
    fn random(family: &str) -> Self {
        let config = DecoderConfig::from_json(&published(family), Path::new("config.json"))
            .expect("the configuration is complete");
        let tensors = random_tensors(&config, 11);
        let file = tempfile::tempdir().expect("a folder");
        candle_core::safetensors::save(&tensors, file.path().join("model.safetensors"))
            .expect("the weights are written");
        Self {
            config,
            tensors,
            file,
        }
    }

    fn mapped(&self, dtype: DType) -> Decoder {
        self.decoder(
            &Weights::open(self.file.path()).expect("the weights open"),
            dtype,
        )
    }

    /// The decoder after a change to one of its tensors.
    fn changed(&self, name: &str, change: impl Fn(&mut Vec<f32>)) -> Decoder {
        let tensor = &self.tensors[name];
        let mut values = values(tensor);
        change(&mut values);
        let mut tensors = self.tensors.clone();
        let changed = Tensor::from_vec(values, tensor.dims(), &Device::Cpu).expect("same size");
        tensors.insert(name.to_owned(), changed);
        self.decoder(&Weights::in_memory(tensors), DType::F32)
    }

    fn decoder(&self, weights: &Weights, dtype: DType) -> Decoder {
        let placement = Placement {
            device: Device::Cpu,
            dtype,
        };
        Decoder::load(&self.config, &weights.scope("model", &placement)).expect("it loads")
    }
}

fn published(family: &str) -> Value {
    json!({
        "model_type": family,
        "hidden_size": 72,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": if family == "qwen3" { 16 } else { 12 },
        "intermediate_size": 150,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "rope_scaling": (family == "llama").then(|| json!({
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        })),
        "hidden_act": "silu",
        "tie_word_embeddings": false,
    })
}

/// Weights at which every part of the decoder matters to its result.
fn random_tensors(config: &DecoderConfig, seed: u64) -> HashMap<String, Tensor> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut tensors = HashMap::new();
    let mut add = |name: String, shape: &[usize], mean: f32, spread: f32| {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|_| mean + spread * rng.random_range(-1.7..1.7_f32))
            .collect();
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(DType::BF16))
            .expect("a tensor");
        tensors.insert(format!("model.{name}"), tensor);
    };
    let (hidden, head_dim) = (config.hidden, config.head_dim);
    let (queries, keys) = (config.heads * head_dim, config.kv_heads * head_dim);
    add(
        "embed_tokens.weight".to_owned(),
        &[config.vocabulary, hidden],
        0.0,
        1.0,
    );
    add("norm.weight".to_owned(), &[hidden], 1.0, 0.2);
    for layer in 0..config.layers {
        let projections = [
            ("self_attn.q_proj", queries, hidden, config.biases.qkv),
            ("self_attn.k_proj", keys, hidden, config.biases.qkv),
            ("self_attn.v_proj", keys, hidden, config.biases.qkv),
            ("self_attn.o_proj", hidden, queries, config.biases.output),
            ("mlp.gate_proj", config.intermediate, hidden, false),
            ("mlp.up_proj", config.intermediate, hidden, false),
            ("mlp.down_proj", hidden, config.intermediate, false),
        ];
        for (name, out, inner, biased) in projections {
            let spread = (inner as f32).sqrt().recip();
            add(
                format!("layers.{layer}.{name}.weight"),
                &[out, inner],
                0.0,
                spread,
            );
            if biased {
                add(format!("layers.{layer}.{name}.bias"), &[out], 0.0, 0.5);
            }
        }
        let norms = [
            ("input_layernorm", hidden, true),
            ("post_attention_layernorm", hidden, true),
            ("self_attn.q_norm", head_dim, config.qk_norm),
            ("self_attn.k_norm", head_dim, config.qk_norm),
        ];
        for (name, width, _) in norms.into_iter().filter(|(_, _, exists)| *exists) {
            add(format!("layers.{layer}.{name}.weight"), &[width], 1.0, 0.2);
        }
    }
    tensors
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor
        .to_dtype(DType::F32)
        .and_then(|tensor| tensor.flatten_all()?.to_vec1())
        .expect("a tensor of numbers")
}

fn tokens(sequence: &[u32]) -> Vec<Row> {
    sequence.iter().copied().map(Row::token).collect()
}

fn tree(sequences: &[Vec<u32>]) -> TokenTree {
    let sequences: Vec<Vec<Row>> = sequences.iter().map(|each| tokens(each)).collect();
    TokenTree::new(&sequences)
}

/// The hidden states that are read of each tree's sequences, as `f32`.
fn run(decoder: &Decoder, trees: &[TokenTree]) -> Vec<Vec<Vec<f32>>> {
    let packed: Vec<(&TokenTree, usize)> = trees.iter().map(|tree| (tree, 0)).collect();
    let forest = Forest::new(&packed);
    let hidden = forward(
        decoder,
        &forest,
        &forest.positions,
        &forest.layout,
        &forest.reads.concat(),
    );
    let mut rows = hidden.into_iter();
    forest
        .reads
        .iter()
        .map(|reads| rows.by_ref().take(reads.len()).collect())
        .collect()
}

fn forward(
    decoder: &Decoder,
    forest: &Forest,
    positions: &[u32],
    layout: &Arc<AttentionLayout>,
    reads: &[usize],
) -> Vec<Vec<f32>> {
    let tokens: Vec<u32> = forest.rows.iter().map(|row| row.token).collect();
    let inputs = decoder.embed(&tokens).expect("tokens of the vocabulary");
    let hidden = decoder
        .forward(&inputs, positions, layout, reads)
        .expect("the decoder runs");
    assert_eq!(hidden.dims(), [reads.len(), decoder.config().hidden]);
    values(&hidden)
        .chunks(decoder.config().hidden)
        .map(<[f32]>::to_vec)
        .collect()
}

fn alone(decoder: &Decoder, sequence: &[u32]) -> Vec<f32> {
    run(decoder, &[tree(&[sequence.to_vec()])])
        .remove(0)
        .remove(0)
}

fn in_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("threads start")
        .install(work)
}

/// Where two rows first differ in a bit, and how.
fn difference(left: &[f32], right: &[f32]) -> Option<(usize, f32, f32)> {
    assert_eq!(left.len(), right.len());
    left.iter()
        .zip(right)
        .position(|(left, right)| left.to_bits() != right.to_bits())
        .map(|index| (index, left[index], right[index]))
}

fn largest_difference(left: &[f32], right: &[f32]) -> f32 {
    left.iter()
        .zip(right)
        .map(|(left, right)| (left - right).abs())
        .fold(0.0, f32::max)
}

/// Sequences with common beginnings: each is a cut of an earlier one, then something of its own.
fn family_of_sequences(longest: usize) -> impl Strategy<Value = Vec<Vec<u32>>> {
    let piece = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        prop::collection::vec(0..VOCABULARY as u32, 0..longest),
    );
    (
        prop::collection::vec(0..VOCABULARY as u32, 1..longest),
        prop::collection::vec(piece, 0..5),
    )
        .prop_map(|(first, pieces)| {
            let mut sequences = vec![first];
            for (from, cut, own) in pieces {
                let source = from.get(&sequences);
                let mut sequence = source[..=cut.index(source.len())].to_vec();
                sequence.extend(own);
                sequences.push(sequence);
            }
            sequences
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_packed_sequence_is_the_sequence_alone(
        trees in prop::collection::vec(family_of_sequences(40), 1..4),
        family in 0..FAMILIES.len(),
        wide in any::<bool>(),
        threads in 1..3_usize,
    ) {
        let dtype = if wide { DType::F32 } else { DType::BF16 };
        let decoder = Model::random(FAMILIES[family]).mapped(dtype);
        let packed: Vec<TokenTree> = trees.iter().map(|sequences| tree(sequences)).collect();
        let together = in_threads(threads, || run(&decoder, &packed));
        let reversed: Vec<TokenTree> = packed.iter().rev().cloned().collect();
        let backwards = in_threads(3 - threads, || run(&decoder, &reversed));
        for (index, sequences) in trees.iter().enumerate() {
            for (place, sequence) in sequences.iter().enumerate() {
                let alone = alone(&decoder, sequence);
                let turned = &backwards[trees.len() - 1 - index][place];
                prop_assert_eq!(difference(&together[index][place], &alone), None);
                prop_assert_eq!(difference(turned, &alone), None);
            }
        }
    }
}

#[test]
fn many_branches_on_a_long_trunk_are_each_alone() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut random = |len: usize| -> Vec<u32> {
        (0..len)
            .map(|_| rng.random_range(0..VOCABULARY as u32))
            .collect()
    };
    let trunk = random(331);
    let branches: Vec<Vec<u32>> = (0..17)
        .map(|index| [trunk.clone(), random(1 + 5 * index)].concat())
        .collect();
    for family in FAMILIES {
        let model = Model::random(family);
        for dtype in [DType::F32, DType::BF16] {
            let decoder = model.mapped(dtype);
            let together = run(&decoder, &[tree(&branches)]).remove(0);
            for (branch, packed) in branches.iter().zip(&together) {
                assert_eq!(
                    difference(packed, &alone(&decoder, branch)),
                    None,
                    "{family} {dtype:?}, {} rows",
                    branch.len()
                );
            }
        }
    }
}

#[test]
fn every_row_that_is_read_is_the_end_of_its_beginning() {
    let sequence: Vec<u32> = (0..41).map(|at| (at * 7 + 3) % VOCABULARY as u32).collect();
    let decoder = Model::random("qwen2").mapped(DType::F32);
    let forest = Forest::new(&[(&tree(std::slice::from_ref(&sequence)), 0)]);
    let reads: Vec<usize> = (0..sequence.len()).rev().chain([7, 7]).collect();
    let hidden = forward(&decoder, &forest, &forest.positions, &forest.layout, &reads);
    for (read, hidden) in reads.iter().zip(&hidden) {
        let alone = alone(&decoder, &sequence[..=*read]);
        assert_eq!(difference(hidden, &alone), None, "row {read}");
    }
}

#[test]
fn a_file_and_memory_give_the_same() {
    let model = Model::random("qwen3");
    let sequences = [vec![1, 2, 3, 4, 5, 6], vec![1, 2, 3, 9]];
    for dtype in [DType::F32, DType::BF16] {
        let in_memory = model.decoder(&Weights::in_memory(model.tensors.clone()), dtype);
        assert_eq!(
            run(&model.mapped(dtype), &[tree(&sequences)]),
            run(&in_memory, &[tree(&sequences)])
        );
    }
}

#[test]
fn f32_and_bf16_agree_to_the_bits_of_bf16() {
    let sequence: Vec<u32> = (0..60).map(|at| at * 5 % VOCABULARY as u32).collect();
    for family in FAMILIES {
        let model = Model::random(family);
        let [exact, rounded] =
            [DType::F32, DType::BF16].map(|dtype| alone(&model.mapped(dtype), &sequence));
        let apart = largest_difference(&exact, &rounded);
        // Normed values are about 1; three layers round about twenty times at 2⁻⁹ each.
        assert!(apart > 1e-4 && apart < 0.15, "{family}: {apart}");
    }
}

/// The checks above compare the decoder with itself. These show that its result does hang on each of its parts.
#[test]
fn a_mistake_changes_the_result() {
    let sequences = [
        [vec![4; 3], vec![8, 15, 16, 23, 42]].concat(),
        [vec![4; 3], vec![31, 1, 4]].concat(),
    ];
    for family in FAMILIES {
        let model = Model::random(family);
        let right = run(&model.mapped(DType::F32), &[tree(&sequences)]).concat();
        let differs = |decoder: &Decoder, mistake: &str| {
            let wrong = run(decoder, &[tree(&sequences)]).concat();
            let apart = largest_difference(&right.concat(), &wrong.concat());
            assert!(apart > 1e-3, "{family}, {mistake}: {apart}");
        };
        for name in model.tensors.keys() {
            let decoder = model.changed(name, |values| {
                let step = values.len() / 4;
                // An element of each quarter, since no token looks up every row of the embeddings.
                (0..4).for_each(|quarter| {
                    for value in values[quarter * step..].iter_mut().take(step / 2 + 1) {
                        *value += 0.05;
                    }
                });
            });
            differs(&decoder, name);
        }
        let (heads, hidden) = (model.config.head_dim, model.config.hidden);
        for projection in ["q_proj", "k_proj", "v_proj"] {
            let name = format!("model.layers.1.self_attn.{projection}.weight");
            let decoder = model.changed(&name, |values| {
                let (first, second) = values.split_at_mut(heads * hidden);
                first.swap_with_slice(&mut second[..heads * hidden]);
            });
            differs(&decoder, &format!("{projection} with two heads exchanged"));
            let decoder = model.changed(&name, |values| {
                let half = heads / 2 * hidden;
                let (first, second) = values.split_at_mut(half);
                first.swap_with_slice(&mut second[..half]);
            });
            differs(&decoder, &format!("{projection} with half-heads exchanged"));
        }
    }
}

#[test]
fn a_shifted_position_and_a_seen_sibling_change_the_result() {
    let sequences = [vec![3, 1, 4, 1, 5, 9, 2, 6], vec![3, 1, 4, 2, 7, 1, 8]];
    for family in FAMILIES {
        let decoder = Model::random(family).mapped(DType::F32);
        let forest = Forest::new(&[(&tree(&sequences), 0)]);
        let reads = forest.reads.concat();
        let run = |positions: &[u32], layout: &AttentionLayout| {
            forward(
                &decoder,
                &forest,
                positions,
                &Arc::new(layout.clone()),
                &reads,
            )
            .concat()
        };
        let right = run(&forest.positions, &forest.layout);

        let in_stream: Vec<u32> = (0..forest.rows.len() as u32).collect();
        let apart = largest_difference(&right, &run(&in_stream, &forest.layout));
        assert!(apart > 1e-3, "{family}, positions of the stream: {apart}");

        let mut late = forest.positions.clone();
        late[reads[0]] += 1;
        let apart = largest_difference(&right, &run(&late, &forest.layout));
        assert!(apart > 1e-3, "{family}, one position late: {apart}");

        let rows = forest.rows.len();
        let mut one_sequence = (*forest.layout).clone();
        let all = 0..rows;
        one_sequence.items = vec![AttentionItem {
            queries: all.clone(),
            keys: vec![all],
            visibility: forest.layout.items[0].visibility,
        }];
        let apart = largest_difference(&right, &run(&forest.positions, &one_sequence));
        assert!(apart > 1e-3, "{family}, a sibling seen: {apart}");
    }
}

#[test]
fn every_parameter_of_a_packed_tree_gets_a_gradient() {
    let sequences = [
        vec![3, 1, 4, 1, 5, 9, 2, 6],
        vec![3, 1, 4, 2, 7, 1, 8],
        vec![3, 1],
    ];
    for family in FAMILIES {
        let model = Model::random(family);
        let vars: HashMap<String, Var> = model
            .tensors
            .iter()
            .map(|(name, tensor)| {
                let wide = tensor.to_dtype(DType::F32).expect("a tensor");
                (name.clone(), Var::from_tensor(&wide).expect("a variable"))
            })
            .collect();
        let tensors = vars
            .iter()
            .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
            .collect();
        let decoder = model.decoder(&Weights::in_memory(tensors), DType::F32);
        let gradients = |sequences: &[Vec<u32>]| {
            let forest = Forest::new(&[(&tree(sequences), 0)]);
            let tokens: Vec<u32> = forest.rows.iter().map(|row| row.token).collect();
            let inputs = decoder.embed(&tokens).expect("known tokens");
            let reads = forest.reads.concat();
            decoder
                .forward(&inputs, &forest.positions, &forest.layout, &reads)
                .and_then(|hidden| Ok(hidden.powf(3.0)?.sum_all()?.backward()?))
                .expect("it runs backwards")
        };
        let together = gradients(&sequences);
        let alone: Vec<_> = sequences
            .iter()
            .map(|sequence| gradients(std::slice::from_ref(sequence)))
            .collect();
        for (name, var) in &vars {
            let packed = values(together.get(var).expect(name));
            assert!(packed.iter().any(|value| *value != 0.0), "{family} {name}");
            let mut sum = vec![0.0_f32; packed.len()];
            for gradients in &alone {
                let part = values(gradients.get(var).expect(name));
                sum.iter_mut()
                    .zip(part)
                    .for_each(|(sum, part)| *sum += part);
            }
            let size = sum
                .iter()
                .fold(0.0_f32, |size, value| size.max(value.abs()));
            let apart = largest_difference(&packed, &sum);
            assert!(apart <= 1e-4 * size, "{family} {name}: {apart} of {size}");
        }
    }
}

#[test]
fn what_cannot_run_is_refused() {
    let decoder = Model::random("qwen2").mapped(DType::F32);
    assert!(decoder.embed(&[VOCABULARY as u32]).is_err());
    let forest = Forest::new(&[(&tree(&[vec![1, 2, 3]]), 0)]);
    let inputs = decoder.embed(&[1, 2, 3]).expect("known tokens");
    let refused = |positions: &[u32], reads: &[usize]| {
        decoder
            .forward(&inputs, positions, &forest.layout, reads)
            .expect_err("it is wrong")
    };
    refused(&[0, 1], &[2]);
    refused(&[0, 1, 2], &[3]);
    refused(&[0, 1, 2], &[]);
    assert!(decoder.logits(&inputs).is_err());
}

fn row() -> impl Strategy<Value = Row> {
    prop_oneof![
        4 => (0..3_u32).prop_map(Row::token),
        1 => (0..2_usize, 0..2_usize).prop_map(|(medium, row)| Row {
            token: 0,
            feature: Some(Feature { medium, row }),
        }),
    ]
}

fn rows() -> impl Strategy<Value = Vec<Vec<Row>>> {
    prop::collection::vec(prop::collection::vec(row(), 1..12), 1..9)
}

/// The stream's rows that the row `read` sees.
fn seen(forest: &Forest, read: usize) -> Vec<usize> {
    let item = forest
        .layout
        .items
        .iter()
        .find(|item| item.queries.contains(&read))
        .expect("every row is in an item");
    item.keys
        .iter()
        .cloned()
        .flatten()
        .take(item.visible(read - item.queries.start))
        .collect()
}

proptest! {
    #[test]
    fn a_tree_holds_every_beginning_once(sequences in rows()) {
        let tree = TokenTree::new(&sequences);
        let beginnings: std::collections::HashSet<&[Row]> = sequences
            .iter()
            .flat_map(|sequence| (1..=sequence.len()).map(|len| &sequence[..len]))
            .collect();
        prop_assert_eq!(tree.rows(), beginnings.len());
        prop_assert_eq!(tree.depth(), sequences.iter().map(Vec::len).max().unwrap_or(0));
        for (index, segment) in tree.segments().iter().enumerate() {
            prop_assert!(!segment.rows.is_empty());
            match segment.parent {
                None => prop_assert_eq!(segment.depth, 0),
                Some(parent) => {
                    prop_assert!(parent < index);
                    let parent = &tree.segments()[parent];
                    prop_assert_eq!(segment.depth, parent.depth + parent.rows.len());
                }
            }
            for other in &tree.segments()[..index] {
                prop_assert!(other.parent != segment.parent || other.rows[0] != segment.rows[0]);
            }
        }
    }

    #[test]
    fn a_read_sees_its_own_sequence(first in rows(), second in rows()) {
        let trees = [TokenTree::new(&first), TokenTree::new(&second)];
        let offset = 5;
        let forest = Forest::new(&[(&trees[0], 0), (&trees[1], offset)]);
        prop_assert_eq!(forest.rows.len(), trees[0].rows() + trees[1].rows());
        prop_assert_eq!(forest.positions.len(), forest.rows.len());
        for (tree, sequences) in [&first, &second].into_iter().enumerate() {
            prop_assert_eq!(forest.reads[tree].len(), sequences.len());
            for (sequence, read) in sequences.iter().zip(&forest.reads[tree]) {
                let seen = seen(&forest, *read);
                let rows: Vec<Row> = seen
                    .iter()
                    .map(|row| forest.rows[*row])
                    .map(|row| Row {
                        feature: row.feature.map(|feature| Feature {
                            medium: feature.medium - tree * offset,
                            ..feature
                        }),
                        ..row
                    })
                    .collect();
                prop_assert_eq!(&rows, sequence);
                let positions: Vec<u32> = seen.iter().map(|row| forest.positions[*row]).collect();
                prop_assert_eq!(positions, (0..sequence.len() as u32).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn every_row_is_a_query_once(sequences in rows()) {
        let tree = TokenTree::new(&sequences);
        let forest = Forest::new(&[(&tree, 0), (&tree, 0)]);
        let mut queries: Vec<usize> = forest
            .layout
            .items
            .iter()
            .flat_map(|item| item.queries.clone())
            .collect();
        queries.sort_unstable();
        prop_assert_eq!(queries, (0..forest.rows.len()).collect::<Vec<_>>());
        for row in 0..forest.rows.len() {
            prop_assert_eq!(seen(&forest, row).last().copied(), Some(row));
        }
    }
}
