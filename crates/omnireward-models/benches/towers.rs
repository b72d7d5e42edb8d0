//! The towers of MiniCPM-o-2.6 at full width, cut to a few layers, and what their time goes to.
//!
//! `cargo bench -p omnireward-models --bench towers` prints, for each precision, the seconds of a layer and of what
//! stands around the layers, the same for whole towers by adding up, and the share of each operator. Each figure is the
//! smallest of several runs. An argument `f32` or `bf16` leaves out the other.

use std::{collections::HashMap, hint::black_box, path::Path, sync::Arc, time::Instant};

use candle_core::{DType, Device, Tensor};
use omnireward_models::{
    checkpoint::{
        Architecture,
        layout::{Part, TensorSpec, tensors},
    },
    minicpm_o::{AudioInput, Config, ImageInput, MelPiece, Tile, Towers, weights as parts},
    ops::{
        AttentionItem, AttentionLayout, Visibility, attention, gelu_erf, gelu_tanh, layer_norm,
        linear,
    },
    weights::{Placement, Scope, Weight, Weights},
};
use serde_json::{Value, json};

const LAYERS: [usize; 2] = [1, 3];
const VISION_LAYERS: usize = 27;
const AUDIO_LAYERS: usize = 24;
const SIDE: usize = 32;
const PATCH: usize = 3 * 14 * 14;
const FRAMES: usize = 3000;
const MELS: usize = 80;
const RUNS: usize = 5;

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let skipped = |dtype: DType| {
        let named = |name: &str| wanted.iter().any(|word| word == name);
        (named("f32") || named("bf16")) && !named(dtype.as_str())
    };
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("towers.safetensors");
    write(&path);
    let weights = Weights::open(&path).expect("the weights were just written");
    println!("threads {}", rayon::current_num_threads());
    for dtype in [DType::F32, DType::BF16] {
        if skipped(dtype) {
            continue;
        }
        println!("\n{dtype:?}");
        let placement = Placement {
            device: Device::Cpu,
            dtype,
        };
        let [few, more] = LAYERS.map(|layers| load(layers, &weights, &placement));
        let layers = (LAYERS[1] - LAYERS[0]) as f64;
        let report = |what: &str, depth: usize, work: &dyn Fn(&Towers)| {
            let [few, more] = [&few, &more].map(|towers| seconds(|| work(towers)));
            let layer = (more - few) / layers;
            let around = few - LAYERS[0] as f64 * layer;
            println!(
                "{what:<24} layer {:>7.1} ms, around {:>7.1} ms, whole {:>6.2} s",
                1e3 * layer,
                1e3 * around,
                around + depth as f64 * layer
            );
        };
        for tiles in [1, 5] {
            let images = [picture(tiles)];
            report(
                &format!("{tiles} tiles of {SIDE} × {SIDE}"),
                VISION_LAYERS,
                &|towers| {
                    black_box(towers.encode_images(&images).expect("the tiles are whole"));
                },
            );
        }
        for seconds in [5, 30] {
            let clip = sound(100 * seconds);
            report(&format!("{seconds} s of sound"), AUDIO_LAYERS, &|towers| {
                black_box(towers.encode_audio(&clip).expect("the piece is whole"));
            });
        }
        let rows = SIDE * SIDE;
        let scope = weights.scope(parts::VISION, &placement);
        let layer = Shape {
            rows,
            hidden: 1152,
            intermediate: 4304,
            heads: 16,
        };
        operators(
            &layer,
            &scope.under("encoder.layers.0"),
            Visibility::Full,
            &placement,
        );
    }
}

/// `config.json` of the published model, its towers cut to `layers`.
fn published(layers: usize) -> Value {
    json!({
        "architectures": ["MiniCPMO"], "model_type": "minicpmo", "hidden_size": 3584,
        "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
        "intermediate_size": 18944, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "max_position_embeddings": 32768, "vocab_size": 151_700, "tie_word_embeddings": false,
        "patch_size": 14, "drop_vision_last_layer": false, "query_num": 64, "audio_pool_step": 2,
        "vision_config": {
            "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": layers,
            "num_attention_heads": 16, "image_size": 980, "patch_size": 14
        },
        "audio_config": {
            "d_model": 1024, "encoder_layers": layers, "encoder_attention_heads": 16,
            "encoder_ffn_dim": 4096, "num_mel_bins": MELS, "max_source_positions": 1500
        }
    })
}

/// Writes the towers of a checkpoint with as many layers as any run needs.
fn write(path: &Path) {
    let architecture = Architecture::from_json(&published(LAYERS[1]), path)
        .expect("the configuration is a published one");
    let towers: HashMap<String, Tensor> = tensors(&architecture)
        .into_iter()
        .filter(|tensor| tensor.part != Part::Language && tensor.part != Part::Output)
        .map(|TensorSpec { name, shape, .. }| {
            let inner: usize = shape.iter().skip(1).product();
            let spread = (inner as f64).powf(-0.5);
            let tensor = Tensor::randn(0.0, spread as f32, shape, &Device::Cpu)
                .and_then(|tensor| tensor.to_dtype(DType::BF16))
                .expect("memory suffices");
            (name, tensor)
        })
        .collect();
    candle_core::safetensors::save(&towers, path).expect("half a gigabyte can be written");
}

fn load(layers: usize, weights: &Weights, placement: &Placement) -> Towers {
    Config::from_json(&published(layers), weights.origin())
        .and_then(|config| Towers::load(&config, weights, placement))
        .expect("configuration and weights fit each other")
}

fn picture(tiles: usize) -> ImageInput {
    let patches: Vec<f32> = (0..SIDE * SIDE * PATCH)
        .map(|index| (index % 255) as f32 / 127.5 - 1.0)
        .collect();
    let tile = Tile {
        rows: SIDE,
        columns: SIDE,
        patches,
    };
    ImageInput {
        grid: None,
        tiles: vec![tile; tiles],
    }
}

fn sound(frames: usize) -> AudioInput {
    let piece = MelPiece {
        frames: frames.min(FRAMES),
        padded_frames: frames.min(FRAMES),
        mels: (0..MELS * frames)
            .map(|index| (index % 199) as f32 / 99.5 - 1.0)
            .collect(),
    };
    AudioInput {
        pieces: vec![piece],
    }
}

/// A layer, and how many rows pass through it.
struct Shape {
    rows: usize,
    hidden: usize,
    intermediate: usize,
    heads: usize,
}

/// An operator's name, how often a layer has it, its operations, and a run of it.
type Timed<'a> = (
    &'a str,
    f64,
    f64,
    &'a dyn Fn() -> candle_core::Result<Tensor>,
);

/// The operators of a layer one by one.
#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn operators(shape: &Shape, layer: &Scope, visibility: Visibility, placement: &Placement) {
    let Shape {
        rows,
        hidden,
        intermediate,
        heads,
    } = *shape;
    let head_dim = hidden / heads;
    let random = |width: usize| {
        Tensor::randn(0_f32, 1.0, (rows, width), &Device::Cpu)
            .and_then(|x| x.to_dtype(placement.dtype))
            .expect("memory suffices")
    };
    let matrix = |name: &str, out, inner| -> (Weight, Tensor) {
        let scope = layer.under(name);
        (
            scope.weight("weight", out, inner).expect("it is there"),
            scope.tensor("bias", &[out]).expect("it is there"),
        )
    };
    let x = random(hidden);
    let wide = random(intermediate);
    let query = matrix("self_attn.q_proj", hidden, hidden);
    let first = matrix("mlp.fc1", intermediate, hidden);
    let second = matrix("mlp.fc2", hidden, intermediate);
    let norm = [("weight", hidden), ("bias", hidden)].map(|(name, width)| {
        layer
            .under("layer_norm1")
            .tensor(name, &[width])
            .expect("it is there")
    });
    let streams = x
        .reshape((rows, heads, head_dim))
        .expect("the heads divide it");
    let layout = Arc::new(AttentionLayout {
        queries: rows,
        keys: rows,
        items: vec![AttentionItem {
            queries: 0..rows,
            keys: std::iter::once(0..rows).collect(),
            visibility,
        }],
    });
    let product = |out: usize, inner: usize| 2.0 * (rows * out * inner) as f64;
    let scores = 4.0 * (rows * rows * hidden) as f64;
    let times: [Timed<'_>; 8] = [
        (
            "linear hidden→hidden",
            4.0,
            product(hidden, hidden),
            &|| linear(&x, &query.0, Some(&query.1)),
        ),
        (
            "linear hidden→wide",
            1.0,
            product(intermediate, hidden),
            &|| linear(&x, &first.0, Some(&first.1)),
        ),
        (
            "linear wide→hidden",
            1.0,
            product(hidden, intermediate),
            &|| linear(&wide, &second.0, Some(&second.1)),
        ),
        ("attention", 1.0, scores, &|| {
            attention(&streams, &streams, &streams, &layout, 0.1)
        }),
        ("gelu, tanh", 1.0, 0.0, &|| gelu_tanh(&wide)),
        ("gelu, exact", 0.0, 0.0, &|| gelu_erf(&wide)),
        ("layer norm", 2.0, 0.0, &|| {
            layer_norm(&x, &norm[0], &norm[1], 1e-6)
        }),
        ("residual", 2.0, 0.0, &|| &x + &x),
    ];
    println!("a vision layer on {rows} rows");
    for (name, count, operations, work) in times {
        let each = seconds(|| drop(black_box(work().expect("the shapes agree"))));
        let speed = if operations > 0.0 {
            format!("{:>6.0} GFLOP/s", 1e-9 * operations / each)
        } else {
            String::new()
        };
        println!("  {name:<22} {count} × {:>7.2} ms {speed}", 1e3 * each);
    }
}

/// Seconds of the fastest of several runs, the first of them not counted.
fn seconds(work: impl Fn()) -> f64 {
    work();
    (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}
