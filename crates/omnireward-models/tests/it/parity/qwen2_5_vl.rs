//! A tiny Qwen2.5-VL, from pixels to the scores of the next token, against transformers.

use std::{path::Path, sync::Arc};

use candle_core::{DType, Device, Tensor};
use omnireward_core::NoProgress;
use omnireward_media::RgbImage;
use omnireward_models::{
    Feature, Forest, Row, TokenTree,
    checkpoint::{Family, RandomCheckpoint, Size},
    decoder::{Decoder, RowPositions},
    processor::{Qwen2_5VlProcessor, VideoSettings},
    qwen2_5_vl::{
        Config, MultimodalPositions, PatchGrid, VisionTower, VisualInput, VisualShape, Windows,
        positions, weights as parts,
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
const CASES: [&str; 5] = ["text", "image", "images", "video", "mixed"];

#[test]
fn features_and_scores_equal_those_of_transformers() {
    for name in CASES {
        let case = Case::open(name);
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
    for name in CASES {
        let case = Case::open(name);
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
    for name in CASES {
        let case = Case::open(name);
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
    for name in CASES {
        let case = Case::open(name);
        let expected = integers(&case.expected.tensors()["greedy"]);
        assert_eq!(expected.len(), 64);
        assert_eq!(case.greedy(expected.len()), expected, "{name}");
    }
}

#[test]
fn a_medium_becomes_the_same_whatever_is_beside_it() {
    for name in ["images", "mixed"] {
        let case = Case::open(name);
        let tower = case.tower(DType::F32);
        let [first, second] = [0, 1].map(|index| &case.media[index]);
        let together = tower.encode(&[first, second]).unwrap();
        for (medium, beside) in [first, second].into_iter().zip(together) {
            let alone = tower.encode(&[medium]).unwrap();
            assert_eq!(
                alone[0].to_vec2::<f32>().unwrap(),
                beside.to_vec2::<f32>().unwrap(),
                "{name}"
            );
        }
    }
}

#[test]
fn one_wrong_weight_is_noticed() {
    let weights = [
        ("image", "visual.patch_embed.proj.weight"),
        ("image", "visual.blocks.0.norm1.weight"),
        ("image", "visual.blocks.0.attn.qkv.weight"),
        ("image", "visual.blocks.1.attn.qkv.bias"),
        ("image", "visual.blocks.1.attn.proj.weight"),
        ("image", "visual.blocks.2.norm2.weight"),
        ("image", "visual.blocks.2.mlp.gate_proj.weight"),
        ("image", "visual.blocks.2.mlp.up_proj.bias"),
        ("video", "visual.blocks.0.mlp.down_proj.weight"),
        ("video", "visual.merger.ln_q.weight"),
        ("video", "visual.merger.mlp.0.weight"),
        ("video", "visual.merger.mlp.2.bias"),
        ("text", "model.layers.0.self_attn.k_proj.bias"),
        ("text", "model.layers.1.mlp.up_proj.weight"),
        ("text", "model.norm.weight"),
        ("text", "lm_head.weight"),
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
fn a_wrong_setting_is_noticed() {
    let changes: [(&str, &dyn Fn(&mut Config)); 5] = [
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
    let input = processor()
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
    expected: Expected,
    config: Config,
    weights: Weights,
    media: Vec<VisualInput>,
    rows: Vec<Row>,
    positions: MultimodalPositions,
}

impl Case {
    fn open(name: &str) -> Self {
        let expected = Expected::open(NAME, &format!("{name}.safetensors"));
        let config = Config::read(&folder(NAME)).unwrap();
        let media = media(expected.tensors());
        let shapes: Vec<VisualShape> = media.iter().map(|medium| medium.shape).collect();
        let rows = rows(&integers(&expected.tensors()["tokens"]), &shapes, &config);
        Self {
            positions: positions(&rows, &shapes, &config.vision).unwrap(),
            weights: Weights::open(&folder(NAME)).unwrap(),
            expected,
            config,
            media,
            rows,
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

    fn tower(&self, dtype: DType) -> VisionTower {
        let scope = parts::vision(&self.weights, &on_cpu(dtype));
        VisionTower::load(&self.config.vision, &scope).unwrap()
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
        let media: Vec<&VisualInput> = self.media.iter().collect();
        self.tower(dtype).encode(&media).unwrap()
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
fn rows(tokens: &[i64], shapes: &[VisualShape], config: &Config) -> Vec<Row> {
    let cells = |medium: usize| shapes[medium].grid.merged(config.vision.merge).cells();
    let (mut medium, mut row) = (0, 0);
    tokens
        .iter()
        .map(|token| {
            let token = *token as u32;
            if token != config.tokens.image && token != config.tokens.video {
                return Row::token(token);
            }
            if row == cells(medium) {
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

fn media(tensors: &Named) -> Vec<VisualInput> {
    let seconds: Vec<f32> = tensors["seconds"].to_vec1().unwrap();
    let processor = processor();
    seconds
        .into_iter()
        .enumerate()
        .map(|(index, seconds)| {
            let frames = integers(&tensors[&format!("picture.{index}.frames")])[0] as usize;
            let pictures = pictures(&tensors[&format!("picture.{index}")], frames.max(1));
            if frames == 0 {
                processor.image(&pictures[0]).unwrap()
            } else {
                processor
                    .video(&pictures, 2.0 / f64::from(seconds))
                    .unwrap()
            }
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
fn processor() -> Qwen2_5VlProcessor {
    let checkpoint = tempfile::tempdir().unwrap();
    let path: &Path = checkpoint.path();
    RandomCheckpoint::new(Family::Qwen2_5Vl, Size::Tiny)
        .write(path, &NoProgress)
        .unwrap();
    let file = path.join("preprocessor_config.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    json["min_pixels"] = json!(56 * 56);
    json["max_pixels"] = json!(16384 * 28 * 28);
    std::fs::write(file, json.to_string()).unwrap();
    let videos = VideoSettings {
        least_pixels: 56 * 56,
        ..VideoSettings::default()
    };
    Qwen2_5VlProcessor::open(path, &Config::read(&folder(NAME)).unwrap())
        .unwrap()
        .with_videos(videos)
}

fn integers(tensor: &Tensor) -> Vec<i64> {
    tensor.to_vec1().unwrap()
}
