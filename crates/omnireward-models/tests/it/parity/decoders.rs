//! Text reward models of three families, against transformers.

use std::{path::PathBuf, sync::Arc};

use candle_core::{DType, Tensor};
use omnireward_models::{
    Forest, Head, Row, TokenTree,
    decoder::{Decoder, DecoderConfig},
    ops::{AttentionItem, AttentionLayout, Visibility},
    weights::Weights,
};
use serde_json::Value;

use super::{
    inputs::Named,
    reference::{Distance, EXACT, Expected, bump, checkpoint_tensors, folder, on_cpu},
};

const FAMILIES: [&str; 3] = ["qwen2", "qwen3", "llama"];
/// The sequence of which all rows are compared.
const HIDDEN_OF: usize = 2;

#[test]
fn rewards_and_hidden_states_equal_those_of_transformers() {
    for family in FAMILIES {
        let (rewards, hidden) = Setup::of(family).errors();
        println!("{family} f32: rewards off by {rewards:.1e}, hidden states by {hidden:.1e}");
        assert!(rewards <= EXACT, "{family}: rewards off by {rewards}");
        assert!(hidden <= EXACT, "{family}: hidden states off by {hidden}");
    }
}

#[test]
fn bf16_is_as_near_as_that_of_transformers() {
    for family in FAMILIES {
        let setup = Setup::of(family);
        let stages = ["rewards", "hidden"];
        for (stage, ours) in stages.into_iter().zip(setup.distances(DType::BF16)) {
            let spread = setup.expected.spread(stage);
            let found = format!("bf16 {family}, {stage}: off by {ours}, transformers by {spread}");
            println!("{found}");
            assert!(ours.is_like(spread), "{found}");
        }
    }
}

#[test]
fn one_wrong_weight_is_noticed() {
    for family in FAMILIES {
        let matrices = [
            "model.embed_tokens.weight",
            "model.layers.0.self_attn.q_proj.weight",
            "model.layers.0.self_attn.v_proj.weight",
            "model.layers.1.self_attn.o_proj.weight",
            "model.layers.1.mlp.gate_proj.weight",
            "model.layers.1.mlp.down_proj.weight",
            "model.layers.1.post_attention_layernorm.weight",
            "model.norm.weight",
        ];
        for name in matrices {
            let setup = Setup::of(family);
            let row = if name.contains("embed_tokens") {
                setup.first_token()
            } else {
                5
            };
            let setup = setup.with_tensors(|tensors| {
                let tensor = &tensors[name];
                let columns = tensor.dims().get(1).copied().unwrap_or(1);
                let changed = bump(tensor, row * columns, 0.5);
                tensors.insert(name.to_owned(), changed);
            });
            assert_noticed(family, name, &setup);
        }
    }
}

#[test]
fn one_wrong_weight_of_the_head_is_noticed() {
    for family in FAMILIES {
        let setup = Setup::of(family).with_tensors(|tensors| {
            let changed = bump(&tensors["score.weight"], 9, 0.05);
            tensors.insert("score.weight".to_owned(), changed);
        });
        let (rewards, hidden) = setup.errors();
        assert!(rewards > EXACT, "{family}: rewards off by {rewards}");
        assert!(
            hidden <= EXACT,
            "{family}: the head has no part in hidden states"
        );
    }
}

#[test]
fn swapped_axes_of_queries_are_noticed() {
    for family in FAMILIES {
        let name = "model.layers.1.self_attn.q_proj.weight";
        let setup = Setup::of(family).with_tensors(|tensors| {
            let (out, inner) = tensors[name].dims2().unwrap();
            // Heads side by side in every group of elements, instead of elements side by side in every head.
            let swapped = tensors[name]
                .reshape((4, out / 4, inner))
                .and_then(|by_head| by_head.transpose(0, 1)?.contiguous()?.reshape((out, inner)))
                .unwrap();
            tensors.insert(name.to_owned(), swapped);
        });
        assert_noticed(family, "swapped axes", &setup);
    }
}

#[test]
fn positions_shifted_by_one_are_noticed() {
    for family in FAMILIES {
        let mut setup = Setup::of(family);
        // Rotary embedding sees distances only, so a shift of all rows would rightly change nothing.
        for position in &mut setup.forest.positions {
            *position += u32::from(*position >= 3);
        }
        assert_noticed(family, "shifted positions", &setup);
    }
}

#[test]
fn a_mask_off_by_one_is_noticed() {
    for family in FAMILIES {
        for visibility in [Visibility::Chunks(2), Visibility::Full] {
            let mut setup = Setup::of(family);
            let layout = &setup.forest.layout;
            let items = layout.items.iter().map(|item| AttentionItem {
                visibility,
                ..item.clone()
            });
            setup.forest.layout = Arc::new(AttentionLayout {
                items: items.collect(),
                ..(**layout).clone()
            });
            assert_noticed(family, "a row that sees the next one", &setup);
        }
    }
}

#[test]
fn a_wrong_setting_is_noticed() {
    let changes = [
        ("qwen2", "rope_theta", 10_000.0.into()),
        ("qwen3", "rope_theta", 10_000.0.into()),
        ("llama", "rope_theta", 10_000.0.into()),
        ("llama", "rope_scaling", Value::Null),
        ("qwen2", "rms_norm_eps", 1e-2.into()),
    ];
    for (family, field, value) in changes {
        let mut setup = Setup::of(family);
        setup.config[field] = value;
        assert_noticed(family, field, &setup);
    }
}

fn assert_noticed(family: &str, what: &str, setup: &Setup) {
    let (rewards, hidden) = setup.errors();
    assert!(
        rewards > EXACT && hidden > EXACT,
        "{family}, {what}: rewards off by {rewards} and hidden states by {hidden} only"
    );
}

/// A model and everything it is asked, all of it open to change.
struct Setup {
    folder: PathBuf,
    name: &'static str,
    config: Value,
    weights: Weights,
    forest: Forest,
    expected: Expected,
}

impl Setup {
    fn of(name: &'static str) -> Self {
        let expected = Expected::open(name, "expected.safetensors");
        let folder = folder(name);
        let config = std::fs::read(folder.join("config.json")).unwrap();
        Self {
            weights: Weights::open(&folder).unwrap(),
            config: serde_json::from_slice(&config).unwrap(),
            forest: forest(&expected),
            name,
            folder,
            expected,
        }
    }

    fn with_tensors(self, change: impl FnOnce(&mut Named)) -> Self {
        let mut tensors = checkpoint_tensors(self.name);
        change(&mut tensors);
        Self {
            weights: Weights::in_memory(tensors),
            ..self
        }
    }

    /// How far rewards and hidden states are from the reference's `f32` at most, computed in `f32`.
    fn errors(&self) -> (f32, f32) {
        let [rewards, hidden] = self.distances(DType::F32);
        (rewards.largest, hidden.largest)
    }

    /// How far rewards and hidden states are from the reference's `f32`.
    fn distances(&self, dtype: DType) -> [Distance; 2] {
        let placement = on_cpu(dtype);
        let config =
            DecoderConfig::from_json(&self.config, &self.folder.join("config.json")).unwrap();
        let decoder = Decoder::load(&config, &self.weights.scope("model", &placement)).unwrap();
        let head = Head::load(&self.weights, &self.folder, config.hidden, &placement).unwrap();

        let forest = &self.forest;
        let ends: Vec<usize> = forest.reads.iter().map(|reads| reads[0]).collect();
        let length = self.sequence_len();
        let mut reads = ends.clone();
        reads.extend(ends[HIDDEN_OF] + 1 - length..=ends[HIDDEN_OF]);

        let tokens: Vec<u32> = forest.rows.iter().map(|row| row.token).collect();
        let embeddings = decoder.embed(&tokens).unwrap();
        let hidden = decoder
            .forward(&embeddings, &forest.positions, &forest.layout, &reads)
            .unwrap();
        let rewards = head
            .rewards(&hidden.narrow(0, 0, ends.len()).unwrap())
            .unwrap();
        let rewards: Vec<f32> = rewards.into_iter().map(|reward| reward as f32).collect();
        let rewards = Tensor::new(rewards, &placement.device).unwrap();
        let hidden = hidden.narrow(0, ends.len(), length).unwrap();
        [
            self.expected.error("rewards", &rewards),
            self.expected.error("hidden", &hidden),
        ]
    }

    /// The first token of the sequence of which all rows are compared.
    fn first_token(&self) -> usize {
        let end = self.forest.reads[HIDDEN_OF][0];
        self.forest.rows[end + 1 - self.sequence_len()].token as usize
    }

    fn sequence_len(&self) -> usize {
        self.expected.exact("hidden").dim(0).unwrap()
    }
}

/// All sequences, each a tree of its own, packed into one stream.
fn forest(expected: &Expected) -> Forest {
    let sequences = (0..).map_while(|i| expected.tensors().get(&format!("tokens.{i}")));
    let trees: Vec<TokenTree> = sequences
        .map(|tokens| {
            let tokens = tokens.to_vec1::<i64>().unwrap();
            let rows = tokens.into_iter().map(|token| Row::token(token as u32));
            TokenTree::new(&[rows.collect()])
        })
        .collect();
    let trees: Vec<(&TokenTree, usize)> = trees.iter().map(|tree| (tree, 0)).collect();
    Forest::new(&trees)
}
