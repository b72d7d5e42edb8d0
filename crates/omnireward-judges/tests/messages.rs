//! Asks about real media and looks at the messages that are sent.

#![expect(clippy::unwrap_used, reason = "these are tests, helpers included")]

use std::{num::NonZeroU32, path::PathBuf, sync::Arc};

use omnireward_core::{
    BoxFuture, ChatModel, ChatPart, ChatReply, ChatRequest, Identity, MediaRef, MediaSource,
    Modality, ModelError, ModelErrorKind, Part, PreferencePair, Response, Setting, Task,
};
use omnireward_judges::{AudioForm, ChatJudge, ChatJudgeConfig, ImageForm, MediaConfig, VideoForm};
use omnireward_media::{Limits, audio, image};
use omnireward_testkit::real_data;
use serde_json::json;

/// A model that is never asked.
struct Silent;

impl ChatModel for Silent {
    fn identity(&self) -> Identity {
        Identity::new("silent", json!({}))
    }

    fn complete<'a>(
        &'a self,
        _request: &'a ChatRequest,
    ) -> BoxFuture<'a, Result<ChatReply, ModelError>> {
        Box::pin(async { panic!("only requests are built here") })
    }
}

fn medium(modality: Modality, path: PathBuf) -> MediaRef {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    MediaRef {
        modality,
        source: MediaSource::File { path, name },
    }
}

fn responses(modality: Modality, paths: [PathBuf; 2]) -> [Response; 2] {
    paths.map(|path| Response::media(medium(modality, path)))
}

async fn try_parts(pair: &PreferencePair, media: MediaConfig) -> Result<Vec<ChatPart>, ModelError> {
    let config = ChatJudgeConfig {
        media,
        ..ChatJudgeConfig::default()
    };
    let judge = ChatJudge::new(Arc::new(Silent), config);
    let request = judge.request(pair, Setting::WithTies, 0).await?;
    Ok(request.messages[1].parts.clone())
}

async fn parts(pair: &PreferencePair, media: MediaConfig) -> Vec<ChatPart> {
    try_parts(pair, media).await.unwrap()
}

/// The message with every medium as its type, runs of one type counted.
fn outline(parts: &[ChatPart]) -> String {
    let name = |part: &ChatPart| match part {
        ChatPart::Text(text) => text.clone(),
        ChatPart::Image { media_type, .. }
        | ChatPart::Audio { media_type, .. }
        | ChatPart::Video { media_type, .. } => (*media_type).to_owned(),
    };
    let names: Vec<String> = parts.iter().map(name).collect();
    names
        .chunk_by(|one, other| one == other)
        .map(|run| match run {
            [one] => format!("{one}\n"),
            _ => format!("{} × {}\n", run.len(), run[0]),
        })
        .collect()
}

fn bytes(part: &ChatPart) -> &Arc<[u8]> {
    match part {
        ChatPart::Image { bytes, .. }
        | ChatPart::Audio { bytes, .. }
        | ChatPart::Video { bytes, .. } => bytes,
        ChatPart::Text(text) => panic!("{text}"),
    }
}

fn image_pair() -> Option<(PreferencePair, [PathBuf; 2])> {
    let folder = real_data("image/mjbench_objects")?;
    let mut files: Vec<PathBuf> = walk(folder, "jpg");
    files.truncate(2);
    let files: [PathBuf; 2] = files.try_into().unwrap();
    let pair = PreferencePair::new(
        "i",
        Task::T2I,
        "a room",
        responses(Modality::Image, files.clone()),
    );
    Some((pair, files))
}

/// The files below `folder` with an extension, sorted.
fn walk(folder: PathBuf, extension: &str) -> Vec<PathBuf> {
    let mut folders = vec![folder];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

#[tokio::test]
async fn images_are_sent_as_they_are_in_their_blocks() {
    let Some((pair, files)) = image_pair() else {
        return;
    };
    let parts = parts(&pair, MediaConfig::default()).await;
    let expected = "[[PROMPT]]\na room\n[[END OF PROMPT]]\n\n[[RESPONSE A]]\n\nimage/jpeg\n\
                    [[END OF RESPONSE A]]\n\n[[RESPONSE B]]\n\nimage/jpeg\n[[END OF RESPONSE B]]\n\n";
    assert_eq!(outline(&parts), expected);
    assert_eq!(**bytes(&parts[1]), *std::fs::read(&files[0]).unwrap());
    assert_eq!(**bytes(&parts[3]), *std::fs::read(&files[1]).unwrap());
}

#[tokio::test]
async fn images_can_be_encoded_anew_and_shrunk() {
    let Some((pair, files)) = image_pair() else {
        return;
    };
    let limits = Limits::default();
    let size = |bytes: &[u8]| image::decode(bytes, &limits).unwrap().dimensions();
    let original = std::fs::read(&files[0]).unwrap();
    let encoded = MediaConfig {
        images: ImageForm::Jpeg,
        ..MediaConfig::default()
    };
    let encoded = parts(&pair, encoded).await;
    assert_ne!(**bytes(&encoded[1]), *original);
    assert_eq!(size(bytes(&encoded[1])), size(&original));
    let small = MediaConfig {
        max_pixels: Some(10_000),
        ..MediaConfig::default()
    };
    let (width, height) = size(bytes(&parts(&pair, small).await[1]));
    assert!(
        (8_000..=10_000).contains(&(width * height)),
        "{width}×{height}"
    );
}

#[tokio::test]
async fn videos_are_ten_frames_in_a_prompt_and_five_in_a_response() {
    let Some(folder) = real_data("video/videoalign") else {
        return;
    };
    let files: [PathBuf; 2] = walk(folder, "mp4").try_into().unwrap();
    let generated = PreferencePair::new(
        "v",
        Task::T2V,
        "p",
        responses(Modality::Video, files.clone()),
    );
    let mut asked = PreferencePair::new("v", Task::TV2T, "p", ["x", "y"].map(Response::text));
    asked
        .prompt
        .push(Part::Media(medium(Modality::Video, files[0].clone())));

    let frames = parts(&generated, MediaConfig::default()).await;
    assert_eq!(
        outline(&frames).matches("5 × image/jpeg").count(),
        2,
        "{}",
        outline(&frames)
    );
    let outlined = outline(&parts(&asked, MediaConfig::default()).await);
    assert!(
        outlined.contains("[[VIDEO]]\n\n10 × image/jpeg\n[[END OF VIDEO]]"),
        "{outlined}"
    );

    let three = NonZeroU32::new(3).unwrap();
    let few = MediaConfig {
        video: VideoForm::Frames {
            prompt: three,
            response: three,
        },
        ..MediaConfig::default()
    };
    assert!(outline(&parts(&asked, few).await).contains("3 × image/jpeg"));
    let whole = MediaConfig {
        video: VideoForm::File,
        ..MediaConfig::default()
    };
    let whole = parts(&generated, whole).await;
    assert!(outline(&whole).contains("[[RESPONSE A]]\n\nvideo/mp4\n[[END OF RESPONSE A]]"));
    assert_eq!(**bytes(&whole[1]), *std::fs::read(&files[0]).unwrap());
}

#[tokio::test]
async fn sounds_are_sent_apart_or_joined() {
    let Some(folder) = real_data("audio/speed") else {
        return;
    };
    let files: [PathBuf; 2] = walk(folder, "wav")[..2].to_vec().try_into().unwrap();
    let pair = PreferencePair::new("a", Task::T2A, "p", responses(Modality::Audio, files));
    let limits = Limits::default();
    let sound = |part: &ChatPart| audio::decode(bytes(part), &limits).unwrap();

    let apart = parts(&pair, MediaConfig::default()).await;
    assert!(outline(&apart).contains("[[RESPONSE A]]\n\naudio/wav\n[[END OF RESPONSE A]]"));
    let [one, other] = [sound(&apart[1]), sound(&apart[3])];
    for wave in [&one, &other] {
        assert_eq!((wave.sample_rate_hz, wave.channels), (16_000, 1));
    }
    let config = MediaConfig {
        audio: AudioForm::Joined,
        ..MediaConfig::default()
    };
    let joined = parts(&pair, config).await;
    assert_eq!(joined.len(), 2, "{}", outline(&joined));
    let joined = sound(&joined[0]);
    assert_eq!(
        joined.samples.len(),
        one.samples.len() + 16_000 + other.samples.len()
    );
    let silence = &joined.samples[one.samples.len()..][..16_000];
    assert!(silence.iter().all(|sample| *sample == 0.0));
}

#[tokio::test]
async fn meshes_are_sent_as_a_sheet_of_views() {
    let Some(folder) = real_data("mesh/files") else {
        return;
    };
    let file = walk(folder, "glb").remove(0);
    let pair = PreferencePair::new(
        "m",
        Task::T23D,
        "p",
        responses(Modality::Mesh, [file.clone(), file]),
    );
    let parts = parts(&pair, MediaConfig::default()).await;
    let sheet = image::decode(bytes(&parts[1]), &Limits::default()).unwrap();
    assert!(sheet.width() > 100 && sheet.height() > 100);
    assert_eq!(
        bytes(&parts[1]),
        bytes(&parts[3]),
        "the same mesh is the same picture"
    );
}

#[tokio::test]
async fn a_medium_that_cannot_be_sent_is_named_with_its_pair() {
    let broken = |source| {
        let media = MediaRef {
            modality: Modality::Image,
            source,
        };
        let fine = image::encode_png(&omnireward_media::RgbImage::new(4, 4));
        let fine = MediaRef {
            modality: Modality::Image,
            source: MediaSource::Bytes {
                bytes: fine.into(),
                name: None,
            },
        };
        PreferencePair::new(
            "pair-7",
            Task::T2I,
            "p",
            [Response::media(fine), Response::media(media)],
        )
    };
    let whole = image::encode_jpeg(&omnireward_media::RgbImage::new(64, 64), 80);
    let sources = [
        MediaSource::File {
            path: "/nowhere/cat.png".into(),
            name: "cat.png".to_owned(),
        },
        MediaSource::Absent {
            name: "cat.png".to_owned(),
        },
        MediaSource::Bytes {
            bytes: whole[..whole.len() / 2].into(),
            name: Some("cat.png".to_owned()),
        },
        MediaSource::Bytes {
            bytes: b"not a picture at all"[..].into(),
            name: Some("cat.png".to_owned()),
        },
    ];
    for source in sources {
        let error = try_parts(&broken(source), MediaConfig::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::Media);
        assert_eq!(
            error.to_string(),
            "cannot send image `cat.png` of pair `pair-7`"
        );
        assert!(
            error.chain().len() > error.to_string().len(),
            "the cause is kept"
        );
    }
}
