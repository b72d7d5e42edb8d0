use std::{collections::HashMap, path::Path};

use candle_core::{DType, Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::*;
use crate::{
    checkpoint::{
        Architecture,
        layout::{TensorSpec, tensors},
    },
    minicpm_o::{Grid, MelPiece},
};

const PATCH: usize = 3 * 14 * 14;
const MELS: usize = 80;
const BOTH: [DType; 2] = [DType::F32, DType::BF16];

fn published() -> Value {
    json!({
        "architectures": ["MiniCPMO"], "model_type": "minicpmo", "hidden_size": 128,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
        "intermediate_size": 64, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "max_position_embeddings": 1000, "vocab_size": 100, "tie_word_embeddings": false,
        "patch_size": 14, "drop_vision_last_layer": false, "query_num": 64, "audio_pool_step": 2,
        "vision_config": {
            "hidden_size": 48, "intermediate_size": 100, "num_hidden_layers": 2,
            "num_attention_heads": 4, "image_size": 980, "patch_size": 14
        },
        "audio_config": {
            "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4,
            "encoder_ffn_dim": 72, "num_mel_bins": 80, "max_source_positions": 1500
        }
    })
}

fn config() -> Config {
    Config::from_json(&published(), Path::new("config.json")).unwrap()
}

/// Random weights of all parts: numbers from −1 to 1, divided so that a layer keeps the size of what it is given.
fn random_weights() -> HashMap<String, Tensor> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let architecture = Architecture::from_json(&published(), Path::new("config.json")).unwrap();
    tensors(&architecture)
        .into_iter()
        .map(|TensorSpec { name, shape, .. }| {
            let inner: usize = shape.iter().skip(1).product();
            let scale = (3.0 / inner as f32).sqrt();
            let numbers: Vec<f32> = (0..shape.iter().product())
                .map(|_| random.random_range(-1.0..1.0) * scale)
                .collect();
            let tensor = Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap();
            (name, tensor)
        })
        .collect()
}

fn placed(dtype: DType) -> Placement {
    Placement {
        device: Device::Cpu,
        dtype,
    }
}

fn load(tensors: HashMap<String, Tensor>, dtype: DType) -> Towers {
    Towers::load(&config(), &Weights::in_memory(tensors), &placed(dtype)).unwrap()
}

fn towers(dtype: DType) -> Towers {
    load(random_weights(), dtype)
}

fn tile(rows: usize, columns: usize) -> Tile {
    let mut random = ChaCha8Rng::seed_from_u64((rows * 1000 + columns) as u64);
    Tile {
        rows,
        columns,
        patches: (0..rows * columns * PATCH)
            .map(|_| random.random_range(-1.0..1.0))
            .collect(),
    }
}

fn image(tiles: Vec<Tile>) -> ImageInput {
    ImageInput { grid: None, tiles }
}

fn piece(frames: usize, padded_frames: usize) -> MelPiece {
    let mut random = ChaCha8Rng::seed_from_u64(frames as u64);
    MelPiece {
        frames,
        padded_frames,
        mels: (0..MELS * frames)
            .map(|_| random.random_range(-1.0..1.0))
            .collect(),
    }
}

/// Numbers of a tensor, exact in either type.
fn numbers(tensor: &Tensor) -> Vec<Vec<f32>> {
    tensor
        .to_dtype(DType::F32)
        .unwrap()
        .to_vec2::<f32>()
        .unwrap()
}

fn encode(towers: &Towers, tile: &Tile) -> Vec<Vec<f32>> {
    let images = [image(vec![tile.clone()])];
    numbers(&towers.encode_images(&images).unwrap()[0])
}

fn hear(towers: &Towers, pieces: Vec<MelPiece>) -> Vec<Vec<f32>> {
    numbers(&towers.encode_audio(&AudioInput { pieces }).unwrap())
}

fn largest_difference(left: &[Vec<f32>], right: &[Vec<f32>]) -> f32 {
    left.iter()
        .flatten()
        .zip(right.iter().flatten())
        .map(|(left, right)| (left - right).abs())
        .fold(0.0, f32::max)
}

/// The same numbers, bit for bit.
#[track_caller]
fn assert_same(left: &[Vec<f32>], right: &[Vec<f32>], what: &str) {
    assert_eq!(left.len(), right.len(), "{what}: rows");
    let differ = left.iter().zip(right).filter(|(l, r)| l != r).count();
    assert_eq!(
        differ,
        0,
        "{what}: rows that differ, by up to {:e}",
        largest_difference(left, right)
    );
}

fn threads<T: Send>(count: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new()
        .num_threads(count)
        .build()
        .unwrap()
        .install(work)
}

#[test]
fn every_tile_becomes_as_many_rows() {
    let sliced = ImageInput {
        grid: Some(Grid {
            columns: 2,
            rows: 1,
        }),
        tiles: vec![tile(9, 12), tile(13, 9), tile(13, 9)],
    };
    let features = towers(DType::F32)
        .encode_images(&[sliced, image(vec![tile(1, 1)])])
        .unwrap();
    assert_eq!(features[0].dims(), [3 * 64, 128]);
    assert_eq!(features[1].dims(), [64, 128]);
}

#[test]
fn a_tile_is_the_same_alone_and_among_others() {
    for dtype in BOTH {
        let towers = towers(dtype);
        let shapes = [(9, 12), (1, 1), (25, 7), (9, 12), (3, 49)];
        let images = [
            image(shapes[..3].iter().map(|&(r, c)| tile(r, c)).collect()),
            image(shapes[3..].iter().map(|&(r, c)| tile(r, c)).collect()),
        ];
        let together: Vec<Vec<f32>> = threads(2, || towers.encode_images(&images))
            .unwrap()
            .iter()
            .flat_map(numbers)
            .collect();
        for (&(rows, columns), rows_of_it) in shapes.iter().zip(together.chunks(64)) {
            let alone = threads(1, || encode(&towers, &tile(rows, columns)));
            assert_same(&alone, rows_of_it, &format!("{dtype:?} {rows} × {columns}"));
        }
    }
}

#[test]
fn more_tiles_than_a_run_takes() {
    let towers = towers(DType::F32);
    let tiles: Vec<Tile> = (1..40).map(|columns| tile(2, columns)).collect();
    let features = towers.encode_images(&[image(tiles.clone())]).unwrap();
    let rows = numbers(&features[0]);
    assert_eq!(rows.len(), 39 * 64);
    assert_same(
        &rows[38 * 64..],
        &encode(&towers, &tiles[38]),
        "the last tile",
    );
}

#[test]
fn rows_and_columns_are_not_the_same() {
    let towers = towers(DType::F32);
    let upright = tile(8, 6);
    let turned = Tile {
        rows: 6,
        columns: 8,
        ..upright.clone()
    };
    let difference = largest_difference(&encode(&towers, &upright), &encode(&towers, &turned));
    assert!(difference > 1e-2, "{difference}");
}

#[test]
fn a_shifted_position_table_shows() {
    let mut tensors = random_weights();
    let expected = encode(&load(tensors.clone(), DType::F32), &tile(8, 6));
    let table = tensors
        .get_mut("vpm.embeddings.position_embedding.weight")
        .unwrap();
    let (first, rest) = (
        table.narrow(0, 0, 1).unwrap(),
        table.narrow(0, 1, 4899).unwrap(),
    );
    *table = Tensor::cat(&[rest, first], 0).unwrap();
    let shifted = encode(&load(tensors, DType::F32), &tile(8, 6));
    let difference = largest_difference(&expected, &shifted);
    assert!(difference > 1e-2, "{difference}");
}

#[test]
fn a_piece_is_the_same_alone_and_among_others() {
    for dtype in BOTH {
        let towers = towers(dtype);
        let shapes = [(3000, 3000), (203, 203), (203, 700), (9, 9)];
        let pieces = || shapes.map(|(frames, padded)| piece(frames, padded));
        let together = threads(2, || hear(&towers, pieces().into()));
        let alone: Vec<Vec<f32>> = threads(1, || {
            pieces()
                .into_iter()
                .flat_map(|piece| hear(&towers, vec![piece]))
                .collect()
        });
        assert_same(&alone, &together, dtype.as_str());
    }
}

#[test]
fn tokens_of_clips() {
    const RATE: f64 = 16_000.0;
    const HOP: usize = 160;
    const FRAMES_OF_A_PIECE: usize = 3000;
    let towers = towers(DType::F32);
    for (seconds, tokens) in [
        (0.1, 2),
        (0.5, 12),
        (1.0, 25),
        (1.5, 37),
        (2.03, 51),
        (10.0, 250),
        (30.0, 750),
        (35.5, 887),
    ] {
        let frames = ((seconds * RATE).round() as usize).div_ceil(HOP);
        let pieces = (0..frames)
            .step_by(FRAMES_OF_A_PIECE)
            .map(|start| (frames - start).min(FRAMES_OF_A_PIECE))
            .map(|frames| piece(frames, frames))
            .collect();
        assert_eq!(hear(&towers, pieces).len(), tokens, "{seconds} s");
    }
}

#[test]
fn a_sound_too_short_for_a_token_has_none() {
    assert!(hear(&towers(DType::F32), vec![piece(2, 2)]).is_empty());
    assert_eq!(
        hear(&towers(DType::F32), vec![piece(2, 2), piece(3, 3)]).len(),
        1
    );
}

#[test]
fn visible_padding_reaches_the_last_chunk_only() {
    const TOKENS_OF_A_CHUNK: usize = 25;
    let towers = towers(DType::F32);
    for frames in [203, 199, 450] {
        let alone = hear(&towers, vec![piece(frames, frames)]);
        let padded = hear(&towers, vec![piece(frames, 3000)]);
        assert_eq!(alone.len(), padded.len());
        let own = frames.div_ceil(2);
        let before = (own - 1) / (2 * TOKENS_OF_A_CHUNK) * TOKENS_OF_A_CHUNK;
        assert_same(
            &alone[..before],
            &padded[..before],
            &format!("{frames} frames"),
        );
        for (alone, padded) in alone[before..].iter().zip(&padded[before..]) {
            assert!(alone != padded, "{frames} frames");
        }
    }
    let full = hear(&towers, vec![piece(200, 200)]);
    assert_same(
        &full,
        &hear(&towers, vec![piece(200, 3000)]),
        "a full last chunk",
    );
}

#[test]
fn the_chunk_mask_matters() {
    let weights = Weights::in_memory(random_weights());
    let mut config = config();
    config.audio_chunk_length = -1.0;
    let whole = Towers::load(&config, &weights, &placed(DType::F32)).unwrap();
    let (chunked, whole) = (
        hear(&towers(DType::F32), vec![piece(200, 200)]),
        hear(&whole, vec![piece(200, 200)]),
    );
    assert!(largest_difference(&chunked[..25], &whole[..25]) > 1e-3);
}

#[test]
fn a_tower_that_is_not_there_is_missed_when_it_is_asked_for() {
    let only_text = load(HashMap::new(), DType::F32);
    assert!(only_text.encode_images(&[]).unwrap().is_empty());
    let message = |error: Error| error.to_string();
    assert_eq!(
        message(
            only_text
                .encode_images(&[image(vec![tile(1, 1)])])
                .unwrap_err()
        ),
        "tensor `vpm.*` is missing from `memory`"
    );
    let clip = AudioInput {
        pieces: vec![piece(9, 9)],
    };
    assert_eq!(
        message(only_text.encode_audio(&clip).unwrap_err()),
        "tensor `apm.*` is missing from `memory`"
    );
    assert!(only_text.vision_fingerprint().is_err());
}

#[test]
fn damaged_towers_are_refused_by_tensor() {
    for name in [
        "vpm.encoder.layers.1.mlp.fc2.bias",
        "resampler.proj",
        "apm.conv2.weight",
        "audio_projection_layer.linear2.weight",
    ] {
        let mut tensors = random_weights();
        let tensor = tensors.remove(name).unwrap();
        let load = |tensors| {
            Towers::load(&config(), &Weights::in_memory(tensors), &placed(DType::F32)).unwrap_err()
        };
        match load(tensors.clone()) {
            Error::MissingTensor { tensor, .. } => assert_eq!(tensor, name),
            other => panic!("{other}"),
        }
        tensors.insert(
            name.to_owned(),
            Tensor::cat(&[&tensor, &tensor], 0).unwrap(),
        );
        match load(tensors) {
            Error::Shape { tensor, .. } => assert_eq!(tensor, name),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn wrong_inputs_are_refused() {
    let towers = towers(DType::F32);
    let mut short = tile(2, 3);
    short.patches.pop();
    let error = towers.encode_images(&[image(vec![short])]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a tile of 2 × 3 patches cannot be encoded: it holds `3527` numbers, expected `588` in each patch and a patch \
         at least"
    );
    let long = AudioInput {
        pieces: vec![piece(3001, 3001)],
    };
    assert_eq!(
        towers.encode_audio(&long).unwrap_err().to_string(),
        "a piece of sound of 3001 frames cannot be encoded: the encoder takes at most `3000` frames"
    );
}

#[test]
fn fingerprints_follow_what_features_depend_on() {
    let reference = towers(DType::F32);
    let again = towers(DType::F32);
    let (vision, audio) = (
        reference.vision_fingerprint().unwrap(),
        reference.audio_fingerprint().unwrap(),
    );
    assert_ne!(vision, audio);
    assert_eq!(threads(2, || again.vision_fingerprint()).unwrap(), vision);
    assert_eq!(threads(1, || again.audio_fingerprint()).unwrap(), audio);
    assert_ne!(towers(DType::BF16).vision_fingerprint().unwrap(), vision);

    let mut tensors = random_weights();
    let bias = tensors
        .get_mut("audio_projection_layer.linear1.bias")
        .unwrap();
    *bias = bias.affine(1.0, 1e-6).unwrap();
    let changed = load(tensors, DType::F32);
    assert_eq!(changed.vision_fingerprint().unwrap(), vision);
    assert_ne!(changed.audio_fingerprint().unwrap(), audio);

    let mut slower = config();
    slower.audio_pool_step = 5;
    let slower = Towers::load(
        &slower,
        &Weights::in_memory(random_weights()),
        &placed(DType::F32),
    )
    .unwrap();
    assert_ne!(slower.audio_fingerprint().unwrap(), audio);
}
