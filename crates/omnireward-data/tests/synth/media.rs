//! What generated media show is what their record says: counted, measured and heard.

use std::sync::Arc;

use omnireward_core::{MediaRef, Part, Task};
use omnireward_data::synth::{Split, SynthConfig, synthesise};
use omnireward_media::{
    Limits, RgbImage,
    audio::{self, Waveform},
    image, read,
    video::{Video, spread},
};
use serde_json::Value;

/// Media of a task with the record of each, one for each response of each scene.
fn media(task: Task, scenes: usize) -> Vec<(Arc<[u8]>, Value)> {
    let config = SynthConfig {
        seed: 3,
        split: Split::Train,
        tasks: vec![task],
        scenes,
        criteria: 1,
        ..SynthConfig::default()
    };
    synthesise(&config)
        .flat_map(|pair| {
            let truth = pair.extra["truth"].as_array().unwrap().clone();
            let bytes = |part: &Part| read(part.as_media().unwrap(), &Limits::default()).unwrap();
            let responses: Vec<_> = pair
                .responses
                .iter()
                .map(|response| bytes(&response.parts[0]))
                .collect();
            responses.into_iter().zip(truth)
        })
        .collect()
}

const DEFECTS: [&str; 11] = [
    "blur",
    "noise",
    "banding",
    "blocks",
    "frozen",
    "flicker",
    "clipping",
    "hiss",
    "dropouts",
    "holes",
    "roughness",
];

fn is_clean(truth: &Value) -> bool {
    DEFECTS.iter().all(|defect| truth.get(defect).is_none())
}

fn picture(bytes: &[u8]) -> RgbImage {
    let image = image::decode_on_white(bytes, &Limits::default()).unwrap();
    assert_eq!(image.dimensions(), (112, 112));
    image
}

fn difference(one: [u8; 3], other: [u8; 3]) -> i32 {
    (0..3)
        .map(|channel| i32::from(one[channel].abs_diff(other[channel])))
        .sum()
}

/// The pixels that are more of an object than of the background, which the upper corners show.
fn object_pixels(image: &RgbImage) -> Vec<(u32, u32)> {
    let from_background = |x: u32, y: u32| {
        let pixel = image.get_pixel(x, y).0;
        let sides = [0, image.width() - 1].map(|side| image.get_pixel(side, y).0);
        sides
            .map(|side| difference(pixel, side))
            .into_iter()
            .min()
            .unwrap()
    };
    let places = || (0..image.height()).flat_map(|y| (0..image.width()).map(move |x| (x, y)));
    let most = places().map(|(x, y)| from_background(x, y)).max().unwrap();
    places()
        .filter(|&(x, y)| from_background(x, y) * 20 > most * 13)
        .collect()
}

/// How many groups of neighbouring pixels there are.
fn components(pixels: &[(u32, u32)]) -> usize {
    let mut left: std::collections::BTreeSet<(u32, u32)> = pixels.iter().copied().collect();
    let mut found = 0;
    while let Some(start) = left.pop_first() {
        found += 1;
        let mut open = vec![start];
        while let Some((x, y)) = open.pop() {
            let around = (0..9).map(|step| {
                let (dx, dy) = (step % 3, step / 3);
                ((x + dx).wrapping_sub(1), (y + dy).wrapping_sub(1))
            });
            open.extend(around.filter(|place| left.remove(place)));
        }
    }
    found
}

fn number(word: &Value) -> usize {
    let words = ["one", "two", "three", "four"];
    words.iter().position(|known| word == known).unwrap() + 1
}

/// The name of a colour by its hue, in degrees.
fn colour_name([red, green, blue]: [f64; 3]) -> &'static str {
    let hue = (f64::sqrt(3.0) * (green - blue)).atan2(2.0 * red - green - blue);
    match hue.to_degrees().rem_euclid(360.0) {
        14.0..40.0 => "orange",
        40.0..80.0 => "yellow",
        80.0..180.0 => "green",
        180.0..255.0 => "blue",
        255.0..330.0 => "purple",
        _ => "red",
    }
}

fn mean_colour(image: &RgbImage, pixels: &[(u32, u32)]) -> [f64; 3] {
    std::array::from_fn(|channel| {
        let sum: f64 = pixels
            .iter()
            .map(|&(x, y)| f64::from(image.get_pixel(x, y).0[channel]))
            .sum();
        sum / pixels.len() as f64
    })
}

fn centre(pixels: &[(u32, u32)]) -> (f64, f64) {
    let count = pixels.len() as f64;
    let x: f64 = pixels.iter().map(|&(x, _)| f64::from(x)).sum();
    let y: f64 = pixels.iter().map(|&(_, y)| f64::from(y)).sum();
    (x / count, y / count)
}

#[test]
fn pictures_show_what_their_record_says() {
    let mut seen = 0;
    for (bytes, truth) in media(Task::T2I, 300) {
        let image = picture(&bytes);
        if !is_clean(&truth) {
            continue;
        }
        seen += 1;
        let pixels = object_pixels(&image);
        assert_eq!(components(&pixels), number(&truth["count"]), "{truth}");
        assert_eq!(
            truth["colour"],
            colour_name(mean_colour(&image, &pixels)),
            "{truth}"
        );

        let (x, y) = centre(&pixels);
        let place = match (x, y) {
            (..42.0, 36.0..76.0) => "on the left",
            (70.0.., 36.0..76.0) => "on the right",
            (36.0..76.0, ..42.0) => "at the top",
            (36.0..76.0, 70.0..) => "at the bottom",
            (46.0..66.0, 46.0..66.0) => "in the middle",
            _ => "nowhere",
        };
        assert_eq!(truth["place"], place, "{x} {y} {truth}");

        let background = image.get_pixel(0, 0).0[0];
        let shade = match background {
            ..70 => "black",
            70..190 => "grey",
            190.. => "white",
        };
        assert_eq!(truth["background"], shade);

        let area = pixels.len() / number(&truth["count"]);
        match truth["size"].as_str().unwrap() {
            "small" => assert!(area < 260, "{area} {truth}"),
            _ => assert!(area > 170, "{area} {truth}"),
        }
    }
    assert!(seen > 200, "{seen}");
}

#[test]
fn damage_to_pictures_can_be_measured() {
    /// The mean difference of neighbours along a row, which noise raises and blur lowers.
    fn unrest(image: &RgbImage) -> f64 {
        let pairs = (0..112).flat_map(|y| (1..112).map(move |x| (x, y)));
        let sum: i32 = pairs
            .map(|(x, y)| difference(image.get_pixel(x, y).0, image.get_pixel(x - 1, y).0))
            .sum();
        f64::from(sum) / (111.0 * 112.0)
    }
    let mut by_noise = [(0.0, 0.0); 3];
    for (bytes, truth) in media(Task::T2I, 500) {
        let others = DEFECTS.iter().filter(|defect| **defect != "noise");
        if others.clone().any(|defect| truth.get(defect).is_some()) {
            continue;
        }
        let level = truth
            .get("noise")
            .map_or(0, |level| level.as_u64().unwrap()) as usize;
        by_noise[level].0 += unrest(&picture(&bytes));
        by_noise[level].1 += 1.0;
    }
    let [none, some, strong] = by_noise.map(|(sum, count)| sum / count);
    assert!(
        none * 2.0 < some && some * 1.5 < strong,
        "{none} {some} {strong}"
    );
}

#[test]
fn stripes_are_seen_on_every_background() {
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for (bytes, truth) in media(Task::T2I, 500) {
        let others = DEFECTS.iter().filter(|defect| **defect != "banding");
        if others.clone().any(|defect| truth.get(defect).is_some()) {
            continue;
        }
        let image = picture(&bytes);
        let row = |y: u32| image.get_pixel(0, y).0;
        let step = (1..112).map(|y| difference(row(y), row(y - 1))).max();
        if truth.get("banding").is_some() {
            assert!(step > Some(45), "{step:?} {truth}");
            *seen.entry(truth["background"].to_string()).or_default() += 1;
        } else {
            assert!(step < Some(10), "{step:?} {truth}");
        }
    }
    assert!(seen.len() == 3, "{seen:?}");
}

#[test]
fn edits_keep_what_they_do_not_change() {
    let config = SynthConfig {
        seed: 5,
        tasks: vec![Task::TI2I],
        scenes: 200,
        criteria: 1,
        ..SynthConfig::default()
    };
    let mut seen = 0;
    for pair in synthesise(&config) {
        let before = &pair.extra["before"];
        let truth = pair.extra["truth"].as_array().unwrap();
        let bytes = |media: &MediaRef| read(media, &Limits::default()).unwrap();
        let source = bytes(pair.prompt[0].as_media().unwrap());
        for (response, truth) in pair.responses.iter().zip(truth) {
            let medium = bytes(response.parts[0].as_media().unwrap());
            let same = medium == source;
            assert_eq!(same, truth == before, "{}: {truth} {before}", pair.id);
            seen += usize::from(same);
        }
    }
    assert!(seen > 10, "some edits are not made at all: {seen}");
}

fn four_frames(bytes: Arc<[u8]>) -> Vec<RgbImage> {
    let video = Video::open(bytes, &Limits::default()).unwrap();
    let info = video.info();
    assert_eq!((info.frames, info.width, info.height), (8, 112, 112));
    assert_eq!(info.duration.unwrap().as_millis(), 2000);
    video.frames_at(&spread(8, 4)).unwrap()
}

#[test]
fn videos_move_as_their_record_says() {
    let mut seen = 0;
    for (bytes, truth) in media(Task::T2V, 150) {
        let frames = four_frames(bytes);
        if !is_clean(&truth) {
            continue;
        }
        seen += 1;
        let shapes: Vec<_> = frames.iter().map(object_pixels).collect();
        assert_eq!(components(&shapes[0]), number(&truth["count"]), "{truth}");
        assert_eq!(
            truth["colour"],
            colour_name(mean_colour(&frames[0], &shapes[0]))
        );
        let (from, to) = (centre(&shapes[0]), centre(&shapes[3]));
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let growth = shapes[3].len() as f64 / shapes[0].len() as f64;
        let motion = match (dx, dy, growth) {
            (..-15.0, ..15.0, _) => "moving left",
            (15.0.., ..15.0, _) => "moving right",
            (_, ..-15.0, _) => "moving up",
            (_, 15.0.., _) => "moving down",
            (_, _, 1.6..) => "growing",
            (_, _, ..0.65) => "shrinking",
            _ => "standing still",
        };
        assert_eq!(truth["motion"], motion, "{dx} {dy} {growth}");
        if motion.starts_with("moving") {
            let quickly = dx.hypot(dy) > 45.0;
            assert_eq!(truth["speed"] == "quickly", quickly, "{truth}");
        }
    }
    assert!(seen > 80, "{seen}");
}

#[test]
fn frozen_frames_and_flicker_are_seen_in_four_frames() {
    let (mut frozen, mut dark) = (0, 0);
    for (bytes, truth) in media(Task::T2V, 250) {
        let frames = four_frames(bytes);
        if truth.get("frozen").is_some() && truth["motion"] != "standing still" {
            let flickers = truth.get("flicker").is_some();
            assert!(flickers || frames[1] == frames[2], "{truth}");
            frozen += 1;
        }
        if truth.get("flicker").is_some() && truth["motion"] != "growing" {
            let light = |frame: &RgbImage| frame.iter().map(|&level| u64::from(level)).sum::<u64>();
            assert!(light(&frames[3]) < light(&frames[0]), "{truth}");
            dark += 1;
        }
    }
    assert!(frozen > 10 && dark > 10, "{frozen} {dark}");
}

fn sound(bytes: &[u8]) -> Waveform {
    let sound = audio::decode(bytes, &Limits::default()).unwrap();
    assert_eq!(
        (sound.sample_rate_hz, sound.channels, sound.frames()),
        (16_000, 1, 16_000)
    );
    sound
}

/// First and last sample of each sound between silences.
fn sounds(samples: &[f32]) -> Vec<(usize, usize)> {
    let peak = samples
        .iter()
        .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    let loud = |at: usize| samples[at].abs() > 0.04 * peak;
    let mut found: Vec<(usize, usize)> = Vec::new();
    for at in (0..samples.len()).filter(|&at| loud(at)) {
        match found.last_mut() {
            Some((_, end)) if at - *end < 320 => *end = at,
            _ => found.push((at, at)),
        }
    }
    found
}

/// Of a beep in hertz, by its changes of sign.
fn frequency(samples: &[f32]) -> f64 {
    let changes = samples
        .windows(2)
        .filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0))
        .count();
    changes as f64 / 2.0 / (samples.len() as f64 / 16_000.0)
}

#[test]
fn recordings_sound_as_their_record_says() {
    let (mut seen, mut beeps) = (0, 0);
    for (bytes, truth) in media(Task::T2A, 300) {
        let sound = sound(&bytes);
        if !is_clean(&truth) {
            continue;
        }
        seen += 1;
        let found = sounds(&sound.samples);
        assert_eq!(found.len(), number(&truth["count"]), "{truth}");
        let (from, to) = found[0];
        let first = &sound.samples[from..=to];
        let power = first.iter().map(|sample| sample * sample).sum::<f32>() / first.len() as f32;
        assert_eq!(truth["loudness"] == "loud", power.sqrt() > 0.07, "{truth}");

        if let Some(rhythm) = truth.get("rhythm") {
            let steps: Vec<usize> = found.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
            let ratio = steps[steps.len() - 1] as f64 / steps[0] as f64;
            let heard = match ratio {
                ..0.75 => "speeding up",
                1.33.. => "slowing down",
                _ => "at an even pace",
            };
            assert_eq!(rhythm, heard, "{ratio}");
        }
        if truth["timbre"].as_str().unwrap().starts_with("beep") {
            beeps += 1;
            let pitch = match frequency(first) {
                ..370.0 => "low",
                370.0..1000.0 => "middle",
                _ => "high",
            };
            assert_eq!(truth["pitch"], pitch, "{truth}");
            let half = first.len() / 2;
            let course = match frequency(&first[half..]) / frequency(&first[..half]) {
                ..0.9 => "falling",
                1.1.. => "rising",
                _ => "steady",
            };
            assert_eq!(truth["course"], course, "{truth}");
        }
    }
    assert!(seen > 200 && beeps > 40, "{seen} {beeps}");
}

#[test]
fn models_show_their_colour_and_size() {
    let mut areas = [(0.0, 0.0); 2];
    for (bytes, truth) in media(Task::T23D, 60) {
        let image = picture(&bytes);
        let coloured: Vec<(u32, u32)> = (0..112)
            .flat_map(|y| (0..112).map(move |x| (x, y)))
            .filter(|&(x, y)| {
                let [r, g, b] = image.get_pixel(x, y).0;
                r.max(g).max(b) - r.min(g).min(b) > 60
            })
            .collect();
        assert!(coloured.len() > 80, "{} {truth}", coloured.len());
        assert_eq!(
            truth["colour"],
            colour_name(mean_colour(&image, &coloured)),
            "{truth}"
        );
        let area = &mut areas[usize::from(truth["size"] == "large")];
        area.0 += coloured.len() as f64 / number(&truth["count"]) as f64;
        area.1 += 1.0;
    }
    let [small, large] = areas.map(|(sum, count)| sum / count);
    assert!(large > 1.8 * small, "{small} {large}");
}
