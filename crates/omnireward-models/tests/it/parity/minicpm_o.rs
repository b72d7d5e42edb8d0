//! A tiny MiniCPM-o-2.6, stage by stage, against the same model put together from transformers' and torch's layers.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use candle_core::{DType, Tensor};
use omnireward_models::{
    Forest, Head, TokenTree,
    audio::AudioEncoder,
    decoder::{Decoder, DecoderConfig},
    minicpm_o::{AudioInput, Config, ImageInput, Tile, Towers, weights as parts},
    ops::{AttentionItem, AttentionLayout, Visibility},
    vision::VisionEncoder,
    weights::Weights,
};
use serde_json::Value;

use super::{
    inputs::{Inputs, Named, place_features},
    reference::{Distance, EXACT, Expected, bump, checkpoint_tensors, folder, on_cpu, shift_rows},
};

const NAME: &str = "minicpm_o";
const CASES: [&str; 7] = [
    "text_only",
    "single_image",
    "sliced_image",
    "video",
    "two_images",
    "audio",
    "audio_batch",
];

/// Ten times what rewards differ by when nothing is wrong.
const FELT: f32 = 1e-5;

#[test]
fn every_stage_equals_the_reference() {
    for name in CASES {
        let case = Case::open(name);
        let mut worst = BTreeMap::new();
        for (stage, ours) in case.run(DType::F32) {
            let error = case.expected.error(&stage, &ours);
            assert!(
                error.largest <= EXACT,
                "{name}: {stage} is off by {error:?}"
            );
            add(&mut worst, &stage, error);
        }
        for (stage, error) in worst {
            println!("f32 {name}, {stage}: off by {:.1e}", error.largest);
        }
    }
}

/// The spread of a stage is that of all cases together: a single reward is one number, and can come out right by
/// chance.
#[test]
fn bf16_is_as_near_as_that_of_the_reference() {
    let mut ours = BTreeMap::new();
    let mut theirs = BTreeMap::new();
    for name in CASES {
        let case = Case::open(name);
        for (stage, value) in case.run(DType::BF16) {
            add(&mut ours, &stage, case.expected.error(&stage, &value));
            add(&mut theirs, &stage, case.expected.spread(&stage));
        }
    }
    for (stage, error) in ours {
        let found = format!(
            "bf16 {stage}: off by {error}, the reference by {}",
            theirs[&stage]
        );
        println!("{found}");
        assert!(error.is_like(theirs[&stage]), "{found}");
    }
}

#[test]
fn one_wrong_weight_is_noticed() {
    let weights = [
        ("single_image", "vpm.embeddings.patch_embedding.weight"),
        ("single_image", "vpm.embeddings.patch_embedding.bias"),
        ("single_image", "vpm.embeddings.position_embedding.weight"),
        ("single_image", "vpm.encoder.layers.0.layer_norm1.weight"),
        (
            "single_image",
            "vpm.encoder.layers.0.self_attn.q_proj.weight",
        ),
        (
            "single_image",
            "vpm.encoder.layers.0.self_attn.k_proj.weight",
        ),
        (
            "single_image",
            "vpm.encoder.layers.1.self_attn.out_proj.bias",
        ),
        ("single_image", "vpm.encoder.layers.1.mlp.fc1.weight"),
        ("single_image", "vpm.encoder.layers.1.mlp.fc2.bias"),
        ("single_image", "vpm.post_layernorm.weight"),
        ("single_image", "resampler.query"),
        ("single_image", "resampler.kv_proj.weight"),
        ("single_image", "resampler.attn.in_proj_weight"),
        ("single_image", "resampler.attn.in_proj_bias"),
        ("single_image", "resampler.attn.out_proj.weight"),
        ("single_image", "resampler.ln_q.bias"),
        ("single_image", "resampler.ln_kv.weight"),
        ("single_image", "resampler.ln_post.bias"),
        ("single_image", "resampler.proj"),
        ("audio", "apm.conv1.weight"),
        ("audio", "apm.conv1.bias"),
        ("audio", "apm.conv2.weight"),
        ("audio", "apm.embed_positions.weight"),
        ("audio", "apm.layers.0.self_attn.q_proj.bias"),
        ("audio", "apm.layers.0.self_attn.k_proj.weight"),
        ("audio", "apm.layers.1.self_attn_layer_norm.weight"),
        ("audio", "apm.layers.1.fc1.bias"),
        ("audio", "apm.layers.1.fc2.weight"),
        ("audio", "apm.layer_norm.bias"),
        ("audio", "audio_projection_layer.linear1.bias"),
        ("audio", "audio_projection_layer.linear2.weight"),
        ("text_only", "llm.model.layers.0.self_attn.k_proj.bias"),
        ("text_only", "llm.model.layers.1.mlp.up_proj.weight"),
        ("text_only", "llm.model.norm.weight"),
        ("text_only", "v_head.summary.weight"),
        ("text_only", "v_head.summary.bias"),
    ];
    for (name, tensor) in weights {
        let case = Case::open(name).with_tensors(|tensors| {
            let changed = bump(&tensors[tensor], 0, 1.0);
            tensors.insert(tensor.to_owned(), changed);
        });
        case.assert_noticed(tensor);
    }
}

#[test]
fn swapped_axes_are_noticed() {
    Case::open("single_image")
        .with_tile(0, |tile| {
            (tile.rows, tile.columns) = (tile.columns, tile.rows);
        })
        .assert_noticed("rows and columns of a tile");

    let within_patches = |order: [usize; 3]| {
        Case::open("single_image").with_tensors(|tensors| {
            let name = "vpm.embeddings.patch_embedding.weight";
            let kernel = tensors[name].permute((0, order[0] + 1, order[1] + 1, order[2] + 1));
            let kernel =
                kernel.and_then(|kernel| kernel.contiguous()?.reshape(tensors[name].dims()));
            tensors.insert(name.to_owned(), kernel.unwrap());
        })
    };
    within_patches([0, 2, 1]).assert_noticed("height and width of a patch");
    within_patches([1, 2, 0]).assert_noticed("colours first or last");

    for name in ["resampler.proj", "resampler.attn.out_proj.weight"] {
        Case::open("single_image")
            .with_tensors(|tensors| {
                let turned = tensors[name].t().unwrap().contiguous().unwrap();
                tensors.insert(name.to_owned(), turned);
            })
            .assert_noticed(name);
    }

    Case::open("audio")
        .with_clip(0, |clip| {
            // The same numbers, taken frame by frame instead of band by band.
            let piece = &mut clip.pieces[0];
            let bands = piece.mels.len() / piece.frames;
            piece.mels = (0..piece.frames)
                .flat_map(|frame| (0..bands).map(move |band| (band, frame)))
                .map(|(band, frame)| piece.mels[band * piece.frames + frame])
                .collect();
        })
        .assert_noticed("bands and frames");
}

#[test]
fn swapped_blocks_are_noticed() {
    // Queries, keys and values stand on top of each other in one matrix.
    Case::open("single_image")
        .with_tensors(|tensors| {
            for name in [
                "resampler.attn.in_proj_weight",
                "resampler.attn.in_proj_bias",
            ] {
                let blocks = tensors[name].chunk(3, 0).unwrap();
                let swapped = Tensor::cat(&[&blocks[1], &blocks[0], &blocks[2]], 0).unwrap();
                tensors.insert(name.to_owned(), swapped);
            }
        })
        .assert_noticed("queries and keys of the resampler");

    let mut case = Case::open("sliced_image");
    case.inputs.images[0].tiles.swap(1, 2);
    case.assert_noticed("two slices");

    let mut case = Case::open("video");
    case.inputs.images.swap(0, 2);
    case.assert_noticed("two frames");
}

#[test]
fn positions_shifted_by_one_are_noticed() {
    for (name, table) in [
        ("single_image", "vpm.embeddings.position_embedding.weight"),
        ("audio", "apm.embed_positions.weight"),
    ] {
        Case::open(name)
            .with_tensors(|tensors| {
                let shifted = shift_rows(&tensors[table]);
                tensors.insert(table.to_owned(), shifted);
            })
            .assert_noticed(table);
    }

    // The resampler's table is computed: the same patches one column further are a tile with an empty first column,
    // so here they are a row longer instead.
    Case::open("sliced_image")
        .with_tile(1, |tile| {
            (tile.rows, tile.columns) = (tile.rows * tile.columns / 3, 3);
        })
        .assert_noticed("the patches' places");

    let mut case = Case::open("single_image");
    for row in case.inputs.sequences.iter_mut().flatten() {
        if let Some(feature) = &mut row.feature {
            feature.row = (feature.row + 1) % 8;
        }
    }
    case.assert_noticed("the features' places");

    let mut case = Case::open("video");
    // Only differences of positions matter to the decoder: all of them shifted would rightly change nothing.
    case.shift_from = Some(20);
    case.assert_noticed("the decoder's positions");
}

#[test]
fn a_mask_off_by_one_is_noticed() {
    // The last frame of each second would see the first one of the next, and so on.
    Case::open("audio")
        .with_config("audio_chunk_length", 1.02)
        .assert_noticed("chunks of 51 frames");
    Case::open("audio")
        .with_config("audio_chunk_length", 0.98)
        .assert_noticed("chunks of 49 frames");

    // Padding that stays visible in the reference, hidden as it should have been.
    Case::open("audio_batch")
        .with_clip(0, |clip| {
            clip.pieces[0].padded_frames = clip.pieces[0].frames;
        })
        .assert_noticed("the padding of a batch");
    // A frame of padding less.
    Case::open("audio_batch")
        .with_clip(0, |clip| clip.pieces[0].padded_frames = 130 + 2)
        .assert_noticed("a frame of padding");

    let mut case = Case::open("video");
    case.visibility = Some(Visibility::Chunks(2));
    case.assert_noticed("a row that sees the next one");
}

fn kind(stage: &str) -> &str {
    stage.split('.').next().unwrap()
}

fn add(distances: &mut BTreeMap<String, Distance>, stage: &str, distance: Distance) {
    let sum = distances.entry(kind(stage).to_owned()).or_default();
    *sum = sum.and(distance);
}

/// One kind of input to the model, all of it open to change.
struct Case {
    config: Value,
    weights: Weights,
    inputs: Inputs,
    expected: Expected,
    /// The decoder's row from which on positions are one too high.
    shift_from: Option<usize>,
    /// What a row of the decoder sees instead of those before it.
    visibility: Option<Visibility>,
}

impl Case {
    fn open(name: &str) -> Self {
        let folder = folder(NAME);
        let file = format!("{name}.safetensors");
        let expected = Expected::open(NAME, &file);
        let config = std::fs::read(folder.join("config.json")).unwrap();
        Self {
            config: serde_json::from_slice(&config).unwrap(),
            weights: Weights::open(&folder).unwrap(),
            inputs: Inputs::read(&folder.join(&file)).unwrap(),
            expected,
            shift_from: None,
            visibility: None,
        }
    }

    fn with_tensors(self, change: impl FnOnce(&mut Named)) -> Self {
        let mut tensors = checkpoint_tensors(NAME);
        change(&mut tensors);
        Self {
            weights: Weights::in_memory(tensors),
            ..self
        }
    }

    fn with_config(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.config[field] = value.into();
        self
    }

    fn with_tile(mut self, tile: usize, change: impl FnOnce(&mut Tile)) -> Self {
        change(&mut self.inputs.images[0].tiles[tile]);
        self
    }

    fn with_clip(mut self, clip: usize, change: impl FnOnce(&mut AudioInput)) -> Self {
        change(&mut self.inputs.clips[clip]);
        self
    }

    /// The comparison of stages would fail, and the reward feels it.
    fn assert_noticed(&self, what: &str) {
        let stages = self.run(DType::F32);
        let errors = stages
            .iter()
            .map(|(stage, ours)| (stage, self.expected.error(stage, ours).largest));
        let (rewards, inner): (Vec<_>, Vec<_>) =
            errors.partition(|(stage, _)| kind(stage) == "reward");
        let largest = |errors: Vec<(&String, f32)>| {
            errors
                .into_iter()
                .map(|(_, error)| error)
                .fold(0.0, f32::max)
        };
        let (reward, inner) = (largest(rewards), largest(inner));
        assert!(
            reward.max(inner) > EXACT,
            "{what}: no stage is off by more than {inner}"
        );
        assert!(reward > FELT, "{what}: rewards are off by {reward} only");
    }

    /// What every stage gives, in order.
    fn run(&self, dtype: DType) -> Vec<(String, Tensor)> {
        let placement = on_cpu(dtype);
        let config_path = Path::new("config.json");
        let config = Config::from_json(&self.config, config_path).unwrap();
        let towers = Towers::load(&config, &self.weights, &placement).unwrap();
        let Inputs { images, clips, .. } = &self.inputs;
        let mut stages = Vec::new();

        if !images.is_empty() {
            let scope = self.weights.scope(parts::VISION, &placement);
            let encoder = VisionEncoder::load(&config.encoder(), &scope).unwrap();
            let tiles: Vec<&Tile> = images.iter().flat_map(|image| &image.tiles).collect();
            let outputs = split(
                &encoder.forward(&tiles).unwrap(),
                tiles.iter().map(|tile| tile.rows * tile.columns),
            );
            number(&mut stages, "vision", outputs);
        }
        if !clips.is_empty() {
            let scope = self.weights.scope(parts::AUDIO, &placement);
            let encoder = AudioEncoder::load(&config.audio, &scope).unwrap();
            let pieces: Vec<_> = clips.iter().flat_map(|clip| clip.pieces.clone()).collect();
            let outputs = encoder.forward(&pieces, config.audio_mask()).unwrap();
            number(&mut stages, "audio", outputs);
        }

        let features = features(&towers, images, clips);
        number(&mut stages, "features", features.clone());

        let decoder_config = DecoderConfig::from_json(&self.config, config_path).unwrap();
        let decoder =
            Decoder::load(&decoder_config, &parts::decoder(&self.weights, &placement)).unwrap();
        let head = Head::load(
            &self.weights,
            &folder(NAME),
            decoder_config.hidden,
            &placement,
        )
        .unwrap();
        let hidden = self.decode(&decoder, &features);
        let rewards = head.rewards(&hidden).unwrap();
        number(
            &mut stages,
            "hidden",
            split(&hidden, rewards.iter().map(|_| 1)),
        );
        let rewards = rewards
            .into_iter()
            .map(|reward| Tensor::new(&[reward as f32], &placement.device).unwrap());
        number(&mut stages, "reward", rewards);
        stages
    }

    /// The last row of every sequence, all of them one tree.
    fn decode(&self, decoder: &Decoder, features: &[Tensor]) -> Tensor {
        let tree = TokenTree::new(&self.inputs.sequences);
        let forest = Forest::new(&[(&tree, 0)]);
        let tokens: Vec<u32> = forest.rows.iter().map(|row| row.token).collect();
        let embeddings = decoder.embed(&tokens).unwrap();
        let inputs = place_features(&embeddings, &forest.rows, features).unwrap();
        let shift_from = self.shift_from.unwrap_or(usize::MAX);
        let positions = forest.positions.iter().enumerate();
        let positions: Vec<u32> = positions
            .map(|(row, position)| position + u32::from(row >= shift_from))
            .collect();
        decoder
            .forward(&inputs, &positions, &self.layout(&forest), &forest.reads[0])
            .unwrap()
    }

    fn layout(&self, forest: &Forest) -> Arc<AttentionLayout> {
        let Some(visibility) = self.visibility else {
            return forest.layout.clone();
        };
        let items = forest.layout.items.iter().map(|item| AttentionItem {
            visibility,
            ..item.clone()
        });
        Arc::new(AttentionLayout {
            items: items.collect(),
            ..(*forest.layout).clone()
        })
    }
}

fn features(towers: &Towers, images: &[ImageInput], clips: &[AudioInput]) -> Vec<Tensor> {
    let mut features = towers.encode_images(images).unwrap();
    features.extend(clips.iter().map(|clip| towers.encode_audio(clip).unwrap()));
    features
}

fn number(
    stages: &mut Vec<(String, Tensor)>,
    stage: &str,
    tensors: impl IntoIterator<Item = Tensor>,
) {
    stages.extend(
        tensors
            .into_iter()
            .enumerate()
            .map(|(i, tensor)| (format!("{stage}.{i}"), tensor)),
    );
}

fn split(rows: &Tensor, lengths: impl Iterator<Item = usize>) -> Vec<Tensor> {
    let mut start = 0;
    lengths
        .map(|length| {
            let part = rows.narrow(0, start, length).unwrap();
            start += length;
            part
        })
        .collect()
}
