//! Writes a benchmark of the size and shape of the published Omni-RewardBench, for measuring how
//! it is read: 3,725 pairs with the published number of pairs and ties a task, embedded pictures
//! and sounds of usual sizes, and videos as files. What the media show and the texts say is noise.
//!
//! ```text
//! cargo run --release -p omnireward-data --example full_size_bench -- OUT --video FILE.mp4 [--scale 1.0]
//! ```

#![expect(clippy::print_stderr, reason = "a program that says what it wrote")]

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use image::{ExtendedColorType, codecs::jpeg::JpegEncoder};
use omnireward_core::{
    MediaRef, MediaSource, Modality, Part, Preference, PreferencePair, Response, Task,
};
use omnireward_data::write;

/// The published counts of a task, and the size of its text.
struct Shape {
    task: Task,
    pairs: u64,
    ties: u64,
    /// The mean number of criteria that share prompt and responses.
    criteria: f64,
    prompt_words: usize,
    response_words: usize,
}

const SHAPES: [Shape; 9] = [
    shape(Task::T2T, 417, 51, 2.7, 62, 166),
    shape(Task::TI2T, 528, 98, 2.8, 17, 78),
    shape(Task::TV2T, 443, 63, 2.6, 11, 100),
    shape(Task::TA2T, 357, 23, 2.8, 11, 58),
    shape(Task::T2I, 509, 68, 7.6, 13, 0),
    shape(Task::T2V, 529, 63, 4.4, 7, 0),
    shape(Task::T2A, 411, 15, 3.0, 9, 0),
    shape(Task::T23D, 302, 38, 4.2, 11, 0),
    shape(Task::TI2I, 229, 22, 2.0, 6, 0),
];

const fn shape(
    task: Task,
    pairs: u64,
    ties: u64,
    criteria: f64,
    prompt_words: usize,
    response_words: usize,
) -> Shape {
    Shape {
        task,
        pairs,
        ties,
        criteria,
        prompt_words,
        response_words,
    }
}

/// Pictures of 700 × 1000 pixels come out at about 570 kB, as in the image editing task.
const PICTURE: (u32, u32) = (700, 1000);
/// 10 s of mono sound at 16 kHz: 320 kB, as in the audio understanding task.
const SOUND_SAMPLES: usize = 160_000;
/// Videos to understand run for minutes; generated ones for seconds.
const LONG_VIDEO_BYTES: u64 = 8 << 20;
const SHORT_VIDEO_BYTES: u64 = 1 << 20;

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("full_size_bench: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let mut out = None;
    let mut video = None;
    let mut scale = 1.0;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--video" => video = Some(PathBuf::from(value()?)),
            "--scale" => {
                scale = value()?
                    .parse()
                    .map_err(|error| format!("--scale: {error}"))?;
            }
            _ => out = Some(PathBuf::from(argument)),
        }
    }
    let out = out.ok_or("usage: full_size_bench OUT --video FILE.mp4 [--scale 1.0]")?;
    let video = video.ok_or("name a video file with --video")?;
    let videos = Videos::new(&out, &video).map_err(|error| error.to_string())?;
    let pairs = SHAPES.iter().flat_map(|shape| pairs(shape, scale, &videos));
    let written = write::omni_parquet(&out, pairs).map_err(|error| error.to_string())?;
    let bytes = size_of(&out).map_err(|error| error.to_string())?;
    eprintln!(
        "{written} pairs, {:.2} GB in {}",
        bytes as f64 / 1e9,
        out.display()
    );
    Ok(())
}

/// The pairs of a task, made one by one.
fn pairs<'a>(
    shape: &'a Shape,
    scale: f64,
    videos: &'a Videos,
) -> impl Iterator<Item = PreferencePair> + 'a {
    let count = ((shape.pairs as f64 * scale).round() as u64).max(1);
    let ties = (shape.ties as f64 * scale).round() as u64;
    let mut item: Option<(u64, PreferencePair)> = None;
    (0..count).map(move |index| {
        let group = (index as f64 / shape.criteria) as u64;
        let pair = match &item {
            Some((known, pair)) if *known == group => pair.clone(),
            _ => new_item(shape, group, videos),
        };
        item = Some((group, pair.clone()));
        let mut noise = Noise::new(shape.task, index, 9);
        let is_tie = (index + 1) * ties / count > index * ties / count;
        let label = match index % 2 {
            _ if is_tie => Preference::Tie,
            0 => Preference::First,
            _ => Preference::Second,
        };
        PreferencePair {
            id: index.to_string(),
            ..pair
        }
        .with_criterion(noise.words(15))
        .with_label(label)
    })
}

/// A prompt with two responses.
fn new_item(shape: &Shape, group: u64, videos: &Videos) -> PreferencePair {
    let task = shape.task;
    let mut noise = Noise::new(task, group, 0);
    let mut prompt: Vec<Part> = Vec::new();
    if let Some(modality) = task.prompt_modality() {
        prompt.push(medium(task, modality, group, 0, videos).into());
    }
    prompt.push(Part::Text(noise.words(shape.prompt_words)));
    let responses = [1, 2].map(|side| {
        let response = if task.is_generation() {
            Response::media(medium(task, task.response_modality(), group, side, videos))
        } else {
            Response::text(noise.words(shape.response_words))
        };
        response.by(format!("model-{}", (group + side) % 15))
    });
    PreferencePair {
        prompt,
        ..PreferencePair::new("", task, "", responses)
    }
}

fn medium(task: Task, modality: Modality, group: u64, side: u64, videos: &Videos) -> MediaRef {
    let mut noise = Noise::new(task, group, side);
    let embedded = |bytes: Vec<u8>, extension: &str| MediaSource::Bytes {
        bytes: bytes.into(),
        name: Some(format!("{}/{group}-{side}.{extension}", task.key())),
    };
    let (modality, source) = match modality {
        Modality::Audio => (modality, embedded(sound(&mut noise), "wav")),
        Modality::Video => (modality, videos.link(task, group, side)),
        // As published, 3D responses are rendered views in one picture.
        _ => (Modality::Image, embedded(picture(&mut noise), "jpg")),
    };
    MediaRef { modality, source }
}

/// A photograph's worth of bytes: soft shading with grain.
fn picture(noise: &mut Noise) -> Vec<u8> {
    let (width, height) = PICTURE;
    let base = noise.next();
    let mut pixels = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let grain = noise.next();
            for channel in 0..3 {
                let shade = (x / 5 + y / 7 + ((base >> (8 * channel)) as u32 & 0x7f)) & 0xff;
                let shift = (grain >> (8 * channel)) as u32 & 0x3f;
                pixels.push((shade + shift).min(255) as u8);
            }
        }
    }
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 85)
        .encode(&pixels, width, height, ExtendedColorType::Rgb8)
        .expect("the buffer has width × height × 3 bytes");
    bytes
}

/// A WAV file of soft noise.
fn sound(noise: &mut Noise) -> Vec<u8> {
    let data_bytes = 2 * SOUND_SAMPLES as u32;
    let mut bytes = Vec::with_capacity(44 + data_bytes as usize);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + data_bytes).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16_u32.to_le_bytes());
    bytes.extend_from_slice(&1_u16.to_le_bytes());
    bytes.extend_from_slice(&1_u16.to_le_bytes());
    bytes.extend_from_slice(&16_000_u32.to_le_bytes());
    bytes.extend_from_slice(&32_000_u32.to_le_bytes());
    bytes.extend_from_slice(&2_u16.to_le_bytes());
    bytes.extend_from_slice(&16_u16.to_le_bytes());
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&data_bytes.to_le_bytes());
    for _ in 0..SOUND_SAMPLES {
        bytes.extend_from_slice(&((noise.next() & 0x1fff) as i16 - 0x1000).to_le_bytes());
    }
    bytes
}

/// One short and one long video, linked under as many names as are asked for.
struct Videos {
    media: PathBuf,
    short: PathBuf,
    long: PathBuf,
}

impl Videos {
    fn new(out: &Path, video: &Path) -> io::Result<Self> {
        let media = out.join("media_data");
        fs::create_dir_all(media.join("videos"))?;
        let content: Arc<[u8]> = fs::read(video)?.into();
        let padded = |name: &str, bytes: u64| {
            let path = media.join("videos").join(name);
            let mut content = content.to_vec();
            // A box that players skip brings the file to size.
            let padding = bytes
                .saturating_sub(content.len() as u64)
                .clamp(8, bytes.max(8));
            content.extend_from_slice(&(padding as u32).to_be_bytes());
            content.extend_from_slice(b"free");
            content.resize(content.len() + padding as usize - 8, 0);
            fs::write(&path, content).map(|()| path)
        };
        Ok(Self {
            short: padded("short.mp4", SHORT_VIDEO_BYTES)?,
            long: padded("long.mp4", LONG_VIDEO_BYTES)?,
            media,
        })
    }

    fn link(&self, task: Task, group: u64, side: u64) -> MediaSource {
        let content = if task == Task::TV2T {
            &self.long
        } else {
            &self.short
        };
        let name = format!("videos/{}-{group}-{side}.mp4", task.key());
        let path = self.media.join(&name);
        if !path.exists() && fs::hard_link(content, &path).is_err() {
            fs::copy(content, &path).expect("the folder was just written to");
        }
        MediaSource::File { path, name }
    }
}

/// Numbers without a pattern that anybody would notice (a 64-bit xorshift).
struct Noise(u64);

impl Noise {
    fn new(task: Task, group: u64, side: u64) -> Self {
        let seed = (task as u64 + 1) << 40 | (group + 1) << 8 | (side + 1);
        let mut noise = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        noise.next();
        noise
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn words(&mut self, count: usize) -> String {
        const WORDS: [&str; 16] = [
            "light", "river", "quiet", "stone", "paper", "round", "green", "motion", "shadow",
            "clear", "distant", "warm", "glass", "window", "gentle", "bright",
        ];
        let words: Vec<&str> = (0..count)
            .map(|_| WORDS[(self.next() >> 32) as usize % 16])
            .collect();
        words.join(" ")
    }
}

fn size_of(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in folder.read_dir()? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() {
            size_of(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(bytes)
}
