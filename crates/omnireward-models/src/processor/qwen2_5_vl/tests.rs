use std::fs;

use omnireward_core::{NoProgress, Role};
use omnireward_media::image::encode_png;
use serde_json::{Value, json};

use super::*;
use crate::{
    checkpoint::{Family, RandomCheckpoint, Size},
    qwen2_5_vl::PatchGrid,
};

/// A checkpoint for small media, its folder kept as long as it is used.
struct Checkpoint {
    folder: tempfile::TempDir,
}

impl Checkpoint {
    fn new() -> Self {
        Self::of(Family::Qwen2_5Vl)
    }

    fn of(family: Family) -> Self {
        let folder = tempfile::tempdir().unwrap();
        RandomCheckpoint::new(family, Size::Tiny)
            .write(folder.path(), &NoProgress)
            .unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn open(&self) -> Result<Qwen2_5VlProcessor> {
        Qwen2_5VlProcessor::open(self.path(), &Config::read(self.path())?)
    }

    /// Changes fields of a JSON file.
    fn change(&self, file: &str, fields: &Value) {
        let path = self.path().join(file);
        let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            json[name] = value.clone();
        }
        fs::write(path, json.to_string()).unwrap();
    }
}

fn text(text: &str) -> ChatPart {
    ChatPart::Text(text.to_owned())
}

fn picture(width: u32, height: u32) -> ChatPart {
    ChatPart::Image {
        media_type: "image/png",
        bytes: encode_png(&RgbImage::from_pixel(width, height, [90, 60, 30].into())).into(),
    }
}

fn user(parts: Vec<ChatPart>) -> ChatMessage {
    ChatMessage {
        role: Role::User,
        parts,
    }
}

fn grid(frames: usize, rows: usize, columns: usize) -> PatchGrid {
    PatchGrid {
        frames,
        rows,
        columns,
    }
}

fn still(rows: usize, columns: usize) -> MediaShape {
    MediaShape::Visual(VisualShape {
        grid: grid(1, rows, columns),
        seconds: None,
    })
}

/// The rows' text, with a dot for every row of a medium.
fn shown(processor: &Qwen2_5VlProcessor, checkpoint: &Checkpoint, rows: &[Row]) -> String {
    let file = checkpoint.path().join("tokenizer.json");
    let tokenizer = tokenizers::Tokenizer::from_file(file).unwrap();
    let own = processor.model.tokens;
    let pads = [Some(own.image), Some(own.video), own.audio];
    let pieces = rows.split_inclusive(|row| row.feature.is_some());
    let words = pieces.map(|piece| {
        let words: Vec<u32> = piece.iter().map(|row| row.token).collect();
        let (words, dot) = match words.split_last() {
            Some((last, words)) if pads.contains(&Some(*last)) => (words, "."),
            _ => (&words[..], ""),
        };
        format!("{}{dot}", tokenizer.decode(words, false).unwrap())
    });
    words.collect::<Vec<_>>().concat()
}

#[test]
fn a_conversation_is_laid_out_by_the_template() {
    let checkpoint = Checkpoint::new();
    let processor = checkpoint.open().unwrap();
    let messages = [user(vec![
        text("Which?"),
        picture(56, 84),
        text("Or "),
        picture(56, 56),
        text("\nthat"),
    ])];
    let shapes = [still(6, 4), still(4, 4)];
    let rows = processor.prompt_rows(&messages, &shapes).unwrap();
    assert_eq!(
        shown(&processor, &checkpoint, &rows),
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n\
         <|im_start|>user\nWhich?<|vision_start|>......<|vision_end|>Or \
         <|vision_start|>....<|vision_end|>\nthat<|im_end|>\n<|im_start|>assistant\n"
    );
    let features: Vec<Feature> = rows.iter().filter_map(|row| row.feature).collect();
    assert_eq!((features[5].medium, features[5].row), (0, 5));
    assert_eq!((features[6].medium, features[6].row), (1, 0));
    let finished = processor.conversation_rows(&messages, &shapes).unwrap();
    assert!(rows.starts_with(&finished) && finished.len() < rows.len());

    let prompt = processor
        .prompt(&messages, &shapes, Features::default())
        .unwrap();
    assert_eq!(prompt.rows, rows);
}

/// With a counter that outlives its loop, and parts known by their keys.
#[test]
fn templates_may_be_written_as_the_published_one_is() {
    const TEMPLATE: &str = "{% set seen = namespace(count=0) %}{% for m in messages %}<|im_start|>{{ m['role'] }}\n\
        {% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}\
        {% if part['type'] == 'image' or 'image' in part %}{% set seen.count = seen.count + 1 %}\
        {% if add_vision_id %}No. {{ seen.count }}: {% endif %}<|vision_start|><|image_pad|><|vision_end|>\
        {% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}\
        {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let checkpoint = Checkpoint::new();
    checkpoint.change(
        "tokenizer_config.json",
        &json!({ "chat_template": TEMPLATE }),
    );
    let processor = checkpoint.open().unwrap();
    let messages = [user(vec![picture(56, 56), text("What?")])];
    let rows = processor.prompt_rows(&messages, &[still(4, 4)]).unwrap();
    assert_eq!(
        shown(&processor, &checkpoint, &rows),
        "<|im_start|>user\n<|vision_start|>....<|vision_end|>What?<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn what_is_said_is_no_special_token() {
    let checkpoint = Checkpoint::new();
    let processor = checkpoint.open().unwrap();
    let said = "<|im_end|><|image_pad|>";
    let messages = [
        user(vec![text(said)]),
        user(vec![text("<|im_"), text("end|>"), picture(56, 56)]),
    ];
    let rows = processor.prompt_rows(&messages, &[still(4, 4)]).unwrap();
    let count = |token: &str| {
        let id = tokenizers::Tokenizer::from_file(checkpoint.path().join("tokenizer.json"))
            .unwrap()
            .token_to_id(token)
            .unwrap();
        rows.iter().filter(|row| row.token == id).count()
    };
    assert_eq!(count("<|im_end|>"), 3, "those of the template alone");
    assert_eq!(count("<|image_pad|>"), 4, "those of the picture alone");
    assert!(shown(&processor, &checkpoint, &rows).contains(&format!("user\n{said}<|im_end|>")));
}

#[test]
fn places_of_media_are_counted() {
    let checkpoint = Checkpoint::new();
    let processor = checkpoint.open().unwrap();
    let messages = [user(vec![text("Look:"), picture(56, 56)])];
    let error = processor.prompt_rows(&messages, &[]).unwrap_err();
    assert!(error.to_string().contains("`1` media"), "{error}");

    let config = json!({ "chat_template": "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}" });
    checkpoint.change("tokenizer_config.json", &config);
    let deaf = checkpoint.open().unwrap();
    let error = deaf.prompt_rows(&messages, &[still(4, 4)]).unwrap_err();
    assert!(error.to_string().contains("no place for `1`"), "{error}");
}

#[test]
fn sounds_are_refused() {
    let checkpoint = Checkpoint::new();
    let processor = checkpoint.open().unwrap();
    let sound = ChatPart::Audio {
        media_type: "audio/wav",
        bytes: Arc::from(&b"RIFF"[..]),
    };
    let error = processor.input(&sound).unwrap_err().to_string();
    assert!(error.contains("does not hear"), "{error}");
    let error = processor.prompt_rows(&[user(vec![sound, text("?")])], &[]);
    assert!(error.unwrap_err().to_string().contains("does not hear"));
}

#[test]
fn a_thinker_hears() {
    let checkpoint = Checkpoint::of(Family::Qwen2_5Omni);
    let processor = checkpoint.open().unwrap();
    let tone = |seconds: f32| Waveform {
        sample_rate_hz: 16_000,
        channels: 1,
        samples: (0..(seconds * 16_000.0) as usize)
            .map(|index| (index as f32 * 0.1).sin())
            .collect(),
    };
    let sound = ChatPart::Audio {
        media_type: "audio/wav",
        bytes: tone(0.2).wav_i16().into(),
    };
    let input = processor.input(&sound).unwrap().unwrap();
    assert_eq!(input.shape(), MediaShape::Sound { rows: 5 });
    let messages = [user(vec![text("Hear: "), sound, picture(56, 56)])];
    let shapes = [input.shape(), still(4, 4)];
    let rows = processor.prompt_rows(&messages, &shapes).unwrap();
    assert_eq!(
        shown(&processor, &checkpoint, &rows),
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n\
         <|im_start|>user\nHear: <|audio_bos|>.....<|audio_eos|><|vision_bos|>....<|vision_eos|>\
         <|im_end|>\n<|im_start|>assistant\n"
    );
    let refused = |seconds| processor.sound(&tone(seconds)).unwrap_err();
    assert!(refused(0.01).contains("too short"));
    assert!(refused(301.0).contains("301 seconds"));
}

#[test]
fn a_template_without_a_generation_prompt_is_refused() {
    let checkpoint = Checkpoint::new();
    let template = "{% for m in messages %}{{ m.content }}{% endfor %}";
    checkpoint.change(
        "tokenizer_config.json",
        &json!({ "chat_template": template }),
    );
    let error = checkpoint.open().unwrap_err();
    assert!(matches!(error, Error::Template { .. }), "{error}");
    assert!(error.to_string().contains("generation prompt"), "{error}");
}

#[test]
fn pictures_are_fitted_to_whole_cells() {
    let checkpoint = Checkpoint::new();
    let processor = checkpoint.open().unwrap();
    let cases = [
        // Smaller than a patch: enlarged to the least size.
        ((3, 5), (4, 2)),
        ((56, 84), (6, 4)),
        ((60, 80), (6, 4)),
        // Shrunk to the largest.
        ((400, 90), (2, 16)),
    ];
    for ((width, height), (rows, columns)) in cases {
        let input = processor.input(&picture(width, height)).unwrap().unwrap();
        assert_eq!(input.shape(), still(rows, columns), "{width} × {height}");
    }
    let error = processor.input(&picture(500, 2)).unwrap_err().to_string();
    assert!(error.contains("250 times as long"), "{error}");
    assert!(processor.input(&text("words")).unwrap().is_none());
}

#[test]
fn a_video_of_one_frame_is_one_grid() {
    let checkpoint = Checkpoint::new();
    let processor = checkpoint.open().unwrap();
    let frame = |value: u8| RgbImage::from_pixel(56, 56, [value; 3].into());
    let one = processor.video(&[frame(9)], 2.0).unwrap();
    assert_eq!(one.shape.grid, grid(1, 4, 4));
    assert_eq!(one.patches, processor.image(&frame(9)).unwrap().patches);
    let three = processor
        .video(&[frame(1), frame(2), frame(3)], 0.5)
        .unwrap();
    assert_eq!(three.shape.grid, grid(2, 4, 4));
    assert_eq!(three.shape.seconds, Some(4.0));
    assert!(processor.video(&[], 2.0).is_err());
    let odd = RgbImage::new(28, 56);
    assert!(processor.video(&[frame(1), odd], 2.0).is_err());
}

#[test]
fn files_that_disagree_are_refused() {
    let cases = [
        (json!({ "patch_size": 16 }), "`patch_size`"),
        (json!({ "merge_size": 1 }), "`merge_size`"),
        (json!({ "min_pixels": null }), "`min_pixels`"),
        (json!({ "min_pixels": 20_000 }), "`min_pixels`"),
        (json!({ "image_std": [0.5, 0.0, 0.5] }), "`image_std`"),
    ];
    for (fields, named) in cases {
        let checkpoint = Checkpoint::new();
        checkpoint.change("preprocessor_config.json", &fields);
        let error = checkpoint.open().unwrap_err().to_string();
        assert!(error.starts_with(named), "{error}");
    }
    let checkpoint = Checkpoint::new();
    let size = json!({ "shortest_edge": 784, "longest_edge": 12_544 });
    let later = json!({ "min_pixels": null, "max_pixels": null, "size": size });
    checkpoint.change("preprocessor_config.json", &later);
    checkpoint.open().expect("the limits of a later save");
    checkpoint.change("video_preprocessor_config.json", &json!({ "fps": 0.0 }));
    let error = checkpoint.open().unwrap_err().to_string();
    assert!(error.starts_with("`fps`"), "{error}");
}

#[test]
fn the_fingerprint_tells_what_changes_rows() {
    let checkpoint = Checkpoint::new();
    let processor = checkpoint.open().unwrap();
    let fingerprint = processor.fingerprint();
    let fewer = VideoSettings {
        most_frames: 4,
        ..*processor.videos()
    };
    let other = checkpoint.open().unwrap();
    assert_eq!(other.fingerprint(), fingerprint);
    assert_ne!(other.with_videos(fewer).fingerprint(), fingerprint);
}
