//! The processor of MiniCPM-o-2.6 against its original, restated in Python
//! (`parity/processor/make_fixtures.py`), and switch by switch.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use omnireward_core::{MediaRef, MediaSource, Modality, Part, PreferencePair, Response, Task};
use omnireward_media::{RgbImage, RgbaImage, audio::Waveform, image};
use omnireward_models::{
    Error, Row,
    minicpm_o::{Grid, ImageInput},
    processor::{
        AudioPadding, AudioRows, ImageNumbers, MediaSplit, MediaUse, MediumInput, MediumShape,
        MiniCpmOProcessor, MixedMedia, Orientation, Preprocessing, Shrink, SpecialText,
        Transparency,
    },
};
use omnireward_testkit::real_data;
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/processor")
}

fn text(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

fn open(preprocessing: Preprocessing) -> MiniCpmOProcessor {
    MiniCpmOProcessor::open(&folder(), preprocessing).unwrap()
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_file(folder().join("tokenizer.json")).unwrap()
}

/// The reference's layout without what makes it lose media.
fn layout() -> Preprocessing {
    Preprocessing {
        audio_rows: AudioRows::OwnRow,
        media_split: MediaSplit::ByRole,
        ..Preprocessing::reference()
    }
}

fn medium(modality: Modality) -> Part {
    Part::Media(MediaRef {
        modality,
        source: MediaSource::Absent {
            name: format!("a.{modality}"),
        },
    })
}

fn response(parts: impl IntoIterator<Item = Part>) -> Response {
    Response {
        parts: parts.into_iter().collect(),
        model: None,
    }
}

/// A pair whose prompt and responses are the parts.
fn pair<P, R>(task: Task, prompt: P, responses: R) -> PreferencePair
where
    P: IntoIterator<Item = Part>,
    R: IntoIterator<Item = Response>,
{
    let mut pair = PreferencePair::new("p", task, "", responses);
    pair.prompt = prompt.into_iter().collect();
    pair
}

fn picture(grid: Option<(usize, usize)>) -> MediumShape {
    MediumShape::Image {
        grid: grid.map(|(columns, rows)| Grid { columns, rows }),
    }
}

fn tokens(rows: &[Row]) -> Vec<u32> {
    rows.iter().map(|row| row.token).collect()
}

/// The first row, the medium, the first feature and the length of each run of features.
fn runs(rows: &[Row]) -> Vec<[usize; 4]> {
    let mut runs: Vec<[usize; 4]> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let Some(feature) = row.feature else { continue };
        match runs.last_mut() {
            Some([start, medium, first, length])
                if (*start + *length, *medium, *first + *length)
                    == (index, feature.medium, feature.row) =>
            {
                *length += 1;
            }
            _ => runs.push([index, feature.medium, feature.row, 1]),
        }
    }
    runs
}

fn decoded(rows: &[Row]) -> String {
    let text = tokenizer().decode(&tokens(rows), false).unwrap();
    text.replace(&"<unk>".repeat(64), "…")
}

/// A ramp, then noise, from a linear congruential generator.
fn noise(seed: u32, width: u32, height: u32) -> RgbImage {
    let count = width * height * 3;
    let mut state = seed;
    let pixels = (0..count)
        .map(|index| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if index < count / 2 {
                (index / 3 * 7) as u8
            } else {
                (state >> 24) as u8
            }
        })
        .collect();
    RgbImage::from_raw(width, height, pixels).unwrap()
}

fn opaque(image: &RgbImage) -> RgbaImage {
    RgbaImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue] = image.get_pixel(x, y).0;
        [red, green, blue, 255].into()
    })
}

fn digest(input: &ImageInput) -> String {
    let mut digest = Sha256::new();
    for tile in &input.tiles {
        let bytes: Vec<u8> = tile
            .patches
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        digest.update(bytes);
    }
    digest
        .finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
}

#[test]
fn pictures_become_the_originals_patches_bit_for_bit() {
    let processor = open(Preprocessing::reference());
    for (seed, line) in (0..).zip(text("pictures.txt").lines()) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [width, height, kind, columns, rows, expected] = fields[..] else {
            panic!("`{line}` is not a case");
        };
        let image = noise(seed, width.parse().unwrap(), height.parse().unwrap());
        let input = match kind {
            "image" => processor.image(&opaque(&image)),
            _ => processor.frame(&image),
        };
        let grid = input.grid.map_or((0, 0), |grid| (grid.columns, grid.rows));
        assert_eq!(
            grid,
            (columns.parse().unwrap(), rows.parse().unwrap()),
            "{line}"
        );
        assert_eq!(digest(&input), expected, "{line}");
    }
}

fn parts(list: &Value, media: &[Value]) -> Vec<Part> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|part| match part.as_str() {
            Some(text) => Part::Text(text.to_owned()),
            None => medium(modality(&media[part.as_u64().unwrap() as usize])),
        })
        .collect()
}

fn modality(medium: &Value) -> Modality {
    let kind = medium.as_object().unwrap().keys().next().unwrap();
    serde_json::from_value(Value::from(kind.as_str())).unwrap()
}

fn shape(medium: &Value) -> MediumShape {
    let number = |field: &str| medium[field].as_u64().unwrap() as usize;
    match modality(medium) {
        Modality::Video => MediumShape::Video {
            frames: vec![None; number("video")],
        },
        Modality::Audio => MediumShape::Audio {
            tokens: number("audio"),
        },
        _ => picture(serde_json::from_value(medium["image"].clone()).unwrap()),
    }
}

#[test]
fn conversations_have_the_originals_tokens_and_places() {
    let processor = open(layout());
    let cases: Vec<Value> = serde_json::from_str(&text("conversations.json")).unwrap();
    assert!(cases.len() >= 18);
    for case in cases {
        let media = case["media"].as_array().unwrap();
        let responses = case["responses"].as_array().unwrap();
        let mut pair = pair(
            case["task"].as_str().unwrap().parse().unwrap(),
            parts(&case["prompt"], media),
            responses.iter().map(|list| response(parts(list, media))),
        );
        if let Some(criterion) = case["criterion"].as_str() {
            pair = pair.with_criterion(criterion);
        }
        let shapes: Vec<MediumShape> = media.iter().map(shape).collect();
        let sequences = processor.sequences(&pair, &shapes).unwrap();
        for (rows, expected) in sequences.iter().zip(case["expected"].as_array().unwrap()) {
            let ids: Vec<u32> = serde_json::from_value(expected["tokens"].clone()).unwrap();
            assert_eq!(tokens(rows), ids, "{}", case["prompt"]);
            let places: Vec<[usize; 4]> =
                serde_json::from_value(expected["features"].clone()).unwrap();
            assert_eq!(runs(rows), places, "{}", case["prompt"]);
        }
    }
}

#[test]
fn the_template_is_written_out_in_separate_blocks() {
    let pair = PreferencePair::new(
        "p",
        Task::T2T,
        "Hello",
        [Response::text("\nHi"), Response::text("Hi")],
    );
    let sequences = open(layout()).sequences(&pair, &[]).unwrap();
    assert_eq!(
        decoded(&sequences[0]),
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful \
         assistant.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n\nHi\
         <|im_end|>\n"
    );
    // In one piece, the two newlines would be one token.
    let tokenizer = tokenizer();
    let newline = tokenizer.encode("\n", false).unwrap().get_ids().to_vec();
    assert_eq!(newline.len(), 1);
    assert_eq!(tokenizer.encode("\n\n", false).unwrap().len(), 1);
    let assistant = tokenizer.encode("assistant", false).unwrap();
    let ids = tokens(&sequences[0]);
    let at = ids
        .windows(assistant.len())
        .rposition(|window| window == assistant.get_ids())
        .unwrap()
        + assistant.len();
    assert_eq!(ids[at..at + 2], [newline[0], newline[0]]);
    // The reward is read at the newline after the turn's end.
    let end = tokenizer.token_to_id("<|im_end|>").unwrap();
    for ids in sequences.iter().map(|rows| tokens(rows)) {
        assert_eq!(ids[ids.len() - 2..], [end, newline[0]]);
    }

    let judged = pair.with_criterion("Be kind.");
    let sequences = open(layout()).sequences(&judged, &[]).unwrap();
    assert!(decoded(&sequences[1]).starts_with("<|im_start|>system\nBe kind.<|im_end|>\n"));
}

#[test]
fn conversations_of_several_turns_are_messages_of_their_own() {
    let image = || medium(Modality::Image);
    let mut pair = pair(
        Task::TI2T,
        ["User: ".into(), image(), image(), "Assistant: …".into()],
        [Response::text("a"), Response::text("b")],
    );
    pair.extra.insert(
        "turns".to_owned(),
        serde_json::json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]},
            {"role": "assistant", "content": "A dog."},
            {"role": "user", "content": [{"type": "text", "text": "And this?"}, {"type": "image"}]},
        ]),
    );
    let shapes = [picture(None), picture(Some((2, 1)))];
    let of = |image_numbers| {
        let processor = open(Preprocessing {
            image_numbers,
            ..layout()
        });
        processor.sequences(&pair, &shapes)
    };
    let running = of(ImageNumbers::Running).unwrap();
    assert_eq!(
        decoded(&running[0]),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n<image_id>0</image_id>\
         <image>…</image>What?<|im_end|>\n<|im_start|>assistant\nA dog.<|im_end|>\n<|im_start|>user\n\
         And this?<image_id>1</image_id><image>…</image><slice>…</slice><slice>…</slice><|im_end|>\n\
         <|im_start|>assistant\na<|im_end|>\n"
    );
    let lengths = |rows: &[Row]| {
        runs(rows)
            .iter()
            .map(|run| (run[1], run[3]))
            .collect::<Vec<_>>()
    };
    assert_eq!(lengths(&running[0]), [(0, 64), (1, 64), (1, 64), (1, 64)]);

    // The second message starts at 0 again, and has the size of the first image.
    let per_message = of(ImageNumbers::PerMessage).unwrap();
    assert_eq!(
        decoded(&per_message[0])
            .matches("<image_id>0</image_id>")
            .count(),
        2
    );
    assert_eq!(lengths(&per_message[0]), [(0, 64), (1, 64)]);

    // With the larger image first there are more places than features.
    let processor = open(layout());
    let error = processor
        .sequences(&pair, &[picture(Some((2, 1))), picture(None)])
        .unwrap_err();
    assert!(error.to_string().contains("image_numbers"), "{error}");
}

#[test]
fn sounds_of_every_response_can_go_to_the_first_row() {
    let sound = || response([medium(Modality::Audio)]);
    let pair = pair(Task::T2A, ["a bell".into()], [sound(), sound()]);
    let of = |audio_rows, tokens: [usize; 2]| {
        let processor = open(Preprocessing {
            audio_rows,
            ..layout()
        });
        processor
            .sequences(&pair, &tokens.map(|tokens| MediumShape::Audio { tokens }))
            .unwrap()
    };
    let own = of(AudioRows::OwnRow, [10, 12]);
    let start = runs(&own[0])[0][0];
    assert_eq!(runs(&own[0]), [[start, 0, 0, 10]]);
    assert_eq!(runs(&own[1]), [[start, 1, 0, 12]]);

    let first = of(AudioRows::FirstRow, [10, 12]);
    assert_eq!(tokens(&first[0]), tokens(&own[0]));
    assert_eq!(tokens(&first[1]), tokens(&own[1]));
    // The longer sound covers the shorter one and what follows it.
    assert_eq!(runs(&first[0]), [[start, 1, 0, 12]]);
    assert!(runs(&first[1]).is_empty());

    let first = of(AudioRows::FirstRow, [12, 10]);
    assert_eq!(runs(&first[0]), [[start, 1, 0, 10], [start + 10, 0, 10, 2]]);

    // What would be written beyond the end of the first is lost.
    let long = of(AudioRows::FirstRow, [3, 25]);
    let [place] = runs(&long[0])[..] else {
        panic!("the second sound covers the first")
    };
    assert_eq!(place, [start, 1, 0, 25.min(long[0].len() - start)]);
}

#[test]
fn media_dealt_by_number_are_refused_where_the_original_fails() {
    let image = || medium(Modality::Image);
    let words = |a: &str, b: &str| [Response::text(a), Response::text(b)];
    let reference = open(Preprocessing::reference());
    let refused = |pair: &PreferencePair| {
        assert!(open(layout()).media(pair).is_ok());
        reference
            .media(pair)
            .is_err_and(|error| error.to_string().contains("media_split"))
    };
    for (count, expected) in [(1, false), (2, true), (3, false), (4, false)] {
        let prompt: Vec<Part> = (0..count).map(|_| image()).collect();
        let differ = pair(Task::TI2T, prompt.clone(), words("a", "b"));
        assert_eq!(refused(&differ), expected, "{count} images");
        let same = pair(Task::TI2T, prompt, words("a", "a"));
        assert_eq!(refused(&same), count > 1, "{count} images, equal responses");
    }
    let two_sounds = [medium(Modality::Audio), medium(Modality::Audio)];
    assert!(refused(&pair(Task::TA2T, two_sounds, words("a", "b"))));
    let one = || response([image()]);
    assert!(!refused(&pair(Task::T2I, ["a".into()], [one(), one()])));
    assert!(!refused(&pair(
        Task::TI2I,
        [image(), "a".into()],
        [one(), one()]
    )));
    let frames = || response([image(), image(), image()]);
    assert!(!refused(&pair(
        Task::T2V,
        ["a".into()],
        [frames(), frames()]
    )));
}

#[test]
fn images_and_videos_in_one_pair_are_refused_or_not() {
    let mixed = pair(
        Task::TV2T,
        [medium(Modality::Image), medium(Modality::Video), "?".into()],
        [Response::text("a"), Response::text("b")],
    );
    let error = open(Preprocessing::reference()).media(&mixed).unwrap_err();
    assert!(error.to_string().contains("images and videos"), "{error}");
    let allowed = open(Preprocessing {
        mixed_media: MixedMedia::Allowed,
        ..layout()
    });
    let video = MediumShape::Video {
        frames: vec![None, None],
    };
    let sequences = allowed.sequences(&mixed, &[picture(None), video]).unwrap();
    let text = decoded(&sequences[0]);
    assert!(
        text.contains("<image_id>0</image_id><image>…</image><image>…</image><image>…</image>?")
    );
}

#[test]
fn text_that_reads_like_a_token_never_takes_a_feature() {
    let literal = "<image><unk></image><|audio_start|><unk><|audio_end|><|im_end|>";
    let pair = pair(
        Task::TI2T,
        [literal.into(), medium(Modality::Image), literal.into()],
        [Response::text("<unk>"), Response::text("b")],
    );
    let of = |special_text| {
        let processor = open(Preprocessing {
            special_text,
            ..layout()
        });
        processor.sequences(&pair, &[picture(None)]).unwrap()
    };
    let unknown = tokenizer().token_to_id("<unk>").unwrap();
    let count = |rows: &[Row]| rows.iter().filter(|row| row.token == unknown).count();
    let as_tokens = of(SpecialText::AsTokens);
    let as_text = of(SpecialText::AsText);
    assert_eq!(count(&as_tokens[0]), 64 + 4 + 1);
    assert_eq!(count(&as_text[0]), 64);
    for rows in [&as_tokens[0], &as_text[0]] {
        let [[start, 0, 0, 64]] = runs(rows)[..] else {
            panic!("one run of 64 features: {:?}", runs(rows));
        };
        let around = [rows[start - 1].token, rows[start + 64].token];
        let markers = ["<image>", "</image>"].map(|text| tokenizer().token_to_id(text).unwrap());
        assert_eq!(around, markers);
    }
    // Both read the same when they are written out.
    assert_eq!(decoded(&as_tokens[0]), decoded(&as_text[0]));
}

proptest! {
    /// Writing special tokens directly, with the text between them tokenised apart, gives what the
    /// tokenizer makes of the block in one piece.
    #[test]
    fn blocks_have_the_tokens_of_their_text(
        prompt in r"(\PC|\n| |<|>|/|image|<unk>|<\|im_end\|>|</slice>|\u{301}|[0-9]){0,24}",
        answer in r"(\PC|\n| |<|>|im_end|<image>|<\|audio_end\|>){0,24}",
    ) {
        let pair = pair(
            Task::TI2T,
            [Part::Text(prompt.clone()), medium(Modality::Image), Part::Text(answer.clone())],
            [Response::text(answer.clone()), Response::text(prompt.clone())],
        );
        let sequences = open(layout()).sequences(&pair, &[picture(Some((2, 1)))]).unwrap();
        let unknown = "<unk>".repeat(64);
        let image = format!(
            "<image_id>0</image_id><image>{unknown}</image><slice>{unknown}</slice><slice>{unknown}</slice>"
        );
        let blocks = [
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful \
             assistant.<|im_end|>\n".to_owned(),
            format!("<|im_start|>user\n{prompt}{image}{answer}<|im_end|>\n<|im_start|>assistant\n"),
            format!("{answer}<|im_end|>\n"),
        ];
        let tokenizer = tokenizer();
        let expected: Vec<u32> = blocks
            .iter()
            .flat_map(|block| tokenizer.encode(block.as_str(), false).unwrap().get_ids().to_vec())
            .collect();
        prop_assert_eq!(tokens(&sequences[0]), expected);
    }
}

fn embedded(modality: Modality, bytes: Vec<u8>) -> MediaRef {
    MediaRef {
        modality,
        source: MediaSource::Bytes {
            bytes: bytes.into(),
            name: Some("medium".to_owned()),
        },
    }
}

fn usage(media: &MediaRef) -> MediaUse<'_> {
    MediaUse {
        pair: "p",
        media,
        response: None,
    }
}

fn prepared(processor: &MiniCpmOProcessor, media: &MediaRef) -> Result<MediumInput, Error> {
    let medium = usage(media);
    let bytes = processor.read(&medium)?;
    processor.prepare(&medium, &bytes, None)
}

fn prepared_image(preprocessing: Preprocessing, bytes: &[u8]) -> ImageInput {
    let media = embedded(Modality::Image, bytes.to_vec());
    match prepared(&open(preprocessing), &media).unwrap() {
        MediumInput::Image(image) => image,
        other => panic!("not a picture: {other:?}"),
    }
}

#[test]
fn large_pictures_are_shrunk_as_the_switch_says() {
    let large = noise(3, 1000, 900);
    let png = image::encode_png(&large);
    for (shrink, shrunk) in [
        (Shrink::Nearest, image::resize_nearest(&large, 809, 728)),
        (Shrink::Bicubic, image::resize_bicubic(&large, 809, 728)),
    ] {
        let preprocessing = Preprocessing {
            image_shrink: shrink,
            ..layout()
        };
        let expected = open(preprocessing.clone()).image(&opaque(&shrunk));
        assert_eq!(prepared_image(preprocessing, &png), expected);
    }
    let frame = noise(4, 400, 300);
    let of = |frame_shrink| {
        open(Preprocessing {
            frame_shrink,
            ..layout()
        })
    };
    assert_ne!(
        of(Shrink::Nearest).frame(&frame),
        of(Shrink::Bicubic).frame(&frame)
    );
    assert_eq!(
        of(Shrink::Nearest).image(&opaque(&frame)),
        of(Shrink::Bicubic).image(&opaque(&frame))
    );
}

#[test]
fn fewer_slices_and_pixels_can_be_asked_for() {
    let png = image::encode_png(&noise(5, 768, 768));
    let tiles = |preprocessing| prepared_image(preprocessing, &png).tiles.len();
    assert_eq!(tiles(layout()), 5);
    let two = Preprocessing {
        max_slices: Some(2),
        ..layout()
    };
    assert_eq!(tiles(two), 3);
    let small = Preprocessing {
        image_pixels: 448 * 448,
        ..layout()
    };
    assert_eq!(tiles(small), 1);
}

#[test]
fn a_checkpoint_says_how_many_slices_unless_a_switch_does() {
    let dir = tempfile::tempdir().unwrap();
    let preprocessor = text("preprocessor_config.json");
    assert!(preprocessor.contains("\"max_slice_nums\": 9"));
    let fewer = preprocessor.replace("\"max_slice_nums\": 9", "\"max_slice_nums\": 2");
    fs::write(dir.path().join("preprocessor_config.json"), fewer).unwrap();
    fs::write(dir.path().join("tokenizer.json"), text("tokenizer.json")).unwrap();
    let picture = opaque(&noise(5, 768, 768));
    for (max_slices, recorded, tiles) in [(None, 2, 3), (Some(9), 9, 5)] {
        let preprocessing = Preprocessing {
            max_slices,
            ..layout()
        };
        let processor = MiniCpmOProcessor::open(dir.path(), preprocessing).unwrap();
        assert_eq!(processor.image(&picture).tiles.len(), tiles);
        assert_eq!(processor.preprocessing().max_slices, Some(recorded));
        assert!(
            processor
                .fingerprint()
                .contains(&format!("max_slices={recorded}"))
        );
    }
}

#[test]
fn transparency_is_dropped_or_put_on_white() {
    let hidden = RgbaImage::from_pixel(448, 448, [10, 20, 30, 0].into());
    let first = |transparency| {
        let processor = open(Preprocessing {
            transparency,
            ..layout()
        });
        processor.image(&hidden).tiles[0].patches[0]
    };
    assert!((first(Transparency::Dropped) - (10.0 / 127.5 - 1.0)).abs() < 1e-6);
    assert!((first(Transparency::OnWhite) - 1.0).abs() < 1e-6);
}

#[test]
fn an_exif_orientation_is_ignored_or_applied() {
    // A quarter turn (6) in an Exif segment right after the start of the image.
    let mut exif =
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    let mut jpeg = image::encode_jpeg(&noise(6, 600, 300), 90);
    let mut segment = vec![0xff, 0xe1];
    segment.extend((exif.len() as u16 + 2).to_be_bytes());
    segment.append(&mut exif);
    jpeg.splice(2..2, segment);

    let grid = |orientation| {
        let preprocessing = Preprocessing {
            orientation,
            ..layout()
        };
        let input = prepared_image(preprocessing, &jpeg);
        (input.tiles[0].columns, input.tiles[0].rows)
    };
    let (wide, high) = grid(Orientation::Ignored);
    assert!(wide > high);
    assert_eq!(grid(Orientation::Applied), (high, wide));
}

#[test]
fn a_mesh_is_shown_as_one_picture_from_all_sides() {
    let triangle = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n".to_vec();
    let mesh = MediaRef {
        modality: Modality::Mesh,
        source: MediaSource::Bytes {
            bytes: triangle.into(),
            name: Some("a.obj".to_owned()),
        },
    };
    let shape = prepared(&open(layout()), &mesh).unwrap().shape();
    assert!(
        matches!(shape, MediumShape::Image { grid: Some(_) }),
        "{shape:?}"
    );

    // A picture of a mesh serves as well.
    let sheet = embedded(Modality::Mesh, image::encode_png(&noise(7, 100, 100)));
    let shape = prepared(&open(layout()), &sheet).unwrap().shape();
    assert_eq!(shape, picture(None));
}

#[test]
fn padding_of_sounds_is_seen_or_not() {
    assert!(open(Preprocessing::reference()).hears_padding());
    let masked = Preprocessing {
        audio_padding: AudioPadding::Masked,
        ..Preprocessing::reference()
    };
    assert!(!open(masked).hears_padding());

    let processor = open(Preprocessing::reference());
    let sound = |seconds: usize| Waveform {
        sample_rate_hz: 16_000,
        channels: 1,
        samples: (0..seconds * 16_000)
            .map(|i| (i as f32 * 0.05).sin())
            .collect(),
    };
    let padded = processor.audio(&sound(2), Some(500)).unwrap();
    let frames: Vec<_> = padded
        .pieces
        .iter()
        .map(|p| (p.frames, p.padded_frames))
        .collect();
    assert_eq!(frames, [(200, 500)]);
    let long = processor.audio(&sound(35), Some(3000)).unwrap();
    let frames: Vec<_> = long
        .pieces
        .iter()
        .map(|p| (p.frames, p.padded_frames))
        .collect();
    assert_eq!(frames, [(3000, 3000), (500, 3000)]);
}

#[test]
fn real_sounds_have_their_rows() {
    let Some(path) = real_data("audio/speed/1_b.wav") else {
        return;
    };
    let media = embedded(Modality::Audio, fs::read(path).unwrap());
    let processor = open(Preprocessing::reference());
    let medium = usage(&media);
    let bytes = processor.read(&medium).unwrap();
    // 111 360 samples at 24 kHz are 74 240 at 16 kHz.
    assert_eq!(processor.audio_frames(&medium, &bytes).unwrap(), 464);
    let input = processor.prepare(&medium, &bytes, Some(1000)).unwrap();
    assert_eq!(input.shape(), MediumShape::Audio { tokens: 116 });
    let MediumInput::Audio(audio) = input else {
        panic!("a sound")
    };
    assert_eq!(
        (audio.pieces[0].frames, audio.pieces[0].padded_frames),
        (464, 1000)
    );
    assert_eq!(audio.pieces[0].mels.len(), 80 * 464);
}

#[test]
fn a_broken_medium_is_named_with_its_pair() {
    let broken = embedded(Modality::Image, b"\x89PNG\r\n\x1a\nrubbish".to_vec());
    let error = prepared(&open(layout()), &broken).unwrap_err();
    assert_eq!(
        error.to_string(),
        "medium `medium` of pair `p` cannot be used"
    );
}

#[test]
fn shapes_that_are_not_the_pairs_are_refused() {
    let pair = pair(
        Task::TI2T,
        [medium(Modality::Image), "?".into()],
        [Response::text("a"), Response::text("b")],
    );
    let processor = open(layout());
    assert!(processor.sequences(&pair, &[]).is_err());
    let sound = MediumShape::Audio { tokens: 3 };
    assert!(processor.sequences(&pair, &[sound]).is_err());
    assert!(processor.sequences(&pair, &[picture(None)]).is_ok());
}

#[test]
fn a_checkpoint_of_another_model_is_refused_by_name() {
    let copy = |name: &str, change: &dyn Fn(String) -> String| {
        let dir = tempfile::tempdir().unwrap();
        for file in ["tokenizer.json", "preprocessor_config.json"] {
            let content = text(file);
            let content = if file == name {
                change(content)
            } else {
                content
            };
            fs::write(dir.path().join(file), content).unwrap();
        }
        MiniCpmOProcessor::open(dir.path(), Preprocessing::clean()).unwrap_err()
    };
    let error = copy("tokenizer.json", &|text| {
        text.replace("<image_id>", "<other>")
    });
    assert!(matches!(error, Error::Tokenizer { .. }));
    assert!(
        error.to_string().contains("no token `<image_id>`"),
        "{error}"
    );
    let error = copy("tokenizer.json", &|text| text[..5000].to_owned());
    assert!(matches!(error, Error::Tokenizer { .. }), "{error}");
    let error = copy("preprocessor_config.json", &|text| {
        text.replace("scale_resolution", "scale")
    });
    assert!(matches!(error, Error::Json { .. }), "{error}");
    let error = copy("preprocessor_config.json", &|text| text.replace("14", "0"));
    assert!(error.to_string().contains("patch_size"), "{error}");

    let empty = tempfile::tempdir().unwrap();
    let error = MiniCpmOProcessor::open(empty.path(), Preprocessing::clean()).unwrap_err();
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
}

#[test]
fn real_videos_give_the_frames_of_the_reference() {
    let Some(path) = real_data("media_facts.jsonl") else {
        return;
    };
    let root = path.parent().unwrap();
    let processor = open(layout());
    let mut seen = 0;
    for line in fs::read_to_string(&path).unwrap().lines() {
        let fact: Value = serde_json::from_str(line).unwrap();
        let name = fact["path"].as_str().unwrap();
        if Path::new(name).extension().is_none_or(|kind| kind != "mp4") || seen == 4 {
            continue;
        }
        let media = embedded(Modality::Video, fs::read(root.join(name)).unwrap());
        let medium = usage(&media);
        let bytes: Arc<[u8]> = processor.read(&medium).unwrap();
        let Ok(MediumInput::Video(frames)) = processor.prepare(&medium, &bytes, None) else {
            continue;
        };
        seen += 1;
        assert!((1..=4).contains(&frames.len()), "{name}");
        assert!(
            frames
                .iter()
                .all(|frame| frame.grid.is_none() && frame.tiles.len() == 1)
        );
    }
    assert!(seen > 0);
}
