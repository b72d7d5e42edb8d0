//! A tiny Qwen2.5-VL and a tiny thinker of Qwen2.5-Omni, from pixels and samples to the scores of the next token, against
//! transformers.

use std::{path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};
use omnireward_core::NoProgress;
use omnireward_media::{RgbImage, audio::Waveform};
use omnireward_models::{
    Feature, Features, Forest, Row, TokenTree,
    checkpoint::{Family, RandomCheckpoint, Size},
    decoder::{Decoder, RowPositions},
    generation::{Generator, GeneratorOptions, Prompt, Request, Sampling, Stop},
    processor::{Qwen2_5VlProcessor, VideoSettings},
    qwen2_5_vl::{
        Config, MediaInput, MediaShape, MultimodalPositions, PatchGrid, Towers, Windows, positions,
        weights as parts,
    },
    weights::Weights,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    inputs::{Named, place_features},
    reference::{Distance, EXACT, Expected, bump, checkpoint_tensors, folder, on_cpu},
};

const NAME: &str = "qwen2_5_vl";
const OMNI: &str = "qwen2_5_omni";
/// Each with its model.
const CASES: [(&str, &str); 8] = [
    (NAME, "text"),
    (NAME, "image"),
    (NAME, "images"),
    (NAME, "video"),
    (NAME, "mixed"),
    (OMNI, "sound"),
    (OMNI, "sounds"),
    (OMNI, "everything"),
];

#[test]
fn features_and_scores_equal_those_of_transformers() {
    for (model, name) in CASES {
        let case = Case::of(model, name);
        for (stage, ours) in case.run(DType::F32) {
            let error = case.expected.error(&stage, &ours);
            println!("f32 {name}, {stage}: off by {error}");
            assert!(error.largest <= EXACT, "{name}: {stage} is off by {error}");
        }
    }
}

#[test]
fn bf16_is_as_near_as_that_of_transformers() {
    let (mut ours, mut theirs) = ([Distance::default(); 2], [Distance::default(); 2]);
    for (model, name) in CASES {
        let case = Case::of(model, name);
        for (stage, value) in case.run(DType::BF16) {
            let kind = usize::from(stage == "logits");
            ours[kind] = ours[kind].and(case.expected.error(&stage, &value));
            theirs[kind] = theirs[kind].and(case.expected.spread(&stage));
        }
    }
    for (kind, stage) in ["features", "logits"].into_iter().enumerate() {
        let found = format!(
            "bf16 {stage}: off by {}, transformers by {}",
            ours[kind], theirs[kind]
        );
        println!("{found}");
        assert!(ours[kind].is_like(theirs[kind]), "{found}");
    }
}

#[test]
fn positions_are_those_of_transformers() {
    for (model, name) in CASES {
        let case = Case::of(model, name);
        let expected: Vec<[u32; 3]> = case.expected.tensors()["positions"]
            .to_vec2::<i64>()
            .unwrap()
            .into_iter()
            .map(|row| [0, 1, 2].map(|axis| row[axis] as u32))
            .collect();
        assert_eq!(case.positions.rows, expected, "{name}");
    }
}

/// Nothing is kept between tokens, so this is about the model alone.
#[test]
fn greedy_text_is_that_of_transformers() {
    for (model, name) in CASES {
        let case = Case::of(model, name);
        let expected = integers(&case.expected.tensors()["greedy"]);
        assert_eq!(expected.len(), 64);
        assert_eq!(case.greedy(expected.len()), expected, "{name}");
    }
}

#[test]
fn the_generator_writes_what_transformers_writes() {
    for (model, name) in CASES {
        let case = Case::of(model, name);
        let expected = integers(&case.expected.tensors()["greedy"]);
        assert_eq!(case.written(expected.len()), expected, "{name}");
    }
}

#[test]
fn a_medium_becomes_the_same_whatever_is_beside_it() {
    let cases = [
        (NAME, "images"),
        (NAME, "mixed"),
        (OMNI, "sounds"),
        (OMNI, "everything"),
    ];
    for (model, name) in cases {
        let case = Case::of(model, name);
        let towers = case.towers(DType::F32);
        for (medium, beside) in case.media.iter().zip(case.features(DType::F32)) {
            let alone = towers.encode_one(medium).unwrap();
            assert_eq!(
                alone.to_vec2::<f32>().unwrap(),
                beside.to_vec2::<f32>().unwrap(),
                "{name}"
            );
        }
    }
}

#[test]
fn one_wrong_weight_is_noticed() {
    let weights = [
        (NAME, "image", "visual.patch_embed.proj.weight"),
        (NAME, "image", "visual.blocks.0.norm1.weight"),
        (NAME, "image", "visual.blocks.0.attn.qkv.weight"),
        (NAME, "image", "visual.blocks.1.attn.qkv.bias"),
        (NAME, "image", "visual.blocks.1.attn.proj.weight"),
        (NAME, "image", "visual.blocks.2.norm2.weight"),
        (NAME, "image", "visual.blocks.2.mlp.gate_proj.weight"),
        (NAME, "image", "visual.blocks.2.mlp.up_proj.bias"),
        (NAME, "video", "visual.blocks.0.mlp.down_proj.weight"),
        (NAME, "video", "visual.merger.ln_q.weight"),
        (NAME, "video", "visual.merger.mlp.0.weight"),
        (NAME, "video", "visual.merger.mlp.2.bias"),
        (NAME, "text", "model.layers.0.self_attn.k_proj.bias"),
        (NAME, "text", "model.layers.1.mlp.up_proj.weight"),
        (NAME, "text", "model.norm.weight"),
        (NAME, "text", "lm_head.weight"),
        (OMNI, "sound", "audio_tower.conv1.weight"),
        (OMNI, "sound", "audio_tower.conv2.bias"),
        (OMNI, "sound", "audio_tower.layers.0.self_attn.q_proj.bias"),
        (
            OMNI,
            "sound",
            "audio_tower.layers.0.self_attn.k_proj.weight",
        ),
        (OMNI, "sounds", "audio_tower.layers.1.fc1.bias"),
        (OMNI, "sounds", "audio_tower.layers.1.fc2.weight"),
        (OMNI, "sounds", "audio_tower.ln_post.weight"),
        (OMNI, "sound", "audio_tower.proj.bias"),
        (OMNI, "everything", "visual.blocks.0.attn.k.weight"),
        (OMNI, "everything", "visual.blocks.1.attn.v.bias"),
    ];
    for (model, name, tensor) in weights {
        let case = Case::of(model, name).with_tensors(|tensors| {
            let changed = bump(&tensors[tensor], 0, 1.0);
            tensors.insert(tensor.to_owned(), changed);
        });
        case.assert_noticed(tensor);
    }
}

#[test]
fn a_wrong_setting_is_noticed() {
    type Change = dyn Fn(&mut Config);
    let changes: [(&str, &Change); 5] = [
        ("whole frames everywhere", &|config| {
            config.vision.full_attention = vec![0, 1, 2];
        }),
        ("windows everywhere", &|config| {
            config.vision.full_attention.clear();
        }),
        ("smaller windows", &|config| config.vision.window = 56),
        ("other heads", &|config| config.vision.heads = 4),
        ("other sections", &|config| {
            config.text.rope.sections = Some([4, 2, 2]);
        }),
    ];
    for (what, change) in changes {
        let mut case = Case::open("image");
        change(&mut case.config);
        case.assert_noticed(what);
    }
}

#[test]
fn positions_of_another_rule_are_noticed() {
    let mut case = Case::open("video");
    for position in &mut case.positions.rows {
        position.swap(1, 2);
    }
    case.assert_noticed("height and width");
    let mut case = Case::open("video");
    for (index, position) in case.positions.rows.iter_mut().enumerate() {
        *position = [index as u32; 3];
    }
    case.assert_noticed("positions of words");
}

#[test]
fn names_of_parts_in_memory_are_taken() {
    let case = Case::open("image");
    let scores = |case: &Case| case.run(DType::F32).pop().unwrap().1;
    let expected = scores(&case);
    let folder = tempfile::tempdir().unwrap();
    let tensors: Named = checkpoint_tensors(NAME)
        .into_iter()
        .map(|(name, tensor)| {
            let in_memory = match name.strip_prefix("model.") {
                Some(rest) => format!("model.language_model.{rest}"),
                None if name.starts_with("visual.") => format!("model.{name}"),
                None => name,
            };
            (in_memory, tensor)
        })
        .collect();
    let path = folder.path().join("model.safetensors");
    candle_core::safetensors::save(&tensors, path).unwrap();
    let renamed = Case {
        weights: Weights::open(folder.path()).unwrap(),
        ..case
    };
    assert_eq!(renamed.weights.renaming().parts, tensors.len() - 1);
    assert_eq!(
        Distance::between(&scores(&renamed), &expected)
            .largest
            .to_bits(),
        0
    );
}

#[test]
fn patches_are_those_of_transformers() {
    let expected = Expected::open(NAME, "resized.safetensors");
    let tensors = expected.tensors();
    let input = processor(NAME)
        .image(&pictures(&tensors["picture"], 1)[0])
        .unwrap();
    let grid: Vec<usize> = integers(&tensors["grid"])
        .into_iter()
        .map(|n| n as usize)
        .collect();
    let found = input.shape.grid;
    assert_eq!([found.frames, found.rows, found.columns], grid[..]);
    let found = Tensor::from_vec(input.patches, tensors["patches"].dims(), &Device::Cpu).unwrap();
    let error = Distance::between(&found, &tensors["patches"]);
    println!("patches: off by {error}");
    assert!(error.largest <= 1e-6, "patches are off by {error}");
}

#[test]
fn spectrograms_are_those_of_transformers() {
    for name in ["sound", "sounds", "everything"] {
        let case = Case::of(OMNI, name);
        for (index, medium) in case.media.iter().enumerate() {
            let MediaInput::Sound(mel) = medium else {
                continue;
            };
            let expected = &case.expected.tensors()[&format!("mels.{index}")];
            let found = Tensor::from_vec(mel.values.clone(), (mel.mels, mel.frames), &Device::Cpu);
            let found = found.unwrap();
            assert_eq!(found.dims(), expected.dims(), "{name}");
            let error = Distance::between(&found, expected);
            println!("{name}: spectrogram {index} is off by {error}");
            assert!(error.largest <= 2e-5, "{name}: {index} is off by {error}");
        }
    }
}

#[test]
fn windows_are_those_of_transformers() {
    #[derive(Deserialize)]
    struct Line {
        grid: [usize; 3],
        order: Vec<usize>,
        ends: Vec<usize>,
    }
    let text = std::fs::read(folder(NAME).join("windows.json")).unwrap();
    let table: Vec<Line> = serde_json::from_slice(&text).unwrap();
    for Line { grid, order, ends } in table {
        let [frames, rows, columns] = grid;
        let patches = PatchGrid {
            frames,
            rows,
            columns,
        };
        let windows = Windows::of(patches.merged(2), 4);
        assert_eq!(windows.order, order, "{grid:?}");
        let mut end = 0;
        let found: Vec<usize> = windows
            .lengths
            .iter()
            .map(|cells| {
                end += 4 * cells;
                end
            })
            .collect();
        assert_eq!(found, ends, "{grid:?}");
    }
}

/// A model and everything it is asked, all of it open to change.
struct Case {
    model: &'static str,
    expected: Expected,
    config: Config,
    weights: Weights,
    media: Vec<MediaInput>,
    rows: Vec<Row>,
    positions: MultimodalPositions,
}

impl Case {
    /// Of Qwen2.5-VL.
    fn open(name: &str) -> Self {
        Self::of(NAME, name)
    }

    fn of(model: &'static str, name: &str) -> Self {
        let expected = Expected::open(model, &format!("{name}.safetensors"));
        let config = Config::read(&folder(model)).unwrap();
        let media = media(expected.tensors(), model);
        let shapes: Vec<MediaShape> = media.iter().map(MediaInput::shape).collect();
        let rows = rows(&integers(&expected.tensors()["tokens"]), &shapes, &config);
        Self {
            model,
            positions: positions(&rows, &shapes, &config.vision).unwrap(),
            weights: Weights::open(&folder(model)).unwrap(),
            expected,
            config,
            media,
            rows,
        }
    }

    fn with_tensors(self, change: impl FnOnce(&mut Named)) -> Self {
        let mut tensors = checkpoint_tensors(self.model);
        change(&mut tensors);
        Self {
            weights: Weights::in_memory(tensors),
            ..self
        }
    }

    fn towers(&self, dtype: DType) -> Towers {
        Towers::load(&self.config, &self.weights, &on_cpu(dtype)).unwrap()
    }

    fn decoder(&self, dtype: DType) -> Decoder {
        let placement = on_cpu(dtype);
        Decoder::load(
            &self.config.text,
            &parts::decoder(&self.weights, &placement),
        )
        .and_then(|decoder| decoder.with_lm_head(&parts::language(&self.weights, &placement)))
        .unwrap()
    }

    fn features(&self, dtype: DType) -> Vec<Tensor> {
        let media: Vec<&MediaInput> = self.media.iter().collect();
        self.towers(dtype).encode(&media).unwrap()
    }

    /// The features of each medium, then the scores.
    fn run(&self, dtype: DType) -> Vec<(String, Tensor)> {
        let features = self.features(dtype);
        let reads: Vec<usize> = (0..self.rows.len()).collect();
        let logits = logits(
            &self.decoder(dtype),
            &self.rows,
            &self.positions.rows,
            &features,
            &reads,
        );
        let named = features.into_iter().enumerate();
        named
            .map(|(index, rows)| (format!("features.{index}"), rows))
            .chain([("logits".to_owned(), logits)])
            .collect()
    }

    fn greedy(&self, count: usize) -> Vec<i64> {
        let features = self.features(DType::F32);
        let decoder = self.decoder(DType::F32);
        let (mut rows, mut positions) = (self.rows.clone(), self.positions.rows.clone());
        (0..count as u32)
            .map(|step| {
                let last = rows.len() - 1;
                let scores = logits(&decoder, &rows, &positions, &features, &[last]);
                let token = scores
                    .get(0)
                    .and_then(|scores| scores.argmax(0)?.to_scalar::<u32>())
                    .unwrap();
                rows.push(Row::token(token));
                positions.push([self.positions.next + step; 3]);
                i64::from(token)
            })
            .collect()
    }

    /// The same by the generator, which keeps keys and values.
    fn written(&self, count: usize) -> Vec<i64> {
        let features = self.features(DType::F32);
        let starts = features.iter().scan(0, |end, rows| {
            *end += rows.dim(0).unwrap();
            Some(*end - rows.dim(0).unwrap())
        });
        let prompt = Prompt {
            rows: self.rows.clone(),
            positions: self.positions.clone().into(),
            features: Features {
                starts: starts.collect(),
                rows: (!features.is_empty()).then(|| Tensor::cat(&features, 0).unwrap()),
            },
        };
        let decoder = self.decoder(DType::F32);
        let mut generator = Generator::new(&decoder, GeneratorOptions::default()).unwrap();
        let request = Request {
            prompt,
            samples: 0..1,
            sampling: Sampling {
                max_tokens: count,
                ..Sampling::default()
            },
            stop: Stop::default(),
            constraint: None,
            watched: None,
        };
        generator.add(request).unwrap();
        let finished = generator.run().unwrap();
        let tokens = &finished[0].reply.tokens;
        tokens.iter().copied().map(i64::from).collect()
    }

    fn assert_noticed(&self, what: &str) {
        let found = self.run(DType::F32).pop().unwrap().1;
        let error = self.expected.error("logits", &found);
        assert!(
            error.largest > EXACT,
            "{what}: scores are off by {error} only"
        );
    }
}

fn logits(
    decoder: &Decoder,
    rows: &[Row],
    positions: &[[u32; 3]],
    features: &[Tensor],
    reads: &[usize],
) -> Tensor {
    let forest = Forest::new(&[(&TokenTree::new(&[rows.to_vec()]), 0)]);
    let tokens: Vec<u32> = rows.iter().map(|row| row.token).collect();
    let embeddings = decoder.embed(&tokens).unwrap();
    let mut hidden = place_features(&embeddings, rows, features).unwrap();
    let layout = Arc::clone(&forest.layout);
    let positions = RowPositions::Multimodal(positions);
    let pass = decoder
        .pass_at(positions, &layout, reads, &Device::Cpu)
        .unwrap();
    for stage in 0..decoder.stages() {
        hidden = decoder.stage(stage, hidden, &pass).unwrap();
    }
    let hidden = decoder.finish(&hidden, &pass).unwrap();
    decoder.logits(&hidden).unwrap()
}

/// Tokens, with the pad tokens of media as the places of their rows.
fn rows(tokens: &[i64], shapes: &[MediaShape], config: &Config) -> Vec<Row> {
    let own = config.tokens;
    let count = |medium: usize| shapes[medium].rows(&config.vision);
    let (mut medium, mut row) = (0, 0);
    tokens
        .iter()
        .map(|token| {
            let token = *token as u32;
            if token != own.image && token != own.video && Some(token) != own.audio {
                return Row::token(token);
            }
            if row == count(medium) {
                (medium, row) = (medium + 1, 0);
            }
            row += 1;
            let feature = Feature {
                medium,
                row: row - 1,
            };
            Row {
                token,
                feature: Some(feature),
            }
        })
        .collect()
}

/// The media of a case. A sound has seconds below 0, a still picture has none.
fn media(tensors: &Named, model: &str) -> Vec<MediaInput> {
    let seconds: Vec<f32> = tensors["seconds"].to_vec1().unwrap();
    let processor = processor(model);
    seconds
        .into_iter()
        .enumerate()
        .map(|(index, seconds)| {
            if seconds < 0.0 {
                let sound = Waveform {
                    sample_rate_hz: 16_000,
                    channels: 1,
                    samples: tensors[&format!("sound.{index}")].to_vec1().unwrap(),
                };
                return MediaInput::Sound(processor.sound(&sound).unwrap());
            }
            let frames = integers(&tensors[&format!("picture.{index}.frames")])[0] as usize;
            let pictures = pictures(&tensors[&format!("picture.{index}")], frames.max(1));
            let input = if frames == 0 {
                processor.image(&pictures[0])
            } else {
                processor.video(&pictures, 2.0 / f64::from(seconds))
            };
            MediaInput::Visual(input.unwrap())
        })
        .collect()
}

/// Pictures that stand one above another.
fn pictures(pixels: &Tensor, count: usize) -> Vec<RgbImage> {
    let (height, width, _) = pixels.dims3().unwrap();
    let bytes: Vec<u8> = pixels.flatten_all().unwrap().to_vec1().unwrap();
    bytes
        .chunks_exact(bytes.len() / count)
        .map(|own| RgbImage::from_raw(width as u32, (height / count) as u32, own.to_vec()).unwrap())
        .collect()
}

/// A processor with the published limits for pictures, and small frames.
fn processor(model: &str) -> Qwen2_5VlProcessor {
    let checkpoint = tempfile::tempdir().unwrap();
    let path: &Path = checkpoint.path();
    RandomCheckpoint::new(Family::Qwen2_5Vl, Size::Tiny)
        .write(path, &NoProgress)
        .unwrap();
    let file = path.join("preprocessor_config.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for (field, value) in [
        ("min_pixels", 56 * 56),
        ("max_pixels", 16384 * 28 * 28),
        ("feature_size", 16),
        ("n_samples", 4_800_000),
        ("sampling_rate", 16_000),
    ] {
        json[field] = json!(value);
    }
    std::fs::write(file, json.to_string()).unwrap();
    let videos = VideoSettings {
        least_pixels: 56 * 56,
        ..VideoSettings::default()
    };
    Qwen2_5VlProcessor::open(path, &Config::read(&folder(model)).unwrap())
        .unwrap()
        .with_videos(videos)
}

fn integers(tensor: &Tensor) -> Vec<i64> {
    tensor.to_vec1().unwrap()
}
